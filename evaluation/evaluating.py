"""Runs evaluations on a run, one after the other, and writes what they find as soon as each is done."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import torch

from configuration.settings import show
from evaluation import EVALUATIONS, judges, names_of_all
from evaluation.findings import NotApplicable
from evaluation.record import Conditions, Evaluated, Record, go_on, write_record
from evaluation.report import write_report
from evaluation.subject import Subject
from runs.environment import PACKAGES, package_version, processor_name
from utils.lookup import load_entry
from utils.types import ConfigError, UserError

SETTINGS = (
    *("dataset", "data_params", "classes", "image_size", "label_noise", "valid_fraction", "mixing", "mixing_params"),
    *("architecture", "architecture_params", "loss_function", "loss_params", "seed", "batch_size", "num_epochs"),
    *("optimizer", "optimizer_params", "lr_scheduler", "lr_scheduler_params"),
)
"""Keys of the configuration that the page tells at its head."""
LOG = logging.getLogger("lossbench")


def evaluate(
    subject: Subject, only: Sequence[str] = (), also: Sequence[str] = (), tell: Callable[[str], None] = print
) -> Record:
    """Evaluate a run, and write evaluation.json, report.html and pictures into its folder.

    What an earlier evaluation of the same weights found stays.

    Args:
        only: names of evaluations; empty for all that need not be asked for, and those of the run's configuration.
        also: further ones.
        tell: takes each text as soon as it is known.

    Raises: ConfigError for what cannot be evaluated, once all else is done.
    """
    kind = subject.data.data.kind
    names = tuple(dict.fromkeys([*(only or (*names_of_all(kind), *subject.config.evaluate)), *also]))
    record = go_on(subject.output, facts(subject))
    left_out, mistakes = [], []
    try:
        subject.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{subject.output}: cannot be written: {error.strerror}") from None
    for note in subject.part.notes:
        tell(f"note: {note}")
    for name in names:
        began = time.perf_counter()
        params = subject.config.evaluate_params.get(name, {})
        try:
            if not judges(name, kind):
                raise NotApplicable(f"it says nothing about {kind}s")
            findings = load_entry(EVALUATIONS[name])(subject, **params)
        except NotApplicable as reason:
            record.evaluated.pop(name, None)
            left_out.append(f"{name}: {reason}")
            continue
        except UserError as error:  # what the others find is worth having
            mistakes.append(str(error))
            continue
        if (before := record.evaluated.get(name)) is not None and before.params != params:
            tell(f"{name}: done anew; what was found with {show(before.params)} is replaced")
            kept = {picture.path for picture in findings.pictures}
            for path in {picture.path for picture in before.findings.pictures} - kept:
                path.unlink(missing_ok=True)
        record.evaluated[name] = Evaluated(params, findings, time.perf_counter() - began, Conditions.of(record.facts))
        write_record(record, subject.output)  # each as soon as it is known: the next may take long
        tell(in_words(name, record.evaluated[name]))
    if len(left_out) == len(names):
        with contextlib.suppress(OSError):  # it holds earlier ones
            subject.output.rmdir()
        raise ConfigError("\n".join(["nothing to evaluate:", *(f"  {line}" for line in left_out)]))
    given = (name for name in subject.config.evaluate_params if name not in names and not judges(name, kind))
    left_out += [f"{name}: it says nothing about {kind}s" for name in given]
    if record.evaluated:
        record.facts["left_out"] = left_out
        write_record(record, subject.output)
        tell("".join(f"left out: {line}\n" for line in left_out) + f"report  {write_report(record, subject.output)}")
    if mistakes:
        raise subject.config.located(ConfigError("\n".join(mistakes)))
    return record


def facts(subject: Subject) -> dict[str, Any]:
    """Return what the numbers depend on."""
    folder = subject.folder
    with folder.best.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    device = torch.cuda.get_device_name(subject.device) if subject.device.type == "cuda" else processor_name()
    return {
        "run": folder.path.name,
        "finished": folder.is_finished,
        "on": subject.part.name,
        "folder": subject.part.folder,
        "images": len(subject.part),
        "notes": list(subject.part.notes),
        "epoch": subject.epoch,
        "selected_on": subject.config.select_on,
        "loss_function": subject.config.loss_function,
        "calibrated": subject.classifier.loss.calibrated,
        "settings": {key: value for key, value in subject.config.values().items() if key in SETTINGS},
        "checkpoint": digest,
        "data_fingerprint": subject.data.fingerprint,
        "device": device,
        "precision": subject.precision.precision,
        "packages": {name: package_version(name) for name in PACKAGES},
        "evaluated": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def in_words(name: str, evaluated: Evaluated) -> str:
    """Return what one evaluation found, as a person reads it in a terminal."""
    words = evaluated.findings.words
    width = max(map(len, words), default=0)
    lines = [f"  {number:<{width}}  {text}" for number, text in words.items()]
    notes = [f"  note: {note}" for note in evaluated.findings.notes]
    return "\n".join([f"{name}  (took {evaluated.seconds:.1f} s)", *lines, *notes])

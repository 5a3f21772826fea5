"""The run of an evaluation: one evaluation after the other, each written as soon as it is done."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import torch

from configuration.settings import show
from evaluation import EVALUATIONS, default_evaluations, judges
from evaluation.findings import NotApplicable
from evaluation.record import Conditions, Evaluated, Record, resume_record, write_record
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
"""Configuration keys at the head of the report."""


def evaluate(
    subject: Subject, only: Sequence[str] = (), also: Sequence[str] = (), echo: Callable[[str], None] = print
) -> Record:
    """Evaluate a run, and write evaluation.json, report.html and figures into its folder.

    Results of earlier evaluations of the same weights are kept.

    Args:
        only: names of evaluations; empty for the default ones and those of the run's configuration.
        also: further ones.
        echo: receives each result as text.

    Raises: ConfigError for evaluations that fail, after all others are done.
    """
    kind = subject.data.data.kind
    names = tuple(dict.fromkeys([*(only or (*default_evaluations(kind), *subject.config.evaluate)), *also]))
    record = resume_record(subject.output, facts(subject))
    skipped, mistakes = [], []
    try:
        subject.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{subject.output}: cannot be written: {error.strerror}") from None
    for note in subject.part.notes:
        echo(f"note: {note}")
    for name in names:
        began = time.perf_counter()
        params = subject.config.evaluate_params.get(name, {})
        try:
            if not judges(name, kind):
                raise NotApplicable(f"cannot judge {kind}s")
            findings = load_entry(EVALUATIONS[name])(subject, **params)
        except NotApplicable as reason:
            record.evaluated.pop(name, None)
            skipped.append(f"{name}: {reason}")
            continue
        except UserError as error:  # the others may succeed
            mistakes.append(str(error))
            continue
        if (before := record.evaluated.get(name)) is not None and before.params != params:
            echo(f"{name}: replaces the earlier results with {show(before.params)}")
            kept = {figure.path for figure in findings.figures}
            for path in {figure.path for figure in before.findings.figures} - kept:
                path.unlink(missing_ok=True)
        record.evaluated[name] = Evaluated(params, findings, time.perf_counter() - began, Conditions.of(record.facts))
        write_record(record, subject.output)  # at once: the next may take long
        echo(_as_text(name, record.evaluated[name]))
    if len(skipped) == len(names):
        with contextlib.suppress(OSError):  # it holds earlier ones
            subject.output.rmdir()
        raise ConfigError("\n".join(["nothing to evaluate:", *(f"  {line}" for line in skipped)]))
    unused = (name for name in subject.config.evaluate_params if name not in names and not judges(name, kind))
    skipped += [f"{name}: cannot judge {kind}s" for name in unused]
    if record.evaluated:
        record.facts["left_out"] = skipped
        write_record(record, subject.output)
        echo("".join(f"skipped: {line}\n" for line in skipped) + f"report  {write_report(record, subject.output)}")
    if mistakes:
        raise subject.config.located(ConfigError("\n".join(mistakes)))
    return record


def facts(subject: Subject) -> dict[str, Any]:
    """Return the run, the part, and the conditions of the evaluation."""
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


def _as_text(name: str, evaluated: Evaluated) -> str:
    """Return an evaluation's results for a terminal."""
    words = evaluated.findings.words
    width = max(map(len, words), default=0)
    lines = [f"  {number:<{width}}  {text}" for number, text in words.items()]
    notes = [f"  note: {note}" for note in evaluated.findings.notes]
    return "\n".join([f"{name}  ({evaluated.seconds:.1f} s)", *lines, *notes])

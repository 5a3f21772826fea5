"""One configuration -> one run: trained, tested once, recorded."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping
from pytorch_lightning.utilities import rank_zero_only

from configuration.schema import Configuration
from metrics import lower_is_better
from runs import lock as run_lock
from runs.checkpoints import AtomicCheckpointIO, choose_checkpoint
from runs.code import OnChange, accept, code_changes, code_of, continued_code, in_words, refusal
from runs.folder import (
    DamagedFile,
    RunFolder,
    changed_facts,
    check_writable,
    environment,
    run_folder,
    write_json,
)
from runs.identity import fingerprint, resolved_parameters, weights_here
from tracking import know_the_end
from tracking.base import Tracker
from tracking.family import Family
from training import report
from training.averaging import WeightAverage
from training.building import Preparation, prepare
from training.callbacks import FiniteLoss, NoProfiler, RunRecord, StepSeed
from training.finishing import finish, warn_of_selected
from training.machine import build_lightning
from training.memory import keep_freed_memory
from training.neighbours import describe_nearest
from training.out_of_memory import is_out_of_memory, out_of_memory
from training.progress import EpochLines, TerminalProgress
from training.rehearsal import rehearse
from training.remarks import warn_before_training
from training.save_points import SavePoints
from training.sequel import NOTHING, Sequel
from training.step_loop import StepLoop
from training.tracking import catch_up, close_trackers, open_trackers
from utils.files import FULL, CannotWrite, remove_leftovers, write_atomically
from utils.signals import Interrupted, command_to_go_on, raise_on_signals
from utils.types import ConfigError, TrainingError, first_line

LOG = logging.getLogger("lossbench")
FOLDER_VARIABLE = "LOSSBENCH_RUN_FOLDER"


class GivenUp(Exception):
    """A run that one of the callbacks ends; trackers show it as stopped, not as failed."""


def check(config: Configuration, sequel: Sequel = NOTHING) -> str:
    """Return what a run would do, after checking all that can be checked without training."""
    prepared = prepare(config, sequel)
    warn_before_training(config, prepared.data)
    prepared.data.check()
    folder = run_folder(config, prepared.data.fingerprint)
    if not folder.is_finished:
        rehearse(prepared)
        check_writable(config)
    build_trainer(config, folder, [])  # accelerator, devices and strategy, if there are such
    state = "finished" if folder.is_finished else "interrupted" if folder.is_interrupted else "new"
    with contextlib.suppress(DamagedFile):
        if state != "new" and (changes := code_changes(folder.read_environment(), config)):
            state += f"; its code has changed since: {in_words(changes)}"
    if run_lock.is_locked(folder):
        state = "another process trains it"
    nearest = describe_nearest(config, folder) if state == "new" else None
    return "\n".join(
        [report.describe(prepared), f"run folder: {folder.path} ({state})", *([nearest] if nearest else [])]
    )


@raise_on_signals()
def train(
    config: Configuration,
    fresh: bool = False,
    family: Family | None = None,
    callbacks: Sequence[Callback] = (),
    changed_code: OnChange = None,
    sequel: Sequel = NOTHING,
) -> tuple[RunFolder, dict[str, Any]]:
    """Train, test and record one run; go on with it if it was interrupted, leave it if it is finished.

    Args:
        fresh: start anew, in a folder beside the one that exists.
        family: the sweep that trackers show it in; no part of what the run is.
        callbacks: who else hears of the epochs; they must not change the result.
        changed_code: what becomes of a run that was trained by other code than is here now.
        sequel: work that follows the test.

    Returns: the run's folder and its summary.
    Raises: ConfigError, DataError; Busy if another process trains it; TrainingError if the loss is not finite or the
        selected checkpoint is damaged; Interrupted after a signal.
    """
    prepared = prepare(config, sequel)
    warn_before_training(config, prepared.data)
    command = command_to_go_on(fresh)
    is_child = "LOCAL_RANK" in os.environ and FOLDER_VARIABLE in os.environ  # the first process has looked
    folder = _choose_folder(config, prepared.data.fingerprint, fresh)
    if not is_child and _has_other_code(config, folder, changed_code):
        fresh = True
        folder = _choose_folder(config, prepared.data.fingerprint, fresh)
    if folder.path.is_dir() and fingerprint(config, prepared.data.fingerprint) not in folder.path.name:
        LOG.info("the same run lies in %s", folder.path)
    if (summary := _finished(folder)) is not None:
        LOG.info("this run is finished; --fresh trains it anew\n%s", report.table(summary, config, folder))
        if not know_the_end(config, folder):
            catch_up(config, folder, report.flat_parameters(prepared), summary, family)
        sequel.run(config, folder)
        folder.discard_checkpoints(config.keep_checkpoints)
        return folder, summary
    rehearse(prepared)
    if rank_zero_only.rank == 0 and config.num_nodes == 1:  # as early as can be; the lock itself is what counts
        run_lock.check_free(folder)
    check_writable(config)
    prepared.data.keep_images()
    prepared.data.check()
    if fresh:  # another may have begun one, too, while the images were read
        folder = _choose_folder(config, prepared.data.fingerprint, fresh)
    trackers: list[Tracker] = []
    trainer, record, save_points = build_trainer(config, folder, trackers, callbacks)
    save_points.command = command
    lock = run_lock.lock(folder) if trainer.is_global_zero else None
    status = "failed"
    try:
        summary = _train(prepared, trainer, record, save_points, trackers, family)
        if trainer.is_global_zero:
            sequel.run(config, folder)
            folder.discard_checkpoints(config.keep_checkpoints)
        status = "success"
    except Interrupted as interruption:
        status = "interrupted"
        raise Interrupted(interruption.name, *_whereabouts(trainer, save_points)) from None
    except GivenUp:
        status = "interrupted"
        raise
    except CannotWrite as error:
        raise TrainingError(f"{error}; {_remedy(error)}; then {_whereabouts(trainer, save_points)[1]}") from None
    finally:
        close_trackers(trackers, folder, status)
        if lock is not None:
            lock.release()
        if status == "interrupted" and trainer.strategy.launcher is not None:
            trainer.strategy.launcher.kill(signal.SIGTERM)  # last: Lightning ends a process whose children ended
    return folder, summary


def _has_other_code(config: Configuration, folder: RunFolder, on_change: OnChange) -> bool:
    """Return whether a run is to be retrained because it was trained by other code than is here now.

    Raises: ConfigError if it was, and nobody said what becomes of it.
    """
    if not (folder.is_finished or folder.is_interrupted):
        return False
    with contextlib.suppress(DamagedFile):  # which a resume reports
        facts = folder.read_environment()
        if (changes := code_changes(facts, config)) is None:
            LOG.info("%s: its code is not recorded, so nobody can tell whether it has changed since", folder.path)
        elif changes and on_change is None:
            raise ConfigError(refusal(folder, changes, facts, config))
        elif changes and on_change == "keep" and rank_zero_only.rank == 0:
            accept(folder, changes)
        if on_change != "retrain" and (kept := code_changes(facts, config, accepted=False)):
            LOG.warning("%s: kept, though code has changed since it was trained: %s", folder.path, ", ".join(kept))
        return bool(changes) and on_change == "retrain"
    return False


def _finished(folder: RunFolder) -> dict[str, Any] | None:
    """Return the summary of a finished run. What the test can make again may be damaged or gone."""
    again = "%s is %s: the selected weights are tested again"
    try:
        summary = folder.finished_summary()
    except DamagedFile:
        LOG.warning(again, folder.summary, "damaged")
        return None
    if summary is not None and not folder.predictions.is_file() and folder.best.is_file() and folder.last.is_file():
        LOG.warning(again, folder.predictions, "missing")
        return None
    return summary


def _train(
    prepared: Preparation,
    trainer: pl.Trainer,
    record: RunRecord,
    save_points: SavePoints,
    trackers: list[Tracker],
    family: Family | None,
) -> dict[str, Any]:
    """Train and test, and return the summary; what is opened is put into `trackers`."""
    config, folder = prepared.config, record.folder
    resume = choose_checkpoint(folder.last, folder.previous, prepared.classifier)
    save_points.last_is_sound = resume.path == folder.last
    if resume.complaint:
        LOG.warning("%s", resume.complaint)
    if trainer.is_global_zero:
        nearest = None if folder.config.is_file() else describe_nearest(config, folder)
        if nearest:
            LOG.info("%s", nearest)
        remove_leftovers(folder.path)
        write_atomically(folder.config, config.to_yaml())
        folder.write_classes(prepared.data.data.kind, prepared.data.data.classes)
        facts = environment(_device_name(trainer), trainer.precision, prepared.data.fingerprint)
        facts |= {"code": code_of(config), "resolved": resolved_parameters(config), "weights": weights_here(config)}
        _record_environment(folder, facts, going_on=resume.path is not None)
        report.write_label_noise(prepared.data, folder)
        report.draw_augmentations(prepared.data, folder.picture("augmentations"))
        trackers += open_trackers(config, folder, report.flat_parameters(prepared), facts, family)
    LOG.info("%s", report.describe(prepared))
    LOG.info("run folder: %s%s", folder.path, f" (going on {resume.position})" if resume.path else "")
    if resume.position is not None and 0 < resume.position.epoch < config.num_epochs:
        warn_of_selected(folder)
    if config.compile:
        prepared.classifier.compile()
    keep_freed_memory()
    try:
        trainer.fit(prepared.classifier, prepared.data, ckpt_path=resume.path, weights_only=True)
        return finish(prepared, trainer, record)
    except Interrupted:
        raise  # ahead of the compiler's errors, whose import takes a while
    except ConfigError as error:
        raise config.located(error) from None
    except _compiler_errors() as error:
        raise config.error({("compile",): f"this machine cannot compile the network: {first_line(error)}"}) from None
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        place = trainer.strategy.root_device, trainer.precision, *_whereabouts(trainer, save_points)
        raise out_of_memory(error, config, *place) from None


def _record_environment(folder: RunFolder, facts: dict[str, Any], going_on: bool) -> None:
    """Write what the result depends on; when a run goes on, also what has changed since it began, and say so."""
    known = _known_environment(folder) if going_on else {}
    if known:
        facts |= {"code": continued_code(known, facts["code"]), "code_accepted": known.get("code_accepted", [])}
    changes = changed_facts(known, facts) if known else {}
    if changes:
        told = ", ".join(f"{name} {before} -> {now}" for name, (before, now) in changes.items())
        LOG.warning("this run began elsewhere (%s): its result need not be that of a run without interruption", told)
    parts = [*known.get("continued", []), *([{"started": facts["started"], "changes": changes}] if known else [])]
    write_json(folder.environment, {**facts, "started": known.get("started", facts["started"]), "continued": parts})


def _known_environment(folder: RunFolder) -> dict[str, Any]:
    try:
        known = folder.read_environment()
        if isinstance(known.get("packages"), dict) or not folder.environment.is_file():
            return known
    except DamagedFile:
        pass
    text = "%s is damaged and written anew: what has changed since this run began is not known"
    LOG.warning(text, folder.environment)
    return {}


def _whereabouts(trainer: pl.Trainer, save_points: SavePoints) -> tuple[str, str]:
    """Return where a run was when it was interrupted, and what giving the command again will do."""
    where = {None: "before training", "fit": f"in epoch {trainer.current_epoch + 1}"}.get(
        trainer.state.fn, "in the test"
    )
    if save_points.folder.is_finished:
        return "after its test", f"{save_points.command} does the rest, such as telling the trackers"
    if save_points.saved is None:
        return where, f"{save_points.command} goes on from the last checkpoint"
    if save_points.saved == (0, 0):
        return where, f"{save_points.command} starts it again: it was not saved yet"
    return where, f"{save_points.command} goes on {save_points.saved}"


def _remedy(error: CannotWrite) -> str:
    if error.errno == errno.EFBIG:
        return "raise the limit on the size of a file (ulimit -f)"
    if error.errno == errno.EISDIR:
        return "move the folder of that name away"
    if error.errno in FULL:
        return "free some room there, such as runs in the output folder that nobody needs or the cache of images"
    return "make that folder one that can be written to"


def _compiler_errors() -> tuple[type[Exception], ...]:
    """Return what torch.compile raises; its modules take a second to import, so only when something was raised."""
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor.exc import CppCompileError

    return TorchDynamoException, CppCompileError


def build_trainer(
    config: Configuration, folder: RunFolder, trackers: list[Tracker], others: Sequence[Callback] = ()
) -> tuple[pl.Trainer, RunRecord, SavePoints]:
    """Build Lightning's Trainer for a configuration, and of its callbacks the two that know of the run."""
    average = None if config.ema_decay is None else WeightAverage(config.ema_decay)
    keep = range(config.num_epochs) if config.keep_epochs == "all" else config.keep_epochs or ()
    record = RunRecord(folder, trackers, config.monitor, average, keep)
    save_points = SavePoints(folder, config.checkpoint_every_steps)
    callbacks: list[Callback] = [StepSeed(config.seed), FiniteLoss(), *([average] if average else [])]
    callbacks += [record, save_points, *others]
    callbacks.append(TerminalProgress() if sys.stderr.isatty() else EpochLines())
    if config.early_stopping_patience is not None:
        mode = "min" if lower_is_better(config.monitor) else "max"
        patience = config.early_stopping_patience
        options = {"mode": mode, "check_finite": False, "check_on_train_epoch_end": True}  # NaN is no improvement
        callbacks.append(EarlyStopping(config.monitor, patience=patience, **options))
    trainer = build_lightning(
        config,
        max_epochs=config.num_epochs,
        gradient_clip_val=config.gradient_clip_norm,
        accumulate_grad_batches=config.accumulate_batches,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        profiler=NoProfiler(),
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_progress_bar=sys.stderr.isatty(),
        log_every_n_steps=1,
        default_root_dir=folder.path,
    )
    trainer.fit_loop.epoch_loop = StepLoop(trainer)
    return trainer, record, save_points


def _choose_folder(config: Configuration, data_fingerprint: str, fresh: bool) -> RunFolder:
    """Choose once: the processes of further devices, which run the same command, take the first one's choice."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    if "LOCAL_RANK" in os.environ and chosen:
        return RunFolder(Path(chosen))
    folder = run_folder(config, data_fingerprint, fresh)
    os.environ[FOLDER_VARIABLE] = str(folder.path)
    return folder


def _device_name(trainer: pl.Trainer) -> str:
    device = trainer.strategy.root_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return f"{trainer.world_size} x {name}" if trainer.world_size > 1 else name

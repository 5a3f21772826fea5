"""The story of a run: one configuration, trained, tested once, recorded."""

from __future__ import annotations

import contextlib
import errno
import logging
import signal
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities import rank_zero_only

from configuration.schema import Configuration
from runs import lock as run_lock
from runs.checkpoints import choose_checkpoint
from runs.code import OnChange, code_changes, code_of, in_words
from runs.environment import environment
from runs.folder import RunFolder, run_folder
from runs.identity import fingerprint, weights_here
from runs.parameters import resolved_parameters
from tracking import know_the_end
from tracking.base import Tracker
from tracking.family import Family
from training import report
from training.building import Preparation, prepare
from training.callbacks import RunRecord
from training.checks import NOTHING, Sequel, check_writable, warn_before_training
from training.finishing import check_selected, finish
from training.memory import is_out_of_memory, keep_freed_memory, out_of_memory
from training.neighbours import describe_nearest
from training.rehearsal import rehearse
from training.resumption import choose_folder, finished_summary, is_child, must_retrain, record_environment
from training.save_points import SavePoints
from training.tracking import catch_up, close_trackers, open_trackers
from training.trainer import build_trainer
from utils.files import FULL, CannotWrite, DamagedFile, remove_leftovers, write_atomically
from utils.own_code import write_copies
from utils.signals import Interrupted, command_to_go_on, raise_on_signals
from utils.types import ConfigError, TrainingError, first_line

LOG = logging.getLogger("lossbench")
COMPILER = ("torch._dynamo", "torch._inductor")
"""Modules of the errors of torch.compile, all RuntimeErrors; none of them has a public name."""


REMEDIES = {
    **dict.fromkeys(FULL, "free some space there, for example old runs in the output folder or the image cache"),
    errno.EFBIG: "raise the limit on the size of a file (ulimit -f)",
    errno.EISDIR: "move the folder of that name away",
}
"""Of a file that cannot be written, by the system's error."""


class GivenUp(Exception):
    """Raised by a callback to end a run; trackers show it as stopped, not as failed."""


def check(config: Configuration, sequel: Sequel = NOTHING) -> str:
    """Return what a run would do, after checking all that can be checked without training."""
    prepared = prepare(config, sequel)
    warn_before_training(config, prepared.data, prepared.classifier.network)
    prepared.data.check()
    folder = run_folder(config, prepared.data.fingerprint)
    if not folder.is_finished:
        rehearse(prepared)
        check_writable(config)
    build_trainer(config, folder, [])  # checks accelerator, devices and strategy
    state = "finished" if folder.is_finished else "interrupted" if folder.is_interrupted else "new"
    with contextlib.suppress(DamagedFile):
        if state != "new" and (changes := code_changes(folder.read_environment(), config)):
            state += f"; its code has changed since: {in_words(changes)}"
    if run_lock.is_locked(folder):
        state = "another process trains it"
    nearest = describe_nearest(config, folder) if state == "new" else None
    lines = report.describe(prepared), f"run folder: {folder.path} ({state})", nearest
    return "\n".join(filter(None, lines))


@raise_on_signals()
def train(
    config: Configuration,
    fresh: bool = False,
    family: Family | None = None,
    callbacks: Sequence[Callback] = (),
    changed_code: OnChange = None,
    sequel: Sequel = NOTHING,
) -> tuple[RunFolder, dict[str, Any]]:
    """Train, test and record one run; resume it if it was interrupted, leave it if it is finished.

    Args:
        fresh: retrain in a folder beside the one that exists.
        family: the sweep that trackers show it in; no part of what the run is.
        callbacks: further ones, which must not change the result.
        changed_code: what becomes of a run whose code has changed since it was trained.
        sequel: work that follows the test.

    Returns: the run's folder and its summary.
    Raises: ConfigError, DataError; Busy if another process trains it; TrainingError if the loss is not finite or the
        selected checkpoint is damaged; Interrupted after a signal.
    """
    prepared = prepare(config, sequel)
    warn_before_training(config, prepared.data, prepared.classifier.network)
    command = command_to_go_on(fresh)
    of_another = is_child()
    folder = choose_folder(config, prepared.data.fingerprint, fresh)
    if not of_another and must_retrain(config, folder, changed_code):
        fresh = True
        folder = choose_folder(config, prepared.data.fingerprint, fresh)
    if folder.path.is_dir() and fingerprint(config, prepared.data.fingerprint) not in folder.path.name:
        LOG.info("the same run lies in %s", folder.path)
    if (summary := finished_summary(folder)) is not None:
        LOG.info("this run is finished; --fresh retrains it\n%s", report.table(summary, config, folder))
        if not know_the_end(config, folder):
            catch_up(config, folder, report.flat_parameters(prepared), summary, family)
        sequel.run(config, folder)
        folder.discard_checkpoints(config.keep_checkpoints)
        return folder, summary
    rehearse(prepared)
    if rank_zero_only.rank == 0 and config.num_nodes == 1 and run_lock.is_locked(folder):  # the lock comes later
        raise run_lock.Busy(folder)
    check_writable(config)
    prepared.data.keep_images()
    prepared.data.check()
    if fresh:  # another process may have made that folder while the images were read
        folder = choose_folder(config, prepared.data.fingerprint, fresh)
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
        remedy = REMEDIES.get(error.errno or 0, "make that folder writable")
        raise TrainingError(f"{error}; {remedy}; then {_whereabouts(trainer, save_points)[1]}") from None
    finally:
        close_trackers(trackers, folder, status)
        if lock is not None:
            lock.release()
        if status == "interrupted" and trainer.strategy.launcher is not None:
            trainer.strategy.launcher.kill(signal.SIGTERM)  # last: Lightning ends a process whose children ended
    return folder, summary


def _train(
    prepared: Preparation,
    trainer: pl.Trainer,
    record: RunRecord,
    save_points: SavePoints,
    trackers: list[Tracker],
    family: Family | None,
) -> dict[str, Any]:
    """Train and test, and return the summary; add the trackers that are opened to `trackers`."""
    config, folder = prepared.config, record.folder
    resume = choose_checkpoint(folder.last, folder.previous, prepared.classifier)
    save_points.last_is_sound = resume.path == folder.last
    if resume.complaint:
        LOG.warning("%s", resume.complaint)
    if trainer.is_global_zero:
        if not folder.config.is_file() and (nearest := describe_nearest(config, folder)):
            LOG.info("%s", nearest)
        remove_leftovers(folder.path)
        write_copies(config.to_yaml(), folder.path)
        write_atomically(folder.config, config.to_yaml())
        folder.write_classes(prepared.data.data.kind, prepared.data.data.classes)
        root = trainer.strategy.root_device
        device = torch.cuda.get_device_name(root) if root.type == "cuda" else root.type
        device = f"{trainer.world_size} x {device}" if trainer.world_size > 1 else device
        facts = environment(device, trainer.precision, prepared.data.fingerprint)
        facts |= {"code": code_of(config), "resolved": resolved_parameters(config), "weights": weights_here(config)}
        record_environment(folder, facts, resumed=resume.path is not None)
        report.write_label_noise(prepared.data, folder)
        report.draw_augmentations(prepared.data, folder.picture("augmentations"))
        trackers += open_trackers(config, folder, report.flat_parameters(prepared), facts, family)
    LOG.info("%s", report.describe(prepared))
    LOG.info("run folder: %s%s", folder.path, f" (resuming {resume.position})" if resume.path else "")
    if resume.position is not None and 0 < resume.position.epoch < config.num_epochs:
        check_selected(folder, prepared.classifier)
    if config.compile:
        prepared.classifier.compile()
    keep_freed_memory()
    try:
        trainer.fit(prepared.classifier, prepared.data, ckpt_path=resume.path, weights_only=True)
        return finish(prepared, trainer, record)
    except ConfigError as error:
        raise config.located(error) from None
    except (MemoryError, RuntimeError) as error:
        if type(error).__module__.startswith(COMPILER):
            text = f"this machine cannot compile the network: {first_line(error)}"
            raise config.error({("compile",): text}) from None
        if not is_out_of_memory(error):
            raise
        place = trainer.strategy.root_device, trainer.precision, *_whereabouts(trainer, save_points)
        raise out_of_memory(error, config, *place) from None


def _whereabouts(trainer: pl.Trainer, save_points: SavePoints) -> tuple[str, str]:
    """Return where a run was interrupted, and what the same command will do."""
    places = {None: "before training", "fit": f"in epoch {trainer.current_epoch + 1}"}
    where = places.get(trainer.state.fn, "in the test")
    if save_points.folder.is_finished:
        return "after its test", f"{save_points.command} does the rest, such as updating the trackers"
    if save_points.saved is None:
        return where, f"{save_points.command} resumes from the last checkpoint"
    if save_points.saved == (0, 0):
        return where, f"{save_points.command} starts it again, as nothing was saved yet"
    return where, f"{save_points.command} resumes {save_points.saved}"

"""How a run ends: the selected weights are tested, once, and what the run leaves is written, the summary last."""

from __future__ import annotations

import logging
import math
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytorch_lightning as pl
import torch

from models.classifier import Classifier
from runs.checkpoints import DamagedCheckpoint, load_checkpoint, load_weights_of, refuse_other_tensors, tallied
from runs.folder import RunFolder
from runs.outcomes import OUTCOMES
from runs.records import write_json
from training import report
from training.building import Preparation
from training.callbacks import RunRecord, remedy_of_nan
from training.checks import warn_after_test
from training.tracking import report_end
from utils.files import write_atomically
from utils.types import TrainingError

LOG = logging.getLogger("lossbench")
REMEDY = "restore a copy of it and repeat the command, or retrain with --fresh"


def finish(prepared: Preparation, trainer: pl.Trainer, record: RunRecord) -> dict[str, Any]:
    """Test the selected checkpoint once and write what the run leaves; the summary last.

    Raises: TrainingError if the checkpoint is damaged, or no epoch has left weights whose validation loss is a number.
    """
    config, folder, classifier = prepared.config, record.folder, prepared.classifier
    best = _load_best(record)
    load_weights_of(classifier, best["state_dict"], folder.best)
    if any(math.isnan(row["valid/loss"]) for row in record.rows if row["epoch"] == best["epoch"]):
        text = f"the loss of the validation images is NaN after epoch {best['epoch'] + 1}, which is selected"
        raise TrainingError(f"{text}.\n{remedy_of_nan(trainer)}")
    trainer.test(classifier, prepared.data, verbose=False)
    outputs = _gather(record.test_outputs)
    summary = report.summarize(prepared, record)
    if trainer.is_global_zero:
        loss, classes = classifier.loss.cpu(), prepared.data.data.classes
        outcome = OUTCOMES[prepared.data.data.kind]
        columns = outcome.columns(loss, outputs, classes)
        table = pa.table({"index": pa.array(outputs["index"].numpy()), **columns})  # a row a test image
        write_atomically(folder.predictions, lambda file: pq.write_table(table, file, compression="zstd"))
        outcome.write_further(classifier.judge_tally, prepared.data.data, folder)
        report.draw_results(record, outputs, prepared.data.data)
        write_json(folder.summary, summary)
        report_end(record.trackers, record.rows[-1], summary, folder)
    LOG.info("%s", report.table(summary, config, folder))
    if prepared.data.data.kind == "image":
        warn_after_test(summary["test/accuracy"], outputs["target"].numpy())
    return summary


def check_selected(folder: RunFolder, classifier: Classifier) -> None:
    """Say at the start, not days later, that the weights which were selected so far cannot be tested at the end.

    Raises: ConfigError if their tensors are not the network's and the loss's.
    """
    try:
        selected = load_checkpoint(folder.best, "state_dict", mmap=True)
        refuse_other_tensors(classifier, selected["state_dict"], folder.best, optional=tallied(classifier))
    except DamagedCheckpoint as damage:
        LOG.warning("%s; it holds the weights to test unless a later epoch is better: %s", damage, REMEDY)


def _load_best(record: RunRecord) -> dict[str, Any]:
    """Load the selected checkpoint.

    Raises: TrainingError if it is damaged or, after a resume from an earlier epoch, not the selected epoch's.
    """
    try:
        best = load_checkpoint(record.folder.best, "state_dict", "epoch")
    except DamagedCheckpoint as damage:
        raise TrainingError(f"{damage}; it holds the weights to test: {REMEDY}") from None
    if best["epoch"] != record.best_epoch:
        epochs = f"is of epoch {best['epoch'] + 1}, selected is epoch {record.best_epoch + 1}"
        raise TrainingError(f"{record.folder.best} {epochs}: {REMEDY}")
    return best


def _gather(batches: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Join the test's batches, of all ranks, in the order of the data set."""
    mine = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
    parts = [mine]
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        parts = [mine] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(parts, mine)
    whole = {name: torch.cat([part[name] for part in parts]) for name in mine}
    order = whole["index"].argsort()
    return {name: tensor[order] for name, tensor in whole.items()}

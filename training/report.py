"""Reports of a run: its description, its summary, its figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from configuration.schema import Configuration
from configuration.settings import noisy_labels_in_words
from datasets import mixing_in_words, params_of_every_set
from datasets.base import DataSet
from datasets.data_module import DataModule
from datasets.sequences import label_in_words
from metrics import ABSOLUTE_METRICS
from models import resolve_architecture
from runs.environment import runtime
from runs.figures import plot_augmentations, plot_curves
from runs.folder import RunFolder
from runs.identity import fingerprint
from runs.outcomes import OUTCOMES
from runs.records import write_csv
from tracking import dashboard_command
from tracking.base import Scalar, as_scalar
from training.callbacks import RunRecord
from training.parameter_groups import group_table
from utils.own_code import files_in
from utils.own_names import as_written
from utils.secrets import without_password
from utils.types import first_few

if TYPE_CHECKING:
    from training.building import Preparation

SHOWN_CLASSES = 20
"""Classes whose number of training images is shown."""


def describe(prepared: Preparation) -> str:
    """Return the data's sizes, the network's parts with their parameters, the loss and the optimizer."""
    config, data, network = prepared.config, prepared.data, prepared.classifier.network
    test, held_out = len(data.data.test), "the test part" if config.select_on == "test" else "held out of training"
    height, width = data.image_size
    shape, params = f"{config.in_channels} x {height} x {width}", data.config.normalization
    normalized = "not normalised: pixels from 0 to 1"
    if params is not None:
        normalized = f"normalised by mean {params.mean} and std {params.std}"
    schedule = "constant learning rate"
    if config.lr_scheduler is not None:
        schedule = f"{config.lr_scheduler}{_params(config.lr_scheduler_params)}"
    lines = [
        f"data      {config.dataset}: {len(data.train_rows):,} training, {len(data.valid_rows):,} validation "
        f"({held_out}), {test:,} test images; {len(data.data.classes)} classes; {shape}",
        f"          {normalized}",
        *(f"          {line}" for line in (*_class_counts(prepared), *_corruptions(prepared))),
        f"network   {resolve_architecture(config.architecture)}: {prepared.num_parameters:,} parameters, "
        f"{prepared.multiply_adds / 1e6:,.1f} M multiply-adds an image",
        *_parts(network),
        f"loss      {config.loss_function}{_params(config.loss_params)}",
        f"training  {config.optimizer}{_params(config.optimizer_params)}, "
        f"{''.join(f'{group} on its own, ' for group in config.optimizer_groups)}{schedule}, "
        f"{config.num_epochs} epoch{'s'[: config.num_epochs > 1]} of batches of {config.batch_size}, "
        f"seed {config.seed}",
        *(f"          {line}" for line in group_table(prepared)),
    ]
    lines += [f"own code  {names}" for names in files_in(config.to_yaml())]
    return as_written("\n".join(lines))


def _class_counts(prepared: Preparation) -> list[str]:
    """Return how many images of each class are trained on, in a line; none of texts."""
    counts = prepared.data.class_counts
    if counts is None:
        return []
    listed = first_few((f"{count:,}" for count in counts), SHOWN_CLASSES)
    imbalance = params_of_every_set(prepared.config).get("imbalance")
    how = f" (imbalance: {imbalance:g})" if imbalance else ""
    spread = f"{min(counts):,} to {max(counts):,}" if min(counts) < max(counts) else f"{counts[0]:,}"
    return [f"{spread} training images a class{how}: {listed}"]


def _corruptions(prepared: Preparation) -> list[str]:
    """Return a line for each thing that training does to labels."""
    config, data = prepared.config, prepared.data
    wrong = f"{len(data.wrong_rows):,} of {len(data.train_rows):,} training labels"
    source = noisy_labels_in_words(config.noisy_labels, config.noisy_labels_name)
    lines = {
        f"{wrong} replaced by another class (label_noise: {config.label_noise})": config.label_noise,
        f"{wrong} wrong (noisy_labels: {source})": config.noisy_labels,
        f"batches mixed by {mixing_in_words(config.mixing)}{_params(config.mixing_params)}": config.mixing,
    }
    return [line for line, happens in lines.items() if happens]


def _parts(network: Any, limit: int = 12) -> list[str]:
    rows = [
        (name, type(part).__name__, sum(p.numel() for p in part.parameters()))
        for name, part in network.named_children()
    ]
    lines = [f"          {name:<20} {kind:<24} {count:>12,}" for name, kind, count in rows[:limit]]
    return lines + ([f"          and {len(rows) - limit} more"] if len(rows) > limit else [])


def _params(params: dict[str, Any]) -> str:
    return f"({', '.join(f'{name}={value}' for name, value in params.items())})" if params else ""


def flat_parameters(prepared: Preparation) -> dict[str, Scalar]:
    """Return the configuration, one level deep, and what follows from it: the columns of a dashboard."""
    config = prepared.config
    flat: dict[str, Scalar] = {}
    for key, value in config.values(without={"neptune_api_token", "notes", "tags"}).items():
        inner = {f"{key}.{name}": each for name, each in value.items()} if isinstance(value, dict) else {key: value}
        flat |= {name: as_scalar(each) for name, each in inner.items()}
    classifier = prepared.classifier.network.get_classifier()
    return flat | {
        "runtime": runtime(),
        "lr": as_scalar(config.optimizer_params.get("lr")),
        "weight_decay": as_scalar(config.optimizer_params.get("weight_decay")),
        "dropout": None if "dropout" in prepared.not_applied else config.dropout,
        "output_channels": None if "output_channels" in prepared.not_applied else config.output_channels,
        "last_layer_size": getattr(classifier, "in_features", None),
        "num_parameters": prepared.num_parameters,
        "multiply_adds": prepared.multiply_adds,
    }


def summarize(prepared: Preparation, record: RunRecord) -> dict[str, Any]:
    """Return the run's final numbers; every metric is of the selected checkpoint but those that begin with best/."""
    config, rows = prepared.config, record.rows
    selected = next(row for row in rows if row["epoch"] == record.best_epoch)
    tested = {name: value for name, value in prepared.classifier.metrics.items() if name.startswith("test/")}
    metrics = {name: value for name, value in selected.items() if "/" in name}
    bests = {
        f"best/{part}_{name}": pick(row[f"{part}/{name}"] for row in rows)
        for part in ("train", "valid")
        for name, pick in (("loss", min), ("accuracy", max))
    }
    return {
        **tested,
        **metrics,
        **bests,
        "selected_epoch": record.best_epoch,
        "selected_on": config.select_on,
        "selected_by": config.monitor,
        "epochs_run": len(rows),
        "num_parameters": prepared.num_parameters,
        "multiply_adds": prepared.multiply_adds,
        "seconds": round(sum(row["seconds"] for row in rows), 3),
        "images_per_second": round(record.training_images / max(record.training_seconds, 1e-9), 1),
        "waiting_share": round(record.waiting_seconds / max(record.training_seconds, 1e-9), 4),
        "dataset": config.dataset,
        "architecture": resolve_architecture(config.architecture),
        "loss_function": config.loss_function,
        "seed": config.seed,
        "fingerprint": fingerprint(config, prepared.data.fingerprint),
        "label_noise": config.label_noise,
        "noisy_labels": noisy_labels_in_words(config.noisy_labels, config.noisy_labels_name),
        "wrong_labels": len(prepared.data.wrong_rows),
        "mixing": mixing_in_words(config.mixing),
        "not_applied": list(prepared.not_applied),
        "notes": list(prepared.data.data.notes),
    }


HEADLINES = {
    "mean_iou": "mean IoU",
    "map": "box mAP",
    "map_50": "box AP50",
    "mask_map": "mask mAP",
    "accuracy": "accuracy",
    "one_off_accuracy": "one-off accuracy",
    "top5_accuracy": "top-5 accuracy",
    "f1": "macro F1",
    "character_error_rate": "character errors",
    "loss": "loss",
    "cross_entropy": "cross entropy",
}
"""Metrics that the table of a run shows, where the data's kind has them."""


def table(summary: dict[str, Any], config: Configuration, folder: RunFolder) -> str:
    """Return the summary as a person reads it."""
    split = "the TEST part itself (select_on: test)" if summary["selected_on"] == "test" else "validation"
    rows = {}
    for name, title in HEADLINES.items():
        if (value := summary.get(f"test/{name}")) is not None:
            rows[f"test {title}"] = f"{value:.4f}" if name in ABSOLUTE_METRICS else f"{100 * value:.2f} %"
        if name == "accuracy":
            rows["test accuracy"] += "   (1 seed)"
            if summary["test/rejected"] > 0:
                rows["test rejected"] = f"{100 * summary['test/rejected']:.2f} %"
    if summary["selected_on"] == "valid":
        rows["validation accuracy"] = f"{100 * summary['valid/accuracy']:.2f} %"
    epochs = f"epoch {summary['selected_epoch'] + 1} of {summary['epochs_run']}"
    by = config.monitor if config.monitor.startswith("train/") else f"{config.monitor} on {split}"
    rows["selected"] = f"{epochs}, by {by}"
    speed = f"{summary['seconds']:.1f} s, {summary['images_per_second']:,.0f} images/s"
    rows["training"] = f"{speed}, {100 * summary['waiting_share']:.0f} % of it waiting for images"
    lines = [f"  {name:<21} {value}" for name, value in rows.items()]
    rule = "-" * max(map(len, lines))
    ends = [f"run folder  {folder.path}"]
    if "mlflow" in config.trackers:
        ends.append(f"dashboard   {without_password(config.mlflow_uri) or dashboard_command(config.output_path)}")
    return "\n".join(["", rule, *lines, rule, *ends])


def write_label_noise(data: DataModule, folder: RunFolder) -> None:
    """Write which images are trained on with a wrong label, if any are: their row, their true label and that one."""
    true, trained = data.data.train.labels, data.train_table.labels
    rows = data.wrong_rows.tolist()
    if rows:
        named = [{"index": row, "true_label": true[row], "trained_label": trained[row]} for row in rows]
        write_csv(folder.label_noise, named)


def draw_augmentations(data: DataModule, path: Path, num_samples: int = 6, num_views: int = 6) -> None:
    """Draw what the network sees in its first epochs: a row an image, before it is resized and then augmented."""
    stream = data.train_stream
    chosen = np.linspace(0, len(stream) - 1, min(num_samples, len(stream))).astype(int)
    rows = [int(stream.rows[position]) for position in chosen]
    views = [[stream.picture((epoch, int(position))) for epoch in range(num_views)] for position in chosen]
    labels = [_label(data, row) for row in rows]
    plot_augmentations([stream.unresized(int(position)) for position in chosen], views, labels, path)


def _label(data: DataModule, row: int) -> str:
    """Return the class or text that a training image is trained on as and, where that is wrong, which it is.

    One with an annotation has its file's name.
    """
    if data.data.kind not in ("image", "sequence"):
        return Path(data.train_table.name(row)).stem
    trained, true = (label_in_words(table, row, data.data.classes) for table in (data.train_table, data.data.train))
    return trained if trained == true else f"{trained} (noise; truly {true})"


def draw_results(record: RunRecord, outputs: dict[str, Tensor], data: DataSet) -> None:
    """Draw the curves of the run and the confusions of its test."""
    folder = record.folder
    plot_curves(record.rows, folder.picture("curves"), folder.path.name, record.best_epoch)
    OUTCOMES[data.kind].draw_mistakes(outputs, data.classes, folder)

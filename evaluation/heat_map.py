"""Class probabilities of several runs on the same images, drawn as a heat map for each image."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.patches import Rectangle

from datasets.base import ImageTable
from datasets.preprocessing import Preprocessing
from datasets.readers.images import name_and_size
from datasets.stream.image_stream import ImageStream
from evaluation.findings import Findings
from evaluation.images import sample
from evaluation.subject import Subject, open_subject
from runs.figures import AS_IT_IS, VALID, font_families, new_figure, to_uint8, write_figure
from utils.types import ConfigError, shorten

NUMBERS = {
    "p(label), mean: *": (
        "number",
        "",
        "mean probability that this run gives to the label, over the shown images only",
    ),
}
OF_EACH = 4
MOST_IMAGES = 40
ALL_UP_TO = 20  # classes; of more, each image shows the most likely ones
MOST_CLASSES = 12
NAME = 16  # characters


def heat_map(
    subject: Subject, *, images: list[int] | None = None, runs: list[str] | None = None, seed: int = 0
) -> Findings:
    """Draw the probabilities that this run and others give to the classes of some images.

    Probabilities are by each run's own loss; every run sees the images in its own preprocessing.

    Args:
        images: rows of the part, from 0; null for a few right and a few wrong predictions of this run.
        runs: folders of further runs with the same classes and test images.
        seed: of the sample.

    Returns: no number for comparisons, since the images are chosen; details hold all probabilities.
    """
    rows = _rows(subject, images, seed)
    others = [_open(subject, Path(run).expanduser(), rows) for run in runs or []]
    subjects = {subject.folder.path.name: subject} | {other.folder.path.name: other for other in others}
    table = subject.part.stream.table
    streams = [ImageStream(table, rows, Preprocessing.of(run.config, training=False)) for run in subjects.values()]
    answers = [run.ask(stream, "images") for run, stream in zip(subjects.values(), streams, strict=True)]
    labels = table.labels[rows]
    probabilities = np.stack([run.log_probabilities.exp().numpy() for run in answers])  # [R, N, K]
    predictions = np.stack([run.prediction.numpy() for run in answers])
    findings = Findings("heat_map")
    if images is None:
        right = int((predictions[0] == labels).sum())
        findings.notes.append(
            f"the images are a random sample of {right} right and {len(rows) - right} wrong predictions of this run; "
            "their mean is no estimate for all images"
        )
    names = _short_names(subjects)
    of_label = probabilities[:, np.arange(len(rows)), labels].mean(axis=1)  # [R]
    for name, mean in zip(names, of_label, strict=True):
        findings.add(f"p(label), mean: {name}", mean, compared=False)
    findings.details = {
        "runs": list(subjects),
        "images": rows.tolist(),
        "labels": labels.tolist(),
        "probabilities": np.round(probabilities.astype(np.float64), 6).tolist(),
    }
    stream = streams[0]
    shown = [to_uint8(stream.preprocessing.denormalize(stream[number].image[0])) for number in range(len(rows))]
    lines = [
        Line(image, int(row), int(label), probabilities[:, number], predictions[:, number])
        for number, (image, row, label) in enumerate(zip(shown, rows, labels, strict=True))
    ]
    path = subject.output / "heat_map.png"
    plot_lines(lines, names, subject.classes, path)
    findings.add_figure(path, "Probability of each class (column) by each run (row); the label is framed")
    conventions = [
        name for name, run in zip(names, subjects.values(), strict=True) if not run.classifier.loss.calibrated
    ]
    if conventions:
        findings.notes.append(f"the probabilities of {', '.join(conventions)} are a convention, not a posterior")
    return findings


def _rows(subject: Subject, images: list[int] | None, seed: int) -> np.ndarray:
    """Return rows of the part's table. Raises: ConfigError for unknown rows, or too many."""
    stream = subject.part.stream
    if images is None:
        groups = [np.flatnonzero(subject.answers.right.numpy() == right) for right in (True, False)]
        positions = [group[sample(len(group), OF_EACH, seed, "heat_map")] for group in groups]
        return subject.answers.index.numpy()[np.concatenate(positions)]
    rows = set(stream.rows.tolist())
    if unknown := [row for row in images if row not in rows]:
        allowed = f"rows of the {subject.part.name} images, {min(rows)} to {max(rows)}"
        raise ConfigError(f"evaluate_params.heat_map.images: must be {allowed}, got {unknown}")
    if not 1 <= len(images) <= MOST_IMAGES:
        raise ConfigError(f"evaluate_params.heat_map.images: must be 1 to {MOST_IMAGES} rows, got {len(images)}")
    return np.asarray(images)


def _open(subject: Subject, path: Path, rows: np.ndarray) -> Subject:
    """Open another run. Raises: ConfigError unless it has the same classes and was not trained on these images."""
    key = "evaluate_params.heat_map.runs"
    if not path.is_dir():
        raise ConfigError(f"{key}: {path}: no such folder")
    other = open_subject(path, "valid" if subject.part.name == "valid" else "test")
    if other.classes != subject.classes:
        number, missing = len(other.classes), sorted({*subject.classes} - {*other.classes})
        detail = f", without {', '.join(missing[:5])}" if missing else ", in another order"
        raise ConfigError(f"{key}: {path}: has other classes: {number}{detail}")
    if subject.part.name == "test" and not same_images(subject.part.stream.table, other.part.stream.table):
        raise ConfigError(f"{key}: {path}: has other test images, of {other.config.dataset}")
    if subject.part.name == "valid" and not {*rows.tolist()} <= {*other.part.stream.rows.tolist()}:
        raise ConfigError(f"{key}: {path}: was trained on some of these images; its validation images differ")
    return other


def same_images(one: ImageTable, other: ImageTable) -> bool:
    """Tell whether two tables hold the same images with the same labels in the same order."""
    if len(one) != len(other) or not np.array_equal(one.labels, other.labels):
        return False
    if isinstance(one.images, np.ndarray) or isinstance(other.images, np.ndarray):
        return np.array_equal(np.asarray(one.images), np.asarray(other.images))
    return all(name_and_size(a) == name_and_size(b) for a, b in zip(one.images, other.images, strict=True))


def _short_names(subjects: dict[str, Subject]) -> list[str]:
    """Return the shortest distinct names of the runs: loss, architecture, seed, or else their folders."""
    configs = [run.config for run in subjects.values()]
    candidates = (
        [config.loss_function for config in configs],
        [f"{config.loss_function}, {config.architecture}" for config in configs],
        [f"{config.loss_function}, {config.architecture}, seed {config.seed}" for config in configs],
    )
    ends = [name if len(name) <= 32 else f"...{name[-32:]}" for name in subjects]  # seed and fingerprint
    return next((names for names in (*candidates, ends) if len({*names}) == len(names)), list(subjects))


class Line(NamedTuple):
    """An image with the answers of R runs. Shapes: image uint8 [H, W, C], probabilities [R, K], predictions [R]."""

    image: np.ndarray
    row: int
    label: int
    probabilities: np.ndarray
    predictions: np.ndarray


def plot_lines(
    lines: Sequence[Line], runs: Sequence[str], classes: Sequence[str], path: str | os.PathLike[str]
) -> None:
    """Draw each image beside a heat map, runs x classes; the label is framed, predictions have a dot."""
    shown = [classes_to_show(line, len(classes)) for line in lines]
    width = max(map(len, shown))
    named_once = len(classes) <= ALL_UP_TO
    height = max(1.15, 0.3 * len(runs) + (0.35 if named_once else 0.95))
    figure = new_figure(3.6 + 0.55 * width, height * len(lines) + 0.9)
    grid = figure.add_gridspec(len(lines), 2, width_ratios=[1.0, 0.42 * width])
    font = {"family": font_families(), **AS_IT_IS}
    mappable = None
    for number, (line, columns) in enumerate(zip(lines, shown, strict=True)):
        thumbnail, axes = figure.add_subplot(grid[number, 0]), figure.add_subplot(grid[number, 1])
        thumbnail.imshow(line.image.squeeze(), cmap="gray", vmin=0, vmax=255)
        thumbnail.set_title(f"{line.row}: {shorten(classes[line.label], NAME)}", fontsize=7.5, pad=2, **font)
        thumbnail.axis("off")
        values = line.probabilities[:, columns]
        mappable = axes.imshow(values, cmap="magma_r", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        axes.set_yticks(range(len(runs)), [shorten(run, 40) for run in runs], fontsize=7)
        names = [shorten(classes[column], NAME) for column in columns]
        slanted = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if max(map(len, names)) > 3 else {}
        if not named_once or number == len(lines) - 1:
            axes.set_xticks(range(len(columns)), names, fontsize=7, **slanted, **font)
        else:
            axes.set_xticks([])
        axes.tick_params(length=0)
        frame = Rectangle((columns.index(line.label) - 0.5, -0.5), 1, len(runs), fill=False, color=VALID, linewidth=1.8)
        axes.add_patch(frame)
        frame.set_clip_on(False)
        for (run, column), value in np.ndenumerate(values):
            predicted = line.predictions[run] == columns[column]
            if value >= 0.01 or predicted:
                look = {"ha": "center", "va": "center", "fontsize": 6.5, "color": "white" if value > 0.5 else "black"}
                axes.text(column, run, f"{100 * value:.0f}{' •' * bool(predicted)}", **look)
    if mappable is not None:
        figure.colorbar(mappable, ax=figure.axes, shrink=min(1.0, 3 / (height * len(lines))), pad=0.01, fraction=0.03)
    write_figure(figure, path)


def classes_to_show(line: Line, num_classes: int) -> list[int]:
    """Return all classes or, of many, the label, the predictions and the most likely ones of any run."""
    if num_classes <= ALL_UP_TO:
        return list(range(num_classes))
    likeliest = np.argsort(-line.probabilities.max(axis=0), kind="stable").tolist()
    first = [line.label, *(int(prediction) for prediction in line.predictions if prediction >= 0)]
    return sorted(list(dict.fromkeys([*first, *likeliest]))[: max(MOST_CLASSES, len(set(first)))])

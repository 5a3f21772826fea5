"""What several runs believe of the same images: the probabilities of the classes as a heat map for each image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from datasets.base import ImageTable
from datasets.preprocessing import Preprocessing
from datasets.readers.images import name_and_size
from datasets.stream.image_stream import ImageStream
from evaluation.choosing import draw
from evaluation.findings import Findings, Picture
from evaluation.heat_map_picture import Believed, plot_beliefs
from evaluation.picture_grids import to_picture
from evaluation.subject import Answers, Subject, open_subject
from utils.types import ConfigError

OF_EACH = 4
MOST_IMAGES = 40


def heat_map(
    subject: Subject, *, images: list[int] | None = None, runs: list[str] | None = None, seed: int = 0
) -> Findings:
    """Draw the probabilities that this run and others give to the classes of some images.

    Each run's are by its own loss; every run sees the images as it was trained to.

    Args:
        images: rows of the part, from 0; null for a few right and a few wrong ones of this run, drawn by the seed.
        runs: folders of further runs of the same classes, tested on the same images.
        seed: of the images.

    Returns: no number for comparisons, since the images are chosen; details hold all probabilities.
    """
    rows = _chosen(subject, images, seed)
    others = [_open(subject, Path(each).expanduser(), rows) for each in runs or []]
    subjects = {subject.folder.path.name: subject} | {other.folder.path.name: other for other in others}
    table = subject.part.stream.table
    answers = {name: ask(each, table, rows) for name, each in subjects.items()}
    labels = table.labels[rows]
    probabilities = np.stack([each.log_probabilities.exp().numpy() for each in answers.values()])  # [R, N, K]
    predictions = np.stack([each.prediction.numpy() for each in answers.values()])
    found = Findings("heat_map")
    if images is None:
        right = int((predictions[0] == labels).sum())
        found.notes.append(
            f"the images are {right} right and {len(rows) - right} wrong ones of this run, drawn by the seed: means "
            f"over these {len(rows)} compare runs on them and say nothing about all images"
        )
    names = _short_names(subjects)
    of_label = probabilities[:, np.arange(len(rows)), labels].mean(axis=1)  # [R]
    for name, each in zip(names, of_label, strict=True):
        found.add(f"p(label), mean: {name}", each, compared=False)
    found.details = {
        "runs": list(subjects),
        "images": rows.tolist(),
        "labels": labels.tolist(),
        "probabilities": np.round(probabilities.astype(np.float64), 6).tolist(),
    }
    stream = ImageStream(table, rows, Preprocessing.of(subject.config, training=False))
    pictures = [to_picture(stream.preprocessing.denormalize(stream[place].image[0])) for place in range(len(rows))]
    believed = [
        Believed(picture, int(row), int(label), probabilities[:, place], predictions[:, place])
        for place, (picture, row, label) in enumerate(zip(pictures, rows, labels, strict=True))
    ]
    path = subject.output / "heat_map.png"
    plot_beliefs(believed, names, subject.classes, path)
    found.pictures.append(Picture(path, "Probability of each class (column) by each run (row); the label has a frame"))
    conventions = [
        name for name, each in zip(names, subjects.values(), strict=True) if not each.classifier.loss.calibrated
    ]
    if conventions:
        found.notes.append(f"the probabilities of {', '.join(conventions)} are a convention, not a posterior")
    return found


def _chosen(subject: Subject, images: list[int] | None, seed: int) -> np.ndarray:
    """Return rows of the part's table. Raises: ConfigError for rows that are not there, or too many."""
    stream = subject.part.stream
    if images is None:
        right, wrong = (np.flatnonzero(subject.answers.right.numpy() == told) for told in (True, False))
        places = [each[draw(len(each), OF_EACH, seed, "heat_map")] for each in (right, wrong)]
        return subject.answers.index.numpy()[np.concatenate(places)]
    known = set(stream.rows.tolist())
    if unknown := [row for row in images if row not in known]:
        allowed = f"rows of the {subject.part.name} images, {min(known)} to {max(known)}"
        raise ConfigError(f"evaluate_params.heat_map.images: must be {allowed}, got {unknown}")
    if not 1 <= len(images) <= MOST_IMAGES:
        raise ConfigError(f"evaluate_params.heat_map.images: must be 1 to {MOST_IMAGES} rows, got {len(images)}")
    return np.asarray(images)


def _open(subject: Subject, path: Path, rows: np.ndarray) -> Subject:
    """Open another run. Raises: ConfigError unless it has the same classes and never trained on these images."""
    key = "evaluate_params.heat_map.runs"
    if not path.is_dir():
        raise ConfigError(f"{key}: {path}: no such folder")
    other = open_subject(path, "valid" if subject.part.name == "valid" else "test")
    if other.classes != subject.classes:
        number, missing = len(other.classes), sorted({*subject.classes} - {*other.classes})
        detail = f", without {', '.join(missing[:5])}" if missing else ", in another order"
        raise ConfigError(f"{key}: {path}: tells other classes apart: {number}{detail}")
    if subject.part.name == "test" and not same_images(subject.part.stream.table, other.part.stream.table):
        raise ConfigError(f"{key}: {path}: was tested on other images, by {other.config.dataset}")
    if subject.part.name == "valid" and not {*rows.tolist()} <= {*other.part.stream.rows.tolist()}:
        raise ConfigError(f"{key}: {path}: was trained on some of these images; its validation images are others")
    return other


def same_images(one: ImageTable, other: ImageTable) -> bool:
    """Tell whether two tables hold the same images with the same labels in the same order."""
    if len(one) != len(other) or not np.array_equal(one.labels, other.labels):
        return False
    if isinstance(one.images, np.ndarray) or isinstance(other.images, np.ndarray):
        return np.array_equal(np.asarray(one.images), np.asarray(other.images))
    return all(name_and_size(a) == name_and_size(b) for a, b in zip(one.images, other.images, strict=True))


def ask(subject: Subject, table: ImageTable, rows: np.ndarray) -> Answers:
    """Return what a run says of some rows of a table."""
    return subject.ask(ImageStream(table, rows, Preprocessing.of(subject.config, training=False)), "images")


def _short_names(subjects: dict[str, Subject]) -> list[str]:
    """Return as few words as tell the runs apart: loss, architecture, seed, or else their folders."""
    configs = [each.config for each in subjects.values()]
    candidates = (
        [config.loss_function for config in configs],
        [f"{config.loss_function}, {config.architecture}" for config in configs],
        [f"{config.loss_function}, {config.architecture}, seed {config.seed}" for config in configs],
    )
    ends = [name if len(name) <= 32 else f"...{name[-32:]}" for name in subjects]  # seed and fingerprint stand there
    return next((names for names in (*candidates, ends) if len({*names}) == len(names)), list(subjects))

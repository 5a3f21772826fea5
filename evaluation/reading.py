"""Accuracy of recognised texts: whole texts, characters, and the most frequent confusions."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import numpy as np
from msgspec import Meta

from datasets.sequences import decode_texts
from evaluation.findings import Findings
from evaluation.subject import Subject
from losses.contract import REJECTED
from losses.ctc import read_by_beams
from metrics.sequences import edit_distances
from runs.confusions import plot_places
from runs.figures import Cell, plot_wrapped
from runs.outcomes import character_pairs

KINDS = ("sequence",)
NUMBERS = {
    "images": ("count", "", "number of images, one text each"),
    "characters": ("count", "", "number of characters in the true texts"),
    "accuracy": ("share", "higher", "share of texts read without an error"),
    "character_error_rate": (
        "share",
        "lower",
        "characters to change, add or remove, divided by those in the true texts",
    ),
    "not_read": ("share", "lower", "share of images in which no character is read"),
    "accuracy_by_beams": ("share", "higher", "accuracy with a prefix beam search"),
    "character_error_rate_by_beams": ("share", "lower", "character_error_rate with a prefix beam search"),
}
COLUMNS = 4
PAIRS = 20


def reading(
    subject: Subject, *, beams: Annotated[int, Meta(ge=0, le=1000)] = 0, shown: Annotated[int, Meta(ge=0, le=400)] = 40
) -> Findings:
    """Compare the predicted texts with the true ones.

    Args:
        beams: width of an additional prefix beam search, 0 for none.
        shown: number of misread images in the figure, those with the fewest errors first; 0 to 400.

    Source: accuracy is eq. 7 of arXiv:2206.01002.
    """
    answers, findings, classes = subject.answers, Findings("reading"), subject.classes
    distances = edit_distances(answers.prediction, answers.target)
    characters = int((answers.target != REJECTED).sum())
    findings.add("images", len(distances))
    findings.add("characters", characters)
    findings.add_share("accuracy", float((distances == 0).double().mean()), len(distances))
    findings.add("character_error_rate", float(distances.sum()) / characters)
    findings.add("not_read", (answers.prediction == REJECTED).all(dim=1).double().mean())
    if beams:
        by_beams = edit_distances(read_by_beams(answers.log_probabilities, beams), answers.target)
        findings.add_share("accuracy_by_beams", float((by_beams == 0).double().mean()), len(distances))
        findings.add("character_error_rate_by_beams", float(by_beams.sum()) / characters)

    pairs = character_pairs(answers.target.numpy(), answers.prediction.numpy())
    path = subject.output / "places.png"
    plot_places(pairs, classes, path)
    findings.add_figure(path, "Errors by position in the text, and the most frequent confusions")
    names = (*classes, "nothing")  # REJECTED is -1, the last
    mistakes = Counter((true, read) for _, true, read in pairs if true != read).most_common(PAIRS)
    rows = [(names[true], names[read], f"{count:,}") for (true, read), count in mistakes]
    findings.add_table("Most confused", ("true", "read", "count"), rows)
    _add_misread(subject, distances.numpy(), shown, findings)
    return findings


def _add_misread(subject: Subject, distances: np.ndarray, shown: int, findings: Findings) -> None:
    wrong = np.flatnonzero(distances)
    if not len(wrong):
        return
    wrong = wrong[np.argsort(distances[wrong], kind="stable")]
    true = decode_texts(subject.answers.target.numpy()[wrong], subject.classes)
    read = decode_texts(subject.answers.prediction.numpy()[wrong], subject.classes)
    columns = zip(subject.answers.index.numpy()[wrong], true, read, distances[wrong], strict=True)
    name = subject.part.stream.table.name
    rows = [(str(row), name(int(row)), text, result, str(count)) for row, text, result, count in columns]
    findings.add_table("Misread", ("row", "image", "true", "read", "errors"), rows)
    if not shown:
        return
    images = subject.original_images(wrong[:shown])
    cells = [
        Cell(image, (text, f"> {result or 'nothing'}")) for image, text, result in zip(images, true, read, strict=False)
    ]
    path = subject.output / "misread.png"
    plot_wrapped(cells, COLUMNS, path)
    findings.add_figure(path, f"{len(cells):,} of {len(wrong):,} misread images: true > read")

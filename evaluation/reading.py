"""How well texts are read: whole ones, their characters, and which are taken for which."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import numpy as np
import torch
from msgspec import Meta

from datasets.sequences import decode_texts
from evaluation.findings import Findings, Picture
from evaluation.picture_grids import Cell, plot_grid
from evaluation.subject import Subject
from losses.ctc import read_by_beams
from metrics.sequences import edit_distances
from runs.confusions import plot_places
from runs.outcomes.texts import character_pairs
from utils.types import REJECTED

A_ROW = 4
"""Misread images beside one another."""
PAIRS = 20


def reading(
    subject: Subject, *, beams: Annotated[int, Meta(ge=0, le=1000)] = 0, shown: Annotated[int, Meta(ge=0, le=400)] = 40
) -> Findings:
    """Compare what is read with what is written.

    Args:
        beams: also read by a prefix beam search of this width, 0 for not.
        shown: misread images in the picture, those with the most mistakes last; 0 to 400.

    Returns: accuracy (texts without a mistake, eq. 7 of arXiv:2206.01002), character_error_rate (edit distance over all
        characters written), not_read (no character at all), and with beams the first two once more.
    """
    answers, found, classes = subject.answers, Findings("reading"), subject.classes
    distances = edit_distances(answers.prediction, answers.target)
    characters = int((answers.target != REJECTED).sum())
    found.add("images", len(distances))
    found.add("characters", characters)
    found.add_share("accuracy", float((distances == 0).double().mean()), len(distances))
    found.add("character_error_rate", float(distances.sum()) / characters)
    found.add("not_read", float((answers.prediction == REJECTED).all(dim=1).double().mean()))
    if beams:
        read = read_by_beams(answers.log_probabilities, beams)
        by_beams = edit_distances(read, answers.target)
        found.add_share("accuracy_by_beams", float((by_beams == 0).double().mean()), len(distances))
        found.add("character_error_rate_by_beams", float(by_beams.sum()) / characters)

    pairs = character_pairs(answers.target.numpy(), answers.prediction.numpy())
    path = subject.output / "places.png"
    plot_places(pairs, classes, path)
    found.pictures.append(Picture(path, "How often the character at each place is misread, and as what"))
    names = (*classes, "nothing")  # REJECTED is -1, the last
    mistakes = Counter((written, read) for _, written, read in pairs if written != read).most_common(PAIRS)
    rows = [(names[written], names[read], f"{count:,}") for (written, read), count in mistakes]
    found.add_table("Most confused", ("written", "read", "times"), rows)
    _misread(subject, distances, shown, found)
    return found


def _misread(subject: Subject, distances: torch.Tensor, shown: int, found: Findings) -> None:
    wrong = np.flatnonzero(distances.numpy())
    if not len(wrong):
        return
    wrong = wrong[np.argsort(distances.numpy()[wrong], kind="stable")]
    written = decode_texts(subject.answers.target.numpy()[wrong], subject.classes)
    read = decode_texts(subject.answers.prediction.numpy()[wrong], subject.classes)
    index = subject.answers.index.numpy()[wrong]
    columns = zip(index, written, read, distances.numpy()[wrong], strict=True)
    name = subject.part.stream.table.name
    rows = [(str(row), name(int(row)), text, told, str(count)) for row, text, told, count in columns]
    found.add_table("Misread", ("row", "image", "written", "read", "mistakes"), rows)
    if not shown:
        return
    images = subject.pictures(wrong[:shown])
    told = zip(images, written, read, strict=False)
    cells = [Cell(image, (text, f"> {word or 'nothing'}")) for image, text, word in told]
    path = subject.output / "misread.png"
    plot_grid([cells[start : start + A_ROW] for start in range(0, len(cells), A_ROW)], path)
    found.pictures.append(Picture(path, f"{len(cells):,} of {len(wrong):,} misread images: written > read"))

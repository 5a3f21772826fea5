"""How often the classes are told right: all together, each by itself, and where the least sure are left out."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch
from msgspec import Meta
from sklearn.metrics import precision_recall_fscore_support
from torch import Tensor

from evaluation.findings import Findings, Picture, percent, wilson
from evaluation.picture_grids import Cell, plot_grid
from evaluation.rejection import RejectionCurve, plot_rejection
from evaluation.subject import Answers, Subject
from runs.figures import confusion_counts, plot_confusion
from utils.types import REJECTED

TOP = 5
SHOWN, A_ROW = 6, 6
"""Images of a pair of classes that are shown; images beside one another."""
SHARES = (0.05, 0.1, 0.2, 0.5)
"""Rejected shares whose accuracy is listed."""


def classification(subject: Subject, *, pairs: Annotated[int, Meta(ge=0, le=100)] = 10) -> Findings:
    """Count what is right.

    Args:
        pairs: how many of the most confused pairs of classes are listed and shown, 0 to 100.

    Returns: accuracy, top5_accuracy, precision, recall and F1 as means over the classes (macro) and weighted by their
        images (weighted_...), rejected; one_off_accuracy where classes are ordered; aurc, the mean error when images
        are rejected by the loss's `confidence`.
    """
    answers, found = subject.answers, Findings("classification")
    target, prediction = answers.target.numpy(), answers.prediction.numpy()
    found.add("images", len(target))
    found.add_share("accuracy", accuracy := float(answers.right.double().mean()), len(target))
    found.details["accuracy_interval"] = wilson(accuracy, len(target))
    found.add("top5_accuracy", top_accuracy(answers.log_probabilities, answers.target, TOP))
    if subject.data.data.ordered:
        near = (np.abs(prediction - target) <= 1) & (prediction != REJECTED)
        found.add("one_off_accuracy", near.mean())
    found.add("rejected", (prediction == REJECTED).mean())
    _each_class(subject, target, prediction, found)
    _confusions(subject, target, prediction, pairs, found)
    _rejection(subject, answers, found)
    return found


def top_accuracy(log_probabilities: Tensor, target: Tensor, top: int) -> float:
    """Return the share of samples whose label is among the `top` likeliest. Shapes: [N, K], [N] -> a number."""
    likeliest = log_probabilities.topk(min(top, log_probabilities.shape[1]), dim=1).indices
    return float((likeliest == target[:, None]).any(dim=1).double().mean())


def _each_class(subject: Subject, target: np.ndarray, prediction: np.ndarray, found: Findings) -> None:
    occurring = np.union1d(target, prediction[prediction != REJECTED])
    each: Any = precision_recall_fscore_support(target, prediction, labels=occurring, zero_division=0)  # type: ignore
    images = each[3]
    for name, values in zip(("precision", "recall", "f1"), each[:3], strict=True):
        found.add(name, values.mean())
        found.add(f"weighted_{name}", np.average(values, weights=images))
    names = [subject.classes[label] for label in occurring]
    found.notes += _macro_note(len(occurring), int((images == 0).sum()), len(subject.classes))
    columns = zip(names, *each, strict=True)
    rows = [(name, percent(p), percent(r), percent(f), str(n)) for name, p, r, f, n in columns]
    found.add_table("Classes", ("class", "precision", "recall", "F1", "images"), rows)


def _macro_note(occurring: int, without_images: int, classes: int) -> list[str]:
    """Say over how many classes the macro means go, where some have no image."""
    if occurring == classes and not without_images:
        return []
    note = f"precision, recall and f1 are means over {occurring:,} of {classes:,} classes: those that occur as label or"
    note += f" prediction; {classes - occurring:,} occur as neither and are left out"
    if without_images:
        note += (
            f"; those predicted that have no image here ({without_images:,}) count as 0, which lowers the means; the "
            "weighted_... leave them out"
        )
    return [note]


def _confusions(subject: Subject, target: np.ndarray, prediction: np.ndarray, pairs: int, found: Findings) -> None:
    counts, columns = confusion_counts(target, prediction, subject.classes)
    path = subject.output / "confusion.png"
    plot_confusion(target, prediction, subject.classes, path)
    found.pictures.append(Picture(path, "Which class (row) is taken for which (column)"))
    found.details["confusion"] = {"columns": columns, "counts": counts.tolist()}
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:pairs]
    places = [divmod(int(place), wrong.shape[1]) for place in order]
    confused = [(true, told) for true, told in places if wrong[true, told]]
    if not confused:
        return
    rows = [
        (subject.classes[true], columns[told], f"{wrong[true, told]} of {counts[true].sum()}")
        for true, told in confused
    ]
    found.add_table("Most confused", ("true class", "taken for", "images"), rows)
    cells = []
    for true, told in confused:
        label = REJECTED if told == len(subject.classes) else told
        these = np.flatnonzero((target == true) & (prediction == label))[:SHOWN]
        words = (subject.classes[true], f"> {columns[told]}")
        cells += [Cell(picture, words) for picture in subject.pictures(these)]
    path = subject.output / "confused.png"
    plot_grid([cells[start : start + A_ROW] for start in range(0, len(cells), A_ROW)], path)
    found.pictures.append(Picture(path, "Images of the most confused classes: true > predicted"))


def _rejection(subject: Subject, answers: Answers, found: Findings) -> None:
    likeliest = answers.log_probabilities.argmax(dim=1)
    forced = torch.where(answers.prediction == REJECTED, likeliest, answers.prediction)  # what it would have said
    with torch.no_grad():
        confidence = subject.classifier.loss.confidence(answers.scores.to(subject.device)).cpu().double().numpy()
    curve = RejectionCurve.of((forced == answers.target).numpy(), confidence)
    found.add("aurc", curve.area_above)
    rejected = answers.prediction == REJECTED
    own = None
    if rejected.any() and not rejected.all():
        own = float(rejected.double().mean()), float(answers.right[~rejected].double().mean())
        found.add("accuracy_of_not_rejected", own[1])
    rows = [(percent(share), percent(curve.accuracy_at(share))) for share in SHARES]
    found.add_table("Accuracy when the least sure are rejected", ("rejected, at least", "accuracy of the rest"), rows)
    path = subject.output / "rejection.png"
    plot_rejection(curve, len(confidence), own, path)
    found.pictures.append(Picture(path, "Accuracy of the rest when the least sure are rejected"))

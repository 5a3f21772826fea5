"""How often the classes are told right: all together, each by itself, and where those rejected are left out."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import precision_recall_fscore_support
from torch import Tensor

from utils.evaluation.findings import Findings, Picture, percent, whole
from utils.evaluation.subject import Subject
from utils.pictures import confusion_counts, plot_confusion
from utils.types import REJECTED

TOP = 5
MOST_PAIRS = 10


def classification(subject: Subject, *, pairs: int = MOST_PAIRS) -> Findings:
    """Count what is right.

    Args:
        pairs: how many of the most confused pairs of classes are listed.

    Returns: accuracy, top5_accuracy, precision, recall and F1 as means over the classes (macro) and weighted by their
        images (weighted), rejected; one_off_accuracy where classes are ordered.
    """
    answers, found = subject.answers, Findings()
    target, prediction = answers.target.numpy(), answers.prediction.numpy()
    found.add("images", len(target), whole)
    found.add("accuracy", float(answers.right.double().mean()), percent)
    found.add("top5_accuracy", top_accuracy(answers.log_probabilities, answers.target, TOP), percent)
    if subject.data.data.ordered:
        near = (np.abs(prediction - target) <= 1) & (prediction != REJECTED)
        found.add("one_off_accuracy", near.mean(), percent)
    found.add("rejected", (prediction == REJECTED).mean(), percent)
    occurring = np.union1d(target, prediction[prediction != REJECTED])
    each: Any = precision_recall_fscore_support(target, prediction, labels=occurring, zero_division=0)  # type: ignore
    support = each[3]
    for name, values in zip(("precision", "recall", "f1"), each[:3], strict=True):
        found.add(name, values.mean(), percent)
        found.add(f"weighted_{name}", np.average(values, weights=support), percent)
    names = [subject.classes[label] for label in occurring]
    columns = zip(names, *each, strict=True)
    rows = [(name, percent(p), percent(r), percent(f), str(n)) for name, p, r, f, n in columns]
    found.add_table("Classes", ("class", "precision", "recall", "F1", "images"), rows)
    _confusions(subject, target, prediction, pairs, found)
    return found


def top_accuracy(log_probabilities: Tensor, target: Tensor, top: int) -> float:
    """Return the share of samples whose label is among the `top` likeliest. Shapes: [N, K], [N] -> a number."""
    likeliest = log_probabilities.topk(min(top, log_probabilities.shape[1]), dim=1).indices
    return float((likeliest == target[:, None]).any(dim=1).double().mean())


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
    rows = [
        (subject.classes[true], columns[told], f"{wrong[true, told]} of {counts[true].sum()}")
        for true, told in places
        if wrong[true, told]
    ]
    if rows:
        found.add_table("Most confused", ("true class", "taken for", "images"), rows)

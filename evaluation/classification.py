"""Accuracy of class predictions: overall, for each class, and after rejecting the least confident ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from msgspec import Meta
from sklearn.metrics import precision_recall_fscore_support

from evaluation.findings import Findings, percent, wilson
from evaluation.subject import Answers, Subject
from losses.contract import REJECTED
from runs.confusions import confusion_counts, most_confused, plot_confusion
from runs.figures import MARK, VALID, Cell, new_figure, plot_wrapped, style_axes, write_figure

NUMBERS = {
    "images": ("count", "", "number of images"),
    "accuracy": ("share", "higher", "share of images whose label is predicted"),
    "top5_accuracy": ("share", "higher", "share of images whose label is among the five most likely classes"),
    "one_off_accuracy": (
        "share",
        "higher",
        "share predicted as their label or a neighbouring class, of ordered classes",
    ),
    "balanced_accuracy": ("share", "higher", "accuracy of each class that has images here, mean over these classes"),
    "many_shot_accuracy": ("share", "higher", "the same over the classes with more than 100 training images"),
    "medium_shot_accuracy": ("share", "higher", "the same over the classes with 20 to 100 training images"),
    "few_shot_accuracy": ("share", "higher", "the same over the classes with fewer than 20 training images"),
    "rejected": ("share", "lower", "share predicted as none of the classes, by losses that reject"),
    "accuracy_of_not_rejected": ("share", "higher", "accuracy of the images that are not rejected"),
    "precision": (
        "share",
        "higher",
        "of the images predicted as a class, the share that belongs to it; mean over classes (macro)",
    ),
    "recall": ("share", "higher", "of a class's images, the share predicted as it; mean over classes (macro)"),
    "f1": (
        "share",
        "higher",
        "harmonic mean of a class's precision and recall; mean over classes (macro)",
        "2 precision recall / (precision + recall)",
    ),
    "weighted_precision": ("share", "higher", "precision, classes weighted by their images"),
    "weighted_recall": ("share", "higher", "recall, classes weighted by their images"),
    "weighted_f1": ("share", "higher", "F1, classes weighted by their images"),
    "aurc": (
        "number",
        "lower",
        "area under the risk-coverage curve: the mean error over all shares of images kept, the most confident first; "
        "0 to 1, low if the errors are the unsure predictions (Geifman, El-Yaniv 2017, arXiv:1705.08500)",
    ),
}
SHOTS = {"few": (0, 19), "medium": (20, 100), "many": (101, np.inf)}
"""Numbers of training images of a class (Liu et al. 2019, arXiv:1904.05160)."""
TOP = 5
IMAGES_OF_A_PAIR = COLUMNS = 6
SHARES = (0.05, 0.1, 0.2, 0.5)
"""Rejected shares whose accuracy is listed."""
FEWEST = 20
"""Images that the rejection curve keeps at least: the accuracy of fewer jumps."""


def classification(subject: Subject, *, pairs: Annotated[int, Meta(ge=0, le=100)] = 10) -> Findings:
    """Count correct predictions.

    Args: pairs: number of most confused pairs of classes to list and show, 0 to 100.
    """
    answers, findings = subject.answers, Findings("classification")
    target, prediction = answers.target.numpy(), answers.prediction.numpy()
    findings.add("images", len(target))
    findings.add_share("accuracy", accuracy := float(answers.right.double().mean()), len(target))
    findings.details["accuracy_interval"] = wilson(accuracy, len(target))
    likeliest = answers.log_probabilities.topk(min(TOP, len(subject.classes)), dim=1).indices
    findings.add("top5_accuracy", (likeliest == answers.target[:, None]).any(dim=1).double().mean())
    if subject.data.data.ordered:
        near = (np.abs(prediction - target) <= 1) & (prediction != REJECTED)
        findings.add("one_off_accuracy", near.mean())
    findings.add("rejected", (prediction == REJECTED).mean())
    _add_classes(subject, target, prediction, findings)
    add_balanced(target, answers.right.numpy(), np.array(subject.data.class_counts), findings)
    _add_confusions(subject, target, prediction, pairs, findings)
    _add_rejection(subject, answers, findings)
    return findings


def _add_classes(subject: Subject, target: np.ndarray, prediction: np.ndarray, findings: Findings) -> None:
    occurring = np.union1d(target, prediction[prediction != REJECTED])
    scores: Any = precision_recall_fscore_support(target, prediction, labels=occurring, zero_division=0)  # type: ignore
    images = scores[3]
    for name, values in zip(("precision", "recall", "f1"), scores[:3], strict=True):
        findings.add(name, values.mean())
        findings.add(f"weighted_{name}", np.average(values, weights=images))
    columns = zip((subject.classes[label] for label in occurring), *scores, strict=True)
    rows = [(name, percent(p), percent(r), percent(f), str(n)) for name, p, r, f, n in columns]
    findings.add_table("Classes", ("class", "precision", "recall", "F1", "images"), rows)
    absent, without_images = len(subject.classes) - len(occurring), int((images == 0).sum())
    if absent or without_images:
        note = f"precision, recall and f1 are means over {len(occurring):,} of {len(subject.classes):,} classes"
        note += f"; {absent:,} occur neither as label nor as prediction"
        if without_images:
            note += (
                f"; {without_images:,} are predicted but have no image here: they count as 0, but not in weighted_..."
            )
        findings.notes.append(note)


def add_balanced(target: np.ndarray, right: np.ndarray, trained: np.ndarray, findings: Findings) -> None:
    """Add the mean accuracy of the classes and, where their training images differ so much, of many, medium and few.

    Shapes: target [N], right [N] bool, trained [K]: training images of each class.
    """
    occurring, images = np.unique(target, return_counts=True)
    accuracy = np.bincount(target, weights=right)[occurring] / images
    findings.add("balanced_accuracy", accuracy.mean())
    groups = {name: (trained >= low) & (trained <= high) for name, (low, high) in SHOTS.items()}
    if sum(group.any() for group in groups.values()) == 1:
        return
    for name, group in groups.items():
        if group[occurring].any():
            findings.add(f"{name}_shot_accuracy", accuracy[group[occurring]].mean())
    numbers = ", ".join(f"{group.sum():,} {name}-shot" for name, group in groups.items())
    findings.notes.append(f"classes by their training images: {numbers}")


def _add_confusions(
    subject: Subject, target: np.ndarray, prediction: np.ndarray, pairs: int, findings: Findings
) -> None:
    counts, columns = confusion_counts(target, prediction, subject.classes)
    path = subject.output / "confusion.png"
    plot_confusion(target, prediction, subject.classes, path)
    findings.add_figure(path, "Confusion matrix: true class (row), predicted class (column)")
    findings.details["confusion"] = {"columns": columns, "counts": counts.tolist()}
    confused = most_confused(counts, pairs)
    if not confused:
        return
    rows = [
        (subject.classes[label], columns[other], f"{counts[label, other]} of {counts[label].sum()}")
        for label, other in confused
    ]
    findings.add_table("Most confused", ("true class", "predicted class", "images"), rows)
    cells = []
    for label, other in confused:
        predicted = REJECTED if other == len(subject.classes) else other
        positions = np.flatnonzero((target == label) & (prediction == predicted))[:IMAGES_OF_A_PAIR]
        captions = (subject.classes[label], f"> {columns[other]}")
        cells += [Cell(image, captions) for image in subject.original_images(positions)]
    path = subject.output / "confused.png"
    plot_wrapped(cells, COLUMNS, path)
    findings.add_figure(path, "Images of the most confused classes: true > predicted")


@dataclass(frozen=True)
class RejectionCurve:
    """Accuracy of the kept images against the share of rejected ones, the least confident rejected first.

    Images of equal confidence are kept or rejected together, as no threshold separates them.

    Shapes: rejected [M] ascending from 0, below 1; accuracy [M].
    """

    rejected: np.ndarray
    accuracy: np.ndarray

    @classmethod
    def of(cls, right: np.ndarray, confidence: np.ndarray) -> RejectionCurve:
        """Shapes: right [N] bool, confidence [N], which may be infinite but not NaN; N >= 1."""
        order = np.argsort(-confidence, kind="stable")
        hits = np.cumsum(right[order])
        kept = np.arange(1, len(order) + 1)
        falls = confidence[order][:-1] != confidence[order][1:]
        last = np.append(np.flatnonzero(falls), len(order) - 1)[::-1]  # of each confidence
        return cls(1 - kept[last] / len(order), hits[last] / kept[last])

    def accuracy_at(self, rejected: float) -> float:
        """Return the accuracy when at least this share is rejected, as little more as thresholds allow."""
        position = np.searchsorted(self.rejected, rejected - 1e-12)
        return float(self.accuracy[min(position, len(self.accuracy) - 1)])

    @property
    def area_above(self) -> float:
        """The mean error over all shares kept (area under the risk-coverage curve, AURC): 0 is perfect.

        Source: Geifman, El-Yaniv 2017, "Selective Classification for Deep Neural Networks".
        """
        widths = np.diff(np.append(self.rejected, 1.0))
        return float(((1 - self.accuracy) * widths).sum())


def _add_rejection(subject: Subject, answers: Answers, findings: Findings) -> None:
    rejected = answers.prediction == REJECTED
    forced = torch.where(rejected, answers.log_probabilities.argmax(dim=1), answers.prediction)
    with torch.no_grad():
        confidence = subject.classifier.loss.confidence(answers.scores.to(subject.device)).cpu().double().numpy()
    curve = RejectionCurve.of((forced == answers.target).numpy(), confidence)
    findings.add("aurc", curve.area_above)
    own_rule = None
    if rejected.any() and not rejected.all():
        own_rule = float(rejected.double().mean()), float(answers.right[~rejected].double().mean())
        findings.add("accuracy_of_not_rejected", own_rule[1])
    rows = [(percent(share), percent(curve.accuracy_at(share))) for share in SHARES]
    findings.add_table(
        "Accuracy after rejecting the least confident", ("rejected, at least", "accuracy of the rest"), rows
    )
    path = subject.output / "rejection.png"
    plot_rejection(curve, len(confidence), own_rule, path)
    findings.add_figure(path, "Accuracy after rejecting the least confident predictions")


def plot_rejection(curve: RejectionCurve, images: int, own_rule: tuple[float, float] | None, path: Path) -> None:
    """Draw the curve of so many images, and the loss's own rule as (share rejected, accuracy of the rest)."""
    figure = new_figure(5.2, 3.8)
    axes = figure.add_subplot()
    drawn = curve.rejected <= max(0.0, 1 - FEWEST / images)
    axes.plot(curve.rejected[drawn], curve.accuracy[drawn], color=VALID, linewidth=1.4)
    if own_rule is not None:
        axes.plot(*own_rule, "o", color=MARK, label="the loss's own rule")
        axes.legend(frameon=False, fontsize=9)
    axes.set(xlabel="rejected, the least confident first", ylabel="accuracy of the rest", xlim=(0, 1))
    style_axes(axes, axes.xaxis, axes.yaxis)
    write_figure(figure, path)

"""Calibration: whether, of the predictions with a confidence of 80 %, 80 % are right."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from evaluation import Positive
from evaluation.findings import Findings, wilson
from evaluation.subject import Subject
from losses.contract import REJECTED
from runs.figures import MARK, TRAIN, VALID, new_figure, style_axes, write_figure

NUMBERS = {
    "ece": (
        "share",
        "lower",
        "expected calibration error: difference of confidence and accuracy in bins of confidence, mean over images",
        "sum_b n_b / n |right_b - confidence_b|, over bins of equal width, each with its upper end",
    ),
    "classwise_ece": (
        "share",
        "lower",
        "the same for the probability of every class, predicted or not, mean over classes",
        "1/K sum_k sum_b n_kb / N |share of label k_kb - mean p_kb|, over bins of p_k",
    ),
    "nll": (
        "number",
        "lower",
        "mean of -log p(label), in nats: confident errors cost most; called cross_entropy in training",
    ),
    "brier": (
        "number",
        "lower",
        "squared distance between the probabilities and the label, 0 to 2",
        "mean of sum_k (p_k - [label = k])^2",
    ),
    "confidence": ("share", "", "mean probability of the predicted class; equals the accuracy if calibrated"),
    "temperature": (
        "number",
        "",
        "divisor of log p that calibrates it, fitted on other images: above 1 the network is overconfident, below 1 "
        "underconfident",
        "the T that minimises the nll of log_softmax(log p / T)",
    ),
    "scaled_confidence": ("share", "", "confidence, with the temperature"),
    "scaled_ece": ("share", "lower", "ece, with the temperature"),
    "scaled_classwise_ece": ("share", "lower", "classwise_ece, with the temperature"),
    "scaled_nll": ("number", "lower", "nll, with the temperature"),
    "scaled_brier": ("number", "lower", "brier, with the temperature"),
}
TEMPERATURES = (0.01, 10_000.0)
"""Limits of the fit; losses whose scores span hundreds need some hundred."""
SMALLEST = math.log(torch.finfo(torch.float32).tiny)
FEW = 10
"""Images of a bin below which its accuracy is no evidence: the interval is wider than half the axis."""


def calibration(subject: Subject, *, bins: Positive = 15) -> Findings:
    """Measure calibration before and after temperature scaling.

    Everything is computed from logarithms in float64: no probability is too small, so there is no floor.

    Args: bins: number of bins of equal width, for both calibration errors and the figure.
    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv:1706.04599: eq. 3, sec. 4.2.
    """
    answers, findings = subject.answers, Findings("calibration")
    before = answers.log_probabilities.double()
    after, temperatures = _scale_by_other_images(subject, before)
    for prefix, log_p in (("", before), ("scaled_", after)):
        if prefix:
            findings.add("temperature", math.exp(np.mean(np.log(temperatures))))
        for name, value in measure(log_p, answers.target, answers.prediction, bins).items():
            findings.add(prefix + name, value)
    panels = {
        title: Bins.of(*confidences(log_p, answers.target, answers.prediction), bins)
        for title, log_p in (("as it is", before), (f"temperature {findings.words['temperature']}", after))
    }
    path = subject.output / "calibration.png"
    plot_reliability(panels, path)
    findings.add_figure(path, "Accuracy (bars) and confidence; below, images per bin on a logarithmic axis")
    findings.details = {
        "bins": {title: bars.as_lists() for title, bars in panels.items()},
        "temperatures": temperatures,
    }
    findings.notes = _notes(subject, temperatures)
    return findings


def measure(log_probabilities: Tensor, target: Tensor, prediction: Tensor, bins: int) -> dict[str, float]:
    """Return the numbers of probabilities by the formulas of `NUMBERS`.

    Rejected images have no confidence: ece and confidence are of the others, and missing if there are none.

    Shapes: log_probabilities [N, K] float64; target, prediction [N].
    Source: classwise: Kull et al. 2019, "Beyond temperature scaling", arXiv:1910.12656, eq. 3.
    """
    p, rows = log_probabilities.exp(), torch.arange(len(target))
    is_label = torch.zeros_like(p)
    is_label[rows, target] = 1
    confidence, right = confidences(log_probabilities, target, prediction)
    sure = {"ece": Bins.of(confidence, right, bins).error, "confidence": confidence.mean()} if len(confidence) else {}
    classes = zip(p.T.numpy(), is_label.T.numpy(), strict=True)
    return sure | {
        "classwise_ece": float(np.mean([Bins.of(*of_class, bins).error for of_class in classes])),
        "nll": float(-log_probabilities[rows, target].mean()),
        "brier": float((p - is_label).square().sum(dim=1).mean()),
    }


def confidences(log_probabilities: Tensor, target: Tensor, prediction: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the confidence of the images that are not rejected, and whether they are right. Shapes: [M], [M]."""
    kept = prediction != REJECTED
    confidence = log_probabilities[kept].gather(1, prediction[kept, None]).squeeze(1).exp()
    return confidence.numpy(), (prediction == target)[kept].double().numpy()


@dataclass(frozen=True)
class Bins:
    """Confidences in bins of equal width, each without its lower and with its upper end.

    scikit-learn's calibration_curve has the same bins, without the counts and without empty bins.

    Shapes: counts, confidence (mean) and right (share), one per bin; the means of an empty bin are 0.
    """

    counts: np.ndarray
    confidence: np.ndarray
    right: np.ndarray

    @classmethod
    def of(cls, confidence: np.ndarray, right: np.ndarray, bins: int) -> Bins:
        """Shapes: confidence, right [M], on 0 to 1."""
        position = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence, side="left")
        counts = np.bincount(position, minlength=bins)
        sums = (np.bincount(position, values, minlength=bins) for values in (confidence, right))
        return cls(counts, *(total / np.maximum(counts, 1) for total in sums))

    @property
    def error(self) -> float:
        """Mean of |right - confidence| over the images."""
        return float((self.counts * np.abs(self.right - self.confidence)).sum() / max(self.counts.sum(), 1))

    def as_lists(self) -> dict[str, list[float]]:
        return {name: getattr(self, name).tolist() for name in ("counts", "confidence", "right")}


def fit_temperature(log_probabilities: Tensor, target: Tensor) -> float:
    """Return the T that minimises the mean of -log softmax(log p / T) of the label; 1 if no other is better.

    The mean is convex in 1 / T, so it has one minimum, or none if the label is everywhere the most likely class: then
    it only falls as T does, and T stays 1.

    Shapes: [N, K] float64, [N].
    """
    if torch.equal(log_probabilities.argmax(dim=1), target):
        return 1.0
    rows = torch.arange(len(target))

    def cost(log_temperature: float) -> float:
        return float(-scale(log_probabilities, math.exp(log_temperature))[rows, target].mean())

    low, high = map(math.log, TEMPERATURES)
    fit = minimize_scalar(cost, bounds=(low, high), method="bounded", options={"xatol": 1e-4})
    return math.exp(fit.x) if fit.fun < cost(0.0) else 1.0


def scale(log_probabilities: Tensor, temperature: float) -> Tensor:
    """Shapes: [N, K] -> [N, K]."""
    return (log_probabilities / temperature).log_softmax(dim=1)


def _scale_by_other_images(subject: Subject, before: Tensor) -> tuple[Tensor, list[float]]:
    """Return the log-probabilities scaled by temperatures that were fitted on other images, and these temperatures."""
    if not _only_judged_images(subject):
        held_out = subject.validation
        temperature = fit_temperature(held_out.log_probabilities.double(), held_out.target)
        return scale(before, temperature), [temperature]
    after, temperatures = torch.empty_like(before), []
    order = torch.randperm(len(before), generator=torch.Generator().manual_seed(0))
    halves = order[::2], order[1::2]
    for judged, fitted in (halves, halves[::-1]):
        temperature = fit_temperature(before[fitted], subject.answers.target[fitted])
        after[judged] = scale(before[judged], temperature)
        temperatures.append(temperature)
    return after, temperatures


def _only_judged_images(subject: Subject) -> bool:
    """Tell whether the images that a temperature would be fitted on are the judged ones."""
    return subject.part.name == "valid" or (subject.part.name == "test" and subject.config.select_on == "test")


def _notes(subject: Subject, temperatures: list[float]) -> list[str]:
    answers, notes = subject.answers, []
    if not subject.classifier.loss.calibrated:
        notes.append("the probabilities of this loss are a convention, not a posterior; these numbers measure both")
    if _only_judged_images(subject):
        values = " and ".join(f"{value:,.4f}" for value in temperatures)
        notes.append(
            "no images were held out to fit a temperature on (select_on: test, or --on valid): each half of the images "
            f"is scaled by the temperature fitted on the other, {values}"
        )
    elif subject.config.select_on == "test":
        notes.append("the temperature is fitted on the test images, as there are no validation images")
    if 1.0 in temperatures:
        notes.append("the temperature stays 1: no other is better, or all images to fit it on are classified correctly")
    if max(temperatures) > TEMPERATURES[1] / 1.01:
        notes.append(f"the temperature is at its limit, {TEMPERATURES[1]:,.0f}: confidence carries no information")
    of_label = answers.log_probabilities.gather(1, answers.target[:, None])
    if saturated := int((of_label < SMALLEST).sum()):
        notes.append(
            f"{saturated:,} images give their label p < 1e-38, down to e^{float(of_label.min()):,.0f}; "
            "nll counts them as they are"
        )
    if rejected := int((answers.prediction == REJECTED).sum()):
        notes.append(f"{rejected:,} images are rejected: ece, confidence and the figure leave them out")
    return notes


def plot_reliability(panels: Mapping[str, Bins], path: Path) -> None:
    """Draw accuracy against confidence and, below, the number of images per bin; one column for each title.

    The accuracy of each bin has its 95 % interval; bins of few images are pale.
    """
    figure = new_figure(4.2 * len(panels), 5.2)
    all_axes = figure.subplots(2, len(panels), sharex=True, squeeze=False, height_ratios=[3, 1])
    for (upper, lower), (title, bins) in zip(all_axes.T, panels.items(), strict=True):
        number = len(bins.counts)
        edges = np.linspace(0, 1, number + 1)[:-1]
        held, style = bins.counts > 0, {"width": 1 / number, "align": "edge", "edgecolor": "white"}
        few = held & (bins.counts < FEW)
        for some, alpha, label in ((held & ~few, 1.0, "accuracy"), (few, 0.3, f"accuracy of fewer than {FEW} images")):
            if some.any():  # else it has no colour in the legend
                upper.bar(edges[some], bins.right[some], color=TRAIN, alpha=alpha, label=label, **style)
        intervals = [wilson(*of_bin) for of_bin in zip(bins.right[held], bins.counts[held], strict=True)]
        lines = {"color": MARK, "linewidth": 1, "label": "its 95 % interval"}
        upper.vlines(edges[held] + 0.5 / number, *np.array(intervals).reshape(-1, 2).T, **lines)
        upper.plot(bins.confidence[held], bins.confidence[held], "o", color=VALID, markersize=4, label="confidence")
        upper.plot([0, 1], [0, 1], "--", color=MARK, linewidth=1)
        upper.set_title(f"{title}: ECE {100 * bins.error:.2f} %", fontsize=10)
        lower.bar(edges, bins.counts, color=TRAIN, log=True, **style)
        lower.axhline(FEW, color=MARK, linewidth=0.8, linestyle=":")
        lower.set(xlabel="confidence", ylim=(0.7, None))
        upper.set(xlim=(0, 1), ylim=(0, 1))
        style_axes(upper, upper.xaxis, upper.yaxis)
        style_axes(lower, lower.xaxis)
    all_axes[0, 0].set_ylabel("accuracy")
    all_axes[1, 0].set_ylabel("images")
    named = {}
    for axes in all_axes[0]:
        named |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    figure.legend([*named.values()], [*named], frameon=False, fontsize=9, loc="outside lower center", ncols=2)
    write_figure(figure, path)

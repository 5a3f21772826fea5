"""Whether a probability is what it says: of all images told with 80 %, are 80 % right?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from evaluation.findings import Findings, Picture
from evaluation.plots import plot_reliability
from evaluation.ranges import Positive
from evaluation.subject import Subject
from utils.types import REJECTED

TEMPERATURES = (0.01, 10_000.0)
"""The fit looks no further; losses whose scores span hundreds need some hundred."""
SMALLEST = math.log(torch.finfo(torch.float32).tiny)


def calibration(subject: Subject, *, bins: Positive = 15) -> Findings:
    """Measure calibration, before and after a temperature is fitted.

    All is computed from logarithms in float64, so that no probability is too small: there is no floor.

    Args:
        bins: of equal width on 0 to 1, for both calibration errors and the picture.

    Returns: ece, classwise_ece, nll, brier and confidence, as of `measure`; temperature, and the same with it as
        scaled_ece and so on.
    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv:1706.04599: eq. 3, sec. 4.2.
    """
    answers, found = subject.answers, Findings("calibration")
    target, prediction = answers.target, answers.prediction
    before = answers.log_probabilities.double()
    after, temperatures = _scaled(subject, before)
    for prefix, log_p in (("", before), ("scaled_", after)):
        if prefix:
            found.add("temperature", math.exp(np.mean(np.log(temperatures))))
        for name, value in measure(log_p, target, prediction, bins).items():
            found.add(prefix + name, value)
    panels = {
        title: Bins.of(*told(log_p, target, prediction), bins)
        for title, log_p in (("as it is", before), (f"temperature {found.words['temperature']}", after))
    }
    path = subject.output / "calibration.png"
    plot_reliability(panels, path)
    found.pictures.append(
        Picture(
            path,
            "Share that is right (bars) beside the confidence; below, how many images have which, in powers of ten",
        )
    )
    found.details = {"bins": {title: each.as_lists() for title, each in panels.items()}, "temperatures": temperatures}
    found.notes = _notes(subject, temperatures)
    return found


def measure(log_probabilities: Tensor, target: Tensor, prediction: Tensor, bins: int) -> dict[str, float]:
    """Return what probabilities are worth.

        ece = sum_b n_b / n |right_b - confidence_b|      confidence: the probability of the class that is predicted
        classwise_ece = 1/K sum_k sum_b n_kb / N |share of label k_kb - mean p_kb|        over bins of p_k
        nll = mean of -log p(label)        brier = mean of sum_k (p_k - [label = k])^2, 0 to 2

    Rejected images have no confidence: ece and confidence are of the others, and missing where there are none.

    Shapes: log_probabilities [N, K] float64; target, prediction [N].
    Source: ece as above; classwise: Kull et al. 2019, "Beyond temperature scaling", arXiv:1910.12656, eq. 3.
    """
    p, rows = log_probabilities.exp(), torch.arange(len(target))
    is_label = torch.zeros_like(p)
    is_label[rows, target] = 1
    each = zip(p.T.numpy(), is_label.T.numpy(), strict=True)
    confidence, right = told(log_probabilities, target, prediction)
    sure = {"ece": Bins.of(confidence, right, bins).error, "confidence": confidence.mean()} if len(confidence) else {}
    return sure | {
        "classwise_ece": float(np.mean([Bins.of(*of_class, bins).error for of_class in each])),
        "nll": float(-log_probabilities[rows, target].mean()),
        "brier": float((p - is_label).square().sum(dim=1).mean()),
    }


def told(log_probabilities: Tensor, target: Tensor, prediction: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the confidence of the images that are not rejected, and whether they are right. Shapes: [M], [M]."""
    kept = prediction != REJECTED
    confidence = log_probabilities[kept].gather(1, prediction[kept, None]).squeeze(1).exp()
    return confidence.numpy(), (prediction == target)[kept].double().numpy()


@dataclass(frozen=True)
class Bins:
    """Confidences sorted into bins of equal width, each without its lower and with its upper end.

    Shapes: counts, confidence (mean) and right (share), one a bin; the means of an empty bin are 0.
    """

    counts: np.ndarray
    confidence: np.ndarray
    right: np.ndarray

    @classmethod
    def of(cls, confidence: np.ndarray, right: np.ndarray, bins: int) -> Bins:
        """Shapes: confidence, right [M], of 0 to 1."""
        place = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence, side="left")
        counts = np.bincount(place, minlength=bins)
        means = [np.bincount(place, each, minlength=bins) / np.maximum(counts, 1) for each in (confidence, right)]
        return cls(counts, *means)

    @property
    def error(self) -> float:
        """Mean of |right - confidence| over the images."""
        return float((self.counts * np.abs(self.right - self.confidence)).sum() / max(self.counts.sum(), 1))

    def as_lists(self) -> dict[str, list[float]]:
        return {name: getattr(self, name).tolist() for name in ("counts", "confidence", "right")}


def fit_temperature(log_probabilities: Tensor, target: Tensor) -> float:
    """Return the T that minimises the mean of -log softmax(log p / T) of the label; 1 where no other is better.

    The mean is convex in 1 / T, so it has one minimum, or none where the label is everywhere the likeliest class: then
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


def _scaled(subject: Subject, before: Tensor) -> tuple[Tensor, list[float]]:
    """Return the judged log-probabilities by temperatures fitted on other images, and these temperatures."""
    answers = subject.answers
    if not _only_judged_images(subject):
        held_out = subject.validation
        temperature = fit_temperature(held_out.log_probabilities.double(), held_out.target)
        return scale(before, temperature), [temperature]
    after, temperatures = torch.empty_like(before), []
    order = torch.randperm(len(before), generator=torch.Generator().manual_seed(0))
    halves = order[::2], order[1::2]
    for judged, fitted in (halves, halves[::-1]):
        temperature = fit_temperature(before[fitted], answers.target[fitted])
        after[judged] = scale(before[judged], temperature)
        temperatures.append(temperature)
    return after, temperatures


def _only_judged_images(subject: Subject) -> bool:
    """Tell whether the images that a temperature would be fitted on are the judged ones."""
    return subject.part.name == "valid" or (subject.part.name == "test" and subject.config.select_on == "test")


def _notes(subject: Subject, temperatures: list[float]) -> list[str]:
    answers, notes = subject.answers, []
    if not subject.classifier.loss.calibrated:
        notes.append("the probabilities of this loss are a convention, not a posterior: these numbers judge that too")
    if _only_judged_images(subject):
        each = " and ".join(f"{value:,.4f}" for value in temperatures)
        notes.append(
            "no other images were held out to fit a temperature on (select_on: test, or the validation images are "
            f"judged): each half of the images is judged with the one fitted on the other, {each}"
        )
    elif subject.config.select_on == "test":
        notes.append("the temperature is fitted on the test images, as there are no validation images")
    if 1.0 in temperatures:
        notes.append(
            "a temperature stays 1: none is likelier, or all images that it would be fitted on are right, so that less "
            "of it would always seem likelier"
        )
    if max(temperatures) > TEMPERATURES[1] / 1.01:
        notes.append(
            f"a temperature is the highest that is looked at, {TEMPERATURES[1]:,.0f}: being sure tells nothing"
        )
    of_label = answers.log_probabilities.gather(1, answers.target[:, None])
    if saturated := int((of_label < SMALLEST).sum()):
        notes.append(
            f"{saturated:,} images give their label less than 1e-38, e^{float(of_label.min()):,.0f} at the least; nll "
            "counts them as they are"
        )
    if rejected := int((answers.prediction == REJECTED).sum()):
        notes.append(f"{rejected:,} images are rejected: ece, confidence and the picture are of the others")
    return notes

"""Ensembles of kept epochs: accuracy of the mean of their probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from evaluation import NonNegative, Positive
from evaluation.findings import Findings, NotApplicable, percent
from evaluation.subject import Subject
from losses.contract import REJECTED
from runs.figures import plot_over_epochs
from utils.types import ConfigError

ON_REQUEST = True
NUMBERS = {
    "members": ("count", "", "number of kept epochs in the ensemble"),
    "accuracy": ("share", "higher", "of the mean of their probabilities"),
    "gain": ("gain", "higher", "accuracy of the ensemble less that of the run's selected epoch"),
    "nll": ("number", "lower", "mean of -log p(label) of the ensemble, in nats"),
    "rejected": ("share", "lower", "share of images that more than half of the members reject"),
    "accuracy_of_*": ("share", "higher", "of an ensemble of so many epochs, those nearest to evenly spaced ones"),
    "mean_member": ("share", "higher", "mean accuracy of the single members"),
    "best_member": ("share", "higher", "accuracy of the best member; too high, as it is chosen on these very images"),
}
KEY = "evaluate_params.ensembles"


class Ensemble:
    """Mean of probabilities, accumulated member by member, so that only the mean is in memory.

        p(k | x) = 1/M sum_m p_m(k | x),        p_m by the loss's own rule

    It predicts the most likely class; where more than half of the members reject an image, so does it.
    """

    def __init__(self) -> None:
        self.members = 0
        self._log_sum = torch.tensor(-math.inf, dtype=torch.float64)
        self._rejecting = torch.tensor(0)

    def add(self, prediction: Tensor, log_probabilities: Tensor) -> None:
        """Shapes: [N], [N, K], on the CPU."""
        self.members += 1
        self._log_sum = torch.logaddexp(self._log_sum, log_probabilities.double())
        self._rejecting = self._rejecting + (prediction == REJECTED)

    def join(self, other: Ensemble) -> None:
        """Add the members of another ensemble on the same images."""
        self.members += other.members
        self._log_sum = torch.logaddexp(self._log_sum, other._log_sum)
        self._rejecting = self._rejecting + other._rejecting

    @classmethod
    def concatenate(cls, parts: Sequence[Ensemble]) -> Ensemble:
        """Return the ensemble on all images, from the same members on batches of them."""
        whole = cls()
        whole.members = parts[0].members
        whole._log_sum = torch.cat([part._log_sum for part in parts])
        whole._rejecting = torch.cat([part._rejecting for part in parts])
        return whole

    @property
    def log_probabilities(self) -> Tensor:
        """Shapes: [N, K] float64."""
        return self._log_sum - math.log(self.members)

    @property
    def prediction(self) -> Tensor:
        """Shapes: [N]."""
        return torch.where(2 * self._rejecting > self.members, REJECTED, self._log_sum.argmax(dim=1))

    def accuracy(self, target: Tensor) -> float:
        return float((self.prediction == target).double().mean())

    def nll(self, target: Tensor) -> float:
        """Mean of -log p(label)."""
        return float(-self.log_probabilities.gather(1, target[:, None]).mean())


def ensembles(
    subject: Subject, *, epochs: list[NonNegative] | None = None, sizes: list[Positive] | None = None
) -> Findings:
    """Average the probabilities of kept epochs.

    Args:
        epochs: the members; null for all kept epochs.
        sizes: sizes of further ensembles, of the epochs nearest to evenly spaced ones: (i + 1) num_epochs / size - 1.

    Raises: NotApplicable if fewer than two epochs were kept; ConfigError for epochs that were not kept, and for sizes
        that do not fit them.
    Source: Zhang et al. 2020, arXiv:2011.12562, Table III.
    """
    chosen = subject.choose_epochs(epochs, f"{KEY}.epochs")
    if len(chosen) < 2:
        raise NotApplicable(f"needs at least two kept epochs, there are {len(chosen)}; train with keep_epochs")
    groups = {size: _evenly_spaced(chosen, size, subject.config.num_epochs) for size in sizes or ()}
    target, selected = subject.answers.target, subject.answers.prediction  # before the network has other weights
    whole, parts = Ensemble(), {size: Ensemble() for size in groups}
    alone, growing = [], []
    with subject.at_epochs(chosen) as members:
        for member in members:
            answers = member.answers.prediction, member.answers.log_probabilities
            for part in (whole, *(parts[size] for size, group in groups.items() if member.epoch in group)):
                part.add(*answers)
            alone.append(float(member.answers.right.double().mean()))
            growing.append(whole.accuracy(target))
    findings = Findings("ensembles")
    findings.add("members", len(chosen))
    findings.add_share("accuracy", whole.accuracy(target), len(target))
    findings.add("gain", whole.accuracy(target) - float((selected == target).double().mean()))
    findings.add("nll", whole.nll(target))
    findings.add("rejected", (whole.prediction == REJECTED).double().mean())
    for size, part in parts.items():
        findings.add(f"accuracy_of_{size}", part.accuracy(target))
    findings.add("mean_member", sum(alone) / len(alone))
    findings.add("best_member", max(alone))
    rows = [(str(epoch + 1), *map(percent, shares)) for epoch, *shares in zip(chosen, alone, growing, strict=True)]
    findings.add_table("Members", ("epoch", "accuracy", "with all earlier ones"), rows)
    findings.details = {"epochs": chosen, "accuracy": alone, "growing": growing, "sizes": [*groups.values()]}
    path = subject.output / "ensembles.png"
    curves = {"correct, this epoch alone": alone, "correct, ensemble up to this epoch": growing}
    plot_over_epochs(curves, chosen, subject.epoch, path)
    findings.add_figure(path, "Accuracy of kept epochs, each alone and with all earlier ones")
    if not subject.classifier.loss.calibrated:
        findings.notes.append(
            "the probabilities of this loss are a convention; where they are 0 or 1, the mean is a vote"
        )
    return findings


def _evenly_spaced(epochs: Sequence[int], size: int, num_epochs: int) -> list[int]:
    """Return so many epochs, each nearest to one of as many evenly spaced ones.

    Raises: ConfigError if there are too few, or two of them would be the same.
    """
    ideal = [(number + 1) * num_epochs / size - 1 for number in range(size)]
    nearest = {min(epochs, key=lambda epoch, at=at: abs(epoch - at)) for at in ideal}
    if len(nearest) < size:
        kept = ", ".join(map(str, epochs))
        raise ConfigError(f"{KEY}.sizes: must fit the kept epochs ({kept}) evenly, got {size}")
    return sorted(nearest)

"""What the epochs of one run tell together."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.findings import Findings, NotApplicable, Picture, percent
from evaluation.plots import plot_over_epochs
from evaluation.ranges import Number, Positive
from evaluation.snapshots import choose_epochs, snapshots
from evaluation.subject import Subject
from evaluation.together import Together
from utils.types import REJECTED, ConfigError

KEY = "evaluate_params.ensembles"


def ensembles(subject: Subject, *, epochs: list[Number] | None = None, sizes: list[Positive] | None = None) -> Findings:
    """Average the probabilities of kept epochs, as `Together` says.

    Args:
        epochs: the kept epochs that take part; null for all.
        sizes: also ensembles of so many of them, those nearest to evenly spaced ones: (i + 1) num_epochs / size - 1.

    Returns: accuracy, nll and rejected of the ensemble of all, its `gain` over the run's selected epoch, accuracy_of_N
        for each size, and the members' own accuracy: mean_member, best_member.
    Raises: NotApplicable if fewer than two epochs were kept; ConfigError for epochs that were not, or sizes that are
        none.
    Source: Zhang et al. 2020, arXiv:2011.12562, Table III.
    """
    chosen = choose_epochs(subject, epochs, f"{KEY}.epochs")
    if len(chosen) < 2:
        raise NotApplicable(f"needs two kept epochs or more, there are {len(chosen)}; train with keep_epochs")
    groups = {size: _evenly(chosen, size, subject.config.num_epochs) for size in sizes or ()}
    target, selected = subject.answers.target, subject.answers.prediction  # before the network has other weights
    together, parts = Together(), {size: Together() for size in groups}
    alone, growing = [], []
    with snapshots(subject, chosen) as members:
        for member in members:
            said = member.answers.prediction, member.answers.log_probabilities
            for part in (together, *(parts[size] for size, group in groups.items() if member.epoch in group)):
                part.add(*said)
            alone.append(float(member.answers.right.double().mean()))
            growing.append(together.accuracy(target))
    found = Findings("ensembles")
    found.add("members", len(chosen))
    found.add_share("accuracy", together.accuracy(target), len(target))
    found.add("gain", together.accuracy(target) - float((selected == target).double().mean()))
    found.add("nll", together.nll(target))
    found.add("rejected", float((together.prediction == REJECTED).double().mean()))
    for size, part in parts.items():
        found.add(f"accuracy_of_{size}", part.accuracy(target))
    found.add("mean_member", sum(alone) / len(alone))
    found.add("best_member", max(alone))
    rows = [(str(epoch + 1), *map(percent, each)) for epoch, *each in zip(chosen, alone, growing, strict=True)]
    found.add_table("Members", ("epoch", "accuracy", "together with those before"), rows)
    found.details = {"epochs": chosen, "accuracy": alone, "growing": growing, "sizes": [*groups.values()]}
    path = subject.output / "ensembles.png"
    curves = {"right, this epoch alone": alone, "right, mean of it and those before": growing}
    plot_over_epochs(curves, chosen, subject.epoch, path)
    found.pictures.append(Picture(path, "Accuracy of kept epochs, each alone and with all before it"))
    if not subject.classifier.loss.calibrated:
        found.notes.append("the probabilities of this loss are a convention; where they are 0 or 1, their mean votes")
    return found


def _evenly(epochs: Sequence[int], size: int, num_epochs: int) -> list[int]:
    """Return so many epochs, each nearest to one of as many evenly spaced ones.

    Raises: ConfigError if there are too few, or two of them would be the same.
    """
    nearest = {min(epochs, key=lambda each: abs(each - ((i + 1) * num_epochs / size - 1))) for i in range(max(size, 0))}
    if size < 1 or len(nearest) < size:
        held = ", ".join(map(str, epochs))
        raise ConfigError(f"{KEY}.sizes: must be >= 1 and fit the kept epochs ({held}) evenly, got {size}")
    return sorted(nearest)

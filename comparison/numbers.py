"""How numbers are written and which of two is better: one rule for tables, files and pages.

A number of an evaluation has the unit, digits and direction that the evaluation gave it; all others have those that
their name tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from comparison.grouping import Difference, Spread
from evaluation.findings import PARTS_OF_ONE
from evaluation.glossary import Better
from metrics import ABSOLUTE_METRICS, ALL_METRICS, lower_is_better

COST_NAMES = {
    "seconds": "seconds",
    "images_per_second": "images/s",
    "num_parameters": "parameters",
    "multiply_adds": "multiply-adds",
}
"""What a run cost, by the names in its summary."""
UNPAIRED = " ¶"
"""The mark of a difference between groups that share no seed."""
SMALLER_IS_BETTER = frozenset({"seconds", "num_parameters", "multiply_adds", "waiting_share"})


@dataclass(frozen=True)
class Unit:
    """How values of one number are written.

    Args:
        name: what stands behind a comma in headings, "" for a number itself.
        digits: behind the point; None for few, as costs have.
    """

    name: str = ""
    digits: int | None = 4

    @property
    def is_share(self) -> bool:
        """Whether values are shares, written as percent."""
        return self.name in PARTS_OF_ONE

    def text(self, value: float, signed: bool = False) -> str:
        if self == PLAIN and isinstance(value, int):
            return f"{value:,}"
        shown = 100 * value if self.is_share else value
        digits = (1 if abs(value) < 100 else 0) if self.digits is None else self.digits
        if self == PLAIN and abs(value) >= 1000:
            digits = 0
        return f"{shown:{'+' if signed else ''}{'' if self.is_share else ','}.{digits}f}"

    def spread(self, spread: Spread) -> str:
        """Return mean ± standard deviation (seeds), of costs the mean alone."""
        std = "" if spread.std is None or self == COST else f" ± {self.text(spread.std)}"
        return f"{self.text(spread.mean)}{std} ({spread.count})"

    def difference(self, difference: Difference) -> str:
        """Return a difference with its sign, marked where no seed is shared."""
        return self.text(difference.value, signed=True) + ("" if difference.is_paired else UNPAIRED)

    def heading(self, name: str) -> str:
        """Return a number's name with its unit."""
        return ", ".join(filter(None, (COST_NAMES.get(name, name), self.name)))


PLAIN, SHARE, COST = Unit(), Unit("%", 2), Unit(digits=None)


def unit_of(name: str) -> Unit:
    """Return the unit of a number in summary.json or metrics.csv."""
    if name in COST_NAMES:
        return COST
    metric = name.rpartition("/")[2].removeprefix("train_").removeprefix("valid_")
    return SHARE if "/" in name and metric in ALL_METRICS and metric not in ABSOLUTE_METRICS else PLAIN


def better_of(metric: str) -> Better:
    """Return which direction of a number in summary.json or metrics.csv is better."""
    lower = metric in SMALLER_IS_BETTER or lower_is_better(metric.replace("_loss", "/loss"))
    return "lower" if lower else "higher"


def notes_on_differences(differences: Sequence[Difference]) -> Iterator[str]:
    """Yield which differences are not those of the means that a table shows, and which are not paired."""
    if partly := sum(each.is_paired and each.unshared > 0 for each in differences):
        yield (
            f"difference: in {partly:,} of {len(differences):,} over the seeds that both groups have; means are over "
            "all seeds of each"
        )
    if not all(each.is_paired for each in differences):
        yield f"{UNPAIRED.strip()} no seed in common: the difference of two means over different seeds, not paired"


def p_text(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"

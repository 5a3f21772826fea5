"""Units of numbers, which of two is better, and which metric there is: one rule for tables, files and pages.

A number of an evaluation has the unit, digits and direction of its evaluation; all others have those of their name.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from comparison.groups import Difference, Spread
from comparison.sources import Selection
from evaluation.findings import PARTS_OF_ONE
from evaluation.glossary import Better
from metrics import ABSOLUTE_METRICS, ALL_METRICS, lower_is_better
from utils.lookup import did_you_mean
from utils.types import ConfigError

COST_NAMES = {
    "seconds": "seconds",
    "images_per_second": "images/s",
    "num_parameters": "parameters",
    "multiply_adds": "multiply-adds",
}
"""Costs of a run: their names in its summary and in tables."""
UNPAIRED = " ¶"
"""The mark of a difference between groups that share no seed."""
ROPE_OF_SHARES, ROPE_OF_PLAIN = 0.3, 0.01
"""The largest difference that does not matter unless `--rope` says otherwise: of shares in points."""
WORDS = {"val": "valid", "validation": "valid", "acc": "accuracy", "ce": "cross_entropy", "top5": "top5_accuracy"}
"""Other spellings of parts of a metric's name."""
SMALLER_IS_BETTER = frozenset({"seconds", "num_parameters", "multiply_adds", "waiting_share"})


@dataclass(frozen=True)
class Unit:
    """How values of one number are written.

    Args:
        name: follows the metric in headings, "" for a plain number.
        digits: after the point; None for few, as costs have.
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


def rope_of(metric: str, unit: str, chosen: float | None) -> float | None:
    """Return the largest difference that does not matter, in the numbers' own unit; None for a unit without default."""
    if unit in PARTS_OF_ONE:
        return (ROPE_OF_SHARES if chosen is None else chosen) / 100
    return ROPE_OF_PLAIN if chosen is None and not unit and metric not in COST_NAMES else chosen


def notes_on_differences(differences: Sequence[Difference]) -> Iterator[str]:
    """Yield which differences are not those of the means that a table shows, and which are not paired."""
    if partly := sum(difference.is_paired and difference.unshared > 0 for difference in differences):
        yield (
            f"difference: in {partly:,} of {len(differences):,} over the seeds that both groups have; means are over "
            "all seeds of each"
        )
    if not all(difference.is_paired for difference in differences):
        yield f"{UNPAIRED.strip()} no seed in common: the difference of two means over different seeds, not paired"


def p_text(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def settle_metrics(options: Any) -> list[str]:
    """Set the first metric of parsed options, and further ones; return what is wrong with them or with the rope."""
    words = [name for text in options.metric or ["test/accuracy"] for name in map(str.strip, text.split(",")) if name]
    options.metric, *more = dict.fromkeys(words) or [""]
    options.more_metrics, problems = tuple(more), []
    if options.rope is not None and not 0 < options.rope < math.inf:
        problems.append(f"--rope: must be a positive number in the metric's unit, got {options.rope:g}")
    if options.rope is not None and more:
        problems.append(f"--rope: each metric has a unit of its own; give one --metric, got {', '.join(words)}")
    return problems


def check_metric(selection: Selection, metric: str) -> None:
    """Raises: ConfigError for a metric that no run has."""
    names = {name for run in selection.runs for name in run.numbers}
    if metric in names:
        return
    tested = ", ".join(sorted(name for name in names if name.startswith("test/")))
    evaluated = ", ".join(sorted({name for run in selection.runs for name in run.findings} & names))
    more = f"of evaluations {evaluated}" if evaluated else "python evaluate.py RUN adds others"
    part, *words = [WORDS.get(word, word) for word in re.split(r"[\s/_.-]+", metric.lower()) if word] or [metric]
    spelled = "/".join([part, "_".join(words)]) if words else part  # as summaries spell "val_acc" or "test acc"
    hint = did_you_mean(spelled, names)
    raise ConfigError(f"--metric: no run has {metric!r}{hint}; there are {tested}, ...; {more}")


def in_one_unit(selection: Selection, metric: str) -> Selection:
    """Leave out runs whose number is in another unit than that of most, as one of another version can be."""
    units = {run: run.findings[metric].unit for run in selection.runs if metric in run.findings}
    if len(set(units.values())) < 2:
        return selection
    usual = Counter(units.values()).most_common(1)[0][0]
    odd = {run: unit for run, unit in units.items() if unit != usual}
    reasons = [(run.folder.path, f"{metric} is in {unit!r}, of others in {usual!r}") for run, unit in odd.items()]
    return replace(
        selection, runs=tuple(run for run in selection.runs if run not in odd), damaged=(*selection.damaged, *reasons)
    )


def check_reach(selection: Selection, reach: float | None) -> None:
    """Raises: ConfigError for no finite number, or a share above 1, such as 90 where 90 % is meant."""
    if reach is not None and not math.isfinite(reach):
        raise ConfigError(f"--reach: must be a finite number, got {reach:g}")
    shares = [name for name in {str(run.settings["monitor"]) for run in selection.runs} if unit_of(name).is_share]
    if reach is not None and reach > 1 and shares:
        raise ConfigError(f"--reach: {min(shares)} is a share of 1, so 0.9 means 90 %, got {reach:g}")

"""Learning-rate schedules that torch does not ship, and the factors by name that stand in for a lambda."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

WARMUPS = ("before", "first", "every")


class CosineWarmupRestarts(LRScheduler):
    """A linear warm-up, then cosine annealing that restarts, in every optimizer step.

    Within a period of E epochs, t epochs (with fractions) after its start:
    lr = min_lr + (lr_0 - min_lr) (1 + cos(pi t / E)) / 2.

    A warm-up before the first period delays every restart by its length. One of W epochs within a period leaves the
    restarts at whole periods; the period anneals in its E - W other epochs, and its last step has min_lr itself:
    t and E are counted from the end of the warm-up to that step.

    Args:
        optimizer: whose learning rates are the peaks.
        steps_per_epoch: optimizer steps of an epoch; given by the runner.
        period: epochs from a restart to the next. OSM paper: 100.
        multiplier: each period lasts this many times the one before.
        decay: each restart's peak is this many times the one before.
        warmup_epochs: epochs from `warmup_start` of the peak to the peak.
        warmup: where it stands: "before" the first period, within the "first" one, or within "every" one.
        warmup_start: share of the peak at the first step.
        min_lr: learning rate at the end of a period.

    Raises: ValueError if a parameter is out of range.
    Source: Loshchilov and Hutter 2017, "SGDR", arXiv:1608.03983, eq. 5; used by arXiv:2206.01002, sec. 4.1.
    Deviations: the OSM paper does not say how long it warms up; 5 epochs is our default.
    """

    interval = "step"

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        steps_per_epoch: int,
        period: float = 100,
        multiplier: float = 1.0,
        decay: float = 1.0,
        warmup_epochs: float = 5,
        warmup: Literal["before", "first", "every"] = "before",
        warmup_start: float = 0.01,
        min_lr: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        for name, value, fits, allowed in (
            ("period", period, period > 0, "> 0"),
            ("multiplier", multiplier, multiplier >= 1, ">= 1"),
            ("decay", decay, 0 < decay <= 1, "> 0 and <= 1"),
            ("warmup_epochs", warmup_epochs, warmup_epochs >= 0, ">= 0"),
            ("warmup_start", warmup_start, 0 < warmup_start <= 1, "> 0 and <= 1"),
            ("min_lr", min_lr, min_lr >= 0, ">= 0"),
            ("warmup", warmup, warmup in WARMUPS, f"one of {', '.join(WARMUPS)}"),
            ("period", period, warmup == "before" or period > warmup_epochs, f"> warmup_epochs ({warmup_epochs})"),
        ):
            if not fits:
                raise ValueError(f"{name} must be {allowed}, got {value}")
        self.steps_per_epoch, self.period, self.multiplier, self.decay = steps_per_epoch, period, multiplier, decay
        self.warmup_epochs, self.warmup, self.warmup_start, self.min_lr = warmup_epochs, warmup, warmup_start, min_lr
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [self._at(self.last_epoch / self.steps_per_epoch, float(peak)) for peak in self.base_lrs]

    def _at(self, epochs: float, peak: float) -> float:
        period, rise, step = self.period, self.warmup_epochs, 1 / self.steps_per_epoch
        if self.warmup == "before":
            if epochs < rise:
                return self._rising(epochs / rise, peak)
            epochs, rise, step = epochs - rise, 0.0, 0.0
        while epochs >= period:
            epochs, period, peak = epochs - period, period * self.multiplier, peak * self.decay
            rise = rise if self.warmup == "every" else 0.0
        if epochs < rise:
            return self._rising(epochs / rise, peak)
        annealing = max(period - rise - step, step)  # a period may have a single step behind its warm-up
        epochs = min(epochs - rise, annealing)
        return self.min_lr + (peak - self.min_lr) * (1 + math.cos(math.pi * epochs / annealing)) / 2

    def _rising(self, share: float, peak: float) -> float:
        return peak * (self.warmup_start + (1 - self.warmup_start) * share)


FACTORS = ("linear", "cosine", "inverse_sqrt")


def factor_schedule(given: Mapping[int, float] | str, num_epochs: int) -> Callable[[int], float]:
    """Return the function of the epoch that LambdaLR and MultiplicativeLR take, from a table or a formula's name.

    Args:
        given: {epoch: factor}, each valid from its epoch until the next, 1 before the first; or "linear" (1 to 0 over
            the run), "cosine" (the same along a cosine), "inverse_sqrt" (1 / sqrt(1 + epoch)).
        num_epochs: length of the run.

    Raises: ValueError for anything else.
    """
    if isinstance(given, Mapping) and given:
        table = sorted((int(epoch), float(factor)) for epoch, factor in given.items())
        return lambda epoch: next((factor for start, factor in reversed(table) if epoch >= start), 1.0)
    if given == "linear":
        return lambda epoch: max(1 - epoch / num_epochs, 0.0)
    if given == "cosine":
        return lambda epoch: (1 + math.cos(math.pi * min(epoch / num_epochs, 1))) / 2
    if given == "inverse_sqrt":
        return lambda epoch: (1 + epoch) ** -0.5
    raise ValueError(f"lr_lambda must be a table {{epoch: factor}} or one of {', '.join(FACTORS)}, got {given!r}")

"""Groups of parameters as `--check` shows them: their optimizers, learning rates, weight decays and epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from training import optimizers
from training.freezing import build_run_optimizer, frozen_names, trained

if TYPE_CHECKING:
    from training.building import Preparation

HEADINGS = ("group", "optimizer", "tensors", "parameters", "lr", "weight decay", "epochs")
MOST = 30
"""Rows of a table; a deep network with `layer_decay` has more."""


def group_table(prepared: Preparation) -> list[str]:
    """Return a line for each group of the optimizer and one for what is frozen; none where all train alike."""
    config = prepared.config
    if not (config.optimizer_groups or config.freeze or config.layer_decay or not config.decay_norms_and_biases):
        return []
    classifier = prepared.classifier
    weights = classifier.named_weights()
    optimizer: Any = build_run_optimizer(config, classifier.network, weights)
    names = {
        id(weight): name
        for name, members in optimizers.assign(trained(weights, config), config.optimizer_groups).items()
        for weight in members
    }
    rows = []
    for part in getattr(optimizer, "parts", [optimizer]):
        kind = type(getattr(part, "base_optimizer", part)).__name__
        for group in part.param_groups:
            name = names[id(group["params"][0])]
            sizes = [weight.numel() for weight in group["params"]]
            rates = f"{group['lr']:.3g}", f"{group.get('weight_decay', 0):g}"
            epochs = _epochs(config.optimizer_groups.get(name), config.num_epochs)
            rows.append((name or "the rest", kind, str(len(sizes)), f"{sum(sizes):,}", *rates, epochs))
    if frozen := frozen_names(weights, config.freeze):
        sizes = [weights[name].numel() for name in frozen]
        statistics = f", {len(classifier.still)} layers' statistics too" if classifier.still else ""
        rows.append(("frozen", "", str(len(sizes)), f"{sum(sizes):,}", "", "", f"none{statistics}"))
    more = len(rows) - MOST
    shown = [HEADINGS, *rows[:MOST]]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown]
    return lines + ([f"and {more} more"] if more > 0 else [])


def _epochs(group: Any, num_epochs: int) -> str:
    if group is None or (not group.start_epoch and not group.epochs):
        return "all"
    return f"{(group.start_epoch or 0) + 1} to {min(group.epochs or num_epochs, num_epochs)}"

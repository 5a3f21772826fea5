"""Whether a loss uses the names of the contract for what they mean there."""

from __future__ import annotations

from typing import Any

from .base import ClassificationLoss

KINDS, SAMPLINGS = ("image", "sequence"), ("shuffle", "repeated", "class_balanced")
METHODS = (
    *("make_head", "sample_losses", "mean_loss", "terms", "log_probabilities", "predict", "confidence", "impossible"),
    *("untraceable", "begin_epoch", "on_epoch_end", "end_validation", "with_options"),
)


def contract_problems(loss: ClassificationLoss) -> dict[str, str]:
    """Return attribute of the contract -> what it must be, for those that a loss uses for something else."""
    counts = ("views", "repeats", "samples_per_class")
    stages = loss.stages
    fits = {
        "kind": (isinstance(loss.kind, str) and loss.kind in KINDS, " or ".join(KINDS)),
        "sampling": (isinstance(loss.sampling, str) and loss.sampling in SAMPLINGS, " or ".join(SAMPLINGS)),
        "stages": (
            isinstance(stages, tuple) and all(type(stage) is int for stage in stages),
            "a tuple of whole numbers",
        ),
        "num_classes": (loss.num_classes is None or type(loss.num_classes) is int, "a whole number or None"),
        **{name: (_is_count(getattr(loss, name)), "a whole number >= 1") for name in counts},
        **{name: (isinstance(getattr(loss, name), bool), "true or false") for name in ("soft_targets", "calibrated")},
        **{name: (callable(getattr(loss, name)), "a method") for name in METHODS},
    }
    return {name: allowed for name, (does_fit, allowed) in fits.items() if not does_fit}


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 1

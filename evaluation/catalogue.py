"""Every name that a configuration may use, listed and checked without importing torch."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping

from datasets import DATASETS, MIXINGS
from evaluation import EVALUATIONS, check_evaluation_name
from losses import LOSSES, TORCH_LOSSES
from metrics import ALL_METRICS
from models import ALIASES, ARCHITECTURES, DENSE_ARCHITECTURES, OURS, resolve_architecture
from models.sizes import CLASSES, Size, read_sizes, short_number
from tracking import TRACKERS
from training import names
from training.names import optimizers, schedulers, tensor_transforms
from utils.lookup import did_you_mean, timm_architectures, torchvision_architectures
from utils.types import ConfigError

NAME_CHECKS: dict[str, Callable[[str], str | None]] = {
    **names.NAME_CHECKS,
    "evaluate": check_evaluation_name,
    "evaluate_params": check_evaluation_name,
}
"""Configuration key -> what is wrong with a name given there, or None."""


def _architectures() -> dict[str, dict[str, str]]:
    """Return, section by section, architecture -> where it comes from."""
    return {
        "ours": {name: entry.summary for name, entry in ARCHITECTURES.items()},
        "for pixels and regions": {name: entry.summary for name, entry in DENSE_ARCHITECTURES.items()},
        "the thesis's short names": {name: f"short for {target}" for name, target in ALIASES.items()},
        "torchvision": dict.fromkeys(torchvision_architectures(), "torchvision"),
        "timm": dict.fromkeys(timm_architectures(), "timm"),
    }


def _architecture_table() -> str:
    sizes = read_sizes()
    parts = [f"Trainable parameters at {CLASSES} classes, multiply-adds for one colour image of the size shown (px)."]
    for heading, rows in _architectures().items():
        width = max(map(len, [heading, *rows]))
        lines = [f"{heading + ':':<{width + 2}}  parameters  multiply-adds    image"]
        for name, source in rows.items():
            lines.append(f"  {name:<{width}}  {_costs(sizes.get(resolve_architecture(name)), source)}")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _costs(size: Size | None, source: str) -> str:
    """Return three cells, blank for a network that was not counted, and the source; or why it is not supported."""
    if size is None:
        return f"{'':10}  {'':13}  {'':7}  {source}"
    if size.problem:
        return f"not supported: {size.problem.partition(',')[0]}"  # the clause that leaves it within a line
    return (
        f"{short_number(size.parameters):>10}  {short_number(size.multiply_adds):>13}  {size.image_size:>7}  {source}"
    )


LISTS: dict[str, Callable[[], dict[str, str]]] = {
    "losses": lambda: (
        {name: entry.summary for name, entry in LOSSES.items()}
        | {name: f"torch.nn: {summary}" for name, summary in TORCH_LOSSES.items()}
    ),
    "datasets": lambda: {name: entry.summary for name, entry in DATASETS.items()},
    "architectures": lambda: functools.reduce(operator.or_, _architectures().values()),
    "optimizers": optimizers,
    "schedulers": schedulers,
    "transforms": tensor_transforms,
    "mixing": lambda: {name: entry.summary for name, entry in MIXINGS.items()},
    "metrics": lambda: {name: entry.summary for name, entry in ALL_METRICS.items()},
    "trackers": lambda: {name: entry.summary for name, entry in TRACKERS.items()},
    "evaluations": lambda: {name: entry.summary for name, entry in EVALUATIONS.items()},
}


OF_YOUR_OWN = "\nor one of your own, FILE.py:NAME (docs/own_components.md)"
TAKING_OWN = ("losses", "datasets", "optimizers", "schedulers", "transforms", "mixing", "metrics")


def list_names(table: str) -> str:
    """Return one line for each name of a table, or of all tables but timm's and torchvision's long ones for "all".

    Architectures come in sections, with what they cost.

    Raises: ConfigError for an unknown table.
    """
    if table == "all":
        parts = []
        for name in LISTS:
            rows = LISTS[name]()
            if name == "architectures":
                shown = {key: text for key, text in rows.items() if key in OURS or key in ALIASES}
                hidden = len(rows) - len(shown)
                rows = shown | {f"and {hidden} of torchvision and timm": "python train.py --list architectures"}
            parts.append(f"{name}:\n{_table(rows)}")
        return "\n\n".join(parts)
    if table == "architectures":
        return _architecture_table() + OF_YOUR_OWN
    if table not in LISTS:
        raise ConfigError(f"--list {table}: unknown table{did_you_mean(table, LISTS)}; one of {', '.join(LISTS)}")
    return _table(LISTS[table]()) + (OF_YOUR_OWN if table in TAKING_OWN else "")


def _table(rows: Mapping[str, str]) -> str:
    width = min(max(map(len, rows), default=0), 40)
    return "\n".join(f"  {name:<{width}}  {text}".rstrip() for name, text in rows.items())

"""A `Comparison` as rows of numbers, for files that other programs read: unrounded, shares as shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from comparison.groups import Spread, varied_keys
from comparison.panels import Cell, Comparison, Panel
from comparison.strata import CODE, pooled_facts
from comparison.verdict_tables import effect_size
from configuration.settings import shown


def group_records(comparison: Comparison) -> list[dict[str, Any]]:
    """Return one row per group: its place, the settings that differ, every number's mean and spread, test and paper."""
    varied = varied_keys(comparison.groups)
    return [_record(panel, cell, comparison, varied) for panel, cell in comparison.placed_cells]


def _record(panel: Panel, cell: Cell, comparison: Comparison, varied: Sequence[str]) -> dict[str, Any]:
    group = cell.group
    record: dict[str, Any] = {"table": panel.title, "row": cell.row, "column": cell.column}
    record |= _settings(group.settings, varied)
    record |= {"seeds": " ".join(str(run.seed) for run in group.runs), "best_of_column": cell.best}
    metrics = dict.fromkeys((comparison.options.metric, *(name for run in group.runs for name in run.numbers)))
    for name in metrics:
        spread = Spread.of(group.values(name).values())
        if spread is not None:
            record |= {f"{name} mean": spread.mean, f"{name} std": spread.std, f"{name} n": spread.count}
    if cell.reached is not None:
        record |= {"epochs_to_reach": cell.reached.median, "runs_that_reached": cell.reached.runs}
    if cell.contrast is not None:
        record |= {"baseline": panel.baseline, "verdict": cell.contrast.verdict}
        record |= {"no_image_test": cell.contrast.detail or cell.contrast.reason}
        if (difference := cell.contrast.difference) is not None:
            shared = " ".join(map(str, difference.by_seed)) or "none in common"
            record |= {"difference": difference.value, "difference_seeds": shared}
        if cell.contrast.num_seeds:
            seeds = cell.contrast.over_seeds
            record["p_seeds"] = None if seeds is None else seeds.p_value
            record["p_seeds_holm"] = None if seeds is None else cell.contrast.adjusted_seeds
        if (images := cell.contrast.over_images) is not None:
            record |= {"interval_low": images.low, "interval_high": images.high}
            record |= {"p_images": images.p_value, "p_images_holm": images.adjusted, "images": images.images}
    record |= _verdict(cell, comparison)
    record["warnings"] = "; ".join(panel.warnings)
    for number, paper in enumerate(cell.papers):
        name = "paper" if number == 0 else f"paper {number + 1}"
        record |= {name: paper.value, f"{name} std": paper.spread, f"{name} table": paper.table}
    return record


def _verdict(cell: Cell, comparison: Comparison) -> dict[str, Any]:
    """Return what is known of a row by one interval over seeds and images; `verdict` beside it is of two tests."""
    record: dict[str, Any] = {} if cell.leading is None else {"may_be_best": cell.leading}
    if (verdict := cell.verdict) is None:
        return record
    record |= {"decision": verdict.decision, "rope": comparison.rope, "no_interval": verdict.reason}
    if verdict.parts is not None:
        record |= {"difference_low": verdict.low, "difference_high": verdict.high, "effect_size": effect_size(verdict)}
        record |= {"p_difference": verdict.p_difference, "p_difference_holm": verdict.adjusted_difference}
        record |= {"p_same": verdict.p_same, "p_same_holm": verdict.adjusted_same, "interval_images": verdict.images}
    if verdict.need is not None:
        record |= {
            "seeds_that_decide": verdict.need.seeds,
            "seeds_low": verdict.need.low,
            "seeds_high": verdict.need.high,
        }
    return record


def run_records(comparison: Comparison) -> list[dict[str, Any]]:
    """Return one row per run: folder, seed, the settings that differ, and every number of its summary."""
    varied = varied_keys(comparison.groups)
    pooled = [name for name in pooled_facts(comparison.groups) if not name.startswith(f"{CODE}.")]
    return [
        {
            "folder": str(run.folder.path),
            "seed": run.seed,
            **_settings(run.settings, varied),
            **{name: run.facts.text(name) for name in pooled},
            **run.numbers,
        }
        for group in comparison.groups
        for run in group.runs
    ]


def _settings(settings: dict[str, Any], varied: Sequence[str]) -> dict[str, Any]:
    return {key: shown(settings[key]) if key in settings else "" for key in varied}

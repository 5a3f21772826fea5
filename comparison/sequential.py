"""A sweep trained until its verdicts are decided: `sweep.seeds: auto`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec

from comparison.formats import to_terminal
from comparison.panels import Comparison, Options, compare
from comparison.sources import find_cells
from comparison.tables import build_tables
from configuration.schema import Configuration
from runs.code import OnChange
from sweeps.block import AUTO, Block
from sweeps.execution import run_sweep
from sweeps.jobs import Shard
from sweeps.seeds import level_of, looks, with_seeds
from utils.logs import presentable


def train_sweep(
    config: Configuration,
    shard: Shard | None,
    *,
    check: bool = False,
    fresh: bool = False,
    changed_code: OnChange = None,
) -> None:
    """Train a sweep; one with `seeds: auto` with more and more seeds, until each verdict is decided or all are trained.

    Each look has a level of its own, which together make 5 % (`sweeps.seeds.level_of`).

    Raises: as `run_sweep`; ConfigError for `--fresh` or `--shard`, which know no later looks.
    """
    block = msgspec.convert(config.sweep, Block)
    if block.seeds != AUTO or check:
        run_sweep(config, shard, check=check, fresh=fresh, changed_code=changed_code)
        return
    if fresh or shard is not None:
        option = "--fresh" if fresh else "--shard"
        raise config.error({("sweep", "seeds"): f"{option} needs a number of seeds, got auto; give sweep.seeds=8"})
    planned = looks(block.most_seeds)
    for number, seeds in enumerate(planned, start=1):
        part = with_seeds(config, seeds)
        run_sweep(part, None, changed_code=changed_code)
        comparison = look(part, seeds, block)
        tables = [table for table in build_tables(comparison) if table.title.startswith("Verdicts")]
        print(presentable(to_terminal(tables, [f"look {number} of {len(planned)}, after {seeds} seeds"])), flush=True)
        if not (left := undecided(comparison)):
            print(f"seeds: auto ends after {seeds} seeds: nothing is left undecided", flush=True)
            return
        more = f"training up to {planned[number]} seeds" if number < len(planned) else "most_seeds is reached"
        print(f"undecided: {', '.join(left)}; {more}", flush=True)


def look(config: Configuration, seeds: int, block: Block) -> Comparison:
    """Compare the runs of a sweep at the level of this look."""
    name = Path(config._places.get((), "sweep")).stem
    selection = replace(find_cells(config, name), looks_at=(seeds, block.most_seeds))
    assert level_of(seeds, block.most_seeds) > 0
    return compare(selection, Options(rope=block.rope))


def undecided(comparison: Comparison) -> list[str]:
    """Return the rows, each with its column, that need more seeds: not those that no number of seeds decides."""
    return [
        " ".join(filter(None, (cell.row, cell.column, panel.title)))
        for panel, cell in comparison.placed_cells
        if cell.verdict is not None
        and cell.verdict.decision == "undecided"
        and (cell.verdict.need is None or cell.verdict.need.ever)
    ]

"""Print the pages of the dashboard that have a table prepared: python -m utils.trackers.addresses OUTPUT PORT."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace

from utils.trackers.mlflow_store import EVERY_RUN, VIEW, open_store, view_address


def addresses(output: str, server: str) -> Iterator[str]:
    """Yield a line for each experiment of an output folder's SQLite store, and one for each of its sweeps."""
    with open_store(SimpleNamespace(output_path=output, mlflow_uri=None)) as store:
        for experiment in reversed(store.client.search_experiments()):
            views = [tag.removeprefix(VIEW) for tag in experiment.tags if tag.startswith(VIEW)]
            for name in sorted(views, key=lambda name: (name != EVERY_RUN, name)):
                shown = f"all runs of {experiment.name}" if name == EVERY_RUN else f"sweep {name}"
                yield f"{shown}\n  {view_address(server, experiment.experiment_id, name)}"


if __name__ == "__main__":
    print("\n".join(addresses(sys.argv[1], f"http://127.0.0.1:{sys.argv[2]}")))

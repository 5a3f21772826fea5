"""A sweep as dashboards show it. Imports nothing heavy, and is sent to other processes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from utils.secrets import redact, without_secrets


@dataclass(frozen=True)
class Family:
    """A sweep as trackers show it, the same in every process that runs a part of it.

    Nothing of it enters a run's configuration: a run of a sweep is identical to the same run alone.

    Args:
        experiment: the experiment of all its runs.
        name: unique; of letters, digits and `_.-`.
        varied: axis -> values, and the settings of the command line for all runs.
        num_runs: number of runs over all its parts.
        about: facts about it, such as the paper and the table; tags of each of its runs too.
        cell: name of one of its runs; empty for the sweep itself.
    """

    experiment: str
    name: str
    varied: dict[str, str] = field(default_factory=dict)
    num_runs: int = 0
    about: dict[str, str] = field(default_factory=dict)
    cell: str = ""

    @property
    def tags(self) -> dict[str, str]:
        """Tags of its runs."""
        return {"sweep": self.name, **self.about, **({"cell": self.cell} if self.cell else {})}

    def without_secrets(self) -> Family:
        """Return it as it may be stored."""
        return replace(
            self,
            experiment=redact(self.experiment),
            varied=without_secrets(self.varied),
            about=without_secrets(self.about),
            cell=redact(self.cell),
        )


@dataclass(frozen=True)
class Results:
    """Results of a sweep's runs in one process.

    Args:
        finished: cell -> run folder, of runs finished now or earlier.
        failed: cells of the others.
        pruned: cells of the runs that a search stopped.
    """

    finished: dict[str, str] = field(default_factory=dict)
    failed: frozenset[str] = frozenset()
    pruned: frozenset[str] = frozenset()

    def without_secrets(self) -> Results:
        """Return it as it may be stored."""
        finished = {redact(cell): folder for cell, folder in self.finished.items()}
        return Results(finished, frozenset(map(redact, self.failed)), frozenset(map(redact, self.pruned)))

"""What the runs of a sweep share in dashboards. Imports nothing heavy, and travels to other processes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from utils.secrets import redact, without_secrets


@dataclass(frozen=True)
class Family:
    """A sweep as trackers show it, the same in every process that runs a part of it.

    Nothing of it enters a run's configuration: a run of a sweep is the run by itself.

    Args:
        experiment: what all its runs are filed under.
        name: what it is called; of letters, digits and `_.-`, and no other sweep's.
        varied: what its runs differ in, axis -> values, and what the command line set for all of them.
        num_runs: how many it has, over all its parts.
        about: facts about it, such as the paper and the table; tags of each of its runs too.
        cell: name of the one run that is meant; empty for the sweep itself.
    """

    experiment: str
    name: str
    varied: dict[str, str] = field(default_factory=dict)
    num_runs: int = 0
    about: dict[str, str] = field(default_factory=dict)
    cell: str = ""

    @property
    def tags(self) -> dict[str, str]:
        """What a run of it is found by."""
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
    """What became of a sweep's runs in one process.

    Args:
        finished: cell -> its run folder, of those that are finished, now or before.
        failed: the cells of those that are not.
        pruned: the cells of those that a search has given up.
    """

    finished: dict[str, str] = field(default_factory=dict)
    failed: frozenset[str] = frozenset()
    pruned: frozenset[str] = frozenset()

    def without_secrets(self) -> Results:
        """Return it as it may be stored."""
        finished = {redact(cell): folder for cell, folder in self.finished.items()}
        return Results(finished, frozenset(map(redact, self.failed)), frozenset(map(redact, self.pruned)))

"""Strata: the device, versions and code of runs, so that no mean silently covers different ones.

Facts that can change numbers split the groups, unless the user pools them; those that seldom do are named where they
differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from runs.folder import DamagedFile
from utils.lookup import did_you_mean
from utils.types import ConfigError

if TYPE_CHECKING:
    from comparison.groups import Group
    from comparison.reading import Run
    from comparison.sources import Selection

CODE, COMMIT, PRECISION = "code", "commit", "precision"
POOLED = "pooled"
SPLITTING = ("device", PRECISION, "torch", "torchvision", "timm")
"""Facts whose difference splits a group."""
STRATA = (*SPLITTING, CODE, COMMIT)
"""Facts that `--pool` accepts."""
NAMED_ONLY = ("processor", "threads", "python", "cuda", "numpy", "pillow", "pytorch-lightning", "scikit-learn")
"""Facts whose difference is named below a table."""
NOT_RECORDED = "not recorded"
RECORDED = "code recorded instead"
"""The commit of a run that recorded the code itself, beside runs that did not."""


class Continued(Struct, frozen=True):
    """Args: changes: fact -> before and now, of a run that was resumed."""

    changes: dict[str, Any] = {}


class Facts(Struct, frozen=True):
    """The facts of a run's environment.json; older ones lack some.

    Args: code: file -> digest of its parsed code, of all files that decide the result.
    """

    device: str | None = None
    precision: str | None = None
    packages: dict[str, str | None] = {}
    processor: str | None = None
    threads: int | None = None
    python: str | None = None
    cuda: str | None = None
    git_commit: str | None = None
    git_changed: bool | None = None
    code: dict[str, str] | None = None
    data_fingerprint: str | None = None
    continued: tuple[Continued, ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Facts:
        """Raises: DamagedFile."""
        try:
            return msgspec.convert(values, cls)
        except msgspec.ValidationError as error:
            raise DamagedFile(f"environment.json is not of a run: {error}") from None

    def text(self, name: str) -> str:
        """Return a fact, a package's version or the commit, in words."""
        if name == COMMIT and self.code is not None:
            return RECORDED
        if name == COMMIT and self.git_commit is not None:
            return f"{self.git_commit[:10]}{' with changes' if self.git_changed else ''}"
        value = getattr(self, name) if name in self.__struct_fields__ else self.packages.get(name)
        return NOT_RECORDED if value is None else str(value)


def check_pooled(names: Iterable[str]) -> None:
    """Raises: ConfigError for what is no stratum."""
    lines = [
        f"--pool: {name!r} is not one of {', '.join(STRATA)}{did_you_mean(name, STRATA)}"
        for name in names
        if name not in STRATA
    ]
    if lines:
        raise ConfigError("\n".join(lines))


def with_strata(selection: Selection, metric: str, pooled: Collection[str]) -> Selection:
    """Return runs whose settings also say how they were trained; what is pooled is left out.

    Of the code, only files that differ between runs: each loss has its own. Where some run recorded no code, the commit
    stands for it. A number of an evaluation has the device that it was evaluated on, too.
    """
    code = [run.facts.code for run in selection.runs]
    pairs = {pair for files in code for pair in (files or {}).items()}
    versions = Counter(file for file, _ in pairs)
    differing = {file for file, count in versions.items() if count > 1 and CODE not in pooled}
    by_commit = COMMIT not in pooled and None in code
    names = [name for name in SPLITTING if name not in (*pooled, PRECISION)]
    evaluation = metric.partition("/")[0]

    def strata(run: Run) -> dict[str, Any]:
        values = {name: run.facts.text(name) for name in names}
        values |= {PRECISION: POOLED} if PRECISION in pooled else {}  # by itself the settings' own, `auto` resolved
        values |= {f"{CODE}.{file}": text for file, text in (run.facts.code or {}).items() if file in differing}
        if by_commit:
            values[COMMIT] = run.facts.text(COMMIT)
        if evaluation in run.conditions and "device" not in pooled:
            values[f"{evaluation}.device"] = run.conditions[evaluation].device or NOT_RECORDED
        return values

    return replace(selection, runs=tuple(replace(run, settings=run.settings | strata(run)) for run in selection.runs))


def is_stratum(key: str) -> bool:
    return key in STRATA or key.startswith(f"{CODE}.") or key.endswith(".device")


def kept_apart(groups: Sequence[Group]) -> list[str]:
    """Return the strata that keep groups apart which are alike in all else."""
    alike: dict[frozenset[tuple[str, Any]], list[Group]] = {}
    for group in groups:
        settings = frozenset((key, value) for key, value in group.settings.items() if not is_stratum(key))
        alike.setdefault(settings, []).append(group)
    keys = (key for members in alike.values() if len(members) > 1 for group in members for key in group.settings)
    return [
        key
        for key in dict.fromkeys(filter(is_stratum, keys))
        if any(len({group.settings.get(key) for group in members}) > 1 for members in alike.values())
    ]


def pooled_facts(groups: Sequence[Group]) -> dict[str, list[str]]:
    """Return the facts that differ within a group and their values; of code, those of each file."""
    differing: dict[str, set[str]] = {}
    for group in groups:
        facts = [run.facts for run in group.runs]
        values = {name: {fact.text(name) for fact in facts} for name in (*SPLITTING, COMMIT, *NAMED_ONLY)}
        for file, digest in {pair for fact in facts for pair in (fact.code or {}).items()}:
            values.setdefault(f"{CODE}.{file}", set()).add(digest)
        for name, texts in values.items():
            if len(texts) > 1:
                differing.setdefault(name, set()).update(texts)
    return {name: sorted(texts) for name, texts in differing.items()}


def pooled_differences(groups: Sequence[Group]) -> list[str]:
    """Return in what runs of one mean differ beside their seeds: facts that differ, and those that are not recorded."""
    lines = []
    if differing := pooled_facts(groups):
        texts = [f"{name} ({' | '.join(values)})" for name, values in differing.items()]
        lines.append(f"means are over runs that differ in {', '.join(texts)}")
    pooled = [run.facts for group in groups if len(group.runs) > 1 for run in group.runs]
    unknown = [name for name in (*SPLITTING, COMMIT) if any(fact.text(name) == NOT_RECORDED for fact in pooled)]
    if unknown:
        lines.append(f"some runs did not record their {', '.join(unknown)}, in which they may differ")
    facts = [run.facts for group in groups for run in group.runs]
    if changed := sum(fact.code is None and bool(fact.git_changed) for fact in facts):
        lines.append(f"{_runs(changed)} trained with uncommitted changes to the code that were not recorded")
    moved = [{name for part in fact.continued for name in part.changes} for fact in facts]
    if any(moved):
        names = ", ".join(sorted(set().union(*moved)))
        lines.append(f"{_runs(sum(map(bool, moved)))} resumed elsewhere, with another {names}")
    return lines


def _runs(number: int) -> str:
    return f"{number:,} {'run was' if number == 1 else 'runs were'}"

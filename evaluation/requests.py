"""What is asked of a run's evaluation: every mistake in it at once, before any network is built."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from configuration.reading import read_configuration
from configuration.schema import KEYS, WITHOUT_INFLUENCE, Configuration
from evaluation import EVALUATIONS, all_parameter_problems, check_evaluation_name, names_of_all
from evaluation.catalogue import NAME_CHECKS
from runs.folder import RunFolder
from utils.lookup import did_you_mean
from utils.types import ConfigError

PARTS = ("test", "valid")
CHANGEABLE = WITHOUT_INFLUENCE | {"batch_size", "precision"}
"""Keys that may be given anew: they do not change what the run is. The report names the precision."""


@dataclass(frozen=True)
class Request:
    """What a user asks for.

    Args:
        runs: their folders.
        on: "test", "valid" or a folder of images.
        only, also: names of evaluations; None where the option is not given.
        changes: `key=value`, as the configuration spells keys.
    """

    runs: tuple[Path, ...]
    on: str = "test"
    only: tuple[str, ...] | None = None
    also: tuple[str, ...] | None = None
    changes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        words: Sequence[str],
        on: str = "test",
        only: tuple[str, ...] | None = None,
        also: tuple[str, ...] | None = None,
    ) -> Request:
        """Args: words: run folders and `key=value`, of an evaluation also `name.parameter=value`."""
        runs = tuple(Path(word) for word in words if "=" not in word)
        return cls(runs, on, only, also, tuple(_as_key(word) for word in words if "=" in word))

    def check(self) -> None:
        """Raises: ConfigError with every mistake, one a line."""
        readable = [run for run in self.runs if run_problem(run) is None]
        lines = [
            *_name_mistakes(self),
            *_run_mistakes(self),
            *_part_mistakes(self.on),
            *_change_mistakes(self.changes, readable),
            *_parameter_mistakes(self, readable),
        ]
        if lines:
            raise ConfigError("\n".join(dict.fromkeys(lines)))


def run_problem(path: Path) -> str | None:
    """Return why a folder holds no run that can be evaluated, or None."""
    folder = RunFolder(path)
    if not path.is_dir():
        return f"{path}: no such folder"
    if not folder.config.exists():
        return f"{path}: not a run folder (no config.yml); runs are in output/"
    if not folder.best.is_file():
        finished = "it was deleted, or the run had keep_checkpoints: none"
        state = finished if folder.is_finished else "train.py has not ended an epoch of it yet"
        return f"{path}: no checkpoint {folder.best.relative_to(path)}: {state}"
    return None


def read_run(path: Path, changes: Sequence[str] = ()) -> Configuration:
    """Return what a run was trained by, with changes that cannot change what it is.

    Raises: ConfigError for a folder that holds no run, for wrong changes and for those that would make it another.
    """
    if problem := run_problem(path):
        raise ConfigError(problem)
    file = str(RunFolder(path).config)
    config = read_configuration(file, changes, NAME_CHECKS, of_a_run=True)
    if changes:
        before = read_configuration(file, (), NAME_CHECKS, of_a_run=True).values()
        changed = [key for key, value in config.values().items() if value != before[key] and key not in CHANGEABLE]
        if changed:
            allowed = "data_path, batch_size, accelerator, precision and others that cannot change what it is"
            raise config.error({(key,): f"is part of what this run is; only {allowed} can be given" for key in changed})
    return config


def part_problem(on: str) -> str | None:
    """Return what is wrong with the name of a part of data, or None."""
    if on in PARTS or Path(on).expanduser().is_dir():
        return None
    return f"--on {on}: must be test, valid or a folder of FOLDER/<class>/<image>; there is none"


def _as_key(word: str) -> str:
    """Return "attacks.eps=4" as the configuration spells it, also where the evaluation's name is mistyped."""
    head, dot, _ = word.partition("=")[0].partition(".")
    meant = head in EVALUATIONS or (dot and head not in KEYS and did_you_mean(head, EVALUATIONS))
    return f"evaluate_params.{word}" if meant else word


def _name_mistakes(request: Request) -> Iterator[str]:
    for option, names in (("--only", request.only), ("--also", request.also)):
        if names == ():
            yield f"{option}: names no evaluation (python evaluate.py --list)"
        for name in names or ():
            if problem := check_evaluation_name(name):
                yield f"{option}: {problem}"


def _run_mistakes(request: Request) -> Iterator[str]:
    strays = [str(run) for run in request.runs if str(run) in EVALUATIONS and not run.is_dir()]
    for run in request.runs:
        if str(run) in strays:
            yield f"{run}: {_separated(request, strays)}"
        elif problem := run_problem(run):
            yield problem
    if len(request.runs) == len(strays):
        yield "give a run's folder, such as those in output: python evaluate.py RUN"


def _separated(request: Request, strays: Sequence[str]) -> str:
    """Return how evaluations are named that stand where runs are expected."""
    option, names = ("--also", request.also) if request.only is None and request.also else ("--only", request.only)
    together = f"{option} {','.join(dict.fromkeys([*(names or ()), *strays]))}"
    return f"evaluations are separated by commas: {together}" if names else f"no such folder; an evaluation: {together}"


def _part_mistakes(on: str) -> Iterator[str]:
    if problem := part_problem(on):
        yield problem


def _change_mistakes(changes: Sequence[str], readable: Sequence[Path]) -> Iterator[str]:
    """Yield what is wrong with changes of these runs, or of any run where there is none."""
    for run in readable or (None,):
        if together := list(_mistakes_of(run, changes)):
            yield from together
            for change in changes:  # a mistake of another kind is told in a later stage, if they are read together
                yield from _mistakes_of(run, [change])


def _mistakes_of(run: Path | None, changes: Sequence[str]) -> list[str]:
    try:
        read_configuration(None, changes, NAME_CHECKS) if run is None else read_run(run, changes)
    except ConfigError as error:
        return str(error).splitlines()
    return []


def _parameter_mistakes(request: Request, readable: Sequence[Path]) -> Iterator[str]:
    """Yield what is wrong with parameters of evaluations: those of one that is not done, unknown ones, bad values."""
    wrong_names = any(_name_mistakes(request))
    done = _names_done(request, readable)
    for change in request.changes:
        try:
            config = read_configuration(None, [change], NAME_CHECKS)
        except ConfigError:
            continue  # told with the changes
        for name, params in config.evaluate_params.items():
            if name not in done and not wrong_names:  # else perhaps it is what was meant
                key = change.partition("=")[0].removeprefix("evaluate_params.")
                yield f"{key}: {name} is not among the evaluations that are done; --also {name} adds it"
            if problems := all_parameter_problems({name: params}):  # imports the evaluation, and torch
                yield from str(config.located(ConfigError("\n".join(problems)))).splitlines()


def _names_done(request: Request, readable: Sequence[Path]) -> set[str]:
    """Return the names of evaluations that are done on some run, of images or of texts."""
    done = {*(request.also or ()), *map(str, request.runs)}  # a name among the runs is told as one
    if request.only is not None:
        return done | {*request.only}
    own = (_own_evaluations(run) for run in readable)
    return done.union(names_of_all("image"), names_of_all("sequence"), *own)


def _own_evaluations(run: Path) -> list[str]:
    try:
        return read_run(run).evaluate
    except ConfigError:
        return []  # told with the changes

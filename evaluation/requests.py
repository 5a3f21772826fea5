"""Requests to evaluate runs: all mistakes in a command line at once, before any network is built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configuration.reading import read_configuration
from configuration.schema import KEYS, WITHOUT_INFLUENCE, Configuration
from evaluation import EVALUATIONS, all_parameter_problems, check_evaluation_name, default_evaluations
from evaluation.catalogue import NAME_CHECKS
from losses import LOSSES
from runs.folder import RunFolder
from utils.lookup import did_you_mean, load_entry
from utils.types import ConfigError

PARTS = ("test", "valid")
CHANGEABLE = WITHOUT_INFLUENCE | {"batch_size", "precision"}
"""Keys that may be changed, as they do not change the run's identity. The report names the precision."""


@dataclass(frozen=True)
class Request:
    """A user's request.

    Args:
        words: run folders and `key=value`, for an evaluation also `name.parameter=value`.
        on: "test", "valid" or a folder of images.
        only, also: names of evaluations; None without the option.
    """

    words: Sequence[str]
    on: str = "test"
    only: tuple[str, ...] | None = None
    also: tuple[str, ...] | None = None

    @property
    def runs(self) -> list[Path]:
        return [Path(word) for word in self.words if "=" not in word]

    @property
    def changes(self) -> list[str]:
        """The `key=value`, as the configuration spells keys."""
        return [_as_key(word) for word in self.words if "=" in word]

    def check(self) -> None:
        """Raises: ConfigError with every mistake, one per line."""
        readable = [run for run in self.runs if run_problem(run) is None]
        names = []
        for option, chosen in (("--only", self.only), ("--also", self.also)):
            if chosen == ():
                names.append(f"{option}: names no evaluation (python evaluate.py --list)")
            names += [f"{option}: {problem}" for name in chosen or () if (problem := check_evaluation_name(name))]
        lines = [*names, *_run_mistakes(self), *filter(None, [part_problem(self.on)])]
        for run in readable or (None,):
            if mistakes := _change_mistakes(run, self.changes):
                lines += mistakes
                for change in self.changes:  # read together, mistakes of a later stage are not reached
                    lines += _change_mistakes(run, [change])
        lines += _parameter_mistakes(self, readable, wrong_names=bool(names))
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
        state = finished if folder.is_finished else "the run has not completed an epoch yet"
        return f"{path}: no checkpoint {folder.best.relative_to(path)}: {state}"
    return None


def read_run(path: Path, changes: Sequence[str] = (), decoding: bool = False) -> Configuration:
    """Return the configuration of a run, with changes that do not change its identity.

    Args: decoding: allow other values of the loss's parameters on which predictions alone depend.
    Raises: ConfigError for a folder that holds no run, for wrong changes and for those of its identity.
    """
    if problem := run_problem(path):
        raise ConfigError(problem)
    file = str(RunFolder(path).config)
    config = read_configuration(file, changes, NAME_CHECKS, of_a_run=True)
    if changes:
        before = read_configuration(file, (), NAME_CHECKS, of_a_run=True).values()
        changed = [key for key, value in config.values().items() if value != before[key] and key not in CHANGEABLE]
        if decoding and "loss_params" in changed and not _trains_otherwise(config, before["loss_params"]):
            changed.remove("loss_params")
        if changed:
            allowed = "data_path, batch_size, accelerator, precision and the like"
            raise config.error({(key,): f"cannot be changed for a trained run; only {allowed} can" for key in changed})
    return config


def _trains_otherwise(config: Configuration, params: Mapping[str, Any]) -> bool:
    """Tell whether the loss's parameters differ in more than its decoding."""
    names = load_entry(LOSSES[config.loss_function]).decoding if config.loss_function in LOSSES else ()
    return any(config.loss_params.get(name) != params.get(name) for name in {*config.loss_params, *params} - {*names})


def part_problem(on: str) -> str | None:
    """Return what is wrong with the name of a part of data, or None."""
    if on in PARTS or Path(on).expanduser().is_dir():
        return None
    return f"--on {on}: must be test, valid or an existing folder of FOLDER/<class>/<image>"


def _as_key(word: str) -> str:
    """Return "attacks.eps=4" as the configuration spells it, even if the evaluation's name is mistyped."""
    head, dot, _ = word.partition("=")[0].partition(".")
    is_evaluation = head in EVALUATIONS or (dot and head not in KEYS and did_you_mean(head, EVALUATIONS))
    return f"evaluate_params.{word}" if is_evaluation else word


def _run_mistakes(request: Request) -> Iterator[str]:
    strays = [str(run) for run in request.runs if str(run) in EVALUATIONS and not run.is_dir()]
    option, names = ("--also", request.also) if request.only is None and request.also else ("--only", request.only)
    joined = f"{option} {','.join(dict.fromkeys([*(names or ()), *strays]))}"
    for run in request.runs:
        if str(run) in strays:
            problem = "separate evaluations by commas" if names else "no such folder; to name an evaluation"
            yield f"{run}: {problem}: {joined}"
        elif problem := run_problem(run):
            yield problem
    if len(request.runs) == len(strays):
        yield "name a run folder, such as those in output: python evaluate.py RUN"


def _change_mistakes(run: Path | None, changes: Sequence[str]) -> list[str]:
    """Return the mistakes in changes of a run, or of any run for None."""
    try:
        read_configuration(None, changes, NAME_CHECKS) if run is None else read_run(run, changes)
    except ConfigError as error:
        return str(error).splitlines()
    return []


def _parameter_mistakes(request: Request, readable: Sequence[Path], wrong_names: bool) -> Iterator[str]:
    """Yield the mistakes in parameters: of an evaluation that will not run, unknown ones, values out of range."""
    names = _requested_names(request, readable)
    for change in request.changes:
        try:
            config = read_configuration(None, [change], NAME_CHECKS)
        except ConfigError:
            continue  # among the mistakes in changes
        for name, params in config.evaluate_params.items():
            if name not in names and not wrong_names:  # else it may be the mistyped one
                key = change.partition("=")[0].removeprefix("evaluate_params.")
                yield f"{key}: {name} is not among the requested evaluations; --also {name} adds it"
            if problems := all_parameter_problems({name: params}):  # imports the evaluation, and torch
                yield from str(config.located(ConfigError("\n".join(problems)))).splitlines()


def _requested_names(request: Request, readable: Sequence[Path]) -> set[str]:
    """Return the evaluations that will run on any of the runs, of images or of texts."""
    names = {*(request.also or ()), *map(str, request.runs)}  # a name among the runs has its own message
    if request.only is not None:
        return names | {*request.only}
    for run in readable:
        try:
            names.update(read_run(run).evaluate)
        except ConfigError:
            continue  # among the mistakes in changes
    return names.union(default_evaluations("image"), default_evaluations("sequence"))

"""The search of a sweep: Optuna draws values for each combination of the grid, and the best are trained on all seeds.

Each combination has a study of its own, so that each loss gets the values that suit it and the same number of trials.
Trials train on the first seed and are judged by `monitor`, never by test images. Studies live in a file in the output
folder, so that a search that was killed is resumed, and any number of processes take part in it.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import msgspec
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from configuration.schema import KEYS
from configuration.settings import flatten, show
from metrics import lower_is_better
from runs.folder import DamagedFile, RunFolder
from runs.identity import identity, is_default, settings_of
from sweeps.block import Search
from sweeps.cells import Sweep, by_seed, cell
from sweeps.jobs import Job, Jobs, Outcome, Trial
from sweeps.sampling import build_pruner, build_sampler, distributions, values_of

FILE = "searches.log"
"""Optuna's journal in the output folder; `optuna-dashboard` shows it."""
NAMED_BY = (
    *("dataset", "data_params", "classes", "flowers_train", "valid_fraction", "select_on", "label_noise", "image_size"),
    *("convert_to_grayscale", "normalize", "normalization_params_rgb", "normalization_params_grayscale"),
    *("crop_to_bboxes", "erase_background", "augment_images", "image_augmentations", "augment_tensors"),
    *("tensor_augmentations", "augment_backend", "mixing", "mixing_params", "architecture", "architecture_params"),
    *("dropout", "output_channels", "pretrained", "weights_path", "loss_function", "loss_params", "seed"),
    *("batch_size", "num_epochs", "optimizer", "optimizer_params", "lr_scheduler", "lr_scheduler_params"),
    *("gradient_clip_norm", "accumulate_batches", "ema_decay", "monitor", "early_stopping_patience", "devices"),
    *("num_nodes", "precision", "compile", "channels_last", "smoke"),
)
"""Keys that named studies as the user wrote them, before they were named by `settings_of`."""
ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


class SearchJobs(Jobs):
    """The runs of a search: trials of all combinations in turn, then the best values on the other seeds.

    A trial that failed counts as one: a loss that is not finite is an answer, too.
    """

    def __init__(self, sweep: Sweep) -> None:
        self.studies = [_Study(sweep, seeds) for seeds in by_seed(sweep)]
        self.total = sum(study.left for study in self.studies)
        self.given_up = [outcome for study in self.studies for outcome in study.given_up()]

    def next(self) -> Job | None:
        ready = [study for study in self.studies if study.is_ready()]
        if not ready:
            return None
        return min(ready, key=lambda study: study.started).next()

    def findings(self) -> list[str]:
        """Return a line for each combination: the best values, and the monitor's value that they reached."""
        return [study.finding() for study in self.studies]

    def end(self, job: Job, outcome: Outcome) -> None:
        next(study for study in self.studies if job.numbers in study.seeds).end(job, outcome)


class _Study:
    """The trials of one combination.

    Args:
        seeds: the numbers of its points on each axis, for each seed.
    """

    def __init__(self, sweep: Sweep, seeds: list[tuple[int, ...]]) -> None:
        self.sweep, self.seeds, self.started = sweep, seeds, 0
        self.search = search_of(sweep)
        self.study = load_study(sweep, _name_in(_known_names(_journal(sweep)), sweep, seeds[0]))
        trials = self.study.get_trials(deepcopy=False)
        if trials:  # a sampler begins with its seed again, and would draw what the first trials had
            self.study.sampler.reseed_rng()
        self._to_ask = max(0, self.search.trials - len(trials))
        self._again = deque(trial for trial in trials if trial.state not in ENDED)
        self._at_work = 0
        self._seeds_left = deque(seeds[1:])
        self._after_trials()

    @property
    def left(self) -> int:
        return self._to_ask + len(self._again) + len(self._seeds_left)

    def given_up(self) -> Iterator[Outcome]:
        """Yield the outcomes of the trials that were pruned before."""
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.PRUNED,)):
            job = Job(self.seeds[0], values_of(trial.params, self.search))
            yield Outcome(job.cell(self.sweep).name, "pruned", reason="before")

    def is_ready(self) -> bool:
        if self._to_ask or self._again:
            return True
        return not self._at_work and bool(self._seeds_left)

    def next(self) -> Job:
        self.started += 1
        if not self._again and not self._to_ask:
            return Job(self._seeds_left.popleft(), best_values(self.study, self.search))
        self._at_work += 1
        if self._again:
            trial = self._again.popleft()
        else:
            self._to_ask -= 1
            trial = self.study.ask(distributions(self.search))
        return Job(self.seeds[0], values_of(trial.params, self.search), Trial(self.study.study_name, trial.number))

    def end(self, job: Job, outcome: Outcome) -> None:
        if job.trial is None:
            return
        self._at_work -= 1
        number, value = job.trial.number, (outcome.summary or {}).get(self.sweep.base.monitor)
        if value is not None:
            self.study.tell(number, value, skip_if_finished=True)
        else:
            state = TrialState.PRUNED if outcome.state == "pruned" else TrialState.FAIL
            self.study.tell(number, state=state, skip_if_finished=True)
        self._after_trials()

    def finding(self) -> str:
        name = _without_seed(self.sweep, self.seeds[0]) or "all"
        if not _has_best(self.study):
            return f"best of {name}: no trial has a result"
        values = best_values(self.study, self.search)
        shown = ", ".join(
            f"{key}={f'{each:.4g}' if isinstance(each, float) else show(each)}" for key, each in values.items()
        )
        return f"best of {name}: {shown}  {self.sweep.base.monitor} {self.study.best_value:.4f}"

    def _after_trials(self) -> None:
        """Once all trials have ended: discard the losers' checkpoints; without a result, train no other seed."""
        if self._at_work or self._to_ask or self._again:
            return
        if not _has_best(self.study):
            self._seeds_left.clear()
        elif self.sweep.base.keep_checkpoints != "all":
            self._discard_losers()

    def _discard_losers(self) -> None:
        """Remove the checkpoints of trials that drew other values than the best; those that failed keep theirs."""
        best = best_values(self.study, self.search)
        failed = {trial.number for trial in self.study.get_trials(deepcopy=False, states=(TrialState.FAIL,))}
        for path in Path(self.sweep.base.output_path).glob("*/trial.json"):
            folder = RunFolder(path.parent)
            try:
                record = folder.read_trial()
            except (DamagedFile, OSError):
                continue
            if record is None or record.search != self.study.study_name or record.number in failed:
                continue
            if record.drawn != best:
                folder.discard_checkpoints("none")


def best_jobs(sweep: Sweep) -> Iterator[tuple[str, list[Job]]]:
    """Yield each combination's name and its runs with the best values on all seeds; none before it has a result."""
    for name, seeds, study in _existing_studies(sweep):
        drawn = best_values(study, search_of(sweep)) if study is not None and _has_best(study) else None
        yield name, [] if drawn is None else [Job(numbers, drawn) for numbers in seeds]


def jobs_left(sweep: Sweep, concerned: Callable[[tuple[int, ...]], bool]) -> list[Job] | None:
    """Return the runs on the other seeds of those combinations whose trials have all ended; None if some have not.

    Args: concerned: tells which runs count, by the numbers of their points.
    """
    search, left = search_of(sweep), list[Job]()
    for _, seeds, study in _existing_studies(sweep):
        if any(map(concerned, seeds)):
            trials = [] if study is None else study.get_trials(deepcopy=False)
            if study is None or sum(trial.state in ENDED for trial in trials) < max(search.trials, len(trials)):
                return None
            left += [Job(numbers, best_values(study, search)) for numbers in seeds[1:] if _has_best(study)]
    return left


def _existing_studies(sweep: Sweep) -> Iterator[tuple[str, list[tuple[int, ...]], optuna.Study | None]]:
    """Yield for each combination its study's name, its runs by seed, and the study if there is one; write nothing."""
    file = _journal(sweep)
    known = _known_names(file)
    for seeds in by_seed(sweep):
        name = _name_in(known, sweep, seeds[0])
        yield name, seeds, optuna.load_study(study_name=name, storage=_storage(file)) if name in known else None


def study_name(sweep: Sweep, numbers: tuple[int, ...]) -> str:
    """Return the name of a combination's study: it changes with all that can change its results."""
    search = search_of(sweep)
    settings = settings_of(cell(sweep, numbers).config)
    kept = {key: value for key, value in settings.items() if key not in search.ranges}
    search_text = json.dumps(msgspec.to_builtins(search), sort_keys=True, default=str)
    return f"{_without_seed(sweep, numbers)} {identity(kept, search_text)}".strip()


def _name_in(known: Collection[str], sweep: Sweep, numbers: tuple[int, ...]) -> str:
    """Return the name of a combination's study in a file: an existing one keeps its name.

    That may contain another name of a network, or be older than the one definition of settings.
    """
    name = study_name(sweep, numbers)
    if alike := [other for other in known if other.rpartition(" ")[2] == name.rpartition(" ")[2]]:
        return min(alike)
    earlier = _earlier_name(sweep, numbers)
    return name if earlier is None or earlier not in known else earlier


def _earlier_name(sweep: Sweep, numbers: tuple[int, ...]) -> str | None:
    """Return the study's name from when all keys of then named it, as the user wrote them; None for other studies."""
    search, config = search_of(sweep), cell(sweep, numbers).config
    values = config.values() | {"normalize": config.normalize is not False}  # `auto` was `true` then
    if any(
        key.partition(".")[0] not in NAMED_BY and not is_default(key, each) for key, each in settings_of(config).items()
    ):
        return None
    flat = flatten({key: values[key] for key in KEYS if key in NAMED_BY})
    settings = {key: value for key, value in flat.items() if key not in search.ranges}
    text = json.dumps([settings, msgspec.to_builtins(search)], sort_keys=True, default=str)
    return f"{_without_seed(sweep, numbers)} {hashlib.sha256(text.encode()).hexdigest()[:10]}".strip()


def _known_names(file: Path) -> frozenset[str]:
    return frozenset(optuna.get_all_study_names(_storage(file)) if file.is_file() else ())


def load_study(sweep: Sweep, name: str) -> optuna.Study:
    """Return a study by its name, empty if it is new."""
    base, search, file = sweep.base, search_of(sweep), _journal(sweep)
    file.parent.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        storage=_storage(file),
        sampler=build_sampler(search, base.seed),
        pruner=build_pruner(search),
        study_name=name,
        direction="minimize" if lower_is_better(base.monitor) else "maximize",
        load_if_exists=True,
    )


def _journal(sweep: Sweep) -> Path:
    return Path(sweep.base.output_path).absolute() / FILE


def _storage(file: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(file)))


def best_values(study: optuna.Study, search: Search) -> dict[str, Any]:
    return values_of(study.best_trial.params, search)


def _has_best(study: optuna.Study) -> bool:
    return any(trial.state == TrialState.COMPLETE for trial in study.get_trials(deepcopy=False))


def search_of(sweep: Sweep) -> Search:
    search = sweep.block.search
    assert search is not None
    return search


def _without_seed(sweep: Sweep, numbers: tuple[int, ...]) -> str:
    chosen = zip(sweep.axes, numbers, strict=True)
    return ", ".join(axis.points[number].label for axis, number in chosen if axis.name != "seed")

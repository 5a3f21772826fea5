"""The code that decides a run's result: which files, their content when it was trained, changes since.

Code is recorded in environment.json, and is no part of a run's identity: a run whose code has changed is the same run,
which nobody may skip or resume without saying so.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from configuration.schema import CHAINS, Configuration
from datasets import DATASETS, MIXINGS, TRANSFORMS
from losses import TORCH_LOSSES
from models import BODIED, OURS, resolve_architecture
from runs.folder import RunFolder
from runs.identity import has_effect, plain
from runs.names import LOSSES
from runs.parameters import resolved_parameters
from runs.records import write_json
from utils.lookup import Entry
from utils.own_code import code_digest, imported_by
from utils.signatures import read_attribute

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("losses", "models", "datasets", "metrics")
"""Where imports are followed; their own files are tables of names, which grow without changing a run."""
OF_EVERY_RUN = (
    *("models.classifier", "datasets.data_module", "utils.seeding"),
    *("training.building", "training.losses", "training.networks", "training.optimizers"),
    *("training.callbacks", "training.finishing"),
)
"""Modules that lead every run from its configuration to its numbers."""
ONLY_WITH = {
    "datasets.label_noise": ("label_noise", "noisy_labels"),
    "datasets.augmentation.mixing": ("mixing",),
    "training.averaging": ("ema_decay",),
    "training.decays": ("layer_decay", "decay_norms_and_biases"),
    "training.freezing": ("freeze", "optimizer_groups"),
    "training.learning_rates": ("lr_scheduler",),
    "training.schedules": ("lr_scheduler",),
}
"""Modules that count only where one of some keys has another value than its default."""
AUGMENTATION = (
    "datasets.augmentation.transforms",
    "datasets.augmentation.fused.chain",
    "datasets.augmentation.fused.operation",
    "datasets.augmentation.fused.rectangles",
)
"""Modules that count only where training images are augmented."""
DENSE = ("datasets.dense", "datasets.stream.dense_stream", "metrics.dense", "models.dense.classifier")
"""Modules that count only where pixels or regions are classified."""
WITHOUT_INFLUENCE = (
    *("datasets.audit", "datasets.cache", "datasets.kept_images", "datasets.statistics", "models.flops"),
    *("models.sizes", "datasets.readers.files", "datasets.readers.downloads", "datasets.readers.archives"),
)
"""Modules that are imported by those that decide a result and that change none: checks, caches, downloads, counts."""

Changes = dict[str, tuple[str | None, str | None]]
"""File -> digest of its code before and now, None where it is no part of the run."""


def code_of(config: Configuration) -> dict[str, str]:
    """Return, for each of our files that decides a run's result, twelve hexadecimal digits of its code.

    Comments, docstrings and layout do not count. Nothing is imported.
    """
    without = {module for module, keys in ONLY_WITH.items() if not any(map(config.was_set, keys))}
    if not any(has_effect(config, chain) for chain in CHAINS):
        without |= {*AUGMENTATION}
    if config.task == "classification":
        without |= {*DENSE}
    return dict(_code(frozenset(_roots(config)), frozenset(without | {*WITHOUT_INFLUENCE})))


@functools.lru_cache(maxsize=1000)
def _code(roots: frozenset[str], without: frozenset[str]) -> dict[str, str]:
    digests: dict[str, str] = {}
    seen, ahead = {*without, *FOLDERS}, [*roots]
    while ahead:
        module = ahead.pop()
        if module in seen or (file := file_of(module)) is None:
            continue
        seen.add(module)
        digests[file.relative_to(ROOT).as_posix()], imported = _read_module(file)
        ahead += [other for other in imported if other.partition(".")[0] in FOLDERS]
    return dict(sorted(digests.items()))


def code_changes(facts: Mapping[str, Any], config: Configuration, accepted: bool = True) -> Changes | None:
    """Return the changes in the code of a run since it was trained; None if it was not recorded.

    Args:
        facts: of its environment.json.
        accepted: leave out changes that were accepted.
    """
    before, now = facts.get("code"), code_of(config)
    if not isinstance(before, dict):
        return None
    recorded = {str(file): str(digest).rpartition("+")[2] for file, digest in before.items()}
    for acceptance in _accepted(facts) if accepted else ():
        recorded |= {file: str(after) for file, (_, after) in acceptance.files.items()}
    files = sorted({*recorded, *now})
    return {file: (recorded.get(file), now.get(file)) for file in files if recorded.get(file) != now.get(file)}


def changed_parameters(facts: Mapping[str, Any], config: Configuration) -> list[str]:
    """Return the parameters whose values have changed since the run was trained, for example by a new default."""
    before, now = facts.get("resolved"), resolved_parameters(config)
    if not isinstance(before, dict):
        return []
    pairs = [
        (f"{key}.{name}", values.get(name), now[key].get(name))
        for key, values in before.items()
        if isinstance(values, dict) and isinstance(now.get(key), dict)
        for name in {**values, **now[key]}
        if name in values and name in now[key]
    ]
    return [f"{name} {old} -> {new}" for name, old, new in pairs if plain(old) != plain(new)]


def accept(folder: RunFolder, changes: Changes) -> None:
    """Record in a run's environment.json that it is kept though its code has changed."""
    facts = folder.read_environment()
    entry = _Accepted(datetime.now().astimezone().isoformat(timespec="seconds"), changes)
    write_json(folder.environment, facts | {"code_accepted": msgspec.to_builtins([*_accepted(facts), entry])})


class _Accepted(msgspec.Struct):
    accepted: str
    files: Changes


def _accepted(facts: Mapping[str, Any]) -> list[_Accepted]:
    """Return the changes that were accepted; none if the record is malformed, as folders may come from elsewhere."""
    try:
        return msgspec.convert(facts.get("code_accepted", []), list[_Accepted])
    except msgspec.ValidationError:
        return []


def continued_code(before: Mapping[str, Any], now: Mapping[str, str]) -> dict[str, str]:
    """Return the code of a resumed run: for a file that has changed, all its digests, joined by "+".

    Args: before: its facts until now; without a record of code, "?" stands for the first digest.
    """
    recorded = before.get("code")
    if not isinstance(recorded, dict):
        return {file: f"?+{digest}" for file, digest in now.items()}
    joined = {file: str(recorded.get(file, digest)) for file, digest in now.items()}
    return {
        file: text if text.rpartition("+")[2] == now[file] else f"{text}+{now[file]}" for file, text in joined.items()
    }


OnChange = Literal["keep", "retrain"] | None
"""Treatment of a run whose code has changed since; None to refuse it."""


def refusal(folder: RunFolder, changes: Changes, facts: Mapping[str, Any], config: Configuration) -> str:
    """Return the message that refuses a run whose code has changed, with the ways out."""
    finished = folder.is_finished
    keep = "keeps its result" if finished else "resumes it under the new code"
    return (
        f"{folder.path}: this run is {'finished' if finished else 'interrupted'}, and code that decides its result has "
        f"changed since: {in_words(changes, changed_parameters(facts, config))}\n"
        "  --fresh retrains it in a folder beside it\n"
        f"  --changed-code keep {keep}; environment.json records that"
    )


def in_words(changes: Changes, parameters: Iterable[str] = ()) -> str:
    """Return the changed files and parameters as a list for a message."""
    return ", ".join([*changes, *parameters])


def _roots(config: Configuration) -> Iterator[str]:
    """Yield the modules of everything that a configuration names, and those of every run."""
    yield from OF_EVERY_RUN
    yield from (module for module in imported_by(config.to_yaml()) if module.partition(".")[0] in FOLDERS)
    yield from (module for module, keys in ONLY_WITH.items() if any(map(config.was_set, keys)))
    losses = set(_names(config.loss_function, resolved_parameters(config)["loss_params"]))  # one within another, too
    yield from (_module(LOSSES[name]) for name in losses if name in LOSSES)
    if losses & TORCH_LOSSES.keys():
        yield "losses.torch_losses"
    entry = LOSSES.get(config.loss_function)
    kind = None if entry is None else read_attribute(*entry.location.split(":"), "kind")
    if config.task != "classification":
        yield from DENSE
        yield "metrics.detection"
    yield "metrics.sequences" if kind == "sequence" else "metrics.classification"
    architecture = resolve_architecture(config.architecture)
    library = Entry(f"models.{'torchvision' if architecture.startswith('torchvision/') else 'timm'}_models", "")
    yield _module(OURS.get(architecture, library))
    if architecture in BODIED:
        body = resolve_architecture(str(resolved_parameters(config)["architecture_params"]["body"]))
        library = Entry(f"models.{'torchvision' if body.startswith('torchvision/') else 'timm'}_models", "")
        yield _module(OURS.get(body, library))
    if config.weights_path or config.pretrained:
        yield "models.weights"
    yield _module(DATASETS[config.dataset])
    if config.mixing is not None:
        names = [config.mixing] if isinstance(config.mixing, str) else config.mixing
        yield from (_module(MIXINGS[name]) for name in names)
    for chain in (config.image_augmentations, config.tensor_augmentations):
        yield from (_module(TRANSFORMS[name]) for name in _names(chain) if name in TRANSFORMS)


def _module(entry: tuple[str, str]) -> str:
    return entry[0].partition(":")[0]


def _names(*values: Any) -> Iterator[str]:
    """Yield all texts within values, keys too: among them are the names of losses within losses."""
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from _names(*value, *value.values())
        elif isinstance(value, (list, tuple)):
            yield from _names(*value)


def file_of(module: str) -> Path | None:
    """Return the file of a module or package of ours."""
    path = ROOT.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return file if file.is_file() else None


@functools.lru_cache(maxsize=1000)  # as a process imports each module once
def _read_module(file: Path) -> tuple[str, frozenset[str]]:
    """Return a file's digest and the modules that it imports, wherever in it; some of these are no module's name."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = file.parents[node.level - 1].relative_to(ROOT).parts if node.level else ()
            source = ".".join((*package, *filter(None, [node.module])))
            modules |= {source, *(f"{source}.{alias.name}" for alias in node.names)}
    return code_digest(tree), frozenset(modules)

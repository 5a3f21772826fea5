"""Data sets, transforms and mixings by name. To add one: write its file, add its line to its table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from utils.lookup import Entry, did_you_mean, load_entry, parameter_problems
from utils.types import ConfigError, DataError

if TYPE_CHECKING:
    from datasets.augmentation.mixing import Mixing
    from datasets.base import DataSet

DATASETS = {
    "digits": Entry(
        "datasets.sets.digits:digits", "1,797 handwritten digits of 8x8, part of scikit-learn: no download"
    ),
    "cifar10": Entry("datasets.sets.cifar:cifar10", "60,000 photographs of 32x32 in 10 classes (Krizhevsky 2009)"),
    "cifar10_pair": Entry(
        "datasets.sets.cifar:cifar10_pair", "two classes of CIFAR-10: `classes`, or airplane and truck"
    ),
    "cifar100": Entry("datasets.sets.cifar:cifar100", "60,000 photographs of 32x32 in 100 classes (Krizhevsky 2009)"),
    "svhn": Entry("datasets.sets.svhn:svhn", "99,289 digits of house numbers, 32x32 (Netzer 2011); data_params: extra"),
    "fashion_mnist": Entry("datasets.sets.fashion_mnist:fashion_mnist", "70,000 gray clothes of 28x28 (Xiao 2017)"),
    "flowers102": Entry("datasets.sets.flowers102:flowers102", "8,189 flowers in 102 classes (Nilsback 2008)"),
    "cub200": Entry("datasets.sets.cub200:cub200", "11,788 birds of 200 species, with boxes (CUB-200-2011, Wah 2011)"),
    "fgvc_aircraft": Entry(
        "datasets.sets.fgvc_aircraft:fgvc_aircraft", "10,000 aircraft, with boxes (Maji 2013); data_params: annotation"
    ),
    "adience": Entry(
        "datasets.sets.adience:adience",
        "faces in 8 ordered age classes, 5 folds (Eidinger 2014); data_params: fold, ...",
    ),
    "imagenet": Entry("datasets.sets.imagenet:imagenet", "1,331,167 photographs in 1,000 classes (ILSVRC 2012)"),
    "stanford_cars": Entry(
        "datasets.sets.stanford_cars:stanford_cars",
        "16,185 cars in 196 classes, with boxes (Krause 2013), prepared first",
    ),
    "image_folder": Entry(
        "datasets.sets.image_folder:image_folder", "your images: data_path/{train,test}/<class>/*.jpg"
    ),
    "csv": Entry(
        "datasets.sets.csv_table:csv_table", "your images: a CSV file with path, label, perhaps boxes and split"
    ),
    "parquet": Entry("datasets.sets.parquet:parquet", "Hugging Face's files: data_path/{train,test}-*.parquet"),
    "made_up": Entry("datasets.sets.made_up:made_up", "a few made-up images in place of a data set, for smoke: true"),
    "plates": Entry("datasets.sets.plates:plates", "your plates, for sequences: a CSV file with file and text"),
    "ccpd": Entry(
        "datasets.sets.ccpd:ccpd", "Chinese plates in photographs, for sequences (CCPD, Xu 2018); data_params: subset"
    ),
}

TRANSFORMS = {
    "CutOut": Entry("datasets.augmentation.cutout:CutOut", "one square set to 0 after normalisation (DeVries 2017)")
}
"""Transforms of our own; all others are torchvision's."""

MIXINGS = {
    "MixUp": Entry("datasets.augmentation.mixup:MixUp", "each image and label averaged with another's (Zhang 2017)"),
    "CutMix": Entry("datasets.augmentation.cutmix:CutMix", "a box of each image replaced by another's (Yun 2019)"),
}


def check_dataset_name(name: str) -> str | None:
    """Return what is wrong with a data set's name, or None; imports nothing."""
    if name in DATASETS:
        return None
    return f"unknown data set {name!r}{did_you_mean(name, DATASETS)} (python train.py --list datasets)"


def build_dataset(name: str, /, **params: Any) -> DataSet:
    """Read a data set by its name.

    Args:
        name: a key of `DATASETS`.
        params: what its function takes, such as data_path.

    Raises: ConfigError for an unknown name or parameter, DataError for files that are missing, damaged or inconsistent.
    """
    if problem := check_dataset_name(name):
        raise ConfigError(f"dataset: {problem}")
    function = load_entry(DATASETS[name])
    if problems := parameter_problems(function, params):
        raise ConfigError("\n".join(f"{name}.{key}: {text}" for key, text in problems.items()))
    data_set = function(**params)
    for part in ("train", "test"):
        if not len(getattr(data_set, part)):
            raise DataError(f"{params.get('data_path') or name}: the {part} part of {name} holds no images")
    return data_set


def check_mixing_name(name: str) -> str | None:
    """Return what is wrong with a mixing's name, or None; imports nothing."""
    if name in MIXINGS:
        return None
    return f"unknown mixing {name!r}{did_you_mean(name, MIXINGS)} (python train.py --list mixing)"


def mixing_in_words(names: str | Sequence[str] | None) -> str | None:
    """Return what `mixing` names, such as "CutMix or MixUp"; None for none."""
    return names if isinstance(names, str) else " or ".join(names or ()) or None


def build_mixing(names: str | Sequence[str], /, **params: Any) -> Mixing:
    """Build a mixing by its name, or the choice between several.

    Args:
        names: a key of `MIXINGS`, or several, of which one is drawn for each batch.
        params: its parameters; of several, those of each below its name. A `probability` left out there is an equal
            part of what the others leave of 1.

    Raises: ConfigError for an unknown name, and naming every parameter that it does not take or that is out of range.
    """
    if isinstance(names, str):
        return _build_mixing(names, params, "mixing_params")
    from datasets.augmentation.mixing import OneOf

    problems = [f"mixing: names {name} twice" for name in sorted(set(names)) if names.count(name) > 1]
    below = f"the parameters of each stand below its name (allowed: {', '.join(names)})"
    problems += [f"mixing_params.{key}: {below}{did_you_mean(key, names)}" for key in params if key not in names]
    wrong = {key: each for key, each in params.items() if key in names and not isinstance(each, dict)}
    problems += [f"mixing_params.{key}: must be a mapping of parameters, got {each!r}" for key, each in wrong.items()]
    if problems:
        raise ConfigError("\n".join(problems))
    shares = [params.get(name, {}).get("probability") for name in names]
    left = 1 - sum(share for share in shares if isinstance(share, (int, float)))
    parts: list[Mixing] = []
    for name, share in zip(names, shares, strict=True):
        given = {"probability": max(left, 0.0) / shares.count(None)} if share is None else {}
        try:
            parts.append(_build_mixing(name, given | params.get(name, {}), f"mixing_params.{name}"))
        except ConfigError as error:
            problems.append(str(error))
    if not problems and (left < -1e-9 or (left <= 0 and None in shares)):
        listed = ", ".join(f"{name} {share}" for name, share in zip(names, shares, strict=True) if share is not None)
        problems.append(
            f"mixing_params: each probability is a share of all batches; they sum to {1 - left:g} ({listed})"
            f"{', which leaves none to the others' if None in shares else ', more than 1'}"
        )
    if problems:
        raise ConfigError("\n".join(problems))
    return OneOf(parts)


def _build_mixing(name: str, params: dict[str, Any], key: str) -> Mixing:
    if problem := check_mixing_name(name):
        raise ConfigError(f"mixing: {problem}")
    constructor = load_entry(MIXINGS[name])
    if problems := parameter_problems(constructor, params):
        raise ConfigError("\n".join(f"{key}.{param}: {text}" for param, text in problems.items()))
    try:
        return constructor(**params)
    except ConfigError as error:
        raise ConfigError("\n".join(f"{key}.{line}" for line in str(error).splitlines())) from None

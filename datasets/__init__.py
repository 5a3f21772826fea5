"""Data sets, transforms and mixings by name. To add one: write its file, add its line to its table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from utils.lookup import Entry, did_you_mean, load_entry, parameter_problems
from utils.types import ConfigError, DataError

if TYPE_CHECKING:
    from datasets.base import DataSet
    from datasets.mixing import Mixing

DATASETS = {
    "digits": Entry("datasets.digits:digits", "1,797 handwritten digits of 8x8, part of scikit-learn: no download"),
    "cifar10": Entry("datasets.cifar:cifar10", "60,000 photographs of 32x32 in 10 classes (Krizhevsky 2009)"),
    "cifar10_pair": Entry("datasets.cifar:cifar10_pair", "two classes of CIFAR-10: `classes`, or airplane and truck"),
    "cifar100": Entry("datasets.cifar:cifar100", "60,000 photographs of 32x32 in 100 classes (Krizhevsky 2009)"),
    "svhn": Entry("datasets.svhn:svhn", "99,289 digits of house numbers, 32x32 (Netzer 2011); data_params: extra"),
    "fashion_mnist": Entry("datasets.fashion_mnist:fashion_mnist", "70,000 gray clothes of 28x28 (Xiao 2017)"),
    "flowers102": Entry("datasets.flowers102:flowers102", "8,189 flowers in 102 classes (Nilsback 2008)"),
    "cub200": Entry("datasets.cub200:cub200", "11,788 birds of 200 species, with boxes (CUB-200-2011, Wah 2011)"),
    "fgvc_aircraft": Entry(
        "datasets.fgvc_aircraft:fgvc_aircraft", "10,000 aircraft, with boxes (Maji 2013); data_params: annotation"
    ),
    "adience": Entry(
        "datasets.adience:adience", "faces in 8 ordered age classes, 5 folds (Eidinger 2014); data_params: fold, ..."
    ),
    "imagenet": Entry("datasets.imagenet:imagenet", "1,331,167 photographs in 1,000 classes (ILSVRC 2012)"),
    "stanford_cars": Entry(
        "datasets.stanford_cars:stanford_cars", "16,185 cars in 196 classes, with boxes (Krause 2013), prepared first"
    ),
    "image_folder": Entry("datasets.image_folder:image_folder", "your images: data_path/{train,test}/<class>/*.jpg"),
    "csv": Entry("datasets.csv_table:csv_table", "your images: a CSV file with path, label, perhaps boxes and split"),
    "parquet": Entry("datasets.parquet:parquet", "Hugging Face's files: data_path/{train,test}-*.parquet"),
    "made_up": Entry("datasets.made_up:made_up", "a few made-up images in place of a data set, for smoke: true"),
    "plates": Entry("datasets.plates:plates", "your plates, for sequences: a CSV file with file and text"),
    "ccpd": Entry(
        "datasets.ccpd:ccpd", "Chinese plates in photographs, for sequences (CCPD, Xu 2018); data_params: subset"
    ),
}

TRANSFORMS = {"CutOut": Entry("datasets.cutout:CutOut", "one square set to 0 after normalisation (DeVries 2017)")}
"""Transforms of our own; all others are torchvision's."""

MIXINGS = {
    "MixUp": Entry("datasets.mixup:MixUp", "each image and label averaged with another's (Zhang 2017)"),
    "CutMix": Entry("datasets.cutmix:CutMix", "a box of each image replaced by another's (Yun 2019)"),
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


def build_mixing(name: str, /, **params: Any) -> Mixing:
    """Build a mixing by its name.

    Args:
        name: a key of `MIXINGS`.
        params: its parameters.

    Raises: ConfigError for an unknown name, and naming every parameter that it does not take or that is out of range.
    """
    if problem := check_mixing_name(name):
        raise ConfigError(f"mixing: {problem}")
    constructor = load_entry(MIXINGS[name])
    if problems := parameter_problems(constructor, params):
        raise ConfigError("\n".join(f"mixing_params.{key}: {text}" for key, text in problems.items()))
    return constructor(**params)

"""Data sets, transforms and mixings by name. To add one: write its file, add its line to its table.

`sets` has a file for each data set, with all that only this set needs: CIFAR's pickles are read in sets/cifar.py.
`readers` has what several share: images, archives, tables, downloads. `stream` says which images a step sees and in
which order (stream/sampling.py), and `augmentation` what is done to them.
"""

from __future__ import annotations

import ast
import functools
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from configuration.schema import KEYS
from utils.lookup import Entry, Table, did_you_mean, keywords, load_entry, parameter_problems, source_of
from utils.own_imports import place_of
from utils.own_names import is_own, short_name
from utils.signatures import keyword_defaults
from utils.types import ConfigError, DataError

if TYPE_CHECKING:
    from configuration.schema import Configuration
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
    "pets_segmentation": Entry(
        "datasets.sets.pets:pets_segmentation",
        "7,349 cats and dogs of 37 breeds, outlined, some heads boxed (Parkhi 2012); for segmentation and detection",
    ),
    "voc": Entry(
        "datasets.sets.voc:voc",
        "PASCAL VOC 2007 and 2012, 20 classes (Everingham 2010); for segmentation, detection, instance_segmentation",
    ),
    "coco": Entry(
        "datasets.sets.coco:coco", "COCO 2017, 80 classes (Lin 2014); for detection and instance_segmentation"
    ),
    "detection_folder": Entry(
        "datasets.sets.coco:detection_folder", "your objects: data_path/{train,test}.json as COCO's, and their images"
    ),
    "penn_fudan": Entry(
        "datasets.sets.penn_fudan:penn_fudan",
        "170 street scenes with pedestrians' masks (Wang 2007); for detection and instance_segmentation",
    ),
    "plates": Entry("datasets.sets.plates:plates", "your plates, for sequences: a CSV file with file and text"),
    "ccpd": Entry(
        "datasets.sets.ccpd:ccpd", "Chinese plates in photographs, for sequences (CCPD, Xu 2018); data_params: subset"
    ),
}

TRANSFORMS = {
    "AlternatingFlip": Entry(
        "datasets.augmentation.transforms:AlternatingFlip", "mirrored in every other epoch (Jordan 2024)"
    ),
    "CutOut": Entry(
        "datasets.augmentation.transforms:CutOut", "one square set to 0 after normalisation (DeVries 2017)"
    ),
}
"""Transforms of our own; all others are torchvision's."""
TENSORS_ONLY = ("CutOut",)

MIXINGS = {
    "MixUp": Entry("datasets.augmentation.mixing:MixUp", "each image and label averaged with another's (Zhang 2017)"),
    "CutMix": Entry("datasets.augmentation.mixing:CutMix", "a box of each image replaced by another's (Yun 2019)"),
}
DATASETS, TRANSFORMS, MIXINGS = Table(DATASETS), Table(TRANSFORMS), Table(MIXINGS)  # they have the user's own, too

DATA_KEYS = ("task", "data_path", "stanford_data_path", "download", "verify_checksums", "flowers_train", "classes")
"""Keys that a data set's function may take, as its signature says; what else it takes stands in data_params."""
READ_BY = ("dataset", "data_params", *DATA_KEYS)
"""All that decides which data is read."""
OF_EVERY_SET = Entry("datasets.rows:long_tail", "which rows of a class are trained on")
"""What takes the parameters of data_params that are the same for every data set."""


HELD = {
    "segmentation": "images with a class a pixel",
    "detection": "images with boxes",
    "instance_segmentation": "images with boxes and masks",
}
"""What data holds, by its kind."""


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
    if is_own(name) and not all(hasattr(data_set, part) for part in ("classes", "train", "test")):
        raise ConfigError(f"dataset: {place_of(function, name)} must return a datasets.base.DataSet")
    for part in ("train", "test"):
        if not len(getattr(data_set, part)):
            raise DataError(f"{params.get('data_path') or name}: the {part} part of {name} holds no images")
    return data_set


def params_of_every_set(config: Configuration) -> dict[str, Any]:
    """Return the part of data_params that every data set takes: those of `OF_EVERY_SET`."""
    return {key: value for key, value in config.data_params.items() if key in keyword_defaults(OF_EVERY_SET)}


def own_params(config: Configuration) -> dict[str, Any]:
    """Return the part of data_params that is the data set's own."""
    return {key: value for key, value in config.data_params.items() if key not in keyword_defaults(OF_EVERY_SET)}


def data_param_problems(config: Configuration) -> dict[str, str]:
    """Return parameter in data_params -> what is wrong with it, by the signatures of what takes it; reads no data."""
    params = {key: value for key, value in own_params(config).items() if key not in KEYS}
    problems = {key: f"comes from {key}, a key of its own" for key in config.data_params if key in KEYS}
    of_every_set = keyword_defaults(OF_EVERY_SET)
    problems |= parameter_problems(load_entry(DATASETS[config.dataset]), params, DATA_KEYS, of_every_set)
    return problems | parameter_problems(load_entry(OF_EVERY_SET), params_of_every_set(config), ("labels", "rows"))


def load_data_set(config: Configuration) -> DataSet:
    """Read the data set that a configuration names, those of its classes that are kept.

    Raises: ConfigError or DataError, as `build_dataset` and `keep_classes`.
    """
    from datasets.base import keep_classes

    if problem := task_problem(config):
        raise ConfigError(f"task: {problem}")
    taken = keywords(load_entry(DATASETS[config.dataset]))
    params = {key: getattr(config, key) for key in DATA_KEYS if key in taken}
    data_set = build_dataset(config.dataset, **params, **own_params(config))
    if config.classes is None or "classes" in taken:
        return data_set
    return keep_classes(data_set, [str(name) for name in config.classes])


def reading(config: Configuration, further: Sequence[str] = ()) -> str:
    """Return a text that configurations share whose data is read in the same way, and for which further keys agree."""
    return json.dumps([getattr(config, key) for key in (*READ_BY, *further)], default=str)


@functools.cache
def _facts(name: str) -> dict[str, Any]:
    """Return what a data set's file says of it in its FACTS, read from the source."""
    module = DATASETS[name].location.partition(":")[0]
    for node in ast.parse(source_of(module)).body:
        if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == ["FACTS"]:
            return ast.literal_eval(node.value).get(short_name(name), {})
    return {}


def facts_of(name: str, **params: Any) -> dict[str, Any]:
    """Return what is fixed of a data set, without importing its file; nothing of an unknown one.

    FACTS in a set's file holds by its name: `num_classes` (or the name of the function that returns them for
    data_params), `images` (training and test), `kind`, `ordered`, `tasks` (without them, classification alone); and
    under "parameter=value" what that value changes.
    """
    facts = _facts(name) if name in DATASETS else {}
    changes = [facts[f"{key}={value}"] for key, value in params.items() if f"{key}={value}" in facts]
    return functools.reduce(dict.__or__, changes, facts)


def task_problem(config: Configuration) -> str | None:
    """Return why a data set does not serve the configuration's task, or None."""
    tasks = facts_of(config.dataset, **config.data_params).get("tasks", ("classification",))
    if config.task in tasks or config.dataset == "made_up":
        return None
    others = [name for name in DATASETS if config.task in facts_of(name).get("tasks", ("classification",))]
    return f"{config.dataset} is annotated for {', '.join(tasks)}; {config.task} takes {', '.join(others)}"


def judged_kind(kind: str) -> str:
    """Return the kind of loss that data takes: one of texts, or one of rows of scores, whatever a row is of."""
    return "sequence" if kind == "sequence" else "image"


def known_num_classes(config: Configuration) -> int | None:
    """Return how many classes the data has, None where that is not known without reading them."""
    if config.classes is not None:
        return len(config.classes)
    number = facts_of(config.dataset, **config.data_params).get("num_classes")
    if not isinstance(number, str):
        return number
    function = load_entry(Entry(f"{DATASETS[config.dataset].location.partition(':')[0]}:{number}", ""))
    params = own_params(config)
    return None if parameter_problems(function, params) else function(**params)


def known_num_images(config: Configuration) -> int | None:
    """Return how many images the training part has as the set's authors publish it; None where that is not known."""
    parameters = keyword_defaults(DATASETS[config.dataset])
    if config.classes is not None and "classes" not in parameters:
        return None
    keys = {key: getattr(config, key) for key in DATA_KEYS if key in parameters}
    images = facts_of(config.dataset, **keys, **config.data_params).get("images")
    return None if images is None else images[0]


def other_kind(config: Configuration, judged: str, held: str) -> str:
    """Say that a loss judges something else than what the data holds."""
    return f"{config.loss_function} judges {judged}s, {config.dataset} holds {_held(held)}"


def other_network(config: Configuration, read: str, held: str) -> str:
    """Say that a network reads something else than what the data holds."""
    return f"{config.architecture} is for {_held(read)}, {config.dataset} holds {_held(held)}"


def _held(kind: str) -> str:
    """Return what data of a kind holds, in words."""
    return HELD.get(kind, f"{kind}s")


def check_mixing_name(name: str) -> str | None:
    """Return what is wrong with a mixing's name, or None; imports nothing."""
    if name in MIXINGS:
        return None
    return f"unknown mixing {name!r}{did_you_mean(name, MIXINGS)} (python train.py --list mixing)"


def mixing_in_words(names: str | Sequence[str] | None) -> str | None:
    """Return what `mixing` names, such as "CutMix or MixUp"; None for none."""
    return names if isinstance(names, str) else " or ".join(names or ()) or None

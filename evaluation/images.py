"""Images of an evaluation: a part of the data or a folder of the user's, a sample of it, and augmented views."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from datasets.augmentation.transforms import build_transforms, is_chain
from datasets.base import ImageTable, table_by_class
from datasets.data_module import DataModule
from datasets.preprocessing import Preprocessing
from datasets.readers.files import list_folder
from datasets.readers.images import ENDINGS, check_images, list_images
from datasets.stream.image_stream import ImageStream
from evaluation.findings import NotApplicable
from evaluation.record import readable_record
from evaluation.requests import PARTS, part_problem
from utils.lookup import did_you_mean
from utils.seeding import derive_seed
from utils.types import ConfigError, DataError

if TYPE_CHECKING:
    from evaluation.subject import Subject


@dataclass(frozen=True)
class Part:
    """The images that a run is evaluated on.

    Args:
        name: "test", "valid" or the folder's name.
        stream: gives the images as the network sees them, not augmented.
        notes: caveats for readers of the numbers.
        folder: full path of a folder of the user's; None for a part of the run's own data.
    """

    name: str
    stream: ImageStream
    notes: tuple[str, ...] = ()
    folder: str | None = None

    def output(self, run: Path) -> Path:
        """Return where in a run's folder the evaluation goes; different folders of one name are numbered."""
        name = "evaluation" if self.name == "test" else f"evaluation-{self.name}"
        if self.folder is not None and self.name in PARTS:
            name = f"evaluation-{self.name}-folder"
        paths = (run / (name if number == 1 else f"{name}-{number}") for number in itertools.count(1))
        records = ((path, readable_record(path)) for path in paths)
        return next(path for path, old in records if old is None or old.facts.get("folder") in (None, self.folder))

    def __len__(self) -> int:
        return len(self.stream)


def open_part(data: DataModule, on: str) -> Part:
    """Return the images of "test", "valid" or a folder; a folder's are resized to what the network was trained on.

    Raises: DataError for a folder that cannot be used, naming every image that cannot be decoded.
    """
    if on in PARTS:
        return Part(on, data.test_stream if on == "test" else data.valid_stream)
    folder = Path(on).expanduser()
    table = read_folder(folder, data.data.classes)
    check_images(table.images)
    notes = ()
    resized = sum(table.size(row) != data.image_size for row in range(len(table)))
    if resized and data.config.size is None:
        height, width = data.image_size
        notes = (
            f"{resized:,} of {len(table):,} images of {folder} are resized to {width} x {height} pixels, the size of "
            "the run's own images (image_size: null)",
        )
    stream = ImageStream(table, range(len(table)), preprocessing_of_others(data))
    return Part(folder.resolve().name, stream, notes, str(folder.resolve()))


def preprocessing_of_others(data: DataModule) -> Preprocessing:
    """Return the run's preprocessing for images of no data set, resized to what the network was trained on."""
    return replace(Preprocessing.of(data.config, training=False), size=data.image_size)


def read_folder(folder: Path, classes: Sequence[str]) -> ImageTable:
    """Read FOLDER/<class>/<image>; classes may be missing, but none may be unknown.

    Raises: DataError naming every folder that is no class of the run, and for a folder without images.
    """
    if problem := part_problem(str(folder)):
        raise DataError(problem)
    inner = {entry.name: entry for entry in list_folder(folder) if entry.is_dir()}
    if unknown := [name for name in inner if name not in classes]:
        some = ", ".join(classes[:12]) + (f", and {len(classes) - 12} more" if len(classes) > 12 else "")
        lines = [f"{folder / name}: no class of this run{did_you_mean(name, classes)}" for name in unknown]
        raise DataError("\n".join([*lines, f"its {len(classes)} classes: {some}"]))
    images = {name: list_images(path)[0] for name, path in inner.items()}
    if not any(images.values()):
        hint = "; for images without labels, use predict.py" if not inner else ""
        raise DataError(f"{folder}: no images in class folders, ending in {', '.join(ENDINGS)}{hint}")
    return table_by_class(images, classes)


def sample(number: int, limit: int | None, *seed: int | str) -> np.ndarray:
    """Return positions of at most `limit` among `number` images, ascending; a pure function of its arguments."""
    if limit is None or limit >= number:
        return np.arange(number)
    return np.sort(np.random.default_rng(derive_seed(*seed)).choice(number, limit, replace=False))


def sample_of_each_class(labels: np.ndarray, limit: int | None, *seed: int | str) -> np.ndarray:
    """Return positions of at most `limit` images of each label, ascending. Shapes: labels [N]."""
    positions = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return np.sort(np.concatenate([own[sample(len(own), limit, *seed)] for own in positions]))


def select(stream: ImageStream, positions: np.ndarray) -> ImageStream:
    """Return a stream of some of a stream's images; cached pixels stay cached."""
    selected = copy.copy(stream)
    selected.rows = stream.rows[positions]
    return selected


def augmented_stream(
    subject: Subject, views: int, positions: Sequence[int] | np.ndarray | None = None, chain: Any = None, key: str = ""
) -> ImageStream:
    """Return images of the part, augmented as in training; runs of one seed see the same pixels.

    Args:
        views: of each image.
        positions: of some of the part's images; None for all.
        chain: transforms instead of the run's own, in the form of image_augmentations. key: names it in errors.

    Raises: NotApplicable if the run trains without augmentation and there is no chain; ConfigError for a wrong chain.
    """
    config, stream = subject.config, subject.part.stream
    if chain is not None:
        if not is_chain(chain):
            raise ConfigError(f"{key}: must be a mapping of transforms to their parameters, got {chain!r}")
        build_transforms(chain, key)  # names the right key in its errors
        chains = {"image_augmentations": chain}
    else:
        chains = {
            "image_augmentations": config.image_augmentations if config.augment_images else None,
            "tensor_augmentations": config.tensor_augmentations if config.augment_tensors else None,
        }
    if not any(chains.values()):
        raise NotApplicable("the run trains without augmentation" + (f", and {key} is not set" if key else ""))
    rows = stream.rows if positions is None else stream.rows[positions]
    options = {"views": views, "seed": config.seed, "backend": config.augment_backend, **chains}
    return ImageStream(stream.table, rows, stream.preprocessing, **options)

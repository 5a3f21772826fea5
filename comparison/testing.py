"""A group beside the baseline of its column: the same seeds, the same test images."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from comparison.grouping import Difference, Group
from comparison.reading import Run
from comparison.statistics import bootstrap_interval, holm, over_images, over_seeds
from utils.parquet import exceeds_memory, memory_problem
from utils.types import first_line

if TYPE_CHECKING:
    import pyarrow as pa

METRIC_OF_IMAGES = "test/accuracy"
"""What predictions say image by image."""
LEVEL = 0.05
NO_PREDICTIONS = "no predictions of classes or texts"
MOST_AUTOMATIC = 200
"""Comparisons up to which predictions are read unasked."""


@dataclass(frozen=True)
class ImageTest:
    """Over the test images, of the networks that were trained.

    Args:
        difference: of the accuracies, a share. low, high: its 95 % interval.
        p_value: of McNemar's test, mid-p unless the exact one is asked for; images with all their seeds are one draw.
    """

    difference: float
    low: float
    high: float
    p_value: float
    images: int
    adjusted: float = 1.0


@dataclass(frozen=True)
class TrainingTest:
    """Over trainings, one a seed that both groups have.

    Args:
        p_value: None for a single seed. method: "" for a single seed.
        smallest: the least p that so many seeds can give. least: the same, corrected as `adjusted` is.
    """

    p_value: float | None
    method: str
    smallest: float
    adjusted: float | None = None
    least: float = 1.0


@dataclass(frozen=True)
class Contrast:
    """A group against the baseline.

    Args:
        difference: of the metric, None where one side has no such number.
        over_seeds, over_images: None where there is no such test.
        reason: why there is no test over images, in a few words. detail: of which runs that is so.
    """

    group: Group
    baseline: Group
    difference: Difference | None
    over_seeds: TrainingTest | None
    over_images: ImageTest | None
    reason: str = ""
    detail: str = ""

    @property
    def num_seeds(self) -> int:
        """How many seeds both have."""
        return 0 if self.difference is None else len(self.difference.by_seed)

    @property
    def verdict(self) -> str:
        """What both tests together say, after Holm's correction.

        "images only" is: these networks differ, but whether others of other seeds would is not known. "not testable":
        no test could have come out otherwise; `obstacle` says why.
        """
        images = self.over_images is not None and self.over_images.adjusted < LEVEL
        adjusted = None if self.over_seeds is None else self.over_seeds.adjusted
        seeds = adjusted is not None and adjusted < LEVEL
        if self.over_images is None and (self.over_seeds is None or self.over_seeds.least >= LEVEL):
            return "not testable"
        if seeds and (images or self.over_images is None):
            return "more than noise"
        if seeds:
            return "seeds only"
        if images:
            return "images only"
        return "within noise"

    @property
    def obstacle(self) -> str:
        """What stands in the way of any test, in a few words."""
        if self.over_seeds is None:
            return self.reason
        few = f"n = {self.num_seeds}"
        if self.over_seeds.smallest < LEVEL:
            few += " for so many comparisons"
        return f"{few}, {self.reason}" if self.detail else few


def contrast_all(
    pairs: Iterable[tuple[Group, Group]], metric: str, with_images: bool, exact: bool = False
) -> list[Contrast]:
    """Test groups against their baselines, and correct for the number of comparisons, seeds and images apart.

    Args: exact: McNemar's exact test over images instead of its mid-p.
    """
    read = lru_cache(maxsize=64)(read_rightness)  # a baseline is needed again in its column
    found = [_contrast(group, baseline, metric, with_images, exact, read) for group, baseline in pairs]
    images = iter(holm([each.over_images.p_value for each in found if each.over_images is not None]))
    trainings = [each.over_seeds.p_value for each in found if each.over_seeds is not None]
    seeds = iter(holm([p_value for p_value in trainings if p_value is not None]))
    least = iter(holm([each.over_seeds.smallest for each in found if each.over_seeds and each.over_seeds.method]))
    corrected = []
    for each in found:
        tested, trained = each.over_images, each.over_seeds
        if tested is not None:
            tested = dataclasses.replace(tested, adjusted=next(images))
        if trained is not None and trained.p_value is not None:
            trained = dataclasses.replace(trained, adjusted=next(seeds), least=next(least))
        corrected.append(dataclasses.replace(each, over_images=tested, over_seeds=trained))
    return corrected


class NotPaired(Exception):
    """Runs that cannot be compared image by image.

    Args: reason: in a few words. detail: which runs.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def _contrast(group: Group, baseline: Group, metric: str, with_images: bool, exact: bool, read) -> Contrast:
    difference = Difference.between(group, baseline, metric)
    if difference is None or not difference.is_paired:
        reason = f"no {metric} on one side" if difference is None else "no seed in common"
        return Contrast(group, baseline, difference, None, None, reason)
    test = over_seeds(list(difference.by_seed.values()))
    trained = TrainingTest(*((None, "", 1.0) if test is None else (test.p_value, test.method, test.smallest)))
    if metric != METRIC_OF_IMAGES:
        return Contrast(group, baseline, difference, trained, None, f"images are compared by {METRIC_OF_IMAGES} only")
    if not with_images:
        return Contrast(group, baseline, difference, trained, None, "predictions not read")
    runs, others = ({run.seed: run for run in each.runs} for each in (group, baseline))
    try:
        tested = _over_images([(runs[seed], others[seed]) for seed in difference.by_seed], exact, read)
    except NotPaired as problem:
        return Contrast(group, baseline, difference, trained, None, problem.reason, str(problem))
    return Contrast(group, baseline, difference, trained, tested)


def _over_images(pairs: Sequence[tuple[Run, Run]], exact: bool, read) -> ImageTest:
    index, target, _ = read(pairs[0][0])
    total = np.zeros(len(index), dtype=np.int64)
    for pair in pairs:
        for each in pair:
            if not (np.array_equal(read(each)[0], index) and np.array_equal(read(each)[1], target)):
                ours, theirs = each.folder.path.name, pairs[0][0].folder.path.name
                raise NotPaired("other test images", f"{ours} has other test images than {theirs}")
        total += read(pair[0])[2].astype(np.int64) - read(pair[1])[2]
    means = total / len(pairs)
    low, high = bootstrap_interval(means)
    return ImageTest(float(means.mean()), low, high, over_images(total, exact), len(total))


def read_rightness(run: Run) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return index, target and whether the prediction is right, of each test image: [N] int, [N] int, [N] bool.

    Raises: NotPaired, as `read_predictions`.
    """
    index, target, prediction = read_predictions(run)
    return index, target, prediction == target


def read_predictions(run: Run) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return index, target and prediction of each test image: [N] int, the last two a class each, or a text each.

    Raises: NotPaired if the run has no predictions, or more than fit in memory.
    """
    import pyarrow as pa

    path = run.folder.predictions
    try:
        columns = _read_columns(path)
    except FileNotFoundError:
        raise NotPaired("no predictions", f"{path.parent.name} has no predictions") from None
    except (OSError, pa.ArrowException) as error:
        raise NotPaired("unreadable predictions", f"{path}: cannot be read: {first_line(error)}") from None
    if not all(column.null_count == 0 and len(column) > 0 for column in columns):
        raise NotPaired("unreadable predictions", f"{path}: {NO_PREDICTIONS}")
    if problem := exceeds_memory(sum(map(_num_bytes, columns))):
        raise NotPaired("unreadable predictions", f"{path}: {problem}")
    index, target, prediction = map(_as_array, columns)
    if len(np.unique(index)) < len(index):
        raise NotPaired("unreadable predictions", f"{path}: an image stands twice")
    return index, target, prediction


def _read_columns(path: Path) -> list[pa.ChunkedArray]:
    """Return index, target and prediction, of equal texts one.

    Raises: OSError and Arrow's errors; NotPaired for other columns, and for more rows than fit in memory.
    """
    import pyarrow.parquet as pq

    names = ["index", "target", "prediction"]
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise OSError("no regular file")
    with pq.ParquetFile(path) as file:
        metadata, schema = file.metadata, file.schema_arrow
    if any(len(schema.get_all_field_indices(name)) != 1 for name in names):
        raise NotPaired("unreadable predictions", f"{path}: has not one column each of {', '.join(names)}")
    texts = names[1:] if _are_texts(schema, names[1:]) else None
    if not _are_numbers(schema, names[:1] if texts else names):
        raise NotPaired("unreadable predictions", f"{path}: {NO_PREDICTIONS}")
    if problem := memory_problem([metadata], 2 * len(names)):  # once more for what is made of them
        raise NotPaired("unreadable predictions", f"{path}: {problem}")
    with pq.ParquetFile(path, metadata=metadata, read_dictionary=texts) as file:
        table = file.read(columns=names, use_threads=False)
    table.validate(full=True)  # that texts are texts
    return [table[name] for name in names]


def _are_numbers(schema: pa.Schema, names: Sequence[str]) -> bool:
    import pyarrow as pa

    return all(pa.types.is_integer(schema.field(name).type) for name in names)


def _are_texts(schema: pa.Schema, names: Sequence[str]) -> bool:
    """Tell whether columns are texts, as they are or with equal ones once."""
    import pyarrow as pa

    kinds = (schema.field(name).type for name in names)
    return all(pa.types.is_string(kind.value_type if pa.types.is_dictionary(kind) else kind) for kind in kinds)


def _num_bytes(column: pa.ChunkedArray) -> int:
    """Return what a column takes as an array: of texts, each as much as the longest."""
    import pyarrow as pa

    if pa.types.is_integer(column.type):
        return column.nbytes
    longest = max(len(word) for chunk in column.chunks for word in ("", *chunk.dictionary.to_pylist()))
    return 4 * longest * max(len(column), *(len(chunk.dictionary) for chunk in column.chunks))


def _as_array(column: pa.ChunkedArray) -> np.ndarray:
    """Return a column of whole numbers, or of texts as NumPy's own, which have bytes to compare."""
    import pyarrow as pa

    if pa.types.is_integer(column.type):
        return column.to_numpy()
    chunks = ((np.array(chunk.dictionary.to_pylist(), np.str_), chunk.indices.to_numpy()) for chunk in column.chunks)
    return np.concatenate([words[numbers] for words, numbers in chunks])

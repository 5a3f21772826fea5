"""Tables of encoded images in Parquet files, as Hugging Face lays them out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from datasets.readers.files import list_folder, listing
from datasets.readers.images import EncodedImage
from utils.lookup import did_you_mean
from utils.parquet import exceeds_memory, machine_memory, memory_problem
from utils.types import ConfigError, DataError, first_line

MOST_ROWS = 1024
"""Rows read in one step, where its share of the memory allows that many."""
SHARE_OF_STEP = 1 / 16
"""Part of the machine's memory that a step may take if every value is the largest of its row group."""


class Columns(NamedTuple):
    """The names of a file's columns of images and labels, and the class names of numbers, None if it does not say."""

    image: str
    label: str
    names: tuple[str, ...] | None


class Part(NamedTuple):
    """The rows of some files: images, what the files call them (None where they do not say), and a label each.

    Labels are numbers or class names, as stored; `names` are the class names of numbers, None if no file says.
    """

    images: list[EncodedImage]
    paths: list[str | None]
    labels: list[Any]
    names: tuple[str, ...] | None


def files_by_split(folder: Path) -> dict[str, list[Path]]:
    """Return split -> its files: SPLIT-*.parquet, SPLIT.parquet or SPLIT/*.parquet, in the folder or in data."""
    for place in (folder / "data", folder):
        splits: dict[str, list[Path]] = {}
        for path in list_folder(place) if place.is_dir() else []:
            for file in list_folder(path) if path.is_dir() else [path]:
                if file.suffix == ".parquet":
                    splits.setdefault(path.name if path.is_dir() else path.stem.partition("-")[0], []).append(file)
        if splits:
            return splits
    return {}


def read_part(files: Sequence[Path], image_column: str | None = None, label_column: str | None = None) -> Part:
    """Read the images and labels of files, one behind the other. Images stay encoded.

    They are held in memory, for a shuffled epoch asks for single rows, and Parquet gives whole row groups: some hundred
    images read for each one that is seen.

    Args:
        files: of one split, in their order.
        image_column, label_column: their names; by default the only ones that can be meant.

    Raises: DataError for damaged files, rows without image or label, files that differ, and more images than memory;
        ConfigError for a column that is not there or not the only one.
    """
    columns, described = [], []
    for path in files:
        with _open(path) as file:
            columns.append(_columns(path, file.schema_arrow, image_column, label_column))
            described.append(file.metadata)
    if differing := [str(path) for path, other in zip(files, columns, strict=True) if other != columns[0]]:
        raise DataError(f"{files[0]}: other columns or class names than in:\n{listing(differing)}")
    if problem := memory_problem(described, num_columns=2):
        raise _too_large(files[0], problem)
    part, problems, taken = Part([], [], [], columns[0].names), [], 0
    for path in files:
        first = len(part.images)
        for batch in _batches(path, columns[0]):
            taken += batch.nbytes
            if problem := exceeds_memory(taken):
                raise _too_large(path, problem)
            images, labels = (batch.column(name) for name in (columns[0].image, columns[0].label))
            nested = pa.types.is_struct(images.type)
            fields = dict(zip([field.name for field in images.type], images.flatten(), strict=True)) if nested else {}
            names = fields["path"].to_pylist() if "path" in fields else [None] * len(batch)
            for content, name, label in zip(fields.get("bytes", images), names, labels.to_pylist(), strict=True):
                image = EncodedImage(path, len(part.images) - first, content.as_buffer())
                if not content.is_valid:
                    problems.append(f"{image}: no image, only its path {name!r}")
                elif label is None:
                    problems.append(f"{image}: no label")
                part.images.append(image)
                part.paths.append(name)
                part.labels.append(label)
    if problems:
        raise DataError(f"{len(problems):,} rows cannot be used:\n{listing(problems)}")
    if not part.labels:
        raise DataError(f"{files[0]}: holds no rows")
    return part


def _open(path: Path) -> pq.ParquetFile:
    if not path.is_file():
        raise DataError(f"{path}: no regular file")
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: damaged or no Parquet file: {first_line(error)}")


def _too_large(path: Path, problem: str) -> DataError:
    return DataError(f"{path.parent}: {problem}; write them to files and use dataset: image_folder")


def _batches(path: Path, columns: Columns) -> Iterator[pa.RecordBatch]:
    """Read a file in steps that fit the memory even if every row refers to the largest value of its row group.

    Equal values stand in a file once, so its size says nothing of what its rows take.
    """
    try:
        with _open(path) as file:
            for group in range(file.num_row_groups):
                largest = max(file.metadata.row_group(group).total_byte_size, 1)
                rows = max(1, int(min(MOST_ROWS, machine_memory() * SHARE_OF_STEP / largest)))
                yield from file.iter_batches(rows, row_groups=[group], columns=[columns.image, columns.label])
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from None


def _columns(path: Path, schema: pa.Schema, image_column: str | None, label_column: str | None) -> Columns:
    """Tell which columns hold images and labels, by their types and by what Hugging Face writes of them."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        features = {name: other for name, other in features.items() if isinstance(other, dict)}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        features = {}  # another library wrote the file
    images = [field.name for field in schema if _holds_bytes(field.type)]
    labels = [name for name in schema.names if features.get(name, {}).get("_type") == "ClassLabel"]
    fits = pa.types.is_string, pa.types.is_large_string, pa.types.is_integer
    labels = labels or [field.name for field in schema if any(fit(field.type) for fit in fits)]
    image = _choose(path, "image_column", image_column, images, ("image", "img"))
    label = _choose(path, "label_column", label_column, labels, ("label", "labels"))
    names = features.get(label, {}).get("names") or ()
    named = names and isinstance(names, list) and all(isinstance(name, str) for name in names)
    return Columns(image, label, tuple(names) if named else None)


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in kind)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _choose(path: Path, key: str, name: str | None, able: list[str], usual: tuple[str, ...]) -> str:
    if name is not None:
        if name not in able:
            near, held = did_you_mean(name, able), ", ".join(able) or "none"
            raise ConfigError(f"data_params.{key}: {path} has no such column {name!r}{near} (it has: {held})")
        return name
    if chosen := next((name for name in usual if name in able), able[0] if len(able) == 1 else None):
        return chosen
    if not able:
        kind = "images (bytes, or {bytes, path})" if key == "image_column" else "labels (numbers or text)"
        raise DataError(f"{path}: has no column of {kind}")
    raise ConfigError(f"data_params.{key}: missing; {path} has several that it can be: {', '.join(able)}")

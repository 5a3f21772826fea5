"""Tables of encoded images in Parquet files, as Hugging Face lays them out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from datasets.readers.files import list_folder, listing
from datasets.readers.images import EncodedImage
from utils.lookup import did_you_mean
from utils.parquet import memory_problem
from utils.types import ConfigError, DataError, first_line


class EncodedImages(Sequence[EncodedImage]):
    """The images of several files, encoded as they were stored, in one piece of memory a row group.

    Args:
        files: where they come from.
        contents: for each file its column of bytes.
    """

    def __init__(self, files: Sequence[Path], contents: Sequence[pa.ChunkedArray]) -> None:
        self.files, self.contents = tuple(files), tuple(contents)
        self.ends = np.cumsum([len(content) for content in contents])

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def __getitem__(self, row: Any) -> Any:
        if not 0 <= row < len(self):
            raise IndexError(row)
        part = int(np.searchsorted(self.ends, row, side="right"))
        inner = int(row) - (int(self.ends[part - 1]) if part else 0)
        return EncodedImage(self.files[part], inner, self.contents[part][inner].as_buffer())


@dataclass(frozen=True)
class Columns:
    """What a file's columns are.

    Args:
        image: the column of images; `nested` if it holds {bytes, path} rather than bytes.
        label: the column of labels; `names` are its class names, None if the file does not say.
    """

    image: str
    label: str
    nested: bool
    names: tuple[str, ...] | None


@dataclass(frozen=True)
class Part:
    """Some files, read: images, what their paths were, and a label each.

    Args:
        paths: what the files call the images; None where they do not say.
        labels: numbers or class names, as stored.
        names: class names of numbers, None if the files do not say.
    """

    images: EncodedImages
    paths: list[str | None]
    labels: list[int] | list[str]
    names: tuple[str, ...] | None


def files_by_split(folder: Path) -> dict[str, list[Path]]:
    """Return split -> its files: SPLIT-*.parquet, SPLIT.parquet or SPLIT/*.parquet, in the folder or in data."""
    found: dict[str, list[Path]] = {}
    for place in (folder / "data", folder):
        if not place.is_dir():
            continue
        for path in list_folder(place):
            inner = list_folder(path) if path.is_dir() else [path]
            for file in inner:
                if file.suffix == ".parquet":
                    name = path.name if path.is_dir() else path.stem.partition("-")[0]
                    found.setdefault(name, []).append(file)
        if found:
            return found
    return found


def read_part(files: Sequence[Path], image_column: str | None = None, label_column: str | None = None) -> Part:
    """Read the images and labels of files, one behind the other. Images stay encoded.

    They are held in memory, for a shuffled epoch asks for single rows, and Parquet gives whole row groups: some hundred
    images read for each one that is seen. They take what the files take.

    Args:
        files: of one split, in their order.
        image_column, label_column: their names; by default the only ones that can be meant.

    Raises: DataError for damaged files, rows without image or label, files that differ, and more images than memory;
        ConfigError for a column that is not there or not the only one.
    """
    columns = [_columns(path, image_column, label_column) for path in files]
    if differing := [str(path) for path, each in zip(files, columns, strict=True) if each != columns[0]]:
        raise DataError(f"{files[0]}: other columns or class names than in:\n{listing(differing)}")
    _check_memory(files)
    contents, paths, labels, problems = [], [], [], []
    for path in files:
        content, names, part_labels = _read_file(path, columns[0])
        contents.append(content)
        paths += names
        labels += part_labels
        without = np.flatnonzero(content.is_null().to_numpy()).tolist()
        problems += [f"{path}, row {row}: no image, only its path {names[row]!r}" for row in without]
        problems += [f"{path}, row {row}: no label" for row, label in enumerate(part_labels) if label is None]
    if problems:
        raise DataError(f"{len(problems):,} rows cannot be used:\n{listing(problems)}")
    if not labels:
        raise DataError(f"{files[0]}: holds no rows")
    return Part(EncodedImages(files, contents), paths, labels, columns[0].names)


def _open(path: Path) -> pq.ParquetFile:
    if not path.is_file():
        raise DataError(f"{path}: no regular file")
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: damaged or no Parquet file: {first_line(error)}")


def _columns(path: Path, image_column: str | None, label_column: str | None) -> Columns:
    """Tell which columns hold images and labels, by their types and by what Hugging Face writes of them."""
    with _open(path) as file:
        schema = file.schema_arrow
    features = _features(schema)
    images = [field.name for field in schema if _holds_bytes(field.type)]
    labels = [name for name in schema.names if features.get(name, {}).get("_type") == "ClassLabel"]
    labels = labels or [field.name for field in schema if _is_text(field.type) or pa.types.is_integer(field.type)]
    image = _choose(path, "image_column", image_column, images, ("image", "img"))
    label = _choose(path, "label_column", label_column, labels, ("label", "labels"))
    listed = features.get(label, {}).get("names") or ()
    named = isinstance(listed, list) and all(isinstance(name, str) for name in listed)
    names = tuple(listed) if named and listed else None
    return Columns(image, label, pa.types.is_struct(schema.field(image).type), names)


def _features(schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """Return what Hugging Face's library says of each column; nothing if another one wrote the file."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return {}
    if not isinstance(features, dict):
        return {}
    return {name: each for name, each in features.items() if isinstance(each, dict)}


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        inner = [kind.field(k) for k in range(kind.num_fields)]
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in inner)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _choose(path: Path, key: str, wanted: str | None, able: list[str], usual: tuple[str, ...]) -> str:
    if wanted is not None:
        if wanted not in able:
            near, held = did_you_mean(wanted, able), ", ".join(able) or "none"
            raise ConfigError(f"data_params.{key}: {path} has no such column {wanted!r}{near} (it has: {held})")
        return wanted
    if chosen := next((name for name in usual if name in able), able[0] if len(able) == 1 else None):
        return chosen
    if not able:
        kind = "images (bytes, or {bytes, path})" if key == "image_column" else "labels (numbers or text)"
        raise DataError(f"{path}: has no column of {kind}")
    raise ConfigError(f"data_params.{key}: missing; {path} has several that it can be: {', '.join(able)}")


def _check_memory(files: Sequence[Path]) -> None:
    """Refuse images that exceed the machine's memory before the system would end the run without a word."""
    described = []
    for path in files:
        with _open(path) as file:
            described.append(file.metadata)
    if problem := memory_problem(described, num_columns=2):
        raise DataError(f"{files[0].parent}: {problem}; write them to files and use dataset: image_folder")


def _read_file(path: Path, columns: Columns) -> tuple[pa.ChunkedArray, Sequence[str | None], list[Any]]:
    """Return a file's images, what it calls them, and its labels."""
    try:
        with pq.ParquetFile(path) as file:
            table = file.read(columns=[columns.image, columns.label])
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from None
    images = table.select([columns.image]).flatten()  # {bytes, path} becomes two columns
    content = images[f"{columns.image}.bytes" if columns.nested else columns.image]
    named = f"{columns.image}.path" in images.column_names
    paths = images[f"{columns.image}.path"].to_pylist() if named else [None] * len(table)
    return content, paths, table[columns.label].to_pylist()

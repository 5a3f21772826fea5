"""The predictions that a run left for the test images, from predictions.parquet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from comparison.reading import Run
from utils.parquet import exceeds_memory, memory_problem
from utils.types import first_line

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ["index", "target", "prediction"]
ReadImages = Callable[[Run], tuple[bytes, np.ndarray]]
"""Returns which test images a run has, as a digest, and a number of each, [N] float32; raises NotPaired."""


class NotPaired(Exception):
    """Runs that cannot be compared image by image. Args: reason: in a few words. detail: which runs."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Rightness:
    """Reads whether the predictions of runs are right, 1 or 0 for each test image, and keeps them."""

    def __init__(self) -> None:
        self._kept: dict[Run, tuple[bytes, np.ndarray] | NotPaired] = {}
        self._held = 0

    def __call__(self, run: Run) -> tuple[bytes, np.ndarray]:
        """Raises: NotPaired."""
        if run not in self._kept:
            try:
                index, target, prediction = read_predictions(run, self._held)
                images = hashlib.sha256(index.tobytes() + target.tobytes()).digest()
                self._kept[run] = images, prediction == target
                self._held += len(index)
            except NotPaired as problem:
                self._kept[run] = problem
        found = self._kept[run]
        if isinstance(found, NotPaired):
            raise found
        return found[0], found[1].astype(np.float32)


def read_predictions(run: Run, held: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return index, target and prediction of each test image: [N] int, the last two a class each, or a text each.

    Args: held: bytes of the predictions that are kept already, of other runs.
    Raises: NotPaired if the run has no predictions, or more than fit in memory beside those.
    """
    import pyarrow as pa

    path = run.folder.predictions
    try:
        index, target, prediction = map(_as_array, _read_columns(path, held))
        if len(np.unique(index)) < len(index):
            raise ValueError("an image stands twice")
    except FileNotFoundError:
        raise NotPaired("no predictions", f"{path.parent.name} has no predictions") from None
    except (OSError, pa.ArrowException) as error:
        raise NotPaired("unreadable predictions", f"{path}: cannot be read: {first_line(error)}") from None
    except ValueError as error:
        raise NotPaired("unreadable predictions", f"{path}: {error}") from None
    return index, target, prediction


def _read_columns(path: Path, held: int) -> list[pa.ChunkedArray]:
    """Return index, target and prediction, of equal texts one.

    Raises: NotPaired for pixels and objects; OSError and Arrow's errors; ValueError for other columns, and for more
        rows than fit in memory.
    """
    import pyarrow.parquet as pq

    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise OSError("no regular file")
    with pq.ParquetFile(path) as file:
        metadata, schema = file.metadata, file.schema_arrow
    if not {*COLUMNS[1:]} & {*schema.names}:
        raise NotPaired("no class an image", f"{path.parent.name} predicts pixels or objects")
    if any(len(schema.get_all_field_indices(name)) != 1 for name in COLUMNS):
        raise ValueError(f"has not one column each of {', '.join(COLUMNS)}")
    texts = COLUMNS[1:] if _are_texts(schema, COLUMNS[1:]) else None
    if not _are_numbers(schema, COLUMNS[:1] if texts else COLUMNS):
        raise ValueError("no predictions of classes or texts")
    if problem := memory_problem([metadata], 2 * len(COLUMNS), held):  # once more for what is made of them
        raise ValueError(problem)
    with pq.ParquetFile(path, metadata=metadata, read_dictionary=texts) as file:
        table = file.read(columns=COLUMNS, use_threads=False)
    table.validate(full=True)  # that texts are texts
    columns = [table[name] for name in COLUMNS]
    if not all(column.null_count == 0 and len(column) > 0 for column in columns):
        raise ValueError("no predictions of classes or texts")
    if problem := exceeds_memory(held + sum(map(_num_bytes, columns))):
        raise ValueError(problem)
    return columns


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

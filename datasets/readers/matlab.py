"""MATLAB files of version 5, read here: scipy's reader ends the process on damaged files (1.17.1: 12 of 3,000).

Read are numbers, texts, cell arrays and structs, all that the published sets hold.
Source: MathWorks, "MAT-File Format", version 5.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from datasets.readers.files import read_bytes
from utils.types import DataError

MATRIX, COMPRESSED = 14, 15
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""How numbers are stored: the type of an element -> NumPy's."""
CELL, STRUCT, TEXT = 1, 2, 4
ARRAYS = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
"""The type of an array, whatever it is stored as: its class -> NumPy's."""
ENCODINGS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
COMPLEX = 0x0800
MAX_DEPTH = 10
LARGEST = 4 << 30
"""Bytes of a variable; SVHN's largest has 1.6 GB."""


Element = tuple[int, memoryview]
"""Its type and its content."""


def _elements(data: memoryview, order: str) -> Iterator[Element]:
    """Yield successive elements: a type, a size, the content, up to the next multiple of 8 bytes."""
    place = 0
    while place < len(data):
        if len(data) - place < 8:
            raise ValueError("ends in the middle of an element")
        kind, size = (int(number) for number in np.frombuffer(data[place : place + 8], f"{order}u4"))
        if kind >> 16:  # up to 4 bytes stand in the tag itself
            kind, size, start, room, after = kind & 0xFFFF, kind >> 16, place + 4, 4, place + 8
        else:
            start, room = place + 8, len(data) - place - 8
            after = start + (size if kind == COMPRESSED else -(-size // 8) * 8)
        if size > room:
            raise ValueError("an element is longer than the file")
        yield kind, data[start : start + size]
        place = after


def _numbers(element: Element, order: str) -> np.ndarray:
    kind, content = element
    if kind not in NUMBERS:
        raise ValueError(f"numbers of type {kind}")
    return np.frombuffer(content, order + NUMBERS[kind])


def _array(element: Element, order: str, depth: int = 0) -> tuple[str, Any]:
    """Return a matrix's name and content, dimensions of size 1 squeezed out."""
    kind, content = element
    if kind != MATRIX or depth > MAX_DEPTH:
        raise ValueError(f"an element of type {kind} at depth {depth}")
    if not len(content):
        return "", np.array([])
    parts = _elements(content, order)
    flags, shape = int(_numbers(next(parts), order)[0]), tuple(_numbers(next(parts), order).tolist())
    kind, name = flags & 0xFF, bytes(next(parts)[1]).decode("latin-1")
    if min(shape, default=-1) < 0 or len(shape) > 32 or flags & COMPLEX:
        raise ValueError(f"{name!r} has the dimensions {shape} or complex numbers")
    if kind == TEXT:
        return name, _text(next(parts), order, shape)
    if kind in ARRAYS:
        array = _numbers(next(parts), order).astype(ARRAYS[kind], copy=False)
    elif kind in (CELL, STRUCT):
        fields = _field_names(next(parts), next(parts), order) if kind == STRUCT else [""]
        count = math.prod(shape)
        if count * len(fields) * 8 > len(content) or not fields:  # a value takes at least 8 bytes
            raise ValueError(f"{shape} values of {len(fields)} fields in {len(content):,} bytes")
        array = np.empty(count, [(field, object) for field in fields] if kind == STRUCT else object)
        for place in range(count):
            values = [_array(next(parts), order, depth + 1)[1] for _ in fields]
            array[place] = tuple(values) if kind == STRUCT else values[0]
    else:
        raise ValueError(f"{name!r} is of class {kind}")
    array = array.reshape(shape, order="F")
    array = array.squeeze() if array.size else array.reshape(0)
    return name, array.item() if not array.shape and array.dtype.names is None else array


def _field_names(length: Element, names: Element, order: str) -> list[str]:
    (step,) = _numbers(length, order).tolist()
    if not 0 < step <= 256:
        raise ValueError(f"names of fields of {step} bytes")
    content = bytes(names[1])
    return [content[k : k + step].split(b"\0")[0].decode("latin-1") for k in range(0, len(content), step)]


def _text(element: Element, order: str, shape: tuple[int, ...]) -> Any:
    """Return a text, or one a row: they are stored column after column."""
    kind, content = element
    if kind not in ENCODINGS:
        raise ValueError(f"text of type {kind}")
    ending = {"<": "-le", ">": "-be"}[order] if kind in (4, 17, 18) else ""
    text = bytes(content).decode(ENCODINGS[kind] + ending)
    if len(text) != math.prod(shape):
        raise ValueError(f"a text of {len(text)} characters where {shape} are promised")
    return text if shape[0] <= 1 else np.array([text[row :: shape[0]] for row in range(shape[0])])


def read_matlab(path: Path, *names: str) -> dict[str, np.ndarray]:
    """Read variables from a .mat file, dimensions of size 1 squeezed out and at least one left.

    Cell arrays come as arrays of objects, structs as arrays with fields of objects.

    Raises: DataError if the file is missing, damaged, of version 7.3 or lacks a variable.
    """
    content = read_bytes(path, LARGEST)
    if content.startswith(b"MATLAB 7.3"):
        raise DataError(f"{path}: a MATLAB file of version 7.3; version 5, as published, is expected")
    variables: dict[str, Any] = {}
    try:
        order = {b"\0\1IM": "<", b"\1\0MI": ">"}.get(content[124:128])
        if order is None:
            raise ValueError("no head of version 5")
        for kind, data in _elements(memoryview(content)[128:], order):
            inner = _elements(_decompressed(data), order) if kind == COMPRESSED else [(kind, data)]
            variables |= dict([_array(matrix, order) for matrix in inner])
    except StopIteration:
        raise DataError(f"{path}: damaged or no MATLAB file: an array ends too early") from None
    except (ValueError, IndexError, OverflowError, MemoryError, zlib.error) as error:
        raise DataError(f"{path}: damaged or no MATLAB file: {error}") from None
    if lacking := [name for name in names if name not in variables]:
        raise DataError(f"{path}: lacks {', '.join(lacking)} (found: {', '.join(variables) or 'nothing'})")
    return {name: np.atleast_1d(variables[name]) for name in names}


def _decompressed(data: memoryview) -> memoryview:
    stream = zlib.decompressobj()
    content = stream.decompress(data, LARGEST)
    if not stream.eof:
        raise ValueError(f"a variable of more than {LARGEST:,} bytes, or one that is cut off")
    return memoryview(content)

"""MATLAB files of version 5, read here: scipy's reader ends the process on one damaged file in sixty.

Source: MathWorks, "MAT-File Format", version 5.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from datasets.readers.files import read_bytes
from utils.types import DataError

MATRIX, COMPRESSED = 14, 15
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""How numbers are stored: the type of an element -> NumPy's."""
CELL, STRUCT, TEXT = 1, 2, 4
ARRAYS = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
"""What an array is of, whatever it is stored as: its class -> NumPy's type."""
ENCODINGS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
COMPLEX = 0x0800
MAX_DEPTH = 10
LARGEST = 4 << 30
"""Bytes of a variable; SVHN's largest has 1.6 GB."""


class Element(NamedTuple):
    kind: int
    content: memoryview


class Reader(NamedTuple):
    """Reads elements of one byte order, "<" or ">"."""

    order: str

    def numbers(self, element: Element) -> np.ndarray:
        if element.kind not in NUMBERS:
            raise ValueError(f"numbers of type {element.kind}")
        return np.frombuffer(element.content, self.order + NUMBERS[element.kind])

    def elements(self, data: memoryview) -> Iterator[Element]:
        """Yield what stands one behind the other: a type, a size, the content, up to the next multiple of 8 bytes."""
        place = 0
        while place < len(data):
            if len(data) - place < 8:
                raise ValueError("ends in the middle of an element")
            kind, size = (int(number) for number in np.frombuffer(data[place : place + 8], f"{self.order}u4"))
            start = place + 8
            if kind >> 16:  # up to 4 bytes stand in the tag itself
                kind, size, start = kind & 0xFFFF, kind >> 16, place + 4
            if size > (4 if start == place + 4 else len(data) - start):
                raise ValueError("an element is longer than the file")
            yield Element(kind, data[start : start + size])
            place = start + size if kind == COMPRESSED else place + 8 + (0 if start == place + 4 else -(-size // 8) * 8)

    def array(self, element: Element, depth: int = 0) -> tuple[str, Any]:
        """Return a matrix's name and what it holds, dimensions of size 1 squeezed out."""
        if element.kind != MATRIX or depth > MAX_DEPTH:
            raise ValueError(f"an element of type {element.kind} at depth {depth}")
        if not len(element.content):
            return "", np.array([])
        parts = self.elements(element.content)
        flags = int(self.numbers(_next(parts))[0])
        shape = tuple(int(size) for size in self.numbers(_next(parts)))
        name = bytes(_next(parts).content).decode("latin-1")
        if min(shape, default=-1) < 0 or len(shape) > 32 or flags & COMPLEX:
            raise ValueError(f"{name!r} has the dimensions {shape} or complex numbers")
        kind = flags & 0xFF
        if kind in (CELL, STRUCT):
            fields = self._field_names(parts) if kind == STRUCT else [""]
            values = [
                [self.array(_next(parts), depth + 1)[1] for _ in fields] for _ in _counted(shape, element, fields)
            ]
            found = np.empty(len(values), [(field, object) for field in fields] if kind == STRUCT else object)
            for row, value in enumerate(values):
                found[row] = tuple(value) if kind == STRUCT else value[0]
        elif kind == TEXT:
            return name, self._text(_next(parts), shape)
        elif kind in ARRAYS:
            found = self.numbers(_next(parts)).astype(ARRAYS[kind], copy=False)
        else:
            raise ValueError(f"{name!r} is of class {kind}")
        return name, _squeezed(found.reshape(shape, order="F"))

    def _field_names(self, parts: Iterator[Element]) -> list[str]:
        (length,) = self.numbers(_next(parts)).tolist()
        names = bytes(_next(parts).content)
        if not 0 < length <= 256:
            raise ValueError(f"names of fields of {length} bytes")
        return [names[k : k + length].split(b"\0")[0].decode("latin-1") for k in range(0, len(names), length)]

    def _text(self, element: Element, shape: tuple[int, ...]) -> Any:
        """Return a text, or one a row: they are stored column after column."""
        if element.kind not in ENCODINGS:
            raise ValueError(f"text of type {element.kind}")
        encoding = ENCODINGS[element.kind] + (
            {"<": "-le", ">": "-be"}[self.order] if element.kind in (4, 17, 18) else ""
        )
        text = bytes(element.content).decode(encoding)
        if len(text) != math.prod(shape):
            raise ValueError(f"a text of {len(text)} characters where {shape} are promised")
        rows = shape[0]
        return text if rows <= 1 else np.array([text[row::rows] for row in range(rows)])


def _next(parts: Iterator[Element]) -> Element:
    element = next(parts, None)
    if element is None:
        raise ValueError("an array ends too early")
    return element


def _counted(shape: tuple[int, ...], element: Element, fields: list[str]) -> range:
    """Return the positions of a cell array or struct, each of whose values takes at least 8 bytes."""
    if math.prod(shape) * len(fields) * 8 > len(element.content) or not fields:
        raise ValueError(f"{shape} values of {len(fields)} fields in {len(element.content):,} bytes")
    return range(math.prod(shape))


def _squeezed(array: np.ndarray) -> Any:
    array = array.squeeze() if array.size else array.reshape(0)
    return array.item() if not array.shape and array.dtype.names is None else array


def read_matlab(path: Path, *names: str) -> dict[str, np.ndarray]:
    """Read variables from a .mat file, dimensions of size 1 squeezed out and at least one left.

    Cell arrays come as arrays of objects, structs as arrays with fields of objects.

    Raises: DataError if the file is missing, damaged, of version 7.3 or lacks a variable.
    """
    content = read_bytes(path, LARGEST)
    try:
        if content.startswith(b"MATLAB 7.3"):
            raise DataError(f"{path}: a MATLAB file of version 7.3; version 5, as published, is expected")
        found = _variables(content)
    except (ValueError, IndexError, OverflowError, MemoryError, zlib.error) as error:
        raise DataError(f"{path}: damaged or no MATLAB file: {error}") from None
    if lacking := [name for name in names if name not in found]:
        raise DataError(f"{path}: lacks {', '.join(lacking)} (found: {', '.join(found) or 'nothing'})")
    return {name: np.atleast_1d(found[name]) for name in names}


def _variables(content: bytes) -> dict[str, Any]:
    order = {b"\0\1IM": "<", b"\1\0MI": ">"}.get(content[124:128])
    if order is None:
        raise ValueError("no head of version 5")
    reader = Reader(order)
    found = {}
    for element in reader.elements(memoryview(content)[128:]):
        inner = reader.elements(_decompressed(element)) if element.kind == COMPRESSED else [element]
        found |= dict(reader.array(each) for each in inner)
    return found


def _decompressed(element: Element) -> memoryview:
    stream = zlib.decompressobj()
    content = stream.decompress(element.content, LARGEST)
    if not stream.eof:
        raise ValueError(f"a variable of more than {LARGEST:,} bytes, or one that is cut off")
    return memoryview(content)

"""MATLAB files are read as scipy reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from datasets.readers import matlab
from datasets.readers.matlab import read_matlab
from tests.conftest import SAMPLES
from utils.types import DataError

FIELDS = {"a": 1.5, "b": "text"}
VARIABLES = {
    "scalar": 3,
    "vector": np.arange(5),
    "bytes": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    "halves": np.array([[0.5, -1.25]], dtype=np.float32),
    "long": np.array([2**40, -(2**40)]),
    "nothing": np.zeros((0, 3)),
    "logical": np.array([True, False]),
    "text": "Ω and ü",
    "texts": np.array(["abc", "def"]),
    "cells": np.array(["one", np.arange(3), 4.0], dtype=object),
    "struct": FIELDS,
    "structs": np.array([(1.0, "x"), (2.0, "yz")], dtype=[("a", object), ("b", object)]),
    "nested": {"inner": {"deep": np.eye(2)}},
}


def same(found, expected) -> bool:
    """Compare values; scipy gives numbers in the type that they are stored in, we in that of their array."""
    if isinstance(expected, np.ndarray) and expected.dtype.names:
        return list(found.dtype.names) == list(expected.dtype.names) and all(
            same(found[name], expected[name]) for name in expected.dtype.names
        )
    found, expected = np.atleast_1d(found), np.atleast_1d(expected)
    if expected.dtype == object:
        return found.shape == expected.shape and all(
            same(*pair) for pair in zip(found.flat, expected.flat, strict=True)
        )
    if not expected.size:
        return not found.size
    return np.array_equal(found, expected) and is_text(found) == is_text(expected)


def is_text(array: np.ndarray) -> bool:
    return array.dtype.kind == "U"


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("name", VARIABLES)
def test_every_kind_of_variable_is_what_scipy_makes_of_it(tmp_path, name, compressed):
    savemat(tmp_path / "file.mat", {name: VARIABLES[name], "other": 1}, do_compression=compressed)
    assert same(read_matlab(tmp_path / "file.mat", name)[name], loadmat(tmp_path / "file.mat", squeeze_me=True)[name])


PUBLISHED = [path for path in sorted(SAMPLES.rglob("*.mat")) if path.is_file()]


@pytest.mark.skipif(not PUBLISHED, reason="needs files of the published sets")
@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.name)
def test_published_files_are_what_scipy_makes_of_them(path: Path):
    expected = {name: value for name, value in loadmat(path, squeeze_me=True).items() if not name.startswith("__")}
    found = read_matlab(path, *expected)
    for name, values in expected.items():
        few = slice(None, None, 97 if len(np.atleast_1d(values)) > 1000 else None)
        assert found[name].shape == np.atleast_1d(values).shape
        assert same(found[name][few], np.atleast_1d(values)[few])


def test_a_compressed_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    savemat(tmp_path / "file.mat", {"zeros": np.zeros(2**20)}, do_compression=True)
    monkeypatch.setattr(matlab, "LARGEST", 2**20)
    with pytest.raises(DataError, match=r"file\.mat: damaged or no MATLAB file: a variable of more than 1,048,576"):
        read_matlab(tmp_path / "file.mat", "zeros")

"""Whatever the files of a data set hold, rows come of them or an error that names the folder; nothing in them runs."""

from __future__ import annotations

import gzip
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from fuzzing import cases, damaged, outcome, within
from hypothesis import given
from hypothesis import strategies as st
from official_layouts import (
    write_adience,
    write_aircraft,
    write_ccpd,
    write_cifar,
    write_cub,
    write_fashion_mnist,
    write_flowers,
    write_imagenet,
    write_newer,
    write_older,
    write_parquet,
    write_plates,
    write_svhn,
    write_table,
)

from datasets import build_dataset
from datasets.base import DataSet, ImageTable
from datasets.label_noise import read_noisy_labels
from datasets.sets.stanford.preparation import prepare_stanford

IMAGES = (".jpg", ".jpeg", ".png")
TEXTS = [
    *(b",", b";", b"\t", b'"', b"\n", b"\r\n", b"\0", b"\x85", b"\xe2\x80\xa8", b"\xff", b"\xef\xbb\xbf", b"../", b"/"),
    *(b"-1", b"nan", b"inf", b"1e400", b"1" * 5_000, "²".encode(), "٣".encode(), b"a" * 140_000, b"\x1b[31m", b" "),
]


def stanford(write: Callable[[Path], Path]) -> Callable[[Path], Path]:
    """Return the writer of a prepared folder."""

    def prepared(root: Path) -> Path:
        prepare_stanford(write(root / "raw"), root / "cars", allow_partial=True, say=lambda line: None)
        return root / "cars"

    return prepared


class Official(NamedTuple):
    """How a data set is written in small and by which name it is read."""

    write: Callable[[Path], Path]
    dataset: str
    altered: bool = False


LAYOUTS = {
    "cifar10": Official(write_cifar, "cifar10", altered=True),
    "cifar100": Official(lambda root: write_cifar(root, "cifar100"), "cifar100", altered=True),
    "svhn": Official(write_svhn, "svhn", altered=True),
    "fashion_mnist": Official(write_fashion_mnist, "fashion_mnist", altered=True),
    "flowers102": Official(write_flowers, "flowers102", altered=True),
    "cub200": Official(write_cub, "cub200"),
    "fgvc_aircraft": Official(write_aircraft, "fgvc_aircraft"),
    "adience": Official(write_adience, "adience"),
    "imagenet": Official(lambda root: write_imagenet(root, flat=True), "imagenet"),
    "stanford_cars": Official(stanford(write_newer), "stanford_cars"),
    "csv": Official(write_table, "csv"),
    "parquet": Official(write_parquet, "parquet"),
    "plates": Official(write_plates, "plates"),
    "ccpd": Official(write_ccpd, "ccpd"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


def pickles_that_run(marker: Path) -> list[bytes]:
    """Return pieces of pickles that would make a folder."""
    name = str(marker).encode()
    return [
        b"cposix\nmkdir\n(V" + name + b"\ntR0",
        b"\x80\x04\x8c\x05posix\x8c\x05mkdir\x93\x8c" + bytes([len(name)]) + name + b"\x85R0",
        b"(V" + name + b"\niposix\nmkdir\n0",
        *(b"R", b"b", b"o", b"\x81", b"\x92", b"\x93", b"Q", b"\x82\x01", b"cnumpy\nload\n", b"c_codecs\nencode\n"),
        *(
            b"\x8a\xff\xff\xff\x7f",
            b"B\xff\xff\xff\x7f",
            b"r\xff\xff\xff\x7f",
            b"\x8d" + b"\xff" * 8,
            b"(" * 9,
            b"l",
            b"}",
        ),
    ]


def check_table(table: ImageTable, classes: tuple[str, ...]) -> None:
    assert len(table) > 0
    assert table.labels.dtype == np.int64
    if table.labels.ndim == 1:  # those of sequences are padded
        assert 0 <= table.labels.min() <= table.labels.max() < len(classes)
    assert len(table.labels) == len(table.images)
    if table.boxes is not None:
        assert table.boxes.shape == (len(table), 4)


@pytest.mark.parametrize("name", LAYOUTS)
@cases(normal=10, torture=700)
@given(data=st.data())
def test_any_damage_to_a_data_set_gives_rows_or_is_told(folder: Path, name: str, data: st.DataObject) -> None:
    official = LAYOUTS[name]
    root, marker = folder / name, folder / "ran"
    if not root.exists():
        root.mkdir()
        official.write(root)
    path = next(root.glob("cars")) if name == "stanford_cars" else root / {"plates": "plates"}.get(name, ".")
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.suffix not in IMAGES)
    file = data.draw(st.sampled_from(files))
    whole = file.read_bytes()
    pieces = TEXTS + (pickles_that_run(marker) if name.startswith("cifar") else [])
    if file.suffix == ".gz":  # behind the checksum, too
        strategy = st.one_of(
            damaged([whole]), damaged([gzip.decompress(whole)], [b"\xff" * 4, bytes(4)]).map(gzip.compress)
        )
    else:
        strategy = damaged([whole], pieces)
    file.write_bytes(data.draw(strategy))
    more = {"verify_checksums": False} if official.altered else {}
    try:
        with within(seconds=3):
            found, told = outcome(lambda: build_dataset(official.dataset, data_path=str(path), **more))
    finally:
        file.write_bytes(whole)
    assert not marker.exists()
    if found is None:
        assert told is not None
        assert str(path) in told or file.name in told
    else:
        assert isinstance(found, DataSet)
        check_table(found.train, found.classes)
        check_table(found.test, found.classes)
        assert all(note.isprintable() for note in found.notes)


@pytest.mark.parametrize("write", [write_older, write_newer])
@cases(normal=6, torture=100)
@given(data=st.data())
def test_any_damage_to_annotations_is_prepared_or_told(
    folder: Path, write: Callable[[Path], Path], data: st.DataObject
) -> None:
    root = folder / write.__name__
    if not root.exists():
        write(root)
    file = data.draw(st.sampled_from(sorted(root.rglob("*.mat"))))
    whole = file.read_bytes()
    file.write_bytes(data.draw(damaged([whole], [b"\x0e\0\0\0", b"\x0f\0\0\0", b"\xff" * 4, bytes(8)])))
    dest = folder / f"{write.__name__}-prepared"
    try:
        with within(seconds=3):
            found, told = outcome(lambda: prepare_stanford(root, dest, allow_partial=True, say=lambda line: None))
    finally:
        file.write_bytes(whole)
    assert (found is None) == (told is not None)
    assert dest.exists() == (found is not None)
    assert not dest.with_name(f".{dest.name}.unfinished").exists()
    if found is not None:
        for each in sorted(dest.rglob("*"), reverse=True):
            each.unlink() if each.is_file() else each.rmdir()
        dest.rmdir()


CLEAN = np.arange(40) % 10


def noisy_files() -> dict[str, bytes]:
    """Return ending -> a file of noisy labels."""
    files = {name: io.BytesIO() for name in (".npy", ".npz", ".pt")}
    np.save(files[".npy"], CLEAN)
    np.savez(files[".npz"], worse_label=CLEAN, clean_label=CLEAN)
    torch.save({"worse_label": torch.from_numpy(CLEAN), "clean_label": CLEAN}, files[".pt"])
    table = "worse_label,clean_label\n" + "".join(f"{label},{label}\n" for label in CLEAN)
    return {name: file.getvalue() for name, file in files.items()} | {".csv": table.encode()}


NOISY = noisy_files()


@pytest.mark.parametrize("ending", NOISY)
@cases(normal=15, torture=500)
@given(data=st.data())
def test_any_damage_to_noisy_labels_gives_labels_or_is_told(folder: Path, ending: str, data: st.DataObject) -> None:
    marker = folder / "ran"
    kinds = [NOISY[ending]]
    pieces = TEXTS
    if ending != ".csv":
        kinds += [pickle.dumps({"worse_label": CLEAN.tolist()}, protocol) for protocol in (0, 2, 4)]
        pieces = pickles_that_run(marker)
    file = folder / f"labels{ending}"
    file.write_bytes(data.draw(damaged(kinds, pieces)))
    name = data.draw(st.sampled_from([None, "worse_label", "", "\n"]))
    with within(seconds=3):
        labels, told = outcome(lambda: read_noisy_labels(str(file), name, CLEAN, 10))
    assert not marker.exists()
    if labels is None:
        assert told is not None
        assert str(file) in told
    else:
        assert labels.dtype == np.int64
        assert labels.shape == CLEAN.shape
        assert 0 <= labels.min() <= labels.max() < 10

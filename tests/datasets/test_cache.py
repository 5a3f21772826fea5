from __future__ import annotations

import errno
import logging
import math
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from caching import IMAGES, ROW_BYTES, ROWS, SHAPE, Loader, image_of, open_cache
from torch.utils.data import DataLoader, Dataset

from datasets import cache_files, cache_memory
from datasets.cache import CachedImages, cached_bytes, cached_images
from utils.types import DataError

WHERE = pytest.mark.parametrize("where", ["disk", "memory"])


def only(folder: Path, name: str = "") -> Path:
    """Return a file of the one cache in a folder, or the cache."""
    caches = [path for path in folder.iterdir() if path.is_dir()]
    assert len(caches) == 1
    return caches[0] / name


@WHERE
def test_images_are_those_that_were_loaded(tmp_path: Path, where: str) -> None:
    images = open_cache(image_of, tmp_path, where=where)
    assert images.shape == SHAPE
    assert images.dtype == images[0].dtype == np.uint8
    assert len(images) == 40
    assert np.array_equal(images[7], IMAGES[7])
    assert np.array_equal(images[np.array([3, 3, 39])], IMAGES[[3, 3, 39]])
    assert np.array_equal(images[:], IMAGES)


@WHERE
def test_pixels_cannot_be_changed_by_accident(tmp_path: Path, where: str) -> None:
    images = open_cache(image_of, tmp_path, where=where)
    with pytest.raises(ValueError, match="read-only"):
        images[0][0] = 1


@WHERE
def test_rows_that_were_not_asked_for_are_an_error_and_not_black(tmp_path: Path, where: str) -> None:
    images = open_cache(image_of, tmp_path, rows=np.array([5, 1, 5]), where=where)
    assert np.array_equal(images[5], IMAGES[5])
    for rows in (0, [1, 5, 6], slice(None)):
        with pytest.raises(KeyError, match="not among the rows"):
            images[rows]


def test_rows_outside_the_table_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rows must be of 0 to 39, got -1 to 3"):
        open_cache(image_of, tmp_path, rows=np.array([3, -1]))


@pytest.mark.parametrize("image", [np.zeros((6, 5, 1), np.uint8), np.zeros((6, 5, 3), np.float32)])
@WHERE
def test_images_of_another_shape_or_type_are_refused(tmp_path: Path, where: str, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"row 0 must be uint8 of \(6, 5, 3\)"):
        open_cache(lambda row: image, tmp_path, where=where)


def test_the_second_opening_loads_nothing_and_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lossbench")
    first, second = Loader(), Loader()
    open_cache(first, tmp_path)
    assert sorted(first.rows) == list(ROWS)
    assert [message.split(" in ")[0] for message in caplog.messages] == [
        f"decoding 40 images into {only(tmp_path)} (0.00 MB)",
        "decoded 40 images",
    ]
    caplog.clear()
    assert np.array_equal(open_cache(second, tmp_path)[:], IMAGES)
    assert second.rows == []
    assert caplog.records == []


def test_only_rows_that_no_run_has_loaded_are_loaded(tmp_path: Path) -> None:
    open_cache(image_of, tmp_path, rows=np.arange(10, 30))
    load = Loader()
    assert np.array_equal(open_cache(load, tmp_path)[:], IMAGES)
    assert sorted(load.rows) == [*range(10), *range(30, 40)]


def test_other_keys_and_shapes_are_other_caches(tmp_path: Path) -> None:
    open_cache(image_of, tmp_path, key="a")
    assert np.array_equal(open_cache(lambda row: 255 - image_of(row), tmp_path, key="b")[:], 255 - IMAGES)
    assert np.array_equal(open_cache(image_of, tmp_path, key="a")[:], IMAGES)
    names = {path.name.rpartition("-")[0] for path in tmp_path.iterdir() if path.is_dir()}
    assert names == {"tiny-6x5x3"}


def test_another_format_never_reads_older_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_cache(image_of, tmp_path)
    monkeypatch.setattr(cache_files, "FORMAT", 2)
    load = Loader()
    open_cache(load, tmp_path)
    assert sorted(load.rows) == list(ROWS)


def test_names_of_data_sets_do_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    open_cache(image_of, folder, name="../../a b\0c")
    assert only(folder).parent == folder
    assert only(folder).name.startswith("_.._a_b_c-6x5x3-")
    assert [path.name for path in tmp_path.iterdir()] == ["inner"]


def test_caches_lie_in_the_users_cache_folder(cache: Path) -> None:

    cached_images(image_of, SHAPE, ROWS, "key", where="disk", limit_gb=1)
    folder = only(cache / "lossbench" / "images")
    assert folder.name.startswith("images-6x5x3-")
    assert (folder / "images.u8").stat().st_size == cached_bytes(SHAPE) == math.prod(SHAPE)
    assert "Images decoded by Lossbench" in (folder / "about.json").read_text()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[7 * ROW_BYTES + 5] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def lengthen(path: Path) -> None:
    os.truncate(path, path.stat().st_size + 1)


def garble(path: Path) -> None:
    path.write_bytes(np.random.default_rng(99).bytes(path.stat().st_size))


@pytest.mark.parametrize(
    ("name", "damage", "rebuilt"),
    [
        ("images.u8", flip, [7]),
        ("images.u8", cut, [39]),
        ("images.u8", lengthen, []),
        ("images.u8", garble, [*ROWS]),
        ("images.u8", Path.unlink, [*ROWS]),
        ("checksums.u4", cut, [*ROWS]),
        ("checksums.u4", lengthen, [*ROWS]),
        ("checksums.u4", garble, [*ROWS]),
        ("checksums.u4", Path.unlink, [*ROWS]),
        ("about.json", garble, []),
        ("about.json", Path.unlink, []),
        ("in-use", Path.unlink, []),
        ("building", Path.unlink, []),
    ],
)
def test_damage_is_told_and_exactly_what_it_hit_is_loaded_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, damage, rebuilt: list[int]
) -> None:
    caplog.set_level(logging.WARNING, "lossbench")
    open_cache(image_of, tmp_path)
    damage(only(tmp_path, name))
    load = Loader()
    assert np.array_equal(open_cache(load, tmp_path)[:], IMAGES)
    assert sorted(load.rows) == rebuilt
    assert len(caplog.records) == bool(rebuilt)
    assert all(str(only(tmp_path)) in record.message for record in caplog.records)
    again = Loader()
    assert np.array_equal(open_cache(again, tmp_path)[:], IMAGES)
    assert again.rows == []


def test_damaged_rows_are_counted_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "lossbench")
    open_cache(image_of, tmp_path)
    flip(only(tmp_path, "images.u8"))
    open_cache(image_of, tmp_path)
    assert caplog.messages == [f"{only(tmp_path, 'images.u8')}: 1 damaged images are decoded again: rows 7"]


def test_a_row_that_is_written_without_its_checksum_costs_that_row(tmp_path: Path, monkeypatch) -> None:
    written = cache_files._write_at
    calls = []

    def die(file, start, content) -> None:
        calls.append(start)
        if len(calls) == 8:  # the fourth row's checksum
            raise KeyboardInterrupt
        written(file, start, content)

    monkeypatch.setattr(cache_files, "_write_at", die)
    with pytest.raises(KeyboardInterrupt):
        open_cache(image_of, tmp_path)
    monkeypatch.undo()
    load = Loader()
    assert np.array_equal(open_cache(load, tmp_path)[:], IMAGES)
    assert sorted(load.rows) == list(range(3, 40))


@WHERE
def test_all_images_that_cannot_be_loaded_are_told_at_once(tmp_path: Path, where: str) -> None:
    def load(row: int) -> np.ndarray:
        if row in (3, 30):
            raise DataError(f"{row}.jpg: damaged: it ends early")
        if row == 17:
            raise OSError(errno.EIO, "Input/output error")
        return image_of(row)

    with pytest.raises(DataError) as raised:
        open_cache(load, tmp_path, where=where)
    assert str(raised.value).splitlines()[:4] == [
        "3 of 40 images cannot be used:",
        "  3.jpg: damaged: it ends early",
        "  row 17: cannot be read: [Errno 5] Input/output error",
        "  30.jpg: damaged: it ends early",
    ]


def test_images_beside_faulty_ones_are_kept(tmp_path: Path) -> None:
    def load(row: int) -> np.ndarray:
        if row == 3:
            raise DataError("3.jpg: damaged")
        return image_of(row)

    with pytest.raises(DataError):
        open_cache(load, tmp_path)
    mended = Loader()
    assert np.array_equal(open_cache(mended, tmp_path)[:], IMAGES)
    assert mended.rows == [3]


def test_faults_of_the_program_are_not_taken_for_faults_of_images(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        open_cache(lambda row: 1 // 0, tmp_path)


class Rows(Dataset):
    """A row of several caches at once: to start a worker takes seconds."""

    def __init__(self, caches: list[CachedImages]) -> None:
        self.caches = caches

    def __len__(self) -> int:
        return SHAPE[0]

    def __getitem__(self, row: int) -> torch.Tensor:
        return torch.stack([torch.tensor(images[row]) for images in self.caches])


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_see_the_same_pixels_and_not_copies(tmp_path: Path, monkeypatch, start: str) -> None:
    disk, memory = (open_cache(image_of, tmp_path, where=where) for where in ("disk", "memory"))
    monkeypatch.setattr(cache_memory, "HAS_DESCRIPTORS", False)
    torchs = open_cache(image_of, tmp_path, where="memory")
    loader = DataLoader(
        Rows([disk, memory, torchs]), batch_size=8, num_workers=1, prefetch_factor=1, multiprocessing_context=start
    )
    batches = iter(loader)
    seen = [next(batches)]
    assert isinstance(disk.source, cache_files.Mapped)
    assert isinstance(memory.source, cache_memory.Memory)
    assert isinstance(torchs.source, cache_memory.TorchMemory)
    # the last image, which the worker has not come to
    with disk.source.path.open("r+b") as file:
        file.seek(39 * ROW_BYTES)
        file.write(bytes(ROW_BYTES))
    memory.source.pixels(writable=True)[39] = torchs.source.pixels(writable=True)[39] = 0
    seen = torch.cat([*seen, *batches]).numpy()  # [N, 3, H, W, C]
    assert np.array_equal(seen[:39], IMAGES[:39, None].repeat(3, axis=1))
    assert np.array_equal(seen[39], np.zeros_like(seen[39]))


def test_torchs_memory_cannot_be_changed_by_accident(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(cache_memory, "HAS_DESCRIPTORS", False)
    images = open_cache(image_of, tmp_path, where="memory")
    assert np.array_equal(images[:], IMAGES)
    with pytest.raises(ValueError, match="read-only"):
        images[0][0] = 1


def test_a_pickle_holds_no_pixels(tmp_path: Path) -> None:
    images = open_cache(image_of, tmp_path)
    content = pickle.dumps(images)
    assert len(content) < 1000 < IMAGES.nbytes
    assert np.array_equal(pickle.loads(content)[:], IMAGES)


def test_memory_does_not_come_from_dev_shm(tmp_path: Path) -> None:
    if not Path("/dev/shm").is_dir():
        pytest.skip("no /dev/shm")
    before = set(os.listdir("/dev/shm"))
    images = open_cache(image_of, tmp_path, where="memory")
    handle = images.source.handle  # type: ignore[union-attr]
    assert os.fstat(handle).st_size == IMAGES.nbytes
    assert os.fstat(handle).st_dev != os.stat("/dev/shm").st_dev
    assert set(os.listdir("/dev/shm")) <= before


def test_memory_is_given_back(tmp_path: Path) -> None:
    images = open_cache(image_of, tmp_path, where="memory")
    handle = images.source.handle  # type: ignore[union-attr]
    del images
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle)

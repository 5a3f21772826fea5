from __future__ import annotations

import errno
import logging
import os
import pickle
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from caching import IMAGES, ROW_BYTES, ROWS, SHAPE, Loader, image_of, open_cache, program
from torch.utils.data import DataLoader, Dataset

from datasets import cache as caches
from datasets.cache import CachedImages, CacheUnavailable, cached_images
from datasets.readers import files as machine
from utils.types import DataError

WHERE = pytest.mark.parametrize("where", ["disk", "memory"])
SIZE_GB = 1.03 * SHAPE[0] * ROW_BYTES / 1e9  # whole blocks of the disk


def only(folder: Path) -> Path:
    """Return the file of the one cache in a folder."""
    (file,) = folder.glob("*.u8")
    return file


def held(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.u8")}


@WHERE
def test_images_are_those_that_were_loaded_and_cannot_be_changed(tmp_path: Path, where: str) -> None:
    images = open_cache(image_of, tmp_path, where=where)
    assert images.shape == SHAPE
    assert images[0].dtype == np.uint8
    assert np.array_equal(images[7], IMAGES[7])
    assert np.array_equal(images[np.array([3, 3, 39])], IMAGES[[3, 3, 39]])
    assert np.array_equal(images[:], IMAGES)
    with pytest.raises(ValueError, match="read-only"):
        images[0][0] = 1
    some = open_cache(image_of, tmp_path / "some", rows=np.array([5, 1, 5]), where=where)
    assert np.array_equal(some[5], IMAGES[5])
    for index in (0, [1, 5, 6], slice(None)):  # what was not asked for is an error and not black
        with pytest.raises(KeyError, match="not among the images"):
            some[index]
    if where == "memory":
        assert images.path.stat().st_dev != os.stat("/dev/shm").st_dev
        path = images.path
        del images
        assert not path.exists()


@pytest.mark.parametrize("image", [np.zeros((64, 50, 1), np.uint8), np.zeros((64, 50, 3), np.float32)])
@WHERE
def test_images_of_another_shape_or_type_are_refused(tmp_path: Path, where: str, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"image 0 must be uint8 of \(64, 50, 3\)"):
        open_cache(lambda row: image, tmp_path, where=where)
    with pytest.raises(ZeroDivisionError):  # our own fault is none of an image
        open_cache(lambda row: 1 // 0, tmp_path, where=where)


def test_the_second_opening_loads_nothing_and_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lossbench")
    first, second = Loader(), Loader()
    open_cache(first, tmp_path)
    assert sorted(first.rows) == list(ROWS)
    assert caplog.messages == [f"decoding 40 images into {only(tmp_path)} (0.38 MB)"]
    caplog.clear()
    assert np.array_equal(open_cache(second, tmp_path)[:], IMAGES)
    assert second.rows == []
    assert caplog.records == []
    open_cache(image_of, tmp_path, rows=np.arange(10, 30), key="other")
    assert np.array_equal(open_cache(second, tmp_path, key="other")[:], IMAGES)
    assert sorted(second.rows) == [*range(10), *range(30, 40)]  # only those that no run has loaded


def test_another_key_or_format_is_another_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_cache(image_of, tmp_path, key="a")
    assert np.array_equal(open_cache(lambda row: 255 - image_of(row), tmp_path, key="b")[:], 255 - IMAGES)
    assert np.array_equal(open_cache(image_of, tmp_path, key="a")[:], IMAGES)
    assert {name.rpartition("-")[0] for name in held(tmp_path)} == {"tiny-64x50x3"}
    monkeypatch.setattr(caches, "FORMAT", 3)
    load = Loader()
    open_cache(load, tmp_path, key="a")
    assert sorted(load.rows) == list(ROWS)
    folder = tmp_path / "out" / "inner"  # out of which no name leads
    open_cache(image_of, folder, name="../../a b\0c")
    assert only(folder).name.startswith("_.._a_b_c-64x50x3-")
    assert [path.name for path in folder.parent.iterdir()] == ["inner"]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[7 * ROW_BYTES + 5] ^= 1
    path.write_bytes(content)


def garble(path: Path) -> None:
    path.write_bytes(np.random.default_rng(99).bytes(path.stat().st_size))


@pytest.mark.parametrize(
    ("damage", "rebuilt", "named"),
    [
        (flip, [7], "1 damaged images are decoded again: 7"),
        (lambda path: os.truncate(path, path.stat().st_size - 1), [39], "1 damaged images are decoded again: 39"),
        (lambda path: os.truncate(path, path.stat().st_size + 1), [], None),
        (garble, [*ROWS], "40 damaged images are decoded again: 0, 1, 2, 3, 4, ..."),
        (lambda path: os.truncate(path, 0), [*ROWS], None),
        (Path.unlink, [*ROWS], None),
    ],
)
def test_damage_is_reported_and_exactly_what_it_hit_is_loaded_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage, rebuilt: list[int], named: str | None
) -> None:
    caplog.set_level(logging.WARNING, "lossbench")
    open_cache(image_of, tmp_path)
    damage(only(tmp_path))
    load, again = Loader(), Loader()
    assert np.array_equal(open_cache(load, tmp_path)[:], IMAGES)
    assert sorted(load.rows) == rebuilt
    assert caplog.messages == ([f"{only(tmp_path)}: {named}"] if named else [])
    assert np.array_equal(open_cache(again, tmp_path)[:], IMAGES)
    assert again.rows == []


@WHERE
def test_all_images_that_cannot_be_loaded_are_listed_and_the_others_kept(tmp_path: Path, where: str) -> None:
    def load(row: int) -> np.ndarray:
        if row in (3, 30):
            raise DataError(f"{row}.jpg: damaged: it ends early")
        return image_of(row)

    with pytest.raises(DataError) as raised:
        open_cache(load, tmp_path, where=where)
    assert str(raised.value).splitlines()[:3] == [
        "2 of 40 images cannot be used:",
        "  3.jpg: damaged: it ends early",
        "  30.jpg: damaged: it ends early",
    ]
    mended = Loader()
    assert np.array_equal(open_cache(mended, tmp_path, where=where)[:], IMAGES)
    assert where == "memory" or mended.rows == [3, 30]


class Rows(Dataset):
    """A row of several caches at once: to start a worker takes seconds."""

    def __init__(self, caches: list[CachedImages]) -> None:
        self.caches = caches

    def __len__(self) -> int:
        return SHAPE[0]

    def __getitem__(self, row: int) -> torch.Tensor:
        return torch.stack([torch.tensor(images[row]) for images in self.caches])


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.torture)])
def test_workers_see_the_same_pixels_and_not_copies(tmp_path: Path, monkeypatch, start: str) -> None:
    opened = [open_cache(image_of, tmp_path, where=where) for where in ("disk", "memory")]
    monkeypatch.delattr(os, "memfd_create")
    opened.append(open_cache(image_of, tmp_path, where="memory"))  # as on systems without such files
    assert all(len(pickle.dumps(images)) < 1000 for images in opened)
    loader = DataLoader(Rows(opened), batch_size=8, num_workers=1, prefetch_factor=1, multiprocessing_context=start)
    batches = iter(loader)
    seen = [next(batches)]
    for images in opened:  # the last image, which the worker has not come to
        with images.path.open("r+b") as file:
            file.seek(39 * ROW_BYTES + 4)
            file.write(bytes(ROW_BYTES - 4))
    seen = torch.cat([*seen, *batches]).numpy()  # [N, 3, H, W, C]
    assert np.array_equal(seen[:39], IMAGES[:39, None].repeat(3, axis=1))
    assert np.array_equal(seen[39], np.zeros_like(seen[39]))


@WHERE
def test_more_than_the_limit_is_refused_before_anything_is_loaded(tmp_path: Path, monkeypatch, where: str) -> None:
    load = Loader()
    with pytest.raises(CacheUnavailable, match=r"the images take 0\.38 MB, more than the limit of 0\.36 MB"):
        open_cache(load, tmp_path, where=where, limit_gb=SIZE_GB * 0.9)
    if where == "memory":
        size = SHAPE[0] * ROW_BYTES
        monkeypatch.setattr(caches, "available_memory", lambda: size / caches.SHARE - 2)
        with pytest.raises(CacheUnavailable, match=r"more than 80% of 0\.48 MB of free memory"):
            open_cache(load, tmp_path, where=where)
        monkeypatch.setattr(caches, "available_memory", lambda: size / caches.SHARE + 2)
        assert np.array_equal(open_cache(image_of, tmp_path, where=where)[ROWS], IMAGES)
    assert load.rows == []
    assert held(tmp_path) == set()


def test_images_not_needed_do_not_count_and_the_users_cache_folder_is_the_default(cache: Path) -> None:
    def open_some(rows: np.ndarray) -> CachedImages:
        return cached_images(image_of, SHAPE, rows, "key", where="disk", limit_gb=SIZE_GB / 2)

    assert open_some(np.arange(18)).shape == SHAPE
    assert only(cache / "lossbench" / "images").stat().st_size == SHAPE[0] * ROW_BYTES
    with pytest.raises(CacheUnavailable):  # but those of other runs do
        open_some(np.arange(20, 30))


def test_the_least_recently_used_cache_leaves_when_the_limit_is_reached(tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.INFO, "lossbench")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    names = {}
    for age, key in enumerate("cab"):
        before = held(tmp_path)
        open_cache(image_of, tmp_path, key=key)
        (names[key],) = held(tmp_path) - before
        os.utime(tmp_path / names[key], (1000 + age, 1000 + age))
    open_cache(image_of, tmp_path, key="c")  # opening counts as use, so a is the oldest
    caplog.clear()
    open_cache(image_of, tmp_path, key="d", limit_gb=3.5 * SIZE_GB)
    assert set(names.values()) - held(tmp_path) == {names["a"]}
    assert caplog.messages[0].startswith(f"removed {tmp_path / names['a']} (0.3")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_nothing_in_use_leaves_and_nothing_where_that_would_not_be_enough(tmp_path: Path) -> None:
    images = open_cache(image_of, tmp_path, key="a")
    open_cache(image_of, tmp_path, key="b")
    before = held(tmp_path)
    with pytest.raises(CacheUnavailable, match="of which other runs hold"):
        open_cache(image_of, tmp_path, key="c", limit_gb=1.9 * SIZE_GB)
    assert held(tmp_path) == before
    assert np.array_equal(images[:], IMAGES)
    del images
    open_cache(image_of, tmp_path, key="c", limit_gb=1.9 * SIZE_GB)
    assert len(held(tmp_path)) == 1
    assert not held(tmp_path) & before


def test_a_disk_with_too_little_room_is_refused_unless_idle_caches_can_leave(tmp_path: Path, monkeypatch) -> None:
    def has_free(room: float) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=caches.RESERVE + room))

    load, size = Loader(), SHAPE[0] * ROW_BYTES
    has_free(size - 1)
    with pytest.raises(CacheUnavailable, match=r"0\.38 MB are needed, 0\.38 MB are free"):
        open_cache(load, tmp_path)
    assert load.rows == []
    has_free(size)
    assert np.array_equal(open_cache(load, tmp_path)[:], IMAGES)
    has_free(0)
    assert np.array_equal(open_cache(image_of, tmp_path)[:], IMAGES)  # what is there needs no room
    before = held(tmp_path)
    assert np.array_equal(open_cache(image_of, tmp_path, key="b")[:], IMAGES)
    assert len(held(tmp_path)) == 1
    assert held(tmp_path) != before


def fail_at_write(monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException) -> None:
    write, calls = caches._write_at, []

    def fail(file, start, content) -> None:
        calls.append(start)
        if len(calls) >= number:
            write(file, start, content[: len(content) // 2])
            raise error
        write(file, start, content)

    monkeypatch.setattr(caches, "_write_at", fail)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_disk_that_gets_full_is_given_back_its_room_unless_another_run_uses_the_cache(
    tmp_path: Path, monkeypatch, code: int
) -> None:
    fail_at_write(monkeypatch, 20, OSError(code, os.strerror(code)))
    with pytest.raises(CacheUnavailable, match=os.strerror(code)):
        open_cache(image_of, tmp_path)
    assert held(tmp_path) == set()
    monkeypatch.undo()
    images = open_cache(image_of, tmp_path, rows=np.arange(10))
    fail_at_write(monkeypatch, 20, OSError(code, os.strerror(code)))
    with pytest.raises(CacheUnavailable):
        open_cache(image_of, tmp_path)
    monkeypatch.undo()
    assert np.array_equal(images[:10], IMAGES[:10])
    load = Loader()
    assert np.array_equal(open_cache(load, tmp_path)[:], IMAGES)
    assert set(range(10)).isdisjoint(load.rows)


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
def test_an_image_half_written_costs_that_image(tmp_path: Path, monkeypatch, error: BaseException) -> None:
    fail_at_write(monkeypatch, 4, error)
    with pytest.raises((CacheUnavailable, KeyboardInterrupt)):
        open_cache(image_of, tmp_path)
    monkeypatch.undo()
    load = Loader()
    assert np.array_equal(open_cache(load, tmp_path)[:], IMAGES)
    assert sorted(load.rows) == list(range(3, 40))


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path, monkeypatch, code: int) -> None:
    def refuse(*args, **options) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(caches, "FileLock", refuse)
    with pytest.raises(CacheUnavailable, match=f"{tmp_path}.*: cannot be used: {os.strerror(code)}"):
        open_cache(image_of, tmp_path)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CacheUnavailable, match=r"cannot be used: (Not a directory|File exists)"):
        open_cache(image_of, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_disk_that_is_really_full_is_unavailable(tmp_path: Path, monkeypatch) -> None:
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", tmp_path], capture_output=True)
    if mount.returncode:
        pytest.skip("cannot mount")
    try:
        monkeypatch.setattr(caches, "RESERVE", -1e9)
        load = Loader()
        with pytest.raises(CacheUnavailable, match="No space left"):
            open_cache(load, tmp_path)
        assert load.rows
        assert held(tmp_path) == set()
        assert shutil.disk_usage(tmp_path).free >= 240 * 1024
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def test_the_limit_of_a_container_counts_without_what_it_can_drop(tmp_path: Path, monkeypatch) -> None:
    group = tmp_path / "sys/fs/cgroup/job"
    group.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: SimpleNamespace(available=8_000))
    assert machine.available_memory() == 8_000
    (tmp_path / "proc/self/cgroup").write_text("1:cpu:/\n0::/job\n")
    (group / "memory.current").write_text("700\n")
    (group / "memory.stat").write_text("anon 400\nactive_file 100\ninactive_file 200\n")
    (group / "memory.max").write_text("1000\n")
    assert machine.available_memory() == 1000 - 700 + 100 + 200
    (group / "memory.max").write_text("max\n")
    assert machine.available_memory() == 8_000


# Several processes

SLOW = """
def slow(row):
    time.sleep(0.03)
    return load(row)
"""
LIMIT = 300


def wait_for_calls(calls: Path, number: int) -> None:
    end = time.monotonic() + LIMIT
    while not calls.exists() or len(calls.read_text().splitlines()) < number:
        assert time.monotonic() < end
        time.sleep(0.005)


def end(process: subprocess.Popen[str]) -> tuple[str, str]:
    output = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, output
    return output


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_build_resumes_where_it_stopped(tmp_path: Path, number: signal.Signals) -> None:
    folder, calls = tmp_path / "images", tmp_path / "calls"
    body = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored behind a shell's `&`
    process = program(body + SLOW + "open_cache(slow, folder)", folder, calls)
    wait_for_calls(calls, 25)
    process.send_signal(number)
    process.communicate(timeout=LIMIT)
    assert process.returncode == -number
    load = Loader()
    assert np.array_equal(open_cache(load, folder)[:], IMAGES)
    assert 0 < len(load.rows) < 35
    assert sorted(load.rows) == list(range(40 - len(load.rows), 40))


def test_two_runs_at_once_load_every_image_once(tmp_path: Path) -> None:
    folder, calls = tmp_path / "images", tmp_path / "calls"
    body = SLOW + "print((open_cache(slow, folder)[:] == IMAGES).all())"
    outputs = [end(process) for process in [program(body, folder, calls) for _ in range(2)]]
    assert [output for output, _ in outputs] == ["True\n", "True\n"]
    assert sorted(map(int, calls.read_text().split())) == list(ROWS)


def test_a_run_that_waits_for_another_says_so_and_goes_on_when_that_is_killed(tmp_path: Path) -> None:
    folder, calls = tmp_path / "images", tmp_path / "calls"
    killed = program("def wait(row):\n    load(row)\n    time.sleep(600)\nopen_cache(wait, folder)", folder, calls)
    wait_for_calls(calls, 1)
    waiting = program("print((open_cache(load, folder)[:] == IMAGES).all())", folder, tmp_path / "others")
    assert waiting.stderr is not None
    assert waiting.stderr.readline().endswith("waiting for another run, which fills a cache\n")
    killed.kill()
    killed.communicate()
    assert end(waiting)[0] == "True\n"


def test_a_cache_of_another_process_stays_as_long_as_that_lives(tmp_path: Path) -> None:
    folder, calls = tmp_path / "images", tmp_path / "calls"
    body = "images = open_cache(load, folder, key='a')\nif os.fork() == 0:\n    assert (images[:] == IMAGES).all()\n"
    body += "    os._exit(0)\nos.wait()\nprint('open', flush=True)\ntime.sleep(60)"
    other = program(body, folder, calls)
    assert other.stdout is not None
    assert other.stdout.readline() == "open\n"
    limit = 1.5 * SIZE_GB
    with pytest.raises(CacheUnavailable, match="other runs hold"):
        open_cache(image_of, folder, key="b", limit_gb=limit)
    other.kill()
    other.communicate()
    assert np.array_equal(open_cache(image_of, folder, key="b", limit_gb=limit)[:], IMAGES)
    assert len(held(folder)) == 1

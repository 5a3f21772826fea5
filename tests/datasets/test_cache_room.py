from __future__ import annotations

import errno
import logging
import os
import shutil
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from caching import IMAGES, ROWS, Loader, image_of, open_cache

from datasets import cache_files, cache_memory, cache_room
from datasets.cache import CacheUnavailable, cached_images

SIZE_GB = IMAGES.nbytes / 1e9


def caches(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir()}


@pytest.mark.parametrize("where", ["disk", "memory"])
def test_more_than_the_limit_is_refused_before_anything_is_loaded(tmp_path: Path, where: str) -> None:
    load = Loader()
    with pytest.raises(CacheUnavailable, match=r"the images take 0\.00 MB, more than the limit of 0\.00 MB"):
        open_cache(load, tmp_path, where=where, limit_gb=SIZE_GB * 0.99)
    assert load.rows == []
    assert caches(tmp_path) == set()


def test_rows_not_needed_do_not_count(tmp_path: Path) -> None:
    assert len(open_cache(image_of, tmp_path, rows=np.arange(20), limit_gb=SIZE_GB / 2)) == 40
    with pytest.raises(CacheUnavailable):  # but those of other runs do
        open_cache(image_of, tmp_path, rows=np.arange(20, 30), limit_gb=SIZE_GB / 2)


def test_the_least_recently_used_cache_leaves_when_the_limit_is_reached(tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.INFO, "lossbench")
    names = {}
    for key in "abc":
        before = caches(tmp_path) if key > "a" else set()
        open_cache(image_of, tmp_path, key=key)
        (names[key],) = caches(tmp_path) - before
    open_cache(image_of, tmp_path, key="a")
    for age, key in enumerate("acb"):  # b is the oldest
        used = time.time() - 60 * age
        os.utime(tmp_path / names[key] / "in-use", (used, used))
    caplog.clear()
    open_cache(image_of, tmp_path, key="d", limit_gb=3.5 * SIZE_GB)
    assert set(names.values()) - caches(tmp_path) == {names["b"]}
    assert caplog.messages[0].startswith(f"removed {tmp_path / names['b']} (0.00 MB)")
    again = Loader()
    open_cache(again, tmp_path, key="c", limit_gb=3.5 * SIZE_GB)
    assert again.rows == []


def test_opening_counts_as_use(tmp_path: Path) -> None:
    open_cache(image_of, tmp_path)
    (folder,) = caches(tmp_path)
    os.utime(tmp_path / folder / "in-use", (0, 0))
    open_cache(image_of, tmp_path)
    assert (tmp_path / folder / "in-use").stat().st_mtime > 0


def test_a_cache_in_use_stays_and_is_told(tmp_path: Path) -> None:
    images = open_cache(image_of, tmp_path, key="a")
    with pytest.raises(CacheUnavailable, match="of which other runs hold"):
        open_cache(image_of, tmp_path, key="b", limit_gb=1.5 * SIZE_GB)
    assert np.array_equal(images[:], IMAGES)
    kept = caches(tmp_path)
    del images
    open_cache(image_of, tmp_path, key="b", limit_gb=1.5 * SIZE_GB)
    assert len(caches(tmp_path)) == 1
    assert caches(tmp_path) != kept


def test_nothing_leaves_where_that_would_not_be_enough(tmp_path: Path) -> None:
    held = open_cache(image_of, tmp_path, key="a")
    open_cache(image_of, tmp_path, key="b")
    before = caches(tmp_path)
    with pytest.raises(CacheUnavailable):
        open_cache(image_of, tmp_path, key="c", limit_gb=1.9 * SIZE_GB)
    assert caches(tmp_path) == before
    assert len(held) == 40


def test_only_caches_leave(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    open_cache(image_of, tmp_path, key="a")
    open_cache(image_of, tmp_path, key="b", limit_gb=SIZE_GB)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    assert len(caches(tmp_path)) == 2


def disk_of(free: float):
    return lambda path: SimpleNamespace(total=1e12, used=0, free=free)


def test_a_disk_with_too_little_room_is_refused_before_anything_is_loaded(tmp_path: Path, monkeypatch) -> None:
    load = Loader()
    monkeypatch.setattr(shutil, "disk_usage", disk_of(cache_room.RESERVE + IMAGES.nbytes - 1))
    with pytest.raises(CacheUnavailable, match=r"0\.00 MB are needed, 0\.00 MB are free"):
        open_cache(load, tmp_path)
    assert load.rows == []
    monkeypatch.setattr(shutil, "disk_usage", disk_of(cache_room.RESERVE + IMAGES.nbytes))
    assert np.array_equal(open_cache(load, tmp_path)[:], IMAGES)


def test_idle_caches_leave_a_disk_with_too_little_room(tmp_path: Path, monkeypatch) -> None:
    open_cache(image_of, tmp_path, key="a")
    before = caches(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", disk_of(cache_room.RESERVE))
    assert np.array_equal(open_cache(image_of, tmp_path, key="b")[:], IMAGES)
    assert len(caches(tmp_path)) == 1
    assert caches(tmp_path) != before


def test_a_full_disk_does_not_matter_to_a_cache_that_is_there(tmp_path: Path, monkeypatch) -> None:
    open_cache(image_of, tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", disk_of(cache_room.RESERVE))
    assert np.array_equal(open_cache(image_of, tmp_path)[:], IMAGES)


def fail_at_write(monkeypatch: pytest.MonkeyPatch, number: int, code: int) -> None:
    write, calls = cache_files._write_at, []

    def fail(file, start, content) -> None:
        calls.append(start)
        if len(calls) >= number:
            raise OSError(code, os.strerror(code))
        write(file, start, content)

    monkeypatch.setattr(cache_files, "_write_at", fail)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_gets_full_is_given_back_its_room(tmp_path: Path, monkeypatch, code: int) -> None:
    fail_at_write(monkeypatch, 20, code)
    with pytest.raises(CacheUnavailable, match=os.strerror(code)):
        open_cache(image_of, tmp_path)
    assert caches(tmp_path) == set()
    monkeypatch.undo()
    assert np.array_equal(open_cache(image_of, tmp_path)[:], IMAGES)


def test_a_disk_that_gets_full_takes_nothing_from_another_run(tmp_path: Path, monkeypatch) -> None:
    images = open_cache(image_of, tmp_path, rows=np.arange(10))
    fail_at_write(monkeypatch, 20, errno.ENOSPC)
    with pytest.raises(CacheUnavailable):
        open_cache(image_of, tmp_path)
    monkeypatch.undo()
    assert np.array_equal(images[:10], IMAGES[:10])
    load = Loader()
    assert np.array_equal(open_cache(load, tmp_path)[:], IMAGES)
    assert set(range(10)).isdisjoint(load.rows)


def test_rows_survive_an_error_that_is_not_of_room(tmp_path: Path, monkeypatch) -> None:
    fail_at_write(monkeypatch, 21, errno.EIO)
    with pytest.raises(CacheUnavailable, match="Input/output error"):
        open_cache(image_of, tmp_path)
    monkeypatch.undo()
    load = Loader()
    assert np.array_equal(open_cache(load, tmp_path)[:], IMAGES)
    assert sorted(load.rows) == list(range(10, 40))


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path, monkeypatch, code: int) -> None:
    def refuse(*args, **options) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(cache_room, "FileLock", refuse)
    with pytest.raises(CacheUnavailable, match=f"{tmp_path}.*: cannot be used: {os.strerror(code)}"):
        open_cache(image_of, tmp_path)


def test_a_folder_that_is_a_file_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CacheUnavailable, match=r"cannot be used: (Not a directory|File exists)"):
        open_cache(image_of, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_disk_that_is_really_full_is_unavailable(tmp_path: Path, monkeypatch) -> None:
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], capture_output=True)
    if mount.returncode:
        pytest.skip("cannot mount")
    try:
        (tmp_path / "others").write_bytes(bytes(64 * 1024 - 5 * 4096))
        monkeypatch.setattr(cache_room, "RESERVE", -1e9)
        load = Loader()

        with pytest.raises(CacheUnavailable, match="No space left"):
            cached_images(
                lambda row: np.full((64, 64, 1), load(row)[0, 0, 0]), (9, 64, 64, 1), np.arange(9), "k", where="disk",
                limit_gb=1, folder=tmp_path,
            )  # fmt: skip
        assert load.rows
        assert caches(tmp_path) == set()
        assert shutil.disk_usage(tmp_path).free >= 3 * 4096
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def test_more_than_the_available_memory_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(cache_memory, "available_memory", lambda: IMAGES.nbytes / cache_memory.SHARE - 2)
    load = Loader()
    with pytest.raises(CacheUnavailable, match=r"more than 80% of the 0\.00 MB of memory that are available"):
        open_cache(load, tmp_path, where="memory")
    assert load.rows == []
    monkeypatch.setattr(cache_memory, "available_memory", lambda: IMAGES.nbytes / cache_memory.SHARE + 2)
    assert np.array_equal(open_cache(load, tmp_path, where="memory")[ROWS], IMAGES)


def test_the_available_memory_is_less_than_the_machines() -> None:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < cache_memory.available_memory() < machine


def test_the_limit_of_a_container_counts_without_what_it_can_drop(tmp_path: Path, monkeypatch) -> None:
    group = tmp_path / "sys/fs/cgroup/job"
    group.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 8000 kB\n")
    monkeypatch.setattr(cache_memory, "ROOT", tmp_path)
    assert cache_memory.available_memory() == 8000 * 1024
    (tmp_path / "proc/self/cgroup").write_text("1:cpu:/\n0::/job\n")
    (group / "memory.current").write_text("700\n")
    (group / "memory.stat").write_text("anon 400\nactive_file 100\ninactive_file 200\n")
    (group / "memory.max").write_text("1000\n")
    assert cache_memory.available_memory() == 1000 - 700 + 100 + 200
    (group / "memory.max").write_text("max\n")
    assert cache_memory.available_memory() == 8000 * 1024
    (tmp_path / "proc/meminfo").unlink()
    assert cache_memory.available_memory() == float("inf")

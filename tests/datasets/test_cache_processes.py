from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from caching import IMAGES, ROWS, Loader, image_of, open_cache, program

from datasets.cache import CacheUnavailable

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

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


def test_a_killed_build_goes_on_where_it_stopped(tmp_path: Path) -> None:
    folder, calls = tmp_path / "images", tmp_path / "calls"
    process = program(SLOW + "open_cache(slow, folder)", folder, calls)
    wait_for_calls(calls, 25)
    process.kill()
    process.communicate()
    load = Loader()
    assert np.array_equal(open_cache(load, folder)[:], IMAGES)
    assert 0 < len(load.rows) < 35
    assert sorted(load.rows) == list(range(40 - len(load.rows), 40))


def test_ctrl_c_stops_before_the_end_and_keeps_what_is_built(tmp_path: Path) -> None:
    folder, calls = tmp_path / "images", tmp_path / "calls"
    body = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored behind a shell's `&`
    body += "def slow(row):\n    time.sleep(1 if row > 20 else 0)\n    return load(row)\n"
    body += "open_cache(slow, folder)"
    process = program(body, folder, calls)
    wait_for_calls(calls, 24)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=LIMIT)
    assert len(calls.read_text().splitlines()) < 40
    assert "KeyboardInterrupt" in errors
    assert process.returncode == -signal.SIGINT
    load = Loader()
    assert np.array_equal(open_cache(load, folder)[:], IMAGES)
    assert min(load.rows) > 20


def test_two_runs_at_once_load_every_image_once(tmp_path: Path) -> None:
    folder, calls = tmp_path / "images", tmp_path / "calls"
    body = SLOW + "print((open_cache(slow, folder)[:] == IMAGES).all())"
    outputs = [end(process) for process in [program(body, folder, calls) for _ in range(2)]]
    assert [output for output, _ in outputs] == ["True\n", "True\n"]
    assert sorted(map(int, calls.read_text().split())) == list(ROWS)


def test_a_run_that_waits_for_another_says_so_and_loads_nothing(tmp_path: Path) -> None:
    folder, calls, others, go = (tmp_path / name for name in ("images", "calls", "others", "go"))
    wait = (
        f"def wait(row):\n    image = load(row)\n    while not os.path.exists({str(go)!r}):\n        time.sleep(0.01)\n"
    )
    first = program(wait + "    return image\nopen_cache(wait, folder)", folder, calls)
    wait_for_calls(calls, 1)
    second = program("print((open_cache(load, folder)[:] == IMAGES).all())", folder, others)
    assert second.stderr is not None
    assert second.stderr.readline().endswith("another run fills this cache; waiting for it\n")
    go.touch()
    end(first)
    assert end(second) == ("True\n", "")
    assert others.read_text() == ""


def test_the_lock_of_a_killed_run_is_free(tmp_path: Path) -> None:
    folder, calls = tmp_path / "images", tmp_path / "calls"
    killed = program(SLOW.replace("0.03", "0.2") + "open_cache(slow, folder)", folder, calls)
    wait_for_calls(calls, 4)
    waiting = program("print((open_cache(load, folder)[:] == IMAGES).all())", folder, tmp_path / "others")
    time.sleep(0.3)
    killed.kill()
    killed.communicate()
    assert end(waiting)[0] == "True\n"


def test_a_cache_of_another_process_stays_as_long_as_that_lives(tmp_path: Path) -> None:

    folder, calls = tmp_path / "images", tmp_path / "calls"
    other = program(
        "images = open_cache(load, folder, key='a')\nprint('open', flush=True)\ntime.sleep(60)", folder, calls
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "open\n"
    limit = 1.5 * IMAGES.nbytes / 1e9
    with pytest.raises(CacheUnavailable, match="other runs hold"):
        open_cache(image_of, folder, key="b", limit_gb=limit)
    other.kill()
    other.communicate()
    assert np.array_equal(open_cache(image_of, folder, key="b", limit_gb=limit)[:], IMAGES)
    assert len([path for path in folder.iterdir() if path.is_dir()]) == 1


def test_a_limit_of_file_sizes_is_unavailable(tmp_path: Path) -> None:
    folder, calls = tmp_path / "images", tmp_path / "calls"
    body = (
        "import resource, signal\nfrom datasets.cache import CacheUnavailable\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "try:\n    open_cache(load, folder)\nexcept CacheUnavailable as error:\n    print(error)"
    )
    assert "cannot be used: File too large" in end(program(body, folder, calls))[0]
    assert [path.name for path in folder.iterdir()] == [".lock"]


def test_forked_workers_do_not_keep_a_cache_after_them(tmp_path: Path) -> None:
    folder, calls = tmp_path / "images", tmp_path / "calls"
    body = (
        "images = open_cache(load, folder, key='a')\n"
        "if os.fork() == 0:\n    assert (images[:] == IMAGES).all()\n    os._exit(0)\n"
        "os.wait()\nfrom datasets import cache_room\n"
        "(cache,) = [path for path in folder.iterdir() if path.is_dir()]\n"
        "print(cache_room._is_idle(cache))\ndel images\nprint(cache_room._is_idle(cache))"
    )
    assert end(program(body, folder, calls))[0].split() == ["False", "True"]

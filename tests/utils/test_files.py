"""Existing files keep their mode; new ones have that of the umask."""

from __future__ import annotations

import os
import stat

import pytest

from utils.files import write_atomically

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows has no modes")


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o027, 0o640), (0o022, 0o644), (0o002, 0o664)])
def test_a_new_file_has_the_mode_of_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "new.txt", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new.txt").stat().st_mode) == mode


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_a_file_that_is_there_keeps_its_mode(tmp_path, mode):
    path = tmp_path / "old.txt"
    path.write_text("before")
    path.chmod(mode)
    write_atomically(path, "after")
    assert path.read_text() == "after"
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert [*tmp_path.iterdir()] == [path]

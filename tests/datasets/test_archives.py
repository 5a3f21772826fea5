from __future__ import annotations

import io
import random
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from datasets.readers.archives import extract
from utils.types import DataError

FILES = {"a/one.txt": b"one", "a/b/two.bin": bytes(3_000_000), "empty": b""}


def write_tar(path: Path, files: dict[str, bytes], kind: Any = "w:gz", **fields: object) -> Path:
    with tarfile.open(path, kind) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            for field, value in fields.items():
                setattr(entry, field, value)
            tar.addfile(entry, io.BytesIO(content))
    return path


def write_zip(path: Path, files: dict[str, bytes], mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            bundle.writestr(entry, content)
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["w", "w:gz", "w:bz2", "w:xz", "zip"])
def test_files_come_out_as_they_went_in_whatever_the_ending(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "archive.bin"
    write_zip(path, FILES) if kind == "zip" else write_tar(path, FILES, kind)
    written: list[int] = []
    assert extract(path, tmp_path / "out", progress=written.append) == 3
    assert content(tmp_path / "out") == FILES
    assert sum(written) == 3_000_003
    (tmp_path / "out" / "a" / "one.txt").write_bytes(b"mine")  # what is there is kept
    (tmp_path / "out" / "empty").unlink()
    extract(path, tmp_path / "out")
    assert content(tmp_path / "out") == {**FILES, "a/one.txt": b"mine"}


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "a\\..\\x", "C:x", "C:/x", "..", "a/.."])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_names_that_leave_the_target_are_refused(tmp_path: Path, kind: str, name: str) -> None:
    write = write_tar if kind == "tar" else write_zip
    path = write(tmp_path / "evil", {name: b"evil"})
    with pytest.raises(DataError, match=r"evil: refused: .* would leave the target folder"):
        extract(path, tmp_path / "in" / "out")
    assert content(tmp_path) == {"evil": path.read_bytes()}


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"V"]
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    path = write_tar(tmp_path / "evil.tgz", {"a": b""}, type=kind, linkname="/etc/passwd")
    with pytest.raises(DataError, match=r"evil\.tgz: refused: 'a' is a link, device or sparse file"):
        extract(path, tmp_path / "out")
    assert not (tmp_path / "out" / "a").is_symlink()


@pytest.mark.parametrize("mode", [0o120777, 0o020666, 0o010666])
def test_links_and_devices_in_a_zip_are_refused(tmp_path: Path, mode: int) -> None:
    path = write_zip(tmp_path / "evil.zip", {"a": b"/etc/passwd"}, mode)
    with pytest.raises(DataError, match=r"evil\.zip: refused: 'a' is a link or device"):
        extract(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_names_that_stand_twice_modes_and_owners_are_not_taken_over(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name in ("a/b", "./a/b"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(DataError, match=r"x\.tar: refused: '\./a/b' stands in it twice"):
        extract(tmp_path / "x.tar", tmp_path / "out")
    extract(write_tar(tmp_path / "y.tar", {"c": b"a"}, "w", mode=0o4777, uid=12345), tmp_path / "out")
    assert (tmp_path / "out" / "c").stat().st_mode & 0o7111 == 0
    assert (tmp_path / "out" / "c").stat().st_uid == (tmp_path / "out").stat().st_uid


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_limits_on_members_and_bytes_hold(tmp_path: Path, kind: str) -> None:
    path = (write_tar if kind == "tar" else write_zip)(tmp_path / "bomb", FILES)
    with pytest.raises(DataError, match="bomb: refused: more than 2 members or"):
        extract(path, tmp_path / "out", max_files=2)
    with pytest.raises(DataError, match="members or 1,000,000 bytes"):
        extract(path, tmp_path / "other", max_bytes=1_000_000)
    assert content(tmp_path / "other") == {"a/one.txt": b"one"}


def test_a_zip_that_understates_its_size_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "bomb.zip", {"a": bytes(100_000)})
    size, lie = struct.pack("<I", 100_000), struct.pack("<I", 10)
    path.write_bytes(path.read_bytes().replace(size, lie))
    with pytest.raises(DataError, match=r"bomb\.zip: "):
        extract(path, tmp_path / "out")
    assert content(tmp_path / "out").get("a", b"") == b""


@pytest.mark.parametrize("kind", ["w", "w:gz", "zip"])
def test_damage_is_told_with_the_archives_name(tmp_path: Path, kind: str) -> None:
    generator = random.Random(kind)
    files = {f"{k}.bin": generator.randbytes(2_000) for k in range(10)}
    path = tmp_path / "archive"
    write_zip(path, files) if kind == "zip" else write_tar(path, files, kind)
    whole = path.read_bytes()
    failures = []
    for k in range(40):
        damaged = bytearray(whole)
        damaged[generator.randrange(len(damaged))] ^= 255
        path.write_bytes(damaged[: generator.randint(0, 2 * len(damaged))])
        try:
            extract(path, tmp_path / str(k))
        except DataError as error:
            failures.append(str(error))
    assert len(failures) > 10
    assert all(str(path) in failure for failure in failures)


def test_missing_archives_other_files_and_unwritable_targets_are_reported(tmp_path: Path) -> None:
    for text in (b"", b"<html>", bytes(10_000)):
        (tmp_path / "other.tgz").write_bytes(text)
        with pytest.raises(DataError, match=r"other\.tgz: damaged or no tar or zip file"):
            extract(tmp_path / "other.tgz", tmp_path / "unpacked")
    with pytest.raises(DataError, match=r"x\.tgz: cannot be unpacked into .*No such file"):
        extract(tmp_path / "x.tgz", tmp_path / "out")
    (tmp_path / "out").write_text("a file")
    with pytest.raises(DataError, match=r"y\.tgz: cannot be unpacked into .*out"):
        extract(write_tar(tmp_path / "y.tgz", FILES), tmp_path / "out")

"""Whatever an archive holds, files come out inside the target folder, or a DataError that names the archive."""

from __future__ import annotations

import gzip
import io
import shutil
import stat
import tarfile
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

from fuzzing import cases, damaged, outcome, within
from hypothesis import given
from hypothesis import strategies as st

from datasets.readers.archives import extract

MAX_BYTES = 1 << 20
FILES = {"a/one.txt": b"one" * 50, "a/b/two.bin": bytes(3_000), "empty": b"", "a/three.txt": bytes(range(256))}


def tar_of(entries: list[tuple[tarfile.TarInfo, bytes]], kind: str = "", form: Any = tarfile.PAX_FORMAT) -> bytes:
    """Return a tar file of any entries, even those that tarfile would not write."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=f"w:{kind}", format=form) as tar:  # pyright: ignore[reportCallIssue, reportArgumentType]
        assert tar.fileobj is not None
        for entry, content in entries:
            tar.fileobj.write(entry.tobuf(form, "utf-8", "surrogateescape"))
            tar.fileobj.write(content + bytes(-len(content) % 512))
        tar.offset = tar.fileobj.tell()
    return file.getvalue()


def zip_of(entries: list[tuple[zipfile.ZipInfo, bytes]]) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as bundle:
        warnings.simplefilter("ignore")  # of names that stand twice
        for entry, content in entries:
            bundle.writestr(entry, content, entry.compress_type)
    return file.getvalue()


def plain_tar(kind: str, form: Any = tarfile.PAX_FORMAT) -> bytes:
    entries = []
    for name, content in FILES.items():
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        entries.append((entry, content))
    return tar_of(entries, kind, form)


def plain_zip(compression: int) -> bytes:
    entries = [(zipfile.ZipInfo(name), content) for name, content in FILES.items()]
    for entry, _ in entries:
        entry.compress_type = compression
    return zip_of(entries)


PLAIN_TARS = [plain_tar("", form) for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)]
WHOLE = [
    *PLAIN_TARS,
    *(plain_tar(kind) for kind in ("gz", "bz2", "xz")),
    *(plain_zip(kind) for kind in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)),
]
HEADERS = [PLAIN_TARS[0][:512], bytes(512), b"PK\3\4", b"PK\1\2", b"PK\5\6", b"PK\6\6", b"../", b"/", b"\0", b"2", b"5"]

NAMES = st.one_of(
    st.lists(
        st.sampled_from(
            ["a", "a.part", "b", "..", ".", "", "C:", "\\", "\0", "é", "a" * 252, "a" * 300, "\udc80", "\n"]
        ),
        max_size=5,
    ).map("/".join),
    st.text(max_size=10),
)
SIZES = st.one_of(st.integers(0, 2_000), st.sampled_from([-1, -(1 << 40), MAX_BYTES + 1, 1 << 33, 1 << 62]))
CONTENTS = st.one_of(st.binary(max_size=600), st.sampled_from([bytes(1_000), bytes(2 * MAX_BYTES)]))


@st.composite
def tar_entries(draw: st.DrawFn) -> tuple[tarfile.TarInfo, bytes]:
    entry, content = tarfile.TarInfo(draw(NAMES)), draw(CONTENTS)
    entry.size = draw(st.one_of(st.just(len(content)), SIZES))
    entry.type = draw(st.sampled_from([*b"01234567LKSgxVN\0".hex(" ").split()]).map(bytes.fromhex))
    entry.linkname = draw(st.sampled_from(["", "a", "../a", "/etc/passwd"]))
    entry.mode = draw(st.integers(0, 0o7777))
    entry.pax_headers = draw(
        st.dictionaries(
            st.sampled_from(
                ["path", "size", "linkpath", "GNU.sparse.major", "GNU.sparse.realsize", "mtime", "hdrcharset"]
            ),
            st.one_of(NAMES, SIZES.map(str)),
            max_size=2,
        )
    )
    return entry, content


@st.composite
def zip_entries(draw: st.DrawFn) -> tuple[zipfile.ZipInfo, bytes]:
    entry, content = zipfile.ZipInfo(draw(NAMES.map(lambda name: name.replace("\udc80", "")))), draw(CONTENTS)
    kinds = [0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR]
    entry.external_attr = (draw(st.sampled_from(kinds)) | draw(st.integers(0, 0o777))) << 16
    entry.compress_type = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]))
    entry.comment, entry.extra = draw(st.binary(max_size=9)), draw(st.binary(max_size=20))
    return entry, content


def check(content: bytes) -> None:
    """Unpack an archive; see that nothing but plain files, together of bounded size, comes out inside the target."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        archive, target = Path(folder) / "archive.bin", Path(folder) / "inner" / "target"
        archive.write_bytes(content)
        with within(seconds=2):
            count, told = outcome(lambda: extract(archive, target, max_files=50, max_bytes=MAX_BYTES))
        assert told is None or told.startswith(f"{archive}: ")
        found = list(target.rglob("*"))
        assert all(path.is_file() or path.is_dir() for path in found)
        assert not any(path.is_symlink() for path in found)
        files = [path for path in found if path.is_file()]
        assert not any(path.stat().st_mode & 0o7111 for path in files)
        assert sum(path.stat().st_size for path in files) <= MAX_BYTES
        assert all(path.stat().st_nlink == 1 for path in files)
        if count is not None:
            assert count == len(files)
        shutil.rmtree(target, ignore_errors=True)
        outside = [path for path in Path(folder).rglob("*") if path != target.parent]
        assert outside == [archive]
        assert archive.read_bytes() == content


@cases(normal=60, torture=3_000)
@given(content=damaged(WHOLE, inserted=HEADERS))
def test_any_damage_to_an_archive_leaves_files_in_the_target_or_is_told(content: bytes) -> None:
    check(content)


@cases(normal=30, torture=1_500)
@given(
    content=st.one_of(
        st.binary(max_size=2_000),
        st.tuples(st.sampled_from([b"PK\3\4", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\0"]), st.binary(max_size=600)).map(
            b"".join
        ),
        damaged(PLAIN_TARS, HEADERS).map(gzip.compress),
    )
)
def test_any_bytes_leave_files_in_the_target_or_are_told(content: bytes) -> None:
    check(content)


@cases(normal=80, torture=3_000)
@given(
    entries=st.lists(tar_entries(), min_size=1, max_size=4),
    kind=st.sampled_from(["", "gz"]),
    form=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_any_entries_of_a_tar_leave_files_in_the_target_or_are_told(
    entries: list[tuple[tarfile.TarInfo, bytes]], kind: str, form: int
) -> None:
    check(tar_of(entries, kind, form))


@cases(normal=60, torture=2_500)
@given(entries=st.lists(zip_entries(), min_size=1, max_size=4))
def test_any_entries_of_a_zip_leave_files_in_the_target_or_are_told(
    entries: list[tuple[zipfile.ZipInfo, bytes]],
) -> None:
    check(zip_of(entries))

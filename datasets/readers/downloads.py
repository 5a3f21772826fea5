"""Published files of a data set: found or fetched, and compared with their official checksums."""

from __future__ import annotations

import http.client
from collections.abc import Iterable, Mapping
from pathlib import Path

from datasets.readers.archives import extract
from datasets.readers.files import checksum, listing, progress
from utils.types import DataError


def find_folder(data_path: str | None, default: str, inner: str, marker: str) -> tuple[Path, Path]:
    """Find the official folder of a data set: the path given is that folder itself or the one around it.

    Args:
        data_path: the user's path, or None for `default`.
        inner: the folder's official name.
        marker: a file that identifies the folder, whatever its name.

    Returns: the folder around it, where a download would go, and the folder itself.
    """
    path = Path(data_path or default).expanduser()
    if path.name == inner or (path / marker).is_file():
        return path.parent, path
    return path, path / inner


def refuse_altered(folder: Path, md5s: Mapping[str, str], verify_checksums: bool) -> tuple[str, ...]:
    """Refuse files whose md5 is not the official one, or return the note that lists them.

    Raises: DataError if checksums are verified and a file's differs.
    """
    altered = [name for name, md5 in md5s.items() if checksum(folder / name, "md5") != md5]
    if not altered:
        return ()
    if verify_checksums:
        raise DataError(
            f"{folder}: not the official content (md5 differs):\n{listing(altered)}\n"
            "Remove them and set `download: true`, or set `verify_checksums: false` to use them as they are."
        )
    return (f"files that differ from the official ones (md5): {', '.join(altered)}",)


def official_files(
    folder: Path, files: Mapping[str, tuple[str, str]], fetch: bool, verify_checksums: bool
) -> tuple[str, ...]:
    """Make sure that a data set's files are there, and the official ones.

    Args:
        files: name -> address and md5.
        fetch: download those that are missing.

    Returns: the note on altered files, or none.
    Raises: DataError naming the files that are missing or altered.
    """
    for name, (url, md5) in files.items():
        if fetch and not (folder / name).is_file():
            download(url, md5, folder)
    if missing := [name for name in files if not (folder / name).is_file()]:
        raise DataError(f"{folder}: missing files:\n{listing(missing)}\n`download: true` fetches them.")
    return refuse_altered(folder, {name: md5 for name, (_, md5) in files.items()}, verify_checksums)


def download(url: str, md5: str, folder: Path) -> Path:
    """Fetch a file into a folder with torchvision's downloader, unless it is there already.

    Raises: DataError if there is no network, no room or the file that came is another one.
    """
    from torchvision.datasets.utils import download_url

    target = folder / url.rpartition("/")[2]
    try:
        download_url(url, folder, target.name, md5)
    except (OSError, RuntimeError, ValueError, http.client.HTTPException) as error:
        raise DataError(
            f"{url}: cannot be downloaded to {folder}: {error}\nFetch it by other means and put it there, unpacked."
        ) from None
    return target


def official_archive(
    outer: Path, folder: Path, inner: str, needed: Iterable[str], url: str, md5: str, fetch: bool
) -> None:
    """Make sure that what an archive holds is there.

    Args:
        outer, folder: as `find_folder` gives them.
        inner: the folder's official name.
        needed: files and folders in it.
        fetch: download and unpack the archive if one of them is missing.

    Raises: DataError naming those that are missing.
    """

    def missing() -> list[str]:
        return [name for name in needed if not (folder / name).exists()]

    if fetch and missing():
        if folder.name != inner:
            raise DataError(f"{folder}: must be called {inner} for `download: true` to complete it")
        download_archive(url, md5, outer)
    if lacking := missing():
        raise DataError(f"{folder}: missing files:\n{listing(lacking)}\n`download: true` fetches them.")


def download_archive(url: str, md5: str, folder: Path) -> None:
    """Fetch an archive and unpack it into a folder; files that are there already stay as they are."""
    with progress(None, "unpacking", unit="B") as bar:
        extract(download(url, md5, folder), folder, progress=bar.update)

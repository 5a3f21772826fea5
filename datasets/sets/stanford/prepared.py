"""The prepared folder's manifest: what was written, and whether it still is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from datasets.readers.files import checksum, list_folder, listing, progress
from datasets.sets.stanford.source import Say
from datasets.sets.stanford_cars import NUM_CLASSES, OFFICIAL_COUNTS
from utils.types import DataError

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Prepared:
    """What stands in a prepared folder.

    Args:
        layout: the name of the layout it was read from.
        partial: a sample rather than the full set.
        counts: images by part.
        new: written by this call; False if it was there and has been verified.
        notes: what the reader of the folder says about it.
    """

    layout: str
    partial: bool
    counts: dict[str, int]
    new: bool
    notes: tuple[str, ...] = ()


def _files(folder: Path) -> list[str]:
    """Return the names of all files but the manifest, as they stand in it."""
    names = [path.name for path in list_folder(folder) if path.is_file() and path.name != MANIFEST]
    names += [f"{path.name}/{file.name}" for path in list_folder(folder) if path.is_dir() for file in list_folder(path)]
    return names


def write_manifest(folder: Path, layout: str, partial: bool, counts: dict[str, int]) -> None:
    """Write the layout, the counts and the sha256 of every file."""
    names = _files(folder)
    with progress(len(names), "hashing", unit="file") as bar:
        sums = {}
        for name in names:
            sums[name] = checksum(folder / name, "sha256")
            bar.update()
    manifest = {
        "data_set": "stanford_cars",
        "layout": layout,
        "partial": partial,
        "counts": {**counts, "classes": NUM_CLASSES},
        "sha256": sums,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def verify(dest: Path, allow_partial: bool, say: Say) -> Prepared:
    """Hold a folder that is there already against its manifest.

    Raises: DataError if it is not ours, a sample where none is allowed, or other than it was written.
    """
    if not dest.is_dir():
        raise DataError(f"{dest}: is a file; name a folder to write")
    path = dest / MANIFEST
    if not path.is_file():
        held = ", ".join(entry.name for entry in list_folder(dest)[:10]) or "hidden files"
        thesis = all((dest / f"{part}_labels.csv").is_file() for part in OFFICIAL_COUNTS)
        more = "; it can be trained on as it is" if thesis else ""
        raise DataError(f"{dest}: not empty and not written by this script (holds {held}){more}. Name another folder.")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        layout, partial, sums = str(manifest["layout"]), bool(manifest["partial"]), dict(manifest["sha256"])
        counts = {part: int(manifest["counts"][part]) for part in OFFICIAL_COUNTS}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{path}: damaged: {error}; remove {dest} and run again") from None
    if partial and not allow_partial:
        told = f"{counts['train']:,} + {counts['test']:,}"
        raise DataError(f"{dest}: holds a sample of {told} images; remove it to prepare the full set")
    say(f"{dest}: prepared before; verifying it")
    present = set(_files(dest))
    problems = [f"{name}: missing" for name in sums if name not in present]
    problems += [f"{name}: not in the manifest" for name in sorted(present - set(sums))]
    with progress(len(sums), "verifying", unit="file") as bar:
        for name, expected in sums.items():
            if name in present and checksum(dest / name, "sha256") != expected:
                problems.append(f"{name}: changed")
            bar.update()
    if problems:
        raise DataError(
            f"{dest}: {len(problems):,} files are not as they were written:\n{listing(problems)}\n"
            "Remove the folder and run again."
        )
    return Prepared(layout, partial, counts, False)

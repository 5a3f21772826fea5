"""Stanford Cars as it is passed on -> the folder that `datasets.sets.stanford_cars` reads, with its manifest."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from datasets.readers.files import checksum, list_folder, listing, progress
from datasets.readers.images import bad_images
from datasets.sets.stanford.layouts import find_layout
from datasets.sets.stanford.source import Annotations, Say
from datasets.sets.stanford_cars import COLUMNS, NO_BOX, NUM_CLASSES, OFFICIAL_COUNTS, Row, stanford_cars
from utils.types import DataError

MANIFEST = "manifest.json"


class Prepared(NamedTuple):
    """A prepared folder.

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


def prepare_stanford(source: Path, dest: Path, *, allow_partial: bool = False, say: Say = print) -> Prepared:
    """Write train/, test/, train_labels.csv, test_labels.csv, classes.txt and manifest.json.

    Every image meets its label and box by its name. Images and boxes are taken over as they are. The folder appears
    when it is complete: until then all is written beside it, and an interrupted run starts over. A folder that is
    there already is verified against its manifest, and nothing is done.

    Args:
        source: folder with the files in one of `LAYOUTS`, unpacked or not.
        dest: folder to write.
        allow_partial: accept fewer images than 8,144 + 8,041, and annotations without image or the reverse.
        say: takes a line for each step.

    Raises: DataError naming what is missing, doubled, mixed, damaged or not ours.
    """
    dest = Path(os.path.realpath(dest))
    work = dest.with_name(f".{dest.name}.unfinished")
    try:
        if dest.exists() and (not dest.is_dir() or list(dest.iterdir())):
            return _verify(dest, allow_partial, say)
        layout, place = find_layout(source, work / "raw", say)
        say(f"{place.folder}: the {layout.name} layout")
        if work.exists():
            say(f"{work}: left by an interrupted run; starting over")
            shutil.rmtree(work)
        prepared = work / "prepared"
        prepared.mkdir(parents=True)
        try:
            annotations = layout.read(place)
            rows = _match(annotations, allow_partial, say)
            _write(prepared, annotations, rows)
            say("checking what was written")
            notes = _check(prepared, source)
            counts = {part: len(rows[part]) for part in rows}
            done = Prepared(layout.name, counts != OFFICIAL_COUNTS, counts, True, notes)
            _write_manifest(prepared, done)
            if dest.exists():
                dest.rmdir()
            prepared.rename(dest)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return done
    except OSError as error:
        raise DataError(f"{error.filename or dest}: {error.strerror or error}") from None


def _match(annotations: Annotations, allow_partial: bool, say: Say) -> dict[str, list[Row]]:
    """Return the rows whose image is there, and refuse what does not fit unless a sample is allowed."""
    rows, problems, unused = {}, [], {}
    for part, present in annotations.images.items():
        rows[part] = [row for row in annotations.rows[part] if row.image_fname in present]
        lacking = [row.image_fname for row in annotations.rows[part] if row.image_fname not in present]
        problems += [f"{part}: {name}: no image" for name in lacking]
        unused |= {path: name for name, path in present.items()}
    for part, part_rows in rows.items():
        for row in part_rows:
            unused.pop(annotations.images[part][row.image_fname], None)
    problems += [f"{path.parent.name}/{name}: no annotation" for path, name in unused.items()]
    counts = {part: len(part_rows) for part, part_rows in rows.items()}
    extent = f"{counts['train']:,} + {counts['test']:,} images with annotations"
    if not all(counts.values()):
        raise DataError(f"{extent}: nothing to train or to test on\n{listing(problems)}")
    if not allow_partial and (problems or counts != OFFICIAL_COUNTS):
        raise DataError(
            f"{extent}, but the full set has 8,144 + 8,041.\n"
            + (f"{len(problems):,} do not fit:\n{listing(problems)}\n" if problems else "")
            + "Complete the files, or add --allow-partial to prepare the sample that is there."
        )
    say(extent)
    if problems:
        say(f"left out {len(problems):,}:\n{listing(problems)}")
    return rows


def _write(folder: Path, annotations: Annotations, rows: dict[str, list[Row]]) -> None:
    raw = folder.parent / "raw"
    for part, part_rows in rows.items():
        (folder / part).mkdir()
        with progress(len(part_rows), part) as bar:
            for row in part_rows:
                image = annotations.images[part][row.image_fname]
                # what was unpacked for this is moved, the user's own is copied
                take = os.replace if raw in image.parents else shutil.copyfile
                take(image, folder / part / row.image_fname)
                bar.update()
        with (folder / f"{part}_labels.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            for name, label, box, _ in part_rows:
                writer.writerow((name, label, *(box or NO_BOX), annotations.classes[label - 1]))
    (folder / "classes.txt").write_text("\n".join(annotations.classes) + "\n", encoding="utf-8")


def _check(prepared: Path, source: Path) -> tuple[str, ...]:
    """Read the new folder as a run would, decode every image, and return the reader's notes."""
    try:
        cars = stanford_cars(data_path=str(prepared))
    except DataError as error:
        raise DataError(str(error).replace(f"{prepared}{os.sep}", "").replace(str(prepared), str(source))) from None
    images = [*cars.train.images, *cars.test.images]
    if bad := bad_images(images):
        bad = [line.removeprefix(f"{prepared}{os.sep}") for line in bad]
        raise DataError(f"{source}: {len(bad):,} of {len(images):,} images cannot be used:\n{listing(bad)}")
    return cars.notes


def _hashes(folder: Path, label: str) -> dict[str, str]:
    """Return name -> SHA-256 of all files but the manifest."""
    entries = [path for path in list_folder(folder) if path.name != MANIFEST]
    files = [path for entry in entries for path in (list_folder(entry) if entry.is_dir() else [entry])]
    sums = {}
    with progress(len(files), label, unit="file") as bar:
        for path in files:
            sums[path.relative_to(folder).as_posix()] = checksum(path, "sha256")
            bar.update()
    return sums


def _write_manifest(folder: Path, done: Prepared) -> None:
    facts = {"data_set": "stanford_cars", "layout": done.layout, "partial": done.partial}
    facts |= {"counts": {**done.counts, "classes": NUM_CLASSES}, "sha256": _hashes(folder, "hashing")}
    (folder / MANIFEST).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _verify(dest: Path, allow_partial: bool, say: Say) -> Prepared:
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
        extent = f"{counts['train']:,} + {counts['test']:,}"
        raise DataError(f"{dest}: holds a sample of {extent} images; remove it to prepare the full set")
    say(f"{dest}: prepared before; verifying it")
    present = _hashes(dest, "verifying")
    problems = [f"{name}: missing" for name in sums if name not in present]
    problems += [f"{name}: not in the manifest" for name in sorted(present.keys() - sums)]
    problems += [f"{name}: changed" for name in sums if name in present and present[name] != sums[name]]
    if problems:
        raise DataError(
            f"{dest}: {len(problems):,} files are not as they were written:\n{listing(problems)}\n"
            "Remove the folder and run again."
        )
    return Prepared(layout, partial, counts, False)

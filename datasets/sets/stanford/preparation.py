"""Stanford Cars as it is passed on -> the folder that `datasets.sets.stanford_cars` reads."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path

from datasets.readers.files import listing, progress
from datasets.readers.images import bad_images
from datasets.sets.stanford.layouts import EXPECTED, find_layout
from datasets.sets.stanford.prepared import Prepared, verify, write_manifest
from datasets.sets.stanford.source import Annotations, Say
from datasets.sets.stanford_cars import COLUMNS, NO_BOX, OFFICIAL_COUNTS, Row, stanford_cars
from utils.types import DataError


def prepare_stanford(source: Path, dest: Path, *, allow_partial: bool = False, say: Say = print) -> Prepared:
    """Write train/, test/, train_labels.csv, test_labels.csv, classes.txt and manifest.json.

    Every image meets its label and box by its name. Images and boxes are taken over as they are. The folder appears
    when it is complete: until then all is written beside it, and an interrupted run starts over. A folder that is
    there already is verified against its manifest, and nothing is done.

    Args:
        source: folder with the files in one of `LAYOUTS`, unpacked or not.
        dest: folder to write.
        allow_partial: accept fewer images than 8,144 + 8,041, and annotations without image or the reverse.
        say: told of each step, a line each.

    Raises: DataError naming what is missing, doubled, mixed, damaged or not ours.
    """
    dest = Path(os.path.realpath(dest))
    try:
        if dest.exists() and (not dest.is_dir() or list(dest.iterdir())):
            return verify(dest, allow_partial, say)
        return _prepare(source, dest, allow_partial, say)
    except OSError as error:
        raise DataError(f"{error.filename or dest}: {error.strerror or error}") from None


def _prepare(source: Path, dest: Path, allow_partial: bool, say: Say) -> Prepared:
    layout, place = find_layout(source)
    say(f"{place}: the {layout.NAME} layout")
    work = dest.with_name(f".{dest.name}.unfinished")
    if work.exists():
        say(f"{work}: left by an interrupted run; starting over")
        shutil.rmtree(work)
    prepared = work / "prepared"
    prepared.mkdir(parents=True)
    try:
        found = layout.read(place, work / "raw", say, EXPECTED)
        rows = _match(found, allow_partial, say)
        _write(prepared, found, rows)
        say("checking what was written")
        notes = _check(prepared, source)
        counts = {part: len(rows[part]) for part in rows}
        partial = counts != OFFICIAL_COUNTS
        write_manifest(prepared, layout.NAME, partial, counts)
        if dest.exists():
            dest.rmdir()
        prepared.rename(dest)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Prepared(layout.NAME, partial, counts, True, notes)


def _match(found: Annotations, allow_partial: bool, say: Say) -> dict[str, list[Row]]:
    """Return the rows whose image is there, and refuse what does not fit unless a sample is allowed."""
    rows, problems = {}, []
    for part, present in found.images.items():
        rows[part] = [row for row in found.rows[part] if row.image_fname in present]
        problems += [
            f"{part}: {row.image_fname}: no image" for row in found.rows[part] if row.image_fname not in present
        ]
    files = {path: name for images in found.images.values() for name, path in images.items()}
    annotated = {found.images[part][row.image_fname] for part in rows for row in rows[part]}
    problems += [f"{path.parent.name}/{name}: no annotation" for path, name in files.items() if path not in annotated]
    counts = {part: len(part_rows) for part, part_rows in rows.items()}
    told = f"{counts['train']:,} + {counts['test']:,} images with annotations"
    if not all(counts.values()):
        raise DataError(f"{told}: nothing to train or to test on\n{listing(problems)}")
    if not allow_partial and (problems or counts != OFFICIAL_COUNTS):
        raise DataError(
            f"{told}, but the full set has 8,144 + 8,041.\n"
            + (f"{len(problems):,} do not fit:\n{listing(problems)}\n" if problems else "")
            + "Complete the files, or add --allow-partial to prepare the sample that is there."
        )
    say(told)
    if problems:
        say(f"left out {len(problems):,}:\n{listing(problems)}")
    return rows


def _write(folder: Path, found: Annotations, rows: dict[str, list[Row]]) -> None:
    raw = folder.parent / "raw"
    for part, part_rows in rows.items():
        (folder / part).mkdir()
        with progress(len(part_rows), part) as bar:
            for row in part_rows:
                image = found.images[part][row.image_fname]
                # what was unpacked for this is moved, the user's own is copied
                take = os.replace if raw in image.parents else shutil.copyfile
                take(image, folder / part / row.image_fname)
                bar.update()
        with (folder / f"{part}_labels.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows((row.image_fname, row.label, *(row.box or NO_BOX), row.class_name) for row in part_rows)
    (folder / "classes.txt").write_text("\n".join(found.classes) + "\n", encoding="utf-8")


def _check(prepared: Path, source: Path) -> tuple[str, ...]:
    """Read the new folder as a run would, decode every image, and return the reader's notes."""
    try:
        cars = stanford_cars(data_path=str(prepared))
    except DataError as error:
        raise DataError(str(error).replace(f"{prepared}{os.sep}", "").replace(str(prepared), str(source))) from None
    images = [Path(str(path)) for part in (cars.train, cars.test) for path in part.images]
    if bad := bad_images(images):
        bad = [line.removeprefix(f"{prepared}{os.sep}") for line in bad]
        raise DataError(f"{source}: {len(bad):,} of {len(images):,} images cannot be used:\n{listing(bad)}")
    return cars.notes

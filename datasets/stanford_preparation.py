"""Stanford Cars as published -> the folder that `datasets.stanford_cars` reads."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datasets.archives import extract, is_archive
from datasets.files import checksum, list_folder, listing, progress
from datasets.images import bad_images, is_image_name
from datasets.matlab import read_matlab
from datasets.stanford_cars import BOX, COLUMNS, NUM_CLASSES, OFFICIAL_COUNTS, Row, stanford_cars
from utils.types import DataError

MANIFEST = "manifest.json"
OLDER = "older"
NEWER = "newer"
ARCHIVE_ENDINGS = ("", ".tgz", ".tar.gz", ".tar", ".zip")
WITH_LABELS = "cars_test_annos_withlabels.mat"
EXPECTED = f"""expected one of the two official layouts, folders also as .tgz or .zip:
  older: car_ims, cars_annos.mat, car_devkit
  newer: cars_train, cars_test, devkit, {WITH_LABELS}"""

Say = Callable[[str], object]


@dataclass(frozen=True)
class Prepared:
    """What stands in a prepared folder.

    Args:
        layout: "older" or "newer".
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


@dataclass(frozen=True)
class Annotations:
    """What the .mat files say: rows by part, images still to be found under folders[part] by their names."""

    classes: list[str]
    rows: dict[str, list[Row]]
    folders: dict[str, Path]


def prepare_stanford(source: Path, dest: Path, *, allow_partial: bool = False, say: Say = print) -> Prepared:
    """Write train/, test/, train_labels.csv, test_labels.csv, classes.txt and manifest.json.

    Every image meets its label and box by its name. Images and boxes are taken over as they are. The folder appears
    when it is complete: until then all is written beside it, and an interrupted run starts over. A folder that is
    there already is verified against its manifest, and nothing is done.

    Args:
        source: folder with the files as published, in either layout, unpacked or not.
        dest: folder to write.
        allow_partial: accept fewer images than 8,144 + 8,041, and annotations without image or the reverse.
        say: told of each step, a line each.

    Raises: DataError naming what is missing, doubled, mixed, damaged or not ours.
    """
    dest = Path(os.path.realpath(dest))
    try:
        if dest.exists() and (not dest.is_dir() or list(dest.iterdir())):
            return _verify(dest, allow_partial, say)
        return _prepare(source, dest, allow_partial, say)
    except OSError as error:
        raise DataError(f"{error.filename or dest}: {error.strerror or error}") from None


def _prepare(source: Path, dest: Path, allow_partial: bool, say: Say) -> Prepared:
    layout = find_layout(source)
    say(f"{source}: the {layout} layout")
    work = dest.with_name(f".{dest.name}.unfinished")
    if work.exists():
        say(f"{work}: left by an interrupted run; starting over")
        shutil.rmtree(work)
    prepared = work / "prepared"
    prepared.mkdir(parents=True)
    try:
        found = (_read_older if layout == OLDER else _read_newer)(source, work / "raw", say)
        rows = _match(found, allow_partial, say)
        _write(prepared, found, rows)
        say("checking what was written")
        notes = _check(prepared, source)
        counts = {part: len(rows[part]) for part in rows}
        partial = counts != OFFICIAL_COUNTS
        _write_manifest(prepared, layout, partial, counts)
        if dest.exists():
            dest.rmdir()
        prepared.rename(dest)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Prepared(layout, partial, counts, True, notes)


def find_layout(source: Path) -> str:
    """Tell which official layout a folder has.

    Raises: DataError if it is neither, or parts of both.
    """
    if not source.is_dir():
        raise DataError(f"{source}: no such folder; {EXPECTED}")
    older = [path.name for name in ("car_ims", "cars_annos.mat") if (path := _find(source, name))]
    newer = [path.name for name in ("cars_train", "cars_test") if (path := _find(source, name))]
    if older and newer:
        raise DataError(
            f"{source}: mixes both layouts, {', '.join(older)} of the older and {', '.join(newer)} of the newer.\n"
            "Their images are numbered differently, so labels of one on images of the other would be wrong.\n"
            "Keep the files of one in a folder of their own: the older needs car_ims and cars_annos.mat, the newer\n"
            f"cars_train, cars_test, devkit and {WITH_LABELS}."
        )
    if not older and not newer:
        held = ", ".join(path.name for path in list_folder(source)[:10]) or "nothing"
        raise DataError(f"{source}: holds {held}; {EXPECTED}")
    return OLDER if older else NEWER


def _find(source: Path, name: str) -> Path | None:
    """Find a file, a folder or the archive of a folder; of a folder and its archive, the folder."""
    endings = ("",) if name.endswith(".mat") else ARCHIVE_ENDINGS
    return next((path for ending in endings if (path := source / (name + ending)).exists()), None)


def _need(source: Path, *names: str, hint: str = "") -> Path:
    for name in names:
        if path := _find(source, name):
            return path
    raise DataError(f"{source}: {' or '.join(names)} is missing{hint}; {EXPECTED}")


def _open_folder(path: Path, raw: Path, say: Say) -> Path:
    """Return a folder's content: unpacked if it is an archive, without levels that hold one folder and nothing else."""
    if path.is_file():
        if not is_archive(path):
            raise DataError(f"{path}: neither a folder nor a .tgz, .tar or .zip file")
        say(f"unpacking {path.name}")
        folder = raw / path.name.split(".")[0]
        # photographs hardly shrink, so an archive's size is near that of its content
        with progress(path.stat().st_size, path.name, unit="B") as bar:
            extract(path, folder, progress=bar.update)
        path = folder
    for _ in range(3):
        content = list_folder(path)
        if len(content) != 1 or not content[0].is_dir():
            break
        path = content[0]
    return path


def _read_older(source: Path, raw: Path, say: Say) -> Annotations:
    mat = _need(source, "cars_annos.mat")
    images = _need(source, "car_ims")
    content = read_matlab(mat, "annotations", "class_names")
    entries, own_names = content["annotations"], [str(name).strip() for name in content["class_names"]]
    devkit = _find(source, "car_devkit") or _find(source, "devkit")
    classes = _meta_classes(_open_folder(devkit, raw, say)) if devkit else own_names
    for k, (name, own) in enumerate(zip(classes, own_names, strict=False), start=1):
        if name != own and own in classes:  # spellings differ between editions, orders must not
            raise DataError(f"{mat}: class {k} is {own!r}, but {name!r} in {devkit}")
    rows: dict[str, list[Row]] = {"train": [], "test": []}
    for row, is_test in zip(
        _rows(mat, entries, "relative_im_path", classes), _column(mat, entries, "test"), strict=True
    ):
        rows["test" if int(is_test) else "train"].append(row)
    folder = _open_folder(images, raw, say)
    return Annotations(classes, rows, {"train": folder, "test": folder})


def _read_newer(source: Path, raw: Path, say: Say) -> Annotations:
    images = {part: _need(source, f"cars_{part}") for part in OFFICIAL_COUNTS}
    devkit = _open_folder(_need(source, "devkit", "car_devkit"), raw, say)
    labelled = _find(source, WITH_LABELS) or _find(devkit, WITH_LABELS)
    if labelled is None:
        raise DataError(
            f"{source}: {WITH_LABELS} is missing, here and in the devkit; the devkit's cars_test_annos.mat has boxes "
            "but no classes"
        )
    classes = _meta_classes(devkit)
    mats = {"train": _need(devkit, "cars_train_annos.mat"), "test": labelled}
    rows = {}
    for part, mat in mats.items():
        rows[part] = _rows(mat, read_matlab(mat, "annotations")["annotations"], "fname", classes)
    return Annotations(classes, rows, {part: _open_folder(path, raw, say) for part, path in images.items()})


def _meta_classes(devkit: Path) -> list[str]:
    mat = _need(devkit, "cars_meta.mat")
    return [str(name).strip() for name in read_matlab(mat, "class_names")["class_names"]]


def _column(mat: Path, entries: np.ndarray, name: str) -> list[Any]:
    if name not in (entries.dtype.names or ()):
        found = ", ".join(entries.dtype.names or ()) or "no fields"
        raise DataError(f"{mat}: annotations lack the field {name!r} (found: {found})")
    return [np.asarray(value).reshape(-1)[0] for value in entries[name]]


def _rows(mat: Path, entries: np.ndarray, name_field: str, classes: list[str]) -> list[Row]:
    """Turn annotations into rows.

    Raises: DataError for missing fields, classes out of range and names that stand twice.
    """
    if len(classes) != NUM_CLASSES or len(set(classes)) != NUM_CLASSES:
        raise DataError(f"{mat}: expected {NUM_CLASSES} different class names, found {len(set(classes))}")
    columns = [_column(mat, entries, field) for field in (name_field, "class", *BOX)]
    rows, problems = [], []
    for name, *numbers in zip(*columns, strict=True):
        # the older layout names images with their folder
        name = str(name).strip().replace("\\", "/").rpartition("/")[2]
        label, x1, y1, x2, y2 = (int(number) for number in numbers)
        if not 1 <= label <= NUM_CLASSES:
            problems.append(f"{name}: class {label} is outside 1..{NUM_CLASSES}")
            continue
        rows.append(Row(name, label, (x1, y1, x2, y2), classes[label - 1]))
    counts = Counter(row.image_fname for row in rows)
    problems += [f"{name} stands in it more than once" for name, count in counts.items() if count > 1]
    if problems:
        raise DataError(f"{mat}: wrong annotations:\n{listing(problems)}")
    return rows


def _match(found: Annotations, allow_partial: bool, say: Say) -> dict[str, list[Row]]:
    """Return the rows whose image is there, and refuse what does not fit unless a sample is allowed."""
    rows, problems = {}, []
    for part, folder in found.folders.items():
        present = {path.name for path in list_folder(folder) if is_image_name(path)}
        rows[part] = [row for row in found.rows[part] if row.image_fname in present]
        problems += [
            f"{part}: {row.image_fname}: no image" for row in found.rows[part] if row.image_fname not in present
        ]
    annotated = {(found.folders[part], row.image_fname) for part in rows for row in found.rows[part]}
    for folder in dict.fromkeys(found.folders.values()):
        images = [path.name for path in list_folder(folder) if is_image_name(path)]
        problems += [f"{folder.name}/{name}: no annotation" for name in images if (folder, name) not in annotated]
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
        # what was unpacked for this is moved, the user's own is copied
        take = os.replace if raw in found.folders[part].parents else shutil.copyfile
        with progress(len(part_rows), part) as bar:
            for row in part_rows:
                take(found.folders[part] / row.image_fname, folder / part / row.image_fname)
                bar.update()
        with (folder / f"{part}_labels.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows((row.image_fname, row.label, *row.box, row.class_name) for row in part_rows)
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


def _files(folder: Path) -> list[str]:
    """Return the names of all files but the manifest, as they stand in it."""
    names = [path.name for path in list_folder(folder) if path.is_file() and path.name != MANIFEST]
    names += [f"{path.name}/{file.name}" for path in list_folder(folder) if path.is_dir() for file in list_folder(path)]
    return names


def _write_manifest(folder: Path, layout: str, partial: bool, counts: dict[str, int]) -> None:
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


def _verify(dest: Path, allow_partial: bool, say: Say) -> Prepared:
    """Hold a folder that is there already against its manifest."""
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

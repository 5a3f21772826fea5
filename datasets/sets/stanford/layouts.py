"""The layouts that Stanford Cars is passed on in. To add one: write its function, add it to `LAYOUTS`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from datasets.readers.files import list_folder, listing, progress
from datasets.readers.images import is_image_name
from datasets.readers.matlab import read_matlab
from datasets.readers.parquet_files import Part, files_by_split, read_part
from datasets.readers.tables import read_fields
from datasets.sets.stanford.source import (
    Annotations,
    Say,
    Source,
    class_names,
    images_in,
    labels_of,
    without_single_levels,
)
from datasets.sets.stanford_cars import BOX, NUM_CLASSES, OFFICIAL_COUNTS, Row
from utils.types import DataError

WITH_LABELS = "cars_test_annos_withlabels.mat"


def _read_older(source: Source) -> Annotations:
    """Read car_ims, cars_annos.mat, car_devkit: one numbering through both parts."""
    mat, images = source.need("cars_annos.mat"), source.need("car_ims")
    entries, classes = read_matlab(mat, "annotations", "class_names")["annotations"], class_names(mat)
    if devkit := source.find("car_devkit", "devkit"):
        own_names, classes = classes, source.devkit_classes(source.open(devkit))
        for k, (name, own) in enumerate(zip(classes, own_names, strict=True), start=1):
            if name != own and own in classes:  # spellings differ between editions, orders must not
                raise DataError(f"{mat}: class {k} is {own!r}, but {name!r} in {devkit}")
    rows: dict[str, list[Row]] = {"train": [], "test": []}
    annotated = _annotated_rows(mat, entries, "relative_im_path")
    for row, is_test in zip(annotated, _column(mat, entries, "test"), strict=True):
        rows["test" if int(is_test) else "train"].append(row)
    return Annotations(classes, rows, dict.fromkeys(OFFICIAL_COUNTS, images_in(source.open(images))))


def _read_newer(source: Source) -> Annotations:
    """Read cars_train, cars_test, devkit and the test part's labels: a numbering for each part."""
    images = {part: source.need(f"cars_{part}") for part in OFFICIAL_COUNTS}
    devkit = source.open(source.need("devkit", "car_devkit"))
    labelled = source.find(WITH_LABELS) or source.find(WITH_LABELS, place=devkit)
    if labelled is None:
        raise DataError(
            f"{source.folder}: {WITH_LABELS} is missing, here and in the devkit; the devkit's cars_test_annos.mat has "
            "boxes but no classes"
        )
    mats = {"train": source.need("cars_train_annos.mat", place=devkit), "test": labelled}
    classes = source.devkit_classes(devkit)
    rows = {
        part: _annotated_rows(mat, read_matlab(mat, "annotations")["annotations"], "fname")
        for part, mat in mats.items()
    }
    return Annotations(classes, rows, {part: images_in(source.open(path)) for part, path in images.items()})


def _column(mat: Path, entries: np.ndarray, name: str) -> list[Any]:
    """Return a field of all annotations."""
    if name not in (entries.dtype.names or ()):
        held = ", ".join(entries.dtype.names or ()) or "no fields"
        raise DataError(f"{mat}: annotations lack the field {name!r} (found: {held})")
    return [np.asarray(value).reshape(-1)[0] for value in entries[name]]


def _annotated_rows(mat: Path, entries: np.ndarray, name_field: str) -> list[Row]:
    """Turn annotations into rows. Raises: DataError for missing fields, and as `_refuse_wrong_rows`."""
    columns = [_column(mat, entries, field) for field in (name_field, "class", *BOX)]
    rows = []
    for name, *numbers in zip(*columns, strict=True):
        label, x1, y1, x2, y2 = map(int, numbers)
        # the older layout names folders too
        rows.append(Row(str(name).strip().replace("\\", "/").rpartition("/")[2], label, (x1, y1, x2, y2)))
    outside = [row for row in rows if not 1 <= row.label <= NUM_CLASSES]
    problems = [f"{row.image_fname}: class {row.label} is outside 1..{NUM_CLASSES}" for row in outside]
    _refuse_wrong_rows(mat, "annotations", rows, problems)
    return rows


def _refuse_wrong_rows(path: Path, kind: str, rows: list[Row], problems: list[str]) -> None:
    """Raise the DataError that lists wrong rows, and images that stand in several, if there are any."""
    counts = Counter(row.image_fname for row in rows)
    problems = problems + [f"{name} stands in it more than once" for name, count in counts.items() if count > 1]
    if problems:
        raise DataError(f"{path}: wrong {kind}:\n{listing(problems)}")


def _read_folders(source: Source) -> Annotations:
    """Read train/<class>/<image> and test/<class>/<image>, labelled by the folders' names."""
    classes = source.classes()
    parts = {part: source.class_folders(source.need(part), classes) for part in OFFICIAL_COUNTS}
    source.say("boxes: none in this layout")
    rows = {part: content[0] for part, content in parts.items()}
    return Annotations(classes, rows, {part: content[1] for part, content in parts.items()})


def _read_folders_with_boxes(source: Source) -> Annotations:
    """Read class folders beside files of boxes, by the images' names; folders and files must agree on the classes.

    The anno files have no header: file name, x1, y1, x2, y2, number of the class in names.csv, from 1. Boxes are the
    devkit's, in 1-based inclusive pixels.
    """
    classes, names_csv = source.classes(), source.need("names.csv")
    names = [",".join(fields).strip() for _, fields in read_fields(names_csv)]
    label_of = labels_of(names_csv.name, names, classes, source.say)
    holder = source.find("car_data")
    root = source.open(holder) if holder else source.folder
    parts = {part: source.class_folders(source.need(part, place=root), classes) for part in OFFICIAL_COUNTS}
    annotated = {part: _read_boxes(source.need(f"anno_{part}.csv")) for part in OFFICIAL_COUNTS}
    first = 0 if any(row.label == 0 for rows in annotated.values() for row in rows) else 1
    rows: dict[str, list[Row]] = {part: [] for part in parts}
    problems = []
    for part, (folder_rows, _) in parts.items():
        folder_labels = {row.image_fname: row.label for row in folder_rows}
        for row in annotated[part]:
            where = f"{part}: {row.image_fname}"
            if not 0 <= row.label - first < len(names):
                problems.append(f"{where}: class {row.label} is none of the {len(names)} of names.csv")
                continue
            label = label_of[names[row.label - first]]
            folder_label = folder_labels.get(row.image_fname, label)
            if folder_label != label:
                problems.append(f"{where}: {classes[label - 1]}, but in {classes[folder_label - 1]}/")
            rows[part].append(row._replace(label=label))
    if problems:
        raise DataError(f"{source.folder}: anno files do not fit the folders:\n{listing(problems)}")
    return Annotations(classes, rows, {part: images for part, (_, images) in parts.items()})


def _read_boxes(path: Path) -> list[Row]:
    """Return the lines of an anno file, their labels as they stand there.

    Raises: DataError that lists the lines of another form, and the images that stand in several.
    """
    rows, problems = [], []
    for number, fields in read_fields(path):
        try:
            x1, y1, x2, y2, label = map(int, fields[1:6])
            rows.append(Row(fields[0].strip(), label, (x1, y1, x2, y2)))
        except ValueError:
            problems.append(f"line {number}: not a file name, a box and a class: {', '.join(fields)}")
    _refuse_wrong_rows(path, "lines", rows, problems)
    return rows


def _read_parquet(source: Source) -> Annotations:
    """Write the images of Parquet files to files; other parts, such as distorted copies, are left out."""
    classes, files = source.classes(), files_by_split(source.folder)
    if lacking := [part for part in OFFICIAL_COUNTS if part not in files]:
        raise DataError(f"{source.folder}: {', '.join(lacking)}-*.parquet is missing; {EXPECTED}")
    if others := sorted(set(files) - set(OFFICIAL_COUNTS)):
        source.say(f"parts that are left out: {', '.join(others)}")
    rows, images = {}, {}
    for part in OFFICIAL_COUNTS:
        content, folder = read_part(files[part]), source.raw / part
        names = [(path or "").replace("\\", "/").rpartition("/")[2] for path in content.paths]
        if len(set(names)) < len(names) or not all(is_image_name(Path(name)) and name[0] != "." for name in names):
            names = [f"{number:05d}.jpg" for number in range(1, len(names) + 1)]
        labels = _parquet_labels(source, part, content, classes)
        rows[part] = [Row(*row) for row in zip(names, labels, strict=True)]
        images[part] = {name: folder / name for name in names}
        folder.mkdir(parents=True)
        with progress(len(names), f"unpacking {part}") as bar:
            for name, image in zip(names, content.images, strict=True):
                (folder / name).write_bytes(image.content)
                bar.update()
    source.say("boxes: none in this layout")
    return Annotations(classes, rows, images)


def _parquet_labels(source: Source, part: str, content: Part, classes: list[str]) -> list[int]:
    """Return 1-based labels in the devkit's order, by name where the files say names."""
    names = [str(label) for label in content.labels]
    if isinstance(content.labels[0], int):
        numbers, numbered = [int(label) for label in content.labels], content.names or classes
        if wrong := sorted({number for number in numbers if not 0 <= number < len(numbered)}):
            listed = ", ".join(map(str, wrong[:20]))
            raise DataError(f"{source.folder}: labels outside 0..{len(numbered) - 1}: {listed}")
        if content.names is None:
            source.say(f"{part}: the files name no classes; their numbers are taken for the devkit's, from 0")
        names = [numbered[number] for number in numbers]
    label_of = labels_of(f"{source.folder.name} ({part})", names, classes, source.say)
    return [label_of[name] for name in names]


class Layout(NamedTuple):
    """A layout: what it consists of, any of which files mark it, and the function that reads it."""

    name: str
    files: str
    marks: tuple[str, ...]
    read: Callable[[Source], Annotations]


LAYOUTS = (
    Layout("older", "car_ims, cars_annos.mat, car_devkit", ("car_ims", "cars_annos.mat"), _read_older),
    Layout("newer", f"cars_train, cars_test, devkit, {WITH_LABELS}", ("cars_train", "cars_test"), _read_newer),
    Layout(
        "class folders with boxes",
        "car_data/{train,test}/<class>/<image>, anno_train.csv, anno_test.csv, names.csv",
        ("anno_train.csv", "anno_test.csv"),
        _read_folders_with_boxes,
    ),
    Layout("parquet", "train-*.parquet and test-*.parquet, perhaps in data", (), _read_parquet),
    Layout("class folders", "train/<class>/<image> and test/<class>/<image>", ("train", "test"), _read_folders),
)
EXPECTED = "expected one of these layouts, folders also as .tgz or .zip:\n" + "\n".join(
    f"  {layout.name}: {layout.files}" for layout in LAYOUTS
)


def find_layout(folder: Path, raw: Path, say: Say) -> tuple[Layout, Source]:
    """Detect which layout a folder has, or the one folder in it.

    Args:
        raw, say: of `Source`.

    Raises: DataError if it has none, or parts of several.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; {EXPECTED}")
    for place in dict.fromkeys((folder, without_single_levels(folder))):
        source, parquet_files = Source(place, raw, say, EXPECTED), files_by_split(place)
        held = {layout: [path.name for name in layout.marks if (path := source.find(name))] for layout in LAYOUTS}
        *others, folders = held
        held[others[-1]] = [files[0].name for part, files in parquet_files.items() if part in OFFICIAL_COUNTS]
        if held[others[-2]] or held[others[-1]] or source.find("train_labels.csv"):
            del held[folders]  # these have class folders too, and so has the prepared folder
        held = {layout: names for layout, names in held.items() if names}
        if len(held) > 1:
            listed = " and ".join(f"{', '.join(names)} of the {layout.name}" for layout, names in held.items())
            raise DataError(
                f"{place}: mixes {'both' if len(held) == 2 else 'several'} layouts, {listed}.\n"
                "Their images are numbered differently, so labels of one on images of the other would be wrong.\n"
                f"Keep the files of one in a folder of their own; {EXPECTED}"
            )
        if held:
            return next(iter(held)), source
    content = ", ".join(path.name for path in list_folder(folder)[:10]) or "nothing"
    raise DataError(f"{folder}: holds {content}; {EXPECTED}")

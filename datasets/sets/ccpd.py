"""CCPD: Chinese licence plates, photographed on parking lots and annotated in the files' names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from string import ascii_uppercase
from typing import Literal, NamedTuple

import numpy as np

from datasets.base import DataSet, ImageTable, sample_note
from datasets.readers.boxes import clip_boxes
from datasets.readers.files import leads_out, list_folder, listing, read_list, some
from datasets.readers.images import is_image_name
from datasets.sequences import encode_texts
from utils.types import ConfigError, DataError

PROVINCES = "皖沪津渝冀晋蒙辽吉黑苏浙京闽赣鲁豫鄂湘粤桂琼川贵云藏陕甘青宁新警学"
"""Of Chinese plates, and the marks of police and driving schools, in CCPD's order."""
LETTERS = "".join(letter for letter in ascii_uppercase if letter not in "IO")
"""Chinese plates have no I and no O, which look like digits."""
DIGITS = "0123456789"
CHINESE = PROVINCES + LETTERS + DIGITS
"""The 67 characters of Chinese plates, in CCPD's order."""
_ORDER = {character: k for k, character in enumerate(PROVINCES + ascii_uppercase + DIGITS)}
FACTS = {"ccpd": {"kind": "sequence"}}
Subset = Literal["test", "val", "ccpd_blur", "ccpd_challenge", "ccpd_db", "ccpd_fn", "ccpd_rotate", "ccpd_tilt"]
COUNTS_2019 = {
    "train": 100_000,
    "val": 99_996,
    "test": 141_982,
    "ccpd_blur": 20_611,
    "ccpd_challenge": 50_003,
    "ccpd_db": 10_132,
    "ccpd_fn": 20_967,
    "ccpd_rotate": 10_053,
    "ccpd_tilt": 30_216,
}
COUNTS_2020 = {"train": 5_769, "val": 1_001, "test": 5_006}
LAYOUT = "splits/train.txt and the images that it names (CCPD2019), or ccpd_green/train and test (CCPD2020)"
WITHOUT_PLATE = "ccpd_np/"
FIELDS = 7  # area, tilt, box, corners, plate, brightness, blurriness


class Plate(NamedTuple):
    """The text and box that an image's name gives."""

    text: str
    box: tuple[int, ...]


def ccpd(*, data_path: str | None = None, subset: Subset = "test", skip_bad: bool = False) -> DataSet:
    """Read photographs of 720 x 1160 pixels with a plate each, its box and its 7 or, in CCPD2020, 8 characters.

    The folders decide which of the two it is. Training images are those of splits/train.txt or ccpd_green/train;
    validation images are held out of them by valid_fraction, so that val is not used unless it is the subset.
    `crop_to_bboxes: all` cuts the plate out of every image. Classes are the 67 characters of Chinese plates in the
    order of CCPD's own tables, whichever of them occur. The images without a plate, ccpd_np, are not used.

    Args:
        data_path: folder CCPD2019 (with splits/) or CCPD2020 (with ccpd_green/) or the one around it; by default
            input/ccpd.
        subset: what is tested on. "test" is splits/test.txt, six kinds of difficult images; each can be had alone by
            the name of its folder. "val" is the other half of ccpd_base, as easy as the training images, on which
            papers often report. CCPD2020 has "test" and "val".
        skip_bad: leave out the images that are missing, stand twice or have a name that says no plate, and say which.

    Raises: ConfigError for a subset that CCPD2020 has not; DataError listing those images, unless they are skipped, and
        boxes without a pixel inside their image.
    Source: Xu et al. 2018, "Towards End-to-End License Plate Detection and Recognition: A Large Dataset and Baseline",
        ECCV; github.com/detectRecog/CCPD for the meaning of names and the tables of characters.
    Deviations: an index of the tables' last entry, O, means no character: the text is one shorter. The right lower
        corner of a box is taken as exclusive; the source does not say.
    """
    root, lists = _find(Path(data_path or "input/ccpd").expanduser())
    counts = COUNTS_2019 if lists else COUNTS_2020
    if subset not in counts:
        raise ConfigError(f"data_params.subset: {subset} is a part of CCPD2019; {root} is CCPD2020 with test and val")
    plates: dict[str, Plate] = {}
    first: dict[str, str] = {}
    skipped: list[str] = []
    parts: dict[str, list[str]] = {}  # the names that can be used
    for part in ("train", subset):
        parts[part] = []
        for place, name in _names(root, part, lists):
            try:
                if name in first:
                    raise ValueError(f"stands in {first[name]} too")
                first[name], plate = place, read_name(name)
                if not os.path.isfile(f"{root}/{name}"):
                    raise ValueError("no such file")
                plates[name] = plate
                parts[part].append(name)
            except ValueError as error:
                skipped.append(f"{place}: {name}: {error}")
    if skipped and not skip_bad:
        summary = f"{len(skipped):,} images cannot be used; data_params: {{skip_bad: true}} leaves them out"
        raise DataError(f"{root}: {summary}:\n{listing(skipped)}")
    if not all(parts.values()):
        raise DataError(f"{root}: every image of a part was skipped:\n{listing(skipped)}")
    published = [[plates[name].box for name in names] for names in parts.values()]
    tables = []
    for names, boxes in zip(parts.values(), published, strict=True):
        labels = encode_texts([plates[name].text for name in names], CHINESE)
        paths, strata = [root / name for name in names], labels[:, 0]  # the province
        tables.append(ImageTable(paths, labels, np.array(boxes, dtype=np.int64), strata=strata))
    tables, clipping = clip_boxes(tables, published)
    # what a reader of the results must know of what was tested on
    notes = [f"tested on {subset}, not on the official test part as a whole", *clipping]
    if subset == "test":
        notes[0] = "val is not used: valid_fraction holds images out of train; data_params: {subset: val} tests on it"
    if skipped:
        notes.append(f"{len(skipped):,} images were skipped (skip_bad): {some(skipped)}")
    notes += sample_note([*map(len, tables)], [counts["train"], counts[subset]])
    return DataSet(tuple(CHINESE), *tables, notes=tuple(notes), kind="sequence")


def _find(path: Path) -> tuple[Path, bool]:
    """Return the folder that images' paths begin in, and whether lists say which there are (2019) or folders (2020)."""
    with_lists = [folder for folder in (path, path / "CCPD2019") if (folder / "splits" / "train.txt").is_file()]
    around = (path, path / "ccpd_green", path / "CCPD2020", path / "CCPD2020" / "ccpd_green")
    green = [folder for folder in around if all((folder / part).is_dir() for part in ("train", "test"))]
    if len(candidates := with_lists + green) != 1:
        several = f"holds several sets, name one as data_path: {', '.join(map(str, candidates))}"
        raise DataError(f"{path}: {several if candidates else f'holds no CCPD; expected {LAYOUT}'}")
    return candidates[0], bool(with_lists)


def _names(root: Path, part: str, lists: bool) -> list[tuple[str, str]]:
    """Return the images of a part, each with the place that names it. Raises: DataError if there are none."""
    if lists:
        named_by = f"splits/{part if part in ('train', 'val') else 'test'}.txt"
        names = [(f"{named_by} line {n}", fields[0].strip()) for n, fields in read_list(root / named_by, 1)]
        folder = f"{part}/" if part.startswith("ccpd_") else ""
        names = [item for item in names if item[1].startswith(folder) and not item[1].startswith(WITHOUT_PLATE)]
    else:
        named_by = part
        names = [(part, f"{part}/{path.name}") for path in list_folder(root / part) if is_image_name(path)]
    if not names:
        raise DataError(f"{root / named_by}: names no image of {part}")
    return names


def read_name(name: str) -> Plate:
    """Read what is known of an image from its name.

    Raises: ValueError if it has not seven fields, its box has no area or its plate is none.
    """
    if leads_out(name):
        raise ValueError("leads out of the folder")
    fields = os.path.splitext(os.path.basename(name))[0].split("-")
    if len(fields) != FIELDS:
        raise ValueError(f"{len(fields)} fields between hyphens, expected {FIELDS}")
    corners, indices = fields[2], fields[4]
    if not re.fullmatch(r"\d{1,6}&\d{1,6}_\d{1,6}&\d{1,6}", corners, re.ASCII):
        raise ValueError(f"box {corners!r} must be x1&y1_x2&y2")
    x1, y1, x2, y2 = map(int, re.split("[&_]", corners))
    if x1 >= x2 or y1 >= y2:
        raise ValueError(f"box {corners!r} has no area")
    return Plate(_text(indices), (x1, y1, x2, y2))


def _text(indices: str) -> str:
    """Return the text that indices into the tables of provinces, letters and, from the third on, both mean."""
    if not re.fullmatch(r"\d{1,3}(_\d{1,3}){6,7}", indices, re.ASCII):
        raise ValueError(f"plate {indices!r} must be 7 or 8 numbers between underscores")
    numbers = list(map(int, indices.split("_")))
    tables = [PROVINCES, LETTERS, *[LETTERS + DIGITS] * (len(numbers) - 2)]
    for place, (number, table) in enumerate(zip(numbers, tables, strict=True), start=1):
        if number > len(table):  # the entry behind the last character is O, for none
            raise ValueError(f"plate {indices!r}: number {place} must be 0 to {len(table)}, got {number}")
    text = "".join(table[number : number + 1] for number, table in zip(numbers, tables, strict=True))
    if not text:
        raise ValueError(f"plate {indices!r} has no character")
    return text


def plate_order(characters: Iterable[str]) -> tuple[str, ...]:
    """Sort characters, each once: provinces, A to Z and digits as CCPD has them, all others behind by code point."""
    return tuple(sorted(set(characters), key=lambda character: (_ORDER.get(character, len(_ORDER)), character)))

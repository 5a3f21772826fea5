from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from official_layouts import CARS, NAMES, draw, write_older
from PIL import Image

from datasets.sets.stanford_cars import COLUMNS, stanford_cars
from utils.types import DataError

ROWS = {
    "train": [
        ("b.jpg", 3, 1, 1, 20, 16, "Three"),
        ("a.jpg", 196, 5, 4, 18, 12, "Last"),
        ("c.jpg", 1, 2, 2, 2, 2, "One"),
    ],
    "test": [("a.jpg", 1, 3, 2, 10, 9, "One")],
}


def write_labels(folder: Path, part: str, rows: list[tuple], columns: tuple[str, ...] = COLUMNS) -> None:
    with (folder / f"{part}_labels.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A small prepared folder of 20 x 16 pixels, as an older preparation wrote it: without classes.txt."""
    folder = tmp_path / "cars"
    for part, rows in ROWS.items():
        for k, row in enumerate(rows):
            draw(folder / part / row[0], 60 * k)
        write_labels(folder, part, rows)
    return folder


def test_image_label_and_box_meet_by_name(prepared: Path) -> None:
    data = stanford_cars(data_path=str(prepared))
    assert [Path(str(path)).name for path in data.train.images] == ["b.jpg", "a.jpg", "c.jpg"]
    assert data.train.labels.tolist() == [2, 195, 0]
    # 1-based inclusive -> 0-based with exclusive ends
    assert data.train.boxes is not None
    assert data.train.boxes.tolist() == [[0, 0, 20, 16], [4, 3, 18, 12], [1, 1, 2, 2]]
    assert data.test.boxes is not None
    assert data.test.boxes.tolist() == [[2, 1, 10, 9]]
    assert data.notes == ("a sample: 3 + 1 of 8,144 + 8,041 images",)
    columns = ("", *reversed(COLUMNS), "comment")  # columns are matched by name, too
    write_labels(prepared, "train", [(9, *reversed(row), "x") for row in ROWS["train"]], columns)
    again = stanford_cars(stanford_data_path=str(prepared))
    assert again.train.labels.tolist() == [2, 195, 0]
    assert str(again.train.boxes) == str(data.train.boxes)
    assert len(stanford_cars(data_path=str(prepared), stanford_data_path="nowhere").train) == 3


def test_196_classes_count_however_few_occur(prepared: Path) -> None:
    data = stanford_cars(data_path=str(prepared))
    assert len(data.classes) == 196
    assert (data.classes[0], data.classes[1], data.classes[195]) == ("One", "class 2", "Last")
    names = [{1: "One", 3: "Three", 196: "Last"}.get(k, f"Car {k}") for k in range(1, 197)]
    (prepared / "classes.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    assert stanford_cars(data_path=str(prepared)).classes == tuple(names)


def test_a_box_that_reaches_outside_is_clipped_and_noted(prepared: Path) -> None:
    rows = [("b.jpg", 3, 0, 1, 23, 16, "Three"), ("a.jpg", 196, 5, 4, 18, 17, "Last"), ROWS["train"][2]]
    write_labels(prepared, "train", rows)
    data = stanford_cars(data_path=str(prepared))
    assert data.train.boxes is not None
    assert data.train.boxes[:2].tolist() == [[0, 0, 20, 16], [4, 3, 18, 16]]
    assert data.notes[1] == "2 of 4 boxes reached outside their image and were clipped: train/b.jpg, train/a.jpg"


def test_boxes_fit_the_upright_image(prepared: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 16)).save(prepared / "test" / "a.jpg", exif=exif)
    write_labels(prepared, "test", [("a.jpg", 1, 1, 1, 16, 20, "One")])
    data = stanford_cars(data_path=str(prepared))
    assert data.test.boxes is not None
    assert data.test.boxes.tolist() == [[0, 0, 16, 20]]
    assert data.test.load(0).size == (16, 20)


def test_images_without_label_and_labels_without_image_are_all_listed(prepared: Path) -> None:
    (prepared / "train" / "b.jpg").unlink()
    (prepared / "test" / "a.jpg").unlink()
    draw(prepared / "train" / "z.JPG", 1)
    (prepared / "train" / ".hidden.jpg").write_text("")
    (prepared / "train" / "readme.txt").write_text("")
    with pytest.raises(DataError) as caught:
        stanford_cars(data_path=str(prepared))
    assert str(caught.value).splitlines()[1:] == [
        "  train/b.jpg: no such image",
        "  train/z.JPG: no label",
        "  test/a.jpg: no such image",
    ]


def test_wrong_rows_are_all_listed(prepared: Path) -> None:
    rows = [
        ("a.jpg", 0, 1, 1, 2, 2, "Zero"),
        ("b.jpg", 197, 1, 1, 2, 2, "Beyond"),
        ("c.jpg", 3, 1, 1, 2, 2, "Three"),
        ("c.jpg", 3, 1, 1, 2, 2, "Three"),
        ("d.jpg", 3, 1, 1, 2, "2.5", "Three"),
        ("../e.jpg", 3, 1, 1, 2, 2, "Three"),
    ]
    write_labels(prepared, "train", rows)
    with pytest.raises(DataError) as caught:
        stanford_cars(data_path=str(prepared))
    assert str(caught.value).splitlines()[1:] == [
        "  line 2: a.jpg: class 0 is outside 1..196",
        "  line 3: b.jpg: class 197 is outside 1..196",
        "  line 6: d.jpg: class and box must be whole numbers",
        "  line 7: image_fname '../e.jpg' is no file name",
        "  c.jpg stands in it more than once",
    ]


def labels(*fields: object) -> Callable[[Path], object]:
    return lambda folder: write_labels(folder, "test", [fields])


def content(name: str, data: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(data)


def without_test(folder: Path) -> None:
    shutil.rmtree(folder / "test")
    os.remove(folder / "train_labels.csv")


HEADER, LABELS = ",".join(COLUMNS).encode(), "train_labels.csv"
BOXES = [(10, 1, 9, 16), (1, 9, 20, 8), (21, 1, 30, 16), (1, 17, 20, 30), (-5, 1, 0, 9)]
FAULTS: list[tuple[Callable[[Path], object], str]] = [
    *((labels("a.jpg", 1, *box, "One"), f"inside their image:\n  {{}}/test/a.jpg: {box} in 20 x 16") for box in BOXES),
    (labels("a.jpg", 1, 1, 1, 2, 2, "Uno"), "class 1 has two names: 'One' and 'Uno'"),
    (content(LABELS, b""), f"{LABELS}: lacks the columns {', '.join(COLUMNS)} (found: none)"),
    (content(LABELS, b"image_fname,class\n"), "bbox_x2, bbox_y2, class_name (found: image_fname, class)"),
    (content(LABELS, HEADER), f"{LABELS}: holds no rows"),
    (content(LABELS, b"\xff\xfe"), f"{LABELS}: not a CSV file in UTF-8"),
    (content(LABELS, HEADER + b"\na.jpg,1"), "line 2: 2 fields where the header has 7"),
    (
        content("classes.txt", "\n".join(sorted(NAMES)).encode()),
        "order of the label files:\n  class 1 is 'Make",
    ),
    (content("classes.txt", b"One\n"), "expected 196 class names, one a line, found 1"),
    (content("train/a.jpg", b""), "1 images cannot be used:\n  {}/train/a.jpg: the file is empty"),
    (content("train/b.jpg", b"8BPS"), "  {}/train/b.jpg: damaged, or not one of JPEG, PNG, WEBP, BMP"),
    (without_test, f"not a prepared folder, missing:\n  test\n  {LABELS}"),
    (shutil.rmtree, "{}: no such folder; prepare_stanford_dataset.py writes it"),
    (
        lambda folder: [without_test(folder), write_older(folder, CARS)],
        "holds the data as published (car_ims, cars_annos.mat, devkit), not the prepared folder.\nRun: python prep",
    ),
]


@pytest.mark.parametrize(("damage", "message"), FAULTS)
def test_faults_are_named_with_their_file(prepared: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(prepared)
    with pytest.raises(DataError) as caught:
        stanford_cars(data_path=str(prepared))
    assert message.replace("{}", str(prepared)) in str(caught.value)

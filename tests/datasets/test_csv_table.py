"""A table of anybody's images: what it says arrives, what is wrong is told by line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from official_layouts import draw

from datasets.readers.tables import natural_order
from datasets.sets.csv_table import csv_table
from utils.types import ConfigError, DataError

HEADER = "path,label,split"
LINES = ["a.jpg,cat,train", "b.jpg,dog,train", "c.jpg,cat,test"]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a table beside the images a.jpg, b.jpg and c.jpg of 20 x 16 pixels."""
    for k, name in enumerate(("a.jpg", "b.jpg", "c.jpg")):
        draw(tmp_path / "set" / name, 60 * k)

    def write(*lines: str, name: str = "table.csv") -> Path:
        path = tmp_path / "set" / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


def refusal(path: Path, **options: bool) -> str:
    with pytest.raises(DataError) as caught:
        csv_table(data_path=str(path), **options)
    return str(caught.value)


def names(images: object) -> list[str]:
    return [Path(path).name for path in images]  # type: ignore[attr-defined]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", [HEADER, "Path, LABEL ,Split", "\ufeffpath,label,split"])
def test_rows_keep_their_order_and_labels(write: Callable[..., Path], delimiter: str, header: str) -> None:
    data = csv_table(data_path=str(write(*(line.replace(",", delimiter) for line in (header, *LINES)))))
    assert data.classes == ("cat", "dog")
    assert names(data.train.images) == ["a.jpg", "b.jpg"]
    assert data.train.labels.tolist() == [0, 1]
    assert (names(data.test.images), data.test.labels.tolist()) == (["c.jpg"], [0])
    assert (data.train.boxes, data.notes) == (None, ())


@pytest.mark.parametrize(("train", "test"), [("train.csv", "test.csv"), ("my_train.csv", "my_test.csv")])
def test_without_a_column_split_the_file_beside_it_is_the_test_part(
    write: Callable[..., Path], train: str, test: str
) -> None:
    path = write("path,label", "a.jpg,cat", "b.jpg,dog", name=train)
    assert f"has no column split, and there is no {test}" in refusal(path)
    write("path,label", "c.jpg,dog", name=test)
    data = csv_table(data_path=str(path))
    assert (names(data.train.images), names(data.test.images)) == (["a.jpg", "b.jpg"], ["c.jpg"])
    assert data.test.labels.tolist() == [1]


def test_a_folder_with_one_table_or_train_csv_is_enough(write: Callable[..., Path]) -> None:
    path = write(HEADER, *LINES)
    assert len(csv_table(data_path=str(path.parent)).train) == 2
    write("path,label", "c.jpg,dog", name="b.csv")
    assert "name the CSV file itself as data_path (found: b.csv, table.csv)" in refusal(path.parent)
    write(HEADER, *LINES[1:], "a.jpg,cat,train", name="train.csv")
    assert names(csv_table(data_path=str(path.parent)).train.images) == ["b.jpg", "a.jpg"]


def test_classes_are_sorted_as_a_reader_would_or_as_a_file_says(write: Callable[..., Path]) -> None:
    path = write(HEADER, "a.jpg,class 10,train", "b.jpg,class 9,train", "c.jpg,class 10,test")
    assert csv_table(data_path=str(path)).classes == ("class 9", "class 10")
    assert natural_order(["a10b", "a2b", "B", "a", "2", "10", "02"]) == ["02", "2", "10", "B", "a", "a2b", "a10b"]
    write("class 10", "class 3", "class 9", name="classes.txt")
    data = csv_table(data_path=str(path))
    assert data.classes == ("class 10", "class 3", "class 9")
    assert data.train.labels.tolist() == [0, 2]
    write("class 10", "class 3", name="classes.txt")
    assert "labels that are not in classes.txt:\n  class 9" in refusal(path)
    write("class 10", "", "class 10", name="classes.txt")
    assert "not one class name a line:\n  line 2: empty\n  'class 10' stands twice" in refusal(path)


def test_boxes_are_clipped_noted_and_may_be_empty(write: Callable[..., Path]) -> None:
    header = "path,label,split,x1,y1,x2,y2"
    path = write(header, "a.jpg,cat,train,1,2,8.0,9", "b.jpg,dog,train,,,,", "c.jpg,cat,test,-3,1,25,16")
    data = csv_table(data_path=str(path))
    assert data.train.boxes is not None
    assert data.test.boxes is not None
    assert data.train.boxes.tolist() == [[1, 2, 8, 9], [0, 0, 20, 16]]
    assert data.test.boxes.tolist() == [[0, 1, 20, 16]]
    assert data.notes == (f"1 of 3 boxes reached outside their image and were clipped: {path.parent.name}/c.jpg",)
    path = write(header, "a.jpg,cat,train,20,1,30,16", "b.jpg,dog,train,,,,", "c.jpg,cat,test,,,,")
    assert "a.jpg: (20, 1, 30, 16) in 20 x 16 pixels" in refusal(path)


def test_every_wrong_line_is_told_by_its_number(write: Callable[..., Path]) -> None:
    path = write(
        "path,label,split,x1,y1,x2,y2",
        *("a.jpg,cat,train,1,2,8,9", "nowhere.jpg,cat,train,,,,", ",cat,train,,,,", "a.jpg,,train,,,,"),
        *("a.jpg,cat,trian,,,,", "a.jpg,cat,train,1,2", "a.jpg,cat,train,1,2,x,9", "a.jpg,cat,train,1.5,2,8,9"),
        *("a.jpg,cat,train,8,2,8,9", "a.jpg,cat,train,1,2,,9", "a.jpg,cat,train,1,2,8,9,,,", "a,b,train,1,2,1e30,9"),
    )
    assert refusal(path).splitlines() == [
        f"{path}: 10 wrong lines:",
        "  line 3: 'nowhere.jpg': no such file",
        "  line 4: no path",
        "  line 5: no label",
        "  line 6: split must be one of train, test, val, valid, validation, got 'trian'",
        "  line 7: 5 fields where the header has 7",
        "  line 8: box (1, 2, x, 9) must be four whole numbers",
        "  line 9: box (1.5, 2, 8, 9) must be four whole numbers",
        "  line 10: box (8, 2, 8, 9) has no area",
        "  line 11: box (1, 2, , 9) must be four whole numbers",
        "  line 13: 'a': no such file",
    ]
    first, *shown, last = refusal(write(HEADER, *["gone.jpg,cat,train"] * 50)).splitlines()
    assert first.endswith("table.csv: 50 wrong lines:")
    assert (len(shown), last) == (20, "  and 30 more")


@pytest.mark.parametrize("name", ["../other.jpg", "x/../../other.jpg", "{root}/other.jpg", "..\\other.jpg", "C:/a.jpg"])
def test_paths_that_leave_the_folder_are_refused_unless_allowed(
    tmp_path: Path, write: Callable[..., Path], name: str
) -> None:
    draw(tmp_path / "other.jpg", 5)
    name = name.format(root=tmp_path)
    path = write(HEADER, f"{name},cat,train", *LINES)
    (path.parent / "x").mkdir()
    assert f"line 2: {name!r} leaves the folder of the table; data_params: {{allow_outside: true}}" in refusal(path)
    if not name.startswith("C:"):
        data = csv_table(data_path=str(path), allow_outside=True)
        assert Path(str(data.train.images[0])).resolve() == (tmp_path / "other.jpg").resolve()


def test_a_path_that_stands_twice_is_noted_with_whether_labels_differ(write: Callable[..., Path]) -> None:
    data = csv_table(data_path=str(write(HEADER, *LINES, "a.jpg,cat,train", "b.jpg,cat,test")))
    assert len(data.train) == 3
    assert data.notes == ("2 images stand in the table more than once, 1 with several labels: a.jpg, b.jpg",)
    data = csv_table(data_path=str(write(f"{HEADER},spilt", *(f"{line},x" for line in LINES))))
    assert data.notes == ("table.csv: columns that are not used: 'spilt'",)


def test_validation_lines_are_the_test_part_or_left_out_with_a_note(write: Callable[..., Path]) -> None:
    data = csv_table(data_path=str(write(HEADER, *LINES[:2], "c.jpg,cat,val")))
    assert (len(data.test), data.notes) == (1, ("no split test: val is the test part",))
    data = csv_table(data_path=str(write(HEADER, *LINES, "a.jpg,cat,Valid")))
    assert (len(data.train), len(data.test)) == (2, 1)
    assert data.notes == ("split valid is not used: valid_fraction holds images out of train",)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["image,label", "a.jpg,cat"], "lacks the columns path (found: image, label)"),
        (["path,lable", "a.jpg,cat"], "lacks the columns label (found: path, lable); did you mean 'lable'?"),
        (["a.jpg,cat,train"], "lacks the columns path, label (found: a.jpg, cat, train)"),
        ([""], "lacks the columns path, label (found: none)"),
        ([HEADER], "holds no rows"),
        (["path,label,split,label", "a.jpg,cat,train,cat"], "columns that stand twice: label"),
        (
            ["path,label,x1,y1,x2", "a.jpg,cat,1,1,2"],
            "lacks the columns y2 of the boxes (found: path, label, x1",
        ),
        ([HEADER, *LINES[:2]], "no lines of split test; expected"),
        ([HEADER, LINES[2]], "no lines of split train; expected"),
        ([HEADER, LINES[0], LINES[2]], "1 class, at least 2 are needed"),
        (
            [HEADER, *LINES, "a.jpg,owl,test"],
            "labels that are not in the training part (a classes.txt beside it",
        ),
    ],
)
def test_another_form_is_told(write: Callable[..., Path], lines: list[str], message: str) -> None:
    assert message in refusal(write(*lines))


def test_without_a_file_the_form_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="data_path: missing; dataset csv reads a CSV file with the columns path"):
        csv_table()
    assert "nowhere.csv: cannot be read: No such file" in refusal(tmp_path / "nowhere.csv")
    (tmp_path / "table.csv").write_bytes("path,label\n".encode("utf-16"))
    assert "table.csv: not a CSV file in UTF-8" in refusal(tmp_path / "table.csv")

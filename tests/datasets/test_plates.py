"""Anybody's plates: what the table says arrives, the split stays, what is wrong is told by line."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from official_layouts import PLATES, draw, write_plates

from datasets.base import ImageTable
from datasets.sequences import label_in_words
from datasets.sets.ccpd import CHINESE, DIGITS, LETTERS, PROVINCES, plate_order
from datasets.sets.plates import plates
from utils.types import ConfigError, DataError


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a table beside the images 0.jpg to 3.jpg."""
    folder = tmp_path / "set"
    for k in range(4):
        draw(folder / f"{k}.jpg", 60 * k)

    def write(*lines: str, end: str = "\n", encoding: str = "utf-8") -> Path:
        path = folder / "labels.csv"
        path.write_bytes(end.join([*lines, ""]).encode(encoding))
        return path

    return write


def texts(table: ImageTable, classes: tuple[str, ...]) -> list[str]:
    return [label_in_words(table, row, classes) for row in range(len(table))]


def names(table: ImageTable) -> list[str]:
    return [Path(table.name(row)).name for row in range(len(table))]


def refusal(path: Path, alphabet: str | None = None) -> list[str]:
    with pytest.raises(DataError) as caught:
        plates(data_path=str(path), alphabet=alphabet)
    return str(caught.value).splitlines()


HEADER = "file,text,split"
LINES = ["0.jpg,AB1,train", "1.jpg,B22,train", "2.jpg,A1,test"]


def test_texts_stand_beside_their_images(tmp_path: Path) -> None:
    data = plates(data_path=str(write_plates(tmp_path)))
    assert data.kind == "sequence"
    assert texts(data.train, data.classes) == list(PLATES.values())[:3]
    assert texts(data.test, data.classes) == ["ÄX9"]
    assert names(data.train) == ["0.jpg", "1.jpg", "2.jpg"]
    assert [int(np.asarray(data.train.load(row))[0, 0, 0]) for row in range(3)] == pytest.approx([0, 50, 100], abs=3)
    assert data.notes == (
        "labels.csv: columns that are not used: 'length'",
        "1 of 4 texts hold a space, which is a character like any other",
    )


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_tables_of_other_programs_read_alike(
    write: Callable[..., Path], delimiter: str, end: str, encoding: str
) -> None:
    lines = [line.replace(",", delimiter) for line in ("File, TEXT ,Split", *LINES)]
    data = plates(data_path=str(write(*lines, end=end, encoding=encoding)))
    assert texts(data.train, data.classes) == ["AB1", "B22"]
    assert (names(data.test), texts(data.test, data.classes)) == (["2.jpg"], ["A1"])
    assert data.classes == ("A", "B", "1", "2")


def test_a_folder_that_paths_begin_with_may_be_absent(write: Callable[..., Path]) -> None:
    path = write(HEADER, "plates/0.jpg,AB1,train", "plates\\1.jpg,B22,train", "2.jpg,A1,test")
    data = plates(data_path=str(path))
    assert (names(data.train), names(data.test)) == (["0.jpg", "1.jpg"], ["2.jpg"])
    write(HEADER, "plates/0.jpg,AB1,train", "other/1.jpg,B22,train", "2.jpg,A1,test")
    assert refusal(path)[1:] == ["  line 2: 'plates/0.jpg': no such file", "  line 3: 'other/1.jpg': no such file"]
    draw(path.parent / "plates" / "0.jpg", 9)  # a folder that is there is meant
    write(HEADER, "plates/0.jpg,AB1,train", "plates/1.jpg,B22,train", "2.jpg,A1,test")
    assert refusal(path)[1:] == ["  line 3: 'plates/1.jpg': no such file"]


def test_characters_are_in_the_order_of_ccpd_then_by_code_point(write: Callable[..., Path]) -> None:
    assert len(CHINESE) == len(set(CHINESE)) == 67
    assert plate_order(reversed(CHINESE)) == tuple(CHINESE)
    assert plate_order("üÄ-9I0ZO1A新皖") == (*"皖新AIOZ019-Äü",)
    assert (len(PROVINCES), len(LETTERS), len(DIGITS)) == (33, 24, 10)
    data = plates(data_path=str(write(HEADER, "0.jpg,WÖ 1,train", "1.jpg,B-X0,test")))
    assert data.classes == (*"BWX01 -Ö",)


def test_an_accent_is_one_character_however_it_is_stored(write: Callable[..., Path]) -> None:
    apart = unicodedata.normalize("NFD", "MÜ1")
    assert len(apart) == 4
    data = plates(data_path=str(write(HEADER, f"0.jpg,{apart},train", "1.jpg,MÜ2,test")))
    assert data.classes == (*"M12Ü",)
    assert plates(data_path=str(write(HEADER, *LINES)), alphabet="21BÜA".replace("Ü", apart[1:3])).classes == (
        *"21BÜA",
    )


def test_an_alphabet_names_the_classes_and_refuses_others(write: Callable[..., Path]) -> None:
    path = write(HEADER, *LINES)
    data = plates(data_path=str(path), alphabet="3210BA")
    assert data.classes == (*"3210BA",)
    assert data.train.labels.tolist() == [[5, 4, 2], [4, 1, 1]]
    wrong = {
        "ABBAC": "data_params.alphabet: 'A' stands 2 times\ndata_params.alphabet: 'B' stands 2 times",
        "": "data_params.alphabet: must hold at least two characters, got ''",
    }
    for alphabet, message in wrong.items():
        with pytest.raises(ConfigError, match=f"^{message}$"):
            plates(data_path="nowhere", alphabet=alphabet)
    assert refusal(path, alphabet="AB1")[1:] == ["  line 3: text 'B22' holds what the alphabet has not: 2"]


def test_the_drawn_split_is_a_fifth_and_stays_when_images_come(write: Callable[..., Path], tmp_path: Path) -> None:
    rows = [f"{k}.jpg,A{k}" for k in range(300)]
    for k in range(300):
        (tmp_path / "set" / f"{k}.jpg").touch()
    parts = []
    for chosen in (rows, rows[::-2], [f"set/{row}" for row in rows]):
        data = plates(data_path=str(write("file,text", *chosen)))
        parts.append((set(names(data.train)), set(names(data.test))))
        assert len(data.train) + len(data.test) == len(chosen)
        assert f"no column split: {len(data.test)} of {len(chosen)} images are the test part" in data.notes[0]
    assert 40 < len(parts[0][1]) < 80
    assert parts[1][0] < parts[0][0]
    assert parts[1][1] < parts[0][1]
    assert parts[2] == parts[0]


def test_without_a_part_test_that_of_validation_is_tested(write: Callable[..., Path]) -> None:
    data = plates(data_path=str(write(HEADER, "0.jpg,A1,Train", "1.jpg,B2,val")))
    assert (names(data.test), data.notes) == (["1.jpg"], ("no split test: val is the test part",))
    data = plates(data_path=str(write(HEADER, *LINES, "3.jpg,B2,val")))
    assert data.notes == ("split val is not used: valid_fraction holds images out of train",)


def test_all_wrong_lines_are_told_at_once_in_their_order(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write(
        *(HEADER, "0.jpg,AB1,train", "0.jpg,AB2,train", "./0.jpg,AB1,test", "1.jpg,,train", "9.jpg,A,train"),
        *("1.jpg,A1", f"1.jpg,{'A' * 33},train", "1.jpg,A\u00a0B,train", "1.jpg,AB,tset", ",AB,test"),
        *("../secret.jpg,AB,test", "2.jpg,A,test,,", '3.jpg,"A\nB",test'),
    )
    assert refusal(path) == [
        f"{path}: 11 wrong lines:",
        "  line 3: '0.jpg' stands in line 2 too, as 'AB1'",
        "  line 4: './0.jpg' stands in line 2 too",
        "  line 5: no text",
        "  line 6: '9.jpg': no such file",
        "  line 7: 2 fields where the header has 3",
        f"  line 8: text of 33 characters, at most 32 are read: '{'A' * 32}'...",
        "  line 9: text 'A\\xa0B' holds a character that cannot be seen, U+00A0",
        "  line 10: split must be one of train, test, val, valid, validation, got 'tset'",
        "  line 11: no path",
        "  line 12: '../secret.jpg' leaves the folder of the table; data_params: {allow_outside: true} allows it",
        "  line 15: text 'A\\nB' holds a character that cannot be seen, U+000A",
    ]


def test_a_table_that_is_none_is_told(write: Callable[..., Path], tmp_path: Path) -> None:
    for encoding, found in (("latin-1", "line 3: byte 0xc4, invalid"), ("utf-16", "line 1: byte 0xff, invalid start")):
        path = write(HEADER, "0.jpg,AB1,train", "1.jpg,ÄB1,test", encoding=encoding)
        assert refusal(path)[0].startswith(f"{path}: not a CSV file in UTF-8: {found}")
    path = write(HEADER, "0.jpg,AB1,train", "1.jpg,,train", "2.jpg,AB,test")
    good = (path.parent / "0.jpg").read_bytes()
    (path.parent / "0.jpg").write_bytes(b"no image")  # the images of the right lines are checked, too
    lines = refusal(path)
    assert lines[:2] == [f"{path}: 1 wrong line:", "  line 3: no text"]
    assert lines[2] == "of the other lines' 2 images, 1 cannot be used:"
    assert lines[3].startswith(f"  {path.parent / '0.jpg'}: ")
    (path.parent / "0.jpg").write_bytes(good)
    assert "lacks the columns text (found: file, label)" in refusal(write("file,label", "0.jpg,A1"))[0]
    assert refusal(write(HEADER, "0.jpg,A1,train"))[0].endswith(
        "none of its 1 images is of split test; a column split says which"
    )
    assert refusal(write(HEADER, "0.jpg,AA,train", "1.jpg,A,test"))[0].endswith(
        "texts of one character, 'A'; at least 2 are needed"
    )
    (tmp_path / "empty").mkdir()
    assert "holds no labels.csv; expected images and labels.csv with the columns" in refusal(tmp_path / "empty")[0]
    assert "absent.csv: cannot be read: No such file or directory" in refusal(tmp_path / "absent.csv")[0]
    with pytest.raises(ConfigError, match=r"^data_path: missing; dataset plates reads images and labels\.csv"):
        plates()


def test_the_real_sample_is_1000_chinese_plates(sample: Callable[[str], Path]) -> None:
    data = plates(data_path=str(sample("plates") / "plates"))
    assert (len(data.train), len(data.test)) == (788, 212)
    assert data.classes == tuple(character for character in CHINESE if character in data.classes)
    assert len(data.classes) == 45
    assert data.train.labels.shape == (788, 7)
    assert data.train.labels.min() == 0
    assert data.train.size(0) == (24, 94)
    everything = [*texts(data.train, data.classes), *texts(data.test, data.classes)]
    assert sum(text[0] == "皖" for text in everything) == 956
    assert "京PL3N67" in everything

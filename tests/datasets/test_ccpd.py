"""CCPD: names say plates and boxes, lists or folders say parts, what cannot be used is told at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from official_layouts import CCPD_2019, ccpd_name, draw, write_ccpd, write_ccpd_green, write_lines

from datasets import build_dataset
from datasets.base import DataSet, ImageTable
from datasets.sequences import label_in_words
from datasets.sets.ccpd import COUNTS_2019, ccpd, read_name
from datasets.stream.image_stream import ImageStream, Preprocessing
from training.building import prepare
from utils.types import ConfigError, DataError

OFFICIAL = "025-95_113-154&383_386&473-386&473_177&454_154&383_363&402-0_0_22_27_27_33_16-37-15.jpg"
GREEN = "00360785590278-91_265-311&485_406&524-406&524_313&520_311&485_402&489-0_0_3_24_28_24_31_33-117-16.jpg"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_ccpd(tmp_path)


def texts(data: DataSet, table: ImageTable) -> list[str]:
    return [label_in_words(table, row, data.classes) for row in range(len(table))]


def refusal(path: Path, **options: Any) -> list[str]:
    with pytest.raises(DataError) as caught:
        build_dataset("ccpd", data_path=str(path), **options)
    return str(caught.value).splitlines()


def test_names_say_their_plates_and_boxes() -> None:
    assert read_name(OFFICIAL) == ("皖AY339S", (154, 383, 386, 473))
    assert read_name(f"ccpd_green/train/{GREEN}") == ("皖AD04079", (311, 485, 406, 524))
    assert read_name(ccpd_name("33_24_0_33_34_0_34")).text == "A9A"  # the last entry of a table is no character
    assert read_name(ccpd_name("32_23_23_24_33_34_34")).text == "学ZZ09"


def test_official_lists_say_the_parts(root: Path) -> None:
    tested = root / "splits" / "test.txt"
    tested.write_text(f"ccpd_np/1000.jpg\n{tested.read_text()}")  # an image without a plate is left out
    for path in (root, root.parent):
        data = ccpd(data_path=str(path))
        assert data.kind == "sequence"
        assert texts(data, data.train) == ["皖AY339S", "苏DA012B"]
        assert texts(data, data.test) == ["皖ABBBBB", "新Z999", "津ABCDEF"]
    assert len(data.classes) == 67
    assert "".join(data.classes)[:3] + data.classes[-1] == "皖沪津9"
    assert [Path(data.test.name(row)).parent.name for row in range(3)] == ["ccpd_blur", "ccpd_db", "ccpd_blur"]
    assert data.notes == (
        "val is not used: valid_fraction holds images out of train; data_params: {subset: val} tests on it",
        f"1 of 5 boxes reached outside their image and were clipped: ccpd_db/{ccpd_name(*CCPD_2019['test'][1][1:], 1)}",
        "a sample: 2 + 3 of 100,000 + 141,982 images",
    )


def test_boxes_are_of_the_name_and_inside_the_image(root: Path) -> None:
    data = ccpd(data_path=str(root))
    assert data.train.boxes is not None
    assert data.test.boxes is not None
    assert data.train.boxes.tolist() == [[2, 3, 18, 9], [0, 0, 20, 16]]
    assert data.test.boxes.tolist() == [[4, 5, 10, 11], [4, 5, 20, 11], [3, 3, 9, 9]]
    sample = ImageStream(data.test, [0], Preprocessing(size=None, crop=True))[0]
    assert sample.image.shape == (1, 3, 6, 6)


@pytest.mark.parametrize(
    ("subset", "expected"),
    [("val", ["学BCDEFG"]), ("ccpd_blur", ["皖ABBBBB", "津ABCDEF"]), ("ccpd_db", ["新Z999"])],
)
def test_a_subset_is_tested_alone(root: Path, subset: str, expected: list[str]) -> None:
    data = build_dataset("ccpd", data_path=str(root), subset=subset)
    assert texts(data, data.test) == expected
    assert len(data.train) == 2
    assert data.notes[0] == f"tested on {subset}, not on the official test part as a whole"
    assert data.notes[-1] == f"a sample: 2 + {len(expected)} of 100,000 + {COUNTS_2019[subset]:,} images"


def test_the_six_kinds_make_up_the_official_test_part() -> None:
    assert sum(count for name, count in COUNTS_2019.items() if name.startswith("ccpd_")) == COUNTS_2019["test"]


def test_missing_pieces_are_reported(root: Path, tmp_path: Path) -> None:
    empty = "holds no CCPD; expected splits/train.txt and the images"
    (tmp_path / "empty").mkdir()
    assert refusal(tmp_path / "empty")[0].startswith(f"{tmp_path}/empty: {empty}")
    (root / "splits" / "val.txt").unlink()
    assert len(ccpd(data_path=str(root)).test) == 3
    assert "val.txt: cannot be read: No such file or directory" in refusal(root, subset="val")[0]
    green = write_ccpd_green(root.parent)
    assert refusal(root.parent)[0].endswith(f"name one as data_path: {root}, {green}/ccpd_green")
    draw(green / "ccpd_green" / "test" / "a.jpg", 3)
    assert refusal(green)[1:] == ["  test: test/a.jpg: 1 fields between hyphens, expected 7"]
    name = f"ccpd_blur/{ccpd_name('0_0_1_1_1_1_1', '30&5_40&9')}"
    draw(root / name, 3)
    write_lines(root / "splits" / "test.txt", [name])
    area = "boxes without area inside their image:"
    assert refusal(root) == [area, f"  {root / name}: (30, 5, 40, 9) in 20 x 16 pixels"]


def test_a_subset_without_images_and_an_unknown_one_are_refused(root: Path) -> None:
    assert refusal(root, subset="ccpd_fn") == [f"{root}/splits/test.txt: names no image of ccpd_fn"]
    with pytest.raises(ConfigError, match=r"ccpd\.subset: must be 'test', 'val', 'ccpd_blur', .*, got 'blur'"):
        build_dataset("ccpd", subset="blur")


def test_folders_say_the_parts_of_green_plates(tmp_path: Path) -> None:
    root = write_ccpd_green(tmp_path)
    for path in (tmp_path, root, root / "ccpd_green"):
        data = ccpd(data_path=str(path))
        assert texts(data, data.train) == ["皖AD04079", "沪CDEFGHJ", "皖AD04078"]
        assert texts(data, data.test) == ["浙Z987654", "皖AAAAAAA"]
        assert data.train.labels.shape == (3, 8)
    assert data.notes[-1] == "a sample: 3 + 2 of 5,769 + 5,006 images"
    assert texts(data, ccpd(data_path=str(root), subset="val").test) == ["皖BCDEFGH"]
    with pytest.raises(ConfigError, match=r"^data_params\.subset: ccpd_fn is a part of CCPD2019; .* CCPD2020 with"):
        ccpd(data_path=str(root), subset="ccpd_fn")


def test_all_images_that_cannot_be_used_are_told_at_once(root: Path) -> None:
    good = f"ccpd_base/{ccpd_name(*CCPD_2019['train'][0][1:], 0)}"
    lines = {
        good: "stands in splits/train.txt line 1 too",
        "ccpd_blur/1.jpg": "1 fields between hyphens, expected 7",
        f"ccpd_blur/{ccpd_name('0_0_1_1_1_1')}": "plate '0_0_1_1_1_1' must be 7 or 8 numbers between underscores",
        f"ccpd_blur/{ccpd_name('34_0_1_1_1_1_1')}": "plate '34_0_1_1_1_1_1': number 1 must be 0 to 33, got 34",
        f"ccpd_blur/{ccpd_name('0_25_1_1_1_1_1')}": "plate '0_25_1_1_1_1_1': number 2 must be 0 to 24, got 25",
        f"ccpd_blur/{ccpd_name('0_0_1_1_1_1_35')}": "plate '0_0_1_1_1_1_35': number 7 must be 0 to 34, got 35",
        f"ccpd_blur/{ccpd_name('33_24_34_34_34_34_34')}": "plate '33_24_34_34_34_34_34' has no character",
        f"ccpd_blur/{ccpd_name('0_0_1_1_1_1_1', '5&5_5&9')}": "box '5&5_5&9' has no area",
        f"ccpd_blur/{ccpd_name('0_0_1_1_1_1_1', '5&5_9')}": "box '5&5_9' must be x1&y1_x2&y2",
        f"../{ccpd_name('0_0_1_1_1_1_1')}": "leads out of the folder",
        f"ccpd_blur/{ccpd_name('0_0_1_1_1_1_1', number=99)}": "no such file",
    }
    write_lines(root / "splits" / "test.txt", list(lines))
    expected = [f"  splits/test.txt line {n}: {name}: {text}" for n, (name, text) in enumerate(lines.items(), start=1)]
    remedy = "data_params: {skip_bad: true} leaves them out"
    assert refusal(root) == [f"{root}: 11 images cannot be used; {remedy}:", *expected]


def test_wrong_names_are_skipped_and_told_where_that_is_asked_for(root: Path) -> None:
    good = f"ccpd_blur/{ccpd_name(*CCPD_2019['test'][0][1:], 0)}"
    write_lines(root / "splits" / "test.txt", ["ccpd_blur/1.jpg", good, good])
    data = ccpd(data_path=str(root), skip_bad=True)
    assert texts(data, data.test) == ["皖ABBBBB"]
    assert data.notes[-2] == (
        "2 images were skipped (skip_bad): splits/test.txt line 1: ccpd_blur/1.jpg: 1 fields between hyphens, "
        f"expected 7, splits/test.txt line 3: {good}: stands in splits/test.txt line 2 too"
    )
    write_lines(root / "splits" / "test.txt", ["ccpd_blur/1.jpg"])
    assert refusal(root, skip_bad=True)[0] == f"{root}: every image of a part was skipped:"


def test_a_run_on_crops_is_told_that_no_image_loss_judges_texts(quick: Callable, root: Path) -> None:
    config = quick(
        dataset="ccpd",
        data_path=root,
        architecture="lprnet_small",
        convert_to_grayscale="false",
        image_size="[24,94]",
        crop_to_bboxes="all",
        batch_size=2,
    )
    with pytest.raises(ConfigError, match="loss_function: CrossEntropyLoss judges images, ccpd holds sequences"):
        prepare(config)

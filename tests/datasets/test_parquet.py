"""Images in Parquet files: what the rows say arrives, whatever wrote them, and under the limits of any image."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from official_layouts import encoded, write_parquet, write_rows
from PIL import Image

from datasets.data_module import DataModule, common_size
from datasets.readers.images import EncodedImage, check_images, image_size
from datasets.readers.parquet_files import read_part
from datasets.sets.parquet import parquet
from utils.types import ConfigError, DataError


def refusal(folder: Path, **options: str) -> str:
    with pytest.raises(DataError) as caught:
        parquet(data_path=str(folder), **options)
    return str(caught.value)


def shades(table: object) -> list[int]:
    return [int(np.asarray(table.load(row))[0, 0, 0]) for row in range(len(table))]  # type: ignore[attr-defined]


def test_rows_of_all_files_keep_their_order_and_the_classes_theirs(tmp_path: Path) -> None:
    data = parquet(data_path=str(write_parquet(tmp_path)))
    assert data.classes == ("dog", "cat")
    assert shades(data.train) == [0, 10, 20, 30, 40, 50]
    assert data.train.labels.tolist() == [0, 1, 0, 0, 1, 1]
    assert (shades(data.test), data.test.labels.tolist(), data.notes) == ([200, 210], [1, 0], ())
    assert data.train.name(4) == f"{tmp_path}/data/train-00001-of-00002.parquet, row 1"
    assert image_size(data.train.images[0]) == (20, 16)
    copy = pickle.loads(pickle.dumps(data.train.images))  # as worker processes get them
    assert [bytes(image.content) for image in copy] == [bytes(image.content) for image in data.train.images]  # type: ignore


@pytest.mark.parametrize("place", ["{}-00000-of-00001.parquet", "{}.parquet", "{}/0000.parquet", "data/{}-0.parquet"])
def test_the_usual_places_are_found(tmp_path: Path, place: str) -> None:
    for part in ("train", "test"):
        write_rows(tmp_path / place.format(part), [encoded(1), encoded(2)], [0, 1], ["a", "b"])
    assert len(parquet(data_path=str(tmp_path)).train) == 2


def test_labels_as_text_are_sorted_as_a_reader_would(tmp_path: Path) -> None:
    write_rows(tmp_path / "train.parquet", [encoded(1), encoded(2)], ["c 10", "c 9"])
    write_rows(tmp_path / "test.parquet", [encoded(3)], ["c 10"])
    data = parquet(data_path=str(tmp_path))
    assert (data.classes, data.train.labels.tolist(), data.test.labels.tolist()) == (("c 9", "c 10"), [1, 0], [1])
    write_rows(tmp_path / "test.parquet", [encoded(3)], ["c 11"])
    assert "labels that no training image has:\n  c 11" in refusal(tmp_path)
    write_rows(tmp_path / "test.parquet", [encoded(3)], [1])
    assert "labels are numbers in one part and text in another" in refusal(tmp_path)
    pq.write_table(
        pa.table({"image": [encoded(1, "JPEG"), encoded(2, "BMP")], "label": [2, 0]}), tmp_path / "train.parquet"
    )
    data = parquet(data_path=str(tmp_path))  # plain bytes, and numbers without names, which are called by their numbers
    assert [data.train.load(row).size for row in range(2)] == [(20, 16)] * 2
    assert (data.classes, data.train.labels.tolist()) == (("0", "1", "2"), [2, 0])
    assert data.notes == ("the files name no classes: they are called by their numbers",)


def test_columns_that_can_be_meant_are_told_and_chosen(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_rows(tmp_path / f"{part}.parquet", [encoded(1), encoded(2)], [0, 1], image="img", label="fine_label")
        table = pq.read_table(tmp_path / f"{part}.parquet").append_column("coarse_label", pa.array([1, 0]))
        pq.write_table(table, tmp_path / f"{part}.parquet")
    with pytest.raises(ConfigError) as caught:
        parquet(data_path=str(tmp_path))
    assert str(caught.value).startswith("data_params.label_column: missing; ")
    assert str(caught.value).endswith("has several that it can be: fine_label, coarse_label")
    assert parquet(data_path=str(tmp_path), label_column="coarse_label").train.labels.tolist() == [1, 0]
    with pytest.raises(ConfigError, match=r"no such column 'coarse'; did you mean 'coarse_label'\? \(it has: fine"):
        parquet(data_path=str(tmp_path), label_column="coarse")
    with pytest.raises(ConfigError, match=r"data_params.image_column: .*no such column 'x' \(it has: img\)"):
        parquet(data_path=str(tmp_path), image_column="x")


def test_other_parts_and_validation_are_noted(tmp_path: Path) -> None:
    for part in ("train", "validation", "contrast"):
        write_rows(tmp_path / f"{part}-0.parquet", [encoded(1), encoded(2)], [0, 1], ["a", "b"])
    notes = parquet(data_path=str(tmp_path)).notes
    assert notes == ("no part test: validation is the test part", "parts that are not used: contrast")


def test_missing_parts_damaged_files_and_bad_rows_are_told(tmp_path: Path) -> None:
    assert "no files of part train (parts found: none); expected data_path/train-*.parquet" in refusal(tmp_path)
    write_rows(tmp_path / "train.parquet", [encoded(1), encoded(2), None], [0, None, 1], paths=["a", "b", "c.jpg"])
    assert "no files of part test (parts found: train)" in refusal(tmp_path)
    write_rows(tmp_path / "test.parquet", [encoded(1), encoded(2)], [0, 1])
    message = refusal(tmp_path)
    assert "2 rows cannot be used:" in message
    assert "train.parquet, row 2: no image, only its path 'c.jpg'" in message
    assert "train.parquet, row 1: no label" in message
    content = (tmp_path / "test.parquet").read_bytes()
    for damaged in (b"", b"PAR1", content[:-20], content[:200] + bytes(100) + content[300:]):
        (tmp_path / "train.parquet").write_bytes(damaged)
        assert "train.parquet" in refusal(tmp_path)
    write_rows(tmp_path / "train.parquet", [], [])
    assert "train.parquet" in refusal(tmp_path)
    with pytest.raises(ConfigError, match="data_path: missing; dataset parquet reads"):
        parquet()


def test_files_and_parts_that_differ_are_refused(tmp_path: Path) -> None:
    write_rows(tmp_path / "train-0.parquet", [encoded(1)], [0], ["a", "b"])
    write_rows(tmp_path / "train-1.parquet", [encoded(1)], [0], ["b", "a"])
    write_rows(tmp_path / "test-0.parquet", [encoded(1)], [0], ["b", "a"])
    assert "other columns or class names than in:" in refusal(tmp_path)
    (tmp_path / "train-1.parquet").unlink()
    assert "the parts have different class names" in refusal(tmp_path)


def test_metadata_of_another_form_is_no_class_name(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_rows(tmp_path / f"{part}.parquet", [encoded(1), encoded(2)], [0, 1])
        table = pq.read_table(tmp_path / f"{part}.parquet")
        for text in ("no json", "[]", json.dumps({"info": {"features": {"label": ["x"]}}})):
            pq.write_table(table.replace_schema_metadata({"huggingface": text}), tmp_path / f"{part}.parquet")
            assert read_part([tmp_path / f"{part}.parquet"]).names is None


def test_more_images_than_memory_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parquet(tmp_path)
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PHYS_PAGES": 1, "SC_PAGE_SIZE": 100}[name])
    assert "more than this machine's memory of 0.0 GB; write them to files and use dataset: image_folder" in refusal(
        tmp_path
    )


def test_equal_rows_take_memory_whatever_they_take_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in ("train", "test"):
        table = pa.table({"image": [encoded(1)] * 100_000, "label": [0] * 100_000})
        pq.write_table(table, tmp_path / f"{part}.parquet")
        assert (tmp_path / f"{part}.parquet").stat().st_size < 10_000
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PHYS_PAGES": 1_500_000, "SC_PAGE_SIZE": 1}[name])
    assert f"{tmp_path}: 0.0 GB, more than this machine's memory of 0.0 GB; write them" in refusal(tmp_path)


@pytest.mark.parametrize("nested", [False, True])
def test_one_image_in_many_rows_is_refused_before_it_is_unpacked_into_all_of_them(
    nested: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, rows = 10**7, 2_000  # of 10^5 bytes: twenty times the memory
    images = pa.array([bytes(10**5)] * rows)
    column = pa.StructArray.from_arrays([images], ["bytes"]) if nested else images
    pq.write_table(pa.table({"image": column, "label": [0] * rows}), tmp_path / "train.parquet")
    del images, column
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PHYS_PAGES": memory, "SC_PAGE_SIZE": 1}[name])
    before, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
    pa.set_memory_pool(pool)
    try:
        with pytest.raises(DataError, match=r"0\.0 GB, more than this machine's memory of 0\.0 GB; write"):
            read_part([tmp_path / "train.parquet"])
    finally:
        pa.set_memory_pool(before)
    assert pool.max_memory() < 1.5 * memory


def test_bad_images_are_told_by_file_and_row_and_a_good_check_is_remembered(tmp_path: Path, cache: Path) -> None:
    write_parquet(tmp_path)
    good = parquet(data_path=str(tmp_path))
    check_images(good.train.images)  # type: ignore[arg-type]
    assert len(list((cache / "lossbench" / "checked").iterdir())) == 1
    noise = encoded(0, size=(200, 200))
    write_rows(
        tmp_path / "data" / "test-00000-of-00001.parquet", [noise[:-30], b"", b"text"], [0, 1, 0], ["dog", "cat"]
    )
    bad = parquet(data_path=str(tmp_path)).test
    with pytest.raises(DataError) as caught:
        check_images(bad.images)  # type: ignore[arg-type]
    lines = str(caught.value).splitlines()
    assert lines[0] == "3 of 3 images cannot be used:"
    assert [line.partition(", row ")[2][:9] for line in lines[1:4]] == ["0: damage", "1: the fi", "2: damage"]


def test_the_pixel_limit_holds_for_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    image = EncodedImage(Path("x.parquet"), 3, encoded(1))
    with pytest.raises(DataError, match=r"x\.parquet, row 3: .*more than the 300 pixels allowed"):
        image_size(image)


def test_a_run_reads_and_identifies_them_like_files(tmp_path: Path, quick: Callable) -> None:
    config = quick(dataset="parquet", convert_to_grayscale="false", valid_fraction=0.4)
    one = parquet(data_path=str(write_parquet(tmp_path / "one")))
    module = DataModule(config, one, common_size(config, one))
    module.check()
    assert module.image_size == (16, 20)
    assert len(next(iter(module.val_dataloader())).target) == len(module.valid_rows) == 2
    other = parquet(data_path=str(write_parquet(tmp_path / "other")))
    assert DataModule(config, other, (16, 20)).fingerprint == module.fingerprint
    write_rows(tmp_path / "other" / "data" / "test-00000-of-00001.parquet", [encoded(9)], [0], ["dog", "cat"])
    assert DataModule(config, parquet(data_path=str(tmp_path / "other")), (16, 20)).fingerprint != module.fingerprint

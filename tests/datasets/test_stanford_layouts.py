"""Class folders and Parquet files of Stanford Cars: the same set as the official layouts give, by names alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from official_layouts import CARS, NAMES, draw, write_devkit, write_newer, write_rows
from scipy.io import loadmat

from datasets.base import DataSet
from datasets.sets.stanford.preparation import Prepared, prepare_stanford
from datasets.sets.stanford.source import PUBLISHED_NAMES, labels_of, plain
from datasets.sets.stanford_cars import stanford_cars
from utils.types import DataError

PUBLISHED = PUBLISHED_NAMES.read_text(encoding="utf-8").splitlines()
RAM = "Ram C/V Cargo Van Minivan 2012"


def prepare(source: Path, dest: Path, said: list[str] | None = None) -> Prepared:
    return prepare_stanford(source, dest, allow_partial=True, say=(said if said is not None else []).append)


def refusal(source: Path, dest: Path) -> str:
    with pytest.raises(DataError) as caught:
        prepare(source, dest)
    assert not dest.exists()
    return str(caught.value)


def by_content(data: DataSet, boxes: bool) -> set[tuple]:
    """Return what a data set says of each file, by its content: part, class and, if wanted, box."""
    found = set()
    for name, part in (("train", data.train), ("test", data.test)):
        for row in range(len(part)):
            content = hashlib.sha256(Path(part.name(row)).read_bytes()).hexdigest()
            box = part.boxes[row].tolist() if boxes and part.boxes is not None else []
            found.add((content, name, data.classes[part.labels[row]], *box))
    return found


def write_folders(root: Path, folder_of: Callable[[str], str] = str.upper, restart: bool = False) -> Path:
    """Class folders; numbers run through both parts, or restart in each folder."""
    write_devkit(root / "devkit")
    for number, car in enumerate(CARS, start=1):
        folder = root / car.part / folder_of(NAMES[car.label - 1])
        draw(folder / f"{1 if restart else number:06d}.jpg", car.shade)
    return root


def write_folders_with_csv(root: Path, first: int = 1, header: bool = False) -> Path:
    """The names stand in the alphabet's order, so that numbers differ from the devkit's."""
    write_devkit(root / "devkit")
    names = sorted(NAMES)
    (root / "names.csv").write_text("\n".join(names), encoding="utf-8")
    for part in ("train", "test"):
        lines = ["file,x1,y1,x2,y2,class"] if header else []
        for number, car in enumerate((car for car in CARS if car.part == part), start=1):
            name = NAMES[car.label - 1]
            draw(root / "car_data" / "car_data" / part / name / f"{number:05d}.jpg", car.shade)
            lines.append(",".join(map(str, (f"{number:05d}.jpg", *car.box, names.index(name) + first))))
        (root / f"anno_{part}.csv").write_text("\n".join(lines), encoding="utf-8")
    return root


def write_parquet(root: Path, names: list[str] | None = NAMES, text: bool = False, paths: bool = False) -> Path:
    write_devkit(root / "devkit")
    for part in ("train", "test"):
        cars = [car for car in CARS if car.part == part]
        contents = []
        for car in cars:
            draw(root / "x.jpg", car.shade)
            contents.append((root / "x.jpg").read_bytes())
        (root / "x.jpg").unlink()
        of = names or NAMES
        labels: list = [NAMES[car.label - 1].lower() if text else of.index(NAMES[car.label - 1]) for car in cars]
        files = [f"{10 * k:06d}.jpg" for k in range(len(cars))] if paths else None
        write_rows(
            root / "data" / f"{part}-00000-of-00001.parquet", contents, labels, None if text else names, paths=files
        )
    return root


WRITERS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "folders": ("class folders", write_folders),
    "folders, numbers restart": ("class folders", lambda root: write_folders(root, restart=True)),
    "folders with csv": ("class folders with boxes", write_folders_with_csv),
    "folders with csv from 0": ("class folders with boxes", lambda root: write_folders_with_csv(root, first=0)),
    "parquet": ("parquet", write_parquet),
    "parquet, another order": ("parquet", lambda root: write_parquet(root, sorted(NAMES))),
    "parquet, numbers only": ("parquet", lambda root: write_parquet(root, None)),
    "parquet, text": ("parquet", lambda root: write_parquet(root, text=True)),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_every_layout_gives_the_set_of_the_official_one(tmp_path: Path, kind: str) -> None:
    layout, write = WRITERS[kind]
    said: list[str] = []
    done = prepare(write(tmp_path / "raw"), tmp_path / "cars", said)
    assert (done.layout, done.counts) == (layout, {"train": 4, "test": 2})
    assert said[0] == f"{tmp_path / 'raw'}: the {layout} layout"
    prepare(write_newer(tmp_path / "official"), tmp_path / "other")
    one, other = (stanford_cars(data_path=str(tmp_path / name)) for name in ("cars", "other"))
    assert one.classes == other.classes == tuple(NAMES)
    has_boxes = layout == "class folders with boxes"
    assert (one.train.boxes is not None) == (one.test.boxes is not None) == has_boxes
    assert ("boxes: none in this layout" in said) != has_boxes
    assert by_content(one, has_boxes) == by_content(other, has_boxes)
    assert prepare(tmp_path / "raw", tmp_path / "cars") == Prepared(layout, True, done.counts, new=False)


def test_names_of_images_are_kept_where_the_files_say_them(tmp_path: Path) -> None:
    prepare(write_parquet(tmp_path / "raw", paths=True), tmp_path / "cars")
    assert sorted(path.name for path in (tmp_path / "cars" / "test").iterdir()) == ["000000.jpg", "000010.jpg"]


def test_the_one_folder_in_a_folder_is_looked_into(tmp_path: Path) -> None:
    write_folders(tmp_path / "raw" / "download" / "stanford_cars")
    assert prepare(tmp_path / "raw", tmp_path / "cars").layout == "class folders"


@pytest.mark.parametrize("folder", ["Ram C-V Cargo Van Minivan 2012", "ram_c_v_cargo_van_minivan_2012", RAM])
def test_a_name_with_a_slash_is_met_however_it_was_unpacked(tmp_path: Path, folder: str) -> None:
    for k, part in enumerate(("train", "test")):
        draw(tmp_path / "raw" / part / folder / "1.jpg", 9 * k)
        draw(tmp_path / "raw" / part / "AM General Hummer SUV 2000" / "2.jpg", 90 * k)
    said: list[str] = []
    prepare(tmp_path / "raw", tmp_path / "cars", said)
    data = stanford_cars(data_path=str(tmp_path / "cars"))
    assert [data.classes[label] for label in data.train.labels] == [RAM, "AM General Hummer SUV 2000"]
    assert "class names in the devkit's order: as published" in said
    if folder != RAM:
        assert f"train: 1 classes are spelled differently:\n  {folder} for {RAM}" in said


def test_unknown_and_doubled_names_are_refused(tmp_path: Path) -> None:
    source = write_folders(tmp_path / "raw", str)
    draw(source / "train" / "Make Modell 120 2012" / "1.jpg", 3)
    message = refusal(source, tmp_path / "cars")
    assert "train: class names that are not Stanford Cars':\n  'Make Modell 120 2012' is no class; did" in message
    (source / "train" / "Make Modell 120 2012").rename(source / "train" / "make model 120_2012")
    assert "train: several names of one class:\n  Make Model 120 2012\n  make model 120_2012" in refusal(
        source, tmp_path / "cars"
    )


def test_folders_and_anno_files_that_disagree_are_refused(tmp_path: Path) -> None:
    source = write_folders_with_csv(tmp_path / "raw")
    part = source / "car_data" / "car_data" / "test"
    (part / NAMES[0]).rename(part / NAMES[5])
    message = refusal(source, tmp_path / "cars")
    assert "anno files do not fit the folders" in message
    assert f"test: 00001.jpg: {NAMES[0]}, but in {NAMES[5]}/" in message


def test_wrong_lines_of_anno_files_are_listed(tmp_path: Path) -> None:
    source = write_folders_with_csv(tmp_path / "raw", header=True)
    assert "anno_train.csv: wrong lines:\n  line 1: not a file name, a box and a class: file, x1" in refusal(
        source, tmp_path / "cars"
    )
    (source / "anno_train.csv").write_text("00001.jpg,1,1,9,9,1\n00001.jpg,1,1,9,9,1\n00002.jpg,1,1,9\n")
    message = refusal(source, tmp_path / "cars")
    assert "  line 3: not a file name, a box and a class: 00002.jpg, 1, 1, 9\n  00001.jpg stands in it more" in message
    source = write_folders_with_csv(tmp_path / "other")
    (source / "anno_train.csv").write_text("00001.jpg,1,1,9,9,197\n")
    assert "train: 00001.jpg: class 197 is none of the 196 of names.csv" in refusal(source, tmp_path / "cars")


def test_missing_pieces_and_pieces_of_several_layouts_are_refused(tmp_path: Path) -> None:
    for missing in ("names.csv", "anno_test.csv"):
        source = write_folders_with_csv(tmp_path / missing)
        (source / missing).unlink()
        assert f"{missing} is missing; expected one of" in refusal(source, tmp_path / "cars")
    source = write_newer(tmp_path / "raw")
    write_folders_with_csv(source)
    assert (
        "mixes both layouts, cars_train, cars_test of the newer and anno_train.csv, anno_test.csv of the class"
        in refusal(source, tmp_path / "cars")
    )


def test_a_prepared_folder_is_no_source(tmp_path: Path) -> None:
    prepare(write_folders(tmp_path / "raw"), tmp_path / "cars")
    assert "expected one of these layouts" in refusal(tmp_path / "cars", tmp_path / "again")


def test_boxes_of_some_rows_only_are_refused(tmp_path: Path) -> None:
    prepare(write_newer(tmp_path / "raw"), tmp_path / "cars")
    path = tmp_path / "cars" / "train_labels.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    name, label, *_, class_name = lines[1].split(",")
    path.write_text("\n".join([lines[0], f"{name},{label},,,,,{class_name}", *lines[2:]]), encoding="utf-8")
    with pytest.raises(DataError, match=f"{name}: no box, where others have one"):
        stanford_cars(data_path=str(tmp_path / "cars"))


def test_the_published_names_are_196_that_stay_different_when_plain() -> None:
    assert len(PUBLISHED) == len({plain(name) for name in PUBLISHED}) == 196
    found = labels_of("x", [name.lower().replace("/", "-") for name in PUBLISHED], PUBLISHED, lambda line: None)
    assert list(found.values()) == list(range(1, 197))
    assert (PUBLISHED[0], PUBLISHED[13], PUBLISHED[195]) == (
        "AM General Hummer SUV 2000",
        "Audi TTS Coupe 2012",
        "smart fortwo Convertible 2012",
    )


@pytest.mark.torture
def test_the_real_sample_is_the_same_in_three_layouts(tmp_path: Path, sample: Callable[[str], Path]) -> None:
    newer = sample("stanford_cars") / "stanford_cars"
    meta = loadmat(newer / "devkit" / "cars_meta.mat", squeeze_me=True)
    assert [str(name).strip() for name in meta["class_names"]] == PUBLISHED
    sources = {"newer": newer, "older": sample("stanford_raw") / "stanford_raw", "folders": tmp_path / "raw"}
    held = {}
    for layout, source in sources.items():
        assert prepare(source, tmp_path / layout).counts == {"train": 1_372, "test": 588}
        data = stanford_cars(data_path=str(tmp_path / layout))
        held[layout] = by_content(data, boxes=layout != "folders")
        assert data.classes == tuple(PUBLISHED)
        assert set(data.train.labels) == set(range(196))
        if layout == "newer":
            without_boxes = by_content(data, boxes=False)
            for part, table in (("train", data.train), ("test", data.test)):
                for row, path in enumerate(map(Path, map(str, table.images))):
                    folder = tmp_path / "raw" / part / data.classes[table.labels[row]].replace("/", "-")
                    folder.mkdir(parents=True, exist_ok=True)
                    (folder / path.name).hardlink_to(path)
    assert held["newer"] == held["older"]
    assert held["folders"] == without_boxes

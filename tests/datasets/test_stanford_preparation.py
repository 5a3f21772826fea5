from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from official_layouts import (
    CARS,
    NAMES,
    NUM_TEST,
    NUM_TRAIN,
    Car,
    annotation_table,
    class_names,
    draw,
    pack,
    write_devkit,
    write_newer,
    write_older,
)
from PIL import Image
from scipy.io import loadmat, savemat

import prepare_stanford_dataset
from datasets.sets.stanford.preparation import Prepared, prepare_stanford
from datasets.sets.stanford_cars import COLUMNS, OFFICIAL_COUNTS, stanford_cars
from utils.types import DataError

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "prepare_stanford_dataset.py"


def prepare(source: Path, dest: Path, **options: bool) -> Prepared:
    return prepare_stanford(source, dest, say=lambda line: None, **{"allow_partial": True, **options})


def refusal(source: Path, dest: Path, **options: bool) -> str:
    """Return why a preparation is refused, and hold that it left nothing behind."""
    before = sorted(dest.parent.iterdir())
    with pytest.raises(DataError) as caught:
        prepare(source, dest, **options)
    assert sorted(dest.parent.iterdir()) == before
    return str(caught.value)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    """An empty folder: one is used as if it was not there."""
    (tmp_path / "input" / "stanford").mkdir(parents=True)
    return tmp_path / "input" / "stanford"


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tiny set pass for the full one."""
    monkeypatch.setitem(OFFICIAL_COUNTS, "train", NUM_TRAIN)
    monkeypatch.setitem(OFFICIAL_COUNTS, "test", NUM_TEST)


@pytest.mark.parametrize("kind", ["folders", "gztar", "zip", "nested", "labels in the devkit", "no devkit"])
def test_every_image_keeps_its_class_and_box_in_both_layouts_and_their_archives(tmp_path: Path, kind: str) -> None:
    (tmp_path / "input").mkdir()
    newer = write_newer(
        tmp_path / "new", nested=kind == "nested", labels_in="devkit" if kind == "labels in the devkit" else "."
    )
    older = write_older(tmp_path / "old")
    if kind in ("gztar", "zip"):
        ending = ".tgz" if kind == "gztar" else ".zip"
        for root, names in ((newer, ("cars_train", "cars_test", "devkit")), (older, ("car_ims", "devkit"))):
            for name in names:
                pack(root, name, name.replace("devkit", "car_devkit") + ending, kind)
    if kind == "no devkit":  # which only the newer layout needs
        shutil.rmtree(older / "devkit")
    assert prepare(newer, tmp_path / "input" / "new").layout == "newer"
    assert prepare(older, tmp_path / "input" / "old").layout == "older"
    expected = {(car.part, car.label - 1, (car.box[0] - 1, car.box[1] - 1, *car.box[2:]), car.shade) for car in CARS}
    for name in ("new", "old"):
        data, found = stanford_cars(data_path=str(tmp_path / "input" / name)), set()
        assert data.classes == tuple(NAMES)
        for part, table in (("train", data.train), ("test", data.test)):
            assert table.boxes is not None
            for row in range(len(table)):
                shade = int(np.asarray(table.load(row))[8, 8, 0])
                nearest = min((car.shade for car in CARS), key=lambda each: abs(each - shade))
                found.add((part, int(table.labels[row]), tuple(table.boxes[row].tolist()), nearest))
        assert found == expected
    assert sorted(path.name for path in (tmp_path / "input").iterdir()) == ["new", "old"]


def test_the_files_have_the_columns_and_values_as_published(tmp_path: Path, dest: Path) -> None:
    prepare(write_older(tmp_path / "raw"), dest)
    with (dest / "train_labels.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == COLUMNS
    assert rows[0] == ["000001.jpg", "196", "1", "1", "20", "16", NAMES[195]]
    assert [row[0] for row in rows] == ["000001.jpg", "000003.jpg", "000004.jpg", "000006.jpg"]
    assert (dest / "classes.txt").read_text(encoding="utf-8").splitlines() == NAMES
    images = tree(tmp_path / "raw" / "car_ims")
    assert tree(dest / "test") == {name: images[name] for name in ("000002.jpg", "000005.jpg")}


def test_the_manifest_names_the_layout_the_counts_and_every_file(tmp_path: Path, dest: Path) -> None:
    source = write_newer(tmp_path / "raw")
    before = tree(source)
    prepare(source, dest)
    assert tree(source) == before
    manifest = json.loads((dest / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["layout"], manifest["partial"]) == ("newer", True)
    assert manifest["counts"] == {"train": NUM_TRAIN, "test": NUM_TEST, "classes": 196}
    expected = {name: hashlib.sha256(content).hexdigest() for name, content in tree(dest).items()}
    del expected["manifest.json"]
    assert manifest["sha256"] == expected


@pytest.mark.usefixtures("full")
def test_the_full_set_needs_no_permission_and_is_not_called_partial(tmp_path: Path, dest: Path) -> None:
    done = prepare(write_newer(tmp_path / "raw"), dest, allow_partial=False)
    assert done == Prepared("newer", False, {"train": NUM_TRAIN, "test": NUM_TEST}, new=True)
    assert stanford_cars(data_path=str(dest)).notes == ()


def test_a_sample_is_refused_unless_allowed(tmp_path: Path, dest: Path) -> None:
    message = refusal(write_newer(tmp_path / "raw"), dest, allow_partial=False)
    assert message.startswith("4 + 2 images with annotations, but the full set has 8,144 + 8,041.")
    assert "--allow-partial" in message


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("write", [write_older, write_newer])
def test_images_and_annotations_without_each_other_are_listed(
    tmp_path: Path, dest: Path, write: Callable[[Path], Path]
) -> None:
    source = write(tmp_path / "raw")
    folder, name = ("car_ims", "000003.jpg") if write is write_older else ("cars_train", "00003.jpg")
    (source / folder / name).unlink()
    draw(source / folder / "extra.jpg", 5)
    message = refusal(source, dest, allow_partial=False)
    assert f"2 do not fit:\n  train: {name}: no image\n  {folder}/extra.jpg: no annotation\n" in message
    said: list[str] = []
    done = prepare_stanford(source, dest, allow_partial=True, say=said.append)
    assert done.counts == {"train": NUM_TRAIN - 1, "test": NUM_TEST}
    assert f"left out 2:\n  train: {name}: no image\n  {folder}/extra.jpg: no annotation" in said
    assert name not in os.listdir(dest / "train")
    assert "extra.jpg" not in os.listdir(dest / "train")


@pytest.mark.parametrize("piece", ["car_ims", "car_ims.tgz", "cars_annos.mat"])
def test_a_mixture_of_both_layouts_is_refused(tmp_path: Path, dest: Path, piece: str) -> None:
    source = write_newer(tmp_path / "raw")
    older = write_older(tmp_path / "old")
    if piece == "car_ims.tgz":
        pack(older, "car_ims", piece)
    (older / piece).rename(source / piece)
    message = refusal(source, dest)
    assert f"mixes both layouts, {piece} of the older and cars_train, cars_test of the newer." in message
    assert "numbered differently, so labels of one on images of the other would be wrong" in message


def without(piece: str) -> Callable[[Path], object]:
    def remove(source: Path) -> None:
        shutil.rmtree(source / piece) if (source / piece).is_dir() else (source / piece).unlink()

    return remove


def with_annotations(**variables: object) -> Callable[[Path], object]:
    return lambda source: savemat(source / "cars_annos.mat", variables)


def image(content: bytes) -> Callable[[Path], object]:
    return lambda source: (source / "cars_train" / "00002.jpg").write_bytes(content)


def with_car(car: Car) -> Callable[[Path], object]:
    return lambda source: write_older(source, [*CARS, car])


def with_images_of_the_other_layout(source: Path) -> None:
    shutil.rmtree(source / "car_ims")
    (write_newer(source.parent / "new") / "cars_train").rename(source / "car_ims")


def with_an_image_twice(source: Path) -> None:
    path = source / "cars_test_annos_withlabels.mat"
    content = loadmat(path)["annotations"]
    savemat(path, {"annotations": np.concatenate([content, content[:, :1]], axis=1)})


def with_an_image_cut_off(source: Path) -> None:
    path = source / "cars_train" / "00002.jpg"
    Image.effect_noise((100, 100), 90).save(path)
    path.write_bytes(path.read_bytes()[:-500])


def with_a_damaged_archive(source: Path) -> None:
    pack(source, "cars_test", "cars_test.tgz")
    path = source / "cars_test.tgz"
    path.write_bytes(path.read_bytes()[:-300])


OLDER: list[tuple[Callable[[Path], object], str]] = [
    (without("car_ims"), "car_ims is missing; expected one of these layouts"),
    (without("cars_annos.mat"), "cars_annos.mat is missing; expected"),
    (
        lambda raw: write_devkit(raw / "devkit", sorted(NAMES)),
        "class 1 is 'Make Model 196 2012', but",
    ),
    (with_images_of_the_other_layout, "0 + 0 images with annotations: nothing to train or to test on"),
    (with_car(Car("train", 0, (1, 1, 9, 9), 1)), "000007.jpg: class 0 is outside 1..196"),
    (with_car(Car("test", 197, (1, 1, 9, 9), 1)), "000007.jpg: class 197 is outside 1..196"),
    (with_car(Car("test", 5, (9, 1, 3, 9), 1)), "test/000007.jpg: (9, 1, 3, 9) in 20 x 16 pixels"),
    (with_annotations(other=[1]), "cars_annos.mat: lacks annotations, class_names (found: other)"),
    (with_annotations(annotations=[1], class_names=class_names(NAMES)), "annotations lack the field"),
    (
        with_annotations(annotations=annotation_table([{"fname": "1.jpg"}]), class_names=class_names(NAMES)),
        "(found: fname)",
    ),
]
NEWER: list[tuple[Callable[[Path], object], str]] = [
    *((without(part), f"{part} is missing; expected") for part in ("cars_train", "cars_test")),
    (without("devkit"), "devkit or car_devkit is missing; expected"),
    *((without(f"devkit/{name}"), f"{name} is missing") for name in ("cars_meta.mat", "cars_train_annos.mat")),
    (without("cars_test_annos_withlabels.mat"), "withlabels.mat is missing, here and in the devkit; the devkit's"),
    (lambda raw: write_devkit(raw / "devkit", NAMES[:190]), "expected 196 different class names, found 190"),
    (with_an_image_twice, "00001.jpg stands in it more than once"),
    (image(b""), "train/00002.jpg: the file is empty"),
    (image(b"8BPS" + bytes(40)), "train/00002.jpg: damaged, or not one of JPEG"),
    (with_an_image_cut_off, "train/00002.jpg: damaged: image file is trunc"),
    (with_a_damaged_archive, "cars_test.tgz: damaged"),
]


@pytest.mark.parametrize(
    ("write", "damage", "message"),
    [*((write_older, *case) for case in OLDER), *((write_newer, *case) for case in NEWER)],
)
def test_faults_are_named_and_nothing_is_left_behind(tmp_path: Path, dest: Path, write, damage, message: str) -> None:
    source = write(tmp_path / "raw")
    damage(source)
    assert message in refusal(source, dest)


def test_other_folders_are_refused_with_what_is_expected(tmp_path: Path, dest: Path) -> None:
    (tmp_path / "raw").mkdir()
    assert "raw: holds nothing; expected one of these layouts" in refusal(tmp_path / "raw", dest)
    (tmp_path / "raw" / "holiday.jpg").write_text("")
    assert "raw: holds holiday.jpg; expected" in refusal(tmp_path / "raw", dest)
    assert "nowhere: no such folder; expected" in refusal(tmp_path / "nowhere", dest)
    assert "holiday.jpg: no such folder; expected" in refusal(tmp_path / "raw" / "holiday.jpg", dest)


def test_a_box_outside_its_image_is_kept_in_the_files_and_noted(tmp_path: Path, dest: Path) -> None:
    done = prepare(write_older(tmp_path / "raw", [*CARS, Car("test", 5, (1, 1, 25, 9), 1)]), dest)
    assert "000007.jpg,5,1,1,25,9," in (dest / "test_labels.csv").read_text(encoding="utf-8")
    assert done.notes[1] == "1 of 7 boxes reached outside their image and were clipped: test/000007.jpg"


def test_a_second_run_verifies_and_changes_nothing(tmp_path: Path, dest: Path) -> None:
    source = write_newer(tmp_path / "raw")
    prepare(source, dest)
    before = {name: (dest / name).stat().st_mtime_ns for name in tree(dest)}
    shutil.rmtree(source)
    again = prepare(source, dest)
    assert again == Prepared("newer", True, {"train": NUM_TRAIN, "test": NUM_TEST}, new=False)
    assert {name: (dest / name).stat().st_mtime_ns for name in tree(dest)} == before


def test_a_second_run_lists_what_changed_since(tmp_path: Path, dest: Path) -> None:
    source = write_newer(tmp_path / "raw")
    prepare(source, dest)
    (dest / "train" / "00001.jpg").write_bytes(b"x")
    (dest / "test" / "00002.jpg").unlink()
    draw(dest / "test" / "new.jpg", 3)
    message = refusal(source, dest)
    assert "3 files are not as they were written:" in message
    for line in ("train/00001.jpg: changed", "test/00002.jpg: missing", "test/new.jpg: not in the manifest"):
        assert f"\n  {line}" in message


def test_a_folder_that_holds_something_else_is_refused_and_kept(tmp_path: Path, dest: Path) -> None:
    source = write_newer(tmp_path / "raw")
    (dest / "thesis.tex").write_text("years of work")
    assert "not empty and not written by this script (holds thesis.tex)" in refusal(source, dest)
    assert (dest / "thesis.tex").read_text() == "years of work"
    assert "not empty and not written by this script" in refusal(source, source)
    (tmp_path / "input" / "file").write_text("")
    assert "file: is a file; name a folder to write" in refusal(source, tmp_path / "input" / "file")


def test_a_folder_that_is_not_as_prepared_is_refused(tmp_path: Path, dest: Path) -> None:
    source = write_newer(tmp_path / "raw")
    prepare(source, dest)
    message = refusal(source, dest, allow_partial=False)
    assert "holds a sample of 4 + 2 images; remove it to prepare the full set" in message
    (dest / "manifest.json").write_text('{"layout": "newer"}')
    assert "manifest.json: damaged: 'partial'; remove" in refusal(source, dest)
    (dest / "manifest.json").unlink()  # as older preparations have none
    assert "it can be trained on as it is" in refusal(source, dest)


def test_a_failure_on_the_way_leaves_nothing(tmp_path: Path, dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*arguments: object) -> None:
        raise OSError(28, "No space left on device", str(dest))

    monkeypatch.setattr("shutil.copyfile", full_disk)
    assert refusal(write_newer(tmp_path / "raw"), dest) == f"{dest}: No space left on device"


def test_a_killed_run_starts_over_without_mixing(tmp_path: Path, dest: Path) -> None:
    source = write_older(tmp_path / "raw", [CARS[k % 6] for k in range(600)])
    command = [sys.executable, SCRIPT, "--source", source, "--dest", dest, "--allow-partial"]
    unfinished = dest.with_name(".stanford.unfinished")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not (unfinished / "prepared" / "train").is_dir():
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    assert unfinished.is_dir()
    assert list(dest.iterdir()) == []
    (unfinished / "prepared" / "train").mkdir(exist_ok=True)
    (unfinished / "prepared" / "train" / "foreign.jpg").write_text("")
    said: list[str] = []
    done = prepare_stanford(source, dest, allow_partial=True, say=said.append)
    assert f"{unfinished}: left by an interrupted run; starting over" in said
    assert done.counts == {"train": 400, "test": 200}
    assert len(list((dest / "train").iterdir())) == 400
    assert not unfinished.exists()


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Run the script in this process; return its status and what it wrote."""
    try:
        status = prepare_stanford_dataset.main([*map(str, arguments)])
    except SystemExit as ended:
        status = int(ended.code or 0)
    output = capsys.readouterr()
    return status, output.out + output.err


def test_the_script_reads_its_folders_from_the_configuration(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_newer(tmp_path / "raw")
    (tmp_path / "config.yml").write_text("stanford_raw_data_path: raw\nstanford_data_path: prepared\n")
    status, output = run(capsys, "--allow-partial")
    assert (status, output.splitlines()[-1]) == (0, "prepared: prepared: a sample, 4 + 2 images, newer layout")
    _, output = run(capsys, "--allow-partial")
    assert "prepared: was prepared before and is intact, nothing to do: a sample" in output
    assert run(capsys, "config.yml", "stanford_data_path=other", "--allow-partial")[0] == 0
    assert (tmp_path / "other" / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "stanford_raw_data_path: not set; name the folder of the published files, or give --source"),
        (["--source", "nowhere", "--dest", "x"], "nowhere: no such folder"),
        (["nowhere.yml"], "nowhere.yml: no such file"),
        (["stanford_data_pth=x", "--source", "raw"], "stanford_data_pth: unknown key; did you mean"),
        (["a.yml", "b.yml"], "one configuration file at most, got a.yml b.yml"),
        (["--allow-partal"], "unrecognized arguments: --allow-partal"),
    ],
)
def test_the_scripts_refusals_are_messages_with_status_2(
    tmp_path: Path, capsys, monkeypatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    status, output = run(capsys, *arguments)
    assert status == 2
    assert message in output
    assert list(tmp_path.iterdir()) == []


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", SCRIPT, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "--allow-partial" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "argparse" in imported
    assert not {"numpy", "PIL", "scipy", "torch", "yaml", "msgspec"} & imported

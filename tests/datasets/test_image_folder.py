from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from official_layouts import draw

from datasets.audit import audit
from datasets.sets.image_folder import image_folder
from utils.types import ConfigError, DataError


def write(root: Path, *names: str) -> Path:
    for k, name in enumerate(names):
        draw(root / name, 10 * k)
    return root


def relative(root: Path, images: object) -> list[str]:
    return [str(Path(path).relative_to(root)) for path in images]  # type: ignore[attr-defined]


def test_classes_and_images_are_sorted_by_name(tmp_path: Path) -> None:
    names = ["train/b/2.jpg", "train/b/10.jpg", "train/a/x.jpg", "train/C/1.jpg", "test/b/1.jpg", "test/a/1.jpg"]
    data = image_folder(data_path=str(write(tmp_path, *names)))
    assert data.classes == ("C", "a", "b")
    assert relative(tmp_path, data.train.images) == [
        "train/C/1.jpg",
        "train/a/x.jpg",
        "train/b/10.jpg",
        "train/b/2.jpg",
    ]
    assert data.train.labels.tolist() == [0, 1, 2, 2]
    assert data.test.labels.tolist() == [1, 2]
    assert audit(data) == ("1 class has no test image: C",)


def test_endings_count_in_capitals_too_and_strays_earn_a_note(tmp_path: Path) -> None:
    write(tmp_path, "train/a/1.JPG", "train/a/2.Jpeg", "train/b/1.PNG", "test/a/1.WebP", "test/b/1.bmp")
    for name in ("train/a/notes.txt", "train/a/.DS_Store", "train/readme.md", "train/b/Thumbs.db", "train/b/.x.jpg"):
        (tmp_path / name).write_text("")
    (tmp_path / "train" / "a" / "deeper.jpg").mkdir()
    data = image_folder(data_path=str(tmp_path))
    assert relative(tmp_path, data.train.images) == ["train/a/1.JPG", "train/a/2.Jpeg", "train/b/1.PNG"]
    assert len(data.test) == 2
    assert data.notes == ("3 files ignored: train/a/deeper.jpg, train/a/notes.txt, train/readme.md",)


@pytest.mark.parametrize("name", ["val", "valid"])
def test_validation_images_are_the_test_part_where_there_is_no_test(tmp_path: Path, name: str) -> None:
    write(tmp_path, "train/a/1.jpg", "train/b/1.jpg", f"{name}/a/1.jpg", f"{name}/b/1.jpg")
    data = image_folder(data_path=str(tmp_path))
    assert relative(tmp_path, data.test.images) == [f"{name}/a/1.jpg", f"{name}/b/1.jpg"]
    assert data.notes == (f"no folder test: {name} is the test part",)
    write(tmp_path, "test/a/1.jpg", "test/b/1.jpg")
    assert relative(tmp_path, image_folder(data_path=str(tmp_path)).test.images) == ["test/a/1.jpg", "test/b/1.jpg"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no folder train; expected data_path/train/<class>/<image> and data_path/test/<class>/<image>"),
        (["a/1.jpg", "b/1.jpg"], "no folder train; expected"),
        (["train/a/1.jpg", "train/b/1.jpg"], "no folder test; expected"),
        (["train/a/1.jpg", "train/b/1.jpg", "test/c/1.jpg", "test/d/1.jpg"], "classes that train lacks:\n  c\n  d"),
        (["train/a/1.jpg", "test/a/1.jpg"], "train: 1 class folders, at least 2 are needed"),
        (["train/1.jpg", "test/1.jpg"], "train: 0 class folders, at least 2 are needed"),
        (["train/a/1.jpg", "train/b/1.jpg", "test/1.jpg"], "test: no images; expected"),
        (["train/a/1.jpg", "train/b/c/1.jpg", "test/a/1.jpg"], "classes without images:\n  b\nExpected"),
    ],
)
def test_another_layout_is_told_with_the_one_expected(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(DataError) as caught:
        image_folder(data_path=str(write(tmp_path, *names)))
    assert message in str(caught.value)
    with pytest.raises(ConfigError, match="data_path: missing; dataset image_folder reads data_path/train/<class>"):
        image_folder()


def test_the_small_cifar_sample_is_read(sample: Callable[[str], Path]) -> None:
    data = image_folder(data_path=str(sample("cifar10_small") / "cifar10_small"))
    assert np.bincount(data.train.labels).tolist() == [100] * 10
    assert np.bincount(data.test.labels).tolist() == [50] * 10
    assert data.classes[:3] == ("airplane", "automobile", "bird")
    assert data.train.load(999).size == (32, 32)

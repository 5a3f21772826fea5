"""Tiny copies of data sets in their official layouts, written with the official file and field names."""

from __future__ import annotations

import io
import json
import pickle
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from scipy.io import savemat

NAMES = [f"Make Model {k} 2012" for k in range(196, 0, -1)]
"""Not in the alphabet's order, as the devkit's."""


class Car(NamedTuple):
    part: str
    label: int
    box: tuple[int, int, int, int]
    shade: int


CARS = [
    Car("train", 196, (1, 1, 20, 16), 10),
    Car("test", 1, (3, 2, 10, 9), 40),
    Car("train", 14, (5, 4, 20, 16), 70),
    Car("train", 1, (2, 2, 6, 8), 100),
    Car("test", 77, (1, 5, 9, 16), 130),
    Car("train", 77, (4, 1, 17, 12), 160),
]
NUM_TRAIN, NUM_TEST = 4, 2


def draw(path: Path, shade: int, size: tuple[int, int] = (20, 16)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, 255 - shade, shade)).save(path, "JPEG")


def annotation_table(rows: list[dict[str, object]]) -> np.ndarray:
    table = np.zeros((1, len(rows)), dtype=[(name, object) for name in rows[0]])
    for k, row in enumerate(rows):
        table[0, k] = tuple(row.values())
    return table


def _fields(car: Car) -> dict[str, object]:
    box = {f"bbox_{side}": np.uint16(value) for side, value in zip(("x1", "y1", "x2", "y2"), car.box, strict=True)}
    return {**box, "class": np.uint8(car.label)}


def class_names(names: list[str]) -> np.ndarray:
    table = np.zeros((1, len(names)), dtype=object)
    table[0, :] = names
    return table


def write_devkit(folder: Path, names: list[str] = NAMES) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    savemat(folder / "cars_meta.mat", {"class_names": class_names(names)})


def write_older(root: Path, cars: list[Car] = CARS) -> Path:
    """car_ims/000001.jpg and so on, numbered through both parts."""
    rows = []
    for number, car in enumerate(cars, start=1):
        draw(root / "car_ims" / f"{number:06d}.jpg", car.shade)
        name = f"car_ims/{number:06d}.jpg"
        rows.append({"relative_im_path": name, **_fields(car), "test": np.uint8(car.part == "test")})
    savemat(root / "cars_annos.mat", {"annotations": annotation_table(rows), "class_names": class_names(NAMES)})
    write_devkit(root / "devkit")
    return root


def write_newer(root: Path, cars: list[Car] = CARS, nested: bool = False, labels_in: str = ".") -> Path:
    """cars_train/00001.jpg and cars_test/00001.jpg, each numbered on its own, last car first."""
    write_devkit(root / "devkit")
    places = {"train": "devkit/cars_train_annos.mat", "test": f"{labels_in}/cars_test_annos_withlabels.mat"}
    for part, place in places.items():
        rows = []
        folder = root / f"cars_{part}" / (f"cars_{part}" if nested else ".")
        for number, car in enumerate([car for car in reversed(cars) if car.part == part], start=1):
            draw(folder / f"{number:05d}.jpg", car.shade)
            rows.append({**_fields(car), "fname": f"{number:05d}.jpg"})
        savemat(root / place, {"annotations": annotation_table(rows)})
    return root


def pack(root: Path, name: str, archive: str, kind: str = "gztar") -> None:
    """Replace a folder by its archive."""
    made = shutil.make_archive(str(root / "packed"), kind, root, name)
    shutil.rmtree(root / name)
    Path(made).rename(root / archive)


def write_cifar(root: Path, name: str = "cifar10") -> Path:
    """Six files of two images (CIFAR-10) or two files of three (CIFAR-100), pixel k of an image holding its row + k."""
    if name == "cifar10":
        folder, label_key, meta, meta_key, num_classes = (
            "cifar-10-batches-py",
            "labels",
            "batches.meta",
            "label_names",
            10,
        )
        parts = {**{f"data_batch_{k}": 2 for k in range(1, 6)}, "test_batch": 2}
    else:
        folder, label_key, meta, meta_key, num_classes = (
            "cifar-100-python",
            "fine_labels",
            "meta",
            "fine_label_names",
            100,
        )
        parts = {"train": 3, "test": 3}
    (root / folder).mkdir(parents=True)
    first = 0
    for part, count in parts.items():
        rows = np.arange(first, first + count)
        data = ((rows[:, None] + np.arange(3072)) % 256).astype(np.uint8)
        content = {"data": data, label_key: [int(row) % num_classes for row in rows], "batch_label": part}
        (root / folder / part).write_bytes(pickle.dumps(content, protocol=4))
        first += count
    names = [f"{name} class {k}" for k in range(num_classes)]
    (root / folder / meta).write_bytes(pickle.dumps({meta_key: names}, protocol=2))
    return root


def write_flowers(root: Path, count: int = 8) -> Path:
    """Images 1..count with label 102 - number, the first half of them test, then training, then validation."""
    folder = root / "flowers-102"
    for number in range(1, count + 1):
        draw(folder / "jpg" / f"image_{number:05d}.jpg", 5 * number)
    numbers = np.arange(1, count + 1)
    savemat(folder / "imagelabels.mat", {"labels": (102 - numbers).astype(np.uint8)[None]})
    half, rest = count // 2, count // 4
    parts = {"tstid": numbers[:half], "trnid": numbers[half:-rest], "valid": numbers[-rest:]}
    savemat(folder / "setid.mat", {name: ids.astype(np.uint16)[None] for name, ids in parts.items()})
    return root


def write_table(root: Path) -> Path:
    """A table of four images in two classes, with boxes."""
    lines = ["path,label,x1,y1,x2,y2,split"]
    for k, part in enumerate(("train", "test", "train", "test")):
        draw(root / "images" / f"{k}.jpg", 50 * k)
        lines.append(f"images/{k}.jpg,{'cat' if k < 2 else 'dog'},{k},0,20,16,{part}")
    (root / "table.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root / "table.csv"


def encoded(shade: int, kind: str = "PNG", size: tuple[int, int] = (20, 16)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (shade, 255 - shade, shade)).save(file, kind)
    return file.getvalue()


def write_rows(
    path: Path,
    images: list[bytes | None],
    labels: list,
    names: list[str] | None = None,
    *,
    image: str = "image",
    label: str = "label",
    paths: list[str] | None = None,
    rows: int = 2,
) -> None:
    """A Parquet file as Hugging Face's library writes it, some rows a group."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = [{"bytes": content, "path": paths[k] if paths else None} for k, content in enumerate(images)]
    table = pa.table({image: pa.array(cells, kind), label: pa.array(labels)})
    if names is not None:
        features = {image: {"_type": "Image"}, label: {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=rows)


def write_parquet(root: Path) -> Path:
    """Two training files of three images and a test file of two, in two classes whose order is not the alphabet's."""
    names = ["dog", "cat"]
    for part in range(2):
        shades = range(30 * part, 30 * part + 30, 10)
        images = [encoded(shade) for shade in shades]
        write_rows(root / "data" / f"train-0000{part}-of-00002.parquet", [*images], [0, 1, part], names)
    write_rows(root / "data" / "test-00000-of-00001.parquet", [encoded(200), encoded(210)], [1, 0], names)
    return root

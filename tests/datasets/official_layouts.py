"""Tiny copies of data sets in their official layouts, written with the official file and field names."""

from __future__ import annotations

import gzip
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


def write_svhn(root: Path) -> Path:
    """Three .mat files; the value at row r, column c, channel h of image k is k + 10 r + 3 c + h."""
    root.mkdir(parents=True, exist_ok=True)
    for part, labels in {"train": [1, 10, 9, 5], "test": [10, 2, 3], "extra": [6, 10]}.items():
        row, column, channel, image = np.ogrid[:32, :32, :3, : len(labels)]
        images = ((image + 10 * row + 3 * column + channel) % 256).astype(np.uint8)
        savemat(root / f"{part}_32x32.mat", {"X": images, "y": np.array(labels, dtype=np.uint8)[:, None]})
    return root


def write_fashion_mnist(root: Path) -> Path:
    """Four gzipped idx files; pixel p of image k is k + p."""
    root.mkdir(parents=True, exist_ok=True)
    for part, labels in {"train": [9, 0, 3, 7, 2], "t10k": [1, 8]}.items():
        images = ((np.arange(len(labels))[:, None] + np.arange(784)) % 256).astype(np.uint8)
        for name, head, values in (
            ("images-idx3", [0x803, len(labels), 28, 28], images.tobytes()),
            ("labels-idx1", [0x801, len(labels)], bytes(labels)),
        ):
            content = b"".join(number.to_bytes(4, "big") for number in head) + values
            (root / f"{part}-{name}-ubyte.gz").write_bytes(gzip.compress(content))
    return root


BIRDS = ["001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Zebra"]
"""In the order of classes.txt."""


def write_lines(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def write_cub(root: Path) -> Path:
    """Five images of 20x16, the third species first; images 1, 2 and 4 train."""
    folder = root / "CUB_200_2011"
    images = [f"{BIRDS[label - 1]}/bird_{k}.jpg" for k, label in enumerate([3, 1, 2, 2, 3], start=1)]
    for k, image in enumerate(images, start=1):
        draw(folder / "images" / image, 20 * k)
    write_lines(folder / "classes.txt", [f"{k} {name}" for k, name in enumerate(BIRDS, start=1)])
    write_lines(folder / "images.txt", [f"{k} {image}" for k, image in enumerate(images, start=1)])
    write_lines(folder / "image_class_labels.txt", ["1 3", "2 1", "3 2", "4 2", "5 3"])
    write_lines(folder / "train_test_split.txt", ["1 1", "2 1", "3 0", "4 1", "5 0"])
    boxes = ["0.0 0.0 20.0 16.0", "2.0 3.0 5.0 6.0", "1.5 2.5 4.0 4.0", "10.0 9.0 30.0 7.0", "19.0 15.0 1.0 1.0"]
    write_lines(folder / "bounding_boxes.txt", [f"{k} {box}" for k, box in enumerate(boxes, start=1)])
    return root


def write_aircraft(root: Path) -> Path:
    """Four images of 40x50 whose lowest 20 rows, the banner, are white; three variants of two manufacturers."""
    data = root / "fgvc-aircraft-2013b" / "data"
    rows = [
        ("0000004", "trainval", "737-700", "Boeing 737", "Boeing", "1 1 40 30"),
        ("0000002", "trainval", "DR-400", "DR-400", "Robin", "5 6 20 25"),
        ("0000003", "test", "737-200", "Boeing 737", "Boeing", "2 3 30 31"),
        ("0000001", "test", "DR-400", "DR-400", "Robin", "10 11 12 13"),
    ]
    for image, *_ in rows:
        pixels = np.full((50, 40, 3), 255, np.uint8)
        pixels[:30] = 10 * int(image)
        (data / "images").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(data / "images" / f"{image}.jpg", "JPEG")
    write_lines(data / "variants.txt", ["737-200", "737-700", "DR-400"])
    write_lines(data / "families.txt", ["Boeing 737", "DR-400"])
    write_lines(data / "manufacturers.txt", ["Boeing", "Robin"])
    for column, level in enumerate(("variant", "family", "manufacturer"), start=2):
        for part in ("trainval", "test"):
            lines = [f"{row[0]} {row[column]}" for row in rows if row[1] == part]
            write_lines(data / f"images_{level}_{part}.txt", lines)
    write_lines(data / "images_box.txt", [f"{row[0]} {row[5]}" for row in sorted(rows)])
    return root


ADIENCE_HEAD = "user_id original_image face_id age gender x y dx dy tilt_ang fiducial_yaw_angle fiducial_score"
ADIENCE_AGES = [
    ["(0, 2)", "(60, 100)", "35"],
    ["(25, 32)", "(25, 23)", "None"],
    ["(38, 43)", "(38, 48)", "13"],
    ["(4, 6)", "", "56"],
    ["(15, 20)", "(48, 53)", "(8, 12)"],
]
"""Of each fold's three faces, as the official files write them."""


def write_adience(root: Path) -> Path:
    """Five folds of three faces of a person each, in both crops; the darker crop is aligned."""
    for fold, ages in enumerate(ADIENCE_AGES):
        rows = []
        for k, age in enumerate(ages):
            user, original = f"{fold}0@N0", f"{fold}_{k}_o.jpg"
            rows.append("\t".join([user, original, str(fold), age, "f", *"1234567"]))
            draw(root / "aligned" / user / f"landmark_aligned_face.{fold}.{original}", 10 * fold + k)
            draw(root / "faces" / user / f"coarse_tilt_aligned_face.{fold}.{original}", 200 + 10 * fold + k)
        write_lines(root / f"fold_{fold}_data.txt", [ADIENCE_HEAD.replace(" ", "\t"), *rows])
    return root


SYNSETS = ["n02119789", "n01440764", "n03000684"]
"""In the order of the development kit, which is not the alphabet's."""


def write_imagenet(root: Path, flat: bool = False) -> Path:
    """Two training images of each of three classes and four validation images, of the kit's classes 1, 3, 2, 3."""
    for k, synset in enumerate(SYNSETS):
        for number in (2, 1):
            draw(root / "train" / synset / f"{synset}_{number}.JPEG", 40 * k + number)
    truth = [1, 3, 2, 3]
    for number, kit_id in enumerate(truth, start=1):
        folder = root / "val" / ("." if flat else SYNSETS[kit_id - 1])
        draw(folder / f"ILSVRC2012_val_{number:08d}.JPEG", 10 * number)
    data = root / "ILSVRC2012_devkit_t12" / "data"
    write_lines(data / "ILSVRC2012_validation_ground_truth.txt", [str(kit_id) for kit_id in truth])
    rows = [
        {"ILSVRC2012_ID": k, "WNID": name, "words": "", "num_children": 0} for k, name in enumerate(SYNSETS, start=1)
    ]
    rows.append({"ILSVRC2012_ID": 4, "WNID": "n00001740", "words": "entity", "num_children": 2})
    savemat(data / "meta.mat", {"synsets": annotation_table(rows).T})
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


PLATES = {"0.jpg": "京PL3N67", "1.jpg": "川JK0707", "sub/2.jpg": "GWA 1", "3.jpg": "ÄX9"}


def write_plates(root: Path, split: bool = True) -> Path:
    """A table of four plates of 20x16 in a folder, the last one the test part; its paths begin with its name."""
    lines = ["file,text,length" + (",split" if split else "")]
    for k, (name, text) in enumerate(PLATES.items()):
        draw(root / "plates" / name, 50 * k)
        part = ("test" if k == 3 else "train") if split else ""
        lines.append(f"plates/{name},{text},{len(text)}" + (f",{part}" if split else ""))
    (root / "plates" / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root / "plates"


def ccpd_name(plate: str, box: str = "2&3_18&9", number: int = 1) -> str:
    """An official file name."""
    return f"{number:04d}-1_2-{box}-18&9_2&9_2&3_18&3-{plate}-37-15.jpg"


CCPD_2019 = {
    "train": [("ccpd_base", "0_0_22_27_27_33_16", "2&3_18&9"), ("ccpd_base", "10_3_0_24_25_26_1", "0&0_20&16")],
    "val": [("ccpd_base", "32_1_2_3_4_5_6", "1&1_5&4")],
    "test": [
        ("ccpd_blur", "0_0_1_1_1_1_1", "4&5_10&11"),
        ("ccpd_db", "30_23_33_33_33_34_34", "4&5_30&11"),
        ("ccpd_blur", "2_0_1_2_3_4_5", "3&3_9&9"),
    ],
}
"""Part -> folder, plate and box of its images of 20x16."""


def write_ccpd(root: Path) -> Path:
    for part, rows in CCPD_2019.items():
        names = [f"{folder}/{ccpd_name(plate, box, k)}" for k, (folder, plate, box) in enumerate(rows)]
        for k, name in enumerate(names):
            draw(root / "CCPD2019" / name, 60 * k + len(part))
        write_lines(root / "CCPD2019" / "splits" / f"{part}.txt", names)
    draw(root / "CCPD2019" / "ccpd_np" / "1000.jpg", 5)
    return root / "CCPD2019"


def write_ccpd_green(root: Path) -> Path:
    """Plates of eight characters, three in train, one in val, two in test."""
    plates = {"train": ["0_0_3_24_28_24_31_33", "1_2_3_4_5_6_7_8", "0_0_3_24_28_24_31_32"], "val": ["0_1_2_3_4_5_6_7"]}
    for part, found in {**plates, "test": ["11_23_33_32_31_30_29_28", "0_0_0_0_0_0_0_0"]}.items():
        for k, plate in enumerate(found):
            draw(root / "CCPD2020" / "ccpd_green" / part / ccpd_name(plate, number=k), 40 * k + len(part))
    return root / "CCPD2020"

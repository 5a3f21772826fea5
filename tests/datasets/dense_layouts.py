"""Tiny copies of data sets of pixels and objects in their official layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from official_layouts import draw
from PIL import Image


def save_mask(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def write_xml(path: Path, objects: list[tuple[str, tuple[int, int, int, int]]], difficult: int = 0) -> None:
    """Write boxes as VOC does: pixels count from 1, the last one is inside."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(
        f"<object><name>{name}</name><difficult>{int(difficult)}</difficult><bndbox>"
        f"<xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for name, (x1, y1, x2, y2) in objects
    )
    path.write_text(f"<annotation><folder>VOC</folder>{text}</annotation>")


def write_pets(folder: Path) -> Path:
    names = [f"{breed}_{k}" for breed in ("Abyssinian", "beagle") for k in range(1, 7)]
    trimap = np.full((16, 20), 2)
    trimap[4:12, 4:16], trimap[6:10, 6:14] = 3, 1
    for k, name in enumerate(names):
        draw(folder / "images" / f"{name}.jpg", 20 * k)
        save_mask(folder / "annotations" / "trimaps" / f"{name}.png", trimap)
        if k % 3 != 2:
            write_xml(folder / "annotations" / "xmls" / f"{name}.xml", [("cat", (5, 5, 10, 8))])
    for part, chosen in (("trainval", names[::3] + names[1::3]), ("test", names[2::3])):
        lines = "".join(f"{name} {1 + (name[0] == 'b')} 1 1\n" for name in chosen)
        (folder / "annotations" / f"{part}.txt").write_text(lines)
    return folder


def write_penn_fudan(folder: Path) -> Path:
    for k in range(1, 7):
        numbers = np.zeros((16, 20))
        numbers[2 : 2 + k, 3:7] = 1
        numbers[8:14, 10 : 11 + k] = 2
        draw(folder / "PennFudanPed" / "PNGImages" / f"FudanPed{k:05}.png", 30 * k)
        save_mask(folder / "PennFudanPed" / "PedMasks" / f"FudanPed{k:05}_mask.png", numbers)
    return folder


def write_voc(folder: Path) -> Path:
    """Write four images of each part; pixels 2 to 5 across and 3 to 6 down are a cat, others a person."""
    for year, parts in (("2007", ("trainval", "test")), ("2012", ("train", "val", "trainval"))):
        root = folder / "VOCdevkit" / f"VOC{year}"
        for place, part in enumerate(parts):
            names = [f"{year}_{k:06}" for k in range(4 * place, 4 * place + 4)]
            for kind in ("Main", "Segmentation"):
                path = root / "ImageSets" / kind / f"{part}.txt"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("".join(f"{name}\n" for name in names))
            for k, name in enumerate(names):
                draw(root / "JPEGImages" / f"{name}.jpg", 20 * k + 5 * place + int(year[-1]))
                write_xml(
                    root / "Annotations" / f"{name}.xml", [("cat", (3, 4, 6, 7)), ("person", (10, 8, 15, 12))], k == 0
                )
                for kind, labels in (("SegmentationClass", (8, 15)), ("SegmentationObject", (1, 2))):
                    pixels = np.zeros((16, 20))
                    pixels[2:8, 1:7], pixels[3:7, 2:6], pixels[7:12, 9:15] = 255, labels[0], labels[1]
                    save_mask(root / kind / f"{name}.png", pixels)
    return folder


def instances(folder: Path, prefix: str, shade: int = 0) -> dict[str, Any]:
    """Write four images and return what COCO's json says of them: two objects each, none in the last."""
    images, objects = [], []
    for k in range(4):
        name = f"{prefix}{k}.jpg"
        draw(folder / name, shade + 30 * k)
        images.append({"id": 10 + k, "file_name": name, "height": 16, "width": 20, "license": 1})
        for number, category in enumerate((3, 7) if k < 3 else ()):
            x, y = 2 + 8 * number, 4
            polygon = [x, y, x + 4, y, x + 4, y + 6, x, y + 6]
            objects.append(
                {"id": 2 * k + number, "image_id": 10 + k, "category_id": category, "bbox": [x, y, 4, 6], "iscrowd": 0}
                | {"segmentation": [polygon], "area": 24}
            )
    categories = [{"id": 7, "name": "cat"}, {"id": 3, "name": "bicycle"}]
    return {"info": {}, "images": images, "annotations": objects, "categories": categories}


def write_coco(folder: Path) -> Path:
    (folder / "annotations").mkdir(parents=True)
    for k, part in enumerate(("train2017", "val2017")):
        text = json.dumps(instances(folder / part, f"{k}0000", 5 * k))
        (folder / "annotations" / f"instances_{part}.json").write_text(text)
    return folder


def write_own(folder: Path) -> Path:
    for k, part in enumerate(("train", "test")):
        (folder / f"{part}.json").write_text(json.dumps(instances(folder, f"images/{part}_", 5 * k)))
    return folder

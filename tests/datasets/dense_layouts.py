"""Tiny copies of data sets of pixels and objects in their official layouts."""

from __future__ import annotations

from pathlib import Path

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
        f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>"
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
        if k % 2:
            write_xml(folder / "annotations" / "xmls" / f"{name}.xml", [("cat", (5, 5, 10, 8))])
    for part, chosen in (("trainval", names[::3] + names[1::3]), ("test", names[2::3])):
        lines = "".join(f"{name} {1 + (name[0] == 'b')} 1 1\n" for name in chosen)
        (folder / "annotations" / f"{part}.txt").write_text(lines)
    return folder

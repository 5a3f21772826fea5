"""Speed of the training images' way beside the usual ones: python benchmarks/data.py [--quick] [--json FILE]"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as v1
from torchvision.transforms import v2

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # else this file is what `import datasets` misses

from benchmarks.measuring import environment, prepare, table
from datasets.base import ImageTable
from datasets.cache import cached_images
from datasets.preprocessing import Preprocessing
from datasets.stream.image_stream import ImageStream
from datasets.stream.loader import ResumableLoader
from datasets.stream.sampling import EpochBatches

SIZE, BATCH = 227, 64
MEAN, STD = (0.4707, 0.4602, 0.4550), (0.2594, 0.2585, 0.2635)
CHAIN = {
    "RandomHorizontalFlip": {},
    "RandomAffine": {"degrees": 25, "translate": [0.1, 0.1], "scale": [0.9, 1.1], "shear": 8},
    "ColorJitter": {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.1},
}
"""The thesis's."""
SMALL_SIZE, SMALL_BATCH = 32, 256
SMALL_CHAIN = {"RandomHorizontalFlip": {}, "RandomCrop": {"size": 32, "padding": 4}}

TORCHVISION = "torchvision v2 on PIL"
LOADER, SMALL_LOADER = "torchvision v2 on PIL, two workers", "torchvision on PIL, CIFAR"


def photos(folder: Path, number: int) -> list[Path]:
    """Write JPEGs of about 700x480 pixels with the smooth areas, edges and grain of photographs."""
    random = np.random.default_rng(0)
    paths = []
    for n in range(number):
        width, height = (int(side) for side in random.normal((695, 482), (60, 40)))
        image = np.full((height, width, 3), 118.0)
        for octave in range(1, 8):
            grid = (random.normal(size=(2**octave + 1, 2**octave + 1, 3)) * 205 * 0.55**octave + 128).clip(0, 255)
            layer = Image.fromarray(grid.astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
            image += np.asarray(layer, dtype=float) - 128
        image += random.normal(size=image.shape) * 7
        paths.append(folder / f"{n:05d}.jpg")
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(paths[-1], quality=90)
    return paths


class Plain(Dataset):
    """How the thesis reads its images: the table is searched and the transforms are built anew for every item."""

    def __init__(self, paths: list[Path]) -> None:
        import pandas

        self.paths = paths
        self.labels = pandas.DataFrame({"filename": [path.name for path in paths], "class": 0})

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, position: int) -> tuple[torch.Tensor, int]:
        path = self.paths[position]
        label = int(self.labels.loc[self.labels["filename"] == path.name, "class"].to_numpy()[0])
        chain = [getattr(v1, name)(**params) for name, params in CHAIN.items()]
        transform = v1.Compose([v1.Resize([SIZE, SIZE]), *chain, v1.ToTensor(), v1.Normalize(MEAN, STD)])
        image: Any = Image.open(path).convert("RGB")
        return transform(image), label


class Usual(Dataset):
    """How most would read images today.

    Args:
        images: paths, or arrays.
    """

    def __init__(self, images: Any, transform: Callable[[Image.Image], torch.Tensor]) -> None:
        self.images, self.transform = images, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, position: int) -> tuple[torch.Tensor, int]:
        image = self.images[position]
        opened = Image.fromarray(image) if isinstance(image, np.ndarray) else Image.open(image).convert("RGB")
        return self.transform(opened), 0


def ours(stream: ImageStream, batch_size: int, finished: bool = False, workers: int = 0) -> ResumableLoader:
    """Return the loader of a run, its batches as bytes or, finished, as normalised float32."""
    options: dict[str, Any] = {"num_workers": workers, "persistent_workers": workers > 0}
    options["collate_fn"] = stream.finish if finished else _as_it_is
    return ResumableLoader(stream, EpochBatches(len(stream), batch_size, seed=0), lambda: (0, 0), **options)


def _as_it_is(loaded: Any) -> Any:
    return loaded


def loaders(folder: Path, quick: bool) -> dict[str, tuple[DataLoader, str]]:
    """Return every way as a loader, and what it is compared with: "" for what a user would take instead."""
    paths = photos(folder, BATCH if quick else 2 * BATCH)
    photographs = ImageTable(paths, np.zeros(len(paths), dtype=np.int64))
    preprocessing = Preprocessing((SIZE, SIZE), mean=MEAN, std=STD)
    arrays = np.random.default_rng(0).integers(0, 256, (20 * SMALL_BATCH, SMALL_SIZE, SMALL_SIZE, 3), dtype=np.uint8)
    small = ImageTable(arrays, np.zeros(len(arrays), dtype=np.int64))
    load, shape = functools.partial(preprocessing.load, photographs), (len(paths), SIZE, SIZE, 3)
    options: Any = {"where": "disk", "limit_gb": 1, "folder": folder / "cache"}
    cache = cached_images(load, shape, np.arange(len(paths)), "benchmark", **options)

    def stream(backend: str, times: int, cached: bool = True, chain: dict = CHAIN) -> ImageStream:
        """Return a stream of which an epoch sees every photograph some times."""
        rows = np.tile(np.arange(len(paths)), times)
        made = ImageStream(photographs, rows, preprocessing, image_augmentations=chain, backend=backend)
        made.pixels = cache if cached else None
        return made

    small_stream = ImageStream(
        small, range(len(arrays)), Preprocessing(None, mean=MEAN, std=STD), image_augmentations=SMALL_CHAIN
    )
    chain = [getattr(v2, name)(**params) for name, params in CHAIN.items()]
    numbers = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    usual = v2.Compose([v2.Resize([SIZE, SIZE]), *chain, *numbers])
    usual_small = v1.Compose(
        [v1.RandomHorizontalFlip(), v1.RandomCrop(32, padding=4), v1.ToTensor(), v1.Normalize(MEAN, STD)]
    )
    two = {"num_workers": 2, "persistent_workers": True, "shuffle": True}
    bilinear = CHAIN | {"RandomAffine": CHAIN["RandomAffine"] | {"interpolation": "bilinear"}}
    return {
        TORCHVISION: (DataLoader(Usual(paths, usual), BATCH, shuffle=True), ""),
        "thesis": (DataLoader(Plain(paths), BATCH, shuffle=True), TORCHVISION),
        "cached_fused": (ours(stream("fused", 4), BATCH), TORCHVISION),
        "cached_fused_bilinear": (ours(stream("fused", 4, chain=bilinear), BATCH), TORCHVISION),
        "jpeg_fused": (ours(stream("fused", 2, cached=False), BATCH), TORCHVISION),
        "cached_torchvision": (ours(stream("torchvision", 1), BATCH), TORCHVISION),
        LOADER: (DataLoader(Usual(4 * paths, usual), BATCH, **two), ""),
        "loader_two_workers": (ours(stream("fused", 32), BATCH, workers=2), LOADER),
        SMALL_LOADER: (DataLoader(Usual(arrays[: 2 * SMALL_BATCH], usual_small), SMALL_BATCH, shuffle=True), ""),
        "arrays_float32": (ours(small_stream, SMALL_BATCH, finished=True), SMALL_LOADER),
        "arrays_uint8": (ours(small_stream, SMALL_BATCH), SMALL_LOADER),
    }


def images_per_second(loader: DataLoader) -> float:
    """Return the images of a second of one core; of a second of the clock where workers load them."""
    clock = time.perf_counter if loader.num_workers else time.process_time
    start = clock()
    return sum(len(batch[0]) for batch in loader) / (clock() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer images and rounds: within a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write name -> median ratio")
    arguments = parser.parse_args()
    prepare()
    rounds = 3 if arguments.quick else 11
    with tempfile.TemporaryDirectory() as folder:
        ways = loaders(Path(folder), arguments.quick)
        measured = [{name: images_per_second(loader) for name, (loader, _) in ways.items()} for _ in range(rounds + 1)]
    print(f"Photographs of about 700x480 as JPEG, to {SIZE} px with the thesis's augmentation, batch {BATCH};")
    print(f"arrays of {SMALL_SIZE} px with flip and crop, batch {SMALL_BATCH}. Per core; with workers, per second.")
    print(environment("cpu") + ".")
    print(f"Ratio of images a second, median [quartiles] of {rounds} rounds, each beside what it is compared with.\n")
    rows, medians = {}, {}
    for name, (_, other) in ways.items():
        speed = f"{statistics.median(rates[name] for rates in measured[1:]):,.0f}"  # the first round warms up
        rows[name] = [speed, "1", ""]
        if other:
            low, middle, high = statistics.quantiles([rates[name] / rates[other] for rates in measured[1:]], n=4)
            rows[name], medians[name] = [speed, f"{middle:.2f} [{low:.2f}, {high:.2f}]", other], round(middle, 3)
    print(table(("way", "images/s", "ratio", "compared with"), rows))
    if arguments.json:
        arguments.json.write_text(json.dumps(medians, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Speed of the training images' way beside the usual ones: python benchmarks/data.py [--quick] [--json FILE]"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

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
BASELINE = {
    "thesis": TORCHVISION,
    "cached_fused": TORCHVISION,
    "cached_fused_bilinear": TORCHVISION,
    "jpeg_fused": TORCHVISION,
    "cached_torchvision": TORCHVISION,
    "loader_two_workers": LOADER,
    "arrays_float32": SMALL_LOADER,
    "arrays_uint8": SMALL_LOADER,
}
"""What each way is compared with."""

Way = Callable[[], int]
"""Makes some batches and returns how many images they held."""


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


def usual_transform() -> Callable[[Image.Image], torch.Tensor]:
    """Return the thesis's augmentation in torchvision's second version."""
    chain = [getattr(v2, name)(**params) for name, params in CHAIN.items()]
    numbers = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    return v2.Compose([v2.Resize([SIZE, SIZE]), *chain, *numbers])


def epoch_of(loader: DataLoader) -> int:
    """Take an epoch's batches from a loader; return how many images they held."""
    return sum(len(batch[0]) for batch in loader)


def ours(stream: ImageStream, batch_size: int, finished: bool = False, workers: int = 0) -> ResumableLoader:
    """Return the loader of a run, its batches as bytes or, finished, as normalised float32."""
    batches = EpochBatches(len(stream), batch_size, seed=0)
    options: dict[str, Any] = {"num_workers": workers, "persistent_workers": workers > 0}
    options["collate_fn"] = stream.finish if finished else _as_it_is
    return ResumableLoader(stream, batches, lambda: (0, 0), **options)


def _as_it_is(loaded: Any) -> Any:
    return loaded


def ways(folder: Path, quick: bool) -> dict[str, Way]:
    """Return every way, ready to run."""
    paths = photos(folder, BATCH if quick else 2 * BATCH)
    photographs = ImageTable(paths, np.zeros(len(paths), dtype=np.int64))
    preprocessing = Preprocessing((SIZE, SIZE), mean=MEAN, std=STD)
    arrays = np.random.default_rng(0).integers(0, 256, (20 * SMALL_BATCH, SMALL_SIZE, SMALL_SIZE, 3), dtype=np.uint8)
    small = ImageTable(arrays, np.zeros(len(arrays), dtype=np.int64))
    small_preprocessing = Preprocessing(None, mean=MEAN, std=STD)
    cache = cached_images(
        functools.partial(preprocessing.load, photographs),
        (len(paths), SIZE, SIZE, 3),
        np.arange(len(paths)),
        "benchmark",
        where="disk",
        limit_gb=1,
        folder=folder / "cache",
    )

    def stream(backend: str, times: int, cached: bool = True, chain: dict = CHAIN) -> ImageStream:
        """Return a stream of which an epoch sees every photograph some times."""
        rows = np.tile(np.arange(len(paths)), times)
        made = ImageStream(photographs, rows, preprocessing, image_augmentations=chain, backend=backend)
        made.pixels = cache if cached else None
        return made

    small_stream = ImageStream(small, range(len(arrays)), small_preprocessing, image_augmentations=SMALL_CHAIN)
    usual_small = v1.Compose(
        [v1.RandomHorizontalFlip(), v1.RandomCrop(32, padding=4), v1.ToTensor(), v1.Normalize(MEAN, STD)]
    )
    two = {"num_workers": 2, "persistent_workers": True, "shuffle": True}
    bilinear = CHAIN | {"RandomAffine": CHAIN["RandomAffine"] | {"interpolation": "bilinear"}}
    loaders: dict[str, DataLoader] = {
        TORCHVISION: DataLoader(Usual(paths, usual_transform()), BATCH, shuffle=True),
        "thesis": DataLoader(Plain(paths), BATCH, shuffle=True),
        "cached_fused": ours(stream("fused", 4), BATCH),
        "cached_fused_bilinear": ours(stream("fused", 4, chain=bilinear), BATCH),
        "jpeg_fused": ours(stream("fused", 2, cached=False), BATCH),
        "cached_torchvision": ours(stream("torchvision", 1), BATCH),
        LOADER: DataLoader(Usual(4 * paths, usual_transform()), BATCH, **two),
        "loader_two_workers": ours(stream("fused", 32), BATCH, workers=2),
        SMALL_LOADER: DataLoader(Usual(arrays[: 2 * SMALL_BATCH], usual_small), SMALL_BATCH, shuffle=True),
        "arrays_float32": ours(small_stream, SMALL_BATCH, finished=True),
        "arrays_uint8": ours(small_stream, SMALL_BATCH),
    }
    return {name: functools.partial(epoch_of, loader) for name, loader in loaders.items()}


class Result(NamedTuple):
    """Images a second, and the quartiles of the ratio to the way that is compared with."""

    images: float
    low: float
    middle: float
    high: float


def images_per_second(name: str, way: Way) -> float:
    """Return the images of a second of one core; of a second of the clock where workers load them."""
    clock = time.perf_counter if name in (LOADER, "loader_two_workers") else time.process_time
    start = clock()
    return way() / (clock() - start)


def measure(all_ways: Mapping[str, Way], rounds: int) -> dict[str, Result]:
    """Run every way in every round, one after the other; each is compared within its round."""
    for way in all_ways.values():
        way()
    rates: dict[str, list[float]] = {name: [] for name in all_ways}
    for _ in range(rounds):
        for name, way in all_ways.items():
            rates[name].append(images_per_second(name, way))
    results = {}
    for name, speeds in rates.items():
        others = rates[BASELINE.get(name, name)]
        ratios = [mine / other for mine, other in zip(speeds, others, strict=True)]
        results[name] = Result(statistics.median(speeds), *statistics.quantiles(ratios, n=4))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer images and rounds: within a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write name -> median ratio")
    arguments = parser.parse_args()
    prepare()
    rounds = 3 if arguments.quick else 11
    with tempfile.TemporaryDirectory() as folder:
        results = measure(ways(Path(folder), arguments.quick), rounds)
    print(f"Photographs of about 700x480 as JPEG, to {SIZE} px with the thesis's augmentation, batch {BATCH};")
    print(f"arrays of {SMALL_SIZE} px with flip and crop, batch {SMALL_BATCH}. Per core; with workers, per second.")
    print(environment("cpu") + ".")
    print(f"Ratio of images a second, median [quartiles] of {rounds} rounds, each beside what it is compared with.\n")
    rows = {
        name: [f"{result.images:,.0f}", f"{result.middle:.2f} [{result.low:.2f}, {result.high:.2f}]", BASELINE[name]]
        if name in BASELINE
        else [f"{result.images:,.0f}", "1", ""]
        for name, result in results.items()
    }
    print(table(("way", "images/s", "ratio", "compared with"), rows))
    if arguments.json:
        ratios = {name: round(result.middle, 3) for name, result in results.items() if name in BASELINE}
        arguments.json.write_text(json.dumps(ratios, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

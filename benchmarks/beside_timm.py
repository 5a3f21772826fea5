"""Images a second of train.py here and of timm's: python benchmarks/beside_timm.py TIMM_TRAIN.PY FOLDER [--epochs 3]

Both train the same network of timm on the images of FOLDER/train/<class> and judge those of FOLDER/test after every
epoch: 32 px, mirrored by chance, SGD, the same threads. Each is run for one epoch and for several, in turns; the
difference of the two leaves out imports, decoding for the cache and the last test. timm's train.py stands in its
repository, beside its package.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the project's root

from benchmarks.measuring import environment, table

ROOT = Path(__file__).resolve().parents[1]
SIZE = 32


def timms(script: Path, images: Path, model: str, epochs: int, batch: int, folder: Path) -> list[str]:
    """Return the command of timm's train.py."""
    numbers = {"img-size": SIZE, "batch-size": batch, "epochs": epochs, "lr": 0.05, "workers": 0, "smoothing": 0.0}
    numbers |= {"color-jitter": 0.0, "warmup-epochs": 0, "log-interval": 1000, "num-classes": len(classes(images))}
    words = {"data-dir": images, "train-split": "train", "val-split": "test", "model": model, "device": "cpu"}
    options = [f"--{key}={value}" for key, value in (numbers | words | {"output": folder / "timm"}).items()]
    return [sys.executable, str(script), *options, "--scale", "1", "1", "--ratio", "1", "1", "--no-prefetcher"]


def ours(images: Path, model: str, epochs: int, batch: int, folder: Path, changes: Sequence[str]) -> list[str]:
    """Return the command of train.py here, in float32 as timm's."""
    keys = {"dataset": "image_folder", "data_path": images, "image_size": f"[{SIZE}, {SIZE}]", "architecture": model}
    keys |= {"augment_images": "true", "image_augmentations": "{RandomHorizontalFlip: {}}", "optimizer": "SGD"}
    keys |= {"optimizer_params": "{lr: 0.05, momentum: 0.9}", "batch_size": batch, "num_epochs": epochs}
    keys |= {"select_on": "test", "trackers": "[]", "accelerator": "cpu", "num_workers": 0, "precision": "32-true"}
    keys |= {"output_path": folder / "output", "logging_dir": folder / "logs"}
    empty = folder / "empty.yml"
    empty.write_text("{}\n")
    return [
        sys.executable,
        str(ROOT / "train.py"),
        str(empty),
        *(f"{key}={value}" for key, value in keys.items()),
        *changes,
    ]


def threads() -> int:
    """Return how many threads both use: torch's own choice, unless OMP_NUM_THREADS says it."""
    import torch

    return torch.get_num_threads()


def classes(images: Path) -> list[Path]:
    return [path for path in (images / "train").iterdir() if path.is_dir()]


def seconds(command: Sequence[str], cache: Path) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"XDG_CACHE_HOME": str(cache)})
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("script", type=Path, metavar="TIMM_TRAIN.PY")
    parser.add_argument("images", type=Path, metavar="FOLDER")
    parser.add_argument("changes", nargs="*", metavar="KEY=VALUE", help="of the run here, such as channels_last=false")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    paths = sum(1 for _ in (options.images / "train").glob("*/*"))
    rates: dict[str, list[float]] = {"timm's train.py": [], "train.py here": []}
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as temporary:
            folder, taken = Path(temporary), {}
            for epochs in (1, options.epochs):
                of_both = (options.images, options.model, epochs, options.batch, folder)
                commands = [timms(options.script, *of_both), ours(*of_both, options.changes)]
                for name, command in zip(rates, commands, strict=True):
                    taken[name, epochs] = seconds(command, folder / "cache")
            for name, values in rates.items():
                values.append(paths * (options.epochs - 1) / (taken[name, options.epochs] - taken[name, 1]))
    print(
        f"{options.model}, {SIZE} px, batches of {options.batch}, {paths:,} training images. "
        f"{environment('cpu', threads())}."
    )
    print(f"Trained images a second, judging the test images included; {options.rounds} rounds in turns.\n")
    rows = {name: [", ".join(f"{rate:,.0f}" for rate in values)] for name, values in rates.items()}
    print(table(("", "images/s"), rows))
    theirs, here = rates.values()
    ratio = statistics.median(one / other for one, other in zip(here, theirs, strict=True))
    print(f"\nHere {ratio:.2f} times as many, median of the rounds.")


if __name__ == "__main__":
    main()

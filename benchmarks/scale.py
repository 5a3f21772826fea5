"""What grows with images, runs and places: python benchmarks/scale.py [images] [runs] [sweep] [--quick]"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from PIL import Image

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # else this file's folder hides ours

from benchmarks.measuring import environment, table
from configuration.schema import Configuration
from datasets import load_data_set
from datasets.audit import audit
from datasets.data_module import DataModule
from losses import LOSSES

ROOT = Path(__file__).resolve().parents[1]
CLASSES, FILES_A_LINK = 1000, 30_000
"""Classes of the made-up folder; how many names one file may have."""
IMAGES, RUNS, PLACES = (10**3, 10**4, 10**5, 10**6), (10**2, 10**3, 10**4), (1, 2, 4, 8)
SWEEP = """\
dataset: digits
convert_to_grayscale: true
image_size: null
architecture: test_resnet
num_epochs: 3
trackers: []
accelerator: cpu
sweep: {seeds: 8}
"""


def make_folder(folder: Path, number: int) -> None:
    """Write a folder of that many training images and a twentieth of test images, names of a few files."""
    source = folder / "source"
    source.mkdir(parents=True)
    for part, count in (("train", number), ("test", number // 20)):
        classes = min(CLASSES, number // 20)
        for row in range(count):
            if row % FILES_A_LINK == 0:
                original = source / f"{part}{row}.png"
                Image.new("L", (32 + row % 7, 32), row % 256).save(original)
            place = folder / "data" / part / f"class{row % classes:04}"
            if row < classes:
                place.mkdir(parents=True)
            os.link(original, place / f"{row:07}.png")


def start_of_a_run(number: int, folder: Path) -> dict[str, float]:
    """Return the processor's seconds of each step before training, and the bytes that they take."""
    make_folder(folder, number)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:  # whose memory is measured
        return pool.submit(measure_start, str(folder / "data")).result()


def measure_start(path: str) -> dict[str, float]:
    config = Configuration(dataset="image_folder", data_path=path, image_size=32)
    base, taken, data = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, {}, load_data_set(config)
    module = DataModule(config, data, (32, 32))
    steps: dict[str, Callable[[], object]] = {
        "list": lambda: load_data_set(config),
        "compare parts": lambda: audit(data),
        "split": lambda: DataModule(config, data, (32, 32)),
        "fingerprint": lambda: module.fingerprint,
        "shuffle": lambda: next(iter(module.epoch_batches())),
    }
    for name, step in steps.items():
        before = time.process_time()
        step()
        taken[name] = time.process_time() - before
    taken["memory"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) * 1024
    return taken


def comparison(number: int, folder: Path, original: Path) -> float:
    """Return the processor's seconds of compare.py over that many runs, copies of one with other seeds and losses."""
    config, summary = (original / name for name in ("config.yml", "summary.json"))
    text, names = config.read_text(), list(LOSSES)
    for row in range(number):
        run = folder / f"digits-test_resnet-x-s{row}-{row:08x}"
        run.mkdir(parents=True)
        changed = text.replace("\nseed: 0\n", f"\nseed: {row // 4}\n")
        (run / "config.yml").write_text(re.sub(r"(?<=\nloss_function: )\w+", names[row % 4], changed))
        values = json.loads(summary.read_text())
        values["test/accuracy"] = 0.9 + (row * 7919 % 1000) / 10_000
        (run / "summary.json").write_text(json.dumps(values))
        for name in ("environment.json", "metrics.csv"):
            shutil.copy(original / name, run / name)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, ROOT / "compare.py", folder], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def one_run(folder: Path) -> Path:
    """Train the run that others are copies of."""
    keys = ["dataset=digits", "convert_to_grayscale=true", "image_size=null", "architecture=test_resnet", "trackers=[]"]
    keys += ["num_epochs=1", "accelerator=cpu", "seed=0", f"output_path={folder}/output", f"logging_dir={folder}/logs"]
    empty = folder / "empty.yml"
    empty.write_text("{}\n")
    subprocess.run([sys.executable, ROOT / "train.py", empty, *keys], check=True, capture_output=True)
    return next((folder / "output").glob("*/summary.json")).parent


def sweep(places: int, folder: Path) -> float:
    """Return the seconds of a sweep of eight short runs, so many side by side."""
    folder.mkdir(parents=True)
    file = folder / "some.yml"
    file.write_text(SWEEP)
    before = time.perf_counter()
    where = [
        f"output_path={folder}/output",
        f"logging_dir={folder}/logs",
        f"sweep.cpus_per_run={(os.cpu_count() or 1) / places}",
    ]
    subprocess.run([sys.executable, ROOT / "train.py", file, *where], check=True, capture_output=True)
    return time.perf_counter() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help="images, runs, sweep; all of them by default")
    parser.add_argument("--quick", action="store_true", help="the two smallest of each")
    parser.add_argument("--json", metavar="FILE", help="write the numbers there, too")
    options = parser.parse_args()
    parts, most = options.parts or ["images", "runs", "sweep"], 2 if options.quick else None
    results: dict[str, dict] = {}
    print(environment("cpu"), end="\n\n")
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        os.environ["XDG_CACHE_HOME"] = str(scratch / "cache")
        if "images" in parts:
            results["images"] = {n: start_of_a_run(n, scratch / f"images{n}") for n in IMAGES[:most]}
            rows = {
                f"{n:,}": [
                    *(f"{seconds:.2f}" for seconds in list(taken.values())[:-1]),
                    f"{taken['memory'] / 1e6:,.0f}",
                    f"{sum(list(taken.values())[:-1]) / n * 1e6:.0f}",
                ]
                for n, taken in results["images"].items()
            }
            steps = [*(f"{name}, s" for name in list(results["images"][IMAGES[0]])[:-1]), "memory, MB", "µs an image"]
            print(table(["training images", *steps], rows), end="\n\n")
        if "runs" in parts:
            original = one_run(scratch)
            results["runs"] = {n: comparison(n, scratch / f"runs{n}", original) for n in RUNS[:most]}
            print(
                table(["runs", "compare.py, s"], {f"{n:,}": [f"{s:.1f}"] for n, s in results["runs"].items()}),
                end="\n\n",
            )
        if "sweep" in parts:
            results["sweep"] = {n: sweep(n, scratch / f"sweep{n}") for n in PLACES[:most]}
            rows = {str(n): [f"{s:.0f}", f"{8 / s * 3600:,.0f}"] for n, s in results["sweep"].items()}
            print(table(["side by side", "8 runs, s", "runs an hour"], rows))
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()

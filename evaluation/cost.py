"""What using a trained network costs: its size, its time and its memory on this device."""

from __future__ import annotations

import ctypes
import ctypes.util
import gc
import io
import statistics
import threading
import time
from collections.abc import Callable
from typing import Annotated, NamedTuple

import psutil
import torch
from msgspec import Meta
from torch import nn

from datasets.readers.files import progress
from evaluation.findings import Findings
from evaluation.ranges import Size
from evaluation.subject import Subject
from models.flops import count_multiply_adds
from models.scorer import Scorer

BATCH = 64
WARM_UP = 3
MB = 10**6


def cost(subject: Subject, *, repeats: Annotated[int, Meta(ge=3)] = 30, seconds: Size = 10.0) -> Findings:
    """Measure the network with its last layer, from normalised images to scores, without loading the images.

    Args:
        repeats: timed passes of each batch size, >= 3, after warm-up.
        seconds: after which no further pass begins, of each batch size, once 3 are timed; > 0.

    Returns: parameters; multiply_adds of an image; weights_mb, the weights alone as torch.save writes them, and
        checkpoint_mb, the file best.ckpt, in 10^6 bytes; latency_ms of a batch of 1 and latency_of_64_ms,
        medians; images_per_second of the latter; memory_mb, what a batch of 64 takes beside the weights.
    """
    with subject.precision.forward_context():
        return _cost(subject, repeats, seconds)


def _cost(subject: Subject, repeats: int, seconds: float) -> Findings:
    classifier, found = subject.classifier, Findings("cost")
    network = Scorer(classifier.network, classifier.own_head)
    shape = (subject.config.in_channels, *subject.data.image_size)
    found.add("parameters", sum(each.numel() for each in network.parameters()))
    found.add("multiply_adds", count_multiply_adds(network, subject.data.image_size, shape[0]))
    found.add("weights_mb", saved_bytes(network) / MB)
    found.add("checkpoint_mb", subject.folder.best.stat().st_size / MB)
    rows = []
    for size, name in ((1, "latency_ms"), (BATCH, "latency_of_64_ms")):
        images = torch.rand(size, *shape, device=subject.device)
        with progress(repeats, f"passes of {size}", unit="pass") as bar:
            timing = measure(lambda batch=images: network(batch), subject.device, repeats, seconds, bar.update)
        found.add(name, timing.median)
        spread = f"{timing.low:,.2f} to {timing.high:,.2f}"
        rows.append(
            (f"{size}", f"{timing.median:,.2f}", spread, f"{timing.number}", f"{1000 * size / timing.median:,.0f}")
        )
    header = ("images", "median, ms", "25 to 75 % of passes, ms", "passes", "images/s")
    found.add_table("Latency", header, rows)
    found.add("images_per_second", 1000 * BATCH / found.numbers["latency_of_64_ms"])
    found.add("memory_mb", peak_memory(lambda: network(images), subject.device) / MB)
    found.notes = [_how(subject.device, subject.precision.precision)]
    return found


def saved_bytes(network: nn.Module) -> int:
    """Return the size of a file of a network's weights."""
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    return file.tell()


class Timing(NamedTuple):
    """Milliseconds: median and quartiles of so many passes."""

    median: float
    low: float
    high: float
    number: int


def measure(
    work: Callable[[], object],
    device: torch.device,
    repeats: int,
    seconds: float,
    tell: Callable[[], object] = lambda: None,
) -> Timing:
    """Time something on a device, after warm-up. Args: tell: hears of each pass that is timed."""
    times: list[float] = []
    with torch.inference_mode():
        for _ in range(WARM_UP):
            work()
        began = time.perf_counter()
        while len(times) < 3 or (len(times) < repeats and time.perf_counter() - began < seconds):
            _wait(device)
            start = time.perf_counter()
            work()
            _wait(device)
            times.append(1000 * (time.perf_counter() - start))
            tell()
    low, median, high = statistics.quantiles(times, n=4, method="inclusive")
    return Timing(median, low, high, len(times))


def peak_memory(work: Callable[[], object], device: torch.device) -> int:
    """Return the most bytes that something takes beside what was there."""
    with torch.inference_mode():
        if device.type == "cuda":
            _wait(device)
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_allocated(device)
            work()
            _wait(device)
            return torch.cuda.max_memory_allocated(device) - before
        gc.collect()
        _return_free_memory()
        with _Watch() as watch:
            work()
        return watch.growth


class _Watch:
    """Looks at this process's resident memory every millisecond, from a thread of its own."""

    def __enter__(self) -> _Watch:
        self._process, self._done = psutil.Process(), threading.Event()
        self._before = self._highest = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def growth(self) -> int:
        return self._highest - self._before

    def _look(self) -> None:
        while not self._done.wait(0.001):
            self._highest = max(self._highest, self._process.memory_info().rss)


def _return_free_memory() -> None:
    """Hand what was freed back to the system where the C library can, so that its use again is seen."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if ctypes.util.find_library("c") else None
    if trim is not None:
        trim(0)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _how(device: torch.device, precision: str) -> str:
    what = f"images on 0 to 1 drawn at random, in memory already; precision {precision}, torch.inference_mode"
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        return f"{name}; {what}; memory: the allocator's peak less what was allocated before"
    memory = "memory: growth of the process's resident memory, looked at every millisecond; a lower bound"
    return f"{device.type}, {torch.get_num_threads()} threads; {what}; {memory}"

"""Cost of a trained network: size, latency and memory on this device."""

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
from evaluation import PositiveFloat
from evaluation.exported_cost import exported_models
from evaluation.findings import Findings
from evaluation.subject import Subject
from models.flops import count_multiply_adds
from models.scorer import Scorer

KINDS = ("image", "sequence")
NUMBERS = {
    "parameters": ("count", "lower", "of the network with its last layer"),
    "multiply_adds": ("count", "lower", "of the network with its last layer, for one image"),
    "weights_mb": ("megabytes", "lower", "size of the weights as torch.save writes them, in 10^6 bytes"),
    "checkpoint_mb": ("megabytes", "lower", "size of best.ckpt, in 10^6 bytes"),
    "latency_ms": ("milliseconds", "lower", "time for one image, median of passes on this device"),
    "latency_of_64_ms": ("milliseconds", "lower", "time for a batch of 64, median of passes on this device"),
    "images_per_second": ("count", "higher", "in batches of 64"),
    "onnx_mb": ("megabytes", "lower", "size of the model that export.py made, in 10^6 bytes"),
    "onnx_latency_ms": ("milliseconds", "lower", "its time for one image on the CPU, from pixels to the answer"),
    "onnx_int8_mb": ("megabytes", "lower", "size of the model of 8 bits that export.py made, in 10^6 bytes"),
    "onnx_int8_latency_ms": ("milliseconds", "lower", "its time for one image on the CPU, from pixels to the answer"),
    "memory_mb": ("megabytes", "lower", "memory for a batch of 64 in addition to the weights, in 10^6 bytes"),
}
BATCH = 64
WARM_UP = 3
MB = 10**6


def cost(subject: Subject, *, repeats: Annotated[int, Meta(ge=3)] = 30, seconds: PositiveFloat = 10.0) -> Findings:
    """Measure the network with its last layer, from normalised images to scores; loading images is not included.

    Args:
        repeats: timed passes of each batch size, >= 3, after warm-up.
        seconds: time after which no further pass of a batch size begins, once 3 are timed; > 0.
    """
    classifier, device, findings = subject.classifier, subject.device, Findings("cost")
    network = Scorer(classifier.network, classifier.own_head)
    shape = (subject.config.in_channels, *subject.data.image_size)
    rows = []
    with subject.precision.forward_context():
        findings.add("parameters", sum(parameter.numel() for parameter in network.parameters()))
        findings.add("multiply_adds", count_multiply_adds(network, subject.data.image_size, shape[0]))
        findings.add("weights_mb", saved_bytes(network) / MB)
        findings.add("checkpoint_mb", subject.folder.best.stat().st_size / MB)
        for size, name in ((1, "latency_ms"), (BATCH, "latency_of_64_ms")):
            images = torch.rand(size, *shape, device=device)
            with progress(repeats, f"passes of {size}", unit="pass") as bar:
                timing = measure(lambda batch=images: network(batch), device, repeats, seconds, bar.update)
            findings.add(name, timing.median)
            spread = f"{timing.low:,.2f} to {timing.high:,.2f}"
            rate = 1000 * size / timing.median
            rows.append((f"{size}", f"{timing.median:,.2f}", spread, f"{timing.passes}", f"{rate:,.0f}"))
        findings.add("images_per_second", rate)
        findings.add("memory_mb", peak_memory(lambda: network(images), device) / MB)
    for exported in exported_models(subject.folder.path, shape):
        timing = measure(exported.work, torch.device("cpu"), repeats, seconds)
        findings.add(f"{exported.name}_mb", exported.file.stat().st_size / MB)
        findings.add(f"{exported.name}_latency_ms", timing.median)
        spread = f"{timing.low:,.2f} to {timing.high:,.2f}"
        label = f"1, {exported.name.replace('_', ' ')}, on the CPU"
        rows.append((label, f"{timing.median:,.2f}", spread, f"{timing.passes}", f"{1000 / timing.median:,.0f}"))
    findings.add_table("Latency", ("images", "median, ms", "25 to 75 % of passes, ms", "passes", "images/s"), rows)
    where = f"{device.type}, {torch.get_num_threads()} threads"
    memory = "growth of the process's resident memory, sampled every millisecond; a lower bound"
    if device.type == "cuda":
        where = torch.cuda.get_device_name(device)
        memory = "peak of the allocator less the memory allocated before"
    setting = f"random images on 0 to 1, already in memory; precision {subject.precision.precision}"
    findings.notes = [f"{where}; {setting}, torch.inference_mode; memory: {memory}"]
    return findings


def saved_bytes(network: nn.Module) -> int:
    """Return the size of a file of a network's weights."""
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    return file.tell()


class Timing(NamedTuple):
    """Median and quartiles in milliseconds, and the number of passes."""

    median: float
    low: float
    high: float
    passes: int


def measure(
    work: Callable[[], object],
    device: torch.device,
    repeats: int,
    seconds: float,
    after_pass: Callable[[], object] = lambda: None,
) -> Timing:
    """Time a function on a device, after warm-up. Args: after_pass: called after each timed pass."""
    times: list[float] = []
    with torch.inference_mode():
        for _ in range(WARM_UP):
            work()
        began = time.perf_counter()
        while len(times) < 3 or (len(times) < repeats and time.perf_counter() - began < seconds):
            _synchronize(device)
            start = time.perf_counter()
            work()
            _synchronize(device)
            times.append(1000 * (time.perf_counter() - start))
            after_pass()
    low, median, high = statistics.quantiles(times, n=4, method="inclusive")
    return Timing(median, low, high, len(times))


def _synchronize(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def peak_memory(work: Callable[[], object], device: torch.device) -> int:
    """Return the most bytes that a function takes in addition to those in use."""
    with torch.inference_mode():
        if device.type == "cuda":
            _synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_allocated(device)
            work()
            _synchronize(device)
            return torch.cuda.max_memory_allocated(device) - before
        gc.collect()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if ctypes.util.find_library("c") else None
        if trim is not None:
            trim(0)  # gives freed memory back to the system, so that using it again is seen
        return _growth_of_resident_memory(work)


def _growth_of_resident_memory(work: Callable[[], object]) -> int:
    """Return how far this process's resident memory rises, sampled every millisecond by a thread."""
    process, done = psutil.Process(), threading.Event()
    sizes = [process.memory_info().rss]

    def sample() -> None:
        while not done.wait(0.001):
            sizes.append(process.memory_info().rss)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        work()
    finally:
        done.set()
        thread.join()
    return max(sizes) - sizes[0]

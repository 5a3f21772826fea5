"""How fast a configuration trains here under other settings of the machine: `python train.py FILE --profile`."""

from __future__ import annotations

import itertools
import logging
import multiprocessing
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import psutil
import pytorch_lightning as pl
import torch
from msgspec import structs
from pytorch_lightning.callbacks import Callback

from configuration.schema import Configuration
from datasets.readers.files import available_cores
from runs.environment import precision_here
from training.building import prepare
from training.memory import is_out_of_memory, keep_freed_memory
from training.trainer import build_lightning
from utils.types import ConfigError, first_line

FORK = "forkserver"
CONTEXT: Any = multiprocessing.get_context(FORK if FORK in multiprocessing.get_all_start_methods() else "spawn")
IMPORTED = ("torch", "pytorch_lightning", "timm", "training.profile")
WARM_UP, STEPS, SECONDS = 2, 4, 1.5
"""Steps that are not counted, and the fewest steps and seconds of them that are."""
LONGEST = 8.0
"""Seconds after which a slow setting is cut short."""
PATIENCE = 3
"""Seconds that a process has to end by itself."""
BATCHES = 4
"""Batches of images that are read; they come again and again."""
WORTH = 1.03
"""How many times as fast as configured a setting must be to be recommended."""
FOR_COMPILING = 25.0
"""Seconds at the end, of a minute, that the other settings leave for the one with the other `compile`."""
CHANGES = {
    "precision": "rounds to fewer or more digits; another run",
    "channels_last": "the last digits, as sums are made in another order; another run",
    "compile": "the last digits, as sums are made in another order; another run",
    "threads": "the last digits, as sums are made in another order; the same run",
    "num_workers": "nothing",
}
"""What a key changes in the numbers of a run."""


class Setting(NamedTuple):
    """What may be set otherwise. `threads` of the processor is None on a GPU."""

    precision: str
    channels_last: bool
    compile: bool
    threads: int | None
    num_workers: int

    def keys(self) -> dict[str, Any]:
        return {key: value for key, value in self._asdict().items() if key != "threads"}


class Step(NamedTuple):
    """Seconds of a step and of the wait for its batch, bytes held at most so far, and images in it."""

    seconds: float
    waiting: float
    memory: int
    images: int


class Speed(NamedTuple):
    """The counted steps of a setting, the seconds until then, and why there are no more steps."""

    steps: list[Step]
    start: float = 0.0
    failure: str | None = None

    @property
    def rate(self) -> float:
        """Images a second."""
        if not self.steps:
            return 0.0
        return self.steps[0].images / statistics.median(step.seconds + step.waiting for step in self.steps)


CUT = Speed([], 0, f"not {WARM_UP + 1} steps in the time that there was")
LONGER = "train one epoch with compile=true num_epochs=1 and look at its images/s"


def profile(config: Configuration, seconds: float = 60) -> str:
    """Return a table of images a second under several settings, and the keys that would be fastest.

    One kind of setting after another is varied from the fastest so far, each for a few real steps in a process of its
    own. No run folder is made.

    Args: seconds: how long this process may take from its start; what is left at the end is for compilation.
    Raises: ConfigError, DataError for whatever a run would be refused.
    """
    end = psutil.Process().create_time() + seconds - PATIENCE
    config = structs.replace(config, devices=1, num_nodes=1, strategy="auto", trackers=[])
    if CONTEXT.get_start_method() == FORK:
        CONTEXT.set_forkserver_preload(list(IMPORTED))
        CONTEXT.Process(target=int).start()  # the server imports meanwhile
    device = build_lightning(config).strategy.root_device
    cores, threads = available_cores(), torch.get_num_threads() if device.type == "cpu" else None
    workers = prepare(config).data.num_workers
    configured = Setting(precision_here(config), config.channels_last, config.compile, threads, workers)
    speeds: dict[Setting, Speed] = {}

    def measure_all(settings: Iterable[Setting], longest: float = LONGEST, kept: float = FOR_COMPILING) -> Setting:
        """Measure what is new while more seconds are left than are to be kept, and return the fastest of all."""
        for setting in settings:
            if setting not in speeds and (left := end - time.time() - kept) > 0:
                speeds[setting] = measure_aside(config, setting, min(left, longest))
        return max(speeds, key=lambda setting: speeds[setting].rate)

    best = measure_all([configured], seconds, kept=0)
    precisions = dict.fromkeys((configured.precision, "32-true", half_precision(device)))
    for precision, layout in itertools.product(precisions, (False, True)):
        best = measure_all([configured._replace(precision=precision, channels_last=layout)])
    if threads is not None:
        best = measure_all(best._replace(threads=number) for number in sorted({1, max(1, cores // 2), cores}))
    best = measure_all(best._replace(num_workers=number) for number in sorted({0, 1, min(cores, 8)}))
    other, left = best._replace(compile=not best.compile), max(0, end - time.time())
    best = measure_all([other], seconds, kept=0)
    if other.compile and speeds.get(other, CUT).failure == CUT.failure:
        text = f"not measured: compiling takes longer than the {left:.0f} s that were left; {LONGER}"
        speeds[other] = Speed([], 0, text)
    return report(configured, best, speeds, cores, device)


def half_precision(device: torch.device) -> str:
    if device.type == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    return "16-mixed" if device.type == "mps" else "bf16-mixed"


def measure_aside(config: Configuration, setting: Setting, longest: float) -> Speed:
    """Measure a setting in a process of its own, which is ended when its time is over."""
    ours, theirs = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_serve, args=(theirs, config, setting))
    begin = time.monotonic()
    process.start()
    theirs.close()
    steps: list[Step] = []
    start, failure, end = 0.0, None, None
    try:
        while True:
            left = 600.0 if end is None else end - time.monotonic()  # preparing the images is not held against it
            if not ours.poll(max(left, 0)):
                failure = CUT.failure if len(steps) <= WARM_UP else None
                break
            message = ours.recv()
            if message is None:
                end = time.monotonic() + longest
            elif isinstance(message, Step):
                steps.append(message)
                start = time.monotonic() - begin if len(steps) == WARM_UP else start
            else:
                failure = message
                break
    except EOFError:
        process.join(1)
        failure = None if len(steps) > WARM_UP else f"its process died ({process.exitcode})"
    if process.is_alive():
        os.kill(process.pid, signal.SIGINT)  # which leaves it time to clear up
        process.join(PATIENCE)
    process.kill()
    process.join()
    return Speed(steps[WARM_UP:], start, failure)


def _serve(connection: Connection, config: Configuration, setting: Setting) -> None:
    """Measure in this process, silently, and send each step."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    logging.disable()
    failure = measure(config, setting, connection.send)
    if failure is not None:
        connection.send(failure)


def measure(config: Configuration, setting: Setting, send: Callable[[Any], None]) -> str | None:
    """Train a few steps, and return why it failed.

    Args: send: takes None once everything is ready, then a `Step` after each.
    """
    try:
        if setting.threads is not None:
            torch.set_num_threads(setting.threads)
        prepared = prepare(structs.replace(config, **setting.keys()))
        prepared.data.repeat_few_images(BATCHES * config.batch_size)
        prepared.data.keep_images()
        if setting.compile:
            prepared.classifier.compile()
        keep_freed_memory()
        meter = Meter(send)
        trainer = build_lightning(
            prepared.config,
            max_epochs=config.num_epochs,  # which schedules count on
            gradient_clip_val=config.gradient_clip_norm,
            accumulate_grad_batches=config.accumulate_batches,
            callbacks=[meter],
            limit_val_batches=0,
            enable_progress_bar=False,
            enable_checkpointing=False,
            use_distributed_sampler=False,
        )
        send(None)
        trainer.fit(prepared.classifier, prepared.data)
    except Enough:
        return None
    except (ConfigError, MemoryError, RuntimeError) as error:  # the other settings are still of interest
        return "out of memory" if is_out_of_memory(error) else f"{type(error).__name__}: {first_line(error)}"
    return None


class Enough(Exception):
    """Ends the training whose steps have been measured."""


class Meter(Callback):
    """Sends what each step took."""

    def __init__(self, send: Callable[[Step], None]) -> None:
        self._send = send
        self._before = self._begin = self._counted = 0.0
        self._steps = 0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._before = time.perf_counter()

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, _: int) -> None:
        self._begin = time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *batch: Any) -> None:
        device = trainer.strategy.root_device
        if device.type == "cuda":
            torch.cuda.synchronize()
            memory = torch.cuda.max_memory_allocated()
        else:
            memory = psutil.Process().memory_info().rss
        now = time.perf_counter()
        images = int(batch[1].index.numel())
        self._send(Step(now - self._begin, self._begin - self._before, memory, images))
        self._steps += 1
        self._counted += now - self._before if self._steps > WARM_UP else 0.0
        if self._steps >= WARM_UP + STEPS and self._counted >= SECONDS:
            raise Enough
        self._before = time.perf_counter()


def report(configured: Setting, best: Setting, speeds: dict[Setting, Speed], cores: int, device: torch.device) -> str:
    """Return the table and the recommendation."""
    names = [name for name in Setting._fields if name != "threads" or configured.threads is not None]
    headings = [*names, "images/s", "waiting", "memory", "until then", ""]
    rows = []
    for setting, speed in speeds.items():
        mark = "as configured" if setting == configured else "fastest" if setting == best else ""
        cells = [_word(getattr(setting, name)) for name in names]
        if speed.steps:
            waiting = sum(s.waiting for s in speed.steps) / sum(s.seconds + s.waiting for s in speed.steps)
            memory = max(step.memory for step in speed.steps) / 1e9
            cells += [f"{speed.rate:,.0f}", f"{waiting:.0%}", f"{memory:.1f} GB", f"{speed.start:.0f} s", mark]
        else:
            cells += ["-", "", "", "", speed.failure or "no step"]
        rows.append(cells)
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in [headings, *rows]]
    lines = [line.rstrip() for line in lines]
    lines.append(f"\n{device.type}, {cores} cores, load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "")
    gain = speeds[best].rate / speeds[configured].rate if speeds[configured].rate else float("inf")
    if best == configured or gain < WORTH:
        return "\n".join([*lines, "nothing tried is faster by more than 3 % than what is configured"])
    lines.append(f"fastest, {gain:.2f} times as fast as configured:")
    for name in names:
        if getattr(best, name) != getattr(configured, name):
            value = _word(getattr(best, name))
            key = f"OMP_NUM_THREADS={value} in the environment" if name == "threads" else f"{name}: {value}"
            lines.append(f"    {key:<24}  changes {CHANGES[name]}")
    return "\n".join(lines)


def _word(value: Any) -> str:
    return str(value).lower()

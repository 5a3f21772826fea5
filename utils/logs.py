"""The log: plain lines on the screen, dated lines in a file."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
import warnings
from pathlib import Path
from types import TracebackType
from typing import IO

from utils.secrets import redact
from utils.types import printable

EXPECTED = (
    # Lightning's advice on matters that this project decides itself.
    r".*does not have many workers.*",
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated.*",
    r".*It is recommended to use `self\.log\(.*sync_dist=True\)`.*",
    r".*Using `DistributedSampler` with the dataloaders.*",
    r".*is not recommended to use.*DistributedSampler.*",
    r"The `srun` command is available.*",  # outside a Slurm job only, such as on the cluster's login node
    r"Found \d+ module\(s\) in eval mode at the start of training.*",  # a loss's teacher
    # Matplotlib has no letters for some class names.
    r"Glyph .* missing from font.*",
    r".*Checkpoint directory .* exists and is not empty.*",
)


def presentable(text: object) -> str:
    """Return a text that is safe to show: secrets covered, control characters escaped."""
    return "\n".join(map(printable, redact(str(text)).split("\n")))


class _Presentable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return presentable(super().format(record))


def say(text: str, stream: IO[str]) -> None:
    """Print and flush a text. If the stream cannot be written, as on a full disk, warn once and drop later output.

    Raises: BrokenPipeError if the reader has gone.
    """
    try:
        print(f"{text}\n", end="", file=stream, flush=True)  # a signal splits no line
    except BrokenPipeError:
        raise
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if stream is not sys.stderr:
            reason = error.strerror or error
            say(f"warning: {stream.name}: {reason}; nothing more is written there", sys.stderr)


class _ToScreen(logging.Handler):
    """Write progress to standard output and warnings to standard error, whichever streams these are at the time."""

    def emit(self, record: logging.LogRecord) -> None:
        stream = sys.stderr if record.levelno >= logging.WARNING else sys.stdout
        mark = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        say(f"{mark}{presentable(record.getMessage())}", stream)


class _ToFile(logging.FileHandler):
    """Write dated lines; if they cannot be written, as on a full disk, warn once."""

    warned = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:  # it is opened for the first line
            self.handleError(record)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # there was a warning when a line could not be written
            super().close()

    def handleError(self, record: logging.LogRecord) -> None:
        if not self.warned:
            self.warned = True
            error = sys.exc_info()[1]
            reason = getattr(error, "strerror", None) or error
            print(f"warning: {self.baseFilename}: {reason}; the log is not complete", file=sys.stderr)


def configure(level: str, folder: str, only_complaints: bool = False) -> None:
    """Send the project's log to the screen and to <folder>/lossbench.log, with Python's warnings as lines of it.

    Args: only_complaints: show only warnings and errors on the screen.
    """
    log = logging.getLogger("lossbench")
    log.setLevel(level if os.environ.get("LOCAL_RANK", "0") == "0" else logging.ERROR)  # one process reports for all
    log.propagate = False
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
    log.addHandler(_ToScreen(logging.WARNING if only_complaints else logging.NOTSET))
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        file = _ToFile(Path(folder) / "lossbench.log", encoding="utf-8", delay=True)
        file.setFormatter(_Presentable("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(file)
    except OSError:
        pass  # the run's own check names the folder and the remedy
    for name in ("pytorch_lightning", "lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    ignore_expected()
    warnings.showwarning = _as_line


def ignore_expected() -> None:
    """Drop warnings of libraries that mean nothing to a user of this project."""
    for text in EXPECTED:
        warnings.filterwarnings("ignore", message=text)
    # of images that are usable all the same (damaged EXIF data), or are rejected by file name later
    warnings.filterwarnings("ignore", module=r"PIL\.")


def _as_line(message, category, filename, lineno, file=None, line=None) -> None:
    logging.getLogger("lossbench").warning("%s", message)


def print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback with secrets covered and write it to the log file; for `sys.excepthook`."""
    print(presentable("".join(traceback.format_exception(kind, error, trace))), file=sys.stderr, end="")
    log = logging.getLogger("lossbench")
    record = log.makeRecord(log.name, logging.CRITICAL, "", 0, "ended by a bug", (), (kind, error, trace))
    for handler in log.handlers:
        if isinstance(handler, _ToFile):
            handler.handle(record)

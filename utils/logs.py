"""Where the runner's words go: plain lines on the screen, dated ones in a file."""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
import warnings
from pathlib import Path
from types import TracebackType

from utils.secrets import redact

EXPECTED = (
    # Lightning's advice on what this project decides by itself.
    r".*does not have many workers.*",
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated.*",
    r".*It is recommended to use `self\.log\(.*sync_dist=True\)`.*",
    r".*Using `DistributedSampler` with the dataloaders.*",
    r".*is not recommended to use.*DistributedSampler.*",
    r"Found \d+ module\(s\) in eval mode at the start of training.*",  # a loss's teacher
    # Matplotlib has no letters for some class names.
    r"Glyph .* missing from font.*",
    r".*Checkpoint directory .* exists and is not empty.*",
)


_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What steers a terminal or turns the order of letters: names in archives and data sets come from anybody."""


def printable(text: object) -> str:
    """Return a text as it may be shown: secrets covered, control characters as their escapes."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), redact(str(text)))


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class _ToScreen(logging.Handler):
    """Progress to standard output, complaints to standard error, both as they are when used."""

    def emit(self, record: logging.LogRecord) -> None:
        stream = sys.stderr if record.levelno >= logging.WARNING else sys.stdout
        mark = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        print(f"{mark}{printable(record.getMessage())}", file=stream, flush=True)


def configure(level: str, folder: str) -> None:
    """Send the project's log to the screen and to <folder>/lossbench.log, and warnings into it as one line each."""
    log = logging.getLogger("lossbench")
    log.setLevel(level if os.environ.get("LOCAL_RANK", "0") == "0" else logging.ERROR)  # one process speaks for all
    log.propagate = False
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
    log.addHandler(_ToScreen())
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        file = logging.FileHandler(Path(folder) / "lossbench.log", encoding="utf-8", delay=True)
        file.setFormatter(_Printable("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(file)
    except OSError:
        pass  # the run's own check names the folder and the remedy
    for name in ("pytorch_lightning", "lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for text in EXPECTED:
        warnings.filterwarnings("ignore", message=text)
    warnings.showwarning = _as_line


def _as_line(message, category, filename, lineno, file=None, line=None) -> None:
    logging.getLogger("lossbench").warning("%s", message)


def print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print as Python does, secrets covered: made for `sys.excepthook`."""
    print(printable("".join(traceback.format_exception(kind, error, trace))), file=sys.stderr, end="")

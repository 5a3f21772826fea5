"""The errors that a user can correct, and how messages show texts."""

from __future__ import annotations

import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterable


def printable(text: str) -> str:
    """Return a one-line text with control characters, and whatever no file can hold, escaped."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def shorten(text: str, limit: int) -> str:
    """Cut a text to at most `limit` characters, the last three of them "..." when something was cut."""
    return text if len(text) <= limit else f"{text[: limit - 3].rstrip()}..."


class UserError(Exception):
    """A user's mistake: the scripts print it without a traceback and exit with status 2.

    Control characters are escaped, as a message may hold names from files and archives.
    """

    def __init__(self, message: str) -> None:
        super().__init__("\n".join(map(printable, message.split("\n"))))


class ConfigError(UserError):
    """A configuration that cannot be run; the message names every mistake with its place."""


class DataError(UserError):
    """Data that is missing, damaged or inconsistent; the message names the files."""


DAMAGED_TENSORS = (
    *(TypeError, ValueError, RuntimeError, ArithmeticError, LookupError, AttributeError),
    pickle.UnpicklingError,
    EOFError,
    MemoryError,
    struct.error,
    SyntaxError,
    zipfile.BadZipFile,
    zlib.error,
)
"""Errors of torch.load and numpy.load for files that are damaged or hold more than tensors."""


def first_few(texts: Iterable[str], most: int, separator: str = ", ") -> str:
    """Return the first texts and how many more there are."""
    all_texts = list(texts)
    more = [f"and {len(all_texts) - most:,} more"] if len(all_texts) > most else []
    return separator.join([*all_texts[:most], *more])


def first_line(error: BaseException) -> str:
    """Return the first line of a library's error, or its kind if it has no message.

    Of a refused pickle only the first sentence: in the second torch advises to disable that check.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = (lines or [type(error).__name__])[0][:200]
    return line.partition(". ")[0] if isinstance(error, pickle.UnpicklingError) else line


class TrainingError(Exception):
    """A run that cannot continue, such as one whose loss is not finite; the scripts exit with status 1."""

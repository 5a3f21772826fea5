"""Memory that the rows of a Parquet file take, judged before they are read: a small file can unpack to gigabytes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow.parquet as pq

VALUE_BYTES = 8
"""Of a value that is read, a number or where a text begins; in a file, equal ones take next to nothing."""


def memory_problem(files: Iterable[pq.FileMetaData], num_columns: int, held: int = 0) -> str | None:
    """Return what so many columns of files take, read whole, if it is more than this machine's memory, else None.

    Args: held: bytes that others of these files take already.
    """
    return exceeds_memory(held + sum(_num_bytes(each, num_columns) for each in files))


def machine_memory() -> float:
    """Return the bytes of this machine's memory, infinite where the system does not say."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return math.inf
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def exceeds_memory(num_bytes: int) -> str | None:
    """Return a size in words if it is more than this machine's memory, else None."""
    if num_bytes <= (memory := machine_memory()):
        return None
    return f"{num_bytes / 1e9:,.1f} GB, more than this machine's memory of {memory / 1e9:,.1f} GB"


def _num_bytes(file: pq.FileMetaData, num_columns: int) -> int:
    """Return what rows take; asked for single columns of a damaged file, pyarrow ends the process."""
    groups = (file.row_group(number) for number in range(file.num_row_groups))
    return sum(max(group.total_byte_size, VALUE_BYTES * num_columns * group.num_rows) for group in groups)

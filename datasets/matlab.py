"""MATLAB files, read so that a wrong one is told by its name and by what it lacks."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from utils.types import DataError


def read_matlab(path: Path, *names: str) -> dict[str, np.ndarray]:
    """Read variables from a .mat file, dimensions of size 1 squeezed out and at least one left.

    Raises: DataError if the file is missing, damaged, of version 7.3 or lacks a variable.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content: dict[str, Any] = loadmat(path, squeeze_me=True)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except NotImplementedError:
        raise DataError(f"{path}: a MATLAB file of version 7.3; version 5, as published, is expected") from None
    except (
        MatReadError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        NameError,  # scipy's own, after a tag that it does not know
        ArithmeticError,
        struct.error,
        zlib.error,
    ) as error:
        raise DataError(f"{path}: damaged or no MATLAB file: {error}") from None
    if lacking := [name for name in names if name not in content]:
        found = ", ".join(name for name in content if not name.startswith("__")) or "nothing"
        raise DataError(f"{path}: lacks {', '.join(lacking)} (found: {found})")
    return {name: np.atleast_1d(content[name]) for name in names}

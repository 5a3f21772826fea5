"""Names of the user's own code, as a configuration has them once it is read: own_DIGEST.MODULE:NAME.

They can be imported as they stand; utils/own_code.py reads the sources.
"""

from __future__ import annotations

import re

OWN = re.compile(r"own_([0-9a-f]{12})\.([\w-]+(?:\.[\w-]+)*):(\w+)")
"""Digest of the sources, module and what it defines."""
OWN_PACKAGE = re.compile(r"own_([0-9a-f]{12})(?:\.|$)")
"""Package below which the sources of a digest are imported."""
_WHOLE = re.compile(rf"{OWN.pattern}|[^.]*\.py:\w*")
"""What stands in one part of a dotted key though it has dots."""


def is_own(name: object) -> bool:
    return isinstance(name, str) and OWN.fullmatch(name) is not None


def short_name(name: str) -> str:
    """Return what the user's own class or function is called, any other name as it is."""
    match = OWN.fullmatch(name)
    return match[3] if match else name


def as_written(text: str) -> str:
    """Return a message with FILE.py:NAME, as users write it, for every name with a digest."""
    return OWN.sub(lambda match: f"{match[2].replace('.', '/')}.py:{match[3]}", text)


def split_key(name: str) -> tuple[str, ...]:
    """Return the parts of a dotted key, among which may be names of the user's own code."""
    protected = _WHOLE.sub(lambda match: match[0].replace(".", "\0"), name)
    return tuple(part.replace("\0", ".") for part in protected.split("."))

"""Which of the parts that somebody's data are split into is the test part."""

from __future__ import annotations

from collections.abc import Collection

TEST_NAMES = ("test", "val", "valid", "validation")
SPLITS = ("train", *TEST_NAMES)
"""What a column split may say."""


def check_split(text: str) -> str:
    """Return the part that a field names, in capitals or not. Raises: ValueError if it names none."""
    if text.lower() not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {text!r}")
    return text.lower()


def choose_test_part(names: Collection[str], what: str) -> tuple[str | None, list[str]]:
    """Return the part to test on, None if there is none, and notes on what is done with validation images.

    Without a part test, that of validation is the test part: a run holds its own validation images out of train.

    Args:
        names: the parts there are.
        what: what a part is, such as "folder", for the notes.
    """
    present = [name for name in TEST_NAMES if name in names]
    if not present:
        return None, []
    notes = [] if present[0] == "test" else [f"no {what} test: {present[0]} is the test part"]
    notes += [f"{what} {name} is not used: valid_fraction holds images out of train" for name in present[1:]]
    return present[0], notes

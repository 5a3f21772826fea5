"""Which layout a folder has. To add one: write its file, add it to the table."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from datasets.readers.files import list_folder
from datasets.sets.stanford import class_folders, folders_with_csv, newer, older, parquet
from datasets.sets.stanford.source import without_single_levels
from utils.types import DataError

LAYOUTS = (older, newer, folders_with_csv, parquet, class_folders)
"""Each with NAME, FILES, NEEDS, marks(source) and read(source, raw, say, expected) -> Annotations. Where folders of
classes belong to another layout, that one stands before them."""

EXPECTED = "expected one of these layouts, folders also as .tgz or .zip:\n" + "\n".join(
    f"  {layout.NAME}: {layout.FILES}" for layout in LAYOUTS
)


def find_layout(source: Path) -> tuple[ModuleType, Path]:
    """Tell which layout a folder has, or the one folder in it.

    Returns: the layout and the folder that has it.
    Raises: DataError if it has none, or parts of several.
    """
    if not source.is_dir():
        raise DataError(f"{source}: no such folder; {EXPECTED}")
    for place in dict.fromkeys((source, without_single_levels(source))):
        found = {layout.NAME: marks for layout in LAYOUTS if (marks := layout.marks(place))}
        if folders_with_csv.NAME in found or parquet.NAME in found:
            found.pop(class_folders.NAME, None)
        if len(found) > 1:
            raise _mixture(place, found)
        for layout in LAYOUTS:
            if layout.NAME in found:
                return layout, place
    held = ", ".join(path.name for path in list_folder(source)[:10]) or "nothing"
    raise DataError(f"{source}: holds {held}; {EXPECTED}")


def _mixture(source: Path, found: dict[str, list[str]]) -> DataError:
    held = " and ".join(f"{', '.join(marks)} of the {name}" for name, marks in found.items())
    needs = ",\n".join(f"the {layout.NAME} needs {layout.NEEDS}" for layout in LAYOUTS if layout.NAME in found)
    return DataError(
        f"{source}: mixes {'both' if len(found) == 2 else 'several'} layouts, {held}.\n"
        "Their images are numbered differently, so labels of one on images of the other would be wrong.\n"
        f"Keep the files of one in a folder of their own: {needs}."
    )

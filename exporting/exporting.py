"""The export of a run: opened, made into each target, checked, and only then put where it belongs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from exporting import TARGETS
from exporting.folders import whole_folders
from exporting.requests import Request
from exporting.source import Source
from utils.lookup import Entry, load_entry


def export(request: Request, report: Callable[[str], None], write: bool = True) -> None:
    """Export a run to its targets.

    Args:
        report: takes lines for the user.
        write: False to check everything and write nothing.

    Raises: ConfigError or DataError for a run that cannot be opened or exported; CheckFailed; CannotWrite.
    """
    makers = [load_entry(Entry(TARGETS[name].location, "")) for name in request.targets]
    source = Source(request, report)
    if not write:
        with tempfile.TemporaryDirectory() as scratch:
            for name, make in zip(request.targets, makers, strict=True):
                folder = Path(scratch, name)
                folder.mkdir()
                _tell(report, name, make(source, folder))
        report("checked only: nothing is written")
        return
    places = [request.folder(name) for name in request.targets]
    lines = []
    with whole_folders(places) as folders:
        for make, folder in zip(makers, folders, strict=True):
            lines.append(make(source, folder))
    for name, place, own in zip(request.targets, places, lines, strict=True):
        _tell(report, name, [*own, os.path.join(place, "")])
    if request.push is not None:
        from exporting.hub import push

        report(push(places[request.targets.index("hub")], request.push))


def _tell(report: Callable[[str], None], name: str, lines: list[str]) -> None:
    for number, line in enumerate(lines):
        report(f"{name if number == 0 else '':<12}{line}")

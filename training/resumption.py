"""Starting a run that may exist: its folder, a result to keep, changed code, the environment that it began in."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities import rank_zero_only

from configuration.schema import Configuration
from runs.code import OnChange, accept, code_changes, continued_code, refusal
from runs.environment import changed_facts
from runs.folder import RunFolder, run_folder
from runs.records import write_json
from utils.files import DamagedFile
from utils.types import ConfigError

LOG = logging.getLogger("lossbench")
FOLDER_VARIABLE = "LOSSBENCH_RUN_FOLDER"


def is_child() -> bool:
    """Return whether another process of this run has chosen the folder: one for each further device."""
    return "LOCAL_RANK" in os.environ and FOLDER_VARIABLE in os.environ


def choose_folder(config: Configuration, data_fingerprint: str, fresh: bool) -> RunFolder:
    """Return the folder of a run; processes for further devices, which run the same command, use the first one's."""
    if is_child():
        return RunFolder(Path(os.environ[FOLDER_VARIABLE]))
    folder = run_folder(config, data_fingerprint, fresh)
    os.environ[FOLDER_VARIABLE] = str(folder.path)
    return folder


def must_retrain(config: Configuration, folder: RunFolder, on_change: OnChange) -> bool:
    """Return whether a run is to be retrained because its code has changed.

    Raises: ConfigError if it has, and nobody said what becomes of the run.
    """
    if not (folder.is_finished or folder.is_interrupted):
        return False
    with contextlib.suppress(DamagedFile):  # which a resume reports
        facts = folder.read_environment()
        if (changes := code_changes(facts, config)) is None:
            LOG.info("%s: its code was not recorded, so changes since cannot be detected", folder.path)
        elif changes and on_change is None:
            raise ConfigError(refusal(folder, changes, facts, config))
        elif changes and on_change == "keep" and rank_zero_only.rank == 0:
            accept(folder, changes)
        if on_change != "retrain" and (kept := code_changes(facts, config, accepted=False)):
            LOG.warning("%s: kept, though code has changed since it was trained: %s", folder.path, ", ".join(kept))
        return bool(changes) and on_change == "retrain"
    return False


def finished_summary(folder: RunFolder) -> dict[str, Any] | None:
    """Return the summary of a finished run; None also where the test must be repeated, as it left damaged files."""
    repeated = "%s is %s: the selected weights are tested again"
    try:
        summary = folder.finished_summary()
    except DamagedFile:
        LOG.warning(repeated, folder.summary, "damaged")
        return None
    if summary is not None and not folder.predictions.is_file() and folder.best.is_file() and folder.last.is_file():
        LOG.warning(repeated, folder.predictions, "missing")
        return None
    return summary


def record_environment(folder: RunFolder, facts: dict[str, Any], resumed: bool) -> None:
    """Write the environment of a run; warn of what has changed since a resumed one began, and record that, too."""
    before: dict[str, Any] = {}
    if resumed:
        with contextlib.suppress(DamagedFile):
            before = folder.read_environment()
        if not isinstance(before.get("packages"), dict) and folder.environment.is_file():
            LOG.warning(
                "%s is damaged and replaced: changes since this run began cannot be detected", folder.environment
            )
            before = {}
    continued = before.get("continued", [])
    if before:
        facts |= {"code": continued_code(before, facts["code"]), "code_accepted": before.get("code_accepted", [])}
        changes = changed_facts(before, facts)
        continued = [*continued, {"started": facts["started"], "changes": changes}]
        if changes:
            text = ", ".join(f"{name} {old} -> {new}" for name, (old, new) in changes.items())
            LOG.warning("this run began elsewhere (%s): its result may differ from that of an uninterrupted run", text)
    started = before.get("started", facts["started"])
    write_json(folder.environment, {**facts, "started": started, "continued": continued})

"""Work that follows a run's training before its folder is released, such as evaluations."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from configuration.schema import Configuration
from runs.folder import RunFolder
from training.parameter_checks import ParameterCheck


class Sequel(NamedTuple):
    """Work after the test of a run; its settings are checked together with the run's.

    Args:
        checks: of the parameters, each raises ConfigError.
        refuse: raises ConfigError for settings that do not suit the kind of data, "image" or "sequence".
        run: does what has not been done yet; must not raise for what only it lacks, as the run is finished.
    """

    checks: tuple[ParameterCheck, ...] = ()
    refuse: Callable[[Configuration, str], None] = lambda config, kind: None
    run: Callable[[Configuration, RunFolder], None] = lambda config, folder: None


NOTHING = Sequel()

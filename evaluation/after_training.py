"""The evaluations that a run's configuration asks for (`evaluate:`), done when it is trained and tested."""

from __future__ import annotations

import logging

from configuration.schema import Configuration
from evaluation import all_parameter_problems, judges
from evaluation.record import read_record
from runs.folder import DamagedFile, RunFolder
from training.parameter_checks import ParameterCheck
from training.sequel import Sequel
from utils.types import ConfigError, UserError

LOG = logging.getLogger("lossbench")


def _check_parameters(config: Configuration) -> None:
    if problems := all_parameter_problems(config.evaluate_params):
        raise ConfigError("\n".join(problems))


def _refuse(config: Configuration, kind: str) -> None:
    if others := [name for name in config.evaluate if not judges(name, kind)]:
        raise config.error({("evaluate",): f"{', '.join(others)}: says nothing about {kind}s"})


def _run(config: Configuration, folder: RunFolder) -> None:
    """Do the evaluations that are asked for and were not done yet with these parameters."""
    try:
        record = read_record(folder.evaluation)
    except DamagedFile:
        record = None
    done = {} if record is None or not record.facts["finished"] else record.evaluated
    params = config.evaluate_params
    wanted = [name for name in config.evaluate if name not in done or done[name].params != params.get(name, {})]
    if wanted:
        from evaluation.evaluating import evaluate  # with Lightning, which the checks of a sweep do without
        from evaluation.subject import build_subject

        try:
            evaluate(build_subject(folder, config), wanted, tell=lambda text: LOG.info("%s", text))
        except UserError as error:  # what was trained is there all the same
            LOG.warning("evaluate: %s", error)


AFTER_TRAINING = Sequel((ParameterCheck(("evaluate_params",), _check_parameters),), _refuse, _run)

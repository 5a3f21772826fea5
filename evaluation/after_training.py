"""The evaluations of a run's configuration (`evaluate:`), which follow its training and test."""

from __future__ import annotations

import logging

from configuration.schema import Configuration
from evaluation import all_parameter_problems, judges
from evaluation.record import readable_record
from runs.folder import RunFolder
from training.checks import ParameterCheck, Sequel
from utils.types import ConfigError, UserError

LOG = logging.getLogger("lossbench")


def _check_parameters(config: Configuration) -> None:
    if problems := all_parameter_problems(config.evaluate_params):
        raise ConfigError("\n".join(problems))


def _refuse(config: Configuration, kind: str) -> None:
    if others := [name for name in config.evaluate if not judges(name, kind)]:
        raise config.error({("evaluate",): f"{', '.join(others)}: cannot judge {kind}s"})


def _run(config: Configuration, folder: RunFolder) -> None:
    """Run the evaluations that have not been run with these parameters."""
    record = readable_record(folder.evaluation)
    done = {} if record is None or not record.facts["finished"] else record.evaluated
    params = config.evaluate_params
    names = [name for name in config.evaluate if name not in done or done[name].params != params.get(name, {})]
    if names:
        from evaluation.evaluating import evaluate  # with Lightning, which the checks of a sweep do without
        from evaluation.subject import build_subject

        try:
            evaluate(build_subject(folder, config), names, echo=lambda text: LOG.info("%s", text))
        except UserError as error:  # the trained run remains
            LOG.warning("evaluate: %s", error)


AFTER_TRAINING = Sequel((ParameterCheck(("evaluate_params",), _check_parameters),), _refuse, _run)

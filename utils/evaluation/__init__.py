"""What a trained model is worth, by name. To add one: write its file, add its line to `EVALUATIONS`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from utils.lookup import Entry, did_you_mean, load_entry, parameter_problems

EVALUATIONS = {
    "attacks": Entry(
        "utils.evaluation.attacks:attacks", "accuracy on images changed a little on purpose: FGSM, PGD (takes a minute)"
    ),
    "classification": Entry(
        "utils.evaluation.classification:classification",
        "accuracy, top-5, precision, recall and F1 of each class, confusions, accuracy against rejection",
    ),
    "cost": Entry("utils.evaluation.cost:cost", "parameters, multiply-adds, size, latency and memory on this device"),
    "grad_cam": Entry("utils.evaluation.grad_cam:grad_cam", "where in an image the network sees a class"),
    "heat_map": Entry("utils.evaluation.heat_map:heat_map", "what this run and others believe of the same images"),
    "representations": Entry(
        "utils.evaluation.representations:representations",
        "how tight and how far apart classes lie in the features; PCA, t-SNE on request",
    ),
}
ASKED_FOR_ONLY: frozenset[str] = frozenset({"attacks"})
"""Those that take minutes or need something given: left out unless they are named."""


def names_of_all() -> tuple[str, ...]:
    """Return those that are done unless others are asked for."""
    return tuple(name for name in EVALUATIONS if name not in ASKED_FOR_ONLY)


def check_evaluation_name(name: str) -> str | None:
    """Return what is wrong with an evaluation's name, or None; imports nothing."""
    if name in EVALUATIONS:
        return None
    return f"unknown evaluation {name!r}{did_you_mean(name, EVALUATIONS)} (python evaluate.py --list)"


def evaluation_problems(name: str, params: Mapping[str, Any]) -> dict[str, str]:
    """Return parameter of an evaluation -> what is wrong with it; its function's signature is the schema."""
    return parameter_problems(load_entry(EVALUATIONS[name]), params, given=("subject",))

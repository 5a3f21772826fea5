"""What a trained model is worth, by name. To add one: write its file, add its line to `EVALUATIONS`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from utils.lookup import Entry, did_you_mean, keyword_defaults, load_entry, parameter_problems

EVALUATIONS = {
    "classification": Entry(
        "evaluation.classification:classification",
        "accuracy, top-5, precision, recall and F1 of each class, confusions, accuracy against rejection",
    ),
    "reading": Entry(
        "evaluation.reading:reading",
        "texts read right, character errors, confusions at each place, the texts that were misread; of texts",
    ),
    "calibration": Entry(
        "evaluation.calibration:calibration",
        "calibration errors, likelihood and Brier score, before and after a temperature is fitted",
    ),
    "stability": Entry(
        "evaluation.stability:stability",
        "how much predictions change under the run's augmentation, and the least stable images",
    ),
    "representations": Entry(
        "evaluation.representations:representations",
        "how tight and how far apart classes lie in the features; PCA, t-SNE on request",
    ),
    "heat_map": Entry("evaluation.heat_map:heat_map", "what this run and others believe of the same images"),
    "grad_cam": Entry("evaluation.grad_cam:grad_cam", "where in an image the network sees a class"),
    "cost": Entry("evaluation.cost:cost", "parameters, multiply-adds, size, latency and memory on this device"),
    "attacks": Entry(
        "evaluation.attacks:attacks", "accuracy on images changed a little on purpose: FGSM, PGD (takes a minute)"
    ),
    "test_time_augmentation": Entry(
        "evaluation.averaged_views:averaged_views",
        "accuracy and likelihood of several views of an image together",
    ),
    "ensembles": Entry(
        "evaluation.ensembles:ensembles",
        "accuracy of kept epochs and of their mean probabilities (keep_epochs)",
    ),
    "label_noise": Entry(
        "evaluation.label_noise:label_noise",
        "how many wrong training labels were learnt, and how many images are told right all the same",
    ),
    "human_agreement": Entry(
        "evaluation.human_agreement:human_agreement",
        "divergence from the labels that people gave to CIFAR-10's test images (CIFAR-10H)",
    ),
}
"""In the order in which they are done and shown."""
OF_TEXTS = frozenset({"reading"})
"""Those that judge texts."""
OF_ANYTHING = frozenset({"cost"})
"""Those that judge classes and texts; all others judge classes."""
ASKED_FOR_ONLY = frozenset({"attacks", "test_time_augmentation", "ensembles", "label_noise", "human_agreement"})
"""Those that take minutes or need something given: left out unless they are named."""


def judges(name: str, kind: str) -> bool:
    """Tell whether an evaluation judges predictions of a kind, "image" or "sequence"."""
    return name in OF_ANYTHING or (name in OF_TEXTS) == (kind == "sequence")


def names_of_all(kind: str = "image") -> tuple[str, ...]:
    """Return those that are done on data of a kind unless others are asked for."""
    return tuple(name for name in EVALUATIONS if name not in ASKED_FOR_ONLY and judges(name, kind))


def check_evaluation_name(name: str) -> str | None:
    """Return what is wrong with an evaluation's name, or None; imports nothing."""
    if name in EVALUATIONS:
        return None
    return f"unknown evaluation {name!r}{did_you_mean(name, EVALUATIONS)} (python evaluate.py --list)"


def evaluation_problems(name: str, params: Mapping[str, Any]) -> dict[str, str]:
    """Return parameter of an evaluation -> what is wrong with it; its function's signature is the schema."""
    return parameter_problems(load_entry(EVALUATIONS[name]), params, given=("subject",))


def all_parameter_problems(evaluate_params: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what is wrong with parameters of evaluations, a line each, with the configuration's key at its head."""
    return [
        f"evaluate_params.{name}.{key}: {text}"
        for name, params in evaluate_params.items()
        for key, text in evaluation_problems(name, params).items()
    ]


def list_evaluations() -> str:
    """Return each evaluation's name, what it is and its parameters with their defaults; imports none of them."""
    width = max(map(len, EVALUATIONS))
    lines = []
    for name, entry in EVALUATIONS.items():
        asked = " (asked for only)" if name in ASKED_FOR_ONLY else ""
        lines.append(f"  {name:<{width}}  {entry.summary}{asked}")
        params = [f"{name}.{key}={in_yaml(value)}" for key, value in keyword_defaults(entry).items()]
        lines += [f"  {'':<{width}}    {line}" for line in params]
    return "\n".join(lines)


def in_yaml(value: Any) -> str:
    """Return a parameter as a configuration spells it; a text stands without quotes."""
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(in_yaml, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {in_yaml(each)}' for key, each in value.items())}}}"
    return json.dumps(value)

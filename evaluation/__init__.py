"""Evaluations of a trained model, by name.

To add one: write its file and add its line to `EVALUATIONS`. The file holds a function
`(subject, *, parameters) -> Findings`, whose signature is the schema of `evaluate_params.<name>`, and these literals,
which are read from the source so that nothing heavy is imported:

    NUMBERS      number -> (unit, better, description[, formula]): the glossary; `*` in a name stands for any text
    KINDS        kinds of data that it judges, "image" or "sequence"; without it, images alone
    ON_REQUEST   True for one that runs only when named, as it takes minutes or needs a file
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta

from configuration.settings import show
from utils.lookup import Entry, did_you_mean, load_entry, parameter_problems, source_of
from utils.signatures import keyword_defaults

EVALUATIONS = {
    "classification": Entry(
        "evaluation.classification:classification",
        "accuracy, top-5, precision, recall and F1 of each class, confusions, accuracy against rejection",
    ),
    "reading": Entry(
        "evaluation.reading:reading",
        "accuracy and character errors of texts, confusions by position, misread images; of texts",
    ),
    "calibration": Entry(
        "evaluation.calibration:calibration",
        "calibration errors, likelihood and Brier score, before and after temperature scaling",
    ),
    "stability": Entry(
        "evaluation.stability:stability",
        "how much predictions change under the run's augmentation, and the least stable images",
    ),
    "representations": Entry(
        "evaluation.representations:representations",
        "distances within and between classes in feature space; PCA, t-SNE on request",
    ),
    "heat_map": Entry("evaluation.heat_map:heat_map", "class probabilities of this run and others on the same images"),
    "grad_cam": Entry("evaluation.grad_cam:grad_cam", "where in an image the network sees a class"),
    "cost": Entry("evaluation.cost:cost", "parameters, multiply-adds, size, latency and memory on this device"),
    "attacks": Entry(
        "evaluation.attacks:attacks", "accuracy under adversarial perturbations: FGSM, PGD (takes a minute)"
    ),
    "autoattack": Entry(
        "evaluation.autoattack:autoattack",
        "accuracy under AutoAttack, four attacks (takes minutes; pip install pyautoattack)",
    ),
    "ood": Entry(
        "evaluation.ood:ood", "images of other data sets told from the run's own by confidence: AUROC, AUPR, FPR95"
    ),
    "test_time_augmentation": Entry(
        "evaluation.averaged_views:averaged_views", "accuracy and likelihood averaged over several views of an image"
    ),
    "ensembles": Entry(
        "evaluation.ensembles:ensembles",
        "accuracy of kept epochs and of their mean probabilities (keep_epochs)",
    ),
    "label_noise": Entry(
        "evaluation.label_noise:label_noise",
        "how many wrong training labels were memorised, and how many images are classified correctly anyway",
    ),
    "human_agreement": Entry(
        "evaluation.human_agreement:human_agreement",
        "divergence from the labels that people gave to CIFAR-10's test images (CIFAR-10H)",
    ),
}
"""In the order in which they run and are shown."""

Positive = Annotated[int, Meta(ge=1)]
NonNegative = Annotated[int, Meta(ge=0)]
PositiveFloat = Annotated[float, Meta(gt=0)]


@functools.cache
def declarations(name: str) -> dict[str, Any]:
    """Return the declarations in an evaluation's file, NUMBERS among them; its module is not imported."""
    body = ast.parse(source_of(EVALUATIONS[name].location.partition(":")[0])).body
    assignments = (node for node in body if isinstance(node, ast.Assign))
    values = ((getattr(node.targets[0], "id", ""), node.value) for node in assignments)
    return {name: ast.literal_eval(value) for name, value in values if name in ("NUMBERS", "KINDS", "ON_REQUEST")}


def judges(name: str, kind: str) -> bool:
    """Tell whether an evaluation judges predictions of a kind, "image" or "sequence"."""
    return kind in declarations(name).get("KINDS", ("image",))


def is_on_request(name: str) -> bool:
    """Tell whether an evaluation runs only when it is named."""
    return declarations(name).get("ON_REQUEST", False)


def default_evaluations(kind: str = "image") -> tuple[str, ...]:
    """Return the evaluations that run on data of a kind when none is named."""
    return tuple(name for name in EVALUATIONS if judges(name, kind) and not is_on_request(name))


def check_evaluation_name(name: str) -> str | None:
    """Return what is wrong with an evaluation's name, or None; imports nothing."""
    if name in EVALUATIONS:
        return None
    return f"unknown evaluation {name!r}{did_you_mean(name, EVALUATIONS)} (python evaluate.py --list)"


def evaluation_problems(name: str, params: Mapping[str, Any]) -> dict[str, str]:
    """Return parameter of an evaluation -> what is wrong with it; its function's signature is the schema."""
    return parameter_problems(load_entry(EVALUATIONS[name]), params, given=("subject",))


def all_parameter_problems(evaluate_params: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what is wrong with parameters of evaluations, one per line, each after its configuration key."""
    return [
        f"evaluate_params.{name}.{key}: {text}"
        for name, params in evaluate_params.items()
        for key, text in evaluation_problems(name, params).items()
    ]


def list_evaluations() -> str:
    """Return each evaluation's name, summary and parameters with their defaults; imports none of them."""
    width = max(map(len, EVALUATIONS))
    lines = []
    for name, entry in EVALUATIONS.items():
        lines.append(f"  {name:<{width}}  {entry.summary}{' (on request)' if is_on_request(name) else ''}")
        params = [f"{name}.{key}={show(value)}" for key, value in keyword_defaults(entry).items()]
        lines += [f"  {'':<{width}}    {line}" for line in params]
    return "\n".join(lines)

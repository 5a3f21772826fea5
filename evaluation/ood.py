"""Out-of-distribution detection: whether images of other data sets get less confident answers than the test images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor

from datasets import DATASETS, build_dataset
from datasets.base import ImageTable
from datasets.readers.images import check_images
from datasets.stream.image_stream import ImageStream
from evaluation import Positive
from evaluation.findings import Findings, percent
from evaluation.image_files import find_images
from evaluation.images import preprocessing_of_others, sample, select
from evaluation.subject import Answers, Subject
from losses.base import ClassificationLoss
from runs.figures import TRAIN, VALID, new_figure, style_axes, write_figure
from utils.lookup import did_you_mean, keywords, load_entry
from utils.types import ConfigError, UserError

ON_REQUEST = True
NUMBERS = {
    "images": ("count", "", "images of the run's own part"),
    "*images": ("count", "", "images of the other sets; near_ and far_: of those that are named so"),
    "*auroc_*": (
        "share",
        "higher",
        "chance that an image of the run's part scores higher than one of the other sets; 50 % by guessing",
    ),
    "*aupr_in_*": ("share", "higher", "average precision with the run's images as the positive class"),
    "*aupr_out_*": ("share", "higher", "average precision with the other images as the positive class"),
    "*fpr95_*": (
        "share",
        "lower",
        "share of the other images that are accepted at the threshold that accepts 95 % of the run's",
    ),
}
ACCEPTED = 0.95
GROUPS = ("", "near_", "far_")
SCORES = {
    "probability": "largest probability",
    "energy": "negative energy, log of the sum of exp(scores)",
    "confidence": "the loss's own confidence",
}
BINS = 50


def ood(
    subject: Subject,
    *,
    data: str | list[str] | None = None,
    near: str | list[str] | None = None,
    far: str | list[str] | None = None,
    images: Positive | None = None,
) -> Findings:
    """Tell the part's images from those of other data sets by three scores of each answer.

    Args:
        data: folders of images, or data sets by name, whose test parts are taken; NAME:PATH where data lies elsewhere.
        near, far: likewise, sets that resemble the run's and sets that do not; each kind has numbers of its own.
        images: size of the sample of each set, of the run's part too; null for all.

    Returns: for each kind the mean over its sets. The table has every set.
    Raises: ConfigError without any set, and naming each that cannot be read.
    Source: Hendrycks and Gimpel 2017, arXiv:1610.02136 (probability, AUROC, AUPR); Liu et al. 2020, arXiv:2010.03759
        (energy; FPR95).
    """
    sets = _open_sets(subject, {"data": data, "near": near, "far": far})
    findings = Findings("ood")
    loss, seed = subject.classifier.loss, subject.config.seed
    positions = sample(len(subject.part), images, seed, "ood")
    own = scores_of(loss, subject.answers, subject.device)
    inside = {name: score[positions] for name, score in own.items()}
    findings.add("images", len(positions))
    rows, drawn = [], []
    measured: dict[str, list[dict[str, float]]] = {}
    for each in sets:
        answers = subject.ask(select(each.stream, sample(len(each.stream), images, seed, "ood")), each.name)
        outside = scores_of(loss, answers, subject.device)
        numbers = {"images": float(len(answers.target))}
        for name in inside:
            by_score = detection(inside[name], outside[name])
            numbers |= {f"{measure}_{name}": value for measure, value in by_score.items()}
            rows.append((each.name, f"{len(answers.target):,}", name, *map(percent, by_score.values())))
        measured.setdefault(each.group, []).append(numbers)
        drawn.append((each.name, outside))
    for group, of_sets in measured.items():
        findings.add(f"{group}images" if group else "other_images", sum(numbers["images"] for numbers in of_sets))
        for name in list(of_sets[0])[1:]:
            findings.add(f"{group}{name}", float(np.mean([numbers[name] for numbers in of_sets])))
    header = ("set", "images", "score", "AUROC", "AUPR, own", "AUPR, other", "FPR95")
    findings.add_table("Sets", header, rows)
    path = subject.output / "ood.png"
    plot_scores(inside, drawn, subject.part.name, path)
    findings.add_figure(path, "Scores of the run's images and of others")
    if "energy" not in inside:
        findings.notes.append("no energy: the loss's probabilities are not the softmax of its scores")
    return findings


@dataclass(frozen=True)
class OtherSet:
    """Images of no class of the run. Args: group: one of `GROUPS`."""

    name: str
    group: str
    stream: ImageStream


def scores_of(loss: ClassificationLoss, answers: Answers, device: torch.device) -> dict[str, np.ndarray]:
    """Return scores that are higher for images that are more like those trained on: name of `SCORES` -> [N] float64.

    The energy is left out for a loss whose probabilities are another function of its scores than their softmax.
    """
    log_probabilities = answers.log_probabilities.double()
    scores: dict[str, Tensor] = {"probability": log_probabilities.amax(dim=1)}
    logits = answers.scores.double()
    if logits.shape == log_probabilities.shape and torch.allclose(
        logits.log_softmax(dim=1), log_probabilities, atol=1e-4
    ):
        scores["energy"] = logits.logsumexp(dim=1)
    with torch.no_grad():
        scores["confidence"] = loss.confidence(answers.scores.to(device)).cpu().double()
    return {name: values.numpy() for name, values in scores.items()}


def detection(inside: np.ndarray, outside: np.ndarray) -> dict[str, float]:
    """Return AUROC, both AUPR and FPR95 of scores that are to be higher inside. Shapes: [N], [M].

    Only the order counts, so scores may be infinite; equal scores are on one side of any threshold.
    """
    ranks = np.unique(np.concatenate([inside, outside]), return_inverse=True)[1]
    is_inside = np.arange(len(ranks)) < len(inside)
    threshold = np.sort(ranks[is_inside])[len(inside) - int(np.ceil(ACCEPTED * len(inside)))]
    return {
        "auroc": float(roc_auc_score(is_inside, ranks)),
        "aupr_in": float(average_precision_score(is_inside, ranks)),
        "aupr_out": float(average_precision_score(~is_inside, -ranks)),
        "fpr95": float((ranks[~is_inside] >= threshold).mean()),
    }


def _open_sets(subject: Subject, named: Mapping[str, str | list[str] | None]) -> list[OtherSet]:
    """Raises: ConfigError naming every set that cannot be read."""
    sets, problems = [], []
    preprocessing = preprocessing_of_others(subject.data)
    for (key, words), group in zip(named.items(), GROUPS, strict=True):
        for word in [words] if isinstance(words, str) else words or []:
            try:
                table = _read(word, subject.config.verify_checksums)
            except UserError as error:
                problems += [f"evaluate_params.ood.{key}: {line}" for line in str(error).splitlines()]
                continue
            sets.append(OtherSet(Path(word).name, group, ImageStream(table, range(len(table)), preprocessing)))
    if not sets and not problems:
        problems = ["evaluate_params.ood.data: missing: name a folder of images or a data set; near and far do as well"]
    if problems:
        raise ConfigError("\n".join(problems))
    return sets


def _read(word: str, verify_checksums: bool) -> ImageTable:
    """Return the images of a folder, or the test part of a data set, each with label 0."""
    name, _, path = word.partition(":")
    if name in DATASETS and not Path(word).is_dir():
        taken = keywords(load_entry(DATASETS[name]))
        params = {"data_path": path or None, "verify_checksums": verify_checksums}
        table = build_dataset(name, **{key: value for key, value in params.items() if key in taken}).test
    elif Path(word).expanduser().is_dir():
        files = list(find_images([word]).images)
        table = ImageTable(files, np.zeros(len(files), dtype=np.int64))
    else:
        raise ConfigError(f"{word}: no folder, and no data set{did_you_mean(name, DATASETS)}")
    if not isinstance(table.images, np.ndarray):
        check_images(table.images)
    return ImageTable(table.images, np.zeros(len(table), dtype=np.int64), banner=table.banner)


def plot_scores(
    inside: Mapping[str, np.ndarray], others: list[tuple[str, Mapping[str, np.ndarray]]], own: str, path: Path
) -> None:
    """Draw the histogram of each score, a row a set: the run's images and the others."""
    figure = new_figure(3.4 * len(inside), 2.6 * len(others))
    axes = figure.subplots(len(others), len(inside), squeeze=False)
    shown: dict[str, Callable[[np.ndarray], np.ndarray]] = {"probability": np.exp}
    for row, (set_name, outside) in zip(axes, others, strict=True):
        for cell, name in zip(row, inside, strict=True):
            as_drawn = shown.get(name, lambda values: values)
            both = [as_drawn(values[name][np.isfinite(values[name])]) for values in (inside, outside)]
            edges = np.histogram_bin_edges(np.concatenate(both), BINS)
            for values, colour, label in zip(both, (TRAIN, VALID), (own, set_name), strict=True):
                share = np.full(len(values), 1 / max(len(values), 1))
                cell.hist(values, edges, weights=share, color=colour, alpha=0.6, label=label)
            cell.set(xlabel=SCORES[name], ylabel="share of the images")
            style_axes(cell, cell.yaxis)
        row[0].legend(frameon=False, fontsize=8)
    write_figure(figure, path)

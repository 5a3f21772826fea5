"""Agreement with people: whether a network is unsure of the images that people are unsure of (CIFAR-10H)."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from evaluation.findings import Findings, NotApplicable, percent
from evaluation.subject import Subject
from losses.contract import REJECTED
from utils.files import read_regular
from utils.types import DAMAGED_TENSORS, ConfigError, first_line

ON_REQUEST = True
NUMBERS = {
    "kl": (
        "number",
        "lower",
        "divergence of the network's probabilities from people's, mean over all images, in nats",
        "sum_k h_k (log h_k - log max(p_k, 1.2e-38)), 0 log 0 = 0",
    ),
    "kl_right": (
        "number",
        "lower",
        "the same over the images that this network classifies correctly: others for each run",
    ),
    "right": ("count", "", "number of these images"),
    "top1_agreement": ("share", "higher", "share predicted as the class that most people chose"),
    "human_entropy": ("number", "", "people's own uncertainty, in nats: a lower bound of the cross entropy with them"),
}
KEY = "evaluate_params.human_agreement.labels_path"
FILE = "cifar10h-probs.npy"
SHAPE = (10_000, 10)
LARGEST = 1 << 24
"""Bytes of such a file; the published one has 800 kB."""
FLOOR = torch.finfo(torch.float32).tiny
"""Lowest probability that counts, 1.2e-38, float32's smallest: saturated probabilities would cost any amount."""


def human_agreement(subject: Subject, *, labels_path: str | None = None) -> Findings:
    """Compare with CIFAR-10H: labels of about 51 people for each test image of CIFAR-10.

    Args: labels_path: cifar10h-probs.npy; null: in data_path, or input/cifar10.
    Raises: NotApplicable for images other than CIFAR-10's test part; ConfigError for a missing or wrong file.
    Source: Peterson et al. 2019, "Human uncertainty makes classification more robust", arXiv:1908.07086; Zhang et al.
        2020, arXiv:2011.12562, Table XII, which does not state the direction of its divergence.
    """
    config, answers = subject.config, subject.answers
    if config.dataset != "cifar10" or config.classes or subject.part.name != "test":
        raise NotApplicable("people labelled the 10,000 test images of cifar10 only")
    path = Path(labels_path or Path(config.data_path or "input/cifar10") / FILE).expanduser()
    people = read_people(path, subject.data.data.test.labels)[answers.index]
    divergence, right = divergences(people, answers.log_probabilities.double()), answers.right
    findings = Findings("human_agreement")
    findings.add("kl", divergence.mean())
    if right.any():
        findings.add("kl_right", divergence[right].mean())
    findings.add("right", int(right.sum()))
    findings.add("top1_agreement", (answers.prediction == people.argmax(dim=1)).double().mean())
    findings.add("human_entropy", torch.special.entr(people).sum(dim=1).mean())
    floored = ((answers.log_probabilities < math.log(FLOOR)) & (people > 0)).any(dim=1)
    if floored.any():
        findings.notes.append(
            f"{int(floored.sum()):,} images have a probability below {FLOOR:.1e}, which is used instead"
        )
    if (answers.prediction == REJECTED).any():
        findings.notes.append("rejected images count as disagreement in top1_agreement; kl includes them")
    if not subject.classifier.loss.calibrated:
        findings.notes.append("the probabilities of this loss are a convention, not a posterior; kl measures both")
    return findings


def divergences(people: Tensor, log_probabilities: Tensor) -> Tensor:
    """Return KL(people || network) of each image, in nats. Shapes: [N, K], [N, K] -> [N]."""
    floored = log_probabilities.clamp(min=math.log(FLOOR))
    return (torch.special.xlogy(people, people) - people * floored).sum(dim=1)


def read_people(path: Path, labels: np.ndarray) -> Tensor:
    """Read the shares of people who chose each class.

    Args: labels: the official ones [N]; if the order is the same, most people agree with most of them.
    Shapes: -> [N, K] float64.
    Raises: ConfigError naming what is wrong.
    """
    try:
        shares = np.load(io.BytesIO(read_regular(path, LARGEST)), allow_pickle=False)
    except OSError as error:
        hint = "; the file is in folder data of github.com/jcpeterson/cifar-10h"
        raise ConfigError(f"{KEY}: {path}: cannot be read: {error.strerror or error}{hint}") from None
    except DAMAGED_TENSORS as error:
        raise ConfigError(f"{KEY}: {path}: not a .npy file of numbers, or damaged: {first_line(error)}") from None
    if not isinstance(shares, np.ndarray) or shares.dtype.kind != "f" or shares.shape != SHAPE:
        content = f"{shares.dtype} of shape {shares.shape}" if isinstance(shares, np.ndarray) else "several arrays"
        raise ConfigError(f"{KEY}: {path}: must hold floating-point numbers of shape {SHAPE}, got {content}")
    odd = np.flatnonzero(~((shares >= 0).all(axis=1) & (np.abs(shares.sum(axis=1) - 1) < 1e-3)))
    if len(odd):
        problem = f"{len(odd):,} rows are not shares that sum to 1, the first is row {odd[0]}"
        raise ConfigError(f"{KEY}: {path}: {problem} (use {FILE}, not the counts)")
    if (same := float((shares.argmax(axis=1) == labels).mean())) < 0.9:
        raise ConfigError(f"{KEY}: {path}: most people agree with only {percent(same)} of the labels: another order")
    return torch.from_numpy(shares.astype(np.float64))

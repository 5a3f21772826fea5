"""Whether a network doubts where people do: its probabilities beside the labels that many people gave."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from evaluation.findings import Findings, NotApplicable, percent
from evaluation.subject import Subject
from utils.files import read_regular
from utils.types import DAMAGED_TENSORS, REJECTED, ConfigError, first_line

KEY = "evaluate_params.human_agreement.labels_path"
FILE = "cifar10h-probs.npy"
SHAPE = (10_000, 10)
LARGEST = 1 << 24
"""Bytes of such a file; the published one has 800 kB."""
FLOOR = torch.finfo(torch.float32).tiny
"""The least probability that counts, 1.2e-38: what a float32 holds. Saturated probabilities would cost any amount."""


def human_agreement(subject: Subject, *, labels_path: str | None = None) -> Findings:
    """Compare with CIFAR-10H: about 51 people's labels of each test image of CIFAR-10.

        KL(people || network) = sum_k h_k (log h_k - log max(p_k, 1.2e-38)),        0 log 0 = 0, in nats

    Args:
        labels_path: cifar10h-probs.npy; null: in data_path, or input/cifar10.

    Returns: kl over all images; kl_right over those that this network tells right, as in the paper: others for each
        network; top1_agreement, the share told as most people do; human_entropy, the mean of the people's own doubt.
    Raises: NotApplicable for other images than CIFAR-10's test part; ConfigError for a file that is missing or is not
        what it should be.
    Source: Peterson et al. 2019, "Human uncertainty makes classification more robust", arXiv:1908.07086; Zhang et al.
        2020, arXiv:2011.12562, Table XII, which does not state the direction of its divergence.
    """
    config, answers = subject.config, subject.answers
    if config.dataset != "cifar10" or config.classes or subject.part.name != "test":
        raise NotApplicable("people labelled the 10,000 test images of cifar10 only")
    people = read_people(_find(labels_path, config.data_path), subject.data.data.test.labels)[answers.index]
    divergence, right, found = (
        divergences(people, answers.log_probabilities.double()),
        answers.right,
        Findings("human_agreement"),
    )
    found.add("kl", float(divergence.mean()))
    if right.any():
        found.add("kl_right", float(divergence[right].mean()))
    found.add("right", int(right.sum()))
    found.add("top1_agreement", float((answers.prediction == people.argmax(dim=1)).double().mean()))
    found.add("human_entropy", float(torch.special.entr(people).sum(dim=1).mean()))
    floored = ((answers.log_probabilities < math.log(FLOOR)) & (people > 0)).any(dim=1)
    if floored.any():
        found.notes.append(f"{int(floored.sum()):,} images have a probability below {FLOOR:.1e}, which counts as that")
    if (answers.prediction == REJECTED).any():
        found.notes.append("images that are rejected agree with nobody in top1_agreement; kl has them")
    if not subject.classifier.loss.calibrated:
        found.notes.append("the probabilities of this loss are a convention, not a posterior: kl judges that too")
    return found


def divergences(people: Tensor, log_probabilities: Tensor) -> Tensor:
    """Return KL(people || network) of each image, in nats. Shapes: [N, K], [N, K] -> [N]."""
    floored = log_probabilities.clamp(min=math.log(FLOOR))
    return (torch.special.xlogy(people, people) - people * floored).sum(dim=1)


def read_people(path: Path, labels: np.ndarray) -> Tensor:
    """Read the shares of people who gave each class.

    Args:
        labels: the official ones [N], which most people give for most images, if the order is the same.

    Shapes: -> [N, K] float64.
    Raises: ConfigError naming what is wrong.
    """
    try:
        shares = np.load(io.BytesIO(read_regular(path, LARGEST)), allow_pickle=False)
    except OSError as error:
        hint = "; the file is that of github.com/jcpeterson/cifar-10h, folder data"
        raise ConfigError(f"{KEY}: {path}: cannot be read: {error.strerror or error}{hint}") from None
    except DAMAGED_TENSORS as error:
        raise ConfigError(f"{KEY}: {path}: no .npy file of numbers, or damaged: {first_line(error)}") from None
    if not isinstance(shares, np.ndarray) or shares.dtype.kind != "f" or shares.shape != SHAPE:
        held = f"{shares.dtype} of shape {shares.shape}" if isinstance(shares, np.ndarray) else "several arrays"
        raise ConfigError(f"{KEY}: {path}: must hold floating numbers of shape {SHAPE}, got {held}")
    odd = np.flatnonzero(~((shares >= 0).all(axis=1) & (np.abs(shares.sum(axis=1) - 1) < 1e-3)))
    if len(odd):
        what = f"{len(odd):,} rows are no shares that add up to 1, the first is row {odd[0]}"
        raise ConfigError(f"{KEY}: {path}: {what} ({FILE} is wanted, not the counts)")
    if (same := float((shares.argmax(axis=1) == labels).mean())) < 0.9:
        raise ConfigError(f"{KEY}: {path}: most people agree with {percent(same)} of the labels: another order")
    return torch.from_numpy(shares.astype(np.float64))


def _find(labels_path: str | None, data_path: str | None) -> Path:
    return Path(labels_path or Path(data_path or "input/cifar10") / FILE).expanduser()

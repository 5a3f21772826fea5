"""MixUp and CutMix: every image of a batch mixed with another, and their labels with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from datasets import MIXINGS, check_mixing_name
from losses.contract import Batch
from utils.lookup import did_you_mean, load_entry, parameter_problems
from utils.own_imports import load_class
from utils.own_names import is_own
from utils.seeding import derive_seed
from utils.types import ConfigError


class Mixing:
    """Mixes every image of a batch with a partner's and their labels in the same shares.

        label = kept * onehot(y) + (1 - kept) * onehot(y_partner)

    A batch is mixed or left as it is as a whole, and by one share: both papers' code. All views of a sample, and all
    copies of an image in the batch, get partners of one image, so that replicas keep one label between them. A partner
    may be the image itself.

    Args:
        alpha: of Beta(alpha, alpha), which the share is drawn from, > 0; small: hardly mixed, large: halves.
        probability: share of the batches that are mixed, 0 to 1.

    Raises: ConfigError, a line for each parameter that is out of range.
    """

    def __init__(self, alpha: float, probability: float) -> None:
        problems = []
        if not (alpha > 0 and math.isfinite(alpha)):
            problems.append(f"alpha: must be > 0 and finite, got {alpha}")
        if not 0 <= probability <= 1:
            problems.append(f"probability: must be 0 to 1, got {probability}")
        if problems:
            raise ConfigError("\n".join(problems))
        self.alpha, self.probability = alpha, probability

    def __call__(self, batch: Batch, num_classes: int, partner: Tensor, seed: int) -> Batch:
        """Mix a batch on the device where it lies.

        Args:
            batch: with classes as its target.
            num_classes: K.
            partner: position in the batch of each sample's partner.
            seed: what is random depends on it alone.

        Shapes: image [B, V, C, H, W], target [B] int64, partner [B] int64 -> the same with target [B, K] float32.
        """
        assert isinstance(batch.target, Tensor)
        random = np.random.default_rng(seed)
        label = F.one_hot(batch.target, num_classes).float()  # [B, K]
        mixing = self.drawn(random.random())
        if mixing is None:
            return batch._replace(target=label)
        image, kept = mixing.blend(batch.image, partner, random.beta(mixing.alpha, mixing.alpha), random)
        return batch._replace(image=image, target=kept * label + (1 - kept) * label[partner])

    def drawn(self, uniform: float) -> Mixing | None:
        """Return what mixes a batch for which a number from 0 to below 1 was drawn; None leaves it unmixed."""
        return self if uniform < self.probability else None

    def blend(self, image: Tensor, partner: Tensor, share: float, random: np.random.Generator) -> tuple[Tensor, float]:
        """Return the mixed images and the share of each that is its own.

        Shapes: image [B, V, C, H, W], partner [B] -> [B, V, C, H, W].
        """
        raise NotImplementedError


class OneOf(Mixing):
    """Mixes each batch by one of several mixings, or leaves it as it is.

    Args:
        parts: the mixings. The `probability` of each is the share of all batches that it mixes; they sum to at most 1.

    Source: timm's `Mixup` with mixup_alpha and cutmix_alpha: its prob * switch_prob is CutMix's probability here, its
        prob * (1 - switch_prob) MixUp's.
    """

    def __init__(self, parts: Sequence[Mixing]) -> None:
        self.parts = tuple(parts)

    def drawn(self, uniform: float) -> Mixing | None:
        for part in self.parts:
            if uniform < part.probability:
                return part
            uniform -= part.probability
        return None


class MixUp(Mixing):
    """Replaces each image and its label by a weighted mean of two.

        image = lambda * image + (1 - lambda) * partner,        lambda ~ Beta(alpha, alpha)

    Args:
        alpha: > 0. Paper: 1 on CIFAR, 0.2 on ImageNet.
        probability: share of the batches that are mixed, 0 to 1. Paper: 1.

    Shapes: `Mixing.__call__`.
    Raises: ConfigError naming each parameter that is out of range.
    Source: Zhang et al. 2017, "mixup: Beyond Empirical Risk Minimization", arXiv:1710.09412, sec. 2.
    Deviations: the loss gets one soft label; for cross entropy that is the paper's weighted sum of two losses.
    """

    def __init__(self, *, alpha: float = 1.0, probability: float = 1.0) -> None:
        super().__init__(alpha, probability)

    def blend(self, image: Tensor, partner: Tensor, share: float, random: np.random.Generator) -> tuple[Tensor, float]:
        return torch.lerp(image[partner], image, share), share


class CutMix(Mixing):
    """Replaces a box of each image by the same box of its partner, and mixes the labels by area.

    The box has the image's proportions and a share 1 - lambda of its area, lambda ~ Beta(alpha, alpha); its centre is
    uniform over the image, and what overhangs is cut off. The label's share is the area that is kept after that.

    Args:
        alpha: > 0. Paper: 1.
        probability: share of the batches that are mixed, 0 to 1. Paper: 0.5 on CIFAR, 1 on ImageNet.

    Shapes: `Mixing.__call__`.
    Raises: ConfigError naming each parameter that is out of range.
    Source: Yun et al. 2019, "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features",
        arXiv:1905.04899, eq. 1 and 2; the exact area as in the authors' code.
    Deviations: the loss gets one soft label; for cross entropy that is the authors' weighted sum of two losses.
    """

    def __init__(self, *, alpha: float = 1.0, probability: float = 0.5) -> None:
        super().__init__(alpha, probability)

    def blend(self, image: Tensor, partner: Tensor, share: float, random: np.random.Generator) -> tuple[Tensor, float]:
        height, width = image.shape[-2:]
        side = math.sqrt(1 - share)
        rows, columns = (_interval(length, int(length * side), random) for length in (height, width))
        mixed = image.clone()
        mixed[..., rows, columns] = image[..., rows, columns][partner]
        box = (rows.stop - rows.start) * (columns.stop - columns.start)
        return mixed, 1 - box / (height * width)


def _interval(length: int, side: int, random: np.random.Generator) -> slice:
    """Return `side` pixels around a uniform centre, as far as they lie within `length`."""
    start = int(random.integers(length)) - side // 2
    return slice(max(start, 0), min(start + side, length))


def draw_partners(index: Tensor, *seeds: int | str) -> Tensor:
    """Draw a partner for each sample: images change places as wholes, so that copies of one get copies of one other.

    Without copies it is a random permutation. A copy's partner is the other image's copy of the same number, counted
    round where there are fewer.

    Args:
        index: the samples' rows in their data set, [B].
        seeds: what the result depends on, beside the index.

    Returns: positions in the batch, [B].
    """
    _, image, copies = np.unique(index.cpu().numpy(), return_inverse=True, return_counts=True)
    place = np.argsort(image, kind="stable")  # the samples, those of one image side by side
    first = np.cumsum(copies) - copies  # where in `place` an image begins
    number = np.empty_like(place)  # of the sample among its image's copies
    number[place] = np.arange(len(place)) - first[image[place]]
    other = np.random.default_rng(derive_seed(*seeds)).permutation(len(copies))[image]
    return torch.from_numpy(place[first[other] + number % copies[other]])


def build_mixing(names: str | Sequence[str], /, **params: Any) -> Mixing:
    """Build a mixing by its name, or the choice between several.

    Args:
        names: a key of `MIXINGS`, or several, of which one is drawn for each batch.
        params: its parameters; of several, those of each below its name. A `probability` left out there is an equal
            part of what the others leave of 1.

    Raises: ConfigError for an unknown name, and naming every parameter that it does not take or that is out of range.
    """
    if isinstance(names, str):
        return _build_mixing(names, params, "mixing_params")
    problems = [f"mixing: names {name} twice" for name in sorted(set(names)) if names.count(name) > 1]
    for key, value in params.items():
        if key not in names:
            below = f"the parameters of each stand below its name (allowed: {', '.join(names)})"
            problems.append(f"mixing_params.{key}: {below}{did_you_mean(key, names)}")
        elif not isinstance(value, dict):
            problems.append(f"mixing_params.{key}: must be a mapping of parameters, got {value!r}")
    if problems:
        raise ConfigError("\n".join(problems))
    shares = [params.get(name, {}).get("probability") for name in names]
    left = 1 - sum(share for share in shares if isinstance(share, (int, float)))
    parts: list[Mixing] = []
    for name, share in zip(names, shares, strict=True):
        default = {"probability": max(left, 0.0) / shares.count(None)} if share is None else {}
        try:
            parts.append(_build_mixing(name, default | params.get(name, {}), f"mixing_params.{name}"))
        except ConfigError as error:
            problems.append(str(error))
    if not problems and (left < -1e-9 or (left <= 0 and None in shares)):
        listed = ", ".join(f"{name} {share}" for name, share in zip(names, shares, strict=True) if share is not None)
        problems.append(
            f"mixing_params: each probability is a share of all batches; they sum to {1 - left:g} ({listed})"
            f"{', which leaves none to the others' if None in shares else ', more than 1'}"
        )
    if problems:
        raise ConfigError("\n".join(problems))
    return OneOf(parts)


def _build_mixing(name: str, params: dict[str, Any], key: str) -> Mixing:
    if problem := check_mixing_name(name):
        raise ConfigError(f"mixing: {problem}")
    constructor = load_class(name, Mixing, "mixing") if is_own(name) else load_entry(MIXINGS[name])
    if problems := parameter_problems(constructor, params):
        raise ConfigError("\n".join(f"{key}.{param}: {text}" for param, text in problems.items()))
    try:
        return constructor(**params)
    except ConfigError as error:
        raise ConfigError("\n".join(f"{key}.{line}" for line in str(error).splitlines())) from None

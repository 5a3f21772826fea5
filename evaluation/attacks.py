"""How few images stay right when someone changes their pixels a little on purpose: FGSM and PGD."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datasets.readers.files import progress
from evaluation import attack_pictures
from evaluation.adversarial import Objective, fgsm, input_gradient, pgd
from evaluation.choosing import draw, pick
from evaluation.findings import Findings, Picture, percent
from evaluation.ranges import Level, Positive
from evaluation.subject import Subject
from utils.seeding import derive_seed
from utils.types import Batch

LEVELS = 255
CURVE = (0.25, 0.5, 1, 2, 4)
"""Sizes of the curve's attacks, in those of the attack asked for."""
DESTRUCTIVE = 128.0
"""Of 255: any image can be made plain gray, so that no network can tell it."""
MOST_EXAMPLES = 5
CHANCE = 0.05
"""Share that may stay right of images that can be made gray, and by which a curve may rise, before it is remarked."""


def attacks(
    subject: Subject,
    *,
    eps: Level = 8.0,
    step: Level = 2.0,
    iterations: Positive = 20,
    restarts: Positive = 1,
    images: Positive | None = 200,
    objective: Objective = "cross_entropy",
    curve: bool = True,
    seed: int = 0,
) -> Findings:
    """Attack images, each within +-eps of every pixel, and count those that stay right.

    The attacker knows the network and has the gradient of its scores to the pixels, in eval mode. Only images that are
    right untouched are attacked; wrong ones count as wrong.

    Args:
        eps: largest change of a pixel, of 255, > 0. The papers': 8.
        step: of PGD, of 255, > 0.
        iterations: of PGD, >= 1.
        restarts: random starts of PGD, >= 1; an image is right if it is after each.
        images: how many are attacked, drawn by the seed; null for all.
        objective: what is raised: cross_entropy, -log p(label) by the loss's own probabilities, is the same question
            to every loss; own is what the run was trained by; margin, the best other class's log p less the label's,
            keeps a gradient where probabilities are so near 0 or 1 that the others have none.
        curve: attack by larger and smaller eps too, step in proportion.
        seed: of the images and the random starts.

    Returns: accuracy, fgsm_accuracy, pgd_accuracy; zero_gradients, the share of right images whose gradient is exactly
        0, which no attack by gradients can change.
    """
    sizes = sorted({eps * factor for factor in CURVE} | {max(DESTRUCTIVE, eps)}) if curve else [eps]
    attack = _Attack(subject, step / eps, iterations, restarts, objective, seed)
    found = _attack_all(attack, draw(len(subject.part), images, seed, "attacks"), sizes, shown=eps)
    return _tell(subject, attack, found, sizes, eps)


@dataclass
class _Attack:
    """A way to attack a run. Args: relative_step: step of PGD, in eps."""

    subject: Subject
    relative_step: float
    iterations: int
    restarts: int
    objective: Objective
    seed: int

    def scores(self, pixels: Tensor) -> Tensor:
        """Shapes: [B, C, H, W] on 0 to 1 -> scores."""
        return self.subject.classifier(self.subject.part.stream.preprocessing.normalize(pixels)).scores

    @torch.no_grad()
    def predict(self, pixels: Tensor) -> Tensor:
        return self.subject.classifier.loss.predict(self.scores(pixels))

    def start(self, batch: Batch, restart: int) -> Tensor:
        """Return noise on -1 to 1, each image's of its own: it does not depend on the batch that it is in."""
        noise = torch.empty(batch.image[:, 0].shape)
        for row, each in zip(batch.index.tolist(), noise, strict=True):
            generator = torch.Generator().manual_seed(derive_seed(self.seed, "pgd", restart, row))
            each.uniform_(-1, 1, generator=generator)
        return noise.to(batch.image.device)


@dataclass
class _Outcome:
    """Counts of images: right untouched, right after an attack of each size, without any gradient; examples."""

    images: int = 0
    right: int = 0
    without_gradient: int = 0
    fgsm: dict[float, int] = field(default_factory=dict)
    pgd: dict[float, int] = field(default_factory=dict)
    examples: list[attack_pictures.Example] = field(default_factory=list)


def _attack_all(attack: _Attack, positions: np.ndarray, sizes: list[float], shown: float) -> _Outcome:
    subject, outcome = attack.subject, _Outcome(fgsm=dict.fromkeys(sizes, 0), pgd=dict.fromkeys(sizes, 0))
    stream = pick(subject.part.stream, positions)
    with progress(len(stream) * len(sizes), "attacked") as bar:
        for batch in subject.load(stream):
            outcome.images += len(batch.image)
            pixels = stream.preprocessing.denormalize(batch.image[:, 0]).clamp(0, 1)
            kept = attack.predict(pixels).eq(batch.target)  # type: ignore
            right = Batch(*(each[kept] for each in (batch.image, batch.target, batch.index)))
            bar.update(int((~kept).sum()) * len(sizes))
            if len(right.image):
                _attack_batch(attack, right, pixels[kept], sizes, shown, outcome, bar)
    return outcome


def _attack_batch(
    attack: _Attack, batch: Batch, pixels: Tensor, sizes: list[float], shown: float, outcome: _Outcome, bar: Any
) -> None:
    target: Tensor = batch.target  # type: ignore
    gradient = input_gradient(attack.scores, attack.subject.classifier.loss, target, attack.objective)
    outcome.right += len(target)
    first = gradient(pixels)
    outcome.without_gradient += int((first == 0).flatten(1).all(dim=1).sum())
    starts = [attack.start(batch, restart) for restart in range(attack.restarts)]
    for size in sizes:
        eps = size / LEVELS
        outcome.fgsm[size] += int((attack.predict(fgsm(lambda _: first, pixels, eps)) == target).sum())
        survived = torch.ones_like(target, dtype=torch.bool)
        attacked, predicted = pixels, target
        for noise in starts:
            start = pixels + eps * noise
            attacked = pgd(gradient, pixels, start, eps, attack.relative_step * eps, attack.iterations)
            predicted = attack.predict(attacked)
            survived &= predicted == target
        outcome.pgd[size] += int(survived.sum())
        if size == shown and (free := MOST_EXAMPLES - len(outcome.examples)) > 0:
            columns = (pixels[:free], attacked[:free], target[:free].tolist(), predicted[:free].tolist())
            outcome.examples += [attack_pictures.Example(*row) for row in zip(*columns, strict=True)]
        bar.update(len(target))


def _tell(subject: Subject, attack: _Attack, outcome: _Outcome, sizes: list[float], eps: float) -> Findings:
    found, number = Findings("attacks"), outcome.images
    counted = {"fgsm": outcome.fgsm, "pgd": outcome.pgd}
    accuracy = {name: [counts[size] / number for size in sizes] for name, counts in counted.items()}
    place = sizes.index(eps)
    found.add("images", number)
    found.add_share("accuracy", outcome.right / number, number)
    found.add_share("fgsm_accuracy", accuracy["fgsm"][place], number)
    found.add_share("pgd_accuracy", accuracy["pgd"][place], number)
    found.add("zero_gradients", outcome.without_gradient / max(outcome.right, 1))
    found.details = {"eps": [0.0, *sizes]} | {
        name: [outcome.right / number, *values] for name, values in accuracy.items()
    }
    if len(sizes) > 1:
        columns = zip(*found.details.values(), strict=True)
        rows = [(f"{size:g} / 255", percent(by_fgsm), percent(by_pgd)) for size, by_fgsm, by_pgd in columns]
        found.add_table("Accuracy against eps", ("eps", "FGSM", "PGD"), rows)
        path = subject.output / "attacks.png"
        attack_pictures.plot_curve(found.details, eps, path)
        found.pictures.append(Picture(path, "Accuracy against the largest change of a pixel"))
    if outcome.examples:
        path = subject.output / "attacked_images.png"
        attack_pictures.plot_examples(outcome.examples, subject.classes, path)
        caption = f"PGD within {eps:g} of 255; the difference is stretched to the whole range of colours"
        found.pictures.append(Picture(path, caption))
    found.notes = remarks(attack.objective, found.numbers, found.details)
    return found


def remarks(objective: str, numbers: dict[str, float], curves: dict[str, list[float]]) -> list[str]:
    """Return what a reader must know, above all signs that the attack failed rather than the network held.

    Source: Athalye et al. 2018, arXiv:1802.00420, sec. 3.1; Carlini et al. 2019, arXiv:1902.06705, sec. 4.
    """
    share = numbers["zero_gradients"]
    notes = [f"gradients are those of {_OBJECTIVES[objective]}; {numbers['images']:,.0f} images"]
    if share > 0:
        remedy = "" if objective == "margin" else "; attacks.objective=margin has one where probabilities are 0 or 1"
        notes.append(
            f"{percent(share)} of the right images have a gradient of exactly 0 and cannot be attacked by it: "
            f"that they stay right is no robustness{remedy}"
        )
    sizes, by_pgd = curves["eps"], curves["pgd"]
    signs = []
    if numbers["pgd_accuracy"] > numbers["fgsm_accuracy"] + CHANCE:
        signs.append("PGD leaves more right than its first step, FGSM")
    if any(later > earlier + CHANCE for earlier, later in itertools.pairwise(by_pgd)):
        signs.append("a larger eps leaves more right")
    if sizes[-1] >= DESTRUCTIVE and by_pgd[-1] > CHANCE:
        signs.append(
            f"{percent(by_pgd[-1])} stay right at {sizes[-1]:g} of 255, where any image can be made plain gray"
        )
    if signs:
        notes.append(f"gradients are masked, so the network is weaker than these numbers: {'; '.join(signs)}")
    return notes


_OBJECTIVES = {
    "cross_entropy": "-log p(label) by the loss's own probabilities",
    "margin": "the best other class's log p less the label's, by the loss's own probabilities",
    "own": "the run's own loss",
}

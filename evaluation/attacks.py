"""Adversarial attacks: accuracy under small changes of the pixels that raise an objective by its gradient (FGSM, PGD).

The two attacks stand here, 12 lines, though torchattacks and the Adversarial Robustness Toolbox give the same images:
neither takes the objectives of our losses, nor a random start that is the same in any batch (docs/decisions/0013).
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import torch
from msgspec import Meta
from torch import Tensor

from datasets.readers.files import progress
from datasets.stream.image_stream import ImageStream
from evaluation import Positive
from evaluation.findings import Findings, percent
from evaluation.images import sample, select
from evaluation.subject import Subject
from losses.base import ClassificationLoss
from losses.contract import REJECTED
from runs.figures import MARK, TRAIN, VALID, Cell, new_figure, plot_grid, style_axes, to_uint8, write_figure
from utils.seeding import derive_seed

ON_REQUEST = True
NUMBERS = {
    "images": ("count", "", "number of images, attacked or misclassified without an attack"),
    "accuracy": ("share", "higher", "share classified correctly without an attack"),
    "fgsm_accuracy": ("share", "higher", "share still correct after FGSM, one step along the sign of the gradient"),
    "pgd_accuracy": ("share", "higher", "share still correct after PGD, many such steps from a random start"),
    "zero_gradients": (
        "share",
        "lower",
        "share of correct images whose gradient is exactly 0: these attacks cannot change them, which is no robustness",
    ),
}
CURVE = (0.25, 0.5, 1, 2, 4)  # sizes of attacks, relative to eps
DESTRUCTIVE = 128.0  # of 255; turns any image plain gray, which no network can classify
MOST_EXAMPLES = 5
TOLERANCE = 0.05  # of accuracy, in the signs of masked gradients

Gradient = Callable[[Tensor], Tensor]
"""Images [B, C, H, W] on 0 to 1 -> the gradient of the objective, of the same shape."""
Level = Annotated[float, Meta(gt=0, le=255)]
Objective = Literal["cross_entropy", "margin", "own"]
OBJECTIVES: dict[str, str] = {
    "cross_entropy": "-log p(label) by the loss's own probabilities",
    "margin": "log p of the best other class less that of the label, by the loss's own probabilities",
    "own": "the run's own loss",
}


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
    """Attack images, each within +-eps of every pixel, and count those that stay correct.

    The attacker knows the network, in eval mode, and its gradients. Only images that are correct without an attack are
    attacked; wrong ones count as wrong.

    Args:
        eps: largest change of a pixel, of 255, > 0. The papers': 8.
        step, iterations: of PGD; the step of 255, > 0.
        restarts: random starts of PGD, >= 1; an image is correct if it is after each.
        images: size of the sample; null for all.
        objective: quantity to raise. cross_entropy asks every loss the same question; own is what the run was trained
            by; margin keeps a gradient where probabilities are so near 0 or 1 that the others have none.
        curve: attack by larger and smaller eps too, step in proportion.
        seed: of the sample and of the random starts.
    """
    sizes = sorted({eps * factor for factor in CURVE} | {max(DESTRUCTIVE, eps)}) if curve else [eps]
    attack = Attack(subject, sizes, eps, step / eps, iterations, restarts, objective, seed)
    positions = sample(len(subject.part), images, seed, "attacks")
    attack.run(select(subject.part.stream, positions))
    number, right = len(positions), attack.right / len(positions)
    curves = {"eps": [0.0, *sizes]}
    for name, counts in (("fgsm", attack.fgsm), ("pgd", attack.pgd)):
        curves[name] = [right, *(counts[size] / number for size in sizes)]
    column = curves["eps"].index(eps)
    findings = Findings("attacks", details=curves)
    findings.add("images", number)
    findings.add_share("accuracy", right, number)
    findings.add_share("fgsm_accuracy", curves["fgsm"][column], number)
    findings.add_share("pgd_accuracy", curves["pgd"][column], number)
    findings.add("zero_gradients", attack.zero_gradients / max(attack.right, 1))
    if curve:
        columns = zip(*curves.values(), strict=True)
        rows = [(f"{size:g} / 255", percent(by_fgsm), percent(by_pgd)) for size, by_fgsm, by_pgd in columns]
        findings.add_table("Accuracy against eps", ("eps", "FGSM", "PGD"), rows)
        path = subject.output / "attacks.png"
        _plot_curve(curves, eps, path)
        findings.add_figure(path, "Accuracy against the largest change of a pixel")
    if attack.examples:
        path = subject.output / "attacked_images.png"
        _plot_examples(attack, path)
        findings.add_figure(path, f"PGD within {eps:g} of 255; the difference is stretched around gray")
    findings.notes = remarks(objective, findings.numbers, curves)
    return findings


def fgsm(gradient: Gradient, image: Tensor, eps: float) -> Tensor:
    """Return x + eps sign(gradient(x)), clipped to 0 to 1: the fast gradient sign method.

    Shapes: image [B, C, H, W] on 0 to 1 -> the same.
    Source: Goodfellow et al. 2015, arXiv:1412.6572, sec. 4.
    """
    return (image + eps * gradient(image).sign()).clamp(0, 1)


def pgd(gradient: Gradient, image: Tensor, start: Tensor, eps: float, step: float, iterations: int) -> Tensor:
    """Return the last of x_{t+1} = P(x_t + step sign(gradient(x_t))): projected gradient descent.

    P clips each pixel to within eps of the image's and to 0 to 1.

    Shapes: image, start [B, C, H, W] on 0 to 1 -> the same.
    Source: Madry et al. 2018, arXiv:1706.06083, sec. 2.1.
    """
    lowest, highest = (image - eps).clamp(min=0), (image + eps).clamp(max=1)
    attacked = start.clamp(lowest, highest)
    for _ in range(iterations):
        attacked = (attacked + step * gradient(attacked).sign()).clamp(lowest, highest)
    return attacked


def input_gradient(
    scores_of: Callable[[Tensor], Tensor], loss: ClassificationLoss, target: Tensor, objective: Objective
) -> Gradient:
    """Return the gradient of an objective.

    Shapes: scores_of: [B, C, H, W] on 0 to 1 -> scores; target [B].
    """

    def gradient(image: Tensor) -> Tensor:
        image = image.detach().requires_grad_()
        with torch.enable_grad():
            cost = costs(loss, scores_of(image), target, objective)
        return torch.autograd.grad(cost, image)[0]

    return gradient


def costs(loss: ClassificationLoss, scores: Tensor, target: Tensor, objective: Objective) -> Tensor:
    """Return one of `OBJECTIVES`, summed over images. Shapes: scores of B images, target [B] -> scalar."""
    if objective == "own":
        return loss(scores, target) * len(target)
    log_probabilities = loss.log_probabilities(scores)  # [B, K]
    label = log_probabilities.gather(1, target[:, None]).squeeze(1)
    if objective == "cross_entropy":
        return -label.sum()
    others = log_probabilities.scatter(1, target[:, None], -torch.inf)
    return (others.max(dim=1).values - label).sum()


@dataclass
class Attack:
    """Attacks of several sizes on a run, and the numbers of images that they leave correct.

    Args:
        sizes: values of eps, of 255. shown: the one whose images are kept as examples.
        relative_step: step of PGD divided by eps.
    """

    subject: Subject
    sizes: list[float]
    shown: float
    relative_step: float
    iterations: int
    restarts: int
    objective: Objective
    seed: int
    right: int = 0
    zero_gradients: int = 0
    fgsm: Counter[float] = field(default_factory=Counter)
    pgd: Counter[float] = field(default_factory=Counter)
    examples: list[tuple[Tensor, Tensor, int, int]] = field(default_factory=list)
    """Image and attacked image [C, H, W], label, prediction."""

    def run(self, stream: ImageStream) -> None:
        """Attack all images of a stream."""
        with progress(len(stream) * len(self.sizes), "attacked") as bar:
            for batch in self.subject.load(stream):
                pixels = stream.preprocessing.denormalize(batch.image[:, 0]).clamp(0, 1)
                target: Tensor = batch.target  # type: ignore
                right = self.predict(pixels) == target
                if right.any():
                    self._attack(batch.index[right], pixels[right], target[right])
                bar.update(len(target) * len(self.sizes))

    def _attack(self, index: Tensor, pixels: Tensor, target: Tensor) -> None:
        gradient = input_gradient(self.scores, self.subject.classifier.loss, target, self.objective)
        first = gradient(pixels)
        self.right += len(target)
        self.zero_gradients += int((first == 0).flatten(1).all(dim=1).sum())
        starts = [self.noise(index, pixels, restart) for restart in range(self.restarts)]
        for size in self.sizes:
            eps = size / 255
            self.fgsm[size] += int((self.predict(fgsm(lambda _: first, pixels, eps)) == target).sum())
            survived = torch.ones_like(target, dtype=torch.bool)
            attacked, predicted = pixels, target
            for noise in starts:
                attacked = pgd(gradient, pixels, pixels + eps * noise, eps, self.relative_step * eps, self.iterations)
                predicted = self.predict(attacked)
                survived &= predicted == target
            self.pgd[size] += int(survived.sum())
            if size == self.shown and (free := MOST_EXAMPLES - len(self.examples)) > 0:
                columns = (pixels[:free], attacked[:free], target[:free].tolist(), predicted[:free].tolist())
                self.examples += zip(*columns, strict=True)

    def scores(self, pixels: Tensor) -> Tensor:
        """Shapes: [B, C, H, W] on 0 to 1 -> scores."""
        return self.subject.classifier(self.subject.part.stream.preprocessing.normalize(pixels)).scores

    @torch.no_grad()
    def predict(self, pixels: Tensor) -> Tensor:
        return self.subject.classifier.loss.predict(self.scores(pixels))

    def noise(self, index: Tensor, pixels: Tensor, restart: int) -> Tensor:
        """Return noise on -1 to 1 for each image, independent of the batch that it is in."""
        noise = torch.empty(pixels.shape)
        for row, of_image in zip(index.tolist(), noise, strict=True):
            generator = torch.Generator().manual_seed(derive_seed(self.seed, "pgd", restart, row))
            of_image.uniform_(-1, 1, generator=generator)
        return noise.to(pixels.device)


def remarks(objective: str, numbers: dict[str, float], curves: dict[str, list[float]]) -> list[str]:
    """Return notes for the reader, above all signs that the attack failed rather than that the network is robust.

    Source: Athalye et al. 2018, arXiv:1802.00420, sec. 3.1; Carlini et al. 2019, arXiv:1902.06705, sec. 4.
    """
    share = numbers["zero_gradients"]
    notes = [f"gradients are of {OBJECTIVES[objective]}; {numbers['images']:,.0f} images"]
    if share > 0:
        remedy = "" if objective == "margin" else "; attacks.objective=margin keeps one where probabilities are 0 or 1"
        notes.append(
            f"{percent(share)} of the correct images have a gradient of exactly 0: these attacks cannot change them, "
            f"which is no robustness{remedy}"
        )
    sizes, by_pgd = curves["eps"], curves["pgd"]
    signs = []
    if numbers["pgd_accuracy"] > numbers["fgsm_accuracy"] + TOLERANCE:
        signs.append("PGD is weaker than its first step, FGSM")
    if any(later > earlier + TOLERANCE for earlier, later in itertools.pairwise(by_pgd)):
        signs.append("accuracy rises with eps")
    if sizes[-1] >= DESTRUCTIVE and by_pgd[-1] > TOLERANCE:
        signs.append(f"{percent(by_pgd[-1])} stay correct at {sizes[-1]:g} of 255, which can turn any image plain gray")
    if signs:
        notes.append(f"gradients are masked, so the network is weaker than these numbers: {'; '.join(signs)}")
    return notes


def _plot_curve(curves: dict[str, list[float]], eps: float, path: Path) -> None:
    """Draw accuracy against eps, on an axis that is logarithmic except at 0, and mark the requested attack."""
    figure = new_figure(6, 3.8)
    axes = figure.add_subplot()
    sizes = curves["eps"]
    for name, colour, marker in (("fgsm", TRAIN, "s"), ("pgd", VALID, "o")):
        axes.plot(sizes, curves[name], color=colour, marker=marker, markersize=4, linewidth=1.4, label=name.upper())
    axes.axvline(eps, color=MARK, linewidth=0.8, linestyle=":")
    axes.set_xscale("symlog", base=2, linthresh=sizes[1])
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.minorticks_off()
    axes.set(xlim=(0, sizes[-1] * 1.15), ylim=(-0.02, 1.02))
    axes.set(xlabel="largest change of a pixel, of 255 (eps)", ylabel="images that stay correct")
    style_axes(axes, axes.yaxis)
    axes.legend(frameon=False)
    write_figure(figure, path)


def _plot_examples(attack: Attack, path: Path) -> None:
    """Draw a row for each example: the image, the attacked one, and their difference, stretched around gray."""
    rows = []
    for image, attacked, target, predicted in attack.examples:
        difference = attacked - image
        stretch = 0.5 / max(float(difference.abs().max()), 1e-12)
        name = "rejected" if predicted == REJECTED else attack.subject.classes[predicted]
        rows.append(
            [
                Cell(to_uint8(image), ("true and predicted", attack.subject.classes[target])),
                Cell(to_uint8(attacked), ("attacked: predicted", name)),
                Cell(to_uint8(0.5 + stretch * difference), ("difference", f"x {stretch:.0f}, around gray")),
            ]
        )
    plot_grid(rows, path)

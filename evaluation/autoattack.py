"""AutoAttack: accuracy under four attacks without parameters, the field's standard; by its authors' package."""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor, nn

from evaluation import Positive
from evaluation.attacks import Level
from evaluation.findings import Findings, NotApplicable
from evaluation.images import sample, select
from evaluation.subject import Subject
from utils.types import ConfigError

ON_REQUEST = True
NUMBERS = {
    "images": ("count", "", "number of images, attacked or misclassified without an attack"),
    "accuracy": ("share", "higher", "share classified correctly without an attack"),
    "robust_accuracy": ("share", "higher", "share still correct after every attack"),
}
PACKAGE = "pyautoattack"
FEWEST = 4
"""Classes of which the targeted attacks' difference of logits ratio is made."""


def autoattack(subject: Subject, *, eps: Level = 8.0, images: Positive | None = 100, seed: int = 0) -> Findings:
    """Attack images, each within +-eps of every pixel, by APGD on cross entropy, targeted APGD and FAB, and Square.

    The attacks see the logarithms of the loss's own probabilities as logits. An image counts as robust if the loss
    still predicts its label on what the attacks found.

    Args:
        eps: largest change of a pixel, of 255, > 0. RobustBench: 8.
        images: size of the sample, that of `attacks` with the same seed; null for all.
        seed: of the sample and of the attacks.

    Raises: ConfigError without the package pyautoattack.
    Source: Croce and Hein 2020, "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse
        Parameter-free Attacks", arXiv:2003.01690.
    Deviations: with fewer than 4 classes APGD on cross entropy, untargeted FAB and Square only.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        raise ConfigError(f"evaluate: autoattack needs the package {PACKAGE}: pip install {PACKAGE}")
    if len(subject.classes) < 2:
        raise NotApplicable("there is a single class")
    stream = select(subject.part.stream, sample(len(subject.part), images, seed, "attacks"))
    judge = _Judge(subject)
    right = robust = 0
    for batch in subject.batches(stream, "attacked"):
        target: Tensor = batch.target  # type: ignore[assignment]
        pixels = stream.preprocessing.denormalize(batch.image[:, 0]).clamp(0, 1)
        correct = judge.predict(pixels) == target
        right += int(correct.sum())
        if correct.any():
            attacked = _attack(judge, pixels[correct], target[correct], eps / 255, seed)
            robust += int((judge.predict(attacked) == target[correct]).sum())
    findings = Findings("autoattack")
    findings.add("images", len(stream))
    findings.add_share("accuracy", right / len(stream), len(stream))
    findings.add_share("robust_accuracy", robust / len(stream), len(stream))
    return findings


def _attack(judge: _Judge, pixels: Tensor, target: Tensor, eps: float, seed: int) -> Tensor:
    """Return what the attacks make of images. Shapes: pixels [B, C, H, W] on 0 to 1, target [B] -> pixels."""
    from pyautoattack import AutoAttack

    classes = len(judge.subject.classes)
    options = {"version": "custom", "attacks": ["apgd-ce", "fab", "square"]} if classes < FEWEST else {}
    with torch.random.fork_rng():
        attack = AutoAttack(judge, eps=eps, seed=seed, device=pixels.device, **options)
        for targeted in (attack.apgd_targeted, attack.fab):
            targeted.n_target_classes = min(targeted.n_target_classes, classes - 1)
        attacked, _ = attack.run_standard_evaluation(pixels, target, batch_size=len(pixels))
    return attacked


class _Judge(nn.Module):
    """A run as a function of pixels. Shapes: [B, C, H, W] on 0 to 1 -> log-probabilities [B, K]."""

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.subject = subject

    def forward(self, pixels: Tensor) -> Tensor:
        return self.subject.classifier.loss.log_probabilities(self._scores(pixels)).float()

    @torch.no_grad()
    def predict(self, pixels: Tensor) -> Tensor:
        return self.subject.classifier.loss.predict(self._scores(pixels))

    def _scores(self, pixels: Tensor) -> Tensor:
        return self.subject.classifier(self.subject.part.stream.preprocessing.normalize(pixels)).scores

"""Connectionist temporal classification (CTC): a text is judged by all the ways to read it step by step."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .base import ClassificationLoss, full_float, num_features
from .contract import Sequences, Task
from .ctc import read_by_beams, read_greedily, steps_needed, text_costs


class ConnectionistTemporalLoss(ClassificationLoss):
    """Asks that the alignments which spell the text be likely, whichever of them.

        L = -log sum_{a spells the text} prod_t p_t(a_t),   p_t = softmax(scores_t) over K characters and a blank

    An alignment gives every step a character or the blank; characters that follow one another and are alike are one,
    then blanks are dropped. Scores are logits, the blank's the last; the loss brings a last layer of K + 1 scores a
    step. The text that is read is that of each step's likeliest outcome or, with `beam_width`, the likeliest found.

    Args:
        beam_width: beginnings of texts that a prefix beam search keeps, which takes milliseconds a text, in training
            too; 1 reads greedily, as the OSM paper does.

    Shapes: scores [B, T, K + 1] float, target `Sequences` of [B, L] labels -> scalar, mean over B, not divided by L.
    Use: texts without a known place of each character, such as plates, with a network of kind "sequence".
    Raises: ValueError if beam_width is below 1.
    Source: Graves et al. 2006, "Connectionist Temporal Classification", ICML, sec. 3 and 4.1; as the baseline of
        arXiv:2206.01002, sec. 4.2.
    Deviations: none. The beam search, which the source calls prefix search, keeps a fixed number of beginnings.
    """

    kind = "sequence"
    soft_targets = False
    num_blanks = 1
    limits = {
        "compile": "torch's CTC has outputs whose sizes follow from the lengths",
        "export": "torch's CTC has outputs whose sizes follow from the lengths",
        "vmap": "texts have different lengths",
    }
    decoding = ("beam_width",)

    def __init__(self, task: Task | None = None, *, beam_width: int = 1) -> None:
        super().__init__(task)
        if beam_width < 1:
            raise ValueError(f"beam_width must be >= 1, got {beam_width}")
        self.beam_width = beam_width

    def make_head(self, task: Task) -> nn.Module:
        return nn.Linear(num_features(task, type(self).__name__), task.num_classes + self.num_blanks)

    def sample_losses(self, scores: Tensor, target: Sequences) -> Tensor:
        return text_costs(self.log_probabilities(scores), target)

    def log_probabilities(self, scores: Tensor) -> Tensor:
        """Return log p of the K characters and, last, the blank at each step. Shapes: [B, T, K + 1], as the scores."""
        return full_float(scores).log_softmax(dim=-1)

    def predict(self, scores: Tensor) -> Tensor:
        return self.read(self.log_probabilities(scores))

    def read(self, log_p: Tensor) -> Tensor:
        """Return the text, characters first, then REJECTED. Shapes: log_p [B, T, K + 1] -> [B, T]."""
        return read_greedily(log_p) if self.beam_width == 1 else read_by_beams(log_p, self.beam_width)

    def untraceable(self) -> str | None:
        if self.beam_width == 1:
            return None
        return f"a beam search of {self.beam_width} is no graph; loss_params.beam_width=1 exports greedy reading"

    def impossible(self, scores: Tensor, target: Any) -> dict[int, str]:
        steps = scores.shape[-2]
        needed = steps_needed(target).tolist()
        return {place: f"needs {count} steps, there are {steps}" for place, count in enumerate(needed) if count > steps}

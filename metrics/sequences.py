"""Metrics of texts: whole texts and single characters."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from losses.contract import REJECTED
from losses.ctc import text_costs
from metrics.tally import BaseTally


class TextTally(BaseTally):
    """Counts of text predictions; judging adds edit distances.

    Predictions are [B, T] characters and targets `Sequences`; log_probabilities are [B, T, K + 1], blank last.
    """

    kind = "sequence"
    mistakes: Tensor
    characters: Tensor

    def __init__(self, num_classes: int, judge: bool = True, ordered: bool = False) -> None:
        super().__init__(num_classes, judge, ordered)
        self.count("mistakes", "characters")

    @torch.no_grad()
    def update(self, loss: Tensor, prediction: Tensor, target: Any, log_probabilities: Tensor | None = None) -> None:
        padded = target.padded()
        self.count_samples(loss, same_texts(prediction, padded))
        if not self.judge or log_probabilities is None:
            return
        self.rejected += (prediction == REJECTED).all(dim=-1).sum()
        self.cross_entropy += text_costs(log_probabilities, target).to(self.loss.dtype).sum()
        self.mistakes += edit_distances(prediction, padded).sum()
        self.characters += target.lengths.sum()


def same_texts(prediction: Tensor, target: Tensor) -> Tensor:
    """Tell which texts are their targets. Shapes: as `edit_distances` -> [B] bool."""
    common = min(prediction.shape[1], target.shape[1])
    nothing_more = [(each[:, common:] == REJECTED).all(dim=-1) for each in (prediction, target)]
    return (prediction[:, :common] == target[:, :common]).all(dim=-1) & nothing_more[0] & nothing_more[1]


def edit_distances(prediction: Tensor, target: Tensor) -> Tensor:
    """Return the number of characters to change, add or remove to turn each text into its target.

    Shapes: prediction [B, T], target [B, L], int64 with REJECTED behind the text -> [B] int64.
    Source: Levenshtein 1966; the table of Wagner and Fischer 1974, a row a step, all texts at once.
    """
    size, steps = prediction.shape
    places = torch.arange(steps + 1, device=prediction.device)
    row = places.expand(size, -1)  # [B, T + 1], distances of the prediction's beginnings to the target's
    lengths = (target != REJECTED).sum(dim=-1, keepdim=True)  # [B, 1]
    found = row
    for place in range(target.shape[1]):
        changed = row[:, :-1] + (prediction != target[:, place : place + 1])
        best = torch.cat([row[:, :1] + 1, torch.minimum(row[:, 1:] + 1, changed)], dim=1)
        row = (best - places).cummin(dim=-1).values + places  # or with characters of the prediction taken away
        found = torch.where(lengths == place + 1, row, found)
    return found.gather(1, (prediction != REJECTED).sum(dim=-1, keepdim=True)).squeeze(1)


def character_error_rate(tally: TextTally) -> Tensor:
    """Edit distance of the texts divided by the targets' characters; above 1 if too much is read."""
    return tally.mistakes.double() / tally.characters

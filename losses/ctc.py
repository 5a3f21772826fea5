"""Connectionist temporal classification: what a text costs that is read step by step, and which text is read.

Everywhere here: log_p [B, T, K + 1] is the log-probability of each of K characters and, last, of the blank, "no
character", at each of T steps. An alignment gives each step one of them; it spells the text that is left when
characters that follow one another and are alike are taken as one, and then blanks are dropped. A text's probability is
the sum over all alignments that spell it.
"""

from __future__ import annotations

import heapq
import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .contract import REJECTED, Sequences


def text_costs(log_p: Tensor, target: Sequences) -> Tensor:
    """Return -log p(text) of each sample; infinite for a text that needs more than T steps. Shapes: -> [B]."""
    size, steps, outcomes = log_p.shape
    lengths = torch.full((size,), steps, dtype=torch.int64, device=log_p.device)
    return F.ctc_loss(
        log_p.transpose(0, 1), target.labels, lengths, target.lengths, blank=outcomes - 1, reduction="none"
    )


def steps_needed(target: Sequences) -> Tensor:
    """Return how many steps each text takes: one a character, a blank between two that are alike. Shapes: -> [B]."""
    labels, lengths = target
    inside = torch.arange(1, labels.shape[1], device=labels.device) < lengths[:, None]  # [B, L - 1]
    return lengths + ((labels[:, 1:] == labels[:, :-1]) & inside).sum(dim=-1)


def read_greedily(log_p: Tensor) -> Tensor:
    """Return the text of the likeliest alignment: that of each step's likeliest outcome.

    Shapes: -> [B, T] int64, characters first, then REJECTED.
    """
    outcome = log_p.argmax(dim=-1)  # [B, T]
    starts = outcome != F.pad(outcome, (1, 0), value=REJECTED)[:, :-1]
    kept = starts & (outcome != log_p.shape[-1] - 1)
    steps = outcome.shape[1]
    place = torch.where(kept, kept.long().cumsum(dim=1) - 1, steps)  # what is dropped goes behind the end, and is cut
    read = outcome.new_full((outcome.shape[0], steps + 1), REJECTED)
    return read.scatter(1, place, outcome)[:, :-1]


def read_by_beams(log_p: Tensor, width: int) -> Tensor:
    """Return the likeliest text among those whose beginnings stay among the `width` likeliest: a prefix beam search.

    Unlike `read_greedily` it adds up the alignments of a text. Each step tries its `width` likeliest characters.

    Shapes: -> [B, T] int64, characters first, then REJECTED.
    """
    size, steps, outcomes = log_p.shape
    likeliest = log_p[..., :-1].topk(min(width, outcomes - 1), dim=-1).indices.tolist()
    texts = [_likeliest_text(*sample, width) for sample in zip(log_p.tolist(), likeliest, strict=True)]
    read = torch.full((size, steps), REJECTED)
    for row, text in zip(read, texts, strict=True):
        row[: len(text)] = torch.tensor(text, dtype=torch.int64)
    return read.to(log_p.device)


_Beams = dict[tuple[int, ...], tuple[float, float]]
"""Beginning of a text -> log-probability of the alignments so far that spell it and end in a blank; in a character."""


def _likeliest_text(log_p: list[list[float]], likeliest: list[list[int]], width: int) -> tuple[int, ...]:
    """Shapes: log_p [T, K + 1], likeliest [T, at most K] characters."""
    beams: _Beams = {(): (0.0, -math.inf)}
    for row, characters in zip(log_p, likeliest, strict=True):
        extended: _Beams = {}
        for text, (in_blank, in_character) in beams.items():
            whole = _log_sum(in_blank, in_character)
            _add(extended, text, whole + row[-1], -math.inf)
            if text:
                _add(extended, text, -math.inf, in_character + row[text[-1]])
            for character in characters:
                before = in_blank if text[-1:] == (character,) else whole  # alike, they need a blank between
                _add(extended, (*text, character), -math.inf, before + row[character])
        beams = dict(heapq.nlargest(width, extended.items(), key=lambda item: _log_sum(*item[1])))
    return max(beams, key=lambda text: _log_sum(*beams[text]))


def _add(beams: _Beams, text: tuple[int, ...], in_blank: float, in_character: float) -> None:
    before = beams.get(text, (-math.inf, -math.inf))
    beams[text] = _log_sum(before[0], in_blank), _log_sum(before[1], in_character)


def _log_sum(a: float, b: float) -> float:
    """Return log(e^a + e^b)."""
    low, high = min(a, b), max(a, b)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))

"""What a text costs and which text is read, beside sums over all alignments and cases done by hand."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from losses.contract import REJECTED, Sequences
from losses.ctc import read_by_beams, read_greedily, steps_needed, text_costs

K, T = 3, 4
Text = tuple[int, ...]


def spelled(alignment: tuple[int, ...]) -> Text:
    """Return what an alignment spells: like neighbours are one, then blanks, K, are dropped."""
    return tuple(outcome for outcome, _ in itertools.groupby(alignment) if outcome != K)


def probabilities(log_p: torch.Tensor) -> dict[Text, float]:
    """Return the probability of every text by a sum over all alignments. Shapes: [T, K + 1]."""
    found: dict[Text, float] = {}
    for alignment in itertools.product(range(K + 1), repeat=T):
        p = math.prod(log_p[step, outcome].exp().item() for step, outcome in enumerate(alignment))
        found[spelled(alignment)] = found.get(spelled(alignment), 0.0) + p
    return found


@pytest.fixture(params=range(5))
def log_p(request) -> torch.Tensor:
    generator = torch.Generator().manual_seed(request.param)
    return (2 * torch.randn(1, T, K + 1, dtype=torch.float64, generator=generator)).log_softmax(dim=-1)


def target(*texts: Text, width: int = T) -> Sequences:
    return Sequences.of(torch.tensor([[*text, *[REJECTED] * (width - len(text))] for text in texts]))


def texts(read: torch.Tensor) -> list[list[int]]:
    return [[label for label in row if label != REJECTED] for row in read.tolist()]


def by_steps(*outcomes: int) -> torch.Tensor:
    """Return scores whose likeliest outcomes are these, K being the blank: [1, T, K + 1]."""
    return (5 * torch.nn.functional.one_hot(torch.tensor([outcomes]), K + 1).double()).log_softmax(dim=-1)


def test_a_text_costs_the_sum_over_all_alignments_that_spell_it(log_p):
    expected = probabilities(log_p[0])
    assert sum(expected.values()) == pytest.approx(1)
    for text, p in expected.items():
        assert text_costs(log_p, target(text)).item() == pytest.approx(-math.log(p), rel=1e-9), text


def test_a_text_with_too_few_steps_costs_infinitely_much(log_p):
    assert text_costs(log_p, target((0, 0, 1, 1))).item() == math.inf
    assert (0, 0, 1, 1) not in probabilities(log_p[0])


def test_texts_of_different_lengths_are_judged_each_by_itself(log_p):
    several = target((2,), (0, 1, 0), ())
    alone = [text_costs(log_p, target(text)) for text in ((2,), (0, 1, 0), ())]
    torch.testing.assert_close(text_costs(log_p.expand(3, -1, -1), several), torch.cat(alone))


def test_like_neighbours_need_a_blank_between():
    assert steps_needed(target((0, 1, 2), (1, 1, 2), (1, 1, 1), (), (2,))).tolist() == [3, 4, 5, 0, 1]
    assert steps_needed(Sequences(torch.tensor([[0, 1, 1]]), torch.tensor([2]))).tolist() == [2]  # what is behind


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ((3, 3, 3, 3), []),
        ((0, 0, 0, 0), [0]),
        ((0, 3, 0, 0), [0, 0]),
        ((3, 1, 1, 2), [1, 2]),
        ((2, 1, 2, 3), [2, 1, 2]),
        ((3, 3, 3, 1), [1]),
    ],
)
def test_both_decoders_read_what_is_plain(outcomes, expected):
    assert texts(read_greedily(by_steps(*outcomes))) == [expected]
    assert texts(read_by_beams(by_steps(*outcomes), 4)) == [expected]


def test_what_is_read_stands_before_its_padding():
    read = read_greedily(torch.cat([by_steps(3, 1, 3, 2), by_steps(0, 1, 2, 0)]))
    assert read.tolist() == [[1, 2, REJECTED, REJECTED], [0, 1, 2, 0]]
    assert read.dtype == read_by_beams(by_steps(3, 1, 3, 2), 2).dtype == torch.int64


def test_a_wide_beam_finds_the_likeliest_text(log_p):
    expected = probabilities(log_p[0])
    assert tuple(texts(read_by_beams(log_p, 1000))[0]) == max(expected, key=lambda text: expected[text])


def test_beams_add_up_alignments_where_greedy_takes_one():
    # by hand: each step has p(0) = 0.4 and p(blank) = 0.6, so nothing has 0.36 and the text 0 the other 0.64
    log_p = torch.tensor([[[0.4, 0.6]] * 2], dtype=torch.float64).log()
    assert texts(read_greedily(log_p)) == [[]]
    assert texts(read_by_beams(log_p, 2)) == [[0]]


def test_beams_read_the_samples_of_a_batch_apart():
    both = torch.cat([by_steps(0, 3, 1, 1), by_steps(2, 3, 2, 3)])
    assert texts(read_by_beams(both, 3)) == [[0, 1], [2, 2]]

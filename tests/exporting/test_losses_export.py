"""A law over the table of losses: a loss decodes in an exported graph as by itself, or refuses in words."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from exporting.deployed import OUTPUTS, decode
from losses import LOSSES
from losses.ctc import read_greedily
from tests.losses.cases import make, samples

pytest.importorskip("onnxruntime")


def variants() -> Iterator[Any]:
    """Yield all losses; those whose decoding is another's, function by function, take minutes together."""
    seen = set()
    for name, params in (*((name, {}) for name in (*LOSSES, "MultiMarginLoss")), *MORE):
        loss = type(make(name, **params))
        key = (loss.log_probabilities, loss.predict, loss.confidence, *params)
        marks = [pytest.mark.torture] if key in seen else []
        seen.add(key)
        yield pytest.param(name, params, marks=marks, id="-".join([name, *params]))


MORE = (("OneSidedMarginLoss", {"reject": True}),)


class Decoder(torch.nn.Module):
    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def forward(self, scores):
        return scores, *decode(self.loss, scores)


@pytest.mark.parametrize(("name", "params"), [*variants()])
def test_every_loss_decodes_in_a_graph_as_by_itself(name, params):
    from exporting.onnx_model import session, trace

    loss, scores = make(name, **params).eval(), samples(name)[0].detach().float()
    assert loss.untraceable() is None
    hard = torch.cat([scores, scores * 100, scores * 0, -scores * 1000, scores + 700])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = session(trace(Decoder(loss), scores[:2], "pixels"))
    with torch.no_grad():
        own = dict(zip(OUTPUTS, (hard, *decode(loss, hard)), strict=True))
    for rows in (slice(None), slice(0, 1), slice(3, 10)):
        got = model(hard[rows].numpy())._asdict()
        np.testing.assert_array_equal(got["prediction"], own["prediction"][rows])
        np.testing.assert_allclose(got["probabilities"], own["probabilities"][rows], atol=2e-6)
        np.testing.assert_allclose(got["confidence"], own["confidence"][rows], atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("name", ["ConnectionistTemporalLoss", "OneSidedMarginCTCLoss"])
def test_a_beam_search_refuses_in_words(name):
    problem = make(name, beam_width=4).untraceable()
    assert problem == "a beam search of 4 is no graph; loss_params.beam_width=1 exports greedy reading"
    assert make(name).untraceable() is None


def test_texts_are_read_as_by_a_loop():
    log_p = torch.randn(500, 9, 4, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    for outcomes, row in zip(log_p.argmax(-1).tolist(), read_greedily(log_p).tolist(), strict=True):
        text = [k for n, k in enumerate(outcomes) if k != 3 and (n == 0 or outcomes[n - 1] != k)]
        assert row == text + [-1] * (9 - len(text))

"""MixUp and CutMix mix images and labels in the same shares, and replicas alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets import MIXINGS
from datasets.augmentation.mixing import build_mixing, draw_partners
from losses.contract import Batch
from utils.types import ConfigError

K = 5
SEEDS = range(40)


def painted(size: int = 6, views: int = 2, height: int = 12, width: int = 8) -> Batch:
    """Return images in one colour each: sample n is n + 1 all over."""
    colours = torch.arange(1.0, size + 1)[:, None, None, None, None]
    target = torch.arange(size) % K
    return Batch(colours.expand(size, views, 3, height, width).clone(), target, torch.arange(size))


def mixed(name: str, batch: Batch, seed: int, **params) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the mixed images and labels and the partners."""
    partner = draw_partners(batch.index, seed)
    after = build_mixing(name, **params)(batch, K, partner, seed)
    assert torch.equal(after.index, batch.index)
    assert isinstance(after.target, torch.Tensor)
    return after.image, after.target, partner


@pytest.fixture(params=MIXINGS)
def name(request) -> str:
    return request.param


def test_labels_are_mixed_in_the_shares_of_the_pixels(name):
    batch = painted()
    for seed in SEEDS:
        image, label, partner = mixed(name, batch, seed, probability=1.0)
        for n, other in enumerate(partner.tolist()):
            # a colour lies between its own and its partner's as far as the partner's share goes
            if other != n:
                kept = (image[n].mean() - (other + 1)) / (n - other)
                expected = kept * torch.eye(K)[n % K] + (1 - kept) * torch.eye(K)[other % K]
                torch.testing.assert_close(label[n], expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(label.sum(dim=1), torch.ones(6))


def test_mixup_is_a_weighted_mean_of_every_pixel():
    batch = painted()._replace(image=torch.rand(6, 2, 3, 12, 8))
    image, _, partner = mixed("MixUp", batch, 3)
    random = np.random.default_rng(3)
    random.random()
    share = random.beta(1.0, 1.0)
    expected = share * batch.image + (1 - share) * batch.image[partner]
    torch.testing.assert_close(image, expected)


def test_probability_is_the_share_of_mixed_batches_and_the_others_get_soft_labels(name):
    batch, left = painted(views=1, height=4, width=4), 0
    before = batch.image.clone()
    for seed in range(200):
        image, label, _ = mixed(name, batch, seed, probability=0.3)
        if torch.equal(image, before):
            left += 1
            assert torch.equal(label, torch.eye(K)[torch.arange(6) % K])
    assert left / 200 == pytest.approx(0.7, abs=0.11)
    assert torch.equal(batch.image, before)


def test_cutmix_pastes_one_box_and_counts_exactly_what_is_kept():
    areas = set()
    for seed in SEEDS:
        batch = painted()
        image, label, partner = mixed("CutMix", batch, seed, probability=1.0)
        other = int((partner != torch.arange(6)).nonzero()[0])
        pasted = image[other, 0, 0] != other + 1  # [H, W]
        rows, columns = pasted.any(dim=1).nonzero().flatten(), pasted.any(dim=0).nonzero().flatten()
        assert pasted.sum() == len(rows) * len(columns)
        assert all(torch.equal(view != other + 1, pasted) for view in image[other].flatten(0, 1))
        if (int(partner[other]) - other) % K:
            assert float(label[other, other % K]) == pytest.approx(1 - int(pasted.sum()) / (12 * 8), abs=1e-7)
        areas.add(int(pasted.sum()))
    assert len(areas) > 10


@pytest.mark.parametrize(("alpha", "distance"), [(1e-3, 0.5), (1e4, 0.0)])
def test_alpha_tells_hardly_mixed_from_halves(alpha, distance):
    batch = painted(views=1)
    shares = torch.stack([mixed("MixUp", batch, seed, alpha=alpha)[1].max(dim=1).values for seed in SEEDS])
    shares = shares[shares < 1] if distance == 0 else shares
    assert float((shares - 0.5).abs().mean()) == pytest.approx(distance, abs=0.03)


def test_mixing_depends_on_its_seed_alone(name):
    batch = painted()
    first, first_label, _ = mixed(name, batch, 1, probability=1.0)
    torch.manual_seed(7)
    np.random.seed(7)
    again, again_label, _ = mixed(name, batch, 1, probability=1.0)
    other, _, _ = mixed(name, batch, 2, probability=1.0)
    assert torch.equal(first, again)
    assert torch.equal(first_label, again_label)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("params", "shares"),
    [
        ({}, (0.5, 0.5)),
        ({"CutMix": {"probability": 0.2}}, (0.2, 0.8)),
        ({"CutMix": {"probability": 0.2}, "MixUp": {"probability": 0.3, "alpha": 0.8}}, (0.2, 0.3)),
        ({"CutMix": {"alpha": 0.5, "probability": 0}, "MixUp": {}}, (0.0, 1.0)),
    ],
)
def test_one_of_several_mixes_each_batch_as_it_would_alone(params, shares):
    batch, counts = painted(views=1, height=4, width=4), {"CutMix": 0, "MixUp": 0, "neither": 0}
    mixing = build_mixing(["CutMix", "MixUp"], **params)
    assert [part.probability for part in mixing.parts] == pytest.approx(shares)  # type: ignore[attr-defined]
    for seed in range(200):
        partner = draw_partners(batch.index, seed)
        after = mixing(batch, K, partner, seed)
        alphas = {name: params.get(name, {}).get("alpha", 1.0) for name in ("CutMix", "MixUp")}
        alone = {
            name: build_mixing(name, alpha=alpha, probability=1.0)(batch, K, partner, seed)
            for name, alpha in alphas.items()
        }
        alone["neither"] = build_mixing("MixUp", probability=0.0)(batch, K, partner, seed)
        drawn = next(name for name, each in alone.items() if torch.equal(each.image, after.image))
        assert torch.equal(torch.as_tensor(alone[drawn].target), torch.as_tensor(after.target))
        counts[drawn] += 1
    found = [counts[name] / 200 for name in ("CutMix", "MixUp")]
    assert found == pytest.approx(list(shares), abs=0.12)


# --------------------------------------------------------------------------------------------------------- partners


@given(st.lists(st.integers(0, 10), min_size=1, max_size=40), st.integers(0, 50))
@settings(max_examples=100, deadline=None)
def test_copies_of_an_image_get_partners_of_one_image(rows, seed):
    index = torch.tensor(rows)
    partner = draw_partners(index, seed)
    images = {row: {rows[other] for n, other in enumerate(partner.tolist()) if rows[n] == row} for row in set(rows)}
    assert all(len(partners) == 1 for partners in images.values())
    assert set().union(*images.values()) == set(rows)


def test_copies_are_mixed_with_different_copies():
    index = torch.tensor([7, 7, 7, 9, 9, 9])
    partners = [draw_partners(index, seed).tolist() for seed in range(20)]
    assert all(len(set(partner)) == 6 for partner in partners)
    assert [3, 4, 5, 0, 1, 2] in partners
    assert sorted(draw_partners(torch.tensor([30, 10, 20, 50]), 0).tolist()) == [0, 1, 2, 3]


# --------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"alpha": 0}, "mixing_params.alpha: must be > 0 and finite, got 0"),
        ({"alpha": -1.0}, "mixing_params.alpha: must be > 0 and finite, got -1.0"),
        ({"alpha": float("nan")}, "mixing_params.alpha: must be > 0 and finite, got nan"),
        ({"alpha": "x"}, "mixing_params.alpha: must be a number, got 'x'"),
        ({"probability": 1.5}, "mixing_params.probability: must be 0 to 1, got 1.5"),
        (
            {"alpha": 0.0, "probability": -1.0},
            "mixing_params.alpha: must be > 0 and finite, got 0.0\nmixing_params.probability: must be 0 to 1, got -1.0",
        ),
        ({"alpa": 1.0}, "mixing_params.alpa: unknown parameter; did you mean 'alpha'? (allowed: alpha, probability)"),
    ],
)
def test_bad_parameters_are_named(name, params, message):
    with pytest.raises(ConfigError) as error:
        build_mixing(name, **params)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("params", "lines"),
    [
        (
            {"CutMix": {"alpha": 0}, "MixUp": {"alfa": 1}},
            [
                "mixing_params.CutMix.alpha: must be > 0 and finite, got 0",
                "mixing_params.MixUp.alfa: unknown parameter; did you mean 'alpha'? (allowed: alpha, probability)",
            ],
        ),
        (
            {"alpha": 1.0, "MixUp": 3},
            [
                "mixing_params.alpha: the parameters of each stand below its name (allowed: CutMix, MixUp)",
                "mixing_params.MixUp: must be a mapping of parameters, got 3",
            ],
        ),
        (
            {"CutMix": {"probability": 0.7}, "MixUp": {"probability": 0.7}},
            [
                "mixing_params: each probability is a share of all batches; they sum to 1.4 (CutMix 0.7, MixUp 0.7), "
                "more than 1"
            ],
        ),
        (
            {"CutMix": {"probability": 1.0}},
            [
                "mixing_params: each probability is a share of all batches; they sum to 1 (CutMix 1.0), which "
                "leaves none to the others"
            ],
        ),
    ],
)
def test_bad_parameters_of_several_are_named(params, lines):
    with pytest.raises(ConfigError) as error:
        build_mixing(["CutMix", "MixUp"], **params)
    assert str(error.value).splitlines() == lines
    with pytest.raises(ConfigError, match=r"^mixing: names CutMix twice$"):
        build_mixing(["CutMix", "CutMix"])
    with pytest.raises(ConfigError, match=r"mixing: unknown mixing 'Mixup'; did you mean 'MixUp'\?"):
        build_mixing("Mixup")

"""Losses that add to another: every one of them over every loss."""

from __future__ import annotations

import pytest
import torch
from cases import batch_of, make, outputs_of, refused, samples, terms_of

from losses import LOSSES
from losses.base import ClassificationLoss
from losses.wrapping import WrappingLoss
from training.losses import build_loss
from utils.lookup import load_entry
from utils.types import ConfigError

CLASSES = {name: load_entry(LOSSES[name]) for name in LOSSES}
WRAPPING = [
    name
    for name, each in CLASSES.items()
    if issubclass(each, WrappingLoss) and each.added_terms is not WrappingLoss.added_terms
]
OF_TEXTS = [name for name in LOSSES if load_entry(LOSSES[name]).kind == "sequence"]
BASES = [*(name for name in LOSSES if name not in OF_TEXTS), "CrossEntropyLoss", "BCEWithLogitsLoss", "MultiMarginLoss"]
PAIRS = [(name, base) for name in WRAPPING for base in BASES if name != base]


ASKED = {
    "LossTransform": ("views", "sampling", "repeats"),
    "DataDistortionDistillationLoss": ("views",),
    "SupervisedContrastiveLoss": ("views",),
    "TripletLoss": ("sampling", "samples_per_class"),
}
"""What a loss asks of the data itself."""


def over(name: str, base: str, **params) -> tuple[WrappingLoss, torch.Tensor, torch.Tensor]:
    """Return a loss over a base, scores as the base's head gives them, and labels of the base's classes."""
    scores, target = samples(base, size=8)
    classes = 2 if scores.shape[1] == 1 else scores.shape[1]
    loss = make(name, classes, base=base, **params)
    assert isinstance(loss, WrappingLoss)
    return loss, scores, target.repeat_interleave(loss.views)[: len(target)]


def test_there_are_as_many_as_the_table_says():
    assert {*WRAPPING} >= {"CenterLoss", "DataDistortionDistillationLoss", "LossTransform", "TripletLoss"}


@pytest.mark.parametrize(("name", "base"), PAIRS)
def test_any_loss_can_be_the_base(name, base):
    loss, scores, target = over(name, base)
    terms = terms_of(loss, scores.requires_grad_(), target)
    own = loss.base.terms(outputs_of(loss, scores), batch_of(target, loss.views))
    total = torch.stack(list(terms.values())).sum()
    total.backward()
    assert terms.keys() > own.keys()
    assert total.isfinite()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    assert scores.grad.abs().sum() > 0


@pytest.mark.parametrize("name", WRAPPING)
@pytest.mark.parametrize("base", OF_TEXTS)
def test_a_loss_of_texts_is_no_base(name, base):
    assert refused(name, {"base": base}) == f"loss_params.base: {base} judges sequences, {name} judges images"


@pytest.mark.parametrize(("name", "base"), PAIRS)
def test_reading_and_judging_are_the_base_s(name, base):
    loss, scores, target = over(name, base)
    alone = make(base)
    assert torch.equal(loss.predict(scores), alone.predict(scores))
    assert torch.equal(loss.log_probabilities(scores), alone.log_probabilities(scores))
    assert torch.equal(loss(scores, target), alone(scores, target))
    assert torch.equal(loss.confidence(scores), alone.confidence(scores))
    assert loss.soft_targets == (alone.soft_targets and type(loss).soft_targets)
    for attribute in ClassificationLoss.__annotations__.keys() - {"soft_targets", *ASKED.get(name, ())}:
        assert getattr(loss, attribute) == getattr(alone, attribute), attribute
    assert alone.state_dict().keys() <= {key.removeprefix("base.") for key in loss.state_dict()}


def test_every_method_and_attribute_of_the_contract_is_passed_on():
    contract = {name for name in vars(ClassificationLoss) if not name.startswith("_")}
    once = {"with_options", "end_validation"}  # reach losses within by themselves
    assert contract - ClassificationLoss.__annotations__.keys() - once <= vars(WrappingLoss).keys()
    assert contract >= {"score_scale", "num_blanks", "confidence", "impossible"}


@pytest.mark.parametrize("name", WRAPPING)
def test_a_base_s_epoch_ends_with_the_epoch(name):
    loss, scores, target = over(name, "OnlineLabelSmoothingLoss")
    scores = 5 * torch.nn.functional.one_hot(target, scores.shape[1]).float()
    terms_of(loss, scores, target)
    assert loss.base.counts.sum() == len(target)  # type: ignore[operator,union-attr]
    loss.on_epoch_end()
    assert loss.base.counts.sum() == 0  # type: ignore[operator,union-attr]


@pytest.mark.parametrize("name", WRAPPING)
def test_a_loss_cannot_wrap_itself_at_any_depth(name):
    assert refused(name, {"base": name}) == f"loss_params.base: {name} cannot wrap {name}"
    between = next(other for other in ("CenterLoss", "PairwiseConfusionLoss") if other != name)
    message = refused(name, {"base": between, "base_params": {"base": name}})
    assert message == f"loss_params.base: {name} cannot wrap {name}"


@pytest.mark.parametrize("name", WRAPPING)
def test_a_wrong_name_of_a_base_is_told_with_the_nearest(name):
    message = refused(name, {"base": "HingLoss"})
    assert message.startswith("loss_params.base: unknown loss 'HingLoss'; did you mean 'HingeLoss'?")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (4, "loss_params.base_params: must be a mapping of parameters, got 4"),
        ({"beta": 1}, "loss_params.base_params.beta: unknown parameter"),
        ({"alpha": "much"}, "loss_params.base_params.alpha: must be a number, got 'much'"),
        ({"alpha": -1.0}, "loss_params.base_params: OneSidedMarginLoss refuses them: alpha must be finite and >= 0"),
    ],
)
@pytest.mark.parametrize("name", WRAPPING)
def test_a_wrong_parameter_of_a_base_is_told_with_its_place(name, params, message):
    assert refused(name, {"base": "OneSidedMarginLoss", "base_params": params}).startswith(message)


def test_places_are_told_through_every_layer():
    inner = {"base": "CenterLoss", "base_params": {"base": "HingeLoss", "base_params": {"margn": 2.0}}}
    message = refused("LossTransform", inner)
    assert message.startswith("loss_params.base_params.base_params.margn: unknown parameter; did you mean 'margin'?")


@pytest.mark.parametrize("name", WRAPPING)
def test_a_base_of_two_classes_is_refused_for_more(name):
    with pytest.raises(ConfigError) as error:
        make(name, 3, base="BinaryCrossEntropyLoss")
    assert str(error.value).startswith("loss_params.base: BinaryCrossEntropyLoss tells two classes apart")


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("DataDistortionDistillationLoss", {"base": "LossTransform", "base_params": {"views": 4}}),
        ("TripletLoss", {"base": "LossTransform", "base_params": {"repeated_sampling": True}}),
        ("LossTransform", {"base": "TripletLoss", "repeated_sampling": True}),
        ("LossTransform", {"base": "DataDistortionDistillationLoss", "views": 1}),
        ("LossTransform", {"base": "CenterLoss", "base_params": {"base": "TripletLoss"}, "repeated_sampling": True}),
    ],
)
def test_bases_that_want_other_batches_are_refused_at_the_base(name, params):
    assert refused(name, params).startswith(f"loss_params.base: {name} ")


def test_what_a_base_asks_of_the_data_is_passed_on():
    loss = build_loss("CenterLoss", None, base="TripletLoss", base_params={"samples_per_class": 6})
    assert (loss.sampling, loss.samples_per_class) == ("class_balanced", 6)
    loss = build_loss("CenterLoss", None, base="LossTransform", base_params={"repeated_sampling": True, "views": 4})
    assert (loss.sampling, loss.repeats, loss.views) == ("repeated", 4, 1)
    loss = build_loss("PairwiseConfusionLoss", None, base="LossTransform", base_params={"views": 4})
    assert (loss.sampling, loss.views) == ("shuffle", 4)

"""Runs of networks with several heads: numbers, predictions, resume, and what is refused."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest
import torch

from evaluation.subject import open_subject
from tests.test_pairs import DESTROYED, check_recorded_test, check_resumed_run, check_selected_weights
from training.building import prepare
from training.runner import train
from utils.types import ConfigError

THREE_HEADS = {"architecture": "dfl_cnn", "architecture_params": "{body: resnet20_basic, filters: 2}"}

SMALL = {"classes": "[0,1,2]", "batch_size": "96", "num_workers": "0"}


@pytest.mark.parametrize(
    "changes",
    [
        THREE_HEADS | {"loss_function": "OnlineLabelSmoothingLoss", "ema_decay": "0.9"},
        DESTROYED | {"loss_function": "CompetingRatioLoss", "checkpoint_every_steps": "2"},
    ],
    ids=["three heads", "destroyed views"],
)
def test_the_combined_score_is_recorded_evaluated_and_resumed(changes, quick, tmp_path):
    folder, summary = train(quick(output_path=tmp_path / "whole", **SMALL, **changes))
    check_selected_weights(folder, "valid")
    check_recorded_test(folder, summary)
    subject = open_subject(folder.path)
    assert subject.answers.scores.shape[1] == 3
    recorded = pq.read_table(folder.predictions).to_pydict()
    assert recorded["prediction"] == [subject.classes[name] for name in subject.answers.scores.argmax(1).tolist()] or (
        recorded["prediction"] == subject.answers.scores.argmax(1).tolist()
    )
    check_resumed_run(folder, lambda: quick(output_path=tmp_path / "resumed", **SMALL, **changes))


def test_terms_of_a_batch_are_those_of_both_views(quick):
    prepared = prepare(quick(**SMALL, **DESTROYED))
    stream, loss = prepared.data.train_stream, prepared.classifier.loss
    batch = stream.finish(stream.__getitems__([(0, 0), (0, 1)]))
    assert (loss.views, prepared.data.train_stream.grid, batch.image.shape[1]) == (2, 3, 2)
    terms = {}
    original = loss.terms
    loss.terms = lambda outputs, flat: terms.update(original(outputs, flat)) or terms  # type: ignore[method-assign]
    prepared.classifier.train().training_step(batch, 0)
    assert {*terms} == {"class_main", "adversarial_main", "places"}
    assert all(torch.isfinite(term) for term in terms.values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (THREE_HEADS | {"loss_function": "AngularSoftmaxLoss"}, "architecture: .*several heads: whole, patches, side"),
        (DESTROYED | {"mixing": "MixUp"}, "mixing: .*takes no soft labels"),
        (DESTROYED | {"loss_function": "DataDistortionDistillationLoss"}, "architecture: .*asks for 2 views"),
        (
            DESTROYED | {"image_size": "4", "architecture_params": "{body: resnet20_basic, grid: 5}"},
            "at least 5 px high",
        ),
    ],
)
def test_what_cannot_serve_is_refused_with_its_place(changes, message, quick):
    with pytest.raises(ConfigError, match=message):
        prepare(quick(**SMALL, **changes))

"""The same images by several runs: whose probabilities they are, and which runs cannot be compared."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from msgspec import structs

from evaluation import heat_map as module
from evaluation.heat_map import Line, classes_to_show, heat_map, plot_lines, same_images
from tests.evaluation.made_up_subject import make_subject
from utils.types import ConfigError


@pytest.fixture
def subject(quick):
    return make_subject(quick(classes=["3", "8", "0"]))


@pytest.fixture
def open_as(monkeypatch, tmp_path):
    """Return a function that lets a folder be opened as a run that was never trained."""

    def answer(other) -> str:
        path = tmp_path / "other"
        path.mkdir(exist_ok=True)
        other = dataclasses.replace(other, folder=dataclasses.replace(other.folder, path=path))
        monkeypatch.setattr(module, "open_subject", lambda *arguments: other)
        return str(path)

    return answer


def test_each_run_gives_its_own_probabilities_of_the_same_images(quick, subject, open_as):
    other = make_subject(quick(classes=["3", "8", "0"], loss_function="OneSidedMarginLoss", seed=1))
    found = heat_map(subject, images=[7, 2], runs=[open_as(other)])
    assert found.details["images"] == [7, 2]
    assert found.details["labels"] == subject.part.stream.table.labels[[7, 2]].tolist()
    told = np.array(found.details["probabilities"])
    for run, each in enumerate((subject, other)):
        np.testing.assert_allclose(told[run], each.answers.log_probabilities.exp()[[7, 2]].numpy(), atol=2e-6)
    assert "OneSidedMarginLoss are a convention" in found.notes[0]
    assert found.figures[0].path.is_file()


def test_runs_are_called_by_what_tells_them_apart(subject):
    def names(*changes):
        subjects = [
            dataclasses.replace(subject, config=structs.replace(subject.config, **change)) for change in changes
        ]
        return module._short_names({f"folder-{n}": each for n, each in enumerate(subjects)})

    assert names({}, {"loss_function": "FocalLoss"}) == ["CrossEntropyLoss", "FocalLoss"]
    assert names({}, {"architecture": "ghostnet"}) == ["CrossEntropyLoss, test_resnet", "CrossEntropyLoss, ghostnet"]
    assert names({}, {"seed": 3})[1] == "CrossEntropyLoss, test_resnet, seed 3"
    assert names({}, {"num_epochs": 3}) == ["folder-0", "folder-1"]


def test_without_images_some_right_and_some_wrong_are_shown(subject):
    found = heat_map(subject)
    right = dict(zip(subject.answers.index.tolist(), subject.answers.right.tolist(), strict=True))
    assert [right[row] for row in found.details["images"]] == [True] * 4 + [False] * 4
    assert heat_map(subject).details == found.details
    assert found.notes[0].startswith("the images are a random sample of 4 right and 4 wrong predictions of this run")
    assert all("sample" not in note for note in heat_map(subject, images=[0, 1]).notes)


@pytest.mark.parametrize(
    ("classes", "message"),
    [(["3", "8", "6"], "has other classes: 3, without 0"), (["8", "3", "0"], "has other classes: 3, in another order")],
)
def test_runs_of_other_classes_are_refused(quick, subject, open_as, classes, message):
    path = open_as(make_subject(quick(classes=classes)))
    with pytest.raises(ConfigError, match=rf"evaluate_params\.heat_map\.runs: .*other: {message}"):
        heat_map(subject, runs=[path])


def test_runs_with_other_test_images_are_refused(subject, open_as):
    table = subject.part.stream.table
    inverted = dataclasses.replace(table, images=255 - table.images)
    other = make_subject(subject.config)
    other.part.stream.table = inverted
    assert same_images(table, dataclasses.replace(table))
    assert not same_images(table, inverted)
    with pytest.raises(ConfigError, match=r"evaluate_params\.heat_map\.runs: .*has other test images, of digits"):
        heat_map(subject, images=[0], runs=[open_as(other)])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"images": [0, 100_000]}, r"images: must be rows of the test images, 0 to \d+, got \[100000\]"),
        ({"images": []}, r"images: must be 1 to 40 rows, got 0"),
        ({"runs": ["nowhere"]}, r"runs: nowhere: no such folder"),
    ],
)
def test_parameters_out_of_range_are_refused(subject, params, message):
    with pytest.raises(ConfigError, match=rf"evaluate_params\.heat_map\.{message}"):
        heat_map(subject, **params)


def test_of_many_classes_the_label_the_predictions_and_the_likeliest_are_shown():
    probabilities = np.zeros((2, 150))
    probabilities[0, 5:20], probabilities[1, 120] = 0.05, 0.9
    shown = classes_to_show(Line(np.zeros((4, 4, 3), np.uint8), 0, 140, probabilities, np.array([130, -1])), 150)
    assert len(shown) == 12
    assert {140, 130, 120, 5} <= {*shown}
    assert shown == sorted(shown)
    assert classes_to_show(Line(np.zeros((4, 4, 3), np.uint8), 0, 1, probabilities[:, :9], np.array([0])), 9) == [
        *range(9)
    ]


def test_many_runs_and_long_names_are_drawn(tmp_path):
    random = np.random.default_rng(0)
    images = [
        Line(np.zeros((8, 8, 1), np.uint8), n, n, random.dirichlet(np.ones(120), 6), np.arange(6)) for n in (0, 1)
    ]
    names = [f"class {n} of a very long name $x_{n}" for n in range(120)]
    plot_lines(images, [f"run {n} " + 40 * "x" for n in range(6)], names, tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 10_000

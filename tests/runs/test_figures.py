"""Pictures are whole files that show what they are given, at every size that occurs."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from runs import confusions
from runs import figures as pictures
from runs.confusions import confusion_counts, plot_confusion, plot_places
from runs.figures import plot_augmentations, plot_curves


def make_rows(num_epochs: int) -> list[dict[str, float]]:
    return [
        {
            "epoch": float(epoch),
            "train/loss": 2 / (epoch + 1),
            "valid/loss": 3 / (epoch + 1),
            "train/accuracy": epoch / num_epochs,
            "valid/accuracy": 0.9 - abs(epoch - num_epochs // 2) / num_epochs,
            "learning_rate": 0.1 if epoch < num_epochs / 2 else 0.01,
        }
        for epoch in range(num_epochs)
    ]


def show(path: Path) -> np.ndarray:
    """Return the picture as [H, W, 3], having checked that nothing else was left beside it."""
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    return np.asarray(Image.open(path).convert("RGB"))


def share_of_colour(picture: np.ndarray, colour: str) -> float:
    wanted = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)])
    return float((np.abs(picture.astype(int) - wanted).max(axis=-1) < 24).mean())


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list:
    """Collect the figures that are drawn, to read what stands on them."""
    drawn = []
    write = pictures.write_figure
    for module in (pictures, confusions):
        monkeypatch.setattr(
            module, "write_figure", lambda figure, *rest, **how: (drawn.append(figure), write(figure, *rest, **how))
        )
    return drawn


def test_curves_of_texts_show_the_errors_in_characters_too(tmp_path: Path, figures: list) -> None:
    errors = [{"train/character_error_rate": 1.05, "valid/character_error_rate": 0.6}] * 3
    rows = [row | more for row, more in zip(make_rows(3), errors, strict=True)]
    plot_curves(rows, tmp_path / "curves.png", "a run", best_epoch=1)
    labels = [label for axes in figures[0].axes for label in axes.get_legend_handles_labels()[1]]
    assert labels == ["train", "valid", "train", "valid", "train, character errors", "valid, character errors"]


@pytest.mark.parametrize("num_epochs", [1, 2, 300])
def test_curves_show_both_parts_and_the_best_epoch(num_epochs: int, tmp_path: Path, figures: list) -> None:
    rows = make_rows(num_epochs)
    plot_curves(rows, tmp_path / "curves.png", "a run", best_epoch=num_epochs // 2)
    picture = show(tmp_path / "curves.png")
    assert min(share_of_colour(picture, colour) for colour in (pictures.TRAIN, pictures.VALID)) > 1e-5
    (figure,) = figures
    loss, accuracy = figure.axes[:2]
    assert [line.get_ydata().tolist() for line in loss.lines[:2]] == [
        [row[f"{part}/loss"] for row in rows] for part in ("train", "valid")
    ]
    assert accuracy.get_title() == f"best epoch: {num_epochs // 2 + 1}, valid 90.00 %"
    assert loss.lines[0].get_xdata().tolist() == [*range(1, num_epochs + 1)]
    assert len(figure.axes) == (2 if num_epochs == 1 else 3)


def test_curves_bear_missing_and_infinite_values(tmp_path: Path, figures: list) -> None:
    rows = [{"epoch": 0, "train/loss": 1e6}, {"epoch": 1, "train/loss": math.nan}, {"epoch": 2, "train/loss": 1.0}]
    rows += [{"epoch": epoch, "train/loss": math.inf if epoch == 3 else 0.5} for epoch in range(3, 9)]
    plot_curves(rows, tmp_path / "curves.png", "a run", best_epoch=2)
    assert show(tmp_path / "curves.png").std() > 0
    assert figures[0].axes[0].get_yscale() == "log"
    assert figures[0].axes[1].get_title() == "best epoch: 3"


def test_curves_need_an_epoch(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no epochs"):
        plot_curves([], tmp_path / "curves.png", "a run", best_epoch=0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (448, 300)])
def test_augmentations_stand_row_by_row(channels: int, height: int, width: int, tmp_path: Path, figures: list) -> None:
    rng = np.random.default_rng(0)
    shape = (height, width, 3) if channels == 3 else (height, width)
    originals = [
        rng.integers(0, 256, shape, dtype=np.uint8),
        Image.new("L" if channels == 1 else "RGB", (width, height)),
    ]
    views = [list(torch.rand(4, channels, height, width) * 1.2 - 0.1) for _ in originals]
    labels = ["cat", "AM General Hummer SUV 2000 with an exceedingly long name"]
    plot_augmentations(originals, views, labels, tmp_path / "views.png")
    assert show(tmp_path / "views.png").std() > 0
    (axes,) = figures[0].axes
    assert len(axes.images) == 2 * 5
    for row in range(2):
        image = axes.images[row * 5 + 3]
        shown, given = np.asarray(image.get_array(), dtype=float), np.moveaxis(views[row][2].numpy(), 0, -1) * 255
        assert image.get_clim() == (0, 255)
        if height == 8:
            assert shown == pytest.approx(np.clip(given, 0, 255).squeeze(), abs=0.51)
        else:
            assert shown.mean() == pytest.approx(np.clip(given, 0, 255).mean(), abs=2)
            assert max(shown.shape) < 256
        left, right, bottom, top = image.get_extent()
        assert 3 < left < right < 4
        assert (right - left) / (bottom - top) == pytest.approx(width / height)
    headings = [text.get_text() for text in axes.texts]
    assert headings[:2] == ["cat", "view 1"]
    assert headings[5].endswith("...")
    assert max(map(len, headings[5].split("\n"))) <= 24


def test_words_use_the_fonts_with_chinese_that_the_machine_has(
    tmp_path: Path, figures: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "CHINESE_FONTS", ("No Such Font", "DejaVu Serif"))  # one that every machine has
    image = np.zeros((8, 8), np.uint8)
    plot_augmentations([image], [[np.zeros((1, 8, 8))]], ["PL3N67"], tmp_path / "views.png")
    (axes,) = figures[0].axes
    assert axes.texts[0].get_fontfamily() == ["DejaVu Sans", "DejaVu Serif"]


def test_wide_images_stand_close_below_one_another(tmp_path: Path) -> None:
    heights = []
    for height in (94, 24):
        image = np.zeros((height, 94, 3), np.uint8)
        plot_augmentations([image] * 4, [[torch.zeros(3, height, 94)]] * 4, ["AB1"] * 4, tmp_path / "views.png")
        with Image.open(tmp_path / "views.png") as picture:
            heights.append(picture.size[1])
    assert heights[1] / heights[0] == pytest.approx((24 / 94 + pictures.HEADING) / (1 + pictures.HEADING), rel=0.01)


def test_places_show_the_share_misread_and_the_commonest_mistakes(tmp_path: Path, figures: list) -> None:
    pairs = [(0, 0, 0)] * 3 + [(0, 0, 1)] + [(1, 1, -1)] * 2 + [(1, -1, 0), (1, 1, 1)] + [(2, 1, 1)]
    plot_places(pairs, ["A", "B"], tmp_path / "places.png")
    assert show(tmp_path / "places.png").std() > 0
    (axes,) = figures[0].axes
    assert [bar.get_height() for bar in axes.patches] == [0.25, 0.75, 0]
    assert [text.get_text() for text in axes.texts] == ["A > B: 1", "B > nothing: 2\nnothing > A: 1", ""]


def test_augmentations_must_fit_together(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="zip"):
        plot_augmentations([np.zeros((8, 8), np.uint8)] * 2, [[]], ["cat"], tmp_path / "views.png")


def test_confusions_are_counted_by_hand() -> None:
    targets, predictions = [0, 0, 1, 1, 2], [0, 1, 1, -1, 2]
    counts, names = confusion_counts(targets, predictions, ["a", "b", "c"])
    assert counts.tolist() == [[1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0]]
    assert names == ["a", "b", "c", "rejected"]
    assert confusion_counts(targets, predictions, ["a", "b", "c"], "not read")[1][-1] == "not read"
    counts, names = confusion_counts(torch.tensor([0, 0, 1, 1, 2]), torch.tensor([0, 1, 1, 1, 2]), ["a", "b", "c"])
    assert counts.tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 1]]
    assert names == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("targets", "predictions", "message"),
    [([0, 3], [0, 0], "targets from 0 to 3"), ([0, 1], [0, -2], "predictions from -2"), ([0], [0, 1], "one length")],
)
def test_confusions_of_unknown_classes_are_refused(targets: list, predictions: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        confusion_counts(targets, predictions, ["a", "b", "c"])


@pytest.mark.parametrize(
    ("num_classes", "rejecting"), [(2, False), (10, True), (40, True), (102, False), (196, True), (1000, False)]
)
def test_confusion_stays_readable(num_classes: int, rejecting: bool, tmp_path: Path, figures: list) -> None:
    targets = np.arange(num_classes).repeat(10)
    predictions = targets.copy()
    predictions[3:10] = 1
    if rejecting:
        predictions[10] = -1
    classes = [f"a class with a long name, number {number}" for number in range(num_classes)]
    plot_confusion(targets, predictions, classes, tmp_path / "confusion.png")
    assert show(tmp_path / "confusion.png").shape[0] < 2000
    axes, beside = figures[0].axes[:2]
    shares = np.asarray(axes.images[0].get_array())
    assert shares.shape == (num_classes, num_classes + rejecting)
    assert shares.sum(axis=1) == pytest.approx(np.ones(num_classes))
    assert shares[0, 1] == pytest.approx(0.7)
    assert "7 of 10  " in beside.texts[0].get_text()
    assert len(axes.texts) == (np.count_nonzero(shares) if num_classes <= 20 else 0)
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert any("..." in name for name in names) == (num_classes <= 60)


def test_class_without_samples_is_no_error(tmp_path: Path, figures: list) -> None:
    plot_confusion([0, 0], [0, 0], ["a", "b"], tmp_path / "confusion.png")
    shares = np.ma.filled(figures[0].axes[0].images[0].get_array(), np.nan)
    np.testing.assert_array_equal(shares, [[1, 0], [np.nan, np.nan]])
    assert figures[0].axes[1].texts[0].get_text() == "no mistakes"


def test_failed_picture_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plot_curves(make_rows(2), tmp_path / "curves.png", "a run", best_epoch=0)
    before = (tmp_path / "curves.png").read_bytes()

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(pictures.Figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        plot_curves(make_rows(3), tmp_path / "curves.png", "a run", best_epoch=0)
    assert (tmp_path / "curves.png").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_no_window_system_is_touched() -> None:
    code = "import sys, runs.confusions; print('matplotlib.pyplot' in sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

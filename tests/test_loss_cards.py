"""docs/losses.md and its pictures say what the losses say."""

from __future__ import annotations

import math
import re

import pytest
from PIL import Image

from docs.loss_cards import PAGE, PICTURES, Subject, draw, page
from losses import LOSSES


def test_the_page_is_what_the_docstrings_say():
    assert PAGE.read_text(encoding="utf-8") == page(), "run python docs/loss_cards.py"


def test_every_loss_has_a_picture_and_nothing_else_has():
    assert {path.stem for path in PICTURES.glob("*.png")} == set(LOSSES)


def test_every_parameter_stands_in_the_page_with_its_default():
    text = page()
    assert "| `alpha` | `1.5` | offset inside the logarithm" in text
    assert "| `update_every` | `null` | steps between updates of S" in text
    assert text.count("**Deviations:**") == text.count("**Use:**") == len(LOSSES)


def test_cards_link_to_the_errors_of_their_paper():
    text, errata = page(), (PAGE.parent / "errata.md").read_text(encoding="utf-8")
    for name in ("OneSidedMarginLoss", "CompetingRatioLoss", "LossTransform", "OnlineLabelSmoothingLoss"):
        card = text.partition(f"## {name}\n")[2].partition("\n## ")[0]
        (anchor,) = re.findall(r"\(errata\.md#(.+)\)", card)
        headings = re.findall(r"^## (.+)$", errata, flags=re.MULTILINE)
        assert anchor in [re.sub(r"[()]", "", each).lower().replace(" ", "-") for each in headings]


def test_a_picture_shows_the_loss_at_the_margin_it_names():
    subject = Subject("CompetingRatioLoss")
    others = math.exp(4) + 8  # nine wrong classes: one at 4, eight at 0
    p = math.exp(6) / (math.exp(6) + others)
    assert subject.judged(2.0) == pytest.approx(math.log(2.5 - p) - math.log(p), rel=1e-5)
    assert subject.trained(2.0) == pytest.approx(subject.judged(2.0), rel=1e-4)


def test_a_loss_whose_lowest_score_wins_is_drawn_from_its_own_side():
    subject = Subject("OneSidedMarginLoss")
    assert subject.lowest_wins
    assert subject.judged(4.0) < subject.judged(0.0) < subject.judged(-4.0)


def test_pictures_are_drawn(tmp_path):
    draw("TamedCrossEntropyLoss", tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.size == (460, 290)
        assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 50  # lines, their names and the axes

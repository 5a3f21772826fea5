"""report.html tells what was trained, what each number is and how sure it is, on wide and narrow screens."""

from __future__ import annotations

import dataclasses
import re
from html import escape
from typing import Any

import numpy as np
import pytest
from browser import chromium, find_chromium
from PIL import Image
from scipy.stats import binomtest

from evaluation import plots
from evaluation.calibration import Bins, calibration
from evaluation.classification import classification
from evaluation.evaluating import facts
from evaluation.findings import Finding, Findings, Picture, percent, wilson
from evaluation.glossary import INTERVAL, meaning
from evaluation.heat_map import heat_map
from evaluation.record import Evaluated, Record
from evaluation.report import write_report
from evaluation.stability import stability
from tests.evaluation.made_up_subject import make_answers, make_subject, random_answers, with_answers

FLIPS = {"RandomHorizontalFlip": {}}


def page_of(subject, **evaluated: tuple[dict[str, Any], Findings]) -> str:
    subject.folder.config.write_text(subject.config.to_yaml())
    record = Record(facts(subject), {name: Evaluated(*each, seconds=1.26) for name, each in evaluated.items()})
    return write_report(record, subject.output).read_text()


@pytest.fixture
def subject(quick):
    return make_subject(quick(classes=["3", "8", "0"], loss_function="FocalLoss", loss_params__gamma=1.5, seed=7))


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are drawn."""
    figures = []
    monkeypatch.setattr(plots, "write_figure", lambda figure, path: figures.append(figure))
    return figures


def test_each_number_stands_beside_its_meaning_and_direction(subject):
    found = classification(subject)
    page = page_of(subject, classification=({}, found))
    rows = dict(re.findall(r"<tr><th scope=row>(\w+)</th>(<td>.*?)</tr>", page))
    for name in found.words:
        known = meaning("classification", name)
        assert known is not None
        assert f"<td class=meaning>{escape(known.text)}</td>" in rows[name]
    assert "lower is better" in rows["aurc"]
    assert "higher is better" in rows["f1"]
    assert "is better" not in rows["images"]
    assert "<p class=lead>took 1.3 s</p>" in page


def test_the_page_tells_what_was_trained(subject):
    page = page_of(subject)
    told = dict(re.findall(r"<tr><th scope=row>([\w ]+)</th><td>(.*?)</td></tr>", page))
    assert told["dataset"] == "digits (no parameters given)"
    assert told["loss function"] == "FocalLoss (gamma: 1.5)"
    assert (told["architecture"], told["seed"]) == ("test_resnet (no parameters given)", "7")
    assert told["num epochs"] == "2"
    assert "<summary>config.yml, as it ran</summary>" in page
    assert "loss_function: FocalLoss\nloss_params:\n  gamma: 1.5\n" in page


def test_pictures_can_be_scrolled_and_shown_in_full_size_without_a_script(subject):
    page = page_of(subject, classification=({}, found := classification(subject)))
    boxes = re.findall(
        r"<input type=checkbox id=([\w-]+)> <label for=([\w-]+)>full size</label><div class=wide tabindex=0 ", page
    )
    assert len({name for name, _ in boxes}) == len(found.pictures) == len(boxes)
    assert all(name == of for name, of in boxes)
    assert "figure input:checked ~ .wide img { max-width: none; }" in page
    assert "<script" not in page


@pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine")
def test_on_a_narrow_window_no_number_is_cut_off_and_wider_pictures_say_so(subject):
    found = classification(subject)
    Image.new("RGB", (90, 60)).save(subject.output / "small.png")
    found.pictures.append(Picture(subject.output / "small.png", "A small one"))
    page_of(subject, classification=({}, found))
    program = find_chromium()
    assert program is not None
    figures = "[...document.querySelectorAll('figure')]"
    is_wider = "(({scrollWidth, clientWidth}) => scrollWidth > clientWidth)(each.querySelector('.wide'))"
    says_so = "(each.querySelector('.scrolls')?.offsetHeight ?? 0) > 0"
    with chromium(program) as browser:
        for width, height in ((400, 500), (1280, 500)):
            browser.open(subject.output / "report.html", width, height)
            table = "document.querySelector('.wide:has(> .numbers)')"
            assert browser.run(f"{table}.scrollHeight - {table}.clientHeight") == 0
            wider = browser.run(f"{figures}.map((each) => {is_wider})")
            assert wider == [width == 400] * (len(found.pictures) - 1) + [False]
            assert browser.run(f"{figures}.map((each) => {says_so})") == wider
            assert browser.run("document.scrollingElement.scrollWidth") <= width
            assert browser.complaints == []


def test_an_interval_is_wilson_s_and_said_to_be(subject):
    for right, images in ((50, 100), (10, 10), (0, 1), (9_301, 10_000)):
        expected = binomtest(right, images).proportion_ci(method="wilson")
        assert wilson(right / images, images) == pytest.approx((expected.low, expected.high), abs=1e-6)
    half = Finding.of("classification", "accuracy", 0.5, *wilson(0.5, 100))
    assert half.text == "50.00 % (95 % interval 40.38 to 59.62)"
    found = classification(subject)
    low, high = wilson(found.numbers["accuracy"], len(subject.part))
    assert found.details["accuracy_interval"] == (low, high)
    assert found.words["accuracy"].startswith(percent(found.numbers["accuracy"]))
    assert escape(INTERVAL) in page_of(subject, classification=({}, found))
    assert "95 % interval" not in page_of(subject)


def test_parameters_are_told_as_the_configuration_spells_them(subject):
    found = heat_map(subject)
    page = page_of(subject, heat_map=({"runs": ["output/one", "output/two"], "images": None}, found))
    assert "took 1.3 s; runs: [output/one, output/two], images: null<" in page


def test_of_which_images_the_heat_map_s_means_are_is_said(subject):
    note = heat_map(subject).notes[0]
    assert note.startswith("the images are 4 right and 4 wrong ones of this run, drawn by the seed: means over these 8")
    assert all("drawn by the seed" not in note for note in heat_map(subject, images=[0, 1]).notes)


def test_bins_of_few_images_are_pale_and_have_wide_intervals(drawn, tmp_path):
    confidence = [0.05] + [0.55] * 9 + [0.95] * 40
    right = [1.0] + [1.0, 0.0, 1.0] * 3 + [1.0] * 40
    bins = Bins.of(np.array(confidence), np.array(right), 10)
    plots.plot_reliability({"one": bins}, tmp_path / "x.png")
    upper, lower = drawn[0].axes
    alphas = {round(bar.get_x(), 1): bar.get_alpha() for bar in upper.patches}
    assert alphas == {0.0: 0.3, 0.5: 0.3, 0.9: 1.0}
    ((first, *_), *_) = [upper.collections[0].get_segments()]
    assert first[:, 1].tolist() == pytest.approx(wilson(1.0, 1))
    assert {text.get_text() for text in drawn[0].legends[0].get_texts()} >= {"right", "right, of fewer than 10 images"}
    assert lower.get_yscale() == "log"
    assert [bar.get_height() for bar in lower.patches if bar.get_height()] == [1, 9, 40]


def test_pale_bars_are_in_the_legend_only_where_there_are_some(drawn, tmp_path):
    many = Bins.of(np.full(20, 0.5), np.ones(20), 10)
    few = Bins.of(np.full(2, 0.5), np.ones(2), 10)
    for panels, expected in (({"many": many}, False), ({"many": many, "few": few}, True)):
        plots.plot_reliability(panels, tmp_path / "x.png")
        names = [text.get_text() for text in drawn[-1].legends[0].get_texts()]
        assert ("right, of fewer than 10 images" in names) == expected
        assert len(names) == len({*names})


def test_the_axis_of_changed_views_has_their_numbers_alone(quick, drawn):
    stability(make_subject(quick(classes=["3", "8"])), views=4, augmentations=FLIPS)
    counts, variation = drawn[0].axes
    low, high = counts.get_xlim()
    assert [tick for tick in counts.get_xticks() if low <= tick <= high] == [0, 1, 2, 3, 4]
    assert counts.get_xlabel() == "of 4 views, predicted otherwise"
    assert variation.get_xlim() == (0, 1)


def test_over_how_many_classes_means_go_is_said_where_some_have_no_image(quick):
    subject = make_subject(quick(classes=["3", "8", "0", "6"]))
    answers = random_answers(40, 4)
    kept = answers.target == 0
    few = make_answers(answers.log_probabilities[kept], answers.target[kept], answers.target[kept] * 0)
    few.prediction[0] = 2
    found = classification(with_answers(subject, few))
    assert found.notes == [
        "precision, recall and f1 are means over 2 of 4 classes: those that occur as label or prediction; 2 occur as "
        "neither and are left out; those predicted that have no image here (1) count as 0, which lowers the means; the "
        "weighted_... leave them out"
    ]
    right = len(few.target) - 1
    assert found.numbers["recall"] == pytest.approx(right / len(few.target) / 2)
    assert found.numbers["weighted_recall"] == pytest.approx(right / len(few.target))
    whole = dataclasses.replace(answers, prediction=answers.target)
    assert classification(with_answers(subject, whole)).notes == []


def test_a_caption_says_that_counts_stand_below(subject):
    (picture,) = calibration(subject).pictures
    assert picture.caption.endswith("how many images have which, in powers of ten")

"""report.html shows the run, every number with its meaning and interval, and figures on wide and narrow screens."""

from __future__ import annotations

import re
from html import escape
from typing import Any

import pytest
from browser import chromium, find_chromium
from PIL import Image

from evaluation.classification import classification
from evaluation.evaluating import facts
from evaluation.findings import INTERVAL, Finding, Findings, percent, wilson
from evaluation.glossary import meaning
from evaluation.heat_map import heat_map
from evaluation.record import Evaluated, Record
from evaluation.report import write_report
from tests.evaluation.made_up_subject import make_subject


def page_of(subject, **evaluated: tuple[dict[str, Any], Findings]) -> str:
    subject.folder.config.write_text(subject.config.to_yaml())
    record = Record(facts(subject), {name: Evaluated(*each, seconds=1.26) for name, each in evaluated.items()})
    return write_report(record, subject.output).read_text()


@pytest.fixture
def subject(quick):
    return make_subject(quick(classes=["3", "8", "0"], loss_function="FocalLoss", loss_params__gamma=1.5, seed=7))


def test_numbers_stand_beside_their_meaning_direction_and_interval(subject):
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
    assert "<p class=lead>1.3 s</p>" in page
    assert escape(INTERVAL) in page
    assert "95 % interval" not in page_of(subject)


def test_the_page_shows_the_settings_of_the_run(subject):
    page = page_of(subject)
    rows = dict(re.findall(r"<tr><th scope=row>([\w ]+)</th><td>(.*?)</td></tr>", page))
    assert rows["dataset"] == "digits (default parameters)"
    assert rows["loss function"] == "FocalLoss (gamma: 1.5)"
    assert (rows["architecture"], rows["seed"]) == ("test_resnet (default parameters)", "7")
    assert rows["num epochs"] == "2"
    assert "<summary>config.yml, as it ran</summary>" in page
    assert "loss_function: FocalLoss\nloss_params:\n  gamma: 1.5\n" in page


def test_figures_scroll_and_have_a_full_size_without_a_script(subject):
    page = page_of(subject, classification=({}, found := classification(subject)))
    boxes = re.findall(
        r"<input type=checkbox id=([\w-]+)> <label for=([\w-]+)>full size</label><div class=wide tabindex=0 ", page
    )
    assert len({name for name, _ in boxes}) == len(found.figures) == len(boxes)
    assert all(name == of for name, of in boxes)
    assert "figure input:checked ~ .wide img { max-width: none; }" in page
    assert "<script" not in page


@pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine")
def test_on_a_narrow_window_no_number_is_cut_off_and_wider_figures_say_so(subject):
    found = classification(subject)
    Image.new("RGB", (90, 60)).save(subject.output / "small.png")
    found.add_figure(subject.output / "small.png", "A small one")
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
            assert wider == [width == 400] * (len(found.figures) - 1) + [False]
            assert browser.run(f"{figures}.map((each) => {says_so})") == wider
            assert browser.run("document.scrollingElement.scrollWidth") <= width
            assert browser.complaints == []


def test_intervals_are_wilson_s(subject):
    half = Finding.of("classification", "accuracy", 0.5, *wilson(0.5, 100))
    assert half.text == "50.00 % (95 % interval 40.38 to 59.62)"
    assert wilson(1.0, 1) == pytest.approx((1 / (1 + 1.959964**2), 1))
    found = classification(subject)
    assert found.details["accuracy_interval"] == wilson(found.numbers["accuracy"], len(subject.part))
    assert found.words["accuracy"].startswith(percent(found.numbers["accuracy"]))


def test_parameters_are_spelled_as_in_the_configuration(subject):
    page = page_of(subject, heat_map=({"runs": ["output/one", "output/two"], "images": None}, heat_map(subject)))
    assert "<p class=lead>1.3 s; runs: [output/one, output/two], images: null<" in page

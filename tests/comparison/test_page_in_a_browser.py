"""The page of compare.py --html as a reader meets it, in a Chromium: its tables, images and policy."""

from __future__ import annotations

import json
import re

import pytest
from leaving import leave
from pages import (
    CURVES,
    HOSTILE,
    LOSSES,
    PARALLEL,
    PROGRAM,
    ROWS,
    RUNS,
    SCATTER,
    SEEDS,
    TIMES,
    choose,
    click_heading,
    column,
    complaints,
    labelled,
    write,
)

from datasets.sets.digits import digits

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine")


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_window(started, page, width, scheme):
    started.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    started.open(page, width)
    assert started.run("document.scrollingElement.scrollWidth") <= width
    assert started.run(f"[{CURVES}, {SCATTER}].map((each) => each.clientWidth <= {width})") == [True, True]
    assert started.run(f"[{CURVES}, {SCATTER}, {PARALLEL}].map((each) => each.data.length)") == [RUNS + 6, 6, 6]
    text = {"light": "rgb(27, 29, 33)", "dark": "rgb(232, 233, 235)"}[scheme]
    assert started.run(f"getComputedStyle({CURVES}.querySelector('.xtitle')).fill") == text
    started.run(f"{ROWS}[0].click()")
    assert started.run("document.getElementById('details').getBoundingClientRect().right") <= width
    assert (complaints(started), started.requests) == ([], [page.as_uri()])


def test_a_click_on_a_heading_sorts_and_another_reverses(opened):
    name = "test/accuracy, %"
    before = column(opened, name)
    assert click_heading(opened, name) == "ascending"
    assert column(opened, name) == sorted(before, key=float)
    assert click_heading(opened, name) == "descending"
    assert column(opened, name) == sorted(before, key=float, reverse=True)
    assert click_heading(opened, "loss_function") == "ascending"
    assert column(opened, "loss_function") == sorted(column(opened, "loss_function"))
    assert opened.run("document.querySelectorAll('#runs [aria-sort=none]').length") > 3
    click_heading(opened, "multiply-adds")
    assert column(opened, "multiply-adds") == ["10,000,000"] * (RUNS // 2) + ["1,000,000,000"] * (RUNS // 2)


def test_words_filter(opened):
    choose(opened, labelled("runs", "filter"), "focal RESNET10T")
    assert column(opened, "loss_function") == ["FocalLoss"] * SEEDS
    assert opened.run("document.querySelector('#runs .count').textContent") == f"{SEEDS} of {RUNS} runs"
    choose(opened, labelled("runs", "filter"), "nothing has this")
    assert column(opened, "architecture") == []


def test_a_run_opens_by_the_keyboard_and_closes(opened):
    opened.run(f"{ROWS}[0].querySelector('button').focus()")
    opened.press("Enter", 13, "\r")
    assert opened.run("document.getElementById('details').open")
    text = opened.run("document.getElementById('details').innerText")
    for part in ("CrossEntropyLoss", "seed 0", "loss_function", "test/cross_entropy", "python compare.py '", HOSTILE):
        assert part in text
    shown = opened.run("[...document.querySelectorAll('#details tr')].map((row) => row.innerText.split('\\t'))")
    accuracy = opened.run("data.runs.numbers['test/accuracy'].texts[0]")
    assert ["test/accuracy, %", accuracy] in shown
    assert opened.run("[...document.querySelectorAll('#details .chart')].map((each) => each.data[0].y.length)") == [30]
    opened.press("Escape", 27)
    assert not opened.run("document.getElementById('details').open")


def test_many_runs_are_shown_by_fifties(started, tmp_path):
    for seed in range(120):
        leave(tmp_path / "out", f"seed={seed}", accuracy=seed / 1000)
    started.open(write(tmp_path / "page.html", tmp_path / "out"), 1280)
    assert column(started, "seed") == [str(seed) for seed in range(50)]
    assert started.run("document.querySelector('#runs .count').textContent") == "120 of 120 runs, shown: 50"
    for shown in (100, 120):
        started.run("document.querySelector('#runs .more button').click()")
        assert len(column(started, "seed")) == shown
    assert started.run("document.querySelector('#runs .more').textContent") == ""
    click_heading(started, "seed")
    click_heading(started, "seed")
    assert column(started, "seed")[0] == "119"
    assert complaints(started) == []


def test_hostile_names_are_shown_and_do_nothing(started, tmp_path):
    names = [HOSTILE, "<b>x</b>", "&lt;i&gt;", "<a href='javascript:hit=1'>x</a>", "%{x} ${1}", "<br>$x$"]
    for name in names:
        leave(tmp_path / "out", f"data_params={{a: {json.dumps(name)}}}", epochs=[0.5, 0.6], summary={name: 1.0})
    started.open(write(tmp_path / "page.html", tmp_path / "out"), 1280)
    started.run(f"{ROWS}[0].click()")
    assert started.run("window.hit === undefined")
    assert started.run("document.querySelectorAll('main img:not([src^=\"data:image/\"]), main b, svg a').length") == 0
    texts = "[...document.querySelectorAll('#{} .legendtext')].map((each) => each.textContent)"
    for part in ("curves", "scatter"):
        legend = started.run(texts.format(part))
        assert all(any(name in text for text in legend) for name in names), legend
    ticks = started.run("[...document.querySelectorAll('#parallel .annotation-text')].map((each) => each.textContent)")
    assert all(any(name in text for text in ticks) for name in names if len(name) < 30), ticks
    assert complaints(started) == []


def test_the_policy_lets_no_script_and_no_request_in(started, page):
    started.open(page, 1280)
    started.run(
        "document.body.append(Object.assign(document.createElement('img'), {src: 'https://example.org/x.png'}))"
    )
    started.run(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.hit = 1'}))"
    )
    started.wait("true")
    assert started.run("window.hit === undefined")
    assert sum("Content Security Policy" in text for text in complaints(started)) == 2


def test_classes_are_sorted_by_their_difference(opened):
    choose(opened, labelled("classes", "group"), "1")
    texts = opened.run("[...document.querySelectorAll('#classes tbody tr')].map((row) => row.children[1].textContent)")
    assert len(texts) == 10
    assert texts == sorted(texts, key=float, reverse=True)
    assert opened.run("document.querySelector('#classes select').selectedOptions[0].textContent").startswith(LOSSES[1])


def test_images_of_a_pair_are_shown_with_what_both_say(opened):
    count = "document.querySelectorAll('#images figure').length"
    shown = opened.run(count)
    assert 0 < shown <= 24
    assert opened.run("[...document.querySelectorAll('#images img')].every((each) => each.naturalWidth === 8)")
    text = opened.run("document.querySelector('#images figcaption').innerText")
    for side in re.split(r"\n(?=B: )", text[text.index("A: ") :]):
        right, every = map(int, re.findall(r"[AB]: (\d) of (\d) seeds right", side)[0])
        said = [(mark, int(times)) for mark, times in re.findall(f"([✓✗]) .* {TIMES}([0-9])", side)]
        assert every == SEEDS == sum(times for _, times in said)
        assert right == sum(times for mark, times in said if mark == "✓")
    before = opened.run("document.querySelector('#images figcaption').innerText")
    opened.run("document.querySelector('#images .controls button').click()")
    assert opened.run("document.querySelector('#images figcaption').innerText") != before
    choose(opened, labelled("images", "B"), opened.run(f"{labelled('images', 'A')}.value"))
    assert opened.run(count) == 0


def test_images_begin_with_groups_that_have_some(started, tmp_path):
    """The other loss is right nowhere where the baseline is wrong, so that this direction is empty."""
    labels = digits().test.labels.tolist()
    for loss in LOSSES[:2]:
        leave(tmp_path / "out", f"loss_function={loss}", right=[loss == LOSSES[0]] * len(labels), targets=labels)
    started.open(write(tmp_path / "page.html", tmp_path / "out"), 1280)
    assert started.run("document.querySelectorAll('#images figure').length") == 24
    sides = "[...document.querySelector('#images figure').querySelectorAll('.said')].map((each) => each.innerText)"
    right, wrong = started.run(sides)
    assert re.fullmatch(rf"A: 1 of 1 seed right\n✓ \d {TIMES}1", right)
    assert re.fullmatch(rf"B: 0 of 1 seed right\n✗ \d {TIMES}1", wrong)
    chosen = [f"{labelled('images', name)}.selectedOptions[0].textContent" for name in ("A", "B")]
    assert [started.run(each) for each in chosen] == list(LOSSES[:2])


def test_where_no_image_can_be_read_no_room_is_left_for_them(started, tmp_path):
    for loss in LOSSES[:2]:
        changes = (f"loss_function={loss}", "dataset=image_folder", f"data_path={tmp_path}/gone")
        leave(tmp_path / "out", *changes, right=[loss == LOSSES[0]] * 30)
    started.open(write(tmp_path / "page.html", tmp_path / "out"), 1280)
    assert started.run("document.querySelectorAll('#images figure').length") == 24
    assert started.run("document.querySelectorAll('#images .none, #images img').length") == 0
    assert complaints(started) == []


def test_on_a_narrow_window_the_first_column_stays_and_every_other_can_be_reached(started, page):
    started.open(page, 400)
    region = "document.querySelector('#results .wide')"
    row = f"[...{region}.querySelector('tbody tr').children]"
    edges = f"{row}.map((each) => each.getBoundingClientRect()).map(({{left, right}}) => [left, right])"
    left, right = started.run(f"(({{left, right}}) => [left, right])({region}.getBoundingClientRect())")
    at_rest = started.run(edges)
    assert at_rest[0][0] == left
    assert at_rest[1][1] <= right  # the second column is whole
    assert at_rest[-1][1] > right
    started.run(f"{region}.scrollLeft = 10000")
    moved = started.run(edges)
    assert moved[0] == at_rest[0]
    assert moved[-1][1] <= right + 1
    assert moved[-1][0] >= moved[0][1]  # not under the first
    above = f"document.elementFromPoint({left + 5}, {row}[0].getBoundingClientRect().top + 5)"
    assert started.run(f"{above} === {row}[0]")


@pytest.mark.parametrize("number_of", [1, 2])
def test_runs_that_left_little_make_a_page_without_complaints(started, tmp_path, number_of):
    for seed in range(number_of):
        folder = leave(tmp_path / "out", f"seed={seed}")
        folder.summary.write_text(json.dumps({"test/accuracy": 0.5}))
    leave(tmp_path / "out", "seed=7", epochs=[0.5]).metrics.write_text("epoch\nx\n")
    page = write(tmp_path / "page.html", tmp_path / "out")
    started.open(page, 400)
    started.run(f"{ROWS}[0].click()")
    assert column(started, "test/accuracy, %") == ["50.00"] * number_of + ["90.00"]
    assert "no curves: " in started.run("document.getElementById('curves').textContent")
    assert "No run here has curves." in started.run("document.getElementById('curves').textContent")
    assert "No group here can be compared" in started.run("document.getElementById('classes').textContent")
    assert complaints(started) == []


def test_without_scripts_the_tables_can_still_be_read(started, page):
    started.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        started.call("Page.navigate", url=page.as_uri())
        started.wait("document.readyState === 'complete'")
        text = started.run("document.getElementById('results').innerText")
    finally:
        started.call("Emulation.setScriptExecutionDisabled", value=False)
    assert "best other \N{MINUS SIGN} CrossEntropyLoss" in text

"""The page of compare.py --html as a reader meets it: in a Chromium, where there is one."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, chromium, find_chromium
from leaving import leave

from comparison.page.writing import write_page
from comparison.panels import Options, compare
from comparison.sources import find_runs
from datasets.sets.digits import digits

PROGRAM = find_chromium()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine")
LOSSES, SEEDS, NETWORKS = ("CrossEntropyLoss", "FocalLoss", "OneSidedMarginLoss"), 3, ("resnet10t", "test_resnet")
RUNS = len(LOSSES) * SEEDS * len(NETWORKS)
TIMES = "\N{MULTIPLICATION SIGN}"
HOSTILE = "</script><img src=x onerror=hit=1>"
ROWS = "[...document.querySelectorAll('#runs tbody tr')]"
CURVES, SCATTER, PARALLEL = (f"document.querySelector('#{name} .chart')" for name in ("curves", "scatter", "parallel"))
"""Each has what plotly draws as its `data`."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """18 runs of 3 losses, 3 seeds and 2 networks on the real test images, in a folder with a hostile name."""
    folder = tmp_path_factory.mktemp("page")
    draw = random.Random(3)
    labels = digits().test.labels.tolist()
    for network in NETWORKS:
        for place, loss in enumerate(LOSSES):
            for seed in range(SEEDS):
                right = [draw.random() < 0.95 - 0.1 * place for _ in labels]
                epochs = [0.9 - 0.8 / (epoch + 1) + 0.05 * draw.random() for epoch in range(30)]
                costs = {"multiply_adds": 10**9 if network == "resnet10t" else 10**7, HOSTILE: 1.0}
                changes = (f"loss_function={loss}", f"architecture={network}", f"seed={seed}")
                leave(folder / "<img src=x>", *changes, right=right, targets=labels, epochs=epochs, summary=costs)
    return write(folder / "page.html", folder / "<img src=x>")


def write(file: Path, runs: Path) -> Path:
    file.write_text(write_page(compare(find_runs([str(runs)]), Options(cost=True))), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def started() -> Iterator[Browser]:
    assert PROGRAM is not None
    with chromium(PROGRAM) as browser:
        yield browser


@pytest.fixture
def opened(started: Browser, page: Path) -> Iterator[Browser]:
    """The page, opened anew; it must complain of nothing and ask for nothing."""
    started.open(page, 1280)
    yield started
    assert complaints(started) == []
    assert started.requests == [page.as_uri()]


def complaints(browser: Browser) -> list[str]:
    """Return what went wrong, but for the style of plotly's maps, which the policy keeps out and nothing here uses."""
    blocked = "Applying inline style violates the following Content Security Policy directive"
    told = browser.complaints
    style = next((text for text in told if text.startswith(blocked)), None)
    return [text for text in told if text != style]


def column(browser: Browser, name: str) -> list[str]:
    """Return the texts of a column of the table of runs."""
    heads = browser.run("[...document.querySelectorAll('#runs thead th')].map((each) => each.textContent)")
    return browser.run(f"{ROWS}.map((row) => row.children[{heads.index(name)}].textContent)")


def click_heading(browser: Browser, name: str) -> str:
    """Return how the column is sorted then."""
    heads = "[...document.querySelectorAll('#runs thead th')]"
    head = f"{heads}.find((each) => each.textContent === {json.dumps(name)})"
    browser.run(f"{head}.querySelector('button').click()")
    return browser.run(f"{head}.getAttribute('aria-sort')")


def choose(browser: Browser, control: str, value: Any) -> None:
    """Set a control as a reader would."""
    browser.run(
        f"(() => {{ const node = {control}; node.value = {json.dumps(value)};"
        "for (const kind of ['input', 'change']) node.dispatchEvent(new Event(kind, {bubbles: true})); })()"
    )


def labelled(section: str, text: str) -> str:
    """Return the control of a section whose label begins with a text, as an expression."""
    labels = f"[...document.querySelectorAll('#{section} .controls label')]"
    return f"{labels}.find((each) => each.textContent.startsWith('{text}')).querySelector('select, input')"


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


def test_values_that_a_search_drew_fit_the_window_and_are_exact_where_a_pointer_rests(started, tmp_path):
    draw = random.Random(1)
    rates = {}
    for loss in LOSSES:
        for seed in range(SEEDS):
            rate = rates.setdefault(loss, draw.uniform(0.001, 0.01))
            decay = rates.setdefault(f"{loss} decay", draw.uniform(0.0001, 0.001))
            changes = (f"loss_function={loss}", f"seed={seed}", f"optimizer_params.lr={rate}")
            right = [draw.random() < 0.9 for _ in range(50)]
            leave(tmp_path / "out", *changes, f"optimizer_params.weight_decay={decay}", right=right)
    started.open(write(tmp_path / "page.html", tmp_path / "out"), 1280)
    wide = "[...document.querySelectorAll('.wide')].filter((each) => each.scrollWidth > each.clientWidth)"
    assert started.run(f"{wide}.map((each) => each.getAttribute('aria-label'))") == []
    first = rates[LOSSES[0]]
    place = f"{ROWS}[0].querySelector('td[title]')"
    assert started.run(f"{place}.title") == str(first)
    assert started.run(f"{place}.textContent") == f"{first:.4g}"
    ticks = f"{PARALLEL}.layout.annotations.map(({{text}}) => text)"
    assert f"{first:.4g}" in started.run(ticks)
    started.run(f"{ROWS}[0].click()")
    assert str(first) in started.run("document.getElementById('details').innerText")
    assert complaints(started) == []


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


def test_numbers_are_sorted_as_numbers(opened):
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


def test_smoothing_is_the_weighted_mean_of_an_explicit_loop(opened):
    values: list[float | None] = [1.0, 3.0, None, 2.0, 8.0]
    expected: list[float | None] = []
    for end, value in enumerate(values):
        known = [each for each in values[: end + 1] if each is not None]
        weights = [0.7 ** (len(known) - 1 - place) for place in range(len(known))]
        mean = sum(w * each for w, each in zip(weights, known, strict=True)) / sum(weights)
        expected.append(None if value is None else mean)
    told = opened.run(f"smooth({json.dumps(values)}, 0.7)")
    assert [each is None for each in told] == [each is None for each in expected]
    assert [each for each in told if each] == pytest.approx([each for each in expected if each])
    assert opened.run(f"smooth({json.dumps(values)}, 0)") == values


def test_the_mean_curve_is_over_the_epochs_that_all_runs_have(opened):
    curves = [{"epoch": [0, 1, 2], "values": [1, 2, 3]}, {"epoch": [0, 1], "values": [3, None]}]
    assert opened.run(f"meanCurve({json.dumps(curves)})") == {"epoch": [0], "values": [2]}


def test_curves_are_drawn_smoothed_and_hidden_by_the_legend(opened):
    traces = f"{CURVES}.data.filter(({{showlegend}}) => showlegend === false)"
    assert opened.run(f"{traces}.length") == RUNS
    sharp = opened.run(f"{traces}[0].y")
    choose(opened, labelled("curves", "smoothing"), "0.9")
    assert opened.run(f"{traces}.length") == 2 * RUNS
    assert opened.run(f"{traces}[0].y") == sharp
    smoothed = opened.run(f"smooth({json.dumps(sharp)}, 0.9)")
    assert opened.run(f"{traces}[{SEEDS}].y") == pytest.approx(smoothed)
    hidden = f"{CURVES}.data.filter(({{visible}}) => visible === 'legendonly').map(({{legendgroup}}) => legendgroup)"
    opened.run(f"Plotly.restyle({CURVES}, {{visible: 'legendonly'}}, [0, 1, 2, 3, 4, 5, 6]) && 0")  # as its legend does
    choose(opened, labelled("curves", "smoothing"), "0")
    assert opened.run(hidden) == ["0"] * (SEEDS + 1)  # still hidden


def test_marks_stand_where_their_cost_and_accuracy_are(opened):
    marks = opened.run(f"{SCATTER}.data.map(({{x, y, name, hovertext, error_y}}) => [x[0], y[0], name, hovertext])")
    assert len(marks) == 6
    for cost, accuracy, name, text in marks:
        assert cost == (10**9 if "resnet10t" in name else 10**7)
        assert unescape(text).startswith(f"{name}: test/accuracy, % {accuracy:.2f} ± ")
    assert opened.run(f"{SCATTER}.layout.xaxis.type") == "log"


def test_the_cost_that_is_shown_first_is_one_in_which_groups_differ(started, tmp_path):
    for loss, parameters in ((LOSSES[0], 10), (LOSSES[1], 20)):
        leave(tmp_path / "out", f"loss_function={loss}", summary={"num_parameters": parameters})
    started.open(write(tmp_path / "page.html", tmp_path / "out"), 1280)
    assert started.run(f"{labelled('scatter', 'across')}.value") == "num_parameters"
    assert started.run(f"{SCATTER}.data.map(({{x}}) => x[0])") == [10, 20]


@pytest.mark.parametrize("width", [1280, 400])
def test_labels_of_the_axes_are_whole_and_clear_of_axes_and_of_one_another(started, page, width):
    started.open(page, width)
    boxes = started.run(
        "[...document.querySelectorAll('#parallel .annotation-text')].map((each) => [each.textContent,"
        "each.getBoundingClientRect()]).map(([text, {left, top, right, bottom}]) => [text, left, top, right, bottom])"
    )
    assert {*LOSSES, *NETWORKS, "loss_function", "test/accuracy, %"} <= {text for text, *_ in boxes}
    for number, (text, left, top, right, bottom) in enumerate(boxes):
        for other, left_of, top_of, right_of, bottom_of in boxes[number + 1 :]:
            apart = right <= left_of or right_of <= left or bottom - 2 <= top_of or bottom_of - 2 <= top
            assert apart, (text, other)


def test_settings_that_a_table_determines_have_no_axis(started, tmp_path):
    for dataset, epochs in (("digits", 3), ("cifar10", 5)):
        for loss in LOSSES[:2]:
            changes = (f"loss_function={loss}", f"dataset={dataset}", f"num_epochs={epochs}")
            for network in NETWORKS:
                leave(tmp_path / "out", *changes, f"architecture={network}", data=dataset * 3)
    started.open(write(tmp_path / "page.html", tmp_path / "out"), 1280)
    heads = "[...document.querySelectorAll('#runs thead th')].map((each) => each.textContent)"
    assert started.run(heads)[1:5] == ["dataset", "architecture", "loss_function", "seed"]
    told = started.run("document.querySelector('#parallel .constant').textContent")
    assert "Determined by dataset: num_epochs, " in told


def test_a_box_on_an_axis_keeps_the_lines_that_pass_through_it(opened):
    opened.run(f"{PARALLEL}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    left, top, x, height = opened.run(
        f"(({{left, top, height}}) => [left, top, {PARALLEL}.data[0].x[1], height])({PARALLEL}.getBoundingClientRect())"
    )  # the axis of loss_function, whose last is on top
    opened.mouse("mousePressed", left + x - 30, top + 30)
    opened.mouse("mouseMoved", left + x + 30, top + 0.3 * height)
    opened.mouse("mouseReleased", left + x + 30, top + 0.3 * height)
    kept = f"{PARALLEL}.data.map(({{opacity}}, line) => [opacity, label(line)]).filter(([opacity]) => opacity !== 0.08)"
    opened.wait(f"{kept}.length < 6")
    assert [name for _, name in opened.run(kept)] == [f"OneSidedMarginLoss · {network}" for network in NETWORKS]
    assert opened.run("document.querySelector('#parallel .readout').textContent") == "2 of 6 groups"


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


def test_a_number_that_is_the_same_everywhere_has_no_axis_and_is_named(started, tmp_path):
    for number, loss in enumerate(LOSSES):
        leave(tmp_path / "out", f"loss_function={loss}", accuracy=0.5 + 0.1 * number, summary={"seconds": 2 + number})
    started.open(write(tmp_path / "page.html", tmp_path / "out"), 1280)
    assert started.run(f"{PARALLEL}.data[0].x.length") == 3  # loss_function, accuracy, seconds
    told = started.run("document.querySelector('#parallel .constant').textContent")
    assert told == "The same everywhere: images/s 100; parameters 10.0; multiply-adds 20.0."
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


def test_one_epoch_is_drawn_as_points(started, tmp_path):
    leave(tmp_path / "out", epochs=[0.5])
    started.open(write(tmp_path / "page.html", tmp_path / "out"), 1280)
    assert started.run(f"{CURVES}.data.map(({{mode}}) => mode)") == ["markers"] * 2
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

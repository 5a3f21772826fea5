"""The charts of the page: curves, accuracy against cost, settings beside results."""

from __future__ import annotations

import json
import random
from html import unescape

import pytest
from leaving import leave
from pages import (
    CURVES,
    LOSSES,
    NETWORKS,
    PARALLEL,
    PROGRAM,
    ROWS,
    RUNS,
    SCATTER,
    SEEDS,
    choose,
    complaints,
    labelled,
    write,
)

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine")


def test_smoothed_and_mean_curves_are_those_of_explicit_loops(opened):
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
    curves = [{"epoch": [0, 1, 2], "values": [1, 2, 3]}, {"epoch": [0, 1], "values": [3, None]}]
    assert opened.run(f"meanCurve({json.dumps(curves)})") == {"epoch": [0], "values": [2]}  # epochs that all runs have


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


def test_a_number_that_is_the_same_everywhere_has_no_axis_and_is_named(started, tmp_path):
    for number, loss in enumerate(LOSSES):
        leave(tmp_path / "out", f"loss_function={loss}", accuracy=0.5 + 0.1 * number, summary={"seconds": 2 + number})
    started.open(write(tmp_path / "page.html", tmp_path / "out"), 1280)
    assert started.run(f"{PARALLEL}.data[0].x.length") == 3  # loss_function, accuracy, seconds
    told = started.run("document.querySelector('#parallel .constant').textContent")
    assert told == "The same everywhere: images/s 100; parameters 10.0; multiply-adds 20.0."
    assert complaints(started) == []


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

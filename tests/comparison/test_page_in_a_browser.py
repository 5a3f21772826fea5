"""The page of compare.py --html as a reader meets it: in a Chromium, where there is one."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, chromium, find_chromium
from leaving import leave

from comparison.building import Options, compare
from comparison.numbers import unit_of
from comparison.page.writing import write_page
from comparison.reading import find_runs
from datasets.sets.digits import digits

PROGRAM = find_chromium()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine")
LOSSES, SEEDS, NETWORKS = ("CrossEntropyLoss", "FocalLoss", "OneSidedMarginLoss"), 3, ("resnet10t", "test_resnet")
RUNS = len(LOSSES) * SEEDS * len(NETWORKS)
TIMES = "\N{MULTIPLICATION SIGN}"
HOSTILE = "</script><img src=x onerror=hit=1>"
ROWS = "[...document.querySelectorAll('#runs tbody tr')]"


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
    assert started.complaints == []
    assert started.requests == [page.as_uri()]


def column(browser: Browser, name: str) -> list[str]:
    """Return the texts of a column of the table of runs."""
    heads = browser.run("[...document.querySelectorAll('#runs thead th')].map((each) => each.dataset.name)")
    return browser.run(f"{ROWS}.map((row) => row.children[{heads.index(name)}].textContent)")


def click_heading(browser: Browser, name: str) -> str:
    """Return how the column is sorted then."""
    head = f"document.querySelector('#runs th[data-name={json.dumps(name)}]')"
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
    charts = started.run("[...document.querySelectorAll('section .chart svg')].map((each) => each.clientWidth)")
    assert len(charts) == 3
    assert max(charts[:2]) <= width
    started.run(f"{ROWS}[0].click()")
    assert started.run("document.getElementById('details').getBoundingClientRect().right") <= width
    assert (started.complaints, started.requests) == ([], [page.as_uri()])


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
    ticks = "[...document.querySelectorAll('#parallel .tick')].map((each) => [each.firstChild.data, each.textContent])"
    assert [f"{first:.4g}", f"{first:.4g}{first}"] in started.run(ticks)
    started.run(f"{ROWS}[0].click()")
    assert str(first) in started.run("document.getElementById('details').innerText")
    assert started.complaints == []


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


def test_words_and_selects_filter(opened):
    choose(opened, labelled("runs", "filter"), "focal RESNET10T")
    assert column(opened, "loss_function") == ["FocalLoss"] * SEEDS
    assert opened.run("document.querySelector('#runs .count').textContent") == f"{SEEDS} of {RUNS} runs"
    choose(opened, labelled("runs", "filter"), "")
    choose(opened, labelled("runs", "architecture"), "1")
    assert column(opened, "architecture") == ["test_resnet"] * (RUNS // 2)
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
    assert opened.run("document.querySelectorAll('#details svg').length") == 1
    opened.press("Escape", 27)
    assert not opened.run("document.getElementById('details').open")


def test_many_runs_stand_on_pages(started, tmp_path):
    for seed in range(120):
        leave(tmp_path / "out", f"seed={seed}", accuracy=seed / 1000)
    page = write(tmp_path / "page.html", tmp_path / "out")
    started.open(page, 1280)
    turn = "[...document.querySelectorAll('#runs .pages button')]"
    assert column(started, "seed") == [str(seed) for seed in range(50)]
    started.run(f"{turn}[1].click()")
    started.run(f"{turn}[1].click()")
    assert column(started, "seed") == [str(seed) for seed in range(100, 120)]
    assert started.run(f"{turn}[1].disabled")
    assert "page 3 of 3" in started.run("document.querySelector('#runs .pages').textContent")
    click_heading(started, "seed")
    click_heading(started, "seed")
    assert column(started, "seed")[0] == "119"
    assert started.complaints == []


def test_hostile_names_are_shown_and_do_nothing(opened):
    assert opened.run("window.hit === undefined")
    assert opened.run("document.querySelectorAll('img:not([src^=\"data:image/\"])').length") == 0
    assert HOSTILE in opened.run("document.querySelector('#runs details').textContent")


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
    assert sum("Content Security Policy" in text for text in started.complaints) == 2


@pytest.mark.parametrize("name", ["test/accuracy", "test/cross_entropy"])
def test_numbers_are_written_as_the_tables_write_them(opened, name):
    draw = random.Random(5)
    values = [draw.uniform(-2, 2) for _ in range(200)] + [0.0, 1.0, 0.999999, 1234.5678, 98765.4]
    for signed in (False, True):
        told = opened.run(f"{json.dumps(values)}.map((each) => written(each, '{name}', {json.dumps(signed)}))")
        assert told == [unit_of(name).text(value, signed) for value in values]


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
    count = "document.querySelectorAll('#curves .{}').length"
    assert [opened.run(count.format(kind)) for kind in ("seed", "chart .mean", "raw")] == [RUNS, 6, 0]
    sharp = opened.run("document.querySelector('#curves .seed').getAttribute('d')")
    choose(opened, labelled("curves", "smoothing"), "0.9")
    assert opened.run(count.format("raw")) == RUNS
    assert opened.run("document.querySelector('#curves .raw').getAttribute('d')") == sharp
    assert opened.run("document.querySelector('#curves .seed').getAttribute('d')") != sharp
    first = "document.querySelector('#curves .legend [aria-pressed]')"
    opened.run(f"{first}.click()")
    assert opened.run(count.format("seed")) == RUNS - SEEDS
    assert opened.run(f"{first}.getAttribute('aria-pressed')") == "false"
    all_and_none = "document.querySelectorAll('#curves .legend button:not([aria-pressed])')"
    opened.run(f"{all_and_none}[1].click()")
    assert opened.run(count.format("seed")) == 0


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("room", [0, 0.05])
def test_an_axis_has_two_labels_or_more_and_each_says_its_value(opened, log, room):
    """Ranges from a fiftieth of a decade to four decades, at the numbers of ticks that windows have room for."""
    draw = random.Random(7)
    lows = [10 ** draw.uniform(-6, 10) for _ in range(400)]
    ranges = [(low, low * 10 ** draw.uniform(0.02, 4)) for low in lows] + [(2290880, 4107840), (6.1, 9.9), (5.1, 9.4)]
    for count in (1.5, 2.4, 3.6, 6.3, 10.7):
        told = opened.run(
            f"{json.dumps(ranges)}.map((ends) => extent(ends, {json.dumps(log)}, {room})).map(([low, high]) => {{"
            f"const found = ticks(low, high, {count}, {json.dumps(log)});"
            f"return [low, high, found, tickTexts(found, false, {json.dumps(not log)})]; }})"
        )
        for low, high, values, texts in told:
            assert 2 <= len(values) <= 3 * count + 3, (low, high, count)
            assert low <= values[0] <= values[-1] <= high * (1 + 1e-6)
            for value, text in zip(values, texts, strict=True):
                size = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}.get(text[-1], 1)
                assert float(text.rstrip("kMGT")) * size == pytest.approx(value, rel=1e-6), (values, texts)


def test_marks_stand_where_their_cost_and_accuracy_are(opened):
    marks = opened.run(
        "[...document.querySelectorAll('#scatter .chart .mark')].map((each) => [each.getAttribute('aria-label'),"
        "...each.getAttribute('transform').match(/[0-9.]+/g).map(Number)])"
    )
    assert len(marks) == 6
    accuracy = {label: float(label.partition("%")[2].split()[0]) for label, _, _ in marks}
    by_height = [label for label, _, up in sorted(marks, key=lambda mark: mark[2])]
    assert by_height == sorted(accuracy, key=lambda label: -accuracy[label])
    small, large = ({x for label, x, _ in marks if network in label} for network in reversed(NETWORKS))
    assert (len(small), len(large)) == (1, 1)  # equal costs are at the same place
    assert min(small) < min(large)


def test_the_cost_that_is_shown_first_is_one_in_which_groups_differ(started, tmp_path):
    for loss, parameters in ((LOSSES[0], 10), (LOSSES[1], 20)):
        leave(tmp_path / "out", f"loss_function={loss}", summary={"num_parameters": parameters})
    started.open(write(tmp_path / "page.html", tmp_path / "out"), 1280)
    assert started.run(f"{labelled('scatter', 'across')}.value") == "num_parameters"
    places = "[...document.querySelectorAll('#scatter .chart .mark')].map((each) => each.getAttribute('transform'))"
    assert len(set(started.run(places))) == 2


def test_a_click_on_a_group_below_brings_its_mark_up(opened):
    button = "document.querySelectorAll('#scatter .legend button')[1]"
    opened.run(f"{button}.click()")
    name = opened.run(f"{button}.textContent")
    assert opened.run("document.querySelector('#scatter svg').lastChild === document.activeElement")
    assert opened.run("document.activeElement.getAttribute('aria-label')").startswith(f"{name}: test/accuracy")
    assert opened.run("document.querySelector('#scatter .readout').textContent").startswith(f"{name}: test/accuracy")


@pytest.mark.parametrize("width", [1280, 400])
def test_labels_of_the_axes_are_whole_and_clear_of_axes_and_of_one_another(started, page, width):
    started.open(page, width)
    chart = "document.querySelector('#parallel svg')"
    boxes = started.run(
        f"[...{chart}.querySelectorAll('text')].map((each) => [each, each.getBBox()]).map(([each, box]) =>"
        "[each.firstChild.data, each.classList[0], box.x, box.y, box.x + box.width, box.y + box.height])"
    )
    lines = started.run(f"[...{chart}.querySelectorAll('.axis')].map((each) => each.x1.baseVal.value)")
    assert {*LOSSES, *NETWORKS, "loss_function", "test/accuracy, %"} <= {text for text, *_ in boxes}
    for number, (text, kind, left, top, right, bottom) in enumerate(boxes):
        if kind == "tick":  # headings stand above the axes
            assert not any(left < line < right for line in lines), text
        for other, _, left_of, top_of, right_of, bottom_of in boxes[number + 1 :]:
            apart = right <= left_of or right_of <= left or bottom - 2 <= top_of or bottom_of - 2 <= top
            assert apart, (text, other)
    plates = f"[...{chart}.querySelectorAll('.tick')].map((each) => [each.previousSibling, each])"
    ends = "pair.map((each) => each.getBBox()).map(({x, width}) => [x, x + width])"
    for plate, tick in started.run(f"{plates}.map((pair) => {ends})"):
        assert plate[0] < tick[0] < tick[1] < plate[1]


def test_what_a_table_tells_has_no_axis_and_no_column_until_it_is_asked_for(started, tmp_path):
    for dataset, epochs in (("digits", 3), ("cifar10", 5)):
        for loss in LOSSES[:2]:
            changes = (f"loss_function={loss}", f"dataset={dataset}", f"num_epochs={epochs}")
            for network in NETWORKS:
                leave(tmp_path / "out", *changes, f"architecture={network}", data=dataset * 3)
    started.open(write(tmp_path / "page.html", tmp_path / "out"), 1280)
    heads = "[...document.querySelectorAll('#runs thead th')].map((each) => each.dataset.name)"
    assert started.run(heads)[1:5] == ["dataset", "architecture", "loss_function", "seed"]
    assert "Told by dataset, so without an axis: num_epochs, " in started.run(
        "document.querySelector('#parallel .constant').textContent"
    )
    select = labelled("runs", "num_epochs")
    assert started.run(f"{select}.offsetWidth") == 0
    box = "[...document.querySelectorAll('#runs .tick')].find((each) => each.textContent === 'num_epochs')"
    started.run(f"{box}.click()")
    assert started.run(heads)[1:6] == ["dataset", "architecture", "loss_function", "num_epochs", "seed"]
    assert started.run(f"{select}.offsetWidth") > 0


def test_a_range_on_an_axis_keeps_the_lines_within(opened):
    place = "document.querySelector('#parallel .grab[data-axis=\"1\"]')"  # loss_function
    opened.run(f"{place}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    box = opened.run(
        f"(({{left, width, top, height}}) => [left + width / 2, top, height])({place}.getBoundingClientRect())"
    )
    x, top, height = box
    opened.mouse("mousePressed", x, top + 1)
    opened.mouse("mouseMoved", x, top + 0.25 * height)
    opened.mouse("mouseReleased", x, top + 0.25 * height)
    out = (
        "[...document.querySelectorAll('#parallel .series:not(.out)')].map((each) => label(Number(each.dataset.group)))"
    )
    assert opened.run(out) == [f"OneSidedMarginLoss · {network}" for network in NETWORKS]
    opened.run("document.querySelector('#parallel .controls button').click()")
    assert len(opened.run(out)) == 6


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
    assert started.complaints == []


def test_what_has_one_value_has_no_axis_and_is_told(started, tmp_path):
    for number, loss in enumerate(LOSSES):
        leave(tmp_path / "out", f"loss_function={loss}", accuracy=0.5 + 0.1 * number, summary={"seconds": 2 + number})
    started.open(write(tmp_path / "page.html", tmp_path / "out"), 1280)
    heads = "[...document.querySelectorAll('#parallel svg > text:not(.tick) title')].map((each) => each.textContent)"
    assert started.run(heads) == ["loss_function", "test/accuracy, %", "seconds"]
    told = started.run("document.querySelector('#parallel .constant').textContent")
    assert told == "One value each, so without an axis: images/s 100; parameters 10.0; multiply-adds 20.0."
    assert started.complaints == []


@pytest.mark.parametrize("width", [1280, 400])
def test_a_region_that_scrolls_sideways_says_so_and_scrolls_by_the_keyboard(started, page, width):
    started.open(page, width)
    regions = "[...document.querySelectorAll('.wide')]"
    wide = started.run(f"{regions}.map((each) => each.scrollWidth > each.clientWidth)")
    assert any(wide) == (width == 400)
    assert started.run(f"{regions}.map((each) => !each.previousElementSibling.hidden)") == wide
    assert all(started.run(f"{regions}.map((each) => each.tabIndex === 0 && each.getAttribute('aria-label') !== '')"))
    if width == 400:
        first = f"{regions}[{wide.index(True)}]"
        started.run(f"{first}.focus()")
        started.press("ArrowRight", 39)
        started.wait(f"{first}.scrollLeft > 0")


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


def test_a_table_that_is_longer_than_shown_says_so(started, tmp_path):
    for number in range(50):
        leave(tmp_path / "out", f"optimizer_params.lr={0.001 * (number + 1):.3f}")
    started.open(write(tmp_path / "page.html", tmp_path / "out"), 1280)
    hint = "document.querySelector('#results .scrolls')"
    assert started.run(f"!{hint}.hidden && {hint}.textContent") == "↕ longer than shown: scroll or use arrow keys"


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
    assert started.complaints == []


def test_one_epoch_is_drawn_as_points(started, tmp_path):
    leave(tmp_path / "out", epochs=[0.5])
    started.open(write(tmp_path / "page.html", tmp_path / "out"), 1280)
    assert started.run("document.querySelectorAll('#curves .chart circle').length") == 1
    assert started.complaints == []


def test_without_scripts_the_tables_can_still_be_read(started, page):
    started.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        started.call("Page.navigate", url=page.as_uri())
        started.wait("document.readyState === 'complete'")
        text = started.run("document.getElementById('results').innerText")
    finally:
        started.call("Emulation.setScriptExecutionDisabled", value=False)
    assert "best other less CrossEntropyLoss" in text

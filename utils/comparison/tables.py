"""A `Comparison` as tables of texts, which every format writes alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from utils.comparison.building import Cell, Comparison, Panel
from utils.comparison.grouping import Spread
from utils.comparison.numbers import COST_NAMES, Unit, p_text, unit_of
from utils.comparison.papers import Printed, sources
from utils.comparison.testing import LEVEL, Contrast
from utils.comparison.trials import results_among

MARKS = {"more than noise": " †", "images only": " ‡"}
NAMED = 5
"""Folders that a note names."""


@dataclass(frozen=True)
class Text:
    text: str
    bold: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        rows: as many texts each as the header. rule_before: numbers of rows that stand below a line.
        notes: what stands below.
        of_all: shown however many tables there are.
        exact: texts in which numbers are cut -> the same with all their digits.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]
    notes: tuple[str, ...] = ()
    rule_before: frozenset[int] = frozenset()
    of_all: bool = False
    exact: Mapping[str, str] = field(default_factory=dict)


def build_tables(comparison: Comparison) -> list[Table]:
    """Return the tables of results, then that of the tests, then that of costs and epochs where asked for."""
    tables = [_results(panel, comparison) for panel in comparison.panels]
    if comparison.contrasts:
        tables.append(_tests(comparison))
    if comparison.options.cost or comparison.options.reach is not None:
        tables.append(_costs(comparison))
    return tables


# --------------------------------------------------------------------------------------------------------- results


def _results(panel: Panel, comparison: Comparison) -> Table:
    metric, unit, layout = comparison.options.metric, comparison.unit(), comparison.layout
    title = f"{unit.heading(metric)}{f'; {panel.title}' if panel.title else ''}"
    header = (f"{', '.join(layout.rows)}", *(column or "all" for column in panel.columns))
    rows = [
        (Text(row), *(_result(panel.cells.get((row, column)), unit) for column in panel.columns)) for row in panel.rows
    ]
    rules = frozenset([len(rows)]) if panel.improvements else frozenset[int]()
    if panel.improvements:
        name = f"best other less {panel.baseline}" if len(panel.rows) > 2 else f"less {panel.baseline}"
        rows.append((Text(name), *(_improvement(panel, column, unit) for column in panel.columns)))
    exact = layout.exact
    if panel.title in exact:
        exact = exact | {title: exact[panel.title]}
    return Table(title, header, tuple(rows), tuple(_notes_below(panel, comparison)), rules, exact=exact)


def _result(cell: Cell | None, unit: Unit) -> Text:
    if cell is None or cell.spread is None:
        return Text("-")
    mark = MARKS.get(cell.contrast.verdict, "") if cell.contrast is not None else ""
    papers = "".join(f"; paper {_paper(each, cell.spread, unit)}" for each in cell.papers)
    return Text(f"{unit.spread(cell.spread)}{mark}{papers}", cell.best)


def _paper(printed: Printed, spread: Spread, unit: Unit) -> str:
    std = "" if printed.spread is None else f" ± {unit.text(printed.spread)}"
    column = "" if printed.column is None else f" [{printed.column}]"
    difference = unit.text(spread.mean - printed.value, signed=True)
    return f"{unit.text(printed.value)}{std}{column}, {difference}"


def _improvement(panel: Panel, column: str, unit: Unit) -> Text:
    if column not in panel.improvements:
        return Text("-")
    row, difference = panel.improvements[column]
    whose = f" ({row})" if len(panel.rows) > 2 else ""
    return Text(f"{unit.text(difference, signed=True)}{whose}")


def _notes_below(panel: Panel, comparison: Comparison) -> Iterator[str]:
    cells = list(panel.cells.values())
    yield from (f"warning: {text}" for text in panel.warnings)
    on_test = [cell for cell in cells if cell.group.settings.get("select_on") == "test"]
    if on_test:
        which = "checkpoints" if len(on_test) == len(cells) else f"{len(on_test)} of {len(cells)} groups' checkpoints"
        yield f"{which} were selected on the TEST images (select_on: test), which flatters them"
    if any(cell.group.settings.get("smoke") for cell in cells):
        yield "warning: some runs are of made-up images (smoke: true): their numbers mean nothing"
    if any(cell.spread is not None and cell.spread.count == 1 for cell in cells):
        yield "(1): one seed, no spread"
    lacking = sum(len(cell.group.runs) - (cell.spread.count if cell.spread else 0) for cell in cells)
    if lacking:
        yield f"{lacking:,} of {sum(len(cell.group.runs) for cell in cells):,} runs have no {comparison.options.metric}"
    if comparison.options.metric.endswith("loss"):
        yield "each loss has its own unit: compare cross_entropy instead"
    if printed := [paper for cell in cells for paper in cell.papers]:
        yield f"paper: as printed, then ours less the paper's; {'; '.join(sources(printed))}"
        if departures := list(dict.fromkeys(each for paper in printed for each in paper.departures)):
            yield f"warning: these are not the recipe's runs, they differ in {named(departures)}"
    marks = {MARKS.get(cell.contrast.verdict) for cell in cells if cell.contrast is not None}
    if MARKS["more than noise"] in marks:
        yield f"† differs from {panel.baseline} by more than noise, over seeds and, where that was tested, images"
    if MARKS["images only"] in marks:
        yield f"‡ these networks differ from {panel.baseline}'s over the test images; the seeds do not tell"


# ----------------------------------------------------------------------------------------------------------- tests


def _tests(comparison: Comparison) -> Table:
    contrasts = [cell.contrast for _, cell in comparison.contrasts if cell.contrast is not None]
    titled = any(panel.title for panel in comparison.panels)
    columned = any(cell.column for _, cell in comparison.contrasts)
    where = [*(["table"] if titled else []), *(["column"] if columned else [])]
    baselines = dict.fromkeys(panel.baseline for panel, _ in comparison.contrasts)
    header = (
        f"less {', '.join(map(str, baselines))}",
        *where,
        "difference",
        "95 % interval",
        "images: p (Holm)",
        "seeds: p (Holm)",
        "verdict",
    )
    rows = []
    for panel, cell in comparison.contrasts:
        place = [*([panel.title] if titled else []), *([cell.column] if columned else [])]
        if cell.contrast is not None:
            texts = [cell.row, *place, *_test(cell.contrast, comparison.unit())]
            rows.append(tuple(map(Text, texts)))
    notes = tuple(_notes_on_tests(contrasts))
    title = f"Tests; {len(contrasts)} comparison{'s'[: len(contrasts) > 1]}, p values corrected for that by Holm"
    return Table(title, header, tuple(rows), notes, of_all=True, exact=comparison.layout.exact)


def _test(contrast: Contrast, unit: Unit) -> list[str]:
    images, seeds = contrast.over_images, contrast.over_seeds
    difference = "-" if seeds is None else unit.text(seeds.difference, signed=True)
    interval, of_images, of_seeds = "-", "-", "-"
    if images is not None:
        interval = f"{unit.text(images.low, signed=True)} to {unit.text(images.high, signed=True)}"
        of_images = f"{p_text(images.p_value)} ({p_text(images.adjusted)})"
    if seeds is not None and seeds.p_value is not None and seeds.adjusted is not None:
        of_seeds = f"{p_text(seeds.p_value)} ({p_text(seeds.adjusted)}), n = {len(contrast.seeds)}"
    reason = f": {contrast.reason}" if contrast.reason and contrast.verdict == "not tested" else ""
    return [difference, interval, of_images, of_seeds, contrast.verdict + reason]


def _notes_on_tests(contrasts: list[Contrast]) -> Iterator[str]:
    tested = [each for each in contrasts if each.over_images is not None]
    if tested:
        yield (
            "images: these networks on other test images; McNemar's exact test (mid-p), an image with all its seeds as "
            "one; interval by 10,000 bootstrap samples"
        )
    methods = sorted({each.over_seeds.method for each in contrasts if each.over_seeds and each.over_seeds.method})
    if methods:
        yield f"seeds: other trainings on the same images; {' or '.join(methods)} test of the paired differences"
    few = [each for each in contrasts if each.over_seeds is not None and each.over_seeds.smallest >= LEVEL]
    if counts := sorted({len(each.seeds) for each in few if len(each.seeds) > 1}):
        told = " or ".join(map(str, counts))
        least = " or ".join(p_text(2.0 ** (1 - count)) for count in counts)
        yield f"with {told} seeds no test over seeds can reach {LEVEL}: p is at least {least}; 6 seeds can, uncorrected"
    if any(len(each.seeds) == 1 for each in few):
        yield "with one seed there is no test over seeds"
    for reason in dict.fromkeys(each.reason for each in contrasts if each.reason):
        number_of = sum(each.reason == reason for each in contrasts)
        yield f"no test over images in {number_of:,} of {len(contrasts):,}: {reason}"


# ------------------------------------------------------------------------------------------------ costs and epochs


def _costs(comparison: Comparison) -> Table:
    options, layout = comparison.options, comparison.layout
    reach = [] if options.reach is None else [f"epoch at {options.reach:g}"]
    costs = list(COST_NAMES.values()) if options.cost else []
    titled = any(panel.title for panel in comparison.panels)
    table = ["table"] if titled else []
    header = (", ".join(layout.rows), *table, ", ".join(layout.columns) or "column", *reach, *costs)
    rows = []
    for panel, cell in comparison.placed_cells:
        place = [cell.row, *([panel.title] if titled else []), cell.column or "all"]
        rows.append(tuple(map(Text, [*place, *_reach_text(cell), *(_cost_texts(cell) if costs else [])])))
    notes = []
    if reach:
        notes.append(
            "first epoch, counted from 0, whose monitor reached it: median over the seeds, and how many runs did"
        )
    if costs:
        notes.append("means over the seeds; seconds of all epochs, on whatever machine it was; multiply-adds an image")
    title = "Cost" if costs else "Epochs to reach"
    return Table(title, header, tuple(rows), tuple(notes), of_all=True, exact=layout.exact)


def _reach_text(cell: Cell) -> list[str]:
    if cell.reached is None:
        return []
    median = "not reached" if cell.reached.median is None else f"{cell.reached.median:g}"
    return [f"{median} ({cell.reached.runs} of {len(cell.group.runs)})"]


def _cost_texts(cell: Cell) -> list[str]:
    spreads = {name: Spread.of(cell.group.values(name).values()) for name in COST_NAMES}
    return ["-" if each is None else unit_of(name).text(each.mean) for name, each in spreads.items()]


# ----------------------------------------------------------------------------------------------------------- notes


def notes(comparison: Comparison) -> list[str]:
    """Return what to know before the tables: what is compared, what was left out and why."""
    found, layout = comparison.found, comparison.layout
    runs, groups = _counted(len(found.runs), "run"), _counted(len(comparison.groups), "group")
    lines = [f"{runs} in {groups}; {_differences(comparison)}"]
    if layout.chosen and len(comparison.groups) > 1:
        lines.append("rows and columns were chosen from what differs; --rows KEY --columns KEY choose others")
    if comparison.not_tested:
        lines.append(comparison.not_tested)
    lines += _found_values(comparison)
    if found.trials:
        lines.append(f"{_counted(found.trials, 'trial')} of a search left out; --trials shows them")
    if found.unfinished:
        lines.append(f"left out, unfinished: {named(map(str, found.unfinished))}")
    lines += [f"left out, damaged: {path}: {reason}" for path, reason in found.damaged[:NAMED]]
    if len(found.damaged) > NAMED:
        lines.append(f"left out, damaged: {len(found.damaged) - NAMED:,} more")
    for taken, others in found.repeated[:NAMED]:
        lines.append(f"trained more than once: taken {taken}, the last of them; left out {named(map(str, others))}")
    if len(found.repeated) > NAMED:
        lines.append(f"trained more than once: {len(found.repeated) - NAMED:,} more, the last taken of each")
    if found.missing:
        lines.append(f"not finished yet, of the sweep: {named(found.missing, '; ')}")
    return lines


def _found_values(comparison: Comparison) -> list[str]:
    """Return the values that searches have found for the groups, those of all groups in one line."""
    layout, told, results = comparison.layout, [], results_among(comparison.found.runs)
    for panel, cell in comparison.placed_cells:
        group = cell.group
        trials = (run.trial for run in group.runs if run in results)
        drawn = (key for trial in trials if trial is not None for key in trial.drawn)
        keys = dict.fromkeys((*comparison.found.searched, *drawn))
        values = [
            f"{name}={layout.shown(group, name)}"
            for key in keys
            for name in group.settings
            if name == key or name.startswith(f"{key}.")
        ]
        where = ", ".join(filter(None, (cell.row, cell.column, panel.title)))
        told += [f"{where}: {', '.join(values)}"] if values else []
    return [f"found by a search: {named(told, '; ')}"] if told else []


def _counted(number: int, name: str) -> str:
    return f"{number:,} {name}{'s'[: number != 1]}"


def _differences(comparison: Comparison) -> str:
    layout = comparison.layout
    if len(comparison.groups) == 1:
        return "they differ in their seeds only"
    places = (("rows", layout.rows), ("columns", layout.columns), ("tables", layout.panels))
    told = [f"{', '.join(keys)} ({place})" for place, keys in places if keys]
    for owner in dict.fromkeys(layout.beside.values()):
        keys = [key for key, other in layout.beside.items() if other == owner]
        told.append(f"{named(keys)} ({f'with {owner}' if owner else 'with none of these'})")
    return f"they differ in {'; '.join(told)}"


def named(names: Iterable[str], separator: str = ", ") -> str:
    """Return the first names and how many more there are."""
    known = list(names)
    count = f"{len(known):,}: " if len(known) > 1 else ""
    more = f"{separator}and {len(known) - NAMED:,} more" if len(known) > NAMED else ""
    return f"{count}{separator.join(known[:NAMED])}{more}"

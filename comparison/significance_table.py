"""Which differences to the baseline are more than noise, as a table."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from comparison.building import Comparison
from comparison.notes import named
from comparison.numbers import Unit, notes_on_differences, p_text
from comparison.table import Table, Text, heading
from comparison.testing import LEVEL, Contrast


def significance_table(comparison: Comparison) -> Table:
    contrasts = [cell.contrast for _, cell in comparison.contrasts if cell.contrast is not None]
    layout = comparison.layout
    places = [heading(keys) for keys in (layout.panels, layout.columns) if keys]
    baselines = dict.fromkeys(panel.baseline for panel, _ in comparison.contrasts)
    header = (
        f"less {', '.join(map(str, baselines))}",
        *places,
        "difference",
        "95 % interval",
        "images: p (Holm)",
        "seeds: p (Holm)",
        "verdict",
    )
    rows = []
    for _, cell in comparison.contrasts:
        place = filter(None, (layout.panel_values(cell.group), cell.column))
        if cell.contrast is not None:
            texts = [cell.row, *place, *_test(cell.contrast, comparison.unit())]
            rows.append(tuple(map(Text, texts)))
    told = [place for place in range(len(header)) if any(row[place].text != "-" for row in rows)]
    header, rows = (tuple(header[place] for place in told), [tuple(row[place] for place in told) for row in rows])
    options = comparison.options
    notes = tuple(_notes_on_tests(contrasts, options.exact))
    title = f"Tests; {len(contrasts)} comparison{'s'[: len(contrasts) > 1]}, p values corrected for that by Holm"
    return Table(title, header, tuple(rows), notes, of_all=True, exact=layout.exact, places=1 + len(places))


def _test(contrast: Contrast, unit: Unit) -> list[str]:
    images, seeds = contrast.over_images, contrast.over_seeds
    difference = "-" if contrast.difference is None else unit.difference(contrast.difference)
    interval, of_images, of_seeds = "-", "-", "-"
    if images is not None:
        interval = f"{unit.text(images.low, signed=True)} to {unit.text(images.high, signed=True)}"
        of_images = f"{p_text(images.p_value)} ({p_text(images.adjusted)})"
    if seeds is not None and seeds.p_value is not None and seeds.adjusted is not None:
        of_seeds = f"{p_text(seeds.p_value)} ({p_text(seeds.adjusted)}), n = {contrast.num_seeds}"
    obstacle = f": {contrast.obstacle}" if contrast.verdict == "not testable" else ""
    return [difference, interval, of_images, of_seeds, contrast.verdict + obstacle]


def _notes_on_tests(contrasts: list[Contrast], exact: bool) -> Iterator[str]:
    yield from notes_on_differences([each.difference for each in contrasts if each.difference is not None])
    tested = [each for each in contrasts if each.over_images is not None]
    if tested:
        name = "McNemar's exact test" if exact else "the mid-p McNemar test (--exact: the exact one)"
        yield (
            f"images: these networks on other test images; {name}, an image with all its seeds as one draw; "
            "interval by 10,000 bootstrap samples"
        )
    methods = sorted({each.over_seeds.method for each in contrasts if each.over_seeds and each.over_seeds.method})
    if methods:
        yield f"seeds: other trainings on the same images; {' or '.join(methods)} test of the paired differences"
    few = [(each.num_seeds, each.over_seeds) for each in contrasts if each.over_seeds is not None]
    if counts := dict(sorted((count, each.least) for count, each in few if count > 1 and each.least >= LEVEL)):
        told, least = (" or ".join(map(str, each)) for each in (counts, map(p_text, counts.values())))
        number = sum(count > 1 for count, _ in few)
        enough = next(count for count in itertools.count(2) if number * 2.0 ** (1 - count) < LEVEL)
        what = f"with {told} seeds no test over seeds can reach {LEVEL}"
        yield f"{what}: p (Holm) is at least {least}; {enough} seeds can"
    if any(count == 1 for count, _ in few):
        yield "with one seed there is no test over seeds"
    for reason in dict.fromkeys(each.reason for each in contrasts if each.reason):
        same = [each for each in contrasts if each.reason == reason]
        details = named(dict.fromkeys(each.detail for each in same if each.detail), "; ", most=2)
        yield f"no test over images in {len(same):,} of {len(contrasts):,}: {details or reason}"

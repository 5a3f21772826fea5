"""All that the page's scripts show, as JSON can hold it."""

from __future__ import annotations

from typing import Any

from comparison.building import Comparison
from comparison.page.classes import describe_classes
from comparison.page.curves import describe_curves, shorten
from comparison.page.images import choose_images, describe_images, disagreements
from comparison.page.predictions import SharedTest, read_shared_tests, recorded_names
from comparison.page.runs import Shown, describe_groups, describe_names, describe_runs, notes_on_runs
from comparison.page.thumbnails import MOST, Unreadable, draw_pictures, open_data


def describe(comparison: Comparison) -> dict[str, Any]:
    """Return what is shown of groups, runs, curves, classes and images, and notes on each part.

    A group or run is known by its number in `groups` or `runs`; texts are as in the tables.
    """
    shown = Shown(comparison)
    curves, notes_on_curves = describe_curves(shown)
    tests, left_out = read_shared_tests(shown)
    described = [_describe_test(shared, shown, MOST // len(tests)) for shared in tests]
    return {
        "metric": comparison.options.metric,
        "names": describe_names(shown, list(dict.fromkeys((*shown.numbers, *curves["metrics"])))),
        "groups": describe_groups(shown),
        "runs": describe_runs(shown),
        "curves": curves,
        "classes": [classes for classes, _, _ in described],
        "images": [images for _, images, _ in described],
        "notes": {
            "runs": notes_on_runs(shown),
            "curves": notes_on_curves,
            "predictions": shorten([*left_out, *(note for _, _, notes in described for note in notes)]),
        },
    }


def _describe_test(shared: SharedTest, shown: Shown, room: int) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Return the classes and the images of one set of test images, and notes.

    Args:
        room: pictures at most.
    """
    pairs = disagreements(shared)
    chosen = choose_images(pairs, room)
    pictures, names, notes = dict.fromkeys(chosen), recorded_names(shared), []
    try:
        data = open_data(shared)
        names = data.classes
        pictures, notes = draw_pictures(shared, data.test, chosen)
    except Unreadable as reason:
        notes.append(f"no pictures{'' if names else ' and no names of classes'}: {reason}")
    classes, more = describe_classes(shared, shown, names)
    return classes, describe_images(shared, pairs, pictures, names), [*more, *notes]

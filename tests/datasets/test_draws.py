"""Random numbers that depend on where they are used, and on nothing drawn before."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from datasets.stream import draws
from datasets.stream.draws import Draws, philox

ROWS, VIEWS = np.array([5, 7, 999, 5, 0]), np.array([0, 1, 0, 2, 0])


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, 0xFFFFFFFFFFFFFFFF, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            0x299F31D0A4093822,
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_has_its_authors_known_answers(counter, key, expected):
    assert tuple(philox(counter, key).tolist()) == expected


def test_a_table_of_all_rows_holds_what_is_drawn_row_by_row(monkeypatch):
    whole = Draws(3, 1000)(4, ROWS, VIEWS, 2, 6)
    monkeypatch.setattr(draws, "LARGEST_TABLE", 0)
    assert np.array_equal(Draws(3, 1000)(4, ROWS, VIEWS, 2, 6), whole)
    assert np.array_equal(Draws(3, 1000)(4, ROWS, VIEWS, 2, 3), whole[:, :3])  # more numbers begin with the fewer
    for n in range(len(ROWS)):
        assert np.array_equal(Draws(3, 10**6)(4, ROWS[n : n + 1], VIEWS[n : n + 1], 2, 6)[0], whole[n])


def test_seed_epoch_row_view_and_place_all_count():
    first = Draws(0, 1000)(0, ROWS, VIEWS, 0, 4)
    others = [
        Draws(1, 1000)(0, ROWS, VIEWS, 0, 4),
        Draws(0, 1000)(1, ROWS, VIEWS, 0, 4),
        Draws(0, 1000)(0, (ROWS + 1) % 1000, VIEWS, 0, 4),
        Draws(0, 1000)(0, ROWS, VIEWS + 1, 0, 4),
        Draws(0, 1000)(0, ROWS, VIEWS, 1, 4),
    ]
    assert all(not np.isclose(first[:2], other[:2]).any() for other in others)
    assert len(np.unique(first)) == first.size


def test_numbers_are_even_and_independent():
    rows = np.arange(20_000)
    drawn = Draws(0, len(rows))(0, rows, 0 * rows, 0, 4)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    counts = np.histogram(drawn, bins=20, range=(0, 1))[0]
    expected = drawn.size / 20
    assert ((counts - expected) ** 2 / expected).sum() < 43.8  # chi-squared of 19 degrees, 1 in 1,000
    assert abs(np.corrcoef(drawn.T) - np.eye(4)).max() < 0.03
    assert abs(np.corrcoef(drawn[:-1, 0], drawn[1:, 0])[0, 1]) < 0.03


def test_a_worker_draws_the_same():
    mine = Draws(5, 50)
    assert np.array_equal(pickle.loads(pickle.dumps(mine))(1, ROWS % 50, VIEWS, 0, 3), mine(1, ROWS % 50, VIEWS, 0, 3))

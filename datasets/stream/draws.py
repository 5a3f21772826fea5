"""Counter-based random numbers: what is drawn for an image depends on where it stands and on nothing drawn before."""

from __future__ import annotations

import functools

import numpy as np

from utils.seeding import derive_seed

LARGEST_TABLE = 2**22
"""Numbers; up to here an epoch's are drawn in one go, which saves most of the time that small batches of them take."""
WORDS, ROUNDS = 4, 10
MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL = 0x9E3779B9, 0xBB67AE85  # what the key's words grow by from round to round
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)


def philox(counter: tuple[np.ndarray | int, ...], key: int) -> np.ndarray:
    """Return Philox-4x32-10 of many counters.

    Args:
        counter: its four words, below 2**32; arrays broadcast against each other.
        key: 64 bits.

    Shapes: words [...] -> [..., 4] uint64, each below 2**32.
    Source: Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3", SC '11.
    """
    c0, c1, c2, c3 = np.broadcast_arrays(*(np.asarray(word, dtype=np.uint64) for word in counter))
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(ROUNDS):
        left, right = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2  # of 64 bits
        c0, c1, c2, c3 = (
            (right >> HALF) ^ c1 ^ np.uint64(k0),
            right & LOW,
            (left >> HALF) ^ c3 ^ np.uint64(k1),
            left & LOW,
        )
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=-1)


class Draws:
    """Uniform numbers as a pure function of (seed, epoch, index, view, place in the chain).

    Philox is keyed by seed and epoch, and counts index, view, place and the number's own.

    Args:
        seed: the run's.
        num_rows: N, rows of the table.
    """

    def __init__(self, seed: int, num_rows: int) -> None:
        self.seed, self.num_rows = seed, num_rows
        self._tables = functools.lru_cache(maxsize=16)(self._table)  # those of one epoch

    def __reduce__(self) -> tuple[type[Draws], tuple[int, int]]:
        return Draws, (self.seed, self.num_rows)

    def __call__(self, epoch: int, rows: np.ndarray, views: np.ndarray, place: int, number: int) -> np.ndarray:
        """Return numbers from 0 to below 1.

        Args:
            rows, views: of each sample.
            place: of the transform in its chain.
            number: of the numbers wanted for a sample.

        Shapes: rows [M], views [M] -> [M, number] float64.
        """
        if self.num_rows * number > LARGEST_TABLE:
            return self._uniform(epoch, rows, views, place, number)
        drawn = np.empty((len(rows), number))
        for view in np.unique(views).tolist():
            of_view = views == view
            drawn[of_view] = self._tables(epoch, view, place, number)[rows[of_view]]
        return drawn

    def _table(self, epoch: int, view: int, place: int, number: int) -> np.ndarray:
        return self._uniform(epoch, np.arange(self.num_rows), np.array(view), place, number)

    def _uniform(self, epoch: int, rows: np.ndarray, views: np.ndarray, place: int, number: int) -> np.ndarray:
        block = np.arange(-(-number // WORDS))
        bits = philox((block, rows[:, None], views[..., None], place), derive_seed(self.seed, "augment", epoch))
        return bits.reshape(len(rows), -1)[:, :number] * 2.0**-32

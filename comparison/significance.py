"""Is the difference to the baseline more than noise? Paired tests over the same seeds and the same test images.

scipy has the tests over seeds. It has no mid-p of McNemar's test, nor its form for several seeds; its bootstrap draws
every image, where counts of the few different values are enough. Holm's correction alone is no reason for statsmodels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from comparison.groups import Difference, Group
from comparison.noise import holm
from comparison.predictions import NotPaired, ReadImages
from comparison.reading import Run

METRIC_OF_IMAGES = "test/accuracy"
"""The metric that predictions give image by image."""
LEVEL = 0.05
MOST_AUTOMATIC = 200
"""Comparisons up to which predictions are read unasked."""
EXACT_SEEDS = 12
"""Seeds up to which all signs are tried; beyond, Student's t."""
EXACT_IMAGES = 10_000
"""Images on which two networks differ up to which all outcomes are counted; beyond, the normal distribution is used."""
RESAMPLES = 10_000


class SeedTest(NamedTuple):
    """Args: p_value: two-sided. method: which test. smallest: the least p that so many seeds can give."""

    p_value: float
    method: str
    smallest: float


def seed_test(differences: Sequence[float]) -> SeedTest | None:
    """Test whether paired differences, one a seed, are 0 on average; None for fewer than two.

    With few, the exact permutation test over all signs (Fisher's), which assumes nothing of their distribution; with
    more than `EXACT_SEEDS`, the paired t test.
    """
    if len(differences) < 2:
        return None
    from scipy import stats  # takes a second to import

    values = np.asarray(differences, dtype=float)
    if len(values) <= EXACT_SEEDS:
        result: Any = stats.permutation_test(
            (values,), np.mean, permutation_type="samples", vectorized=True, n_resamples=2**EXACT_SEEDS
        )
        return SeedTest(float(result.pvalue), "exact sign-flip", 2.0 ** (1 - len(values)))
    if np.ptp(values) < 1e-12:  # the t test's limit, where its variance is 0
        return SeedTest(float(abs(values[0]) < 1e-12), "paired t", 0.0)
    result = stats.ttest_1samp(values, 0.0)
    return SeedTest(float(result.pvalue), "paired t", 0.0)


def image_test(differences: np.ndarray, exact: bool = False) -> float:
    """Test whether two methods are right on as many test images; return the two-sided mid-p, or the exact p.

    Args:
        differences: [N] int, for each image the number of seeds with which the first was right, less the second's.
        exact: count all outcomes as likely as the observed one, so that errors of the first kind are never more
            frequent than the level; the mid-p counts half of them, and is less conservative.

    The test over all signs, an image with all its seeds being one draw. With one seed that is McNemar's; with several,
    its form for clusters, of which the score test of Durkalski et al. is the limit.

    Source: Fagerland et al. 2013, "The McNemar test for binary matched-pairs data: mid-p and asymptotic are better than
    exact conditional"; Durkalski et al. 2003, "Analysis of clustered matched-pair data".
    """
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    if len(sizes) == 0:
        return 1.0
    from scipy import stats

    observed = abs(int(differences.sum()))
    if counts.sum() > EXACT_IMAGES:
        return float(2 * stats.norm.sf(observed / np.sqrt((counts * sizes.astype(float) ** 2).sum())))
    total = np.ones(1)  # probabilities of the sum over sizes * (number of plus signs)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        spaced = np.zeros(size * count + 1)
        spaced[::size] = stats.binom.pmf(np.arange(count + 1), count, 0.5)
        total = np.convolve(total, spaced)
    sums = np.abs(2 * np.arange(len(total)) - (len(total) - 1))
    outside, equal = total[sums > observed].sum(), total[sums == observed].sum()
    return float(min(1.0, outside + equal / (1 if exact else 2)))


def bootstrap_interval(differences: np.ndarray, seed: int = 0, share: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of the mean difference, images resampled with all their seeds.

    Args:
        differences: [N] float, mean over the seeds of (first right) - (second right).

    The mean of N draws depends only on how often each value is drawn, which is multinomial.
    """
    values, counts = np.unique(differences, return_counts=True)
    number = len(differences)
    draws = np.random.default_rng(seed).multinomial(number, counts / number, size=RESAMPLES)  # [R, values]
    tail = (1 - share) / 2
    low, high = np.quantile(draws @ values / number, [tail, 1 - tail])
    return float(low), float(high)


@dataclass(frozen=True)
class ImageTest:
    """Over the test images, of the networks that were trained.

    Args:
        difference: of the accuracies, a share. low, high: its 95 % interval.
        p_value: of McNemar's test, mid-p unless the exact one is asked for; images with all their seeds are one draw.
        adjusted: the same after Holm's correction.
    """

    difference: float
    low: float
    high: float
    p_value: float
    images: int
    adjusted: float = 1.0


@dataclass(frozen=True)
class Contrast:
    """A group against the baseline.

    Args:
        difference: of the metric, None where one side has no such number.
        over_seeds, over_images: None where there is no such test.
        adjusted_seeds: p over the seeds after Holm's correction. least: the least that it could have been.
        reason: why there is no test over images, in a few words. detail: of which runs that is so.
    """

    group: Group
    baseline: Group
    difference: Difference | None
    over_seeds: SeedTest | None = None
    over_images: ImageTest | None = None
    reason: str = ""
    detail: str = ""
    adjusted_seeds: float = 1.0
    least: float = 1.0

    @property
    def num_seeds(self) -> int:
        """How many seeds both have."""
        return 0 if self.difference is None else len(self.difference.by_seed)

    @property
    def verdict(self) -> str:
        """The conclusion of both tests, after Holm's correction.

        "images only": these networks differ, but whether others of other seeds would is not established. "not
        testable": no test could have come out otherwise; `obstacle` says why.
        """
        if self.over_images is None:
            if self.least >= LEVEL:
                return "not testable"
            return "more than noise" if self.adjusted_seeds < LEVEL else "within noise"
        images, seeds = self.over_images.adjusted < LEVEL, self.adjusted_seeds < LEVEL
        both = {(True, True): "more than noise", (False, True): "seeds only", (True, False): "images only"}
        return both.get((images, seeds), "within noise")

    @property
    def obstacle(self) -> str:
        """The reason why no test is possible, in a few words."""
        if not self.num_seeds:
            return self.reason
        few = f"n = {self.num_seeds}"
        if self.over_seeds is not None and self.over_seeds.smallest < LEVEL:
            few += " for so many comparisons"
        return f"{few}, {self.reason}" if self.detail else few


def contrast_all(
    pairs: Iterable[tuple[Group, Group]], metric: str, read: ReadImages | None, exact: bool = False
) -> list[Contrast]:
    """Test groups against their baselines, and correct for the number of comparisons, seeds and images apart.

    Args: read: None to test over seeds only. exact: McNemar's exact test over images instead of its mid-p.
    """
    contrasts = [_contrast(group, baseline, metric, exact, read) for group, baseline in pairs]
    of_seeds = [place for place, contrast in enumerate(contrasts) if contrast.over_seeds is not None]
    tests = [contrast.over_seeds for contrast in contrasts if contrast.over_seeds is not None]
    adjusted, least = (holm([getattr(test, name) for test in tests]).tolist() for name in ("p_value", "smallest"))
    for place, p_value, smallest in zip(of_seeds, adjusted, least, strict=True):
        contrasts[place] = replace(contrasts[place], adjusted_seeds=p_value, least=smallest)
    of_images = [(place, contrast.over_images) for place, contrast in enumerate(contrasts) if contrast.over_images]
    for (place, test), p_value in zip(of_images, holm([test.p_value for _, test in of_images]).tolist(), strict=True):
        contrasts[place] = replace(contrasts[place], over_images=replace(test, adjusted=p_value))
    return contrasts


def _contrast(group: Group, baseline: Group, metric: str, exact: bool, read: ReadImages | None) -> Contrast:
    difference = Difference.between(group, baseline, metric)
    if difference is None or not difference.is_paired:
        reason = f"no {metric} on one side" if difference is None else "no seed in common"
        return Contrast(group, baseline, difference, reason=reason)
    contrast = Contrast(group, baseline, difference, seed_test(list(difference.by_seed.values())))
    if metric != METRIC_OF_IMAGES:
        return replace(contrast, reason=f"images are compared by {METRIC_OF_IMAGES} only")
    if read is None:
        return replace(contrast, reason="predictions not read")
    ours, theirs = ({run.seed: run for run in side.runs} for side in (group, baseline))
    try:
        tested = _compare_images([(ours[seed], theirs[seed]) for seed in difference.by_seed], exact, read)
    except NotPaired as problem:
        return replace(contrast, reason=problem.reason, detail=str(problem))
    return replace(contrast, over_images=tested)


def _compare_images(pairs: Sequence[tuple[Run, Run]], exact: bool, read: ReadImages) -> ImageTest:
    images, first = read(pairs[0][0])
    total = np.zeros(len(first), dtype=np.int64)
    for pair in pairs:
        for run in pair:
            if read(run)[0] != images:
                ours, theirs = run.folder.path.name, pairs[0][0].folder.path.name
                raise NotPaired("other test images", f"{ours} has other test images than {theirs}")
        total += np.rint(read(pair[0])[1] - read(pair[1])[1]).astype(np.int64)
    means = total / len(pairs)
    return ImageTest(float(means.mean()), *bootstrap_interval(means), image_test(total, exact), len(total))

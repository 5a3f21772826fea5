"""How often compare.py's verdicts are wrong, on made-up tables whose truth is known.

    python benchmarks/verdicts.py [--quick] [--tables N] [--markdown FILE] [--figure FILE]

A table has rows (the first is the baseline), seeds and test images. Its accuracies have the spread of real runs: 0.3
points over seeds at 10,000 images, a third of the variance from single images. What so many images add to a mean is
drawn from the normal distribution; the last part draws every image instead.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # else benchmarks/losses.py is what `import losses` finds

import numpy as np

from benchmarks.made_up_tables import BOTH, IMAGES, LEVEL, ROPE, SEEDS, SPREADS, Tables, draw, parts_of
from comparison.noise import (
    CERTAIN,
    Parts,
    half_width,
    holm,
    image_parts,
    joint_df,
    leading_rows,
    moderate,
    p_difference,
    p_same,
    row_variances,
)
from comparison.power import chance_to_decide, needed_seeds
from sweeps.seeds import level_of, looks


def methods(tables: Tables, random: np.random.Generator) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield the candidates: name, differences, variances and degrees of freedom."""
    values, found = tables.values, tables.differences
    parts = tables.parts
    yield "images only", found, parts.images, np.full_like(found, CERTAIN)
    paired = values[:, 1:] - values[:, :1]
    count = (~np.isnan(paired)).sum(-1)
    own = np.nanvar(paired, axis=-1, ddof=1) / count
    yield "seeds only: paired t", found, own, count - 1.0
    crossed = parts._replace(seeds=own, df=count - 1.0)
    yield "images + seeds, each pair by itself", found, *crossed.total
    variances, df = row_variances(values) if not np.isnan(values).any() else tables.moderated
    pooled = np.broadcast_to((variances * df).sum(-1, keepdims=True) / df.sum(-1, keepdims=True), df.shape)
    whole = np.broadcast_to(df.sum(-1, keepdims=True), df.shape)
    if not np.isnan(values).any():
        yield "images + seeds, one variance for all rows", found, *parts_of(values, pooled, whole).total
        yield "hierarchical bootstrap", *bootstrap(values, parts, random)
    yield "images + seeds, rows lend each other (chosen)", found, *parts.total


def bootstrap(values: np.ndarray, parts: Parts, random: np.random.Generator, draws: int = 400, most: int = 500):
    """Resample seeds, and images, for each of the first tables; a normal interval of the spread of the means."""
    paired = values[:most, 1:] - values[:most, :1]
    weights = random.multinomial(paired.shape[-1], np.full(paired.shape[-1], 1 / paired.shape[-1]), size=draws)
    means = paired @ weights.T / paired.shape[-1]  # [T, R - 1, draws]
    means += random.standard_normal(means.shape) * np.sqrt(parts.images - parts.both)[:most, :, None]
    return paired.mean(-1), means.var(-1), np.full(paired.shape[:-1], CERTAIN)


def judge(tables: Tables, found: np.ndarray, variance: np.ndarray, df: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """Return the shares of tables with a false "better" or "worse" and a false "same"; of rows covered, and decided."""
    same = holm(p_same(found, variance, df, ROPE)) < level
    differs = (holm(p_difference(found, variance, df)) < level) & ~same
    wrong = differs & (np.sign(found) != np.sign(tables.truth))
    covered = np.abs(found - tables.truth) <= half_width(variance, df)
    unlike = np.abs(tables.truth) >= ROPE
    return np.array([wrong.any(1).mean(), (same & unlike).any(1).mean(), covered.mean(), (same | differs).mean()])


Results = dict[tuple[str, str], list[np.ndarray]]
"""Kind of table and method -> for each cell of the simulation, its number of seeds and what `judge` says."""


def measure(count: int, random: np.random.Generator) -> Results:
    """Judge tables of all kinds by all methods."""
    results: Results = {}
    for kind, changes in SPREADS.items():
        for rows in (2, 5, 10, 30):
            for seeds in (3, 5, 8, 12, 20):
                for truth in ("none", "edge", "mixed"):
                    number = max(100, count // (20 if "missing" in changes else 1))
                    tables = draw(random, number, rows, seeds, truth, **changes)
                    for name, found, variance, df in methods(tables, random):
                        part = Tables(tables.values[: len(found)], tables.truth[: len(found)])
                        results.setdefault((kind, name), []).append(
                            np.array([seeds, *judge(part, found, variance, df)])
                        )
    return results


def error_rates(results: Results) -> Iterator[tuple[str, ...]]:
    """Yield a line for each kind of table and method: the worst over truths, numbers of rows and of seeds."""
    for (kind, name), lines in results.items():
        few, many = (np.array([line[1:] for line in lines if (line[0] <= 3) == small]) for small in (True, False))
        yield (
            *(kind, name),
            *(f"{100 * part[:, column].max():.1f}" for column in (0, 1) for part in (few, many)),
            *(f"{100 * part[:, 2].min():.1f} to {100 * part[:, 2].max():.1f}" for part in (few, many)),
            f"{100 * np.concatenate([few, many])[:, 3].mean():.0f}",
        )


def draw_figure(results: Results, path: Path) -> None:
    """Draw coverage and false "better" or "worse" by the number of seeds, of tables whose rows spread unlike."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    axes = figure.subplots(1, 2)
    for (kind, name), lines in results.items():
        if kind != "spreads differ":
            continue
        table, chosen = np.array(lines), "chosen" in name
        seeds = np.unique(table[:, 0])
        style = {"label": name, "marker": "o", "linewidth": 2.6 if chosen else 1.2, "zorder": 3 if chosen else 2}
        axes[0].plot(seeds, [100 * table[table[:, 0] == count, 3].mean() for count in seeds], **style)
        axes[1].plot(seeds, [100 * table[table[:, 0] == count, 1].max() for count in seeds], **style)
    for axis, goal, title in zip(
        axes, (95, 5), ("coverage of 95 % intervals, %", "false better or worse, %"), strict=True
    ):
        axis.axhline(goal, color="black", linewidth=0.8, linestyle=":")
        axis.set(xlabel="seeds", title=title)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize="small")
    figure.savefig(path, dpi=110)


def leading_errors(count: int, random: np.random.Generator) -> Iterator[tuple[str, ...]]:
    """Yield how often the best row is missing from the leading group, and how large that is."""
    for rows, seeds in ((5, 5), (10, 8), (30, 12)):
        for truth in ("none", "mixed"):
            missing, sizes = 0, []
            for _ in range(max(50, count // 10)):
                tables = draw(random, 1, rows, seeds, truth)
                means = np.concatenate([[0], tables.truth[0]])
                variances, df = tables.moderated
                both = np.full((rows, rows), 2 * BOTH**2 / seeds)
                (spread,), (free,) = variances, df
                pair = joint_df(spread[:, None], free[:, None], spread, free)
                seed_part = (spread[:, None] + spread) / seeds
                means_seen = tables.values[0].mean(-1)
                parts = Parts(IMAGES**2 + both, seed_part, both, pair, np.full_like(both, seeds))
                leading = leading_rows(means_seen[:, None] - means_seen, parts)
                missing += not leading[means == means.max()].all() if truth == "mixed" else not leading[0]
                sizes.append(leading.sum())
            yield str(rows), str(seeds), truth, f"{100 * missing / len(sizes):.1f}", f"{np.mean(sizes):.1f}"


def power(count: int, random: np.random.Generator) -> Iterator[tuple[str, ...]]:
    """Yield how good the predicted numbers of seeds are."""
    for rows in (2, 5, 10):
        for seeds in (3, 5, 8, 12):
            ratios, decided, within = [], [], []
            number = max(60, count // 25)
            start = draw(random, number, rows, seeds, "mixed")
            found, parts = start.differences, start.parts
            for table in range(number):
                one = Parts(*(np.asarray(part)[table, 0] for part in parts))
                level = LEVEL / (rows - 1)
                variance, df = one.total
                d = found[table, 0]
                if p_same(d, variance, df, ROPE) < level or p_difference(d, variance, df) < level:
                    continue
                need = needed_seeds(float(d), one, ROPE, level)
                exact = one._replace(seeds=np.float64(2 * (SEEDS**2 + BOTH**2) / seeds), df=np.float64(one.df))
                oracle = needed_seeds(float(d), exact, ROPE, level)
                if need.seeds is None or oracle.seeds is None:
                    ratios.append(np.inf if need.seeds != oracle.seeds else 1.0)
                    continue
                ratios.append(max(need.seeds / oracle.seeds, oracle.seeds / need.seeds))
                within.append((need.low or 0) <= oracle.seeds <= (need.high or np.inf))
                decided.append(float(chance_to_decide(float(d), exact, np.array([need.seeds]), ROPE, level)[0]))
            near = np.mean(np.array(ratios) <= 1.5)
            yield (
                *(str(rows), str(seeds), str(len(ratios))),
                *(f"{100 * near:.0f}", f"{100 * np.mean(within):.0f}", f"{100 * np.mean(decided):.0f}"),
            )


def sequential(count: int, random: np.random.Generator, most: int = 20) -> Iterator[tuple[str, ...]]:
    """Yield how often looking again and again is wrong, with the levels of `seeds: auto` and with 5 % at each look."""
    for rows in (2, 5, 10):
        for truth in ("none", "edge", "mixed"):
            tables = draw(random, count, rows, most, truth)
            for name, at in (
                ("seeds: auto", lambda seeds: level_of(seeds, most)),
                ("5 % at each look", lambda _: LEVEL),
            ):
                wrong, false_same = np.zeros(count, bool), np.zeros(count, bool)
                running, used = np.ones(count, bool), np.full(count, most)
                for seeds in looks(most):
                    part = Tables(tables.values[..., :seeds], tables.truth)
                    found, (variance, df) = part.differences, part.parts.total
                    same = holm(p_same(found, variance, df, ROPE)) < at(seeds)
                    differs = (holm(p_difference(found, variance, df)) < at(seeds)) & ~same
                    done = (same | differs).all(1) | (seeds == most)
                    ends = running & done
                    wrong |= ends & (differs & (np.sign(found) != np.sign(tables.truth))).any(1)
                    false_same |= ends & (same & (np.abs(tables.truth) >= ROPE)).any(1)
                    used[ends] = seeds
                    running &= ~done
                yield (
                    *(str(rows), truth, name),
                    *(f"{100 * wrong.mean():.1f}", f"{100 * false_same.mean():.1f}", f"{used.mean():.1f}"),
                )


def drawn_images(count: int, random: np.random.Generator) -> Iterator[tuple[str, ...]]:
    """Yield the coverage where each image is drawn: 1,000 images of unequal difficulty, which rows share."""
    for seeds in (3, 5, 10):
        covered, number, rows = [], 1000, 4
        for _ in range(max(40, count // 10)):
            ease = 2 + 1.5 * random.standard_normal((1, number)) + 0.4 * random.standard_normal((rows, number))
            shift = 0.15 * random.standard_normal((rows, seeds, 1))
            right = random.random((rows, seeds, number)) < 1 / (1 + np.exp(-ease[:, None] - shift))
            variances, df = moderate(*row_variances(right.mean(-1)))
            for row in range(1, rows):
                difference = right[row].astype(np.int8) - right[0].astype(np.int8)
                of_images, both = image_parts(difference)
                pair = joint_df(variances[row : row + 1], df[row : row + 1], variances[:1], df[:1])[0]
                seed_part = (variances[row] + variances[0]) / seeds
                parts = Parts(*map(np.array, (of_images, seed_part, both, pair, seeds)))
                covered.append(abs(difference.mean()) <= half_width(*parts.total))  # the rows are alike
        yield str(seeds), f"{len(covered):,}", f"{100 * np.mean(covered):.1f}"


def markdown(title: str, header: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"### {title}\n\n| {' | '.join(header)} |\n|{'---|' * len(header)}\n{rows}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="How often verdicts are wrong, on made-up tables.")
    parser.add_argument("--quick", action="store_true", help="a hundredth of the tables")
    parser.add_argument("--tables", type=int, default=10_000)
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    parser.add_argument("--figure", type=Path, metavar="FILE")
    options = parser.parse_args()
    count, random = max(100, options.tables // (100 if options.quick else 1)), np.random.default_rng(0)
    start = time.process_time()
    results = measure(count, random)
    few = ("3 seeds", "5 to 20 seeds")
    names = ("false better/worse", "false same", "coverage")
    near = "within a factor 1.5 of the number at the true spread, %"
    parts = [
        markdown(
            "Wrong verdicts and coverage, %: the worst over 2, 5, 10 and 30 rows and three truths",
            ("tables", "method", *(f"{name}, {each}" for name in names for each in few), "decided"),
            list(error_rates(results)),
        ),
        markdown(
            "Leading group",
            ("rows", "seeds", "truth", "best row missing, %", "mean size"),
            list(leading_errors(count, random)),
        ),
        markdown(
            "Predicted seeds",
            ("rows", "seeds now", "undecided", near, "in the stated range, %", "decided there, %"),
            list(power(count, random)),
        ),
        markdown(
            "Looking again",
            ("rows", "truth", "rule", "false better/worse, %", "false same, %", "mean seeds"),
            list(sequential(count, random)),
        ),
        markdown(
            "Every image drawn: 1,000 of them, 4 rows alike",
            ("seeds", "differences", "coverage, %"),
            list(drawn_images(count, random)),
        ),
    ]
    text = "\n".join([*parts, f"{count:,} tables of each kind, {time.process_time() - start:.0f} s on one core."])
    print(text)
    if options.markdown is not None:
        options.markdown.write_text(text + "\n")
    if options.figure is not None:
        draw_figure(results, options.figure)


if __name__ == "__main__":
    main()

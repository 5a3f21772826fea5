"""Draw docs/comparison.png from the runs of docs/digits.yml: python docs/comparison_figure.py output/digits-*"""

from __future__ import annotations

import csv
import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

FIGURE = Path(__file__).with_name("comparison.png")


def read(folders: list[str]) -> dict[str, list[tuple[list[float], float]]]:
    """Return loss -> (validation accuracy by epoch, test accuracy) of its runs, in percent."""
    runs = defaultdict(list)
    for folder in map(Path, folders):
        with open(folder / "metrics.csv", encoding="utf-8") as file:
            curve = [100 * float(row["valid/accuracy"]) for row in csv.DictReader(file)]
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        runs[folder.name.split("-")[2]].append((curve, 100 * summary["test/accuracy"]))
    return dict(runs)


def draw(runs: dict[str, list[tuple[list[float], float]]], path: Path) -> None:
    """Draw the mean curves with their range, and each run's test accuracy with mean and standard deviation."""
    figure = Figure(figsize=(9, 3), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    curves, points = figure.subplots(1, 2, width_ratios=(1, 1.2))
    for row, loss in enumerate(sorted(runs, reverse=True)):
        results = runs[loss]
        by_epoch = list(zip(*(curve for curve, _ in results), strict=True))
        epochs = range(1, len(by_epoch) + 1)
        (line,) = curves.plot(epochs, list(map(statistics.mean, by_epoch)), marker=".")
        curves.fill_between(epochs, list(map(min, by_epoch)), list(map(max, by_epoch)), alpha=0.15)
        tests = [test for _, test in results]
        mean, deviation = statistics.mean(tests), statistics.stdev(tests)
        points.plot(tests, [row] * len(tests), "o", alpha=0.35, color=line.get_color())
        points.errorbar(mean, row, xerr=deviation, fmt="|", markersize=14, capsize=4, color=line.get_color())
        points.text(mean, row + 0.22, f"{mean:.2f} ± {deviation:.2f} ({len(tests)})", ha="center", fontsize=8)
    curves.set(xlabel="epoch", ylabel="validation accuracy, %")
    points.set(xlabel="test accuracy, %", ylim=(-0.5, len(runs) - 0.3))
    points.set_yticks(range(len(runs)), sorted(runs, reverse=True))
    for axes in (curves, points):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Software": None})


if __name__ == "__main__":
    draw(read(sys.argv[1:]), FIGURE)

"""Write docs/losses.md and a picture of each loss from the losses themselves: python docs/loss_cards.py

What the page says stands in the losses' docstrings and signatures, so it cannot drift from them; a test compares.
"""

from __future__ import annotations

import copy
import inspect
import sys
from pathlib import Path
from typing import Any

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT) if __name__ == "__main__" else sys.path[0]

from docs.docstrings import (  # noqa: E402 - the project's root must come first
    description,
    entries,
    introduction,
    one_line,
    sections,
)
from losses import LOSSES, TORCH_LOSSES, build_loss  # noqa: E402
from losses.base import ClassificationLoss  # noqa: E402
from losses.contract import Batch, Outputs, Sequences, Task  # noqa: E402
from utils.files import atomic_file, write_atomically  # noqa: E402
from utils.lookup import load_entry  # noqa: E402

PAGE, PICTURES = ROOT / "docs" / "losses.md", ROOT / "docs" / "losses"
RESULTS = ROOT / "benchmarks" / "results"
CLASSES = 10
CARD = ("Shapes", "Use", "Raises", "Source", "Deviations")
"""Sections of a docstring that a card shows."""
ERRATA = {
    "arXiv:2206.01002": "one-sided-margin-loss-osm",
    "arXiv:1907.13349": "competing-ratio-loss-crl",
    "202506.1208": "losstransform",
    "arXiv:2011.12562": "online-label-smoothing-ols",
}
"""Paper, as a card's source names it -> its section of docs/errata.md."""
WARM_UP = 600  # steps: annealed margins and learnt soft labels are drawn as they are late in training
FEW, DRAWS = 24, 200  # draws to see whether a loss is random, and averaged where it is


def main() -> None:
    write_atomically(PAGE, page())
    for name in LOSSES:
        draw(name, PICTURES / f"{name}.png")


def page() -> str:
    """Return the text of docs/losses.md."""
    parts = [introduction(PAGE)[:-1]]
    parts += [f"- [{name}](#{name.lower()}): {entry.summary}" for name, entry in LOSSES.items()]
    parts += ["", *accuracy(), *(card(name) for name in LOSSES)]
    parts += ["## With torch's tools\n", *tools()]
    parts += ["## Losses of torch.nn\n", "By their class names, with the parameters of torch's documentation.\n"]
    parts += [f"- `{name}`: {summary}" for name, summary in TORCH_LOSSES.items()]
    return "\n".join(parts) + "\n"


def tools() -> list[str]:
    """Return what losses can be put through, and which cannot."""
    rows = [
        f"| {name} | {tool} | {reason} |"
        for name in [*LOSSES, *TORCH_LOSSES]
        for tool, reason in build_loss(name).limits.items()
    ]
    text = "Every loss works in float64, under autocast, with `torch.compile(fullgraph=True)`, `torch.export` and"
    return [
        f"{text}\n`torch.func` (`vmap` over `grad`), but for these:\n",
        "| loss | not with | because |",
        "|---|---|---|",
        *rows,
        "",
    ]


def accuracy() -> list[str]:
    """Return the tables of benchmarks/accuracy.py that are kept."""
    return ["## Accuracy\n", *(file.read_text(encoding="utf-8") for file in sorted(RESULTS.glob("accuracy-*.md")))]


def card(name: str) -> str:
    """Return a loss's section."""
    constructor = load_entry(LOSSES[name])
    text = sections(inspect.getdoc(constructor) or "")
    parts = [f"## {name}\n", f"![{name}: penalty against the margin](losses/{name}.png)\n", description(text[""])]
    if rows := parameters(constructor, text.get("Args", "")):
        parts += ["| parameter | default | meaning |", "|---|---|---|", *rows, ""]
    parts += [f"**{heading}:** {one_line(text[heading])}\n" for heading in CARD if heading in text]
    parts += [
        f"**Errata:** [errors in the paper](errata.md#{anchor})\n"
        for paper, anchor in ERRATA.items()
        if paper in text.get("Source", "")
    ]
    return "\n".join(parts)


def parameters(constructor: Any, text: str) -> list[str]:
    """Return a row for each parameter, with the default of the signature."""
    defaults = inspect.signature(constructor).parameters
    rows = []
    for names, meaning in entries(text) if text else ():
        values = [defaults[name.strip()].default for name in names.split(",")]
        shown = ", ".join("null" if value is None else str(value) for value in values)
        rows.append(f"| `{names}` | `{shown}` | {meaning} |".replace("|p", "\\|p"))
    return rows


class Subject:
    """A loss late in training, asked what single images cost.

    Args:
        name: a key of `LOSSES`.
    """

    def __init__(self, name: str) -> None:
        torch.manual_seed(0)
        self.classes = load_entry(LOSSES[name]).num_classes or CLASSES
        classifier = nn.Linear(self.classes, self.classes)
        task = Task(
            self.classes,
            100,
            classifier,
            stage_channels=lambda stages: (1,) * len(stages),
            class_counts=tuple(100 - 10 * label for label in range(self.classes)),
            num_epochs=1,
        )
        self.loss = build_loss(name, task)
        head: Any = self.loss.make_head(task)
        if head is not classifier and head.out_features == self.classes:
            nn.init.eye_(head.weight)
        self.scale = self.loss.score_scale
        self.of_texts = self.loss.kind == "sequence"
        self.with_blank = head.out_features > self.classes
        self.one_score = head.out_features == 1
        one = torch.eye(3, head.out_features)[:1]
        self.lowest_wins = self.loss.predict(one[:, None] if self.of_texts else one).item() != 0
        for _ in range(WARM_UP):
            self.loss.terms(*self.batch(0.0))
        self.loss.on_epoch_end()

    def scores(self, margins: Tensor, label: int) -> Tensor:
        """Return scores in which the label leads the best wrong class by a margin.

        Shapes: [N] -> [N, K]; of texts [N, 1, K], a single step.
        """
        if self.one_score:
            return self.scale * margins[:, None]
        scores = torch.zeros(len(margins), self.classes + self.with_blank)
        scores[:, (label + 1) % self.classes] = 4.0
        scores[:, label] = 4.0 + margins
        scores = self.scale * (7.0 - scores if self.lowest_wins else scores)
        return scores[:, None] if self.of_texts else scores

    def batch(self, margin: float, label: int = 1) -> tuple[Outputs, Batch]:
        """Return the image and three companions, one of its class and two of another, and all their views."""
        views = self.loss.views
        half = 2 * views
        margins = torch.full((2 * half,), -2.0 if self.one_score else 2.0)
        margins[0] = margin
        other = (label + 1) % self.classes
        scores = torch.cat([self.scores(margins[:half], label), self.scores(margins[half:], other)])
        target: Any = torch.tensor([label, other]).repeat_interleave(half)
        if self.of_texts:
            target = Sequences.of(target[:, None])  # texts of one character
        maps = tuple(torch.zeros(2 * half, 1, 1, 1) for _ in self.loss.stages)
        features = scores if not self.one_score else torch.zeros(2 * half, self.classes)
        index = torch.arange(4).repeat_interleave(views)
        return Outputs(scores, features, maps), Batch(torch.zeros(2 * half, 1, 1, 1), target, index)

    def judged(self, margin: float, label: int = 1) -> float:
        """Return what `forward` gives for the image alone."""
        outputs, batch = self.batch(margin, label)
        return self.judge(outputs.scores, batch.target, slice(1))

    def judge(self, scores: Tensor, target: Any, rows: slice) -> float:
        """Return what the loss judges some rows of a batch by."""
        return copy.deepcopy(self.loss).eval()(scores[rows], rows_of(target, rows)).item()

    def trained(self, margin: float, label: int = 1) -> float:
        """Return what training minimises, without what the companions and the image's other views cost alone."""
        outputs, batch = self.batch(margin, label)
        views = self.loss.views
        others = [slice(1, views)] if views > 1 else []
        alone = sum(self.judge(outputs.scores, batch.target, rows) for rows in others) * (views - 1)

        def once(seed: int) -> float:
            return self.cost(seed, outputs, batch, 0) - self.cost(seed, outputs, batch, views) - alone

        few = [once(seed) for seed in range(FEW)]
        return few[0] if len(set(few)) == 1 else sum(map(once, range(DRAWS))) / DRAWS

    def cost(self, seed: int, outputs: Outputs, batch: Batch, first: int) -> float:
        """Return the sum that training minimises over a batch's rows from the first on."""
        torch.manual_seed(seed)
        outputs = Outputs(outputs.scores[first:], outputs.features[first:], tuple(m[first:] for m in outputs.stages))
        batch = Batch(batch.image[first:], rows_of(batch.target, slice(first, None)), batch.index[first:])
        return sum(copy.deepcopy(self.loss).terms(outputs, batch).values()).item() * len(batch.index)  # type: ignore


def rows_of(target: Any, rows: slice) -> Any:
    """Return the labels of some rows of a batch."""
    return Sequences(*(part[rows] for part in target)) if isinstance(target, Sequences) else target[rows]


@torch.no_grad()
def draw(name: str, path: Path) -> None:
    """Draw the penalty of an image against its margin."""
    subject = Subject(name)
    margins = torch.linspace(-8, 8, 33).tolist()
    figure = Figure(figsize=(4.6, 2.9), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    x = [subject.scale * margin for margin in margins]
    if subject.one_score:
        for label, colour in ((1, "#0072B2"), (0, "#D55E00")):
            values = [subject.judged(margin, label) for margin in margins]
            axes.plot(x, values, color=colour, label=f"{('first', 'second')[label]} class")
        axes.set_xlabel("score")
    else:
        _draw_margins(axes, subject, x, margins)
    axes.set_ylabel("loss")
    axes.set_title(name, fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    path.parent.mkdir(exist_ok=True)
    with atomic_file(path) as file:
        figure.savefig(file, format="png", metadata={"Software": None})


def _draw_margins(axes: Any, subject: Subject, x: list[float], margins: list[float]) -> None:
    trained = [subject.trained(margin) for margin in margins]
    judged = [subject.judged(margin) for margin in margins]
    if subject.scale == ClassificationLoss.score_scale:
        target = torch.ones(len(margins), dtype=torch.int64)
        scores = subject.scores(torch.tensor(margins), 1).flatten(1)
        plain = nn.functional.cross_entropy(scores, target, reduction="none")
        axes.plot(x, plain.tolist(), color="#bbbbbb", linewidth=3, label="cross entropy")
    if any(abs(a - b) > 1e-3 * max(map(abs, trained)) for a, b in zip(trained, judged, strict=True)):
        axes.plot(x, judged, color="#D55E00", linestyle="--", label="judged")
    axes.plot(x, trained, color="#0072B2", label="trained")
    side = "below" if subject.lowest_wins else "above"
    axes.set_xlabel(f"label's score {side} the best other's")


if __name__ == "__main__":
    main()

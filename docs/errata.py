"""Draw the figure of docs/errata.md: python docs/errata.py"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT) if __name__ == "__main__" else sys.path[0]

from losses.competing_ratio import CompetingRatioLoss  # noqa: E402 - the project's root must come first
from utils.files import atomic_file  # noqa: E402

FIGURE = ROOT / "docs" / "errata" / "crl_gradient.png"


def printed_factor(p: Tensor, alpha: float, beta: float) -> Tensor:
    """Return by how much eq. 14 of the CRL paper multiplies cross entropy's gradient. Shapes: [N] -> [N]."""
    return 1 - beta * p / (alpha + 1 - p)


def true_factor(p: Tensor, alpha: float, beta: float) -> Tensor:
    """Return the same factor of the loss itself, by automatic differentiation. Shapes: [N] -> [N].

    Of two classes with logits (s, 0) cross entropy's slope in s is p - 1.
    """
    scores = torch.stack([p.logit(), torch.zeros_like(p)], dim=1).requires_grad_()  # [N, 2]
    loss = CompetingRatioLoss(alpha=alpha, beta=beta)(scores, torch.zeros(len(p), dtype=torch.int64))
    (slope,) = torch.autograd.grad(loss * len(p), scores)
    return slope[:, 0] / (p - 1)


def draw(path: Path) -> None:
    """Draw both factors against the label's probability."""
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    p = torch.linspace(0.001, 0.999, 400, dtype=torch.float64)
    for beta, color in ((0.5, "tab:blue"), (1.0, "tab:orange"), (1.25, "tab:green")):
        axes.plot(p, true_factor(p, 1.5, beta), color=color, label=f"eq. 11, β = {beta:g}")
        axes.plot(
            p, printed_factor(p, 1.5, beta), color=color, linestyle="--", label=f"eq. 14 as printed, β = {beta:g}"
        )
    axes.axhline(1, color="grey", linewidth=1, label="cross entropy")
    axes.set(
        xlabel="probability of the label, $p_c$", ylabel="factor of the gradient $p - e_c$", xlim=(0, 1), ylim=(0, 2)
    )
    axes.legend(fontsize=8, loc="upper left")
    with atomic_file(path) as file:
        figure.savefig(file, format="png", dpi=120)


if __name__ == "__main__":
    draw(FIGURE)

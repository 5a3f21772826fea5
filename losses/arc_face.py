"""ArcFace: the label's angle must win by a margin."""

from __future__ import annotations

from torch import Tensor

from .contract import Task
from .cosine import CosineLoss, require_angle, wider


class ArcFaceLoss(CosineLoss):
    """Cross entropy of scaled cosines in which, in training, the label's angle is widened by a margin.

        L = -log(e^(s cos(theta_y + m)) / (e^(s cos(theta_y + m)) + sum_{j != y} e^(s cos(theta_j))))

    The last layer is linear without bias, its input and its rows scaled to length 1. Scores are logits; prediction is
    their argmax, judged without margin. margin = 0 is NormFace.

    Args:
        margin: m in radians, 0 to pi / 2. Paper: 0.5.
        scale: s, > 0. Paper: 64.

    Shapes: scores [N, K] float, target [N] int64 or [N, K] probabilities -> [N].
    Use: for features that are compared by cosine later, as of faces; the usual choice there.
    Raises: ValueError if a parameter is out of range; ParameterError if the architecture's last layer is not linear.
    Source: Deng et al. 2019, "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", arXiv:1801.07698,
        eq. 3.
    Deviations: where theta + m exceeds pi, cos(theta) - m sin(m) stands for the cosine, as in the authors' code, so
        that it never rises with the angle. Soft labels, on which the paper is silent, weigh the labels' losses.
    """

    def __init__(self, task: Task | None = None, *, margin: float = 0.5, scale: float = 64.0) -> None:
        super().__init__(task, scale)
        require_angle("margin", margin)
        self.margin = margin

    def label_cosines(self, cosine: Tensor, label: Tensor) -> Tensor:
        return wider(cosine, self.margin)

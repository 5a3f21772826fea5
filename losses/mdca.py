"""MDCA: in each batch a class's mean probability should be its share of the labels."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .base import as_probabilities, full_float, require
from .contract import Batch, Outputs, Task
from .wrapping import WrappingLoss


class MDCALoss(WrappingLoss):
    """Adds to another loss how far each class's mean probability is from its share of the batch's labels.

        L = base + beta / K sum_k |mean_i p_ik - mean_i q_ik|

    p are the base's probabilities, q the labels. Scores, judging, probabilities and prediction are the base's.
    beta = 0 is the base.

    Args:
        base: the loss that decodes. Paper: best with the focal loss.
        base_params: its hyperparameters.
        beta: weight of the distance, >= 0. Authors' code: 1; its commands 1 to 25.

    Shapes: scores and target as the base's -> scalar.
    Use: for networks whose probabilities should be right class by class.
    Raises: ValueError if beta is negative; ParameterError for a base that cannot be built.
    Source: Hebbalaguppe et al. 2022, "A Stitch in Time Saves Nine: A Train-Time Regularizing Loss for Improved Neural
        Network Calibration", arXiv:2203.13834.
    Deviations: none. On several devices each compares its own part of the batch.
    """

    def __init__(
        self,
        task: Task | None = None,
        *,
        base: str = "CrossEntropyLoss",
        base_params: dict[str, Any] | None = None,
        beta: float = 1.0,
    ) -> None:
        super().__init__(task, base, base_params)
        require("beta", beta, beta >= 0, ">= 0")
        self.beta = beta

    def added_terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        p, target = self.base.log_probabilities(full_float(outputs.scores)).exp(), batch.target
        if self.ignore_index is not None and target.ndim == 1:  # type: ignore
            p, target = p[target != self.ignore_index], target[target != self.ignore_index]  # type: ignore
        q = as_probabilities(target, p.shape[-1], p.dtype)  # type: ignore
        return {"calibration": self.beta * (p.mean(dim=0) - q.mean(dim=0)).abs().mean()}

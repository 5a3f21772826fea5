"""The weights that a run saves are those that it validated and tested, in whatever way they come about."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from predict import main as predict_main
from utils.evaluation.evaluating import evaluate
from utils.evaluation.subject import open_subject
from utils.runs import RunFolder
from utils.training import runner

pytestmark = pytest.mark.usefixtures("plain_log", "quiet_runs")
SMALL = {"classes": "[3,8,0,6]", "batch_size": 32}
MARGIN = {"loss_function": "AngularSoftmaxLoss", "ema_decay": 0.9}
RUNS = {
    "average of a margin loss": MARGIN,
    "average of a wrapped one": {
        "loss_function": "CenterLoss",
        "loss_params": "{base: LargeMarginSoftmaxLoss}",
        "ema_decay": 0.9,
    },
    "accumulated": MARGIN | {"accumulate_batches": 2},
}


def numbers(folder: RunFolder, part: str) -> dict[str, float]:
    """Return what evaluate.py finds of a part, as metrics.csv and summary.json name it."""
    record = evaluate(open_subject(folder.path, part), only=["classification", "calibration"], tell=lambda text: None)
    accuracy, nll = (record.evaluated[name].findings.numbers for name in ("classification", "calibration"))
    return {f"{part}/accuracy": accuracy["accuracy"], f"{part}/cross_entropy": nll["nll"]}


@pytest.mark.parametrize("changes", RUNS.values(), ids=RUNS)
def test_evaluated_again_they_give_the_recorded_numbers(quick, changes):
    folder, summary = runner.train(quick(**(SMALL | changes)))
    row = folder.read_metrics()[int(summary["selected_epoch"])]
    for recorded, part in ((row, "valid"), (summary, "test")):
        for name, value in numbers(folder, part).items():
            assert value == pytest.approx(recorded[name], rel=1e-6), name

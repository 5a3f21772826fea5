"""The runs of a sweep, one after the other in this process."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import train
from configuration.reading import read_configuration
from configuration.smoke import shrink
from datasets import load_data_set
from runs.identity import fingerprint
from sweeps import worker
from sweeps.cells import combinations, expand
from sweeps.description import describe, estimate
from sweeps.execution import raise_failures
from sweeps.jobs import Outcome, Shard
from tests.small_sweep import BASE, HERE, ended, read_sweep
from training import runner
from utils.types import TrainingError

pytestmark = pytest.mark.usefixtures("plain_log", "quiet_runs")

TEXT = BASE + "sweep: {grid: {loss_function: [CrossEntropyLoss, FocalLoss]}, seeds: 2}\n"


def states(capsys) -> list[str]:
    return [line.split(": ")[1].split()[0] for line in ended(capsys)]


def accuracies(folder: Path) -> dict[str, float]:
    found = (json.loads(path.read_text()) for path in folder.glob("output/*/summary.json"))
    return {each["fingerprint"]: each["test/accuracy"] for each in found}


def test_a_sweep_in_parts_stopped_between_two_runs_has_the_runs_that_each_has_by_itself(
    file, tmp_path, monkeypatch, capsys
):
    assert train.main([str(file), "--shard", "2/2"]) == 0
    assert [line.partition("loss_function=")[2].split("  ")[0] for line in ended(capsys)] == [
        "FocalLoss, seed=0",
        "FocalLoss, seed=1",
    ]
    first = accuracies(tmp_path)
    unhandled, places = [], iter([False, True])
    before = signal.signal(signal.SIGUSR1, lambda number, frame: unhandled.append(number))  # would end the tests
    try:
        with monkeypatch.context() as patch:
            patch.setattr(worker.gc, "collect", lambda: next(places) and signal.raise_signal(signal.SIGUSR1))
            assert train.main([str(file), *HERE]) == 75
        assert unhandled == []
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert states(capsys) == ["finished", "skipped"]
    assert train.main([str(file), *HERE]) == 0
    assert states(capsys) == ["skipped", "skipped", "finished", "skipped"]
    assert len(accuracies(tmp_path)) == 4
    assert first.items() <= accuracies(tmp_path).items()

    alone = read_configuration(str(file), ["sweep=null", "seed=1", "loss_function=FocalLoss"])
    (swept,) = (tmp_path / "output").glob("*FocalLoss-s1-*")
    folder, summary = runner.train(alone, fresh=True)
    assert folder.path.name == f"{swept.name}-2"
    assert summary["test/accuracy"] == json.loads((swept / "summary.json").read_text())["test/accuracy"]
    scores = [pq.read_table(path / "predictions.parquet")["scores"] for path in (swept, folder.path)]
    assert scores[0].equals(scores[1])


def test_a_failed_run_stops_no_other_and_is_named_at_the_end(file, capsys, monkeypatch):
    def train_one(config, *arguments, **options):
        if (config.loss_function, config.seed) == ("CrossEntropyLoss", 1):
            raise RuntimeError("out of memory\nand more")
        return real(config, *arguments, **options)

    real = runner.train
    monkeypatch.setattr("training.runner.train", train_one)
    assert train.main([str(file), "smoke=true", *HERE]) == 1
    captured = capsys.readouterr()
    assert "run 3 of 4: failed    loss_function=CrossEntropyLoss, seed=1: RuntimeError: out of memory" in captured.out
    assert "run 4 of 4: finished  loss_function=FocalLoss, seed=1" in captured.out
    assert captured.err.splitlines()[-2:] == [
        "1 of 4 runs failed:",
        "  loss_function=CrossEntropyLoss, seed=1: RuntimeError: out of memory",
    ]


def buggy(self, outputs, batch):
    return {"main": {}["gama"]}


def test_a_bug_is_named_once_where_it_ends_every_run_and_leaves_its_traceback(
    file, tmp_path, capsys, monkeypatch, caplog
):
    monkeypatch.setattr("losses.base.ClassificationLoss.terms", buggy)
    assert train.main([str(file), "smoke=true", "seed=0", *HERE]) == 1
    place = f"tests/sweeps/test_sweep_running.py:{buggy.__code__.co_firstlineno + 1}"
    expected = f"a bug, KeyError: 'gama' ({place}; traceback in {tmp_path}/logs/lossbench.log)"
    assert capsys.readouterr().err.splitlines()[-1] == f"all 2 runs failed for the same reason: {expected}"
    bugs = [record for record in caplog.records if record.levelname == "CRITICAL"]
    assert [type(record.exc_info[1]) for record in bugs if record.exc_info] == [KeyError] * 2


@pytest.mark.parametrize(
    ("failed", "message"),
    [
        ([("a", "no data"), ("b", "died"), ("c", "no data")], "3 of 4 runs failed:\n  a; c: no data\n  b: died"),
        ([(str(n), "a bug") for n in range(1000)], "all 1,000 runs failed for the same reason: a bug"),
    ],
)
def test_runs_that_failed_are_named_together_by_the_reason(failed, message):
    outcomes = [Outcome(name, "failed", reason=reason) for name, reason in failed]
    finished = [Outcome("d", "finished")] * (len(failed) == 3)
    with pytest.raises(TrainingError) as failure:
        raise_failures([*outcomes, *finished], len(failed) + len(finished))
    assert str(failure.value) == message


CHAINS = ("[{OneCycleLR: {max_lr: 0.1}}, {CosineWarmupRestarts: {}}]", "[{OneCycleLR: {}}, {StepLR: {}}]")
SCHEDULES = ", ".join(f"{{schedulers: {parts}, milestones: [1]}}" for parts in CHAINS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        *(
            ([f"--shard={text}"], "--shard: must be i/n, the i-th of n parts, 1 <= i <= n")
            for text in ("0/2", "3/2", "2", "a/b", "1/2/3", "-1/2")
        ),
        (["sweep=null", "--shard=1/2"], "--shard: there is one run only"),
        (["devices=2", *HERE], "devices: runs of a sweep take one device each"),
        (
            ["sweep.search={ranges: {dropout: {uniform: [0, 0.5]}}}", *HERE],
            "sweep.search: its trials learn from one another: leave --shard out",
        ),
        (["loss_params.gamma=3"], "2 of 4 runs cannot be trained: loss_params.gamma: unknown parameter"),
        (
            ["lr_scheduler=SequentialLR", f"sweep.grid={{lr_scheduler_params: [{SCHEDULES}]}}"],
            "2 of 4 runs cannot be trained: lr_scheduler_params.schedulers: OneCycleLR counts optimizer steps, StepLR",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_before_any_run(file, tmp_path, capsys, words, message):
    assert train.main([str(file), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize("total", [1, 5, 12])
@pytest.mark.parametrize("parts", [1, 2, 5, 7])
def test_every_run_is_in_exactly_one_part(total, parts):
    found = [run for number in range(1, parts + 1) for run in Shard(number, parts).of(range(total))]
    assert sorted(found) == list(range(total))


def test_check_counts_names_and_weighs_the_runs(file, tmp_path, capsys):
    assert train.main([str(file), "--check", "architecture=resnet10t", "image_size=32"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["4 runs", "  loss_function=CrossEntropyLoss, seed=0"]
    assert lines[5].startswith("2 seeds show a difference of ")
    assert lines[6:9] == ["varied", "  seed: 0 | 1", "  loss_function: CrossEntropyLoss | FocalLoss"]
    assert lines[9].startswith("cost: about ")
    assert not (tmp_path / "output").exists()


def test_cost_is_epochs_times_images_times_views_times_multiply_adds_times_three(file):
    changes = ["architecture=resnet34_cifar", "image_size=16", "dataset=cifar10", "select_on=test", "num_epochs=7"]
    cost = estimate(read_sweep(file, *changes), [(0, 0), (0, 1)]).multiply_adds
    assert cost == pytest.approx(2 * 3 * 7 * 50_000 * 1_159_909_376 / 4)
    views = ["loss_function=LossTransform", "loss_params.views=4", "sweep.seeds=1", "select_on=valid"]
    held_out = estimate(read_sweep(file, *changes, *views), [(0,)]).multiply_adds
    assert held_out == pytest.approx(4 * 0.9 * cost / 2)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            ["dataset=image_folder", "architecture_params.width=8"],
            "cost: not known: the data's size is not known (image_folder); "
            "the network was not counted (test_resnet of width 8)",
        ),
        (
            ["sweep.grid={dataset: [digits, image_folder, csv]}"],
            "; without 2 runs of unknown cost: the data's size is not known (image_folder, csv)",
        ),
    ],
)
def test_unknown_costs_are_counted_with_the_reason(file, changes, text):
    sweep = read_sweep(file, "sweep.seeds=1", *changes)
    assert estimate(sweep, combinations(sweep)).text.endswith(text)


def test_what_the_command_line_takes_from_the_grid_is_told(tmp_path):
    file = tmp_path / "sweep.yml"
    file.write_text(
        "dataset: digits\nsweep:\n  grid:\n    loss:\n      - {name: a, loss_function: FocalLoss}\n"
        "      - {name: b, loss_function: HingeLoss}\n      - {name: c, loss_function: HingeLoss, dropout: 0.5}\n"
        "    batch_size: [4, 8]\n  seeds: 2\n"
    )
    assert "command line" not in describe(read_sweep(file), Shard())
    assert describe(read_sweep(file, "batch_size=8", "seed=5"), Shard()).splitlines()[:3] == [
        "3 runs",
        "seed: not varied, as the command line sets seed",
        "batch_size: not varied, as the command line sets batch_size",
    ]
    line = describe(read_sweep(file, "loss_function=MSELoss"), Shard()).splitlines()[1]
    assert line == "loss: 1 of 3 are left, as the command line sets loss_function"


def test_smoke_is_another_run_and_changes_nothing_when_false(quick, file):
    plain, smoke = quick(), quick(smoke="true")
    assert plain.values() == quick(smoke="false").values()
    assert smoke.values(without={"smoke"}) != plain.values(without={"smoke"})
    cells = expand(read_sweep(file, "smoke=true", "sweep.grid={dataset: [cifar10, cifar100]}"))
    configurations = [plain, smoke, *(cell.config for cell in cells)]
    assert len({fingerprint(config, "x") for config in configurations}) == 2 + 4


def test_smoke_keeps_all_but_size_length_data_and_weights(quick):
    augmentations = "{RandomCrop: {size: [224, 112], padding: 4}, RandomHorizontalFlip: {}}"
    full = {"dataset": "cifar100", "image_size": "[256, 128]", "num_epochs": 300, "batch_size": 128}
    full |= {"pretrained": "true", "image_augmentations": augmentations, "mixing": "CutMix"}
    plain, smoke = quick(**full), quick(**full, smoke="true")
    changed = {key for key, value in plain.values().items() if smoke.values()[key] != value}
    assert changed == {
        *("dataset", "data_params", "image_size", "image_augmentations", "batch_size", "num_epochs", "pretrained"),
        *("gradient_clip_norm", "smoke"),
    }
    assert [quick(smoke="true", gradient_clip_norm=norm).gradient_clip_norm for norm in (0.5, 5)] == [0.5, 1]
    assert (smoke.dataset, smoke.data_params) == ("made_up", {"like": "cifar100"})
    assert (smoke.image_size, smoke.batch_size, smoke.num_epochs) == ([32, 16], 16, 2)
    assert smoke.image_augmentations == {"RandomCrop": {"size": [28, 14], "padding": 1}, "RandomHorizontalFlip": {}}
    assert shrink(smoke) == smoke


@pytest.mark.parametrize(("kept", "expected"), [("[0, 3, 5]", [0]), ("all", "all"), ("null", None)])
def test_smoke_keeps_no_epoch_that_it_does_not_reach(quick, kept, expected):
    assert shrink(quick(smoke="true", num_epochs=6, keep_epochs=kept)).keep_epochs == expected


def test_smoke_of_texts_keeps_the_size_of_plates_and_gives_texts(quick):
    config = quick(dataset="ccpd", image_size="[24, 94]", crop_to_bboxes="all", smoke="true")
    assert (config.dataset, config.data_params, config.size) == ("made_up", {"like": "ccpd"}, (24, 94))
    data = load_data_set(config)
    assert (data.kind, len(data.classes), data.train.labels.shape) == ("sequence", 10, (40, 5))
    assert data.train.size(0) == (24, 94)

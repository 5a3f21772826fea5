"""The runs of a sweep in MLflow: one parent, however often and in however many processes they are run."""

from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

import train
from configuration.reading import read_configuration
from evaluation.catalogue import NAME_CHECKS
from runs.identity import fingerprint
from sweeps import execution
from sweeps.cells import expand, load_sweep
from sweeps.family import family_of, family_of_sweep
from sweeps.jobs import Outcome
from sweeps.mistakes import find_mistakes
from tracking import build_trackers, close_family, open_family
from tracking.base import TrackedRun
from tracking.dashboard import addresses
from tracking.family import Family, Results
from tracking.mlflow_sweeps import open_parent
from training import runner
from utils.signals import Interrupted
from utils.types import ConfigError

pytestmark = pytest.mark.usefixtures("plain_log")

CONFIG = partial(SimpleNamespace, mlflow_uri=None, experiment_name="e")
FAMILY = Family("e", "mine-0", varied={"seed": "0 | 1", "optimizer_params.lr": "0.1", "loss": "A | B"}, num_runs=4)
ROOT = Path(__file__).resolve().parents[2]
HERE = ("--shard", "1/1")
"""All runs, one after the other in this process."""
TEXT = """\
dataset: digits
convert_to_grayscale: true
image_size: null
architecture: test_resnet
num_epochs: 1
accelerator: cpu
smoke: true
sweep:
  grid:
    loss_function: [CrossEntropyLoss, FocalLoss]
"""


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """Pictures take longer than training here and have tests of their own."""
    monkeypatch.setattr("training.report.draw_results", lambda *arguments, **options: None)
    monkeypatch.setattr("training.report.draw_augmentations", lambda *arguments: None)
    monkeypatch.setattr("utils.logs.configure", lambda *args, **kwargs: None)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """A store's tables, which take seconds to create."""
    output = tmp_path_factory.mktemp("store")
    open_family(["mlflow"], FAMILY, CONFIG(output_path=str(output)))
    return output / "mlflow.db"


@pytest.fixture
def file(tmp_path, empty_store) -> Path:
    (tmp_path / "output").mkdir()
    shutil.copy(empty_store, tmp_path / "output")
    path = tmp_path / "two losses.yml"
    path.write_text(f"output_path: {tmp_path}/output\nlogging_dir: {tmp_path}/logs\n{TEXT}")
    return path


def read(file: Path | str, *changes: str):
    return load_sweep(read_configuration(str(file), changes, NAME_CHECKS, find_mistakes))


def stored(output: Path, experiment: str = "lossbench"):
    """Return the runs that stand for sweeps, and the others."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{output}/mlflow.db")
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    runs = list(client.search_runs([found.experiment_id]))
    parents = [run for run in runs if "sweep_parent" in run.data.tags]
    return parents, [run for run in runs if run not in parents]


def test_runs_of_a_sweep_are_children_of_one_run_also_when_it_is_resumed(file, tmp_path, capsys):
    assert train.main([str(file), *HERE]) == 0
    parents, children = stored(tmp_path / "output")
    (parent,) = parents
    name = parent.data.tags["sweep"]
    assert name.startswith("two_losses-")
    assert parent.info.status == "FINISHED"
    assert parent.data.params == {"loss_function": "CrossEntropyLoss | FocalLoss"}
    assert parent.data.metrics == {"runs/all": 2, "runs/finished": 2, "runs/failed": 0}
    assert {
        (run.data.tags["cell"], run.data.tags["sweep"], run.data.tags["mlflow.parentRunId"]) for run in children
    } == {
        ("loss_function=CrossEntropyLoss", name, parent.info.run_id),
        ("loss_function=FocalLoss", name, parent.info.run_id),
    }
    assert not {"paper", "table"} & parent.data.tags.keys()
    assert capsys.readouterr().out.splitlines()[-1].endswith(f", which prints the address of sweep {name}")
    assert train.main([str(file), "sweep.seeds=[0, 1]", *HERE]) == 0  # the one that it had was of seed 0
    (parent,), children = stored(tmp_path / "output")
    assert (parent.info.run_name, parent.info.status) == (name, "FINISHED")
    assert parent.data.metrics == {"runs/all": 4, "runs/finished": 4, "runs/failed": 0}
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert len(children) == 4


def test_a_single_run_has_no_parent_until_a_sweep_has_it(file, tmp_path, monkeypatch):
    alone = read_configuration(str(file), ["sweep=null", "loss_function=FocalLoss"])
    runner.train(alone)
    parents, (run,) = stored(tmp_path / "output")
    assert parents == []
    assert not {"mlflow.parentRunId", "sweep", "cell"} & run.data.tags.keys()
    trained = []
    real = runner._train
    monkeypatch.setattr("training.runner._train", lambda *given: trained.append(given) or real(*given))
    assert train.main([str(file), *HERE]) == 0
    assert len(trained) == 1
    (parent,), children = stored(tmp_path / "output")
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}


@pytest.mark.torture
def test_two_parts_in_two_processes_at_once_make_one_parent(file, tmp_path):
    command = [sys.executable, "train.py", str(file), "--shard"]
    parts = [subprocess.Popen([*command, f"{n}/2"], cwd=ROOT, stdout=subprocess.DEVNULL) for n in (1, 2)]
    assert [part.wait(timeout=240) for part in parts] == [0, 0]
    (parent,), children = stored(tmp_path / "output")
    assert (parent.info.status, parent.data.metrics["runs/finished"]) == ("FINISHED", 2)
    assert [run.data.tags["mlflow.parentRunId"] for run in children] == [parent.info.run_id] * 2


@pytest.mark.parametrize(
    ("error", "status", "failed"), [(RuntimeError("no"), "FAILED", 1), (Interrupted("SIGTERM", "", ""), "SCHEDULED", 0)]
)
def test_a_sweep_that_is_not_finished_says_so(file, tmp_path, monkeypatch, error, status, failed):
    real = runner.train

    def fails_once(config, fresh=False, family=None, callbacks=(), **more):
        if config.loss_function == "FocalLoss":
            raise error
        return real(config, fresh, family, callbacks, **more)

    monkeypatch.setattr("training.runner.train", fails_once)
    assert train.main([str(file), *HERE]) > 0
    (parent,), _ = stored(tmp_path / "output")
    assert parent.info.status == status
    assert parent.data.metrics == {"runs/all": 2, "runs/finished": 1, "runs/failed": failed}
    monkeypatch.setattr("training.runner.train", real)
    assert train.main([str(file), *HERE]) == 0
    (parent,), _ = stored(tmp_path / "output")
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics == {"runs/all": 2, "runs/finished": 2, "runs/failed": 0}


def test_a_run_at_work_elsewhere_keeps_its_sweep_running(file, tmp_path):
    config = CONFIG(output_path=str(tmp_path / "output"))
    mine = Family("e", "other-1", num_runs=2, cell="there")
    open_family(["mlflow"], mine, config)
    (tmp_path / "there").mkdir()
    (tracker,) = build_trackers(["mlflow"], TrackedRun(tmp_path / "there", "there", {}, mine.tags, family=mine), config)
    for status, finished in {"RUNNING": 1, "FINISHED": 2}.items():
        close_family(["mlflow"], mine, config, Results({"here": "no such folder"}))
        parent = next(each for each in stored(tmp_path / "output", "e")[0] if each.info.run_name == "other-1")
        assert (parent.info.status, parent.data.metrics["runs/finished"]) == (status, finished)
        tracker.finalize("success")


def test_a_parent_is_created_once_however_many_ask_for_it_at_once(file, tmp_path):
    config = CONFIG(output_path=str(tmp_path / "output"))
    family = Family("e", "other-1", num_runs=2)
    with ThreadPoolExecutor(4) as pool:
        shown = list(pool.map(lambda _: open_parent(family, config), range(8)))
    assert len(set(shown)) == 1
    assert [run.info.run_name for run in stored(tmp_path / "output", "e")[0]].count("other-1") == 1


def test_the_driver_opens_a_store_before_any_run(file, tmp_path, monkeypatch):
    monkeypatch.setattr(execution, "run_cell", lambda cell, fresh: found.append(stored(tmp_path / "output")) or outcome)
    outcome = Outcome("a run", "failed")
    found = []
    assert train.main([str(file), *HERE]) == 1
    assert [len(parents) for parents, _ in found] == [1, 1]


def test_a_server_that_does_not_answer_costs_one_warning(tmp_path):
    config = CONFIG(output_path=str(tmp_path), mlflow_uri="http://127.0.0.1:9")
    with pytest.warns(UserWarning, match="^mlflow: ") as caught:
        assert open_family(["mlflow", "tensorboard"], FAMILY, config) == {"tensorboard": None}
    assert len(caught) == 1


# ------------------------------------------------------------------------------------------------- what a family is


def test_a_family_travels_to_other_processes_and_changes_no_fingerprint(file):
    sweep = read(file)
    cells = list(expand(sweep))
    families = [family_of(cell) for cell in cells]
    assert pickle.loads(pickle.dumps(families)) == families
    assert [family.cell for family in families] == [cell.name for cell in cells]
    alone = read_configuration(str(file), ["sweep=null", "loss_function=FocalLoss"])
    assert fingerprint(cells[1].config, "x") == fingerprint(alone, "x")


def test_the_same_sweep_keeps_its_name_and_another_has_another(file):
    name = family_of_sweep(read(file)).name
    for change in ("sweep.seeds=5", "num_workers=0", "notes=more", "sweep.grid.dropout=[0.1, 0.2]"):
        assert family_of_sweep(read(file, change)).name == name
    for change in ("num_epochs=2", "smoke=false"):
        assert family_of_sweep(read(file, change)).name != name


def test_a_family_holds_no_secret(file):
    secret = "marked-secret-0123456789"
    with pytest.raises(ConfigError, match=r"neptune_api_token\.0: may hold a secret and cannot vary"):
        read(file, f"sweep.grid={{neptune_api_token: [{secret}, other]}}")
    family = family_of_sweep(read(file, "num_epochs=2"))
    family = dataclasses.replace(family, varied={**family.varied, "neptune_api_token": secret})
    assert secret not in str(family.without_secrets())
    assert family.without_secrets().varied == {"loss_function": "CrossEntropyLoss | FocalLoss", "num_epochs": "2"}


def test_runs_of_a_recipe_know_their_paper_and_table():
    family = family_of(next(expand(read(ROOT / "experiments" / "osm_table5.yml", "smoke=true"))))
    assert family.experiment == "osm_table5"
    assert family.name.startswith("osm_table5-")
    assert family.tags == {
        "sweep": family.name,
        "paper": "OSM paper, arXiv:2206.01002",
        "table": "osm_5",
        "cell": "data=CIFAR-10, network=VGG16 (32 px), loss=OSM, seed=0",
    }
    assert family.varied["smoke"] == "true"
    assert family.num_runs == 225


# ----------------------------------------------------------------------------------------------------- what is shown


def test_the_dashboard_has_a_table_of_each_sweep(empty_store):
    from mlflow.tracking import MlflowClient

    address = "/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey="
    shown = open_family(["mlflow"], FAMILY, CONFIG(output_path=str(empty_store.parent)))
    assert shown == {"mlflow": f"make dashboard OUTPUT={empty_store.parent}, which prints the address of sweep mine-0"}
    experiment = MlflowClient(f"sqlite:///{empty_store}").get_experiment_by_name("e")
    assert experiment is not None
    view = json.loads(experiment.tags["mlflow.sharedViewState.mine-0"])
    assert view["searchFilter"] == "tags.sweep = 'mine-0' and tags.cell LIKE '%'"
    assert view["columnOrder"] == view["selectedColumns"]
    assert view["selectedColumns"][:2] == ["tags.`cell`", "metrics.`test/accuracy`"]
    assert "params.`optimizer_params.lr`" in view["selectedColumns"]
    assert "params.`loss`" not in view["selectedColumns"]
    assert list(addresses(str(empty_store.parent), "http://127.0.0.1:8")) == [
        f"all runs of e\n  http://127.0.0.1:8{address}lossbench",
        f"sweep mine-0\n  http://127.0.0.1:8{address}mine-0",
    ]


def test_a_part_that_is_done_leaves_its_sweep_waiting_for_the_others(file, tmp_path):
    assert train.main([str(file), "--shard", "1/2"]) == 0
    (parent,), _ = stored(tmp_path / "output")
    assert parent.info.status == "SCHEDULED"
    assert train.main([str(file), "--shard", "2/2"]) == 0
    (parent,), _ = stored(tmp_path / "output")
    assert parent.info.status == "FINISHED"


def test_trials_that_were_given_up_are_ends_like_others(file, tmp_path, monkeypatch):
    def give_up_one(cell, fresh=False):
        outcome = real(cell, fresh)
        return Outcome(cell.name, "pruned", reason="worse") if "FocalLoss" in cell.name else outcome

    real = execution.run_cell
    monkeypatch.setattr("sweeps.execution.run_cell", give_up_one)
    assert train.main([str(file), *HERE]) == 0
    (parent,), _ = stored(tmp_path / "output")
    assert parent.info.status == "FINISHED"

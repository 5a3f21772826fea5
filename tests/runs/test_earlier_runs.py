"""Runs that the code of before left, without a record of their code: they open, stay finished and go on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import compare
import evaluate
import predict
import train
from configuration.reading import read_configuration
from evaluation.catalogue import NAME_CHECKS
from runs.code import code_of
from runs.folder import RunFolder, possible_folders, run_folder
from training import runner

pytestmark = pytest.mark.usefixtures("plain_log", "quiet_runs")

RUNS = Path(__file__).with_name("earlier_runs")
FINISHED = "digits-densenet_bc_cifar-LabelSmoothingCrossEntropy-s0-51a7a5db7e"
INTERRUPTED = "digits-densenet_bc_cifar-LabelSmoothingCrossEntropy-s1-cd7940c2aa"


@pytest.fixture
def output(tmp_path, monkeypatch) -> Path:
    """A copy of the runs, in a folder in which a user stands."""
    shutil.copytree(RUNS, tmp_path / "output")
    search = (tmp_path / "output" / "search.yml").rename(tmp_path / "search.yml")
    search.write_text(search.read_text() + "channels_last: false  # the default of then\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "output"


def config_of(folder: Path, *changes: str):
    return read_configuration(str(folder / "config.yml"), ["output_path=output", *changes], NAME_CHECKS)


def test_a_finished_run_stays_finished_and_says_that_its_code_is_not_recorded(output, caplog):
    before = {path: path.read_bytes() for path in (output / FINISHED).rglob("*") if path.is_file()}
    folder, summary = runner.train(config_of(output / FINISHED))
    assert folder.path.name == FINISHED
    assert summary["test/accuracy"] == json.loads((output / FINISHED / "summary.json").read_text())["test/accuracy"]
    assert {path: path.read_bytes() for path in before} == before
    told = [record.getMessage() for record in caplog.records]
    assert sum("its code was not recorded" in line for line in told) == 1
    assert f"the same run lies in output/{FINISHED}" in told


def test_it_is_trained_anew_beside_itself_and_then_that_one_counts(output):
    config = config_of(output / FINISHED)
    data = RunFolder(output / FINISHED).read_environment()["data_fingerprint"]
    anew = run_folder(config, data, fresh=True)
    assert anew.path.name == f"{FINISHED}-2"
    shutil.copytree(output / FINISHED, anew.path)
    assert run_folder(config, data) == anew


def test_an_interrupted_run_goes_on_and_records_that_its_first_code_is_not_known(output):
    folder, summary = runner.train(config_of(output / INTERRUPTED))
    assert folder.path.name == INTERRUPTED
    assert summary["epochs_run"] == 6
    code = folder.read_environment()["code"]
    assert code["losses/label_smoothing.py"].startswith("?+")


def test_a_renamed_run_is_found(output, caplog):
    (output / FINISHED).rename(output / "my_best_run")
    folder, _ = runner.train(config_of(output / "my_best_run"))
    assert folder.path == Path("output/my_best_run")
    assert "the same run lies in output/my_best_run" in caplog.text
    assert folder in set(possible_folders(config_of(output / "my_best_run")))
    other, _ = runner.train(config_of(output / "my_best_run", "seed=3", "num_epochs=1"))
    assert other.path != folder.path


def test_it_is_evaluated_predicted_and_compared(output, capsys):
    recorded = json.loads((output / FINISHED / "summary.json").read_text())
    assert evaluate.main([f"output/{FINISHED}", "--only", "classification"]) == 0
    assert f"{100 * recorded['test/accuracy']:.2f} %" in capsys.readouterr().out
    from PIL import Image

    Image.new("L", (16, 16), 128).save("picture.png")
    assert predict.main(["--run", f"output/{FINISHED}", "picture.png"]) == 0
    assert "picture.png" in capsys.readouterr().out
    assert compare.main(["output"]) == 0
    assert f"{100 * recorded['test/accuracy']:.2f} (1)" in capsys.readouterr().out


def test_a_search_of_before_is_finished(output, capsys):
    assert compare.main(["search.yml"]) == 0
    assert "2 runs in 1 group" in capsys.readouterr().out
    journal = (output / "searches.log").read_bytes()
    before = sorted(path.name for path in output.iterdir())
    assert train.main(["search.yml"]) == 0
    said = capsys.readouterr().out
    assert "3 existing runs do not record their code" in said
    assert "training run" not in said
    assert "best of CrossEntropyLoss: optimizer_params.lr=" in said
    assert [name for name in sorted(path.name for path in output.iterdir()) if name not in before] == []
    added = (output / "searches.log").read_bytes().removeprefix(journal)
    assert b"CrossEntropyLoss " not in added.replace(b"CrossEntropyLoss dc1065f803", b"")  # no study was begun


def test_the_nearest_run_is_one_of_before(output):
    told = runner.check(config_of(output / FINISHED, "batch_size=64"))
    assert f"the nearest one, output/{FINISHED} (finished), differs in: batch_size 128 -> 64" in told


def test_a_search_whose_trials_are_of_other_code_is_kept_or_made_elsewhere(output, capsys):
    for path in output.glob("*-CrossEntropyLoss-*"):
        folder = RunFolder(path)
        code = code_of(config_of(path)) | {"losses/torch_losses.py": "0" * 12}
        folder.environment.write_text(json.dumps(folder.read_environment() | {"code": code}))
    before = sorted(path.name for path in output.iterdir())
    for option in ((), ("--changed-code", "retrain")):
        assert train.main(["search.yml", *option]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert "3 of 3 existing runs were trained by other code than is here now" in lines[0]
        assert lines[1].startswith("  losses/torch_losses.py: loss_function=CrossEntropyLoss, seed=")
        assert lines[2].startswith("  --changed-code keep ")
        assert lines[3:] == ["  another output_path searches again"]
    assert train.main(["search.yml", "--changed-code", "keep"]) == 0
    assert sorted(path.name for path in output.iterdir()) == before

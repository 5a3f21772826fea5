"""The data of a sweep's runs: missing data is told once, before any run, unless no run needs it any more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import train
from configuration.reading import read_configuration
from configuration.schema import Configuration
from datasets import load_data_set
from sweeps import data as sweep_data
from sweeps.cells import Sweep
from sweeps.checks import check_data, check_parameters, check_together
from sweeps.data import SweepData
from sweeps.description import describe
from sweeps.jobs import Shard
from sweeps.search import SearchJobs
from sweeps.worker import train_cell
from tests.small_sweep import HERE, ended, read_sweep
from training import networks
from utils.types import ConfigError, DataError

pytestmark = pytest.mark.usefixtures("plain_log", "no_processes", "quiet_runs")

MISSING = "{folder}: no folder train; expected data_path/train/<class>/<image> and data_path/test/<class>/<image>, "
TEXT = """\
dataset: image_folder
image_size: 16
architecture: test_resnet
num_epochs: 1
batch_size: 4
num_workers: 0
cache: none
trackers: []
accelerator: cpu
sweep: {grid: {loss_function: [CrossEntropyLoss, FocalLoss]}}
"""


@pytest.fixture
def file(file, tmp_path) -> Path:
    file.write_text(f"data_path: {tmp_path}/data\n{file.read_text()}")
    return file


@pytest.fixture
def images(tmp_path) -> Path:
    """Folder of 2 classes with 8 training and 2 test images each."""
    random = np.random.default_rng(0)
    for part, count in (("train", 8), ("test", 2)):
        for name in ("cats", "dogs"):
            folder = tmp_path / "data" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "data"


def checked(sweep: Sweep) -> SweepData:
    data = SweepData()
    check_data(sweep, data)
    return data


def told(sweep: Sweep) -> list[str]:
    with pytest.raises(ConfigError) as error:
        checked(sweep)
    return str(error.value).splitlines()


@pytest.mark.parametrize("words", [("--check",), HERE, ()], ids=["check", "shard", "ray"])
def test_missing_data_is_told_once_in_the_words_of_a_run_and_nothing_is_written(file, tmp_path, capsys, words):
    assert train.main([str(file), "sweep=null", f"output_path={tmp_path}/alone", "--check"]) == 2
    alone = capsys.readouterr().err
    assert alone.startswith(MISSING.format(folder=tmp_path / "data"))
    before = set(tmp_path.rglob("*"))
    assert train.main([str(file), *words]) == 2
    captured = capsys.readouterr()
    assert captured.err == alone
    assert captured.out.startswith("2 runs\n") == (words == ("--check",))  # a plan can be made without data
    assert set(tmp_path.rglob("*")) == before


def test_missing_data_of_some_runs_is_told_with_their_names_and_the_rule_that_leaves_them_out(file, tmp_path):
    grid = "sweep.grid={dataset: [made_up, image_folder], batch_size: [4, 8]}"
    line, names, rule = told(read_sweep(file, grid))
    said = line.partition("sweep.grid: ")[2]
    assert said.startswith(f"2 of 4 runs cannot be trained: {MISSING.format(folder=tmp_path / 'data')}")
    assert names == "  dataset=image_folder, batch_size=4; dataset=image_folder, batch_size=8"
    assert rule == "  to leave them out, exclude: [{dataset: image_folder}]"
    checked(read_sweep(file, grid, "sweep.exclude=[{dataset: image_folder}]"))


def test_finished_runs_are_told_also_when_their_data_is_gone(file, images, tmp_path, capsys):
    assert train.main([str(file), *HERE]) == 0
    done = ended(capsys)
    assert len(done) == 2
    images.rename(tmp_path / "elsewhere")
    for words in ((), HERE):
        assert train.main([str(file), *words]) == 0
        assert ended(capsys) == [line.replace(": finished", ": skipped ") for line in done]
    assert train.main([str(file), "--check"]) == 0
    grid = "sweep.grid={loss_function: [CrossEntropyLoss, FocalLoss], dataset: [image_folder, made_up]}"
    checked(read_sweep(file, grid))
    for words in (("--fresh",), ("sweep.seeds=2",), (f"data_path={tmp_path}/nowhere",), ("batch_size=8",)):
        capsys.readouterr()
        assert train.main([str(file), *words, *HERE]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    (tmp_path / "elsewhere").rename(images)
    assert train.main([str(file), *HERE]) == 0
    assert ended(capsys) == [line.replace(": finished", ": skipped ") for line in done]


def test_a_finished_search_is_told_also_when_its_data_is_gone(file, images, tmp_path, capsys):
    words = ["sweep.grid=null", "sweep.seeds=2", "sweep.search={ranges: {dropout: {uniform: [0, 0.5]}}, trials: 2}"]
    sweep = read_sweep(file, *words)
    jobs = SearchJobs(sweep)
    for left in (3, 2, 1):
        if left == 1:
            images.rename(tmp_path / "elsewhere")
            assert train.main([str(file), *words, "--check"]) == 2  # a run with the best values is still to be done
            (tmp_path / "elsewhere").rename(images)
        job = jobs.next()
        assert job is not None
        jobs.end(job, train_cell(job.cell(sweep)))
    images.rename(tmp_path / "elsewhere")
    capsys.readouterr()
    assert train.main([str(file), *words]) == 0
    assert capsys.readouterr().out.splitlines()[2:] == jobs.findings()
    assert train.main([str(file), *words, "sweep.search.trials=3"]) == 2


def test_what_is_wrong_with_the_data_is_told_before_any_run(file, images, tmp_path):
    (line,) = told(read_sweep(file, "classes=[cats, wolves]"))
    assert line.startswith("command line: classes: ")
    assert "wolves" in line
    np.save(tmp_path / "few.npy", np.zeros(7, dtype=np.int64))
    (line,) = told(read_sweep(file, "dataset=digits", f"noisy_labels={tmp_path}/few.npy", "data_path=null"))
    assert line.startswith("command line: noisy_labels: ")
    assert "few.npy" in line
    (images / "test" / "birds").mkdir()
    (images / "test" / "birds" / "0.png").write_bytes((images / "test" / "cats" / "0.png").read_bytes())
    with pytest.raises(DataError) as alone:
        load_data_set(read_configuration(str(file), ["sweep=null"]))
    assert told(read_sweep(file)) == str(alone.value).splitlines()  # all of its lines


def test_losses_and_networks_for_something_else_than_the_data_are_told_with_the_rule(file):
    axes = "{architecture: [test_resnet, lprnet_small], loss_function: [CrossEntropyLoss, ConnectionistTemporalLoss]}"
    changes = ["dataset=digits", "data_path=null", "sweep.seeds=1", f"sweep.grid={axes}"]
    loss, _, loss_rule, network, _, network_rule = told(read_sweep(file, *changes))
    said = "2 of 4 runs cannot be trained: "
    assert loss.endswith(f"{said}loss_function: ConnectionistTemporalLoss judges sequences, digits holds images")
    assert loss_rule == "  to leave them out, exclude: [{loss_function: ConnectionistTemporalLoss}]"
    assert network.endswith(f"{said}architecture: lprnet_small is for sequences, digits holds images")
    assert network_rule == "  to leave them out, exclude: [{architecture: lprnet_small}]"


def test_images_that_networks_cannot_take_are_told_before_any_run(file, images):
    axes = "{architecture: [test_resnet, inception_v3, nllr_net], image_size: [null, 32, [8, 75]]}"
    first, names, rule = told(read_sweep(file, "sweep.seeds=1", f"sweep.grid={axes}"))
    assert "4 of 9 runs cannot be trained: image_size: inception_v3 cannot take 16x16 images: " in first
    assert "; image_size: inception_v3 cannot take 32x32 images: " in first
    assert "nllr_net, image_size=[8, 75]" not in names
    assert names.endswith("; and 1 more")
    assert rule == (
        "  to leave them out, exclude: [{architecture: inception_v3, image_size: [null, 32, [8, 75]]}, "
        "{architecture: nllr_net, image_size: [8, 75]}]"
    )


def test_each_network_is_shown_each_size_once(file, monkeypatch):
    seen = []
    monkeypatch.setattr(
        networks, "network_problems", lambda config, size: seen.append((config.architecture, size)) or []
    )
    axes = "{architecture: [test_resnet, nllr_net], dropout: [0, 0.1], batch_size: [4, 8], image_size: [null, 8]}"
    checked(read_sweep(file, "dataset=digits", "data_path=null", f"sweep.grid={axes}"))
    assert sorted(seen) == sorted([("test_resnet", (8, 8)), ("nllr_net", (8, 8))] * 2)  # as it is, and resized to it


@pytest.fixture
def loaded(monkeypatch) -> list[Configuration]:
    """The configurations whose data was read."""
    real, read = sweep_data.load_data_set, []
    monkeypatch.setattr(sweep_data, "load_data_set", lambda config: read.append(config) or real(config))
    return read


@pytest.mark.parametrize(
    ("changes", "read"),
    [
        (["smoke=true"], ["made_up"]),
        (["sweep.grid={dataset: [digits, image_folder], dropout: [0, 0.1, 0.2]}"], ["digits", "image_folder"]),
        (
            ["sweep.grid={dataset: [image_folder, plates, made_up]}", "sweep.exclude=[{dataset: plates}]"],
            ["image_folder", "made_up"],
        ),
    ],
)
def test_data_is_read_once_and_not_that_of_runs_that_are_left_out(file, images, loaded, changes, read):
    checked(read_sweep(file, *changes))
    assert [config.dataset for config in loaded] == read


def test_no_more_than_some_data_sets_are_read(file, monkeypatch, loaded):
    monkeypatch.setattr(sweep_data, "MOST", 3)
    rules = [line for line in told(read_sweep(file, "sweep.grid={data_path: [a, b, c, d, e]}")) if "exclude" in line]
    assert len(rules) == 3
    assert [config.data_path for config in loaded] == ["a", "b", "c"]


def test_cost_counts_the_images_that_were_read_sweep(file, images):
    sweep = read_sweep(file, "architecture=resnet34_cifar", "select_on=test")
    cost = describe(sweep, Shard(), checked(sweep).size).splitlines()[-1]
    assert cost.startswith(f"cost: about {2 * 3 * 16 * 1_159_909_376 / 4:.0e} multiply-adds")
    assert (
        ", two minutes or less on a GPU, two minutes or less on a core of a CPU, to within a factor of a few, " in cost
    )


@pytest.mark.torture
def test_a_hundred_thousand_runs_are_checked_and_described(file, images):
    rates = [round(0.001 * k, 3) for k in range(1, 101)]
    grid = f"{{optimizer_params.lr: {rates}, dropout: {rates}, valid_fraction: {rates[:10]}}}"
    sweep = read_sweep(file, f"sweep.grid={grid}")
    check_together(sweep)
    check_parameters(sweep)
    assert describe(sweep, Shard(), checked(sweep).size).startswith("100,000 runs")

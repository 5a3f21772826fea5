"""`--profile`: real steps under other settings of the machine, and what it recommends of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import train
from training import profile as module
from training.building import prepare
from training.profile import BATCHES, CUT, STEPS, WARM_UP, Setting, Speed, Step, measure, measure_aside, profile

pytestmark = pytest.mark.usefixtures("plain_log")
PLAIN = Setting("32-true", False, False, 1, 0)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread():
    """Leave the number of threads as it was: a measurement sets it."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def steps(seconds: float) -> Speed:
    """Return four steps of 100 images."""
    return Speed([Step(seconds, 0.0, 10**9, 100)] * 4)


@pytest.mark.parametrize("setting", [PLAIN, PLAIN._replace(precision="bf16-mixed", channels_last=True)])
def test_steps_of_the_real_run_are_measured(quick, monkeypatch, setting):
    monkeypatch.setattr(module, "SECONDS", 0)
    sent: list = []
    config = quick()
    assert measure(config, setting, sent.append) is None
    assert sent[0] is None
    assert [step.images for step in sent[1:]] == [128] * (WARM_UP + STEPS)
    assert all(step.seconds > 0 and step.waiting > 0 and step.memory > 0 for step in sent[1:])
    assert not Path(config.output_path).exists()


@pytest.mark.parametrize(
    ("error", "shown"),
    [(MemoryError(), "out of memory"), (RuntimeError("no such kernel\nat"), "RuntimeError: no such kernel")],
)
def test_a_setting_that_fails_is_named(quick, monkeypatch, error, shown):
    def fail(*_):
        raise error

    monkeypatch.setattr(module, "prepare", fail)
    assert measure(quick(), PLAIN, lambda _: None) == shown


def test_a_process_measures_and_one_without_time_is_ended(quick):
    config = quick()
    speed = measure_aside(config, PLAIN, 60)
    assert speed.failure is None
    assert speed.rate > 0
    assert measure_aside(config, PLAIN, 0).failure == "not 3 steps in the time that there was"


def test_only_a_part_of_the_images_is_decoded(quick, tmp_path):
    for folder in (tmp_path / "images" / part / label for part in ("train", "test") for label in "ab"):
        folder.mkdir(parents=True)
        for number in range(30):
            Image.new("RGB", (10, 10), (number, 0, 0)).save(folder / f"{number}.png")
    config = quick(
        dataset="image_folder", data_path=tmp_path / "images", batch_size=2, image_size=8, convert_to_grayscale="false"
    )
    data = prepare(config).data
    length = len(data.train_rows)
    data.repeat_few_images(BATCHES * 2)
    assert len(data.train_stream) == length
    assert len(np.unique(data.train_stream.rows)) == BATCHES * 2
    data.keep_images()


def report(best: Setting, rates: dict[Setting, Speed]) -> str:
    return module.report(PLAIN, best, rates, 2, CPU)


def test_the_keys_that_are_fastest_are_recommended_with_what_they_change():
    best = PLAIN._replace(precision="bf16-mixed", threads=2, num_workers=1)
    text = report(
        best, {PLAIN: steps(2.0), best: steps(1.0), best._replace(compile=True): Speed([], 0, "out of memory")}
    )
    assert "2.00 times as fast" in text
    lines = [line.strip() for line in text.splitlines()]
    assert any(line.startswith("precision: bf16-mixed") and "another run" in line for line in lines)
    assert any(line.startswith("OMP_NUM_THREADS=2") and "the same run" in line for line in lines)
    assert any(line.startswith("num_workers: 1") and line.endswith("changes nothing") for line in lines)
    assert any(line.endswith("out of memory") for line in lines)
    assert any(line.split()[-2:] == ["as", "configured"] and " 50 " in line for line in lines)


@pytest.mark.parametrize("best", [PLAIN, PLAIN._replace(channels_last=True)])
def test_what_is_hardly_faster_is_not_recommended(best):
    assert report(best, {PLAIN: steps(1.0), best: steps(0.99)}).endswith("than what is configured")


@pytest.mark.parametrize("cores", [1, 8])
def test_each_kind_of_setting_is_varied_from_the_fastest(quick, monkeypatch, cores):
    """bf16 is fastest here, and workers help; one core has no two threads, and no more than one worker."""
    monkeypatch.setattr(module, "available_cores", lambda: cores)
    monkeypatch.setattr(module.torch, "get_num_threads", lambda: cores)
    measured = []

    def pretend(config, setting, longest):
        measured.append(setting)
        return steps(1.0 + (setting.precision == "32-true") + (setting.num_workers == 0) + (setting.threads != cores))

    monkeypatch.setattr(module, "measure_aside", pretend)
    text = profile(quick(), 10**6)
    assert len(set(measured)) == len(measured)
    assert {setting.threads for setting in measured} == ({1} if cores == 1 else {1, 4, 8})
    assert {setting.num_workers for setting in measured} == ({0, 1} if cores == 1 else {0, 1, 8})
    assert measured[-1] == Setting("bf16-mixed", False, True, cores, 1)
    assert "precision: bf16-mixed" in text
    assert "num_workers: 1" in text


def test_a_network_that_takes_long_to_compile_is_not_measured_and_said_so(quick, monkeypatch):
    def pretend(config, setting, longest):
        return CUT if setting.compile else steps(1.0)

    monkeypatch.setattr(module, "measure_aside", pretend)
    (line,) = (line for line in profile(quick(), 10**6).splitlines() if "not measured" in line)
    assert "compiling takes longer than the" in line
    assert line.endswith("train one epoch with compile=true num_epochs=1 and look at its images/s")


def test_a_sweep_is_refused_with_its_place(tmp_path, monkeypatch, capsys):
    file = tmp_path / "some.yml"
    file.write_text("dataset: digits\nsweep: {seeds: 2}\n")
    assert train.main([str(file), "--profile"]) == 2
    assert f"{file}:2: sweep: --profile measures one run" in capsys.readouterr().err

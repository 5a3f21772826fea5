"""Seeds of a sweep: `--seeds-to`, the looks of `seeds: auto` and their levels, what some seeds can tell."""

from __future__ import annotations

import pytest
from small_sweep import BASE, ended, read_sweep

import comparison.sequential
import train
from configuration.reading import read_configuration
from sweeps.cells import load_sweep
from sweeps.description import describe
from sweeps.jobs import Shard
from sweeps.seeds import LEVEL, detectable, level_of, looks, with_seeds
from utils.types import ConfigError

SWEEP = BASE + "smoke: true\nsweep:\n  grid: {loss_function: [CrossEntropyLoss, FocalLoss]}\n"


@pytest.mark.parametrize("most", [8, 10, 20, 33])
def test_the_levels_of_all_looks_add_up(most):
    levels = [level_of(seeds, most) for seeds in looks(most)]
    assert sum(levels) == pytest.approx(LEVEL)
    assert levels == sorted(levels) or looks(most)[-1] - looks(most)[-2] < 4
    assert level_of(3, most) == 0.0
    assert level_of(looks(most)[0] + 1, most) == levels[0]


def test_more_seeds_detect_less_and_one_nothing():
    found = [detectable(seeds) for seeds in (1, 3, 8, 20)]
    assert found == sorted(found, reverse=True)
    assert found[0] == float("inf")
    assert detectable(8, 5) > detectable(8)


@pytest.mark.parametrize(
    ("seeds", "number", "expected"),
    [("3", 5, [0, 1, 2, 3, 4]), ("[7, 1]", 4, [7, 1, 0, 2]), ("auto", 5, [0, 1, 2, 3, 4]), ("2", 2, [0, 1])],
)
def test_seeds_are_added_to_those_of_the_file(tmp_path, seeds, number, expected):
    (tmp_path / "sweep.yml").write_text(f"{SWEEP}  seeds: {seeds}\n")
    config = with_seeds(read_sweep(tmp_path / "sweep.yml").base, number)
    assert load_sweep(config).block.seed_list == expected


def test_what_cannot_be_added_is_refused(tmp_path):
    (tmp_path / "sweep.yml").write_text(f"{SWEEP}  seeds: 3\n")
    with pytest.raises(ConfigError, match="the sweep has 3 seeds already, got 2"):
        with_seeds(read_sweep(tmp_path / "sweep.yml").base, 2)
    with pytest.raises(ConfigError, match="the configuration has no sweep"):
        with_seeds(read_configuration(None, []), 2)
    with pytest.raises(ConfigError, match="the command line sets the seed"):
        with_seeds(read_sweep(tmp_path / "sweep.yml", "seed=1").base, 5)


def test_a_plan_says_what_its_seeds_can_tell(tmp_path):
    for seeds, text in (
        ("8", "8 seeds show a difference of"),
        ("1", "one seed: no difference"),
        ("auto", "auto looks after 4,"),
    ):
        (tmp_path / "sweep.yml").write_text(f"{SWEEP}  seeds: {seeds}\n")
        assert text in describe(read_sweep(tmp_path / "sweep.yml"), Shard())


def test_seeds_to_trains_only_what_is_missing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweep.yml").write_text(f"{SWEEP}  seeds: 1\n")
    assert train.main(["sweep.yml", "--shard", "1/1"]) == 0
    ended(capsys)
    assert train.main(["sweep.yml", "--shard", "1/1", "--seeds-to", "2"]) == 0
    assert ["skipped" in line for line in ended(capsys)] == [True, True, False, False]


def test_auto_ends_once_nothing_is_undecided(tmp_path, capsys, monkeypatch):
    file = tmp_path / "sweep.yml"
    file.write_text(f"{SWEEP}  seeds: auto\n  most_seeds: 12\n")
    trained, left = [], iter([["FocalLoss"], []])
    monkeypatch.setattr(
        comparison.sequential, "run_sweep", lambda config, *_, **__: trained.append(config.sweep["seeds"])
    )
    monkeypatch.setattr(comparison.sequential, "look", lambda *_: None)
    monkeypatch.setattr(comparison.sequential, "build_tables", lambda _: [])
    monkeypatch.setattr(comparison.sequential, "undecided", lambda _: next(left))
    assert train.main([str(file)]) == 0
    assert trained == [list(range(4)), list(range(8))]
    assert "seeds: auto ends after 8 seeds" in capsys.readouterr().out
    assert train.main([str(file), "--fresh"]) == 2
    assert "--fresh needs a number of seeds, got auto" in capsys.readouterr().err

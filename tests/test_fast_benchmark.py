"""The benchmark of a whole fast run."""

from __future__ import annotations

import json

import pytest

from benchmarks import fast


@pytest.mark.filterwarnings("ignore")  # Lightning's advice on loaders
def test_the_bench_and_the_bare_script_take_turns(tmp_path, capsys, plain_log, quiet_runs):
    fast.main(["--quick", "--seeds", "1", "--json", str(tmp_path / "fast.json")])
    found = json.loads((tmp_path / "fast.json").read_text())
    assert {name: len(values) for name, values in found["seconds"].items()} == {"bare": 1, "the bench": 1}
    assert all(0 <= value <= 1 for values in found["accuracy"].values() for value in values)
    assert "times as long as the bare script" in capsys.readouterr().out


def test_a_mistake_in_the_changes_is_reported(capsys):
    with pytest.raises(SystemExit):
        fast.main(["--quick", "num_epoch=1"])
    assert "num_epoch: unknown key; did you mean 'num_epochs'" in capsys.readouterr().err

"""Groups of runs: what is the same run, and how its numbers and labels are written."""

from __future__ import annotations

import json
import random

import pytest
from leaving import CE, FOCAL, OSM, leave, leave_losses, study, text_of

from comparison.panels import Options, compare
from comparison.records import group_records, run_records
from comparison.sources import find_runs
from configuration.settings import short_labels, shown
from utils.files import content_of


def test_runs_that_differ_in_their_seed_are_a_group_with_mean_and_spread(tmp_path):
    for seed, accuracy in enumerate((0.90, 0.92, 0.94)):
        leave(tmp_path, f"seed={seed}", "notes=x", accuracy=accuracy)
    leave(tmp_path, "seed=3", "notes=y", "num_workers=3", accuracy=0.96)
    (cell,) = study(tmp_path).cells
    assert cell.spread is not None
    assert (cell.spread.mean, cell.spread.std, cell.spread.count) == pytest.approx((0.93, 0.0258199, 4))
    assert "93.00 ± 2.58 (4)" in text_of(study(tmp_path))


DRAWN = (0.013292918943162165, 0.0013292918943162165, 0.5)


def test_numbers_of_many_digits_have_short_labels_and_stay_exact_in_files(tmp_path):
    for rate in DRAWN:
        leave(tmp_path, CE, f"optimizer_params.lr={rate}", accuracy=rate)
    found = study(tmp_path, rows=("optimizer_params.lr",), baseline="0.5")
    labels = ["0.5", "0.001329", "0.01329"]
    assert list(found.panels[0].rows) == labels
    assert all(label in text_of(found) for label in labels)
    assert not any(str(rate) in text_of(found) for rate in DRAWN[:2])
    for records in (group_records(found), run_records(found)):
        assert {record["optimizer_params.lr"] for record in records} == set(map(str, DRAWN))
    for name in labels[1], str(DRAWN[1]):
        assert study(tmp_path, rows=("optimizer_params.lr",), baseline=name).panels[0].baseline == labels[1]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0.013292918943162165, 0.01], ["0.01329", "0.01"]),
        ([0.013292918943162165, 0.013292918943162166 + 1e-9], ["0.013292919", "0.01329292"]),
        ([0.013292918943162165, 0.01329], ["0.013293", "0.01329"]),
        ([0.9999, 0.99995, 123456.0], ["0.9999", "0.99995", "123456.0"]),
        ([1.2345678901e-05, -3.1415926535], ["1.235e-05", "-3.142"]),
        ([None, True, "0.013292918943162165", 12345678901], ["null", "true", "'0.013292918943162165'", "12345678901"]),
        ([0.1, 0.1], ["0.1"]),
    ],
)
def test_labels_have_few_digits_where_these_tell_the_values_apart(values, labels):
    found = short_labels(values)
    assert list(found) == list(dict.fromkeys(map(shown, values)))
    assert list(found.values()) == labels


def test_the_order_of_the_folders_does_not_matter(tmp_path):
    leave_losses(tmp_path)
    leave(tmp_path, FOCAL, right=[k > 15 for k in range(100)])
    words = [str(path) for path in tmp_path.iterdir()]
    texts = set()
    for seed in range(4):
        random.Random(seed).shuffle(words)
        texts.add(text_of(compare(find_runs(words), Options())))
    assert len(texts) == 1


@pytest.mark.parametrize(("noise", "groups"), [(0, 2), (0.2, 1)])
def test_other_data_is_another_group_unless_each_seed_draws_its_labels(tmp_path, noise, groups):
    for seed in range(2):
        leave(tmp_path, f"label_noise={noise}", f"seed={seed}", data=f"{seed}" * 16)
    assert len(study(tmp_path).panels) == groups


def test_multiply_adds_of_older_runs_are_read(tmp_path):
    leave(tmp_path, CE)
    old = leave(tmp_path, OSM)
    old.summary.write_text(old.summary.read_text().replace("multiply_adds", "flops"))
    assert "flops" in old.summary.read_text()
    assert [row["multiply_adds mean"] for row in group_records(study(tmp_path))] == [20, 20]
    assert old.read_summary()["multiply_adds"] == 20


def write_facts(folder, **facts) -> None:
    known = json.loads(folder.environment.read_text())
    folder.environment.write_text(json.dumps(known | facts))


VERTICAL, HORIZONTAL, BOTH = (
    f"augment_images=true  image_augmentations={{{', '.join(f'{name}: {{}}' for name in names)}}}"
    for names in (["RandomVerticalFlip"], ["RandomHorizontalFlip"], ["RandomVerticalFlip", "RandomHorizontalFlip"])
)


@pytest.mark.parametrize(
    ("one", "other", "groups"),
    [
        ("architecture=ghost", "architecture=ghostnet", 1),
        ("loss_function=FocalLoss", "loss_function=FocalLoss  loss_params.gamma=2.0", 1),
        ("lr_scheduler=null", "lr_scheduler_params.gamma=0.5", 1),
        ("optimizer_params.weight_decay=1", "optimizer_params.weight_decay=1.0", 1),
        ("precision=auto  accelerator=cpu", "precision=32-true", 1),
        ("image_size=32", "image_size=[32,32]", 1),
        ("image_size=32", "image_size=[32,24]", 2),
        (VERTICAL, BOTH, 2),
        (VERTICAL, HORIZONTAL, 2),
    ],
)
def test_runs_are_one_group_that_are_the_same_but_for_their_seed(tmp_path, one, other, groups):
    for seed, changes in enumerate((one, other)):
        leave(tmp_path, *changes.split("  "), f"seed={seed}")
    assert len(study(tmp_path).groups) == groups


def test_weights_are_the_same_by_what_they_hold(tmp_path):
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    runs = tmp_path / "output"
    for seed, name in enumerate("aabc"):
        folder = leave(runs, f"weights_path={tmp_path / name}", f"seed={seed}")
        write_facts(folder, weights={"weights_path": content_of(str(tmp_path / name))})
    sizes = sorted(len(cell.group.runs) for cell in study(runs).cells)
    assert sizes == [1, 3]
    for name in "abc":
        (tmp_path / name).unlink()
    assert sorted(len(cell.group.runs) for cell in study(runs).cells) == sizes


def test_runs_of_other_precision_are_never_one_mean_and_auto_is_what_it_was(tmp_path):
    for seed, precision in enumerate(("32-true", "bf16-mixed")):
        write_facts(leave(tmp_path, f"seed={seed}"), precision=precision)
    leave(tmp_path, "seed=2", "precision=32-true")
    assert sorted(len(group.runs) for group in study(tmp_path).groups) == [1, 2]
    assert "precision" in text_of(study(tmp_path))


def test_a_sweep_s_runs_are_found_whatever_their_machine_made_of_auto(tmp_path):
    for seed, precision in enumerate(("32-true", "bf16-mixed")):
        write_facts(leave(tmp_path / "output", f"seed={seed}", CE), precision=precision)
    file = tmp_path / "sweep.yml"
    common = "dataset: digits\narchitecture: resnet10t\ntrackers: []\nnum_epochs: 3\n"
    file.write_text(f"{common}output_path: {tmp_path}/output\nsweep: {{seeds: 3}}\n")
    found = find_runs([str(file)])
    assert [run.seed for run in found.runs] == [0, 1]
    assert found.missing == ("seed=2",)

"""The recipes: each loads, each of its runs can be, and the papers' numbers are those of the papers."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from configuration.chains import steps
from configuration.reading import read_configuration
from evaluation.catalogue import NAME_CHECKS
from sweeps.cells import Sweep, count, expand, load_sweep
from sweeps.checks import check_parameters, check_together
from sweeps.jobs import Shard
from sweeps.mistakes import find_mistakes
from sweeps.reference import Number, belongs, from_printed, read_reference
from sweeps.worker import run_cell
from training.learning_rates import build_scheduler

ROOT = Path(__file__).resolve().parents[1]
RECIPES = sorted((ROOT / "experiments").glob("*.yml"))
RECIPES_BY = {path.stem: path for path in RECIPES}
REFERENCES = sorted((ROOT / "experiments" / "reference").glob("*.yml"))
PAPERS = ROOT.parent / "shared" / "reference" / "paper_tables.yaml"
FEW = ("cifar10_fast", "crl_table2", "thesis_c10_c11_boxes")
OF_NO_TABLE = {"cifar10_fast", "cifar10_fast90", "cifar10_fast_ablation"}
NUMBERLESS = {"losstransform_finetuning", "losstransform_v1", "ols_fig7a", "ols_fig7b", "ols_single"} | OF_NO_TABLE
"""Recipes of tables and figures whose numbers are lost, or of none."""
PAPERS_ELSEWHERE = {"cifar10n", "longtail_cifar"}
"""Recipes of papers whose tables do not lie with the others."""
HEADINGS = ("Reproduces", "Differs or unknown", "Cost", "Command", "Expected")


@cache
def load(path: Path, *overrides: str) -> Sweep:
    return load_sweep(read_configuration(str(path), overrides, NAME_CHECKS, find_mistakes))


@cache
def settings(path: Path) -> list[dict[str, Any]]:
    return [cell.config.values() for cell in expand(load(path))]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_run_of_a_recipe_can_be(path):
    sweep = load(path)
    check_together(sweep)
    check_parameters(sweep)
    names = [cell.name for cell in expand(sweep)]
    runs = settings(path)
    assert len(set(names)) == len(names) == len({repr(values) for values in runs}) > 0
    named = {False, "IMAGENET1K_V1", "tv_in1k", "ra_in1k"}  # not "the latest"
    assert {each["pretrained"] for each in runs} <= named
    with_hue = [each for each in runs if "hue" in each["image_augmentations"].get("ColorJitter", {})]
    assert {each["augment_backend"] for each in with_hue} <= {"torchvision"}  # whose hue is the papers'


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_says_what_it_is(path):
    head = re.sub(r"\n#  ?", " ", path.read_text().partition("\n\n")[0])
    assert [heading for heading in HEADINGS if f" {heading}: " not in head] == []
    assert f"python train.py experiments/{path.name}" in head
    assert re.search(rf"Cost: {count(load(path))} runs?;? ", head)
    assert load(path).base.experiment_name == path.stem
    assert load(path).base.select_on == ("valid" if path.stem in OF_NO_TABLE else "test")


def test_the_index_names_every_recipe_with_its_runs():
    text = (ROOT / "experiments" / "README.md").read_text()
    listed = dict(re.findall(r"^\| \[(\w+)\.yml\].*?\| (\d+) \|", text, re.MULTILINE))
    assert listed == {path.stem: str(count(load(path))) for path in RECIPES}


# -------------------------------------------------------------------------------------------- the papers' numbers


def test_every_recipe_has_its_numbers():
    assert {path.stem for path in REFERENCES} == {path.stem for path in RECIPES} - NUMBERLESS
    assert all(read_reference(path).recipe == path.name for path in REFERENCES)


@pytest.mark.parametrize("path", REFERENCES, ids=lambda path: path.stem)
def test_every_number_belongs_to_runs_of_the_recipe(path):
    reference = read_reference(path)
    runs = settings(ROOT / "experiments" / reference.recipe)
    for number in reference.numbers:
        for cell in (number.cell, number.improvement_over):
            assert cell is None or any(belongs(cell, values) for values in runs), number


@pytest.mark.parametrize("path", REFERENCES, ids=lambda path: path.stem)
def test_numbers_of_different_rows_belong_to_different_runs(path):
    reference = read_reference(path)
    cells: dict[str, Mapping[str, Any]] = {}
    for number in reference.numbers:
        assert cells.setdefault(repr((number.cell, number.column, number.metric)), number.paper) == number.paper or (
            path.stem == "osm_table4" and number.value in (92.68, 92.63)  # one setting, printed twice
        )


@cache
def tables() -> dict[str, list[dict[str, Any]]]:
    if not PAPERS.is_file():
        pytest.skip(f"no papers' tables: {PAPERS} is absent")
    return {table["id"]: table["rows"] for table in yaml.safe_load(PAPERS.read_text())["tables"]}


def rows_of(labels: Mapping[str, Any], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if all(row[name] == value for name, value in labels.items())]


def values_of(number: Number, rows: list[dict[str, Any]]) -> Iterator[float]:
    for row in rows:
        inner = row.get("value")
        yield (inner if isinstance(inner, dict) else row)[number.column or "value"]


@pytest.mark.parametrize(
    "path", [path for path in REFERENCES if path.stem not in PAPERS_ELSEWHERE], ids=lambda path: path.stem
)
def test_every_number_is_the_papers(path):
    reference = read_reference(path)
    rows = tables()[reference.table]
    for number in reference.numbers:
        found = rows_of(number.paper, rows)
        assert number.value in list(values_of(number, found)), number
        assert {row.get("std") for row in found} == {number.spread}
    told = [*reference.numbers, *reference.left_out]
    silent = [row for row in rows if not any(rows_of(each.paper, [row]) for each in told)]
    assert silent == []


def test_a_number_is_joined_with_runs_by_their_keys():
    values = {"loss_function": "A", "loss_params": {"alpha": 1}, "seed": 3}
    assert belongs({"loss_function": "A", "loss_params.alpha": 1}, values)
    assert not belongs({"loss_params.alpha": 2}, values)
    assert not belongs({"loss_params.beta": None}, values)
    printed: dict[Any, float] = {"accuracy": 90, "error": 10, "itself": 0.9}
    assert [from_printed(value, kind) for kind, value in printed.items()] == pytest.approx([0.9] * 3)


# ------------------------------------------------------------------------------------------- the thesis's settings


def test_the_thesis_experiments_have_their_logged_settings():
    cells = {cell.name.removeprefix("experiment="): cell.config for cell in expand(load(RECIPES_BY["thesis_c01_c66"]))}
    rows = tables()["thesis_all"]
    assert list(cells) == [row["experiment"] for row in rows]
    for row in rows:
        config = cells[row["experiment"]]
        assert config.loss_function == row["loss"]
        assert config.loss_params == ({} if row["epsilon"] is None else {"epsilon": row["epsilon"]})
        assert (config.output_channels, config.dropout) == (row["out_channels"], row["dropout"])
        assert (config.image_size, config.batch_size) == (row["img_size"], row["batch_size"])
        assert (config.convert_to_grayscale, config.normalize) == (row["grayscale"], row["normalize"])
        assert config.crop_to_bboxes == row["crop_to_bboxes"]
        assert config.erase_background == ("white" if row["erase_background"] else False)
        assert config.image_augmentations == (row["image_augmentations"] or {})
        assert config.augment_images == bool(row["image_augmentations"])
        assert config.tensor_augmentations == (row["tensor_augmentations"] or {})
        assert config.augment_tensors == bool(row["tensor_augmentations"])
        assert (config.optimizer, config.num_epochs) == (row["optimizer"], row["max_epochs"])
        assert config.optimizer_params == {"lr": row["lr"], "weight_decay": row["weight_decay"]}
        if row["scheduler"] != "LambdaLR":
            assert config.lr_scheduler == row["scheduler"]
            assert config.lr_scheduler_params == (row["scheduler_params"] or {})


def test_schedules_that_the_thesis_gives_as_code_decay_alike():
    cells = {cell.name.removeprefix("experiment="): cell.config for cell in expand(load(RECIPES_BY["thesis_c01_c66"]))}
    factors = {"C-63": (0.0001 / 0.001) ** (1 / 67), "C-64": 0.955, "C-65": 0.975, "C-66": 0.98}
    for name, factor in factors.items():
        assert cells[name].lr_scheduler == "ExponentialLR"
        assert cells[name].lr_scheduler_params["gamma"] == pytest.approx(factor, rel=1e-12)


def without_names(values: Mapping[str, Any], *others: str) -> dict[str, Any]:
    """Return what is left of a configuration without what only names its run."""
    return {
        key: value
        for key, value in values.items()
        if key not in {"experiment_name", "run_name", "tags", "sweep", *others}
    }


def test_the_best_model_s_file_is_that_experiment_of_the_sweep():
    (cell,) = (each for each in expand(load(RECIPES_BY["thesis_c01_c66"])) if each.name == "experiment=C-50")
    (alone,) = settings(RECIPES_BY["thesis_c50"])
    assert without_names(alone) == without_names(cell.config.values())


@pytest.mark.parametrize("name", ["thesis_c50", "thesis_c01_c66", "thesis_c10_c11_boxes"])
def test_the_thesis_s_protocol_is_written_out(name):
    for values in settings(RECIPES_BY[name]):
        assert (values["select_on"], values["monitor"]) == ("test", "valid/loss")
        assert values["early_stopping_patience"] == 15


# ------------------------------------------------------------------------------------------- what recipes decide on


def rates(values: Mapping[str, Any], steps_per_epoch: int) -> list[float]:
    """Return the learning rate of every step of a run."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=values["optimizer_params"]["lr"])
    epochs = values["num_epochs"]
    schedule = build_scheduler(
        values["lr_scheduler"], optimizer, steps_per_epoch, epochs, **values["lr_scheduler_params"]
    )
    assert schedule is not None
    each = []
    for step in range(epochs * steps_per_epoch):
        each.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if schedule["interval"] == "step" or (step + 1) % steps_per_epoch == 0:
            schedule["scheduler"].step()
    return each


@pytest.mark.parametrize("name", ["osm_table4", "osm_table5", "osm_table7"])
def test_osm_restarts_at_100_and_200_and_ends_at_0(name):
    per_epoch = 6
    annealed = [each for each in settings(RECIPES_BY[name]) if each["lr_scheduler"] == "CosineWarmupRestarts"]
    assert len({repr((each["optimizer_params"], each["lr_scheduler_params"])) for each in annealed}) == 1
    peak = annealed[0]["optimizer_params"]["lr"]
    found = rates(annealed[0], per_epoch)
    assert len(found) == 300 * per_epoch
    for start in (0, 100, 200):
        period = found[start * per_epoch : (start + 100) * per_epoch]
        rising = [peak * (0.01 + 0.99 * step / (5 * per_epoch)) for step in range(5 * per_epoch)]
        last = 95 * per_epoch - 1
        falling = [peak * (1 + math.cos(math.pi * step / last)) / 2 for step in range(last + 1)]
        assert period == pytest.approx([*rising, *falling], rel=1e-9, abs=1e-15)
        assert period[-1] == 0


def test_the_best_model_s_learning_rate_falls_at_its_epochs():
    (values,) = settings(RECIPES_BY["thesis_c50"])
    found = rates(values, 1)
    expected = [0.001 * 0.1 ** sum(epoch >= each for each in (67, 82, 95, 107)) for epoch in range(200)]
    assert found == pytest.approx(expected, rel=1e-9)


def test_losstransform_trains_by_the_networks_own_recipes():
    runs = settings(RECIPES_BY["losstransform"])
    epochs = {"resnet20_basic": {164: [82, 123], 123: [61, 92]}, "densenet_bc_cifar": {300: [150, 225], 120: [60, 90]}}
    epochs |= {f"resnet{depth}_basic": {164: [82, 123]} for depth in (32, 44, 56, 110)}
    assert {each["architecture"] for each in runs} == epochs.keys()
    assert {each["seed"] for each in runs} == {*range(5)}
    for each in runs:
        assert not each["pretrained"]
        assert each["lr_scheduler_params"]["milestones"] == epochs[each["architecture"]][each["num_epochs"]]
        assert each["batch_size"] == (64 if each["architecture"] == "densenet_bc_cifar" else 128)
        assert each["loss_function"] == "CrossEntropyLoss" or each["augment_images"]  # else its replicas are alike


def test_losstransform_augments_alone_and_combined():
    runs = settings(RECIPES_BY["losstransform"])
    found = {(*each["image_augmentations"], each["mixing"] and str(each["mixing"])) for each in runs}
    flip, affine = "RandomHorizontalFlip", "RandomAffine"
    alone = {(None,), (flip, None), (affine, None), ("CutMix",), ("MixUp",)}
    with_flip = {(flip, affine, None), (flip, "CutMix"), (flip, "MixUp")}
    all_three = {(flip, affine, "CutMix"), (flip, affine, "MixUp"), (flip, affine, "['CutMix', 'MixUp']")}
    assert found == alone | with_flip | all_three
    losses = {(each["loss_function"], each["loss_params"].get("views")) for each in runs}
    assert losses == {("CrossEntropyLoss", None), *(("LossTransform", views) for views in (2, 3, 4))}


def test_attacked_networks_are_four_of_the_table_of_imagenet():
    clean, attacked = (
        [without_names(each, "evaluate", "evaluate_params") for each in settings(RECIPES_BY[name])]
        for name in ("ols_table4", "ols_table9")
    )
    assert len(attacked) == 4
    assert all(each in clean for each in attacked)


# ------------------------------------------------------------------------------------------------------------- smoke


def smoke(path: Path, folder: Path, number: int) -> None:
    """Train one run of a recipe on made-up images."""
    folders = (f"output_path={folder}/output", f"logging_dir={folder}/logs")
    sweep = load(path, "smoke=true", "trackers=[]", "accelerator=cpu", "num_workers=0", *folders)
    (cell,) = Shard(number, count(sweep)).of(expand(sweep))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*the lowest one is not the likeliest class")
        outcome = run_cell(cell)
    assert outcome.state == "finished", outcome
    assert outcome.summary is not None
    assert outcome.summary["test/accuracy"] >= 0
    real = next(each for each in expand(load(path)) if each.name == cell.name).config
    assert cell.config.loss_function == real.loss_function
    assert (cell.config.optimizer, cell.config.lr_scheduler) == (real.optimizer, real.lr_scheduler)
    ours, theirs = (steps(each.image_augmentations) for each in (cell.config, real))
    assert [name for _, name, _ in ours] == [name for _, name, _ in theirs]


@pytest.mark.usefixtures("plain_log")
@pytest.mark.parametrize("name", FEW)
def test_a_run_of_a_recipe_is_tried_out_in_seconds(name, tmp_path):
    smoke(RECIPES_BY[name], tmp_path, 1)


@pytest.mark.torture
@pytest.mark.usefixtures("plain_log")
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
def test_first_and_last_run_of_every_recipe_are_tried_out(path, last, tmp_path):
    smoke(path, tmp_path, count(load(path)) if last else 1)

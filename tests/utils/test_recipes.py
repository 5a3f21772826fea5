"""The recipes: each loads, each of its runs can be, and the papers' numbers are those of the papers."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from utils.configuration.catalogue import NAME_CHECKS
from utils.configuration.reading import read_configuration
from utils.reference import Number, as_printed, belongs, read_reference
from utils.sweeps.cells import Sweep, count, expand, load_sweep
from utils.sweeps.checking import check_parameters, check_together
from utils.sweeps.reading import find_mistakes
from utils.sweeps.running import Shard, run_cell

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted((ROOT / "experiments").glob("*.yml"))
RECIPES_BY = {path.stem: path for path in RECIPES}
REFERENCES = sorted((ROOT / "experiments" / "reference").glob("*.yml"))
PAPERS = ROOT.parent / "shared" / "reference" / "paper_tables.yaml"
FEW = ("crl_table2", "thesis_c10_c11_boxes")
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
    assert len(set(names)) == len(names) == len({repr(values) for values in settings(path)}) > 0


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_says_what_it_is(path):
    head = re.sub(r"\n#  ?", " ", path.read_text().partition("\n\n")[0])
    assert [heading for heading in HEADINGS if f" {heading}: " not in head] == []
    assert f"python train.py experiments/{path.name}" in head
    assert f"Cost: {count(load(path))} runs" in head
    assert load(path).base.experiment_name == path.stem
    assert load(path).base.select_on == "test"


def test_the_index_names_every_recipe_with_its_runs():
    text = (ROOT / "experiments" / "README.md").read_text()
    listed = dict(re.findall(r"^\| \[(\w+)\.yml\].*?\| (\d+) \|", text, re.MULTILINE))
    assert listed == {path.stem: str(count(load(path))) for path in RECIPES}


# -------------------------------------------------------------------------------------------- the papers' numbers


def test_every_recipe_has_its_numbers():
    assert [path.stem for path in REFERENCES] == [path.stem for path in RECIPES]
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


@pytest.mark.parametrize("path", REFERENCES, ids=lambda path: path.stem)
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
    assert [as_printed(0.9, kind) for kind in ("accuracy", "error", "itself")] == pytest.approx([90, 10, 0.9])


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
        assert (config.crop_to_bboxes, config.erase_background) == (row["crop_to_bboxes"], row["erase_background"])
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
    assert cell.config.image_augmentations.keys() == real.image_augmentations.keys()


@pytest.fixture
def no_pictures(monkeypatch, plain_log):
    monkeypatch.setattr("utils.training.report.draw_results", lambda *arguments, **options: None)
    monkeypatch.setattr("utils.training.report.draw_augmentations", lambda *arguments: None)


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("name", FEW)
def test_a_run_of_a_recipe_is_tried_out_in_seconds(name, tmp_path):
    smoke(RECIPES_BY[name], tmp_path, 1)


@pytest.mark.torture
@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
def test_first_and_last_run_of_every_recipe_are_tried_out(path, last, tmp_path):
    smoke(path, tmp_path, count(load(path)) if last else 1)

"""A sweep as it stands in a file: what is read, what is refused, and in which words."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from configuration.checks import TOGETHER
from configuration.reading import read_configuration
from configuration.schema import KEYS, Configuration
from evaluation.catalogue import NAME_CHECKS
from sweeps.block import Block
from sweeps.cells import Sweep, expand, load_sweep
from sweeps.checks import check_parameters, check_ranges, check_together
from sweeps.description import describe
from sweeps.jobs import Shard
from sweeps.mistakes import find_mistakes
from training.building import prepare
from utils.types import ConfigError


def read(folder: Path, text: str, *overrides: str) -> Configuration:
    path = folder / "config.yml"
    path.write_text(textwrap.dedent(text))
    return read_configuration(str(path), overrides, NAME_CHECKS, find_mistakes)


def sweep(folder: Path, text: str, *overrides: str) -> Sweep:
    return load_sweep(read(folder, text, *overrides))


def names(folder: Path, text: str, *overrides: str) -> list[str]:
    return [cell.name for cell in expand(sweep(folder, text, *overrides))]


def mistakes(folder: Path, text: str, *overrides: str) -> list[str]:
    """Return the lines of the error, the folder's name cut off."""
    with pytest.raises(ConfigError) as error:
        check_together(sweep(folder, text, *overrides))
    return [line.replace(f"{folder}/", "") for line in str(error.value).splitlines()]


TWO_LOSSES = """\
optimizer_params: {lr: 0.5, weight_decay: 0.1}
sweep:
  grid:
    optimizer_params.lr: [0.1, 0.2]
    loss:
      - {name: CE, loss_function: CrossEntropyLoss}
      - {loss_function: FocalLoss, loss_params: {gamma: 3}}
  seeds: 2
"""


def test_every_combination_is_a_run_in_the_order_of_the_file_seed_after_seed(tmp_path):
    cells = list(expand(sweep(tmp_path, TWO_LOSSES)))
    found = [(c.config.seed, c.config.optimizer_params["lr"], c.config.loss_function) for c in cells]
    losses = ("CrossEntropyLoss", "FocalLoss")
    assert found == [(seed, lr, loss) for seed in (0, 1) for lr in (0.1, 0.2) for loss in losses]
    assert cells[0].name == "optimizer_params.lr=0.1, loss=CE, seed=0"
    assert cells[1].name == "optimizer_params.lr=0.1, loss_function=FocalLoss, loss_params={gamma: 3}, seed=0"
    assert cells[1].overrides == {
        ("seed",): 0,
        ("optimizer_params", "lr"): 0.1,
        ("loss_function",): "FocalLoss",
        ("loss_params",): {"gamma": 3},
    }
    assert [cell.name for cell in expand(sweep(tmp_path, TWO_LOSSES))] == [cell.name for cell in cells]


def test_a_run_keeps_what_it_has_in_common_and_has_no_sweep_itself(tmp_path):
    base = sweep(tmp_path, TWO_LOSSES)
    first = next(expand(base)).config
    assert first.optimizer_params == {"lr": 0.1, "weight_decay": 0.1}
    assert first.sweep is None
    assert first.run_name == "optimizer_params.lr=0.1, loss=CE, seed=0"
    assert base.base.optimizer_params == {"lr": 0.5, "weight_decay": 0.1}


def test_expansion_is_lazy(tmp_path, monkeypatch):
    text = (
        "sweep: {grid: {batch_size: " + str(list(range(2, 1002))) + ", num_epochs: " + str(list(range(1, 1001))) + "}}"
    )
    million = sweep(tmp_path, text)
    built = []
    monkeypatch.setattr("sweeps.cells.merge", lambda *arguments: built.append(1))
    cells = expand(million)
    assert next(cells).name == "batch_size=2, num_epochs=1"
    assert built == []


def test_a_key_within_a_varied_key_is_put_into_it(tmp_path):
    text = """\
    sweep:
      grid:
        optimizer_params.lr: [0.1]
        setting: [{optimizer: SGD, optimizer_params: {momentum: 0.9}}]
    """
    (cell,) = expand(sweep(tmp_path, text))
    assert cell.config.optimizer_params == {"momentum": 0.9, "lr": 0.1}


def test_values_are_those_that_the_file_itself_would_give(tmp_path):
    text = """\
    sweep:
      grid:
        dropout: [0, null]
        normalization_params_rgb.mean: [[0.5, 0.5, 0.5]]
        lr_scheduler_params: [null]
    """
    first, second = (cell.config for cell in expand(sweep(tmp_path, text)))
    assert repr(first.dropout) == "0.0"
    assert second.dropout is None
    assert first.normalization_params_rgb.mean == [0.5, 0.5, 0.5]
    assert first.normalization_params_rgb.std == Configuration().normalization_params_rgb.std
    assert first.lr_scheduler_params == {}


def test_rules_leave_out_what_has_all_that_they_name(tmp_path):
    rule = "  exclude: [{loss: CE, optimizer_params.lr: 0.2}, {loss_params.gamma: 3, seed: [1, 7]}]\n"
    with_wrong_seed = mistakes(tmp_path, TWO_LOSSES + rule)
    assert with_wrong_seed == ["config.yml:9: sweep.exclude.1.seed: no run has 7; one of 0, 1"]
    assert names(tmp_path, TWO_LOSSES + rule.replace(", 7", "")) == [
        "optimizer_params.lr=0.1, loss=CE, seed=0",
        "optimizer_params.lr=0.1, loss_function=FocalLoss, loss_params={gamma: 3}, seed=0",
        "optimizer_params.lr=0.2, loss_function=FocalLoss, loss_params={gamma: 3}, seed=0",
        "optimizer_params.lr=0.1, loss=CE, seed=1",
    ]


def test_the_command_line_holds_for_every_run(tmp_path):
    assert names(tmp_path, TWO_LOSSES, "optimizer_params.lr=0.3", "seed=5") == [
        "loss=CE",
        "loss_function=FocalLoss, loss_params={gamma: 3}",
    ]
    (one,) = {c.config.loss_function for c in expand(sweep(tmp_path, TWO_LOSSES, "loss_function=HingeLoss", "seed=5"))}
    assert one == "HingeLoss"
    cells = list(expand(sweep(tmp_path, TWO_LOSSES, "optimizer_params={lr: 7}", "sweep.seeds=[4]")))
    assert [(cell.config.optimizer_params, cell.config.seed) for cell in cells] == [({"lr": 7}, 4)] * 2
    changes = ("sweep.grid.optimizer_params.lr=[5]", "sweep.seeds=1", "loss_function=HingeLoss", "loss_params=null")
    assert names(tmp_path, TWO_LOSSES, *changes) == ["optimizer_params.lr=5, seed=0"]
    assert read(tmp_path, TWO_LOSSES, "sweep=null").sweep is None


GROUPED = """\
optimizer_groups: {head: {params: classifier.*, optimizer: SGD, optimizer_params: {lr: 0.5}}}
sweep:
  grid:
    optimizer_groups.head.optimizer_params.lr: [0.1, 0.2]
    optimizer_groups.head.epochs: [null, 3]
"""


def test_groups_of_parameters_are_swept_by_their_names(tmp_path):
    groups = [cell.config.optimizer_groups["head"] for cell in expand(sweep(tmp_path, GROUPED))]
    assert [(each.optimizer_params["lr"], each.epochs) for each in groups] == [
        (0.1, None),
        (0.1, 3),
        (0.2, None),
        (0.2, 3),
    ]
    assert [each.params for each in groups] == ["classifier.*"] * 4
    assert mistakes(tmp_path, GROUPED.replace("[null, 3]", "[0]"))[0].startswith(
        "config.yml:5: sweep.grid.optimizer_groups.head.epochs.0: must be"
    )


def test_a_rule_about_what_the_command_line_gives_holds_or_not(tmp_path):
    text = TWO_LOSSES + "  exclude: [{loss: CE, optimizer_params.lr: 0.2}]\n"
    assert len(names(tmp_path, text, "optimizer_params.lr=0.2")) == 2
    assert len(names(tmp_path, text, "optimizer_params.lr=0.3")) == 4


def test_template_documents_every_key_of_the_block():
    text = (Path(__file__).resolve().parents[2] / "config_template.yml").read_text()
    assert all(key in text for key in (*Block.__struct_fields__, "trials", "ranges", "sampler", "pruner"))


def test_all_mistakes_are_told_at_once_each_with_its_line(tmp_path):
    text = """\
    num_epochs: 0
    sweep:
      grid:
        archtecture: [a]
        batch_size: [1, 0, x]
        dropout: []
        loss:
          - {loss_function: CrossEntropy, loss_parms: {}}
          - {name: x, loss_params: 3, seed: 2}
        optimizer_params.lr: [1, 1]
        optimizer.lr: [3]
        image_augmentations: [{RandomCrp: {}}]
      seeds: 3
      search:
        ranges:
          weight_decay: {uniform: [0, 1]}
          batch_size: {log: [0, 8]}
          num_epochs: {int: [1.5, 2]}
          dropout: {unifrm: [0, 1]}
          label_noise: {uniform: [0, 1]}
    """
    assert mistakes(tmp_path, text) == [
        "config.yml:1: num_epochs: must be a whole number >= 1, got 0",
        "config.yml:4: sweep.grid.archtecture: unknown key; did you mean 'architecture'?",
        "config.yml:5: sweep.grid.batch_size.1: must be a whole number >= 1, got 0",
        "config.yml:5: sweep.grid.batch_size.2: must be a whole number >= 1, got 'x'",
        "config.yml:6: sweep.grid.dropout: is empty: give at least one value, or leave it out",
        "config.yml:7: sweep.grid.loss: seed is varied by sweep.seeds already",
        "config.yml:8: sweep.grid.loss.0.loss_function: unknown loss 'CrossEntropy'; did you mean 'CrossEntropyLoss'? "
        "(python train.py --list losses)",
        "config.yml:8: sweep.grid.loss.0.loss_parms: unknown key 'loss_parms'; did you mean 'loss_params'?",
        "config.yml:9: sweep.grid.loss.1.loss_params: must be a mapping of parameters, got 3",
        "config.yml:10: sweep.grid.optimizer_params.lr: holds 1 twice",
        "config.yml:11: sweep.grid.optimizer.lr.0: 'AdamW' holds no parameters",
        "config.yml:12: sweep.grid.image_augmentations.0.RandomCrp: unknown transform 'RandomCrp'; did you mean "
        "'RandomCrop'? (python train.py --list transforms)",
        "config.yml:16: sweep.search.ranges.weight_decay.uniform: unknown key 'weight_decay'; did you mean "
        "'weights_path'?",
        "config.yml:17: sweep.search.ranges.batch_size: is varied by the grid or seeds already",
        "config.yml:17: sweep.search.ranges.batch_size.log: must be > 0, got [0, 8]",
        "config.yml:18: sweep.search.ranges.num_epochs.int: must be [lowest, highest], two whole numbers, got [1.5, 2]",
        "config.yml:19: sweep.search.ranges.dropout: must be one of log, uniform, int, choice and its values, got "
        "{'unifrm': [0, 1]}; did you mean 'uniform'?",
        "config.yml:20: sweep.search.ranges.label_noise.uniform: must be a number >= 0 and < 1, got 1",
    ]


def test_mistakes_of_a_search_are_told_at_once_whatever_their_kind(tmp_path):
    text = """\
    num_epochs: 0
    sweep:
      grid: {batch_size: [0], 3: x}
      seeds: [-1]
      retries: many
      search:
        ranges:
          dropout: {uniform: [1, 0]}
          label_noise: 3
        trials: many
        sampler: TPSampler
        sampler_params: [1]
        pruner: PercentilePruner
        pruner_params: {percentile: 200}
        prunr: x
    """
    lines = [line.split(": ", 2) for line in mistakes(tmp_path, text)]
    assert [(int(place.rpartition(":")[2]), key) for place, key, _ in lines] == [
        (1, "num_epochs"),
        *((3, f"sweep.grid.{key}") for key in ("3", "batch_size.0")),
        *((4, "sweep.seeds"), (5, "sweep.retries")),
        *((8, "sweep.search.ranges.dropout.uniform"), (9, "sweep.search.ranges.label_noise")),
        *((10, "sweep.search.trials"), (11, "sweep.search.sampler"), (12, "sweep.search.sampler_params")),
        *((14, "sweep.search.pruner_params"), (15, "sweep.search.prunr")),
    ]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("{}", "config.yml:1: sweep: is empty: give a grid, seeds or a search, or leave it out"),
        ("3", "config.yml:1: sweep: must be a mapping of parameters or null, got 3"),
        ("{grd: {}}", "config.yml:1: sweep.grd: unknown key; did you mean 'grid'?"),
        ("{grid: {seed: [1, 2]}, seeds: 3}", "config.yml:1: sweep.grid.seed: seed is varied by sweep.seeds already"),
        ("{grid: {batch_size: 3}}", "config.yml:1: sweep.grid.batch_size: must be a list of values, got 3"),
        ("{grid: {optimzer: [SGD]}}", "config.yml:1: sweep.grid.optimzer: unknown key; did you mean 'optimizer'?"),
        ("{grid: {zzz: [1]}}", "sweep.grid.zzz: unknown key; a name of your own takes a list of mappings"),
        ("{seeds: 0}", "sweep.seeds: must be a whole number >= 1, a list of whole numbers, 'auto' or null, got 0"),
        ("{seeds: [1, 1]}", "config.yml:1: sweep.seeds: must name each seed once, got [1, 1]"),
        ("{seeds: [-1]}", "config.yml:1: sweep.seeds: must hold whole numbers >= 0 and < 4294967296, got [-1]"),
        ("{seeds: []}", "config.yml:1: sweep.seeds: must name at least one seed, got []"),
        ("{seeds: 2, exclude: [{sed: 1}]}", "config.yml:1: sweep.exclude.0.sed: is not varied; did you mean 'seed'? "),
        ("{seeds: 2, exclude: [{}]}", "config.yml:1: sweep.exclude.0: is empty: it would leave out every run"),
        ("{seeds: 2, exclude: [{seed: [0, 1]}]}", "config.yml:1: sweep.exclude: leaves out every run"),
        ("{seeds: 2, gpus_per_run: -1}", "config.yml:1: sweep.gpus_per_run: must be a number >= 0 or null, got -1"),
        ("{seeds: 2, search: {}}", "config.yml:1: sweep.search.ranges: is empty: give at least one key and its range"),
        ("{seeds: 2, search: 3}", "config.yml:1: sweep.search: must be a mapping with ranges and trials"),
        ("{grid: {zz: [{name: x, seed: 1}, {name: x, seed: 2}]}}", "config.yml:1: sweep.grid.zz: holds 'x' twice"),
        ("{grid: {yy: [{seed: 1}], zz: [{seed: 2}]}}", "sweep.grid.zz: seed is varied by sweep.grid.yy already"),
        ("{grid: {num_workers: [0, 2]}}", "sweep.grid.num_workers: has no effect on results: all its values"),
        (
            "{grid: {zz: [{notes: a}, {cache: none}]}}",
            "config.yml:1: sweep.grid.zz: has no effect on results: all its values",
        ),
        (
            "{search: {ranges: {cache_limit_gb: {uniform: [1, 2]}}, trials: 2}}",
            "sweep.search.ranges.cache_limit_gb: has no effect on results: there is nothing to search",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path, block, message):
    (line,) = mistakes(tmp_path, f"sweep: {block}\n")
    assert message in line


def test_values_that_do_not_fit_together_are_told_by_run_with_the_rule_that_leaves_them_out(tmp_path):
    text = """\
    sweep:
      grid:
        valid_fraction: [0, 0.1]
        select_on: [valid, test]
        batch_size: [16, 32]
    """
    assert mistakes(tmp_path, text) == [
        "config.yml:2: sweep.grid: 2 of 8 runs cannot be trained: valid_fraction: must be > 0 with select_on: valid, "
        "got 0",
        "  valid_fraction=0, select_on=valid, batch_size=16; valid_fraction=0, select_on=valid, batch_size=32",
        "  to leave them out, exclude: [{valid_fraction: 0, select_on: valid}]",
    ]
    mended = sweep(tmp_path, textwrap.dedent(text) + "  exclude: [{valid_fraction: 0, select_on: valid}]\n")
    check_together(mended)
    assert len(list(expand(mended))) == 6


def test_parameters_are_checked_for_every_run_that_has_them(tmp_path):
    text = """\
    sweep:
      grid:
        loss_function: [CrossEntropyLoss, FocalLoss]
        loss_params.gamma: [2, -1]
        optimizer: [SGD, AdamW]
    """
    with pytest.raises(ConfigError) as error:
        check_parameters(sweep(tmp_path, text))
    lines = str(error.value).splitlines()
    assert [line.partition("sweep.grid: ")[2][:50] for line in lines[::3]] == [
        "4 of 8 runs cannot be trained: loss_params.gamma: ",
        "2 of 8 runs cannot be trained: loss_params: FocalL",
    ]
    assert lines[1].startswith("  loss_function=CrossEntropyLoss, loss_params.gamma=2, optimizer=SGD; ")
    assert lines[1].endswith("; and 1 more")
    exclude = "  to leave them out, exclude: [{loss_function: "
    assert lines[2] == f"{exclude}CrossEntropyLoss, loss_params.gamma: [2, -1]}}]"
    assert lines[5] == f"{exclude}FocalLoss, loss_params.gamma: -1}}]"


def test_runs_beyond_those_that_are_named_can_be_told_by_what_they_have(tmp_path):
    text = "sweep: {grid: {loss_function: [FocalLoss, HingeLoss], loss_params: [{}, {beta: 1}]}, seeds: 13}\n"
    with pytest.raises(ConfigError) as error:
        check_parameters(sweep(tmp_path, text))
    *_, said, names, rule = str(error.value).splitlines()
    assert "26 of 52 runs cannot be trained: loss_params.beta: unknown parameter" in said
    assert names.count(";") == 3
    assert names.endswith("; and 23 more")
    assert rule == "  to leave them out, exclude: [{loss_function: [FocalLoss, HingeLoss], loss_params: {beta: 1}}]"


@pytest.mark.parametrize(
    ("grid", "ranges", "said"),
    [
        (
            "optimizer: [SGD, AdamW]",
            "optimizer_params.lrr: {log: [0.1, 1]}",
            "optimizer_params.lrr: unknown parameter; did",
        ),
        ("batch_size: [4, 8]", "loss_params.foo: {int: [1, 3]}", "loss_params.foo: unknown parameter"),
        (
            "loss_function: [CrossEntropyLoss, FocalLoss]",
            "loss_params.gamma: {choice: [1, 2]}",
            "(with loss_function: CrossEntropyLoss)",
        ),
        (
            "loss_function: [FocalLoss]",
            "loss_params.gamma: {uniform: [-1, 2]}",
            "gamma must be finite and >= 0, got -1",
        ),
    ],
)
def test_ranges_that_nothing_takes_are_told_before_any_trial(tmp_path, grid, ranges, said):
    text = f"sweep: {{grid: {{{grid}}}, search: {{ranges: {{{ranges}, dropout: {{uniform: [0, 0.5]}}}}}}}}\n"
    searched = sweep(tmp_path, text)
    check_parameters(searched)
    with pytest.raises(ConfigError) as error:
        check_ranges(searched)
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"{tmp_path}/config.yml:1: sweep.search.ranges.{ranges.partition(':')[0]}: ")
    assert said in line
    check_ranges(sweep(tmp_path, text.replace(f"{ranges}, ", "")))
    check_ranges(sweep(tmp_path, "sweep: {seeds: 2}\n"))


def test_a_loss_of_two_classes_is_refused_on_data_that_are_known_to_have_others(tmp_path):
    text = """\
    loss_function: CrossEntropyLoss
    sweep:
      grid:
        dataset: [digits, cifar10_pair, image_folder, cifar100]
        loss_function: [CrossEntropyLoss, BinaryOneSidedMarginLoss, FocalLoss]
    """
    with pytest.raises(ConfigError) as error:
        check_parameters(sweep(tmp_path, text))
    name = "BinaryOneSidedMarginLoss"
    said, names, rule = str(error.value).splitlines()
    for number in (10, 100):
        assert f"loss_function: {name} tells two classes apart, the data has {number}; " in said
    assert said.partition("sweep.grid: ")[2].startswith("2 of 12 runs cannot be trained: ")
    assert names == f"  dataset=digits, loss_function={name}; dataset=cifar100, loss_function={name}"
    assert rule == f"  to leave them out, exclude: [{{dataset: [digits, cifar100], loss_function: {name}}}]"
    mended = textwrap.dedent(text).replace("[digits, ", "[").replace(", cifar100]", "]")
    check_parameters(sweep(tmp_path, mended))
    check_parameters(sweep(tmp_path, f"classes: [0, 1]\n{textwrap.dedent(text)}"))


def test_a_mistake_that_all_runs_have_is_told_as_that_of_one_run(tmp_path):
    text = "loss_function: FocalLoss\nloss_params: {gama: 1}\nsweep: {seeds: 2}\n"
    with pytest.raises(ConfigError, match=r"^.*config\.yml:2: loss_params\.gama: unknown parameter; did you mean"):
        check_parameters(sweep(tmp_path, text))


def test_a_sweep_is_never_trained_as_one_run(tmp_path):
    with pytest.raises(ConfigError, match=r"config\.yml:1: sweep: describes several runs, this trains one"):
        prepare(read(tmp_path, "sweep: {seeds: 2}\ndataset: digits\n"))


@pytest.mark.parametrize("rule", TOGETHER, ids=lambda rule: "-".join(rule.keys))
def test_a_rule_of_the_configuration_looks_at_its_keys_alone(rule):
    class Some:
        def __getattr__(self, key: str) -> object:
            assert key in rule.keys
            return getattr(Configuration(), key)

    assert rule.check(Some()) == []
    assert set(rule.keys) <= set(KEYS)


def test_a_check_of_parameters_looks_at_its_keys_alone():
    from training.checks import PARAMETER_CHECKS

    base = {"mixing": "MixUp", "lr_scheduler": "StepLR", "lr_scheduler_params": {"step_size": 2}, "dataset": "digits"}
    for check in PARAMETER_CHECKS:

        class Some:
            def __getattr__(self, key: str, keys: tuple[str, ...] = check.keys) -> object:
                assert key in keys
                return base.get(key, getattr(Configuration(), key))

        assert check.problems(Some()) == []  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("grid", "told"),
    [
        ("architecture: [ghost, resnet10t, ghostnet]", "architecture: ghost and ghostnet are"),
        ("image_size: [32, [32, 32]]", "image_size: 32 and [32, 32] are"),
        ("optimizer_params.lr: [1, 1.0]", "optimizer_params.lr: 1 and 1.0 are"),
        ("erase_background: [true, false]", "erase_background: true and false are"),
        ("lr_scheduler_params.gamma: [0.1, 0.2]", "lr_scheduler_params.gamma: 0.1 and 0.2 are"),
        (
            "loss: [{name: A, loss_function: FocalLoss}, {name: B, loss_function: FocalLoss, loss_params: {gamma: 2}}]",
            "loss: A and B are",
        ),
    ],
)
def test_values_that_mean_the_same_run_are_refused_in_words(tmp_path, grid, told):
    text = f"dataset: digits\nsweep:\n  grid:\n    batch_size: [8, 16]\n    {grid}\n  seeds: 2\n"
    assert mistakes(tmp_path, text) == [f"config.yml:5: sweep.grid.{told} the same run: leave one of them"]


@pytest.mark.parametrize(
    "grid",
    [
        "{augment_images: [false, true], image_augmentations: [{RandomHorizontalFlip: {}}, {RandomVerticalFlip: {}}]}",
        "{crop_to_bboxes: [false, true], erase_background: [false, true]}",
        "{data_path: [a, b]}",
        "{weights_path: [a, b]}",
        "{precision: [auto, bf16-mixed]}",
        "{loss_function: [FocalLoss, CenterLoss], loss_params: [{}, {alpha: 0.5}]}",
    ],
)
def test_values_that_differ_in_some_runs_are_not_refused(tmp_path, grid):
    check_together(sweep(tmp_path, f"dataset: digits\nsweep: {{grid: {grid}}}\n"))


def test_runs_that_are_the_same_as_others_are_named(tmp_path):
    text = "dataset: digits\nsweep: {grid: {crop_to_bboxes: [false, true], erase_background: [false, true]}}\n"
    (line,) = [line for line in describe(sweep(tmp_path, text), Shard()).splitlines() if "the same" in line]
    assert line == (
        "1 of them are the same as others and done once: crop_to_bboxes=false, erase_background=false = "
        "crop_to_bboxes=false, erase_background=true"
    )

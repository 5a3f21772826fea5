"""Configuration: what is read, what is refused, and in which words."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import yaml

from configuration.checks import ELSEWHERE
from configuration.reading import read_configuration
from configuration.schema import KEYS, SECRETS, WITHOUT_INFLUENCE, Configuration, Normalization
from evaluation.catalogue import LISTS, NAME_CHECKS, list_names
from training.names import OF_OBJECTS, optimizers, schedulers, transforms
from utils.types import ConfigError

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "config_template.yml"

THESIS_FILE = """
    # Logging settings:
    loglevel: 'INFO'
    logging_dir: 'logs'
    log_to_neptune: False
    neptune_username: '<neptune.ai username>'
    neptune_project_name: '<neptune.ai project name>'
    neptune_api_token: '<neptune.ai API token>'
    stanford_raw_data_path: '<folder>'
    stanford_data_path: 'input/stanford'
    output_path: 'output'
    image_size: &img_size [227, 227]
    convert_to_grayscale: False
    normalize: True
    normalization_params_rgb:
      mean: [0.4707, 0.4602, 0.4550]
      std: [0.2594, 0.2585, 0.2635]
    normalization_params_grayscale:
      mean: [0.4627]
      std: [0.2545]
    crop_to_bboxes: True
    erase_background: True
    augment_images: True
    image_augmentations:
      RandomHorizontalFlip:
        p: 0.5
      RandomResizedCrop:
        size: *img_size
    augment_tensors: True
    tensor_augmentations:
      RandomErasing:
        p: 0.5
        scale: [0.02, 0.25]
    architecture: 'ghost'
    batch_size: 64
    num_epochs: 200
    dropout: 0.2
    out_channels: 320
    optimizer: AdamW
    optimizer_params:
      lr: 0.001
      weight_decay: 0.6
    lr_scheduler: None
    lr_scheduler_params:
    loss_function: LabelSmoothingCrossEntropy
    loss_params:
"""


def write(folder: Path, text: str) -> str:
    path = folder / "config.yml"
    path.write_text(textwrap.dedent(text))
    return str(path)


def mistakes(folder: Path, text: str, *overrides: str) -> list[str]:
    """Return the lines of the error, the folder's name cut off."""
    with pytest.raises(ConfigError) as error:
        read_configuration(write(folder, text), overrides, NAME_CHECKS)
    return [line.replace(f"{folder}/", "") for line in str(error.value).splitlines()]


# ------------------------------------------------------------------------------------------------- what is read


def test_thesis_file_means_what_it_meant(tmp_path):
    config = read_configuration(write(tmp_path, THESIS_FILE), [], NAME_CHECKS)
    assert config.dataset == "stanford_cars"
    assert config.architecture == "ghost"
    assert config.output_channels == 320
    assert config.lr_scheduler is None
    assert config.lr_scheduler_params == {}
    assert config.loss_params == {}
    assert isinstance(config.image_augmentations, dict)
    assert config.image_augmentations["RandomResizedCrop"] == {"size": [227, 227]}
    assert config.crop_to_bboxes is True


def test_both_spellings_of_output_channels_are_one_key(tmp_path):
    assert read_configuration(write(tmp_path, "output_channels: 640\n")).output_channels == 640
    assert read_configuration(write(tmp_path, "out_channels: 640\n")).output_channels == 640
    assert mistakes(tmp_path, "out_channels: 640\noutput_channels: 320\n") == [
        "config.yml:1: out_channels: is another spelling of 'output_channels'; give only one"
    ]


def test_command_line_wins_over_file_and_file_over_default(tmp_path):
    file = write(tmp_path, "batch_size: 16\nseed: 3\noptimizer_params: {lr: 0.1, momentum: 0.9}\noptimizer: SGD\n")
    config = read_configuration(file, ["seed=5", "optimizer_params.lr=1e-2"])
    assert (config.batch_size, config.seed, config.num_epochs) == (16, 5, 200)
    assert config.optimizer_params == {"lr": 0.01, "momentum": 0.9}


def test_override_below_a_key_that_the_file_lacks_changes_its_default():
    assert read_configuration(None, ["optimizer_params.weight_decay=0.5"]).optimizer_params == {
        "lr": 0.001,
        "weight_decay": 0.5,
    }
    assert read_configuration(None).optimizer_params == {"lr": 0.001}


@pytest.mark.parametrize("key", KEYS)
def test_null_is_null_where_it_is_allowed_and_the_default_only_for_a_mapping(key):
    default = Configuration.default(key)
    if isinstance(default, (dict, Normalization)):
        assert getattr(read_configuration(None, [f"{key}=null"]), key) == default
    elif type(None) in get_args(get_type_hints(Configuration)[key]):
        assert getattr(read_configuration(None, [f"{key}=null"]), key) is None
    else:
        with pytest.raises(ConfigError, match="got nothing"):
            read_configuration(None, [f"{key}=null"])


def test_merged_configuration_reads_back_as_it_was_without_its_secret(tmp_path):
    address = "\n    mlflow_uri: https://me:secret@host/x"
    config = read_configuration(write(tmp_path, THESIS_FILE.replace("'<neptune.ai API token>'", "abcdef123" + address)))
    text = config.to_yaml()
    assert "abcdef123" not in text
    assert "secret" not in text
    again = read_configuration(write(tmp_path, text))
    assert again.values(without={*SECRETS, "mlflow_uri"}) == config.values(without={*SECRETS, "mlflow_uri"})


def test_whole_numbers_are_taken_for_numbers():
    config = read_configuration(None, ["valid_fraction=0.5", "dropout=0", "gradient_clip_norm=2"])
    assert repr([config.dropout, config.gradient_clip_norm]) == "[0.0, 2.0]"


def test_configurations_share_no_default_and_cannot_be_changed():
    first, second = read_configuration(None), read_configuration(None)
    first.optimizer_params["lr"] = 1.0
    first.trackers.clear()
    first.normalization_params_rgb.mean[0] = 0.0
    first.values()["tensor_augmentations"]["RandomErasing"] = {}
    assert second == read_configuration(None)
    assert first.tensor_augmentations == {}
    with pytest.raises(AttributeError, match="immutable"):
        first.seed = 3  # pyright: ignore[reportAttributeAccessIssue]


def test_only_another_value_than_the_default_counts_as_set():
    config = read_configuration(None, ["seed=0", "batch_size=7", "optimizer_params={lr: 0.001}"])
    assert [key for key in KEYS if config.was_set(key)] == ["batch_size"]


# ---------------------------------------------------------------------------------------------- what is refused


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path):
    text = """\
    out_chanels: 320
    batch_size: 0
    num_epochs: ten
    loss_function: CrossEntropy
    optimizer: Adm
    image_augmentations:
      RandomHorizontalFlp: {p: 0.5}
    normalization_params_rgb: {mean: [0.5, 0.5], std: [1, 1, 0]}
    """
    assert mistakes(tmp_path, text, "valid_fraction=1.5", "lr_scheduler=StepLr") == [
        "config.yml:1: out_chanels: unknown key; did you mean 'output_channels'?",
        "config.yml:2: batch_size: must be a whole number >= 1, got 0",
        "config.yml:3: num_epochs: must be a whole number >= 1, got 'ten'",
        "config.yml:4: loss_function: unknown loss 'CrossEntropy'; did you mean 'CrossEntropyLoss'? "
        "(python train.py --list losses)",
        "config.yml:5: optimizer: unknown optimizer 'Adm'; did you mean 'Adam'? (python train.py --list optimizers)",
        "config.yml:7: image_augmentations.RandomHorizontalFlp: unknown transform 'RandomHorizontalFlp'; did you mean "
        "'RandomHorizontalFlip'? "
        "(python train.py --list transforms)",
        "config.yml:8: normalization_params_rgb.std: must be a list of numbers > 0, got [1, 1, 0]",
        "command line: valid_fraction: must be a number >= 0 and < 1, got 1.5",
        "command line: lr_scheduler: unknown scheduler 'StepLr'; did you mean 'StepLR'? "
        "(python train.py --list schedulers)",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nseed: 2\n", "config.yml:2: seed: stands twice, first in config.yml:1"),
        ("batch_size: 6.5\n", "config.yml:1: batch_size: must be a whole number >= 1, got 6.5"),
        ("batch_size: true\n", "config.yml:1: batch_size: must be a whole number >= 1, got True"),
        ("normalize: 1\n", "config.yml:1: normalize: must be true, false or 'auto', got 1"),
        ("dropout: 1.0\n", "config.yml:1: dropout: must be a number >= 0 and < 1 or null, got 1.0"),
        ("optimizer_params: 0.1\n", "config.yml:1: optimizer_params: must be a mapping of parameters, got 0.1"),
        ("select_on: train\n", "config.yml:1: select_on: must be 'valid' or 'test', got 'train'"),
        ("tags: a\n", "config.yml:1: tags: must be a list of texts, got 'a'"),
        ("devices: 0\n", "config.yml:1: devices: must be a whole number >= 1 or 'auto', got 0"),
        (
            "image_size: [0, 3]\n",
            "config.yml:1: image_size: must be a whole number >= 1, a list of 2 whole numbers >= 1 or null, got [0, 3]",
        ),
        ("crop_to_bboxes: 1\n", "config.yml:1: crop_to_bboxes: must be true, false or 'all', got 1"),
        ("valid_fraction: .nan\n", "config.yml:1: valid_fraction: must be a number >= 0 and < 1, got nan"),
        ("seed: 4294967296\n", "config.yml:1: seed: must be a whole number >= 0 and < 4294967296, got 4294967296"),
        ("dataset: 7\n", "config.yml:1: dataset: must be a text, got 7"),
        ("output_path: ''\n", "config.yml:1: output_path: must be a text that is not empty, got ''"),
        ("optimizer_params: {7: 8}\n", "config.yml:1: optimizer_params: must be a mapping of parameters, got {7: 8}"),
        (
            "image_augmentations:\n  RandomRotation: 3\n",
            "config.yml:2: image_augmentations.RandomRotation: must be a mapping of parameters, got 3",
        ),
        (
            "normalization_params_grayscale: {mean: [0.5]}\n",
            "config.yml:1: normalization_params_grayscale: must be a mapping with mean and std, got {'mean': [0.5]}",
        ),
        (
            "normalization_params_grayscale:\n  mean: [0.5]\n  sdt: [0.5]\n",
            "config.yml:3: normalization_params_grayscale.sdt: unknown key; did you mean 'std'?",
        ),
        ("_places: {}\n", "config.yml:1: _places: unknown key"),
        ("batch_size:\n", "config.yml:1: batch_size: must be a whole number >= 1, got nothing"),
        ("7: 8\n", "config.yml:1: 7: unknown key"),
        ("valid_fraction: 0\n", "config.yml:1: valid_fraction: must be > 0 with select_on: valid, got 0"),
        (
            "normalization_params_rgb: {mean: [0.5], std: [0.5, 0.5, 0.5]}\n",
            "config.yml:1: normalization_params_rgb.mean: must hold 3 numbers, got [0.5]",
        ),
        ("weights_path: http://x/y.pt\n", "config.yml:1: weights_path: must be a local file, not an address: "),
        ("monitor: valid/acuracy\n", "config.yml:1: monitor: unknown metric 'valid/acuracy'; did you mean"),
        ("architecture: resnet5O\n", "config.yml:1: architecture: unknown architecture 'resnet5O'; did you mean"),
        ("dataset: cifar\n", "config.yml:1: dataset: unknown data set 'cifar'; did you mean 'cifar10"),
        ("trackers: [mlfow]\n", "config.yml:1: trackers.0: unknown tracker 'mlfow'; did you mean 'mlflow'?"),
        ("optimizer: Lookahead\n", "config.yml:1: optimizer: Lookahead cannot be used: it wraps another optimizer"),
        ("tensor_augmentations: {Lambda: {}}\n", "tensor_augmentations.Lambda: Lambda cannot be used: it needs code"),
        ("label_noise: 1.0\n", "config.yml:1: label_noise: must be a number >= 0 and < 1, got 1.0"),
        ("label_noise: -0.1\n", "config.yml:1: label_noise: must be a number >= 0 and < 1, got -0.1"),
        (
            "mixing: Cutmix\n",
            "config.yml:1: mixing: unknown mixing 'Cutmix'; did you mean 'CutMix'? (python train.py --list mixing)",
        ),
        ("mixing_params: 1\n", "config.yml:1: mixing_params: must be a mapping of parameters, got 1"),
        ("tensor_augmentations: {Cutout: {}}\n", "tensor_augmentations.Cutout: unknown transform 'Cutout'; did"),
        ("image_augmentations: {CutOut: {}}\n", "image_augmentations.CutOut: CutOut cannot be used: it works on"),
        ("a: [1,\n", "config.yml:2: not valid YAML"),
        ("a: !!python/object:os.system x\n", "not valid YAML"),
        ("- 1\n", "config.yml:1: expected `key: value` lines, got a list"),
    ],
)
def test_a_mistake_is_told_with_place_value_and_what_is_allowed(tmp_path, text, message):
    (line,) = mistakes(tmp_path, text)
    assert message in line


@pytest.mark.parametrize("override", ["optimizer.lr=1", "seed.x=2"])
def test_override_below_a_plain_value_is_refused(override):
    with pytest.raises(ConfigError, match="command line"):
        read_configuration(None, [override])


def test_missing_file_says_what_to_do(tmp_path):
    (tmp_path / "osm_table5.yml").touch()
    with pytest.raises(ConfigError, match=r"osm_table55\.yml: no such file; did you mean 'osm_table5\.yml'\?"):
        read_configuration(str(tmp_path / "osm_table55.yml"))
    with pytest.raises(ConfigError, match=r"none\.yml: no such file; copy config_template\.yml"):
        read_configuration(str(tmp_path / "none.yml"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_file_that_is_none_is_refused_rather_than_waited_for(tmp_path):
    for of_a_run in (False, True):
        path = tmp_path / f"{of_a_run}.yml"
        os.mkfifo(path)
        for file in (path, "/dev/zero"):
            with pytest.raises(ConfigError, match=rf"^{file}: cannot be read: no regular file$"):
                read_configuration(str(file), of_a_run=of_a_run)
    with pytest.raises(ConfigError, match=rf"^{tmp_path}: cannot be read: "):
        read_configuration(str(tmp_path))


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="needs /dev/fd")
def test_a_pipe_that_a_shell_opened_is_read():
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "w") as stream:
        stream.write("seed: 7\n")
    try:
        assert read_configuration(f"/dev/fd/{read_end}").seed == 7
    finally:
        os.close(read_end)


def test_secret_never_shows_in_a_message(tmp_path):
    (line,) = mistakes(tmp_path, "neptune_api_tokn: hunter2-hunter2\n")
    assert "hunter2" not in line


# --------------------------------------------------------------------------------------------------- the template


def test_template_holds_every_key_and_no_other():
    assert set(yaml.safe_load(TEMPLATE.read_text())) == set(KEYS)
    read_configuration(str(TEMPLATE), [], NAME_CHECKS)


def documented_defaults() -> dict[str, str]:
    """Return key -> the text behind "Default:" in the comment before or behind it."""
    found, comment = {}, ""
    for line in TEMPLATE.read_text().splitlines():
        if line.startswith("#"):
            comment += line[1:]
        elif match := re.match(r"(\w+):", line):
            behind = line.partition("#")[2]
            default = re.search(r"Default:\s*(.*)$", behind or comment)
            if default:
                found[match[1]] = default[1]
            comment = comment if behind else ""
        elif not line:
            comment = ""
    return found


@pytest.mark.parametrize("key", KEYS)
def test_template_tells_the_default_that_holds(key):
    assert yaml.safe_load(documented_defaults()[key]) == Configuration().values()[key]


def test_keys_without_influence_are_keys():
    assert set(KEYS) >= WITHOUT_INFLUENCE


# -------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("table", LISTS)
def test_every_table_is_listed_with_a_line_for_each_name(table):
    lines = [line for line in list_names(table).splitlines() if line.startswith("  ")]
    assert [line.split(maxsplit=1)[0] for line in lines] == list(LISTS[table]())
    assert all(len(line.split(maxsplit=1)) == 2 for line in lines)


def test_architectures_are_listed_with_their_costs_ours_first():
    told, *sections = list_names("architectures").split("\n\n")
    assert told.startswith("Trainable parameters at 1000 classes, multiply-adds")
    assert [section.partition(":")[0] for section in sections] == [
        "ours",
        "for pixels and regions",
        "the thesis's short names",
        "torchvision",
        "timm",
    ]
    rows = {line.split()[0]: line.split()[1:] for section in sections for line in section.splitlines()[1:]}
    assert rows["ghostnet"][:6] == ["5.18", "M", "141", "M", "224", "GhostNet"]
    assert rows["ghost"] == ["5.18", "M", "141", "M", "224", "short", "for", "ghostnet"]
    assert rows["torchvision/vgg16"] == ["138", "M", "15.5", "G", "224", "torchvision"]
    assert " ".join(rows["dla34"]) == "not supported: its last layer is a convolution"


def test_costs_stand_in_columns_within_a_line():
    for section in list_names("architectures").split("\n\n")[1:]:
        head, *rows = section.splitlines()
        if head.startswith("for pixels and regions"):  # which are counted with their body
            continue
        place = head.index("image") + len("image")
        counted = [row for row in rows if row[place - 3 : place].strip().isdigit()]
        assert len(counted) > 0.9 * len(rows)
        assert max(map(len, rows)) <= 120


def test_a_network_that_was_not_counted_is_listed_without_numbers(monkeypatch):
    monkeypatch.setattr("evaluation.catalogue.read_sizes", dict)
    rows = list_names("architectures").splitlines()
    assert next(row for row in rows if row.startswith("  vgg16 ")).split() == ["vgg16", "timm"]


def test_unknown_table_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'losses'"):
        list_names("loses")


def test_names_read_from_the_libraries_sources_are_what_they_export():
    import timm.optim
    import torch
    from torchvision import transforms as tv
    from torchvision.transforms import v2

    for name in optimizers():
        constructor = getattr(torch.optim, name, None) or getattr(timm.optim, name)
        assert issubclass(constructor, torch.optim.Optimizer)
    shipped = {name for name, it in vars(torch.optim).items() if isinstance(it, type)} - {"Optimizer", "SparseAdam"}
    assert shipped <= set(optimizers())
    for name in set(schedulers()) - {"CosineWarmupRestarts"}:
        assert issubclass(getattr(torch.optim.lr_scheduler, name), torch.optim.lr_scheduler.LRScheduler)
    for name in OF_OBJECTS:
        assert callable(getattr(v2, name))
    for name in set(transforms()) - {"AlternatingFlip", *OF_OBJECTS}:
        assert callable(getattr(tv, name))


@pytest.mark.parametrize("word", sorted(ELSEWHERE))
def test_other_programs_words_for_a_key_are_answered_with_the_key_here(word):
    assert word not in KEYS
    with pytest.raises(
        ConfigError, match=rf"command line: {word}: unknown key; here it is {re.escape(ELSEWHERE[word])}"
    ):
        read_configuration(None, [f"{word}=1"])
    meant = ELSEWHERE[word].partition(".")[0]
    assert meant in KEYS or " " in meant


def test_rules_between_keys_are_told_together_with_types(tmp_path):
    text = "batch_size: abc\npretrained: true\nweights_path: x.pt\nnormalization_params_rgb: {mean: 0.5, std: [1]}\n"
    with pytest.raises(ConfigError) as error:
        read_configuration(write(tmp_path, text + "image_augmentations:\n  RandomHorizontalFlip:\n"))
    lines = str(error.value).splitlines()
    assert [line.partition("config.yml:")[2].partition(": ")[0] for line in lines] == ["1", "3", "4", "6"]
    assert lines[2].endswith("got 0.5; write [0.5], or [0.5, 0.5, 0.5] for three")
    assert lines[3].endswith("got nothing; write {} for none")


# ------------------------------------------------------------------------------------------------------- start-up


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        *((["--help"], 0), (["--list"], 0), *((["--list", table], 0) for table in LISTS)),
        *((["batch_sise=3"], 2), (["mixing=Mixup"], 2)),
        (["architecture=resnet5O", "optimizer=Adm", "lr_scheduler=StepLr", "batch_size=0"], 2),
    ],
)
def test_help_lists_and_mistakes_answer_without_torch(arguments, status):
    code = (
        "import sys; sys.argv = ['train.py', *sys.argv[1:]]\n"
        "import train\n"
        "try:\n    status = train.main()\n"
        "except SystemExit as leave:\n    status = leave.code\n"
        "print('HEAVY', sorted({'torch', 'numpy', 'timm', 'pytorch_lightning'} & set(sys.modules)), status or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == f"HEAVY [] {status}", done.stderr

"""Each measure of SECURITY.md: what it keeps out stays out. A test here fails when its measure is removed."""

from __future__ import annotations

import functools
import http.client
import importlib
import io
import json
import logging
import os
import pickle
import re
import socket
import struct
import subprocess
import sys
import tarfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from packaging.requirements import Requirement
from packaging.version import Version
from PIL import Image

import train
from configuration.reading import read_configuration
from configuration.schema import KEYS, Configuration
from datasets.label_noise import read_noisy_labels
from datasets.readers import files, images, matlab, parquet_files, tables
from datasets.readers.archives import extract
from datasets.readers.images import decode, open_image
from datasets.sets import cifar, csv_table, fashion_mnist, parquet
from datasets.sets.cifar import cifar10
from evaluation import human_agreement
from evaluation.catalogue import NAME_CHECKS
from models import build_model
from runs.checkpoints import AtomicCheckpointIO, DamagedCheckpoint, load_checkpoint, save_checkpoint
from runs.confusions import plot_confusion
from runs.environment import PACKAGES, environment
from runs.figures import plot_augmentations
from runs.folder import RunFolder, run_folder
from tests.code_rules import offences, sources
from tests.conftest import QUICK, read_quick
from tests.datasets.official_layouts import write_cifar
from tests.fuzz.fuzzing import within
from tracking import build_trackers, dashboard, dashboard_command
from tracking.base import TrackedRun
from tracking.mlflow_store import store_uri
from training import building, learning_rates, runner
from training.names import optimizers, schedulers
from training.optimizers import build_optimizer
from utils.files import remove_leftovers
from utils.logs import presentable
from utils.types import ConfigError, DataError

ROOT = Path(__file__).resolve().parents[1]


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """The folder that must not appear; torch's own switch for unsafe loading is on."""
    path = tmp_path / "ran"
    yield path
    assert not path.exists(), "a file has run code"


@pytest.fixture(autouse=True)
def _unsafe_by_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")


class Finished(NamedTuple):
    """A run, and the addresses that it reached for."""

    parent: Path
    folder: RunFolder
    reached: list[Any]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run with much on, under a name that looks like a path."""
    reached: list[Any] = []
    parent = tmp_path_factory.mktemp("finished")
    settings = {"num_epochs": 1, "lr_scheduler": "ReduceLROnPlateau", "mixing": "MixUp", "run_name": "../../outside"}
    connect = socket.socket.connect

    def observe(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX:
            reached.append(address)
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", observe)
        patch.setattr(socket, "getaddrinfo", lambda *address, **_: reached.append(address))
        folder, _ = runner.train(read_quick(parent, **settings, trackers="[mlflow, tensorboard]"))
    return Finished(parent, folder, reached)


# --------------------------------------------------------------------------------- 1 to 6: files of weights and pickles


def test_our_code_calls_nothing_that_runs_what_it_reads() -> None:
    found = {name: offences(source, module) for name, source, module in sources(ROOT)}
    assert len(found) > 150
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import torch; torch.load('x')",
        "import torch; torch.load('x', weights_only=False)",
        "import torch as t; t.load('x', weights_only=flag)",
        "from torch import load as read; read('x')",
        "trainer.fit(m, weights_only=False)",
        "eval('1')",
        "exec(text)",
        "import yaml; yaml.load(text)",
        "import yaml; yaml.load(text, Loader=yaml.Loader)",
        "from yaml import load, UnsafeLoader; load(text, Loader=UnsafeLoader)",
        "import yaml; yaml.unsafe_load(text)",
        "import pickle; pickle.load(file)",
        "from pickle import loads; loads(data)",
        "import pickle\nclass U(pickle.Unpickler):\n    pass",
        "import numpy as np; np.load('x', allow_pickle=True)",
        "import subprocess; subprocess.run('ls', shell=True)",
        "import os; os.system('ls')",
        "archive.extractall(folder)",
        "import shutil; shutil.unpack_archive('x')",
        "Model.load_from_checkpoint('x')",
        "self.save_hyperparameters()",
        "import torch; torch.jit.load('x')",
        "import torch.hub; torch.hub.load_state_dict_from_url('x')",
        "import mlflow; mlflow.pyfunc.load_model('x')",
        "import keras",
        "from lightning.pytorch import Trainer",
    ],
)
def test_the_rule_sees_every_spelling(source: str) -> None:
    assert len(offences(source)) >= 1


def test_the_rule_lets_the_safe_ways_pass() -> None:
    for safe in (
        "import torch; torch.load('x', map_location='cpu', weights_only=True)",
        "network.eval(); 'eval(x) and exec(y)'",
        "import yaml; yaml.load(text, Loader=yaml.SafeLoader); yaml.safe_load(text)",
        "import pickle\nclass U(pickle.Unpickler):\n    def find_class(self, module, name): raise TypeError",
        "import numpy as np; np.load('x', allow_pickle=False)",
        "import pytorch_lightning",
    ):
        assert offences(safe) == []


@pytest.mark.parametrize("ending", [".pt", ".pth", ".ckpt", ".safetensors"])
def test_weights_files_run_nothing(ending: str, tmp_path: Path, marker: Path) -> None:
    pickle.loads(pickle.dumps(Evil(tmp_path / "control")))
    assert (tmp_path / "control").is_dir()
    path = tmp_path / f"weights{ending}"
    torch.save({"state_dict": {"conv1.weight": torch.ones(1)}, "other": Evil(marker)}, path)
    with pytest.raises(ConfigError, match=r"weights_path: .* cannot be read"):
        build_model("test_resnet", 5, weights_path=path)


def test_a_run_s_checkpoints_run_nothing(tmp_path: Path, marker: Path) -> None:
    path = tmp_path / "last.ckpt"
    save_checkpoint({"epoch": 1, "other": Evil(marker)}, path)  # its checksum is right
    with pytest.raises(DamagedCheckpoint, match="Weights only load failed"):
        load_checkpoint(path)
    with pytest.raises(DamagedCheckpoint, match="Weights only load failed"):
        AtomicCheckpointIO().load_checkpoint(path, weights_only=False)


def test_files_of_noisy_labels_run_nothing(tmp_path: Path, marker: Path) -> None:
    torch.save({"worse_label": [0, 1], "other": Evil(marker)}, tmp_path / "a.pt")
    np.save(tmp_path / "a.npy", np.array([Evil(marker)], dtype=object), allow_pickle=True)
    for name in ("a.pt", "a.npy"):
        with pytest.raises(ConfigError, match="holds more than arrays of numbers") as refused:
            read_noisy_labels(str(tmp_path / name), None, np.array([0, 1]), 2)
        assert "weights_only" not in str(refused.value)  # torch's advice to switch the check off


def test_cifar_s_pickles_run_nothing(tmp_path: Path, marker: Path) -> None:
    folder = write_cifar(tmp_path)
    (next(folder.rglob("data_batch_1"))).write_bytes(pickle.dumps({"data": Evil(marker), "labels": []}))
    with pytest.raises(DataError, match="refused: it would run"):
        cifar10(data_path=str(folder), verify_checksums=False)


def test_weights_that_lie_in_torchvision_s_cache_run_nothing(
    tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.models import SqueezeNet1_1_Weights

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    name = SqueezeNet1_1_Weights.DEFAULT.url.rpartition("/")[2]
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save({"features.0.weight": Evil(marker)}, tmp_path / "hub" / "checkpoints" / name)
    with pytest.raises(ConfigError, match=r"pretrained: cannot get the weights of torchvision/squeezenet1_1"):
        build_model("torchvision/squeezenet1_1", 5, pretrained=True)


@pytest.mark.parametrize("key", ["checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay"])
def test_timm_takes_no_weights_past_our_loader(key: str) -> None:
    params: dict[str, Any] = {key: "https://example.org/x.pth"}
    with pytest.raises(ConfigError, match=rf"architecture_params\.{key}: not set here: use weights_path"):
        build_model("resnet18", 5, **params)


ADDRESSES = ("https://example.org/weights.pt", "http://h/x.ckpt", "s3://bucket/x.safetensors", "file:///tmp/x.pt")


@pytest.mark.parametrize("address", ADDRESSES)
def test_weights_come_from_local_files_only(address: str, quick: Any) -> None:
    with pytest.raises(ConfigError, match=r"command line: weights_path: must be a local file"):
        quick(weights_path=address)
    with pytest.raises(ConfigError, match="weights_path: must be a local file"):
        build_model("test_resnet", 5, weights_path=address)
    teacher = {"loss_function": "TeacherFreeDistillationLoss", "loss_params__mode": "self"}
    with pytest.raises(ConfigError, match="must be a local file"):
        building.prepare(quick(**teacher, loss_params__teacher_path=f"'{address}'"))


def plain(value: Any, place: str = "") -> Iterator[str]:
    """Yield the places of what a safe load would refuse."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from plain(inner, f"{place}.{key}")
    elif isinstance(value, (list, tuple)):
        for number, inner in enumerate(value):
            yield from plain(inner, f"{place}[{number}]")
    elif not isinstance(value, (str, int, float, bool, type(None), torch.Tensor)):
        yield f"{place}: {type(value)}"


def test_what_a_run_saves_is_plain_and_without_hyperparameters(finished: Finished) -> None:
    for path in (finished.folder.last, finished.folder.best):
        content = load_checkpoint(path)
        assert list(plain(content)) == []
        assert "hyper_parameters" not in content


SCHEDULE_PARAMS: dict[str, dict[str, Any]] = {
    "ChainedScheduler": {"schedulers": [{"ExponentialLR": {"gamma": 0.9}}, {"ConstantLR": {}}]},
    "CosineAnnealingLR": {"T_max": 5},
    "CosineAnnealingWarmRestarts": {"T_0": 2},
    "CyclicLR": {"base_lr": 0.1, "max_lr": 0.2, "cycle_momentum": False},
    "ExponentialLR": {"gamma": 0.9},
    "LambdaLR": {"lr_lambda": "cosine"},
    "MultiStepLR": {"milestones": [1]},
    "MultiplicativeLR": {"lr_lambda": {0: 1.0, 1: 0.5}},
    "OneCycleLR": {"max_lr": 0.2, "cycle_momentum": False},
    "SequentialLR": {"schedulers": [{"LinearLR": {}}, {"ExponentialLR": {"gamma": 0.9}}], "milestones": [1]},
    "StepLR": {"step_size": 1},
}


@pytest.mark.filterwarnings("ignore")
def test_the_state_of_every_optimizer_and_schedule_loads_safely() -> None:
    states = {}
    for name in optimizers():
        parameter = torch.nn.Parameter(torch.ones(2, 2))
        optimizer = build_optimizer(name, [parameter], lr=0.1)
        parameter.grad = torch.ones(2, 2)
        optimizer.step(functools.partial(float, parameter.sum()))
        states[name] = optimizer.state_dict()
    for name in schedulers().keys() - {"ReduceLROnPlateau"}:  # that one's state the classifier makes plain
        optimizer = build_optimizer("SGD", [torch.nn.Parameter(torch.ones(2, 2))], lr=0.1)
        built = learning_rates.build_scheduler(name, optimizer, 3, 4, **SCHEDULE_PARAMS.get(name, {}))
        assert built is not None
        optimizer.step()
        learning_rates.try_out(built, optimizer)
        states[name] = built["scheduler"].state_dict()
    for name, state in states.items():
        torch.save(state, file := io.BytesIO())
        file.seek(0)
        assert torch.load(file, weights_only=True).keys() == state.keys(), name


@pytest.mark.filterwarnings("ignore:'torch.load' received a zip file that looks like a TorchScript archive")
def test_torchscript_and_exported_programs_are_not_loaded(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(tmp_path / "script.pt"))
    with pytest.raises(ConfigError, match="cannot be read as a file of tensors and nothing else"):
        build_model("test_resnet", 5, weights_path=tmp_path / "script.pt")
    (tmp_path / "program.pt2").write_bytes(b"PK")
    with pytest.raises(ConfigError, match="must end in one of"):
        build_model("test_resnet", 5, weights_path=tmp_path / "program.pt2")


# ------------------------------------------------------------------------------------------------ 7: what is installed

KNOWN_BAD = {
    "torch": ("2.5.1", "2.9.1"),
    "pytorch-lightning": ("2.6.2", "2.6.3"),
    "pillow": ("11.3.0", "12.2.0"),
    "mlflow": ("3.9.0", "3.10.1"),
    "pyarrow": ("14.0.0",),
}
"""Releases with holes that concern us, or with malicious code."""


def requirements() -> dict[str, Requirement]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines())
    return {found.name: found for found in map(Requirement, filter(None, lines))}


@pytest.mark.parametrize("package", KNOWN_BAD)
def test_releases_with_known_holes_are_not_installed(package: str) -> None:
    allowed = requirements()[package].specifier
    assert not [version for version in KNOWN_BAD[package] if allowed.contains(version)]


def test_every_locked_package_has_its_hash_and_is_one_that_is_asked_for() -> None:
    entries = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text().strip())
    locked = {}
    for entry in entries:
        name, version = re.match(r"([\w.-]+)==([\w.+!]+)", entry).groups()  # type: ignore[union-attr]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), name
        locked[name] = Version(version)
    for name, requirement in requirements().items():
        assert requirement.specifier.contains(locked[name]), name
    assert "lightning" not in locked


# ---------------------------------------------------------------------------------------- 9, 10: archives and images


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("../outside", {}),
        ("/outside", {}),
        ("a/../../outside", {}),
        ("link", {"type": tarfile.SYMTYPE, "linkname": ".."}),
        ("link", {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}),
        ("device", {"type": tarfile.CHRTYPE}),
        ("pipe", {"type": tarfile.FIFOTYPE}),
    ],
)
def test_archives_do_not_leave_their_folder(name: str, fields: dict[str, Any], tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        entry = tarfile.TarInfo(name)
        for field, value in fields.items():
            setattr(entry, field, value)
        entry.size = 0 if fields else 4
        tar.addfile(entry, None if fields else io.BytesIO(b"evil"))
    with pytest.raises(DataError, match="refused"):
        extract(tmp_path / "evil.tar", tmp_path / "in" / "target")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() or path.is_symlink()] == ["evil.tar"]


def test_an_image_of_too_many_pixels_is_refused_in_one_line(tmp_path: Path) -> None:
    Image.new("1", (10_000, 9_500)).save(tmp_path / "bomb.png")  # 95 million, of 89 allowed
    code = (
        "import sys; from datasets.readers.images import open_image; from utils.types import DataError\n"
        "try: open_image(sys.argv[1])\nexcept DataError as error: print(error)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "bomb.png")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == f"{tmp_path / 'bomb.png'}: 10000 x 9500 pixels, more than the 89,478,485 allowed\n"
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("name", "allowed", "read"),
    [
        ("large.jpg", images.MAX_FILE_BYTES, open_image),
        ("large.jpg", images.MAX_FILE_BYTES, decode),
        ("train.csv", files.MAX_TABLE_BYTES, tables.read_csv),
    ],
)
def test_a_file_of_too_many_bytes_is_not_read(name: str, allowed: int, read: Callable, tmp_path: Path) -> None:
    with (tmp_path / name).open("wb") as file:
        Image.new("RGB", (8, 8)).save(file, "JPEG")
        file.truncate(allowed + 1)  # takes no room on the disk
    with pytest.raises(DataError, match=rf"{name}: .*{allowed + 1:,} bytes, more than the {allowed:,} allowed"):
        read(tmp_path / name)


def test_a_pipe_in_place_of_an_image_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(DataError, match=r"pipe\.jpg: cannot be read: no regular file"):
        open_image(tmp_path / "pipe.jpg")


def photoshop() -> bytes:
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 4, 4, 8, 3)
    return head + struct.pack(">III", 0, 0, 0) + struct.pack(">H", 0) + bytes(48)


@pytest.mark.parametrize("kind", ["PSD", "TIFF", "GIF", "EPS", "ICO", "TGA"])
def test_formats_that_are_not_meant_are_not_opened_whatever_their_ending(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    if kind == "PSD":
        path.write_bytes(photoshop())
    else:
        Image.new("RGB", (8, 8)).save(path, kind)
    with Image.open(path) as image:
        assert image.format == kind  # Pillow would take it
    with pytest.raises(DataError, match="damaged, or not one of JPEG, PNG, WEBP, BMP"):
        open_image(path)


# ------------------------------------------------------------------------- 20: tables and labels from elsewhere


def limited(code: str, *words: str, bytes_allowed: int = 4_000_000_000) -> subprocess.CompletedProcess[str]:
    """Run Python with little memory, until it says in one line what is wrong."""
    head = f"import resource, sys\nresource.setrlimit(resource.RLIMIT_AS, ({bytes_allowed}, {bytes_allowed}))\n"
    command = [sys.executable, "-c", head + code, *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


READERS: dict[str, Callable[[Path], Any]] = {
    "an image": open_image,
    "a table": tables.read_csv,
    "a list": lambda path: files.read_list(path, 1),
    "class names": tables.read_class_names,
    "noisy labels in a table": lambda path: read_noisy_labels(str(path), None, np.array([0, 1]), 2),
    "MATLAB's": matlab.read_matlab,
    "a CIFAR batch": cifar._unpickle,
    "a file with a checksum": lambda path: files.checksum(path, "md5"),
    "gzipped idx": lambda path: fashion_mnist.read_idx(path, 1),
    "Parquet": lambda path: parquet_files.read_part([path]),
    "an archive": lambda path: extract(path, path.parent / "out"),
    "people's labels": lambda path: human_agreement.read_people(path, np.array([0])),
}


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize("reader", READERS)
def test_what_never_ends_is_not_read(reader: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / ("file.csv" if "noisy" in reader else "file")
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises((DataError, ConfigError), match=r"file(\.csv)?: .*no regular file"):
        READERS[reader](path)


def test_a_table_of_long_fields_is_refused_in_time(tmp_path: Path) -> None:
    lines = [f"{'/' * 120_000},a,b" for _ in range(20)]
    (tmp_path / "train.csv").write_text("path,label\n" + "\n".join(lines))
    with (
        within(seconds=20),
        pytest.raises(DataError, match="20 wrong lines") as refused,
    ):  # hours, where it is quadratic
        csv_table.csv_table(data_path=str(tmp_path))
    with within(seconds=20):
        assert "3 fields where the header has 2" in presentable(refused.value)


@pytest.mark.parametrize("name", ["shape.npy", "zeros.npz", "zeros.pt"])
def test_labels_that_take_more_memory_than_they_say_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "shape.npy":
        header = b"{'descr': '<i8', 'fortran_order': False, 'shape': (10000000000000,), }".ljust(117) + b"\n"
        path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(64))
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle, bundle.open("worse.npy", "w") as file:
            for _ in range(300):
                file.write(bytes(1 << 20))
    code = (
        "import numpy as np\nfrom datasets.label_noise import read_noisy_labels\nfrom utils.types import ConfigError\n"
        "try: read_noisy_labels(sys.argv[1], None, np.array([0, 1]), 2)\nexcept ConfigError as error: print(error)"
    )
    done = limited(code, str(path))
    what = (
        "is damaged: .*" if name == "shape.npy" else "unpacks to 314,572,800 bytes, more than the 268,435,456 allowed"
    )
    assert re.fullmatch(rf"noisy_labels: {re.escape(str(path))}: .*{what}\n", done.stdout), done
    assert done.stderr == ""


def read_labels(folder: Path, labels: list[Any], metadata: bytes | None = None) -> Any:
    """Read a data set of Parquet files with these labels, each part with all."""
    Image.new("RGB", (8, 8)).save(file := io.BytesIO(), "PNG")
    table = pa.table({"image": [file.getvalue()] * len(labels), "label": labels})
    table = table.replace_schema_metadata(metadata and {b"huggingface": metadata})
    for part in ("train", "test"):
        pq.write_table(table, folder / f"{part}.parquet")
    return parquet.parquet(data_path=str(folder))


def test_labels_in_parquet_files_make_no_names_by_the_billion_and_no_single_class(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a label of 1,000,000,000 among 4 images; numbers of classes begin with 0"):
        read_labels(tmp_path, [0, 1_000_000_000])
    assert len(read_labels(tmp_path, [0, 999]).classes) == 1000  # a part of a larger set
    for labels in ([0, 0], ["cat", "cat"]):
        with pytest.raises(DataError, match="1 class, at least 2 are needed"):
            read_labels(tmp_path, labels)
    nested = b"[" * 100_000  # facts that are passed over
    assert read_labels(tmp_path, ["cat", "dog"], nested).classes == ("cat", "dog")


@pytest.mark.parametrize("ending", ["zip", "tgz"])
def test_an_archive_that_unpacks_to_more_than_is_allowed_or_than_there_is_room_for_is_refused(
    ending, tmp_path, monkeypatch
) -> None:
    archive = tmp_path / f"bomb.{ending}"
    if ending == "zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as bundle:
            bundle.writestr("a", bytes(600_000))
            bundle.writestr("b", bytes(600_000))
    else:
        with tarfile.open(archive, "w:gz") as tar:
            entry = tarfile.TarInfo("a")
            entry.size = 1_200_000
            tar.addfile(entry, io.BytesIO(bytes(entry.size)))
    with pytest.raises(DataError, match=r"refused: more than .* 1,199,999 bytes"):
        extract(archive, tmp_path / "few", max_bytes=1_199_999)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1_199_999))
    with pytest.raises(DataError, match=r"refused: unpacks to 1,200,000 bytes; .* has room for 1,199,999"):
        extract(archive, tmp_path / "out")
    assert not any(path.is_file() for path in tmp_path.glob("out/**/*"))
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1_200_000))
    assert extract(archive, tmp_path / "out") == (2 if ending == "zip" else 1)


# ------------------------------------------------------------------------------------------- words, streams, leftovers

LONG = "x" * 5000


@pytest.mark.parametrize(
    "words",
    [
        ["train", f"output_path={LONG}", "--check", *(f"{key}={value}" for key, value in QUICK.items())],
        *(["predict", LONG, "--run", "."], ["predict", "a.jpg", "--run", LONG], ["evaluate", LONG]),
        ["compare", ".", "--html", LONG],
    ],
    ids=lambda words: f"{words[0]} {[word[:20] for word in words[1:3]]}",
)
def test_a_word_of_thousands_of_letters_is_reported_in_a_line(words: list[str], tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert importlib.import_module(words[0]).main(words[1:]) == 2
    assert "x" * 80 in capsys.readouterr().err


@pytest.mark.parametrize("number", ["abc", "0", "-1", "", "1.5", "9" * 5000])
def test_a_number_of_cores_that_is_none_is_refused(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(files.CORES_VARIABLE, number)
    with pytest.raises(ConfigError, match="LOSSBENCH_CORES in the environment: must be a whole number >= 1, got "):
        files.available_cores()
    monkeypatch.setenv(files.CORES_VARIABLE, "1")
    assert files.available_cores() == 1


def test_a_folder_that_is_called_like_a_leftover_stays(tmp_path: Path) -> None:
    (tmp_path / ".x.tmp").mkdir()
    (tmp_path / ".x.tmp" / "mine").write_text("")
    (tmp_path / ".summary.json.abc.tmp").write_text("")
    (tmp_path / ".link.tmp").symlink_to(tmp_path / ".x.tmp")
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".x.tmp", "mine"]


@pytest.mark.parametrize(
    "streams",
    [
        "> /dev/full",
        *(
            pytest.param(others, marks=pytest.mark.torture)
            for others in ("<&- >&- 2>&-", ">&-", ">&- 2>&-", "> /dev/full 2> /dev/full")
        ),
    ],
)
def test_a_run_does_without_its_standard_output(streams: str, tmp_path: Path) -> None:
    """Its log is in a file too."""
    small = [f"{key}={value}" for key, value in {**QUICK, "num_epochs": 1, "classes": "[0,1]"}.items()]
    settings = [*small, f"output_path={tmp_path}/output", f"logging_dir={tmp_path}/logs"]
    line = f'exec "$@" {streams}'
    command = ["sh", "-c", line, "sh", sys.executable, str(ROOT / "train.py"), *settings]
    done = subprocess.run(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    assert "test accuracy" in (tmp_path / "logs" / "lossbench.log").read_text()
    assert [path.name for path in tmp_path.glob("output/*/summary.json")] == ["summary.json"]
    expected = 1 if streams == "> /dev/full" else 0
    assert done.stderr.count("<stdout>: No space left on device; nothing more is written there") == expected


# -------------------------------------------------------------------------------------------- 11, 17: servers, network


def test_the_dashboard_listens_on_this_machine_only_and_runs_no_jobs(tmp_path: Path) -> None:
    words, variables = dashboard.server_command(str(tmp_path), 5055, "secret")
    assert "--host 127.0.0.1 --port 5055 " in " ".join(words)
    assert "--no-serve-artifacts" in words
    assert variables["MLFLOW_SERVER_ALLOWED_HOSTS"] == "127.0.0.1:5055,localhost:5055"
    assert variables["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert "0.0.0.0" not in "".join(source for _, source, _ in sources(ROOT)) + (ROOT / "Makefile").read_text()


def test_the_dashboard_answers_below_a_secret_path_that_no_command_line_shows(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    """That nothing else answers is tried on a server, in `test_other_users_cannot_reach_the_dashboard`."""
    begun = []
    monkeypatch.setattr(os, "execve", lambda program, words, variables: begun.append((words, variables)))
    monkeypatch.setattr(dashboard, "addresses", lambda output, server: iter([f"all runs\n  {server}/#/x"]))
    (tmp_path / "mlflow.db").write_text("")
    for _ in range(2):
        dashboard.serve([str(tmp_path), "5055"])
    secrets = [variables["MLFLOW_STATIC_PREFIX"].removeprefix("/") for _, variables in begun]
    assert len({secret for secret in secrets if re.fullmatch(r"[0-9a-f]{32}", secret)}) == 2
    for secret, (words, _) in zip(secrets, begun, strict=True):
        assert not [word for word in words if secret in word]
        assert words[-2] in ("--gunicorn-opts", "--waitress-opts")  # MLflow's default server has no prefix
    assert all(f"http://127.0.0.1:5055/{secret}/#/x" in capsys.readouterr().out for secret in secrets[-1:])


@pytest.mark.torture
def test_other_users_cannot_reach_the_dashboard(finished: Finished) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tracking.dashboard", f"{finished.parent}/output", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            secret = re.findall(rf":{port}/([0-9a-f]+)/", server.stdout.readline() + server.stdout.readline())[0]
            while server.poll() is None and status_of(port, f"/{secret}/health") != 200:
                time.sleep(0.2)
            search = "/api/2.0/mlflow/experiments/search?max_results=1"
            inside = {"/": 200, search: 200, "/version": 200, "/ajax-api/2.0/mlflow/runs/get": 400}
            assert {path: status_of(port, f"/{secret}{path}") for path in inside} == inside
            others = ("/v1/traces", "/ajax-api/3.0/mlflow/assistant/config", "/gateway/mlflow/v1/models", "/graphql")
            assert {status_of(port, path) for path in (*inside, *others)} == {404}
        finally:
            server.terminate()


def status_of(port: int, path: str) -> int | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except ConnectionError:
        return None
    finally:
        connection.close()


@pytest.mark.parametrize(("output", "shown"), [("a", "a"), ("sp ace", "'sp ace'"), ("it's $x", "'it'\"'\"'s $$x'")])
def test_the_advised_command_opens_the_dashboard_of_a_folder_of_any_name(output, shown, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert dashboard_command(output) == f"make dashboard OUTPUT={shown}"
    words = ["sh", "-c", f"{dashboard_command(output)} PORT=5000 PYTHON=echo"]
    plain = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    make = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, env=plain)
    assert make.stdout == f"-m tracking.dashboard {output} 5000\n"
    with pytest.raises(ConfigError, match=re.escape(f"no runs in {output} yet; python train.py creates one")):
        dashboard.serve([output, "5000"])


@pytest.mark.parametrize(("name", "wrong"), [("a%20b", "%20"), ("a?mode=memory", "?")])
def test_mlflow_writes_nowhere_else_where_its_address_cannot_hold_the_path(name, wrong, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = SimpleNamespace(output_path=name, mlflow_uri=None, experiment_name="e")
    run = TrackedRun(tmp_path / "run", "x", {}, {})
    text = f"MLflow cannot keep its file below a folder with '{wrong}' in its path; choose another output_path"
    with pytest.warns(UserWarning, match=re.escape(text)):
        (tracker,) = build_trackers(["mlflow"], run, config)
    assert (tracker.active, list(tmp_path.iterdir())) == (False, [])  # type: ignore[attr-defined]
    for fine in ("100%", "a#b", "sp ace", "100%zz"):
        assert store_uri(SimpleNamespace(output_path=fine, mlflow_uri=None)) == f"sqlite:///{tmp_path}/{fine}/mlflow.db"


def test_a_database_that_was_deleted_amid_a_run_is_told_in_one_warning(tmp_path: Path, caplog, capfd) -> None:
    (tmp_path / "run").mkdir()
    config = SimpleNamespace(output_path=str(tmp_path), mlflow_uri=None, experiment_name="e")
    (tracker,) = build_trackers(["mlflow"], TrackedRun(tmp_path / "run", "x", {}, {}), config)
    caplog.set_level(logging.WARNING, "mlflow.store.db.utils")  # as other code in the process may have set it
    capfd.readouterr()
    caplog.clear()
    (tmp_path / "mlflow.db").unlink()
    with pytest.warns(UserWarning, match=r"^mlflow: MlflowException: .* the run continues without it"):
        tracker.log_metrics({"a": 1.0}, 1)
    assert (capfd.readouterr(), caplog.records) == (("", ""), [])


def test_training_reaches_for_no_network(finished: Finished) -> None:
    assert finished.reached == []


# -------------------------------------------------------------------------------- 13, 14: configurations, names, paths


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.mkdir", "!!python/name:os.mkdir", "!!python/module:os"])
def test_yaml_makes_no_objects(tag: str, tmp_path: Path, marker: Path) -> None:
    text = f"{tag} ['{marker}']" if "apply" in tag else f"{tag} ''"
    (tmp_path / "evil.yml").write_text(f"notes: {text}\n")
    with pytest.raises(ConfigError, match=r"evil\.yml:1: not valid YAML: the tag .* is not taken"):
        read_configuration(str(tmp_path / "evil.yml"))
    with pytest.raises(ConfigError, match="notes: not valid YAML"):
        read_configuration(None, [f"notes={text}"])


NAMED = {key for key in NAME_CHECKS if isinstance(Configuration.default(key), (str, type(None)))}


@pytest.mark.parametrize("name", ["os.system", "__class__", "../models/x", "runs.folder:RunFolder", "builtins.eval"])
@pytest.mark.parametrize("key", sorted(NAMED))
def test_names_are_looked_up_and_never_imported(key: str, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"command line: {key}: "):
        read_configuration(None, [f"{key}={name}"], NAME_CHECKS)


@pytest.mark.parametrize("name", ["../../etc", "/etc/x", "a\nb", "\x1b[31m", "con:x", "a b", "ß"])
def test_run_folders_have_names_of_a_fixed_alphabet_inside_the_output(name: str, tmp_path: Path) -> None:
    config = Configuration(dataset=name, architecture=name, loss_function=name, output_path=str(tmp_path))
    folder = run_folder(config, "")
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", folder.path.name)
    assert folder.path.resolve().parent == tmp_path.resolve()


def test_a_run_s_name_is_no_path(finished: Finished) -> None:
    assert {path.name for path in finished.parent.iterdir()} == {"logs", "output"}
    found = {path.name for path in (finished.parent / "output").iterdir()}
    assert found - {"mlartifacts", "mlflow.db", "mlflow.db.lock"} == {finished.folder.path.name}


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", [r"$\frac{$", "$x$y$", "<b>&</b>", "\x1b]0;x\x07"])
def test_class_names_are_drawn_as_they_are(name: str, tmp_path: Path) -> None:
    plot_confusion([0, 1], [1, 1], [name, "b"], tmp_path / "confusion.png")
    plot_augmentations([np.zeros((8, 8), np.uint8)], [[np.zeros((1, 8, 8))]], [name], tmp_path / "augmentations.png")
    for kind in ("confusion", "augmentations"):
        with Image.open(tmp_path / f"{kind}.png") as picture:
            assert picture.width > 100


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b]0;title\x07.jpg", r"a\x1b]0;title\x07.jpg"),
        ("gpj.\u202etxt", r"gpj.\u202etxt"),
        ("bad\udcffname", r"bad\udcffname"),
        ("a\rb\x08", r"a\rb\x08"),
        ("Škoda 中\n\tnext", "Škoda 中\n\\tnext"),
    ],
)
def test_names_do_not_steer_the_terminal(text: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert presentable(text) == shown
    first = text.partition("\n")[0]
    assert train.main([first, "--check"]) == 2
    assert capsys.readouterr().err.startswith(f"{presentable(first)}: no such file")


# --------------------------------------------------------------------------------------- 15, 16: secrets, damaged files


def test_the_record_of_the_environment_is_a_fixed_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_VARIABLE", "marked-value")
    facts = environment("cpu", "32-true", "0")
    assert facts.keys() == {
        *("started", "runtime", "python", "packages", "platform", "processor", "device", "precision", "threads"),
        *("cuda", "git_commit", "git_changed", "data_fingerprint"),
    }
    assert facts["packages"].keys() == set(PACKAGES)
    assert "marked-value" not in json.dumps(facts)


def test_files_other_than_the_official_ones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not the official content"):
        cifar10(data_path=str(write_cifar(tmp_path)))


# ----------------------------------------------------------------------------------------------------- 18: SECURITY.md


def test_every_test_that_the_policy_names_exists_and_every_row_has_one() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \|[^|]*\|([^|]*)\|([^|]*)\|$", text, re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(1, 23))
    sources_of_tests = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    defined = {name for source in sources_of_tests for name in re.findall(r"^def (test_\w+)", source, re.MULTILINE)}
    for number, measure, tests in rows:
        named = set(re.findall(r"`(test_\w+)`", tests))
        assert named <= defined, f"row {number}: {named - defined}"
        assert named or "not applicable" in measure, number
    for key in ("weights_path", "neptune_api_token", "mlflow_uri", "verify_checksums"):
        assert f"`{key}`" in text
        assert key in KEYS

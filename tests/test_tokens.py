"""Tokens appear nowhere: whole runs with marked ones, then a search of all that they left, said and started."""

from __future__ import annotations

import base64
import gzip
import importlib.util
import io
import json
import os
import subprocess
import sys
import threading
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus

import matplotlib
import pytest
import yaml

import train
from tests.conftest import QUICK
from tests.fuzz.fuzzing import within
from tracking import TRACKERS
from utils import secrets
from utils.secrets import redact, remember_secrets, without_password

ROOT = Path(__file__).resolve().parents[1]
MARK = "Mark3d+T0ken/{}=="
"""Holds letters that addresses and base64 write differently."""
FROM_ENVIRONMENT = ("NEPTUNE_API_TOKEN", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD", "WANDB_API_KEY")
INSTALLED = [name for name in TRACKERS if importlib.util.find_spec(name) is not None]


class Trace(NamedTuple):
    """What a process left."""

    status: int
    said: str
    command_lines: set[bytes]
    """Its own and those of all processes that it started."""
    folder: Path


def neptune_token(mark: str) -> str:
    """Return a token in the form of Neptune's, of a server that is not there."""
    return base64.b64encode(json.dumps({"api_address": "http://127.0.0.1:9", "api_key": mark}).encode()).decode()


def run(folder: Path, settings: dict[str, Any], environment: dict[str, str], *arguments: str) -> Trace:
    """Run train.py with everything that a process may write to below a folder."""
    for name in ("work", "home", "tmp", "cache"):
        (folder / name).mkdir()
    values = {name: yaml.safe_load(text) for name, text in QUICK.items() if "." not in name}
    values |= {
        "optimizer_params": {"lr": 0.01},
        "num_epochs": 1,
        "classes": [0, 1],
        "loglevel": "DEBUG",
        "trackers": INSTALLED,
    } | settings
    config = folder.with_suffix(".yml")  # beside the folder: it holds tokens itself
    config.write_text(yaml.safe_dump(values))
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW", "NEPTUNE", "WANDB"))}
    places = {"HOME": folder / "home", "TMPDIR": folder / "tmp", "XDG_CACHE_HOME": folder / "cache"}
    clean["MPLCONFIGDIR"] = matplotlib.get_configdir()  # else it looks for fonts, for seconds
    mine = f"HOME={folder / 'home'}\0".encode()
    process = subprocess.Popen(
        [sys.executable, ROOT / "train.py", str(config), *arguments],
        cwd=folder / "work",
        env=clean | {name: str(path) for name, path in places.items()} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: set[bytes] = set()
    ended = threading.Event()
    watch = threading.Thread(target=watch_processes, args=(mine, lines, ended))
    watch.start()
    said, _ = process.communicate(timeout=300)
    ended.set()
    watch.join()
    return Trace(process.returncode, said, lines, folder)


def watch_processes(mine: bytes, lines: set[bytes], ended: threading.Event) -> None:
    """Collect the command lines of all processes that have a variable in their environment."""
    while not ended.wait(0.1):
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if mine in (path / "environ").read_bytes():
                    lines.add((path / "cmdline").read_bytes())
            except OSError:  # it has ended, or is another user's
                continue


def forms(mark: str) -> set[bytes]:
    """Return what would give a mark away: itself, as in addresses, and in base64 however it is aligned there."""
    content = mark.encode()
    found = {content, quote(mark, safe="").encode(), quote(mark).encode(), json.dumps(mark)[1:-1].encode()}
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + content)
        inner = encoded[-(-8 * shift // 6) :].rstrip(b"=")[:-1]
        found |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_"), quote(inner, safe="").encode()}
    return found


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every file's name and bytes, and what lies packed in it."""
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            yield f"{path}", str(path.relative_to(folder)).encode() + b"\n" + data
            yield from unpacked(str(path), data)


def unpacked(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as bundle:
            yield from ((f"{name}: {inner}", bundle.read(inner)) for inner in bundle.namelist())
    if data[:2] == b"\x1f\x8b":
        yield f"{name}: unpacked", gzip.decompress(data)
    if data[:4] == b"PAR1":
        import pyarrow.parquet as pq

        yield f"{name}: table", str(pq.read_table(io.BytesIO(data)).to_pydict()).encode()
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        from PIL import Image

        yield f"{name}: text", str(Image.open(io.BytesIO(data)).info).encode()


def leaks(trace: Trace, marks: list[str]) -> list[str]:
    """Return where a mark was found."""
    wanted = {form for mark in marks for form in forms(mark)}
    places = [("what it said", trace.said.encode()), *((f"command line {line}", line) for line in trace.command_lines)]
    return [
        f"{name}: {form}" for name, content in (*places, *contents(trace.folder)) for form in wanted if form in content
    ]


def test_the_search_finds_a_mark_in_every_form(tmp_path: Path) -> None:
    mark = MARK.format("x")
    (tmp_path / "plain").write_text(f"a {mark} b")
    (tmp_path / "address").write_text(f"http://{quote(mark, safe='')}@host")
    for shift in range(3):
        (tmp_path / f"base64-{shift}").write_bytes(base64.b64encode(b"x" * shift + mark.encode() + b"yz"))
    with zipfile.ZipFile(tmp_path / "packed", "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("inner", mark)
    (tmp_path / "gzip").write_bytes(gzip.compress(mark.encode()))
    (tmp_path / "innocent").write_bytes(zlib.compress(b"nothing here"))
    said = Trace(0, f"said {mark}", {mark.encode()}, tmp_path)
    found = leaks(said, [mark])
    for name in ("plain", "address", "base64-0", "base64-1", "base64-2", "packed: inner", "gzip", "said", "command"):
        assert any(name in line for line in found), name
    assert not any("innocent" in line for line in found)


USER = f"http://me:{quote(MARK.format('uri'), safe='')}@127.0.0.1:9"
SPACES = f"http://me:{MARK.format('uri')} horse battery@127.0.0.1:9"
TOKEN_IN_ADDRESS = f"http://127.0.0.1:9/?api_token={quote(MARK.format('uri'), safe='')}"
ONLINE = {"neptune_mode": "async", "neptune_username": "me", "neptune_project_name": "project"}
DIVERGING = {"optimizer": "SGD", "optimizer_params": {"lr": 1e30}}
MISTAKEN = {"batch_size": 0, "mlflow_uri": [USER], "neptune_api_token": [MARK.format("file")]}
CASES = {
    "finishes": ({}, 0, "test accuracy"),
    "mistaken": (MISTAKEN, 2, "batch_size: must be a whole number >= 1, got 0"),
    "diverges": (DIVERGING, 1, "the loss is not finite"),
    "finds no server": ({"mlflow_uri": USER, **ONLINE}, 0, "mlflow: "),
    "finds no server with a password with white space": ({"mlflow_uri": SPACES}, 0, "mlflow: "),
    "finds no server behind a token": ({"mlflow_uri": TOKEN_IN_ADDRESS, **ONLINE}, 0, "mlflow: "),
    "diverges without a server": ({"mlflow_uri": USER, **ONLINE, **DIVERGING}, 1, "the loss is not finite"),
    "fails inside": ({}, 1, "Traceback"),
}
"""What differs from a run of the digits with every tracker; its exit status; what it says."""


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[] if case == "finishes" else pytest.mark.torture) for case in CASES]
)
def test_a_run_shows_no_token(case: str, tmp_path: Path) -> None:
    settings, status, words = CASES[case]
    environment, marks = marked()
    if case == "fails inside":  # with a traceback that has the tokens in its message
        environment |= {"PYTHONPATH": str(broken_package(tmp_path))}
    folder = tmp_path / "run"
    folder.mkdir()
    trace = run(folder, {"neptune_api_token": neptune_token(MARK.format("file")), **settings}, environment)
    assert (trace.status, words in trace.said) == (status, True), trace.said
    assert leaks(trace, marks) == []
    if case == "finishes":
        written = {path.relative_to(folder).parts[:2] for path in folder.rglob("*") if path.is_file()}
        assert {parts for parts in written if parts[0] not in ("tmp", "cache")} == {
            ("work", "logs"),
            ("work", "output"),
        }
        assert len(trace.command_lines) > 1  # Weights & Biases starts a process of its own
        endings = {path.suffix for path in folder.rglob("*") if path.is_file()}
        assert endings >= {".db", ".ckpt", ".log", ".wandb", ".png", ".parquet", ".json"}


def marked() -> tuple[dict[str, str], list[str]]:
    """Return variables with marked tokens, and all marks that are in use."""
    names = {name: MARK.format(name) for name in FROM_ENVIRONMENT}
    marks = [*names.values(), MARK.format("file"), MARK.format("uri")]
    environment = names | {"NEPTUNE_API_TOKEN": neptune_token(names["NEPTUNE_API_TOKEN"])}
    return environment, [*marks, environment["NEPTUNE_API_TOKEN"], neptune_token(MARK.format("file"))]


def test_mistakes_show_no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    settings, status, words = CASES["mistaken"]
    environment, marks = marked()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    config = tmp_path / "config.yml"
    config.write_text(yaml.safe_dump({"neptune_api_token": neptune_token(MARK.format("file")), **settings}))
    assert train.main([str(config)]) == status
    said = "".join(capsys.readouterr())
    assert words in said
    assert leaks(Trace(status, said, set(), tmp_path / "work"), marks) == []


def broken_package(folder: Path) -> Path:
    """Return a folder whose `sitecustomize` makes an import fail with the environment's tokens in the message."""
    (folder / "broken").mkdir()
    code = (
        "import importlib.abc, os, sys\n"
        "class Failing(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'pyarrow.parquet':\n"
        f"            raise KeyError(*[os.environ[name] for name in {FROM_ENVIRONMENT}])\n"
        "sys.meta_path.insert(0, Failing())\n"
    )
    (folder / "broken" / "sitecustomize.py").write_text(code)
    return folder / "broken"


def test_a_token_on_the_command_line_is_refused_and_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    token, user = MARK.format("typed"), USER
    assert train.main([f"neptune_api_token={token}", f"mlflow_uri={user}", "--check"]) == 2
    said = capsys.readouterr()
    assert "neptune_api_token: is shown to all users of the machine on the command line" in said.err
    assert "NEPTUNE_API_TOKEN" in said.err
    assert "mlflow_uri: is shown to all users of the machine on the command line" in said.err
    assert "MLFLOW_TRACKING_PASSWORD" in said.err
    assert not [form for form in forms(token) | forms(MARK.format("uri")) if form in (said.out + said.err).encode()]


ADDRESSES = (
    *("htp//u:{}@h", "https:/x//{}@h", "http:u:{}@h:1", "http:/u:{}@h:1", "u:{}@h:5000", "http://u:{}@h"),
    *("http://h/?token={}&x=1", "http://h?a=1&api_key={}", "http://h/?apikey={}", "http://h/#access_token={}"),
)


SPACED = ("plainT0ken", "c0rrect h0rse b4ttery", "t4b\tst0p", "n0\xa0bre4k")
"""Passwords as people write them; white space is not percent-encoded."""


@pytest.mark.parametrize("mark", SPACED)
@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_stripped_of_its_tokens_even_if_it_is_mistyped(address: str, mark: str) -> None:
    shown = str(without_password(address.format(mark)))
    assert [word for word in mark.split() if word in shown] == []


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_shown_without_its_tokens_even_if_it_is_mistyped(address, tmp_path, capsys) -> None:
    mark = SPACED[1]
    file = tmp_path / "config.yml"
    file.write_text(
        f"dataset: digits\nconvert_to_grayscale: true\nimage_size: null\narchitecture: test_resnet\naccelerator: cpu\n"
        f"output_path: {tmp_path}/output\nlogging_dir: {tmp_path}/logs\nmlflow_uri: '{address.format(mark)}'\n"
    )
    assert train.main([str(file), "--check"]) == 0
    said = capsys.readouterr()
    assert "mlflow_uri: " in said.out
    assert [word for word in mark.split() if word in said.out + said.err] == []
    assert train.main([str(file), f"mlflow_uri={address.format(mark)}", "--check"]) == 2
    said = capsys.readouterr()
    assert [word for word in mark.split() if word in said.out + said.err] == []


@pytest.fixture
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_remembered", set())


@pytest.mark.usefixtures("nothing_remembered")
@pytest.mark.parametrize("scheme", ["http", "postgresql"])
@pytest.mark.parametrize("mark", SPACED)
def test_a_password_with_white_space_is_covered_in_whatever_names_its_address(mark: str, scheme: str) -> None:
    address = f"{scheme}://me:{mark}@127.0.0.1:9/"
    values = {"mlflow_uri": [address], "sweep": {"grid": {"mlflow_uri": [address]}}}  # mistaken
    remember_secrets(values)
    texts = [f"must be text, got {values}", json.dumps(values), f"no server at {address} x", f"me:{mark} is unknown"]
    texts += [quote(address), yaml.dump([address])]
    texts = [str(without_password(address)), *map(redact, texts)]
    assert [word for word in mark.split() for text in texts if word in text] == []


TRICKY = (
    'Quote"d-T0ken',
    "it's-T0ken",
    "both'\"-T0ken",
    "back\\slash-T0ken",
    "sch\u00f6ner-T0ken",
    "\u2713\U0001f511-T0ken",
)
WRITERS = {
    "as it is": str,
    "repr": repr,
    "repr of a text with both quotes": lambda text: repr(f"'\"{text}"),
    "ascii": ascii,
    "JSON": json.dumps,
    "JSON in Unicode": lambda text: json.dumps(text, ensure_ascii=False),
    "YAML": lambda text: yaml.dump([text]),
    "YAML in Unicode": lambda text: yaml.dump([text], allow_unicode=True),
    "YAML in double quotes": lambda text: yaml.dump([text], default_style='"'),
    "YAML in single quotes": lambda text: yaml.dump([text], default_style="'", allow_unicode=True),
    "an address": quote,
    "a form": quote_plus,
}


@pytest.mark.parametrize("token", TRICKY)
@pytest.mark.parametrize("writer", WRITERS)
def test_a_token_is_covered_however_it_is_written(writer: str, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEPTUNE_API_TOKEN", token)
    written = WRITERS[writer](token)
    assert "T0ken" in written
    assert "T0ken" not in redact(written)


RANDOM = ("0a1b2c3d4e5f60718293a4b5c6d7e8f9", "wJalrXUtnFEMIbPxRfiCYEX", "123e4567-e89b-12d3-a456-426614174000")
WORDS = (
    "accuracy",
    "test/accuracy",
    "valid_top5-error_rate",
    "/home/me/.ssh/id_ed25519",
    "C:/Users/Me/key.txt",
    "12345678",
)


@pytest.mark.parametrize("name", ["SORT_KEY", "KEY", "MY_TOKEN", "primary_key"])
def test_a_variable_that_is_only_named_like_a_secret_covers_no_words(name: str, monkeypatch) -> None:
    for value in WORDS:
        monkeypatch.setenv(name, value)
        assert redact(f"test {value} 0.98") == f"test {value} 0.98"
    for value in RANDOM:
        monkeypatch.setenv(name, value)
        assert redact(f"test {value} 0.98") == "test *** 0.98"


@pytest.mark.parametrize("name", [*FROM_ENVIRONMENT, "neptune_api_token", "DB_PASSWORD", "MY_API_KEY", "WANDB_KEY"])
def test_the_value_of_a_tracker_s_variable_and_of_a_password_is_always_covered(name: str, monkeypatch) -> None:
    monkeypatch.setenv(name, "accuracy")
    assert redact("test accuracy 0.98") == "test *** 0.98"


@pytest.mark.parametrize("part", ["/", "//", "//a", "a:", "@/", "?token", "?token=", "token=", "http://"])
@pytest.mark.usefixtures("nothing_remembered")
def test_covering_takes_time_in_proportion_to_the_text(part: str) -> None:
    text = part * 100_000
    with within(seconds=10):  # of the processor's time; a hundred times more where the time is quadratic
        assert redact(text)
        assert without_password(text)
        remember_secrets({"mlflow_uri": f"{text}@"})


@pytest.mark.parametrize("address", ["sqlite:////a/me.db", "file:/tmp/a@b", "./runs@home", r"C:\\me@corp\\runs"])
def test_an_address_without_a_secret_is_shown_whole(address: str) -> None:
    assert without_password(address) == address


@pytest.mark.parametrize(
    "words",
    [
        ["--neptune_api_token={}"],
        ["--neptune_api_token", "{}"],
        ["neptune_api_token", "{}"],
        ["neptune_api_token:", "{}"],
        ["{{neptune_api_token: {}}}"],
        ["{{neptune_api_token:{}}}"],
        ["sweep.grid.neptune_api_token=[{}]"],
        ["sweep={{grid: {{neptune_api_token: [{}, x]}}}}"],
        ["sweep={{grid: {{mlflow_uri: ['http://u:{}@h', x]}}}}"],
        ["sweep={{grid: {{where: [{{name: a, neptune_api_token: {}}}]}}}}"],
    ],
)
def test_a_mistyped_token_is_not_repeated(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    mark = "plainT0ken"
    try:
        status = train.main([*(word.format(mark) for word in words), "--check"])
    except SystemExit as ended:  # argparse's
        status = ended.code
    assert status == 2
    captured = capsys.readouterr()
    assert mark not in captured.out + captured.err

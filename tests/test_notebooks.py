"""Notebooks run from top to bottom on any machine and are stored without outputs."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import nbformat
import pytest
from leaving import leave
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
COEFFICIENTS = ROOT / "notebooks" / "normalization_coeffs.ipynb"
COMPARISON = ROOT / "notebooks" / "compare_runs.ipynb"
COLAB = ROOT / "train_colab.ipynb"
DIGITS = [
    *("dataset=digits", "image_size=[16, 16]", "convert_to_grayscale=true", "num_workers=0"),
    *("architecture=resnet10t", "output_channels=null", "lr_scheduler=null"),
]

# Of Jupyter's client and its message queue.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:zmq"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]


def execute(path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Run a notebook with other values in its first code cell and return the text that it printed."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    notebook = nbformat.read(path, as_version=4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    for name, value in settings.items():
        first.source, count = re.subn(
            rf"(?m)^{name} = [^#\n]*", lambda _, line=f"{name} = {value!r}": line, first.source
        )
        assert count == 1, name
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "".join(output.text if output.output_type == "stream" else str(output.get("data", "")) for output in outputs)


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("*.ipynb"), *ROOT.glob("notebooks/*.ipynb")]), ids=lambda path: path.stem
)
def test_notebook_is_valid_and_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_coefficients_of_digits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = {"OVERRIDES": [*DIGITS, "image_size=[8, 8]", f"output_path={tmp_path}"]}
    text = execute(COEFFICIENTS, settings, monkeypatch, tmp_path)
    assert "digits: " in text
    values = [
        [float(number) for number in re.findall(r"\d\.\d+", line)] for line in re.findall(r"(?:mean|std): .*", text)
    ]
    assert [len(numbers) for numbers in values] == [3, 3, 1, 1]
    assert values[0] == values[2] * 3
    assert values[2][0] == pytest.approx(0.305, abs=0.01)
    assert values[3][0] == pytest.approx(0.376, abs=0.01)


def test_colab_notebook_trains_an_epoch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    overrides = [*DIGITS, "num_epochs=1", "trackers=[]", f"logging_dir={tmp_path}/logs"]
    with zipfile.ZipFile(tmp_path / "some data.zip", "w") as archive:
        archive.writestr("cars/names.txt", "a car")
    settings = {
        "CONFIG": str(ROOT / "config_template.yml"),
        "OVERRIDES": overrides,
        "OUTPUT": str(tmp_path / "out"),
        "DATA_ON_COLAB": True,
        "DATA_ARCHIVE": str(tmp_path / "some data.zip"),
        "UNPACK_TO": str(tmp_path / "unpacked"),
    }
    text = execute(COLAB, settings, monkeypatch, tmp_path)
    assert (tmp_path / "unpacked" / "cars" / "names.txt").read_text() == "a car"
    (folder,) = [path for path in (tmp_path / "out").iterdir() if path.is_dir()]
    assert (folder / "summary.json").is_file()
    assert "image/png" in text


def test_comparison_of_runs_that_are_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for loss, right in {"CrossEntropyLoss": 8, "FocalLoss": 9}.items():
        for seed in range(2):
            answers = [k < right for k in range(10)]
            leave(tmp_path / "runs", f"loss_function={loss}", f"seed={seed}", right=answers, epochs=[0.5, right / 10])
    settings = {"RUNS": [str(tmp_path / "runs")], "EXAMPLE": str(tmp_path / "example")}
    text = execute(COMPARISON, settings, monkeypatch, tmp_path)
    assert "4 runs" in text
    assert "| FocalLoss | **90.00 ± 0.00 (2)** |" in text
    assert "undecided" in text
    assert "image/png" in text
    assert "| CrossEntropyLoss | 2.0 | 100 | 10.0 | 20.0 |" in text
    assert not (tmp_path / "example").exists()


@pytest.mark.torture
def test_comparison_makes_runs_where_there_are_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = {"RUNS": [str(tmp_path / "none")], "EXAMPLE": str(tmp_path / "example")}
    text = execute(COMPARISON, settings, monkeypatch, tmp_path)
    assert f"{tmp_path}/none: no such folder or file" in text
    assert "6 runs" in text
    assert len(list((tmp_path / "example").glob("*/summary.json"))) == 6
    assert "image/png" in text

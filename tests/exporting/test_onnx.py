"""A run as ONNX: its own answers from its own pixels, or nothing is written."""

from __future__ import annotations

import errno
import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from PIL import Image

import export as script
from datasets.base import ImageTable
from datasets.preprocessing import Preprocessing
from exporting import checking, exporting, predict_onnx
from exporting.onnx_model import METADATA
from exporting.requests import Request
from exporting.source import Source


@pytest.fixture
def run(trained):
    return trained(accelerator="cpu").path


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_folder_answers_without_torch_as_the_run_does(run, capsys, tmp_path):
    assert script.main([str(run)]) == 0
    folder = run / "export" / "onnx"
    names = ["README.md", "check", "check/expected.json", "check/pixels.bin"]
    assert files(folder) == [*names, "model.json", "model.onnx", "predict_onnx.py"]
    assert "359 test images: every answer is the run's own" in capsys.readouterr().out
    about = json.loads((folder / "model.json").read_text())
    inside = {entry.key: entry.value for entry in onnx.load(folder / "model.onnx").metadata_props}
    assert json.loads(inside[METADATA]).items() <= about.items()
    assert about["checked"]["largest_difference_of_probabilities"] < checking.PROBABILITY_TOLERANCE
    source = Source(Request([str(run)]), print)
    Image.fromarray(source.sample.original(3)[..., 0]).save(tmp_path / "photo.png")
    hidden = "import sys; sys.modules.update(torch=None, timm=None); import runpy; "
    hidden += "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", hidden, str(folder / "predict_onnx.py")]
    for words, expected in (
        (["--check"], "8 images: as expected"),
        ([str(tmp_path / "photo.png")], f"photo.png: {source.classes[source.sample.answers.prediction[3]]}  ("),
    ):
        done = subprocess.run([*command, *words], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert expected in done.stdout
    own = (run.parent, "output_path", "/home", "/root", "/tmp")
    assert not [text for text in own if str(text) in (folder / "model.json").read_text()]
    assert str(run.parent).encode() not in (folder / "model.onnx").read_bytes()


def test_eight_bits_are_judged_and_told(run, capsys):
    assert script.main([str(run), "--int8", "--allow", "2"]) == 0
    folder = run / "export" / "onnx-int8"
    about = json.loads((folder / "model.json").read_text())
    checked = about["checked"]
    assert checked["answers_unchanged"] >= checking.UNCHANGED
    assert checked["accuracy"] >= checked["accuracy_in_float32"] - 0.02
    assert f"{100 * checked['answers_unchanged']:.1f} % of the answers unchanged" in capsys.readouterr().out
    assert predict_onnx.__file__ is not None
    done = subprocess.run([sys.executable, str(folder / "predict_onnx.py"), "--check"], capture_output=True, text=True)
    assert done.returncode == 0  # what it expects are the answers of this very file


def test_a_model_that_answers_otherwise_is_not_written(run, capsys, monkeypatch):
    from exporting import onnx_model

    def spoilt(content, threads=0, session=onnx_model.session):
        model = session(content, threads)

        def answer(pixels):
            own = model(pixels)
            return own._replace(prediction=np.where(own.prediction == 3, 5, own.prediction))

        return answer

    monkeypatch.setattr(onnx_model, "session", spoilt)
    assert script.main([str(run)]) == 1
    error = capsys.readouterr().err
    assert "answers differ from the run's; largest difference of probabilities" in error
    assert "3 0." in error or "3 1." in error
    assert "exported 5" in error
    assert files(run / "export") == []


def test_a_tie_is_told_and_what_is_none_fails(run):
    source = Source(Request([str(run)]), print)
    own, loss = source.sample.answers, source.loss
    tied = own.scores.copy()
    first = own.prediction[0]
    other = (first + 1) % 10
    tied[0, other] = tied[0, first] - 1e-6
    source.sample._answers = own._replace(scores=tied)

    def model(pixels):
        rows = [np.flatnonzero((source.sample.pixels == image).all(axis=(1, 2, 3)))[0] for image in pixels]
        got = type(own)(*(part[rows] for part in source.sample.answers))
        scores = got.scores.copy()
        scores[np.array(rows) == 0, other] += 2e-6
        prediction = np.where(np.array(rows) == 0, other, got.prediction)
        return got._replace(scores=scores, prediction=prediction)

    assert checking.check_full(model, source.sample, loss, source.classes, "onnx")["ties"] == 1
    with pytest.raises(checking.CheckFailed, match="1 of 359 answers differ"):
        checking.check_full(
            lambda pixels: model(pixels)._replace(scores=own.scores[: len(pixels)]),
            source.sample,
            loss,
            source.classes,
            "onnx",
        )


def test_a_full_disk_leaves_what_was_there(run, capsys, monkeypatch):
    assert script.main([str(run)]) == 0
    before = (run / "export" / "onnx" / "model.json").read_text()

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device", "model.json")

    monkeypatch.setattr("exporting.onnx_folder.write_description", full)
    assert script.main([str(run), "--fresh"]) == 1
    assert "cannot be written: No space left on device" in capsys.readouterr().err
    assert files(run / "export") == ["onnx", *(f"onnx/{name}" for name in files(run / "export" / "onnx"))]
    assert (run / "export" / "onnx" / "model.json").read_text() == before


def test_a_check_writes_nothing_and_other_targets_fall_with_a_failed_one(run, capsys, monkeypatch):
    assert script.main([str(run), "--check"]) == 0
    assert not (run / "export").exists()

    def fail(source, folder):
        raise checking.CheckFailed("no")

    monkeypatch.setattr("exporting.hub.weights", fail)
    assert script.main([str(run), "--to", "onnx,weights"]) == 1
    assert files(run / "export") == []


def test_an_error_of_ours_is_none_of_the_users(run, monkeypatch):
    monkeypatch.setattr(exporting, "Source", lambda request, report: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        script.main([str(run)])


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "P", "CMYK", "1", "I;16"])
@pytest.mark.parametrize("gray", [False, True])
def test_the_program_prepares_every_kind_of_image_as_the_project_does(tmp_path, mode, gray):
    random = np.random.default_rng(7)
    pixels = random.integers(0, 256, (83, 121, 4), dtype=np.uint8)
    if mode == "I;16":
        image = Image.fromarray(random.integers(0, 65536, (83, 121), dtype=np.uint16))
    elif mode in ("RGB", "L", "CMYK"):
        image = Image.fromarray(pixels if mode == "CMYK" else pixels[..., :3]).convert(mode)
    else:
        image = Image.fromarray(pixels).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / ("image.jpg" if mode == "CMYK" else "image.png")
    image.save(path, exif=exif)
    for size in ((24, 94), (121, 83), (200, 30), (7, 300)):
        project = Preprocessing(size, grayscale=gray).load(ImageTable([path], np.zeros(1, dtype=np.int64)), 0)
        about = {
            "input": {"channels": 1 if gray else 3, "height": size[0], "width": size[1], "gray": [19595, 38470, 7471]}
        }
        np.testing.assert_array_equal(predict_onnx.prepare(predict_onnx.load(path), about), project.transpose(2, 0, 1))


def test_a_run_of_mixed_precision_with_averaged_weights_and_rejection_is_exported(trained, capsys):
    params = {"loss_function": "OneSidedMarginLoss", "loss_params": "{reject: true}", "ema_decay": 0.5}
    run = trained(precision="bf16-mixed", image_size=32, **params).path  # larger maps: docs/reliability.md
    assert script.main([str(run)]) == 0
    about = json.loads((run / "export" / "onnx" / "model.json").read_text())
    assert about["loss"] == {"name": "OneSidedMarginLoss", "params": {"reject": True}}
    assert about["checked"]["images"] == 359
    assert "every answer is the run's own" in capsys.readouterr().out

"""Mistakes in a request to export: all of them together, before anything heavy is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import export as script
from exporting import TARGETS, list_targets

ROOT = Path(__file__).resolve().parents[2]


def mistakes(capsys, *words) -> list[str]:
    assert script.main([str(word) for word in words]) == 2
    return capsys.readouterr().err.removeprefix("error: ").splitlines()


def leave_run(folder: Path, text: str = "dataset: digits\n") -> Path:
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yml").write_text(text)
    (folder / "checkpoints" / "best.ckpt").touch()
    return folder


def test_all_mistakes_come_together(capsys, tmp_path):
    lines = mistakes(
        capsys,
        tmp_path / "none",
        "--to",
        "onyx,weights,hub,page",
        "--allow",
        "-1",
        "--runtime",
        tmp_path,
        "bach_size=3",
    )
    expected = [
        "--to: unknown target 'onyx'; did you mean 'onnx'? (python export.py --list)",
        "--allow: must be a number of points from 0 to 100, got -1",
        "--to hub: name the weights' licence",
        f"--runtime {tmp_path}: ",
        f"{tmp_path / 'none'}: no such folder",
    ]
    for text in expected:
        assert any(text in line for line in lines), (text, lines)


def test_a_setting_that_has_no_effect_is_a_mistake(capsys, tmp_path):
    run = leave_run(tmp_path / "run")
    lines = mistakes(capsys, run, "--to", "weights", "--int8", "--push", "me/mine", "--runtime", tmp_path)
    assert lines == [
        "--int8: has no effect on weights; only on onnx, page, executorch",
        "--push, --license: only for --to hub",
        "--runtime: only for --to page",
    ]


def test_what_a_run_was_trained_with_stays(capsys, tmp_path):
    run = leave_run(tmp_path / "run", "dataset: digits\nloss_function: ConnectionistTemporalLoss\nseed: 3\n")
    (line,) = mistakes(capsys, run, "seed=4")
    assert "seed: cannot be changed for a trained run" in line
    from exporting.requests import Request

    Request([str(run), "loss_params.beam_width=1"]).check()


def test_a_folder_that_exists_and_boxes_that_nobody_has(capsys, tmp_path):
    run = leave_run(tmp_path / "run", "crop_to_bboxes: all\n")
    (run / "export" / "onnx").mkdir(parents=True)
    first, second = mistakes(capsys, run)
    assert "crop_to_bboxes: all" in first
    assert "--uncropped" in first
    assert second == f"{run / 'export' / 'onnx'}: exists; --fresh replaces it"
    assert mistakes(capsys, run, "--output", run / "config.yml")[0].endswith("is a file, not a folder")


def test_a_missing_package_is_named_with_the_line_that_installs_it(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(TARGETS, "onnx", TARGETS["onnx"]._replace(modules={"no_such_module": "no-such-package"}))
    run = leave_run(tmp_path / "run")
    (line,) = mistakes(capsys, run)
    assert line == "--to: onnx needs no-such-package: pip install -r requirements-export.txt"
    assert "needs no-such-package (missing: no-such-package)" in list_targets()
    assert script.main(["--list"]) == 0
    assert all(f"  {name} " in capsys.readouterr().out for name in ["onnx"])


def test_help_list_and_mistakes_import_nothing_heavy(tmp_path):
    code = (
        "import sys, export\n"
        f"assert export.main(['--list']) == 0 and export.main([{str(tmp_path)!r}]) == 2\n"
        "heavy = {'torch', 'numpy', 'PIL', 'timm', 'onnx', 'onnxruntime', 'executorch', 'huggingface_hub'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"

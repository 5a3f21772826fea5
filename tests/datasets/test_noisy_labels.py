"""Noisy labels from a file: those of the training part, in its order, whatever kind of file they come in."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datasets import build_dataset
from datasets.data_module import DataModule
from datasets.label_noise import read_noisy_labels
from tests.conftest import SAMPLES
from utils.types import ConfigError

CLEAN = np.arange(12) % 3
WORSE = (CLEAN + (np.arange(12) % 2)) % 3
SETS = {"clean_label": CLEAN, "worse_label": WORSE, "aggre_label": CLEAN[::-1].copy()}


def write_csv(path: Path, sets: dict[str, Any]) -> None:
    rows = [",".join(sets), *(",".join(map(str, row)) for row in zip(*sets.values(), strict=True))]
    path.write_text("\n".join(rows), encoding="utf-8")


WRITERS: dict[str, Callable[[Path, dict[str, Any]], object]] = {
    "arrays.pt": lambda path, sets: torch.save(sets, path),
    "tensors.pt": lambda path, sets: torch.save({name: torch.as_tensor(each) for name, each in sets.items()}, path),
    "older.pt": lambda path, sets: torch.save(sets, path, _use_new_zipfile_serialization=False),
    "labels.npz": lambda path, sets: np.savez(path, **sets),
    "labels.csv": write_csv,
}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("number", [np.int64, np.int32, np.uint8])
def test_every_kind_of_file_gives_the_same_labels(tmp_path: Path, kind: str, number: type) -> None:
    path = tmp_path / kind
    WRITERS[kind](path, {name: each.astype(number) for name, each in SETS.items()})
    found = read_noisy_labels(str(path), "worse_label", CLEAN, 3)
    assert found.dtype == np.int64
    assert np.array_equal(found, WORSE)
    if kind == "older.pt":  # as NumPy 1 wrote it
        path.write_bytes(path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
        assert b"numpy.core.multiarray" in path.read_bytes()
        assert np.array_equal(read_noisy_labels(str(path), "worse_label", CLEAN, 3), WORSE)


def test_a_file_of_one_set_needs_no_name(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", WORSE)
    torch.save(torch.as_tensor(WORSE), tmp_path / "a.pt")
    np.savez(tmp_path / "a.npz", clean_label=CLEAN, noisy_label=WORSE)
    for name in ("a.npy", "a.pt", "a.npz"):
        assert np.array_equal(read_noisy_labels(str(tmp_path / name), None, CLEAN, 3), WORSE)


def refusal(path: Path, name: str | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        read_noisy_labels(str(path), name, CLEAN, 3)
    return str(caught.value)


def test_names_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **SETS)
    assert refusal(path) == f"noisy_labels_name: missing; {path} holds worse_label, aggre_label"
    assert "holds no set 'worse'; did you mean 'worse_label'? (it holds worse_label, aggre" in refusal(path, "worse")
    np.save(tmp_path / "a.npy", WORSE)
    assert "holds no set 'worse' (it holds one set without a name)" in refusal(tmp_path / "a.npy", "worse")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (WORSE[:11], "11 labels, but the training part has 12 images"),
        (WORSE + 1, "labels outside 0 to 2: 3"),
        (WORSE - 1, "labels outside 0 to 2: -1"),
        (WORSE / 2, "it is no row of whole numbers, but float64 of shape (12,)"),
        (WORSE[None], "it is no row of whole numbers, but int64 of shape (1, 12)"),
        (np.array([{"a": 1}] * 12), "holds more than arrays of numbers, or is damaged: Object arrays cannot be loaded"),
    ],
)
def test_labels_that_do_not_fit_are_told(tmp_path: Path, labels: np.ndarray, message: str) -> None:
    np.save(tmp_path / "a.npy", labels, allow_pickle=True)
    found = refusal(tmp_path / "a.npy")
    assert found.startswith("noisy_labels: ")
    assert message in found
    np.savez(tmp_path / "a.npz", **{**SETS, "clean_label": CLEAN[::-1]})
    order = "its clean_label differs from the true labels in 8 of 12 rows: it is in another order"
    assert order in refusal(tmp_path / "a.npz", "worse_label")


class Harmful:
    def __reduce__(self) -> tuple:
        return print, ("ran",)


def test_nothing_in_a_file_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"worse_label": Harmful()}, tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps({"worse_label": Harmful()}))
    for name in ("a.pt", "b.pt"):
        assert "holds more than arrays of numbers, or is damaged" in refusal(tmp_path / name, "worse_label")
    assert capsys.readouterr().out == ""


def test_missing_damaged_and_other_files_are_told(tmp_path: Path) -> None:
    assert "a.npy: cannot be read: No such file" in refusal(tmp_path / "a.npy")
    assert "a.txt: must end in .pt, .npz, .npy, .csv" in refusal(tmp_path / "a.txt")
    for ending in ("pt", "npz", "npy"):
        (tmp_path / f"a.{ending}").write_bytes(b"damaged")
        assert refusal(tmp_path / f"a.{ending}").startswith(f"noisy_labels: {tmp_path}/a.{ending}: holds more than")
    (tmp_path / "a.csv").write_text("worse\n1\ntwo\n")
    assert "is no row of whole numbers" in refusal(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("a,b\n1,2\n1\n")
    assert "a.csv: line 3: 1 fields where the header has 2" in refusal(tmp_path / "a.csv")


def test_only_rows_trained_on_get_them_and_the_identity_follows_the_labels(tmp_path: Path, quick: Callable) -> None:
    digits = build_dataset("digits")
    noisy = (digits.train.labels + 1) % 10
    np.save(tmp_path / "one.npy", noisy)
    np.savez(tmp_path / "two.npz", worse_label=noisy)
    one = DataModule(quick(noisy_labels=tmp_path / "one.npy"), digits, (8, 8))
    assert np.array_equal(one.wrong_rows, np.sort(one.train_rows))
    judged = [int(each.target) for each in one.valid_stream]  # type: ignore[arg-type]
    assert np.array_equal(judged, digits.train.labels[one.valid_rows])
    two = DataModule(quick(noisy_labels=tmp_path / "two.npz", noisy_labels_name="worse_label"), digits, (8, 8))
    assert one.fingerprint == two.fingerprint != DataModule(quick(), digits, (8, 8)).fingerprint
    on_test = DataModule(quick(noisy_labels=tmp_path / "one.npy", select_on="test"), digits, (8, 8))
    assert np.array_equal(on_test.train_table.labels, noisy)


def test_one_way_to_corrupt_labels_excludes_the_other(quick: Callable) -> None:
    with pytest.raises(ConfigError, match=r"noisy_labels: excludes label_noise: 0.2; give one of the two"):
        quick(noisy_labels="x.npy", label_noise=0.2)
    with pytest.raises(ConfigError, match=r"noisy_labels: excludes classes: the file has a label for every"):
        quick(noisy_labels="x.npy", classes="['1', '2']")


HUMAN = {
    "aggre_label": 4_505,
    "random_label1": 8_617,
    "random_label2": 9_061,
    "random_label3": 8_820,
    "worse_label": 20_104,
}


@pytest.mark.skipif(not (SAMPLES / "cifar10n").is_dir(), reason=f"no human labels: {SAMPLES}/cifar10n is absent")
def test_labels_of_people_are_wrong_as_often_as_published() -> None:
    path = SAMPLES / "cifar10n" / "cifar10n.npz"
    with np.load(path) as sets:
        clean = sets["clean_label"].astype(np.int64)
    wrong = {name: int((read_noisy_labels(str(path), name, clean, 10) != clean).sum()) for name in HUMAN}
    assert wrong == HUMAN
    with pytest.raises(ConfigError, match=r"clean_label differs from the true labels in [0-9,]+ of 50,000 rows"):
        read_noisy_labels(str(path), "worse_label", clean[::-1].copy(), 10)

"""Out of memory ends a run with what can be done about it, and with its checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import train
from models.classifier import Classifier
from runs.checkpoints import load_checkpoint
from training import runner
from training.memory import is_out_of_memory, out_of_memory
from utils.types import TrainingError

CUDA = "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 139.81 GiB of which"
LINUX = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)"
)
WINDOWS = (
    "[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."
)
LACK_MEMORY = [
    torch.OutOfMemoryError(CUDA),
    RuntimeError(LINUX),
    RuntimeError(WINDOWS),
    RuntimeError("MPS backend out of memory (MPS allocated: 18.11 GB)"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("DataLoader worker (pid 4242) is killed by signal: Killed. "),
    MemoryError(),
]


@pytest.mark.parametrize("error", LACK_MEMORY, ids=lambda error: f"{type(error).__name__} {str(error)[:20]}")
def test_every_device_s_way_to_say_it_is_known(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError("DataLoader worker (pid 4242) is killed by signal: Segmentation fault. "),
        ValueError("out of memory"),
    ],
)
def test_other_errors_are_not_taken_for_it(error: Exception) -> None:
    assert not is_out_of_memory(error)


def test_the_allocator_s_real_message_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    assert is_out_of_memory(caught.value)


def test_a_run_without_memory_says_what_takes_less_and_goes_on_later(quick, monkeypatch) -> None:
    config = quick(num_epochs=3, accumulate_batches=2, classes="[0,1,2]")
    step = Classifier.training_step

    def fail_in_the_third_epoch(self, batch, batch_idx):
        if self.current_epoch == 2 and batch_idx == 1:
            raise MemoryError("numpy's")
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Classifier, "training_step", fail_in_the_third_epoch)
    with pytest.raises(TrainingError) as caught:
        runner.train(config)
    said = str(caught.value)
    assert said.startswith("out of memory on cpu in epoch 3")
    assert "batch_size: 128, precision: 32-true, accumulate_batches: 2.\n" in said
    assert "batch_size: 64 with accumulate_batches: 4 (as many images, 256, an optimizer step)" in said
    assert "precision: bf16-mixed" in said
    assert "the same command resumes after epoch 2. Its last checkpoint is intact." in said
    (last,) = (path for path in Path(config.output_path).glob("*/checkpoints/last.ckpt"))
    assert load_checkpoint(last)["epoch"] == 1
    monkeypatch.setattr(Classifier, "training_step", step)
    _, summary = runner.train(config)
    assert summary["epochs_run"] == 3


def test_other_errors_of_a_step_keep_their_traceback(quick, monkeypatch) -> None:
    def fail(self, batch, batch_idx):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(Classifier, "training_step", fail)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        runner.train(quick())


def test_the_script_leaves_with_status_1_and_no_traceback(quick, monkeypatch, capsys) -> None:
    config = quick(num_epochs=1)

    def fail(self, batch, batch_idx):
        raise torch.OutOfMemoryError(CUDA)

    monkeypatch.setattr(Classifier, "training_step", fail)
    monkeypatch.setattr(train, "read", lambda options: config)
    assert train.main([]) == 1
    said = capsys.readouterr().err
    assert "out of memory on cpu in epoch 1 (tried to allocate 2.50 GiB). A step held batch_size: 128" in said
    assert "the same command starts it again, as nothing was saved yet" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("device", "precision", "expected"),
    [("cuda", "32-true", "precision: bf16-mixed or 16-mixed"), ("mps", "32-true", "precision: 16-mixed")],
)
def test_a_precision_that_the_device_has_is_named(quick, device, precision, expected) -> None:
    said = str(out_of_memory(MemoryError(), quick(), torch.device(device), precision, "in epoch 0", "goes on"))
    assert expected in said
    half = str(out_of_memory(MemoryError(), quick(batch_size=2), torch.device(device), "bf16-mixed", "here", "goes on"))
    assert "precision: bf16-mixed, accumulate_batches: 1" in half
    assert half.count("precision") == 1  # it is halved already
    assert "batch_size: 1 " not in half

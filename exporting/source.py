"""The run that is exported, as all targets share it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from evaluation.requests import read_run
from evaluation.subject import Subject, build_subject
from exporting.deployed import Decoded, Deployed
from exporting.description import describe
from exporting.requests import Request
from exporting.sample import Sample, made_up
from runs.folder import RunFolder
from utils.types import ConfigError

CALIBRATION = 128
"""Validation images that 8 bits are calibrated with."""
CHECKED = 8
"""Images with answers that go along."""


class Source:
    """A run with its answers for images, opened in float32 on the CPU.

    Args: report: takes lines for the user.
    Raises: ConfigError or DataError as `open_subject`, and for a loss that no graph can hold.
    """

    def __init__(self, request: Request, report: Callable[[str], None]) -> None:
        self.request, self.report = request, report
        changes = [*request.changes, "accelerator=cpu", "precision=32-true"]
        self.config = read_run(request.run, changes, decoding=True)
        """As the run was trained: the subject's own names no weights to start from."""
        self.subject: Subject = build_subject(RunFolder(request.run), self.config)
        self.loss, self.classes = self.subject.classifier.loss, self.subject.classes
        if (kind := self.subject.data.data.kind) != self.loss.kind:
            raise ConfigError(f"{request.run}: answers of kind {kind} are not exported, only classes and texts")
        if problem := self.loss.untraceable():
            raise ConfigError(f"{request.run}: {self.subject.config.loss_function} cannot be exported: {problem}")
        self.about: dict[str, Any] = describe(self.subject)

    @cached_property
    def deployed(self) -> Deployed:
        return Deployed(self.subject.classifier, self.sample.preprocessing)

    @cached_property
    def sample(self) -> Sample:
        """Test images, which judge."""
        return Sample(self.subject, self.subject.part.stream)

    @cached_property
    def calibration(self) -> Sample:
        """Validation images, which 8 bits are fitted to; training images where none were held out."""
        data = self.subject.data
        stream = data.valid_stream if self.subject.config.select_on == "valid" else data.train_stream
        return Sample(self.subject, stream, CALIBRATION)

    @cached_property
    def onnx(self) -> Any:
        """The model as ONNX, checked."""
        from exporting.onnx_model import export_checked

        return export_checked(self, self.request.is_reduced("onnx"))

    def check_pixels(self) -> np.ndarray:
        """Return images that go along for a program to check itself. Shapes: uint8 [N, C, h, w]."""
        return self.sample.pixels[:CHECKED] if self.request.check_images else made_up(self.subject, CHECKED)

    def expected(self, answers: Decoded) -> dict[str, Any]:
        """Return the answers that the images which go along must get."""
        listed = {name: values.tolist() for name, values in answers._asdict().items() if name != "scores"}
        return {"count": len(answers.prediction), "tolerance": 1e-3, **listed}


def as_json(values: Any) -> str:
    """Return JSON without numbers that it has not; minus infinity, a confidence, becomes null."""
    text = json.dumps(_finite(values), ensure_ascii=False, indent=1, allow_nan=False)
    return text + "\n"


def _finite(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: _finite(value) for key, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [_finite(value) for value in values]
    return None if isinstance(values, float) and not np.isfinite(values) else values

"""Requests to export a run: all mistakes in a command line at once, before any network is built."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.requests import read_run, run_problem
from exporting import TARGETS, target_problem
from utils.types import ConfigError


@dataclass(frozen=True)
class Request:
    """A user's request.

    Args:
        words: a run's folder and `key=value`.
        targets: names of `TARGETS`.
        output: the folder that gets a folder for each target; None for RUN/export.
        int8: weights and activations of 8 bits where the target can have them.
        allow: points of accuracy, of 100, that 8 bits may cost.
        fresh: replace what is there.
        check_images: the folder may hold some of the run's test images, for a program to check itself.
        uncropped: export although the run saw only images cropped to their boxes.
        runtime: folder of the browser's runtime, for pages.
        license: of the weights, for hubs. push: repository on a hub.
    """

    words: Sequence[str]
    targets: tuple[str, ...] = ("onnx",)
    output: Path | None = None
    int8: bool = False
    allow: float = 0.5
    fresh: bool = False
    check_images: bool = True
    uncropped: bool = False
    runtime: Path | None = None
    license: str | None = None
    push: str | None = None

    @property
    def runs(self) -> list[Path]:
        return [Path(word) for word in self.words if "=" not in word]

    @property
    def run(self) -> Path:
        return self.runs[0]

    @property
    def changes(self) -> list[str]:
        return [word for word in self.words if "=" in word]

    def folder(self, target: str) -> Path:
        """Return where a target goes."""
        return (self.output or self.run / "export") / (f"{target}-int8" if self.is_reduced(target) else target)

    def is_reduced(self, target: str) -> bool:
        """Tell whether a target is made with 8 bits."""
        return self.int8 and TARGETS[target].reduced

    def check(self) -> None:
        """Raises: ConfigError with every mistake, one per line."""
        if lines := list(dict.fromkeys(self._mistakes())):
            raise ConfigError("\n".join(lines))

    def _mistakes(self) -> Iterator[str]:
        yield from (f"--to: {problem}" for name in self.targets if (problem := target_problem(name)))
        if not self.targets:
            yield "--to: names no target (python export.py --list)"
        if len(self.runs) != 1:
            named = f", got {len(self.runs)}" if self.runs else ", such as those in output"
            yield f"name one run folder{named}: python export.py RUN"
        if not 0 <= self.allow <= 100:
            yield f"--allow: must be a number of points from 0 to 100, got {self.allow:g}"
        known = [name for name in self.targets if name in TARGETS]
        if self.int8 and known and not any(TARGETS[name].reduced for name in known):
            able = ", ".join(name for name, target in TARGETS.items() if target.reduced)
            yield f"--int8: has no effect on {', '.join(known)}; only on {able}"
        if "hub" in known and not (self.license or "").strip():
            yield "--to hub: name the weights' licence, such as --license mit, or other if the data forbids sharing"
        if "hub" not in known and (self.push or self.license):
            yield "--push, --license: only for --to hub"
        if "hub" in known and self.push is not None:
            yield from filter(None, [push_problem(self.push)])
        if "page" in known:
            from exporting.browser_runtime import runtime_problem

            yield from filter(None, [runtime_problem(self.runtime)])
        elif self.runtime is not None:
            yield "--runtime: only for --to page"
        for run in self.runs:
            yield from filter(None, [run_problem(run)])
        if self.output is not None and self.output.exists() and not self.output.is_dir():
            yield f"--output {self.output}: is a file, not a folder"
        if len(self.runs) != 1 or run_problem(self.run):
            return
        yield from self._mistakes_about_the_run()
        if not self.fresh:
            there = [self.folder(name) for name in known if self.folder(name).exists()]
            yield from (f"{folder}: exists; --fresh replaces it" for folder in there)

    def _mistakes_about_the_run(self) -> Iterator[str]:
        try:
            config = read_run(self.run, self.changes, decoding=True)
        except ConfigError as error:
            yield from str(error).splitlines()
            return
        if config.crop_to_bboxes == "all" and not self.uncropped:
            yield (
                f"{self.run}: sees only images that are cut to their boxes (crop_to_bboxes: all), which nobody has who "
                "takes a photo; --uncropped exports it for whole images and judges it on those"
            )


def push_problem(repository: str) -> str | None:
    """Return why nothing can be uploaded to a repository, or None."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        return f"--push: must be OWNER/NAME, got {repository!r}"
    if TARGETS["hub"].missing():
        return None
    from huggingface_hub import get_token

    return None if get_token() else "--push: no token: set HF_TOKEN"

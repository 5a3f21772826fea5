"""Ranges of parameters of evaluations: what a signature says is checked before anything is done."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Positive = Annotated[int, Meta(ge=1)]
Number = Annotated[int, Meta(ge=0)]
Size = Annotated[float, Meta(gt=0)]
Level = Annotated[float, Meta(gt=0, le=255)]
"""Of 255."""

"""Random numbers as a pure function of where they are used, so that nothing random needs to be saved."""

from __future__ import annotations

import hashlib
import random

import torch


def derive_seed(*parts: int | str) -> int:
    """Return 63 bits that depend on every part, such as (seed, "order", epoch)."""
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def seed_cpu(seed: int) -> None:
    """Seed what torchvision's transforms draw from; a hundredth of `torch.manual_seed`'s time."""
    torch.default_generator.manual_seed(seed)
    random.seed(seed)


def seed_all(seed: int) -> None:
    """Seed Python's and torch's generators on every device."""
    torch.manual_seed(seed)
    random.seed(seed)

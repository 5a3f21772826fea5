"""Count what networks cost and write docs/architectures.md: python docs/architecture_pages.py [NAME ...]

Counted and kept in models/sizes.csv are the networks named, and those that the file lacks; without the file, all, which
takes an hour and may be interrupted. The page is written from the file, the table of networks and their docstrings, so
it cannot drift from them; a test compares.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT) if __name__ == "__main__" else sys.path[0]

from docs.docstrings import introduction, one_line, sections  # noqa: E402 - the project's root must come first
from models import (  # noqa: E402
    ALIASES,
    ARCHITECTURES,
    architecture_names,
    build_model,
    check_architecture_name,
    resolve_architecture,
)
from models.flops import count_multiply_adds, count_parameters  # noqa: E402
from models.sizes import CLASSES, FILE, Size, as_csv, read_sizes, short_number  # noqa: E402
from utils.files import write_atomically  # noqa: E402
from utils.lookup import load_entry, without_partial  # noqa: E402
from utils.types import ConfigError  # noqa: E402

PAGE = ROOT / "docs" / "architectures.md"
COUNTED_BETWEEN_WRITES = 20

LIBRARY = (
    *(f"torchvision/vgg{depth}{norm}" for depth in (16, 19) for norm in ("", "_bn")),
    *(f"torchvision/resnet{depth}" for depth in (18, 34, 50, 101, 152)),
    "torchvision/resnext50_32x4d",
    "torchvision/wide_resnet50_2",
    "torchvision/densenet121",
    "torchvision/googlenet",
    *(f"torchvision/squeezenet1_{version}" for version in (0, 1)),
    "torchvision/mobilenet_v2",
    *(f"torchvision/shufflenet_v2_x{width}" for width in ("0_5", "1_0", "1_5", "2_0")),
    *(f"torchvision/mnasnet{width}" for width in ("0_5", "0_75", "1_0", "1_3")),
    *(f"torchvision/efficientnet_b{scale}" for scale in range(8)),
    *(f"torchvision/efficientnet_v2_{size}" for size in "sml"),
    "torchvision/convnext_tiny",
    *(f"torchvision/vit_{size}" for size in ("b_16", "b_32", "l_16")),
    *(f"ghostnet_{width}" for width in ("050", "100", "130")),
    *(f"ghostnetv2_{width}" for width in ("100", "130", "160")),
    *(f"ghostnetv3_{width}" for width in ("050", "100", "130", "160")),
)
"""The libraries' networks that the papers' tables name, or that are met beside them."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="networks to count anew")
    names = parser.parse_args(arguments).names
    if problems := [problem for name in names if (problem := check_architecture_name(name))]:
        parser.error("; ".join(problems))
    keep_counts(map(resolve_architecture, names))
    write_atomically(PAGE, page())


def keep_counts(names: Iterable[str]) -> None:
    """Count these networks and those that models/sizes.csv lacks, and keep the counts there."""
    sizes = read_sizes()
    names_now = set(architecture_names()) - set(ALIASES)
    todo = list(dict.fromkeys([*names, *sorted(names_now - sizes.keys())]))
    for i, name in enumerate(todo):
        sizes[name] = count(name)
        if (i + 1) % COUNTED_BETWEEN_WRITES == 0 or i + 1 == len(todo):
            write_atomically(FILE, as_csv(sizes))
            print(f"{i + 1} of {len(todo)} counted", flush=True)


def count(name: str) -> Size:
    """Count one network at the size of image that it was made for."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of names and versions that are out of use
            network = build(name)
    except ConfigError as error:
        return Size(problem=one_line(str(error).removeprefix(f"architecture: {name} is not supported: ")))
    multiply_adds = count_multiply_adds(network, network.image_size, 3)
    size = size_of_image(network.image_size)
    return Size(count_parameters(network), multiply_adds, size, network.head_hidden_size)


def size_of_image(image_size: tuple[int, int]) -> str:
    height, width = image_size
    return str(height) if height == width else f"{height}x{width}"


def build(name: str) -> Any:
    """Build without data, but for networks whose constructors look at values."""
    try:
        with torch.device("meta"):
            return build_model(name, CLASSES)
    except ConfigError as error:
        if "meta tensor" not in str(error):
            raise
    return build_model(name, CLASSES)


def page() -> str:
    """Return the text of docs/architectures.md."""
    sizes = read_sizes()
    head = "| name | parameters | multiply-adds | image, px |"
    parts = [introduction(PAGE) + "## Ours\n"]
    parts += [f"{head} features | |", "|---|--:|--:|--:|--:|---|"]
    for name, entry in ARCHITECTURES.items():
        size = sizes.get(name, Size())
        parts.append(f"{row(name, size)} {number(size.features)} | {entry.summary} |")
    parts += ["", *sources(), "", "## The thesis's short names\n", f"{head} stands for |", "|---|--:|--:|--:|---|"]
    parts += [f"{row(name, sizes.get(target, Size()))} `{target}` |" for name, target in ALIASES.items()]
    parts += ["", "## Of torchvision and timm\n", "Those of the papers' tables and their like.\n"]
    parts += [head, "|---|--:|--:|--:|", *(row(name, sizes.get(name, Size())) for name in LIBRARY)]
    parts += ["", "`python train.py --list architectures` has all others."]
    return "\n".join(parts) + "\n"


def row(name: str, size: Size) -> str:
    """Return the cells that every table has."""
    return f"| `{name}` | {number(size.parameters)} | {short_number(size.multiply_adds)} | {size.image_size} |"


def number(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


def sources() -> list[str]:
    """Return an item for each paper: the networks from it, and how they deviate."""
    names: dict[str, list[str]] = {}
    for name, entry in ARCHITECTURES.items():
        text = described(load_entry(entry))
        source = one_line(text.get("Source", ""))
        if (deviations := one_line(text.get("Deviations", "none"))).rstrip(".") != "none":
            source += f" Deviations: {deviations}"
        names.setdefault(source, []).append(f"`{name}`")
    return [f"- {', '.join(group)}: {source}" for source, group in names.items()]


def described(constructor: Any) -> dict[str, str]:
    """Return the sections of a constructor's docstring, or of the one that it refers to with "see `name`"."""
    constructor = without_partial(constructor)
    docstring = inspect.getdoc(constructor) or ""
    text = sections(docstring)
    if "Source" not in text and (other := re.search(r"see `(\w+)`", docstring)):
        return described(getattr(sys.modules[constructor.__module__], other[1])) | text
    return text


if __name__ == "__main__":
    main()

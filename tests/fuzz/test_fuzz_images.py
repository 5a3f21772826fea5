"""Whatever an image file holds, pixels come of it or a DataError that names the file."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzing import cases, damaged, outcome, within
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from datasets.base import ImageTable
from datasets.preprocessing import Preprocessing
from datasets.readers import images
from datasets.readers.images import EncodedImage, bad_images, image_size, open_image

MODES = {
    "JPEG": ("L", "RGB", "CMYK"),
    "PNG": ("1", "L", "LA", "I;16", "P", "RGB", "RGBA"),
    "WEBP": ("RGB", "RGBA"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "GIF": ("L", "P"),
    "TIFF": ("1", "L", "I;16", "F", "RGB", "RGBA", "CMYK"),
}
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "JPEG": [{}, {"progressive": True}, {"subsampling": 0}],
    "PNG": [{}, {"transparency": 1}],
    "WEBP": [{}, {"lossless": True}],
    "TIFF": [{}, {"compression": "tiff_deflate"}],
}
EXIF = Image.Exif()
EXIF[0x0112] = 6


def encoded(kind: str, mode: str, options: dict[str, Any]) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (13, 21, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    picture = picture.convert("L").convert("I").convert("I;16") if mode == "I;16" else picture.convert(mode)
    options = options if mode in ("L", "P", "RGB") else {}
    if options.get("transparency") and mode == "RGB":
        options = {"transparency": (1, 2, 3)}
    if kind in ("JPEG", "PNG", "WEBP"):
        options = options | {"exif": EXIF}
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


WHOLE = [
    encoded(kind, mode, options)
    for kind, modes in MODES.items()
    for mode in modes
    for options in OPTIONS.get(kind, [{}])
]
INSERTED = [
    *(b"\xff\xd8", b"\xff\xd9", b"\xff\xda", b"\xff\xc4", b"\xff\xe1\0\x08Exif\0\0", b"\xff\xff\xff\xff", bytes(8)),
    *(b"IDAT", b"IHDR", b"IEND", b"tRNS", b"PLTE", b"eXIf", b"zTXt", b"iCCP", b"VP8X", b"ALPH", b"ANIM", b"\x7f" * 4),
]


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


@st.composite
def pngs(draw: st.DrawFn) -> bytes:
    """Draw PNG files whose checksums are right and whose content need not be."""
    side = st.one_of(st.integers(0, 40), st.sampled_from([2**31 - 1, 2**31, 2**32 - 1, 10_000]))
    head = struct.pack(
        ">IIBBBBB",
        draw(side),
        draw(side),
        draw(st.sampled_from([1, 2, 4, 8, 16, 3])),
        draw(st.sampled_from([0, 2, 3, 4, 6, 5])),
        *(draw(st.integers(0, 1)) for _ in range(3)),
    )
    names = st.sampled_from([b"PLTE", b"tRNS", b"IDAT", b"eXIf", b"gAMA", b"zTXt", b"iTXt", b"iCCP", b"pHYs", b"acTL"])
    pixels = st.integers(0, 3_000).map(bytes).map(zlib.compress)
    contents = st.one_of(st.binary(max_size=40), pixels, st.just(b"a\0\0" + zlib.compress(bytes(1 << 22))))
    chunks = draw(st.lists(st.tuples(names, contents), max_size=4))
    last = [(b"IDAT", draw(pixels)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in [(b"IHDR", head), *chunks, *last])


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images") / "image.bin"


def check(file: Path, content: bytes) -> None:
    """Decode a file in every way that the project does; all must agree on whether it can be."""
    file.write_bytes(content)
    with within(seconds=2):
        image, told = outcome(lambda: open_image(file))
        assert bad_images([file]) == ([] if told is None else [told])
        for source in (file, EncodedImage(file, 3, content)):
            pixels, told_of = outcome(lambda source=source: images.decode(source))
            assert told_of == (told and told.replace(str(file), str(source)))
            if image is not None and pixels is not None:
                assert pixels.dtype == np.uint8
                assert pixels.shape in (image.size[::-1], (*image.size[::-1], 3), (*image.size[::-1], 4))
        if image is None:
            assert told is not None
            assert told.startswith(f"{file}: ")
            return
        assert image.mode in ("L", "RGB")
        assert image_size(file) == image.size
        for wanted, grayscale in (((8, 6), False), ((8, 6), True), (None, False)):
            loaded = Preprocessing(wanted, grayscale).load(ImageTable([file], np.zeros(1, dtype=np.int64)), 0)
            assert loaded.dtype == np.uint8
            assert loaded.shape == (*(wanted or image.size[::-1]), 1 if grayscale else 3)


@cases(normal=150, torture=6_000)
@given(content=damaged(WHOLE, INSERTED))
def test_any_damage_to_an_image_gives_pixels_or_is_told(file: Path, content: bytes) -> None:
    check(file, content)


@cases(normal=40, torture=2_500)
@given(content=pngs())
def test_any_content_behind_right_checksums_gives_pixels_or_is_told(file: Path, content: bytes) -> None:
    check(file, content)


@cases(normal=60, torture=1_500)
@given(
    head=st.sampled_from([b"", *sorted({whole[:size] for whole in WHOLE for size in (2, 4, 16, 30)})]),
    rest=st.binary(max_size=300),
)
def test_any_bytes_give_pixels_or_are_told(file: Path, head: bytes, rest: bytes) -> None:
    check(file, head + rest)

"""Images from files that may be damaged or hostile: opened under limits, every fault reported with the file's name."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import struct
import warnings
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import simplejpeg
from PIL import Image

from datasets.readers.files import Paths, cache_root, in_threads, list_names, listing, progress, remember
from utils.files import open_regular
from utils.types import DataError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
MAX_FILE_BYTES = 400_000_000
"""More than Pillow's limit of 89 million pixels takes in four bytes each."""

# Pillow raises beyond twice its limit and warns up to there, where `_open` raises.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> the turn that undoes it."""
SIDEWAYS = {TURNS[orientation] for orientation in (5, 6, 7, 8)}

# What Pillow's decoders raise on damaged files, beside OSError; a warning where warnings are errors.
DAMAGED = (
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    struct.error,
    zlib.error,
    MemoryError,
    Warning,
)


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An image file's content that lies inside another file, such as a row of a table.

    Args:
        file: the file that holds it.
        row: which of its rows.
        content: the bytes, or what offers them without a copy, such as pyarrow's buffers.
    """

    file: Path
    row: int
    content: Any

    def __str__(self) -> str:
        return f"{self.file}, row {self.row}"

    def __len__(self) -> int:
        return len(memoryview(self.content))


ImageFile = str | os.PathLike[str] | EncodedImage


def quick_to_name(images: Sequence[Path | EncodedImage]) -> Sequence[Path | EncodedImage | str]:
    """Return images as they are held, for what needs their names alone: a million `Path`s take seconds to make."""
    return images.texts if isinstance(images, Paths) else images


def name_and_size(image: Path | EncodedImage | str) -> str:
    """Return what identifies an image wherever its file lies: the name and how many bytes it has."""
    if isinstance(image, EncodedImage):
        return f"{image.file.name}[{image.row}] {len(image)}"
    return f"{os.path.basename(image)} {os.stat(image).st_size}"


def is_image_name(path: Path | str) -> bool:
    """Tell by the ending, in capitals or not, whether a file should be an image."""
    return os.path.splitext(path)[1].lower() in ENDINGS


def list_images(folder: Path) -> tuple[Paths, list[Path]]:
    """Return the images in a folder, and what else is in it, sorted by name."""
    content = [(name, is_file and is_image_name(name)) for name, is_file in list_names(folder)]
    images = Paths(os.path.join(folder, name) for name, is_image in content if is_image)
    return images, [folder / name for name, is_image in content if not is_image]


def open_image(path: ImageFile) -> Image.Image:
    """Decode an image file, or what another file holds of one.

    The content decides the format, not the ending. The EXIF orientation is applied. Gray images come as L, all
    others as RGB: 16-bit values keep their high byte, as Pillow does with 16-bit colour, and transparent pixels show
    white, the page behind them.

    Returns: an image of mode L or RGB.
    Raises: DataError naming the file, if it is missing, unreadable, empty, damaged, of another format than JPEG, PNG,
        WebP and BMP, or of more pixels than `PIL.Image.MAX_IMAGE_PIXELS`.
    """
    image, turn = _load(path, read="all")
    return image if turn is None else image.transpose(turn)


def decode(path: ImageFile) -> np.ndarray:
    """Decode as `open_image`, most JPEGs in half of its time: by the library that Pillow has, with fewer copies.

    Returns: uint8 [H, W], [H, W, 3], or [H, W, 4] with nothing in the fourth: so JPEGs in colour come, since four bytes
        a pixel are resized in two thirds of the time of three.
    Raises: DataError as `open_image`.
    """
    image, turn = _open(path, read="head")
    if image.format == "JPEG" and image.mode in ("L", "RGB") and turn is None:
        content = path.content if isinstance(path, EncodedImage) else Path(path).read_bytes()
        try:
            pixels = simplejpeg.decode_jpeg(content, "GRAY" if image.mode == "L" else "RGBX")
            return pixels.squeeze(-1) if image.mode == "L" else pixels
        except ValueError:
            pass  # damaged, which Pillow explains, or a kind that only Pillow reads
    return np.array(open_image(path))


def image_size(path: ImageFile) -> tuple[int, int]:
    """Return width and height of `open_image(path)`, read from the file's head only.

    Raises: DataError as `open_image`, as far as the head shows.
    """
    image, turn = _open(path, read="head")
    width, height = image.size
    return (height, width) if turn in SIDEWAYS else (width, height)


def check_images(paths: Iterable[Path | EncodedImage]) -> None:
    """Decode every image once, so that a bad one is reported before training and not in its tenth hour.

    A check that passed is remembered under the user's cache folder, by the names, sizes and times of the files, and not
    repeated; a cache folder that cannot be written only costs the repetition.

    Raises: DataError that lists the bad images.
    """
    paths = list(paths)
    stamp = stamp_of(paths, "checked")
    if stamp.exists():
        return
    refuse_bad_images(bad_images(paths), len(paths))
    remember(stamp, f"{len(paths)} images decode\n")


def refuse_bad_images(bad: list[str], total: int) -> None:
    """Raise the DataError that lists images that cannot be used, if there are any.

    Args:
        bad: a line for each.
        total: images that were tried.
    """
    if bad:
        raise DataError(
            f"{len(bad):,} of {total:,} images cannot be used:\n{listing(bad)}\n"
            "Restore them from the original archive, or remove them together with their labels."
        )


def bad_images(paths: Iterable[Path | EncodedImage]) -> list[str]:
    """Decode every image and return what is wrong, a line for each bad one, in the order of the paths."""
    paths, faults = list(paths), []
    with progress(len(paths), "checking") as bar, contextlib.closing(in_threads(_fault, paths)) as checked:
        for _, future in checked:
            faults.append(future.result())
            bar.update()
    return [fault for fault in faults if fault is not None]


def _fault(path: Path | EncodedImage) -> str | None:
    try:
        _load(path, read="small")
    except DataError as error:
        return str(error)
    return None


def _load(path: ImageFile, read: Literal["small", "all"]) -> tuple[Image.Image, Image.Transpose | None]:
    """Open a file as mode L or RGB: some damage, as to a palette, shows only then."""
    image, turn = _open(path, read)
    try:
        return _to_gray_or_rgb(image), turn
    except DAMAGED as error:
        raise DataError(f"{path}: damaged: {error}") from None


def _open(path: ImageFile, read: Literal["head", "small", "all"] = "all") -> tuple[Image.Image, Image.Transpose | None]:
    """Open a file and decode it: not at all, or every byte but small where JPEG allows it, or in full.

    Returns: the image as stored and what sets it upright.
    """
    size = 1
    try:
        with io.BytesIO(path.content) if isinstance(path, EncodedImage) else open_regular(Path(path)) as source:
            size = len(path) if isinstance(path, EncodedImage) else os.fstat(source.fileno()).st_size
            if size > MAX_FILE_BYTES:
                raise DataError(f"{path}: {size:,} bytes, more than the {MAX_FILE_BYTES:,} allowed")
            image = Image.open(source, formats=FORMATS)
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and image.width * image.height > limit:
                raise DataError(f"{path}: {image.width} x {image.height} pixels, more than the {limit:,} allowed")
            if read == "small":
                image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
            if read != "head":
                image.load()
            return image, _turn(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{path}: more than the {Image.MAX_IMAGE_PIXELS:,} pixels allowed") from None
    except Image.UnidentifiedImageError:
        what = "the file is empty" if size == 0 else f"damaged, or not one of {', '.join(FORMATS)}"
        raise DataError(f"{path}: {what}") from None
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        # an operating system's error carries a number, a decoder's does not
        what = f"cannot be read: {error.strerror}" if error.errno else f"damaged: {error}"
        raise DataError(f"{path}: {what}") from None
    except DAMAGED as error:
        raise DataError(f"{path}: damaged: {error}") from None


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Return what sets an image upright; None when its EXIF data are damaged, as viewers do."""
    try:
        return TURNS.get(image.getexif().get(ORIENTATION, 1))
    except (OSError, *DAMAGED):
        return None


def _to_gray_or_rgb(image: Image.Image) -> Image.Image:
    mode = image.mode
    if mode.startswith("I"):
        return Image.fromarray((np.asarray(image).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8))
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        colours = image.convert("RGBA")
        flat = Image.alpha_composite(Image.new("RGBA", image.size, "white"), colours).convert("RGB")
        return flat.convert("L") if mode in ("1", "L", "LA", "La") else flat
    if mode in ("L", "RGB"):
        return image
    return image.convert("L" if mode == "1" else "RGB")


def stamp_of(images: Iterable[Path | EncodedImage | str], kind: str) -> Path:
    """Return the file that remembers a result on images, named after the names, sizes and times of their files.

    Args:
        kind: the folder of such results, under lossbench in the user's cache folder.
    """
    digest = hashlib.sha256()
    for image in images:
        file, row = (image.file, image.row) if isinstance(image, EncodedImage) else (image, "")
        try:
            status = os.stat(file)
            line = f"{os.path.abspath(file)}\0{row}\0{status.st_size}\0{status.st_mtime_ns}\n"
        except OSError:
            line = f"{os.path.abspath(file)}\0missing\n"
        digest.update(line.encode(errors="replace"))
    return cache_root() / kind / digest.hexdigest()

from __future__ import annotations

import io
import os
import random
import struct
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from official_layouts import draw
from PIL import Image

from datasets.readers import images
from datasets.readers.images import bad_images, check_images, image_size, open_image, refuse_bad_images
from utils.types import DataError

# left half red, right half blue; the top row white
PICTURE = np.zeros((4, 8, 3), dtype=np.uint8)
PICTURE[:, :4, 0] = PICTURE[:, 4:, 2] = 255
PICTURE[0] = 255


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP"])
def test_pixels_come_as_they_were_saved_whatever_the_ending(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encode(Image.fromarray(PICTURE), kind, **({"lossless": True} if kind == "WEBP" else {})))
    image = open_image(path)
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), PICTURE)
    assert image_size(path) == (8, 4)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_applied_to_pixels_and_size(tmp_path: Path, kind: str, orientation: int) -> None:
    # by the standard: what the stored rows and columns are in the upright picture
    stored = {
        1: PICTURE,
        2: PICTURE[:, ::-1],
        3: PICTURE[::-1, ::-1],
        4: PICTURE[::-1],
        5: PICTURE.transpose(1, 0, 2),
        6: PICTURE.transpose(1, 0, 2)[::-1],
        7: PICTURE.transpose(1, 0, 2)[::-1, ::-1],
        8: PICTURE.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    big = np.ascontiguousarray(stored.repeat(8, axis=0).repeat(8, axis=1))
    path = tmp_path / "a"
    path.write_bytes(encode(Image.fromarray(big), kind, exif=exif))
    assert image_size(path) == open_image(path).size == (64, 32)
    found = np.asarray(open_image(path)).astype(int)[3::8, 3::8]
    assert np.abs(found - PICTURE).max() < 60


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_data_leave_the_picture_as_stored(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encode(Image.fromarray(PICTURE), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01"))
    assert open_image(path).size == (8, 4)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("1", "L"), ("L", "L"), ("LA", "L"), ("I;16", "L"), ("P", "RGB"), ("RGB", "RGB"), ("RGBA", "RGB")],
)
def test_every_mode_of_png_comes_as_l_or_rgb(tmp_path: Path, mode: str, expected: str) -> None:
    path = tmp_path / "a.png"
    gray = {"1": 1, "P": 0, "I;16": 0x9934}.get(mode, "#999999")
    source = Image.new(mode, (2, 2), gray)
    if mode == "P":
        source.putpalette([0x99] * 3)
    path.write_bytes(encode(source, "PNG"))
    image = open_image(path)
    assert image.mode == expected
    assert np.unique(np.asarray(image)).tolist() == [255 if mode == "1" else 0x99]
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    red, green, blue = np.asarray(open_image(tmp_path / "a.jpg"))[8, 8]
    assert red > 240 > 15 > max(green, blue)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_show_white(tmp_path: Path, mode: str) -> None:
    pixels = np.zeros((1, 3, 4), dtype=np.uint8)
    pixels[0, :, 3] = 0, 255, 255
    image = Image.fromarray(pixels).convert(mode) if mode != "P" else Image.fromarray(pixels).quantize(4)
    path = tmp_path / "a.png"
    path.write_bytes(encode(image, "PNG"))
    found = np.asarray(open_image(path).convert("RGB"))
    assert found[0, :, 0].tolist() == [255, 0, 0]
    Image.new("RGBA", (1, 1), (0, 100, 200, 51)).save(path)  # what is half transparent mixes with white
    assert np.asarray(open_image(path))[0, 0].tolist() == [204, 224, 244]


def psd() -> bytes:
    """A Photoshop file, one of the formats that are never opened."""
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 4, 4, 8, 3)
    return head + struct.pack(">III", 0, 0, 0) + struct.pack(">H", 0) + bytes(48)


JPEG = encode(Image.effect_noise((64, 64), 90), "JPEG")
PNG = encode(Image.effect_noise((64, 64), 90), "PNG")
BAD = {
    "empty": (b"", "the file is empty"),
    "text": (b"<html>not found</html>", "damaged, or not one of JPEG, PNG, WEBP, BMP"),
    "psd": (psd(), "damaged, or not one of JPEG, PNG, WEBP, BMP"),
    "gif": (encode(Image.new("L", (4, 4)), "GIF"), "damaged, or not one of JPEG, PNG, WEBP, BMP"),
    "half": (JPEG[: len(JPEG) // 2], "damaged: image file is truncated"),
    "end": (JPEG[:-200], "damaged: image file is truncated"),
    "head": (JPEG[:20], "damaged"),
    "half png": (PNG[: len(PNG) // 2], "damaged: "),
    "crc": (PNG[:200] + bytes([PNG[200] ^ 255]) + PNG[201:], "damaged: "),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_is_told_by_name_and_fault(tmp_path: Path, name: str) -> None:
    content, fault = BAD[name]
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        open_image(path)
    assert str(caught.value).startswith(f"{path}: {fault}")
    assert bad_images([path]) == [str(caught.value)]
    for _ in range(2):  # a failed check is repeated
        with pytest.raises(DataError, match="1 of 1 images"):
            check_images([path])


@pytest.mark.parametrize("excess", [1.5, 3])
def test_an_image_beyond_the_pixel_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, excess: float
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(encode(Image.new("1", (300, 200)), "PNG"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", int(60_000 / excess))
    for read in (open_image, image_size):
        with pytest.raises(DataError, match=r"bomb\.png: .*more than the [\d,]+ (pixels )?allowed"):
            read(path)
    assert len(bad_images([path])) == 1


@pytest.mark.filterwarnings("default::PIL.Image.DecompressionBombWarning")
def test_the_pixel_limit_holds_where_warnings_are_no_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(encode(Image.new("1", (300, 200)), "PNG"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40_000)
    with (
        pytest.warns(Image.DecompressionBombWarning),
        pytest.raises(DataError, match=r"300 x 200 pixels, more than the 40,000 allowed"),
    ):
        open_image(path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_damage_anywhere_is_an_error_of_ours_and_checked_as_it_is_opened(tmp_path: Path, kind: str) -> None:
    generator = random.Random(kind)
    whole = encode(Image.effect_noise((40, 30), 90).convert("RGB"), kind)
    path = tmp_path / "a"
    outcomes = []
    for _ in range(100):
        content = bytearray(whole)
        for _ in range(generator.randint(1, 4)):
            content[generator.randrange(len(content))] = generator.randrange(256)
        path.write_bytes(content[: generator.randint(len(content) // 2, 2 * len(content))])
        try:
            open_image(path)
            opened = True
        except DataError:
            opened = False
        assert (bad_images([path]) == []) == opened
        outcomes.append(opened)
    assert not all(outcomes)


def test_all_bad_images_are_listed_up_to_twenty(tmp_path: Path) -> None:
    paths = [tmp_path / f"{k:03d}.jpg" for k in range(60)]
    for k, path in enumerate(paths):
        if k % 2:
            path.write_bytes(b"")
        else:
            draw(path, k)
    with pytest.raises(DataError) as caught:
        check_images(paths)
    lines = str(caught.value).splitlines()
    assert lines[0] == "30 of 60 images cannot be used:"
    assert lines[1:21] == [f"  {paths[k]}: the file is empty" for k in range(1, 40, 2)]
    assert lines[21] == "  and 10 more"
    assert "remove them together with their labels" in lines[22]


def test_a_check_that_passed_is_not_repeated_until_a_file_changes(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    for path in paths:
        draw(path, 9)
    decoded = []

    def count(path: Path) -> None:
        decoded.append(path)

    monkeypatch.setattr("datasets.readers.images._fault", count)
    check_images(paths)
    assert sorted(decoded) == paths
    check_images(paths)
    assert len(decoded) == 2
    assert len(list((cache / "lossbench" / "checked").iterdir())) == 1
    os.utime(paths[0], ns=(1, 1))
    check_images(paths)
    assert len(decoded) == 4
    check_images(paths[:1])
    assert len(decoded) == 5


def test_an_unwritable_cache_folder_costs_only_the_repetition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(tmp_path / "a.jpg", 9)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    check_images([tmp_path / "a.jpg"])
    assert (tmp_path / "file").read_text() == ""


def test_a_progress_bar_appears_on_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    draw(tmp_path / "a.jpg", 9)
    bad_images([tmp_path / "a.jpg"])
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    bad_images([tmp_path / "a.jpg"])
    assert "checking: 100%" in capsys.readouterr().err


def test_images_are_checked_in_threads_and_reported_in_order(tmp_path: Path) -> None:
    before = threading.active_count()
    paths = [tmp_path / f"{k}.jpg" for k in range(40)]
    assert bad_images([*paths, tmp_path]) == [
        *(f"{path}: no such file" for path in paths),
        f"{tmp_path}: cannot be read: Is a directory",
    ]
    assert threading.active_count() == before


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"subsampling": 2, "progressive": True}, {"quality": 30}])
def test_jpegs_come_with_pillow_s_pixels(tmp_path, mode, options):
    pixels = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(tmp_path / "image.jpg", **options)
    fast = images.decode(tmp_path / "image.jpg")
    slow = np.asarray(images.open_image(tmp_path / "image.jpg"))
    assert np.array_equal(fast[..., :3] if mode == "RGB" else fast, slow)
    assert slow.shape == ((37, 53, 3) if mode == "RGB" else (37, 53))


def test_a_line_break_in_a_name_breaks_no_line(tmp_path: Path) -> None:
    bad = tmp_path / "a\nb.png"
    bad.write_bytes(b"no image")
    with pytest.raises(DataError) as refused:
        refuse_bad_images(bad_images([bad]), 1)
    assert r"a\nb.png" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 3

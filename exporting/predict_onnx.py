"""Classify images by the exported model beside this file. Needs numpy, Pillow and onnxruntime, no torch.

    python predict_onnx.py IMAGE [IMAGE ...]        the five likeliest classes of each, or the text
    python predict_onnx.py --check                  does this machine give the answers that are expected?

Pixels are prepared in integers, exactly as for training; Pillow's own resize differs in some levels.
"""

import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
TOP = 5


def load(path):
    """Return an image file upright, without transparency: uint8 [H, W, 3]."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(Image.open(path))
    if image.mode.startswith("I"):  # 16 bits
        image = Image.fromarray((np.asarray(image).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))


def taps(size, to):
    """Return which pixels make each new one, and their whole-numbered weights: [to], [to, taps], bits of precision."""
    scale = size / to
    support, inverse = max(scale, 1.0), 1 / scale if scale >= 1 else 1.0
    centers = scale * (np.arange(to) + 0.5)
    first = np.maximum((centers - support + 0.5).astype(np.int64), 0)
    last = np.minimum((centers + support + 0.5).astype(np.int64), size)
    places = first[:, None] + np.arange((last - first).max())
    weights = np.maximum(0, 1 - np.abs((places - centers[:, None] + 0.5) * inverse)) * (places < last[:, None])
    weights /= np.cumsum(weights, axis=1)[:, -1:]  # summed one by one: the rounding is part of the result
    precision = 0
    while precision < 22 and int(0.5 + weights.max() * 2 ** (precision + 1)) < 2**15:
        precision += 1
    return np.minimum(places, size - 1), (0.5 + weights * 2**precision).astype(np.int32), precision


def resize_width(image, to):
    """Shapes: uint8 [H, W, 3] -> [H, to, 3]."""
    if image.shape[1] == to:
        return image
    places, weights, precision = taps(image.shape[1], to)
    total = np.full((len(image), to, 3), 1 << precision - 1, dtype=np.int32)
    for place, weight in zip(places.T, weights.T, strict=True):
        total += weight[:, None] * image[:, place]
    return (total >> precision).clip(0, 255).astype(np.uint8)


def prepare(image, about):
    """Return what the model takes. Shapes: uint8 [H, W, 3] -> [C, h, w]."""
    size = about["input"]
    image = resize_width(image, size["width"])
    image = resize_width(image.transpose(1, 0, 2), size["height"]).transpose(1, 0, 2)
    if size["channels"] == 1:
        image = ((image.astype(np.int64) @ size["gray"] + 32768) >> 16).astype(np.uint8)[..., None]
    return np.ascontiguousarray(image.transpose(2, 0, 1))


def in_words(about, probabilities, prediction):
    """Return the text, or the answer with the likeliest classes."""
    classes = about["classes"]
    if about["kind"] == "sequence":
        return repr("".join(classes[k] for k in prediction if k >= 0))
    order = np.argsort(-probabilities, kind="stable")[:TOP]
    likeliest = ", ".join(f"{classes[k]} {100 * probabilities[k]:.1f} %" for k in order)
    return f"{'none of them' if prediction < 0 else classes[prediction]}  ({likeliest})"


def check(model, about):
    """Return whether this machine gives the expected answers."""
    size = about["input"]
    pixels = np.frombuffer(HERE.joinpath("check", "pixels.bin").read_bytes(), dtype=np.uint8)
    pixels = pixels.reshape(-1, size["channels"], size["height"], size["width"])
    expected = json.loads(HERE.joinpath("check", "expected.json").read_text(encoding="utf-8"))
    _, probabilities, prediction, _ = model.run(None, {"pixels": pixels})
    gap = np.abs(probabilities - np.array(expected["probabilities"])).max()
    same = np.array_equal(prediction, expected["prediction"]) and gap <= expected["tolerance"]
    print(f"{len(pixels)} images: {'as expected' if same else 'NOT as expected'}; probabilities within {gap:.1e}")
    return same


def main(words):
    import onnxruntime

    about = json.loads(HERE.joinpath("model.json").read_text(encoding="utf-8"))
    model = onnxruntime.InferenceSession(str(HERE / "model.onnx"), providers=["CPUExecutionProvider"])
    if words == ["--check"]:
        return 0 if check(model, about) else 1
    if not words:
        print(__doc__)
        return 2
    failed = 0
    for word in words:
        try:
            pixels = prepare(load(word), about)
        except OSError as error:
            failed = 1
            print(f"{word}: cannot be read: {error}", file=sys.stderr)
            continue
        _, probabilities, prediction, _ = model.run(None, {"pixels": pixels[None]})
        print(f"{word}: {in_words(about, np.asarray(probabilities)[0], np.asarray(prediction)[0])}")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

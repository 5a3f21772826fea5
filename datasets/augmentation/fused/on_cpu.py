"""Pixels moved, blurred and recoloured by OpenCV, image by image.

Matrices map a place in the result to one in the image, in pixels from the image's corner: the first pixel's middle is
(0.5, 0.5). OpenCV counts from that middle.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from torchvision.transforms import InterpolationMode

from datasets.augmentation.fused.operation import Border, Size

cv2.setNumThreads(0)  # an image is too small a piece; the loader's workers share the cores

FLAGS = {
    InterpolationMode.NEAREST: cv2.INTER_NEAREST,
    InterpolationMode.BILINEAR: cv2.INTER_LINEAR,
    InterpolationMode.BICUBIC: cv2.INTER_CUBIC,
}
BORDERS = {
    "constant": cv2.BORDER_CONSTANT,
    "edge": cv2.BORDER_REPLICATE,
    "reflect": cv2.BORDER_REFLECT_101,
    "symmetric": cv2.BORDER_REFLECT,
}

TO_MIDDLE = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
FROM_MIDDLE = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])


def warp(image: np.ndarray, matrix: np.ndarray, interpolation: InterpolationMode, border: Border, out: np.ndarray):
    """Warp an image. Shapes: image [H, W, C] uint8, matrix [3, 3], out [h, w, C], which is written."""
    matrix = (TO_MIDDLE @ matrix @ FROM_MIDDLE)[:2]
    fill = border.fill if len(border.fill) > 1 else border.fill * 4
    flags = FLAGS[interpolation] | cv2.WARP_INVERSE_MAP
    size = out.shape[1], out.shape[0]
    cv2.warpAffine(image, matrix, size, dst=out, flags=flags, borderMode=BORDERS[border.mode], borderValue=fill)


def shift(images: np.ndarray, matrices: np.ndarray, size: Size, border: Border) -> np.ndarray:
    """Flip and crop images by whole pixels. Shapes: images [M, H, W, C] uint8, matrices [M, 3, 3] -> [M, h, w, C]."""
    starts, flips, room = [], [], []
    for axis, side, size_ in zip((1, 0), images.shape[1:3], size, strict=True):  # y, x
        flipped = matrices[:, axis, axis] < 0
        start = np.rint(matrices[:, axis, 2]).astype(int) - size_ * flipped
        before = max(0, -int(start.min()))
        room.append((before, max(0, int(start.max()) + size_ - side)))
        starts.append(start + before)
        flips.append(flipped)
    padded = _pad(images, room, border)
    windows = sliding_window_view(padded, (*size, images.shape[-1]), axis=(1, 2, 3))  # [M, ., ., 1, h, w, C]
    shifted = windows[np.arange(len(images)), starts[0], starts[1], 0]
    for axis, flipped in enumerate(flips):
        for number in np.flatnonzero(flipped).tolist():
            cv2.flip(shifted[number].copy(), axis, dst=shifted[number])
    return shifted


def _pad(images: np.ndarray, room: list[tuple[int, int]], border: Border) -> np.ndarray:
    if not any(map(any, room)):
        return images
    if border.mode != "constant":
        return np.pad(images, ((0, 0), *room, (0, 0)), mode=border.mode)  # type: ignore[call-overload]
    (top, bottom), (left, right) = room
    number, height, width, channels = images.shape
    padded = np.empty((number, height + top + bottom, width + left + right, channels), dtype=np.uint8)
    padded[:] = np.rint(border.fill) if len(border.fill) > 1 else round(sum(border.fill))
    padded[:, top : top + height, left : left + width] = images
    return padded


def blur(images: np.ndarray, along_x: np.ndarray, along_y: np.ndarray) -> np.ndarray:
    """Blur images, each with weights of its own. Shapes: images [M, H, W, C] uint8, along_x [M, k], along_y [M, l]."""
    out = np.empty(images.shape, dtype=np.uint8)
    for image, x, y, target in zip(images, along_x, along_y, out, strict=True):
        # weights of 0, at both ends, would cost as much as any other
        cv2.sepFilter2D(image, -1, x[x > 0], y[y > 0], dst=target, borderType=cv2.BORDER_REFLECT_101)
    return out


def mean_colour(image: np.ndarray) -> tuple[float, float, float]:
    """Return the mean of each channel, of a gray image three times. Shapes: [H, W, C] uint8."""
    red, green, blue, _ = cv2.mean(image)
    return (red, red, red) if image.shape[-1] == 1 else (red, green, blue)


def recolour(image: np.ndarray, matrix: np.ndarray, out: np.ndarray) -> None:
    """Map every colour and cut it to 0 to 255. Shapes: image [H, W, C] uint8, matrix [4, 4], out [H, W, C]."""
    if image.shape[-1] == 1:  # red, green and blue are one
        matrix = np.array([[matrix[0, :3].sum(), matrix[0, 3]]])
    cv2.transform(image, np.ascontiguousarray(matrix[:3]), dst=out)

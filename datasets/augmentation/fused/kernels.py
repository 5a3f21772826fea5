"""Pixels moved, blurred and recoloured: by OpenCV image by image, or by torch a batch at once where it lies.

Matrices map a place in the result to one in the image, in pixels from the image's corner: the first pixel's middle is
(0.5, 0.5). OpenCV counts from that middle.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor
from torch.nn import functional as F
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
PADDINGS = {"constant": "zeros", "edge": "border", "reflect": "reflection", "symmetric": "reflection"}
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


def mean_colour(image: np.ndarray) -> tuple[float, ...]:
    """Return the mean of each channel, of a gray image three times. Shapes: [H, W, C] uint8."""
    means = cv2.mean(image)
    return 3 * means[:1] if image.shape[-1] == 1 else means[:3]


def recolour(image: np.ndarray, matrix: np.ndarray, out: np.ndarray) -> None:
    """Map every colour and cut it to 0 to 255. Shapes: image [H, W, C] uint8, matrix [4, 4], out [H, W, C]."""
    if image.shape[-1] == 1:  # red, green and blue are one
        matrix = np.array([[matrix[0, :3].sum(), matrix[0, 3]]])
    cv2.transform(image, np.ascontiguousarray(matrix[:3]), dst=out)


def warp_batch(
    images: Tensor, matrices: Tensor, size: Size, interpolation: InterpolationMode, border: Border
) -> Tensor:
    """Warp images where they lie. Shapes: images [M, C, H, W] float, matrices [M, 3, 3] -> [M, C, h, w]."""
    height, width = images.shape[-2:]
    corners = border.mode == "reflect"  # at the middles of the outermost pixels, as torch has it then
    sides = images.new_tensor((width, height))
    x, y = (torch.arange(side, device=images.device, dtype=images.dtype) + 0.5 for side in (size[1], size[0]))
    places = torch.stack([*torch.meshgrid(x, y, indexing="xy"), torch.ones(size, device=x.device, dtype=x.dtype)], -1)
    sources = torch.einsum("mij,hwj->mhwi", matrices.to(images)[:, :2], places)  # [M, h, w, 2]
    grid = 2 * (sources - 0.5) / (sides - 1) - 1 if corners else 2 * sources / sides - 1
    fill = images.new_tensor(border.fill)[:, None, None] if border.mode == "constant" else 0
    warped = F.grid_sample(
        images - fill,
        grid,
        mode=interpolation.value,
        padding_mode=PADDINGS[border.mode],
        align_corners=corners,
    )
    return (warped + fill).round_().clamp_(0, 255)


def blur_batch(images: Tensor, along_x: Tensor, along_y: Tensor) -> Tensor:
    """Blur images, each with weights of its own. Shapes: images [M, C, H, W] float, along_x [M, k], along_y [M, l]."""
    x, y = (weights.to(images).repeat_interleave(images.shape[1], dim=0) for weights in (along_x, along_y))
    rim_x, rim_y = x.shape[1] // 2, y.shape[1] // 2
    planes = F.pad(images, (rim_x, rim_x, rim_y, rim_y), mode="reflect").flatten(0, 1)[None]  # [1, M C, ., .]
    planes = F.conv2d(planes, x[:, None, None], groups=len(x))
    planes = F.conv2d(planes, y[:, None, :, None], groups=len(y))
    return planes.reshape(images.shape).round_().clamp_(0, 255)


def recolour_batch(images: Tensor, matrices: Tensor) -> Tensor:
    """Map every colour and cut it to 0 to 255. Shapes: images [M, C, H, W] float, matrices [M, 4, 4] -> the same."""
    if images.shape[1] == 1:
        gain, bias = matrices[:, 0, :3].sum(dim=-1)[:, None, None, None], matrices[:, 0, 3][:, None, None, None]
        return (images * gain + bias).round_().clamp_(0, 255)
    flat = torch.baddbmm(matrices[:, :3, 3:], matrices[:, :3, :3], images.flatten(2))
    return flat.view_as(images).round_().clamp_(0, 255)

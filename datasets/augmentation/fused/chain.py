"""A chain of transforms, fused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, RandomResizedCrop

from datasets.augmentation.fused import kernels
from datasets.augmentation.fused.appearance import BLURS, COLOURS, Blur, Colour
from datasets.augmentation.fused.geometry import GEOMETRY, Flip, Geometry
from datasets.augmentation.fused.operation import INTERPOLATIONS, Border, NotFusable, Size
from datasets.augmentation.fused.rectangles import ERASING, Cropping, Erasing
from datasets.augmentation.transforms import alternates
from datasets.stream.draws import Draws


class Drawn(NamedTuple):
    """The random draws of M samples.

    Shapes: matrices [M, 3, 3] float32, from places in the result to places in the image; blurs: for each blur its
    weights along x and along y, [M, ...] float32; colours: for each colour transform its parameters [M, ...]; boxes
    [M, E, 4] int64, what each of the E erasing transforms sets to its value.
    """

    matrices: Tensor
    blurs: tuple[tuple[Tensor, Tensor], ...]
    colours: tuple[dict[str, Tensor], ...]
    boxes: Tensor


class FusedChain:
    """Transforms of images of one size, done in one pass: all of a kind at once, where the first of them stands.

    Args:
        transforms: torchvision's, and CutOut, in their order.
        size: height and width of the images; None for images of many sizes, which the first RandomResizedCrop cuts
            before anything else is done.
        channels: 1 or 3.

    Attributes:
        size: height and width of what it gives.
        cropping: with images of many sizes: what `crop` does, and its place in the chain.

    Raises: NotFusable naming each transform that it cannot do, and why.

    Deviations: from torchvision's operations one after the other: what one geometric transform moves out of the frame
        and the next one back is seen, not black; one interpolation, the finest that any of them asks for; hue is
        rotated in YIQ, not in HSV; colours are cut to 0 to 255 once, after the last of them. Where kinds take turns, as
        two colour transforms with a blur between them, each kind acts where its first stands.
    """

    def __init__(self, transforms: Sequence[Any], size: Size | None, channels: int) -> None:
        self.geometry: list[tuple[int, Geometry]] = []
        self.blurs: list[tuple[int, Blur]] = []
        self.colours: list[tuple[int, Colour]] = []
        self.erasing: list[tuple[int, Erasing]] = []
        self.cropping: tuple[int, Cropping] | None = None
        if size is None:
            place = next(n for n, transform in enumerate(transforms) if isinstance(transform, RandomResizedCrop))
            self.cropping = place, Cropping(transforms[place])
            size = self.cropping[1].size
        self.size, self.channels = size, channels
        problems = []
        for place, transform in enumerate(transforms):
            try:
                if self.cropping is None or place > self.cropping[0]:
                    self._add(place, transform)
                elif place < self.cropping[0]:
                    if GEOMETRY.get(type(transform)) is not Flip:  # a mirrored crop is one of the mirrored image
                        raise NotFusable("comes before a crop from images of many sizes")
                    self._add(place, transform)
            except NotFusable as error:
                problems.append(f"{type(transform).__name__} ({error})" if str(error) else type(transform).__name__)
        if problems:
            raise NotFusable(", ".join(problems))
        interpolations = [step.interpolation for _, step in self.geometry if step.interpolation is not None]
        self.moves_whole_pixels = not interpolations
        self.interpolation = max(interpolations, key=INTERPOLATIONS.index, default=InterpolationMode.NEAREST)
        borders = [step.border for _, step in self.geometry if step.border is not None]
        if len(set(borders)) > 1:
            raise NotFusable("several transforms that fill what comes from outside, and not alike")
        self.border = borders[0] if borders else Border("edge")  # where a finer interpolation reads over the rim
        if len(self.border.fill) not in (1, channels):
            raise NotFusable(f"fill: {len(self.border.fill)} values for {channels} channels")
        kinds = {"geometry": self.geometry, "blurs": self.blurs, "colours": self.colours}
        self.order = sorted((kind for kind, steps in kinds.items() if steps), key=lambda kind: kinds[kind][0][0])

    def _add(self, place: int, transform: Any) -> None:
        kind = type(transform)
        if kind in ERASING:
            erasing = ERASING[kind](transform, self.size)
            if erasing.value is not None and len(erasing.value) not in (1, self.channels):
                raise NotFusable(f"{len(erasing.value)} values for {self.channels} channels")
            self.erasing.append((place, erasing))
        elif self.erasing:
            raise NotFusable("comes after what was erased")
        elif kind in GEOMETRY:
            geometry = GEOMETRY[kind](transform, self.size)
            if self.blurs and not isinstance(geometry, Flip):  # a mirrored image blurs into the blurred one's mirror
                raise NotFusable("comes after a blur")
            if geometry.interpolation not in (None, *INTERPOLATIONS):
                raise NotFusable(f"interpolation: {geometry.interpolation.value}")
            if geometry.border is not None and any(step.cuts for _, step in self.geometry):
                raise NotFusable("fills what a crop before it cut away")
            self.size = geometry.size
            self.geometry.append((place, geometry))
        elif kind in BLURS:
            self.blurs.append((place, BLURS[kind](transform, self.size)))
        elif kind in COLOURS:
            if getattr(transform, "num_output_channels", self.channels) != self.channels:
                raise NotFusable("another number of channels")
            self.colours.append((place, COLOURS[kind](transform)))
        else:
            raise NotFusable

    def draw(self, draws: Draws, epoch: int, rows: np.ndarray, views: np.ndarray) -> Drawn:
        """Draw for samples. Shapes: rows [M], views [M]."""

        def uniform(place: int, number: int) -> np.ndarray:
            return draws(epoch, rows, views, place, number) if number else np.empty((len(rows), 0))

        matrices = np.eye(3)[None]
        for place, step in self.geometry:
            drawn = uniform(place, step.number)
            if alternates(step.transform):  # a number below a half is above it in the next epoch
                drawn = (draws(0, rows, views, place, step.number) + epoch / 2) % 1
            matrices = matrices @ step.matrices(step.parameters(drawn), len(rows))
        blurs = (step.weights(step.parameters(uniform(place, step.number))) for place, step in self.blurs)
        colours = (step.parameters(uniform(place, step.number)) for place, step in self.colours)
        boxes = [step.boxes(uniform(place, step.number)) for place, step in self.erasing]
        return Drawn(
            _tensor(np.broadcast_to(matrices, (len(rows), 3, 3))),
            tuple((_tensor(along_x), _tensor(along_y)) for along_x, along_y in blurs),
            tuple({name: _tensor(values) for name, values in parameters.items()} for parameters in colours),
            torch.from_numpy(np.stack(boxes, axis=1) if boxes else np.empty((len(rows), 0, 4), dtype=np.int64)),
        )

    def crop(
        self, images: Sequence[np.ndarray], draws: Draws, epoch: int, rows: np.ndarray, views: np.ndarray
    ) -> list[np.ndarray]:
        """Cut images of many sizes, before the rest of the chain.

        Shapes: images M of [H, W, C] uint8, rows [M], views [M] -> M of [h, w, C].
        """
        assert self.cropping is not None
        place, cropping = self.cropping
        return cropping(images, draws(epoch, rows, views, place, cropping.number))

    def on_cpu(self, images: Sequence[np.ndarray] | np.ndarray, drawn: Drawn) -> Tensor:
        """Move, blur and recolour images.

        Args:
            images: B, of which each is the source of M / B samples that stand side by side.

        Shapes: images [B, H, W, C] uint8, C contiguous -> [M, C, h, w] uint8, channels last in memory.
        """
        views = len(drawn.matrices) // len(images)
        out: Any = images if views == 1 else [image for image in images for _ in range(views)]
        if self.order[:1] != ["geometry"]:
            out = np.array(out)  # to be overwritten
        for kind in self.order:
            if kind == "geometry" and self.moves_whole_pixels:
                out = kernels.shift(np.asarray(out), drawn.matrices.numpy(), self.size, self.border)
            elif kind == "geometry":
                moved = np.empty((len(out), *self.size, self.channels), dtype=np.uint8)
                for image, matrix, target in zip(out, drawn.matrices.numpy(), moved, strict=True):
                    kernels.warp(image, matrix, self.interpolation, self.border, target)
                out = moved
            elif kind == "blurs":
                for along_x, along_y in drawn.blurs:
                    out = kernels.blur(out, along_x.numpy(), along_y.numpy())
            else:
                means = torch.ones(len(out), 4, dtype=torch.float64)
                if any(step.needs_mean for _, step in self.colours):
                    means[:, :3] = torch.tensor([kernels.mean_colour(image) for image in out], dtype=torch.float64)
                for image, matrix in zip(out, self._colour_maps(means, drawn).numpy(), strict=True):
                    kernels.recolour(image, matrix, image)
        return torch.from_numpy(out).permute(0, 3, 1, 2)

    def on_device(self, images: Tensor, drawn: Drawn) -> Tensor:
        """As `on_cpu`, where the images lie. Shapes: images [B, C, H, W] uint8 -> [M, C, h, w] float32, 0 to 255."""
        out = images.float()
        if (views := len(drawn.matrices) // len(images)) > 1:
            out = out.repeat_interleave(views, dim=0)
        for kind in self.order:
            if kind == "geometry":
                out = kernels.warp_batch(out, drawn.matrices, self.size, self.interpolation, self.border)
            elif kind == "blurs":
                for along_x, along_y in drawn.blurs:
                    out = kernels.blur_batch(out, along_x, along_y)
            else:
                means = out.new_ones(len(out), 4)
                means[:, :3] = out.mean(dim=(2, 3))
                out = kernels.recolour_batch(out, self._colour_maps(means, drawn))
        return out

    def _colour_maps(self, means: Tensor, drawn: Drawn) -> Tensor:
        """Shapes: means [M, 4] -> [M, 4, 4]."""
        maps = torch.eye(4, dtype=means.dtype, device=means.device).expand(len(means), 4, 4)
        for (_, step), parameters in zip(self.colours, drawn.colours, strict=True):
            maps = step.then(maps, parameters, means)
        return maps

    def erase(self, images: Tensor, boxes: Tensor, normalize: Callable[[Tensor], Tensor]) -> Tensor:
        """Set rectangles of normalised images to their values.

        Args:
            normalize: does to [C, 1, 1] of 0 to 1 what was done to the images.

        Shapes: images [M, C, h, w] float, boxes [M, E, 4] -> [M, C, h, w].
        """
        y, x = (torch.arange(side, device=images.device) for side in self.size)
        for (_, step), box in zip(self.erasing, boxes.unbind(1), strict=True):
            top, left, bottom, right = box.T[..., None]  # [M, 1] each
            inside = ((top <= y) & (y < bottom))[:, :, None] & ((left <= x) & (x < right))[:, None]  # [M, h, w]
            value = images.new_zeros(self.channels, 1, 1)
            if step.value is not None:
                value = normalize(value + images.new_tensor(step.value)[:, None, None])
            images = torch.where(inside[:, None], value, images)
        return images


def _tensor(values: np.ndarray) -> Tensor:
    """Return values as a tensor, numbers as float32: some devices have no other."""
    return torch.from_numpy(values.astype(np.float32) if values.dtype == np.float64 else values.copy())

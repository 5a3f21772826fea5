"""Images with annotations as the network sees them: both fitted into one size and augmented together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.utils import draw_bounding_boxes, draw_segmentation_masks

from datasets.augmentation.transforms import alternates, build_transforms, is_late
from datasets.dense import IGNORED, Annotation, DenseTable
from datasets.preprocessing import Preprocessing
from datasets.stream.image_stream import ImageStream, Loaded
from datasets.stream.sampling import Key
from losses.contract import Batch
from utils.seeding import derive_seed, seed_cpu
from utils.types import ConfigError

LEAST_SIDE = 1.0
"""Pixels; an object that augmentation leaves less of is gone."""
COLOURS = ("#000000", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")


class DenseStream(ImageStream):
    """Images of a `DenseTable` as samples; pixels and annotation depend on (seed, epoch, index, view) alone.

    Args:
        image_augmentations: a chain of torchvision.transforms.v2, by the names that it shares with the first version.
            What leaves another size is resized to the prepared one.
        judged: give what objects are judged by, too.

    A batch's target is, of pixels, {"pixels": [B, V, H, W] uint8, "places": [B, V, H, W] int64}; a place is the
    prepared image's pixel that is shown there, -1 for none. Of objects it is {"objects": B * V mappings of boxes
    [M, 4], labels [M], numbers [M], crowd [M] and perhaps masks [M, H, W] uint8, scale [], size [2]}; numbers tell the
    objects of an image apart, size is the original image's, and scale the prepared image's to it.
    """

    table: DenseTable

    def __init__(
        self,
        table: DenseTable,
        rows: Sequence[int] | np.ndarray,
        preprocessing: Preprocessing,
        *,
        image_augmentations: dict | list | None = None,
        tensor_augmentations: dict | list | None = None,
        views: int = 1,
        seed: int = 0,
        backend: str = "torchvision",
        judged: bool = False,
    ) -> None:
        super().__init__(table, rows, preprocessing, views=views, seed=seed, backend=backend)
        if tensor_augmentations:
            raise ConfigError("tensor_augmentations: boxes and masks move with images: give image_augmentations")
        self.chain = build_transforms(image_augmentations or {}, "image_augmentations", v2)
        for transform in self.chain:
            if is_late(transform) or alternates(transform):
                name = type(transform).__name__
                raise ConfigError(f"image_augmentations.{name}: moves no boxes or masks; take one of torchvision's")
        self.judged = judged

    def __getitem__(self, key: int | Key) -> Batch:
        """Return one sample, as a batch of it but for the image [V, C, H, W] and the index []."""
        batch = self.finish(self.__getitems__([key]))
        return Batch(batch.image[0], batch.target, batch.index[0])

    def __getitems__(self, keys: Sequence[int | Key]) -> Loaded:
        epoch, rows, first_views = self.places(keys)
        samples = [
            self._sample(image, row, epoch, first + view)
            for image, row, first in zip(self._pixels_of(rows), rows.tolist(), first_views.tolist(), strict=True)
            for view in range(self.views)
        ]
        image = torch.stack([sample.pop("image") for sample in samples]).unflatten(0, (len(rows), self.views))
        if "pixels" in samples[0]:
            maps = {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
            target: Any = {name: each.unflatten(0, (len(rows), self.views)) for name, each in maps.items()}
        else:
            target = {"objects": samples}
        return Loaded(image, target, torch.from_numpy(rows))

    def _sample(self, image: np.ndarray, row: int, epoch: int, view: int) -> dict[str, Any]:
        """Return a view's pixels and annotation. Shapes: image [H, W, C], prepared."""
        sample = self._prepared(np.ascontiguousarray(image), row)
        if self.chain:
            seed_cpu(derive_seed(self.seed, "augment", epoch, row, view))
            for transform in self.chain:
                sample = transform(sample)
            if sample["image"].shape[-2:] != image.shape[:2]:
                sample = v2.Resize(image.shape[:2])(sample)
        sample["image"] = sample["image"].as_subclass(Tensor)
        if "pixels" in sample:  # 0, which fills what comes from outside, is none
            sample["pixels"] = sample["pixels"].as_subclass(Tensor) - 1
            sample["places"] = sample["places"].as_subclass(Tensor).long() - 1
            return sample
        return self._objects_left(sample)

    def _prepared(self, image: np.ndarray, row: int) -> dict[str, Any]:
        annotation, size, original = self.table.annotation(row), image.shape[:2], self.table.size(row)
        inside = self.preprocessing.fitted(*original)
        sample: dict[str, Any] = {"image": tv_tensors.Image(torch.tensor(image).permute(2, 0, 1))}
        if annotation.pixels is not None:
            pixels = _framed(annotation.pixels[None], inside, size, IGNORED)[0] + 1  # uint8: IGNORED becomes 0
            places = torch.arange(1, pixels.numel() + 1, dtype=torch.int32).reshape(pixels.shape)
            return sample | {"pixels": tv_tensors.Mask(pixels), "places": tv_tensors.Mask(places)}
        assert annotation.boxes is not None
        assert annotation.labels is not None
        scale = torch.tensor([inside[1] / original[1], inside[0] / original[0]])
        boxes = torch.from_numpy(annotation.boxes) * scale.repeat(2)
        number = len(boxes)
        sample["boxes"] = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size)  # type: ignore[call-overload]
        sample |= {"labels": torch.from_numpy(annotation.labels), "numbers": torch.arange(number)}
        crowd = np.zeros(number, dtype=bool) if annotation.crowd is None else annotation.crowd
        sample |= {"crowd": torch.from_numpy(crowd), "scale": scale, "size": torch.tensor(original)}
        if annotation.masks is not None:
            sample["masks"] = tv_tensors.Mask(_framed(annotation.masks.astype(np.uint8), inside, size, 0))
        return sample | ({"truth": truth(annotation)} if self.judged else {})

    def _objects_left(self, sample: dict[str, Any]) -> dict[str, Any]:
        """Return a sample without the objects that augmentation has moved out of the image."""
        boxes = v2.ClampBoundingBoxes()(sample["boxes"]).as_subclass(Tensor).float()
        left = (boxes[:, 2:] - boxes[:, :2] >= LEAST_SIDE).all(dim=1)
        columns = {name: sample[name] for name in ("labels", "numbers", "crowd")} | {"boxes": boxes}
        if "masks" in sample:
            columns["masks"] = sample["masks"].as_subclass(Tensor)
            left &= (columns["masks"] > 0).flatten(1).any(dim=1) | self.judged
        return sample | {name: column[left] for name, column in columns.items()}

    def picture(self, key: int | Key) -> Tensor:
        """Return the first view of a sample with its annotation drawn into it. Shapes: -> [C, H, W] on 0 to 1."""
        sample = self[key]
        image = (self.preprocessing.denormalize(sample.image[0]).clamp(0, 1) * 255).byte()
        target: Any = sample.target
        if "pixels" in target:
            return drawn(image.expand(3, -1, -1), pixels=target["pixels"][0, 0])
        return drawn(image.expand(3, -1, -1), **{k: v for k, v in target["objects"][0].items() if k in DRAWN})


DRAWN = ("boxes", "labels", "masks")


def truth(annotation: Annotation) -> list[dict[str, Any]]:
    """Return an image's objects as COCO writes them: plain values, masks as rows of bytes."""
    assert annotation.boxes is not None
    assert annotation.labels is not None
    objects = []
    for k, (x1, y1, x2, y2) in enumerate(annotation.boxes.tolist()):
        one = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
        one |= {
            "category_id": int(annotation.labels[k]),
            "iscrowd": int(annotation.crowd is not None and annotation.crowd[k]),
        }
        if annotation.masks is not None:
            one |= {"mask": annotation.masks[k], "area": float(annotation.masks[k].sum())}
        objects.append(one)
    return objects


def drawn(
    image: Tensor,
    pixels: Tensor | None = None,
    boxes: Tensor | None = None,
    labels: Tensor | None = None,
    masks: Tensor | None = None,
    names: list[str] | None = None,
) -> Tensor:
    """Return an image with classes of pixels, or boxes and masks, drawn into it.

    Shapes: image [3, H, W] uint8; pixels [H, W]; boxes [M, 4]; labels [M]; masks [M, H, W]; M names -> [3, H, W] on 0
    to 1.
    """
    if pixels is not None:
        present = [k for k in pixels.unique().tolist() if 0 < k != IGNORED]
        masks, labels = torch.stack([pixels == k for k in present]) if present else None, torch.tensor(present)
    colours: Any = [] if labels is None else [COLOURS[1 + (int(k) - 1) % (len(COLOURS) - 1)] for k in labels]
    if masks is not None and len(masks):
        image = draw_segmentation_masks(image, masks.bool(), alpha=0.45, colors=colours)
    if boxes is not None and len(boxes):
        image = draw_bounding_boxes(image, boxes, labels=names, colors=colours, width=max(1, max(image.shape) // 200))
    return image.float() / 255


def _framed(maps: np.ndarray, inside: tuple[int, int], size: tuple[int, int], fill: int) -> Tensor:
    """Return maps of numbers as their image is prepared: the nearest pixel, filled below and to the right.

    Shapes: [M, h, w] uint8 -> [M, H, W].
    """
    tensor = torch.tensor(maps)
    if len(maps) and tensor.shape[-2:] != inside:
        tensor = F.interpolate(tensor[:, None], inside, mode="nearest-exact")[:, 0]
    if not len(maps):
        return torch.zeros(0, *size, dtype=tensor.dtype)
    return F.pad(tensor, (0, size[1] - inside[1], 0, size[0] - inside[0]), value=fill)

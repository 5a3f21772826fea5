"""Networks of regions and anchors compute what torchvision's own detectors compute; rows pair what shows one thing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList

from losses import build_loss
from losses.contract import Batch, Outputs, Task
from losses.loss_transform import log_group_means
from models import DENSE_ARCHITECTURES, build_model
from models.dense.base import DenseNetwork
from models.flops import count_multiply_adds

SIZE = 64
PARAMS: dict[str, dict[str, Any]] = {
    "lraspp": {"body": "test_resnet", "output_stride": 32, "inner_channels": 8},
    "fcn": {"body": "test_resnet", "output_stride": 32, "dropout": 0.0},
    "deeplabv3": {"body": "test_resnet", "output_stride": 32},
    "faster_rcnn": {"body": "test_resnet", "strides": [8, 16], "width": 16, "hidden": 32, "anchor_sizes": [16, 32]},
    "mask_rcnn": {"body": "test_resnet", "strides": [8, 16], "width": 16, "hidden": 32, "anchor_sizes": [16, 32]},
    "ssdlite": {"body": "test_resnet", "levels": 3, "num_features": 8},
}


def network(name: str, num_classes: int = 4) -> Any:
    torch.manual_seed(0)
    return build_model(name, num_classes, **PARAMS[name])


def images(number: int = 2) -> Tensor:
    return torch.randn(number, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def objects(masks: bool = True) -> list[dict[str, Tensor]]:
    """Return two images' objects; the second shows none."""
    boxes = torch.tensor([[4.0, 4, 24, 30], [30, 20, 60, 50]])
    each = {"boxes": boxes, "labels": torch.tensor([1, 3]), "numbers": torch.tensor([0, 5])}
    each["crowd"] = torch.tensor([False, False])
    if masks:
        each["masks"] = torch.zeros(2, SIZE, SIZE, dtype=torch.uint8)
        for mask, (x1, y1, x2, y2) in zip(each["masks"], boxes.int().tolist(), strict=True):
            mask[y1:y2, x1:x2] = 1
    return [each, {name: value[:0] for name, value in each.items()}]


class Predictor(nn.Module):
    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return self.net.classifier(features), self.net.box_regressor(features)


@pytest.mark.parametrize("name", ["faster_rcnn", "mask_rcnn"])
def test_cross_entropy_of_regions_is_torchvision_s_loss(name: str) -> None:
    net, target = network(name).train(), objects()
    torch.manual_seed(2)
    rows = net.rows(images(), {"objects": target}, torch.arange(2))
    total = nn.functional.cross_entropy(net.classifier(rows.features), rows.target) + sum(rows.terms.values())
    net.roi_heads.box_predictor = Predictor(net)
    sizes = [(SIZE, SIZE)] * 2
    torch.manual_seed(2)
    maps = net.forward_features(images())
    proposals, losses = net.rpn(ImageList(images(), sizes), maps, target)
    losses |= net.roi_heads(maps, proposals, sizes, target)[1]
    assert total.item() == pytest.approx(sum(losses.values()).item(), rel=1e-5)  # type: ignore[union-attr]
    assert set(rows.terms) >= {"boxes", "loss_objectness", "loss_rpn_box_reg"}


@pytest.mark.parametrize("name", ["faster_rcnn", "mask_rcnn"])
def test_regions_are_read_as_torchvision_reads_them(name: str) -> None:
    net, loss = network(name).eval(), build_loss("CrossEntropyLoss")
    with torch.no_grad():
        rows = net.rows(images())
        ours = net.read(rows, net.classifier(rows.features), loss)
        net.roi_heads.box_predictor = Predictor(net)
        sizes = [(SIZE, SIZE)] * 2
        maps = net.forward_features(images())
        theirs, _ = net.roi_heads(maps, net.rpn(ImageList(images(), sizes), maps)[0], sizes)
    assert sum(len(each["boxes"]) for each in ours) > 0
    for one, other in zip(ours, theirs, strict=True):
        assert one.keys() == other.keys()
        for key in one:
            torch.testing.assert_close(one[key], other[key])


def test_cross_entropy_of_anchors_is_torchvision_s_loss() -> None:
    net, target = network("ssdlite").train(), objects(masks=False)
    rows = net.rows(images(), {"objects": target}, torch.arange(2))
    scores = net.classifier(rows.features)
    chosen = net.chosen(rows, scores.log_softmax(dim=1))
    number = int((rows.target > 0).sum())
    assert int(chosen.sum()) == 4 * number > 0
    ours = net.loss_weight * nn.functional.cross_entropy(scores[chosen], rows.target[chosen])
    anchors, offsets, _ = rows.context
    matched = [net._match(each["boxes"], some) for each, some in zip(target, anchors, strict=True)]
    head = {"bbox_regression": offsets, "cls_logits": scores.unflatten(0, (2, -1))}
    theirs = net.parts.compute_loss(target, head, anchors, matched)
    assert ours.item() == pytest.approx(theirs["classification"].item(), rel=1e-5)
    assert rows.terms["boxes"].item() == pytest.approx(theirs["bbox_regression"].item(), rel=1e-5)


@pytest.mark.parametrize("name", ["faster_rcnn", "ssdlite"])
def test_rows_of_one_object_share_an_index_whatever_the_view(name: str) -> None:
    net, target = network(name).train(), objects(masks=False)
    rows = net.rows(images(3), {"objects": [target[0], target[0], target[1]]}, torch.tensor([7, 7, 9]))
    there = rows.target > 0
    by_object = {int(label): set(rows.index[rows.target == label].tolist()) for label in rows.target[there].unique()}
    assert all(len(numbers) == 1 for numbers in by_object.values())
    assert len(set.union(*by_object.values())) == len(by_object)
    alone = rows.index[~there]
    assert (alone < 0).all()
    assert len(alone.unique()) == len(alone)


def test_pixels_of_one_place_share_an_index_after_a_flip() -> None:
    net = network("lraspp").train()
    places = torch.arange(SIZE * SIZE).reshape(SIZE, SIZE)
    target = {
        "pixels": torch.zeros(1, 2, SIZE, SIZE, dtype=torch.uint8),
        "places": torch.stack([places, places.flip(1)])[None],
    }
    rows = net.rows(images(), target, torch.tensor([3, 3]))
    first, second = rows.index.reshape(2, 8, 8)
    assert torch.equal(first, second.flip(1))
    assert len(first.unique()) == 64
    assert first.min() == 3 * 64


def test_ignored_pixels_are_no_rows() -> None:
    net = network("lraspp").train()
    pixels = torch.randint(0, 4, (2, 1, SIZE, SIZE), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    pixels[:, :, : SIZE // 2] = 255
    places = torch.arange(SIZE * SIZE).reshape(1, 1, SIZE, SIZE).expand(2, -1, -1, -1)
    rows = net.rows(images(), {"pixels": pixels, "places": places}, torch.arange(2))
    assert len(rows.features) == len(rows.target) == len(rows.index) == 2 * 8 * 4
    assert torch.equal(rows.target, pixels[:, 0, 4::8, 4::8].flatten()[pixels[:, 0, 4::8, 4::8].flatten() != 255])


@pytest.mark.parametrize("name", DENSE_ARCHITECTURES)
def test_networks_are_counted_and_read_any_loss_s_head(name: str) -> None:
    net: DenseNetwork = network(name)
    assert count_multiply_adds(net, SIZE, 3) > 0
    width = net.classifier.in_features
    task = Task(4, 0, net.get_classifier())
    loss = build_loss("AngularSoftmaxLoss", task)
    head, features = loss.make_head(task), net.eval().rows(images()).features
    assert features.shape[1] == width
    target = torch.arange(len(features)) % 4
    terms = loss.terms(Outputs(head(features), features), Batch(images(), target, torch.arange(len(features))))
    assert all(term.isfinite() for term in terms.values())


def test_means_of_many_rows_need_no_table_of_all_pairs() -> None:
    log_p = torch.randn(200_000, 3, generator=torch.Generator().manual_seed(0)).log_softmax(dim=1)
    index = torch.arange(200_000) // 2  # a table of all pairs would take 40 GB
    means = log_group_means(log_p, index)
    assert torch.allclose(means[::2].exp(), log_p.exp().unflatten(0, (-1, 2)).mean(dim=1), atol=1e-6)

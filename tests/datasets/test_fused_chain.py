"""Fused augmentation beside torchvision's own operations, with the same numbers drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms as T
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as tf

from datasets.augmentation.fused.chain import FusedChain
from datasets.augmentation.fused.operation import NotFusable
from datasets.augmentation.transforms import CutOut
from datasets.stream.draws import Draws

SIZE: tuple[int, int] = (48, 60)
NUMBER = 24
BILINEAR = InterpolationMode.BILINEAR
ROWS, VIEWS = np.arange(NUMBER), np.zeros(NUMBER, dtype=np.int64)


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    """Smooth colours with some grain, as photographs have."""
    random = np.random.default_rng(0)
    coarse = random.integers(20, 236, (NUMBER, 6, 7, 3), dtype=np.uint8)
    smooth = [np.asarray(Image.fromarray(each).resize((SIZE[1], SIZE[0]), Image.Resampling.BICUBIC)) for each in coarse]
    return np.clip(np.stack(smooth) + random.normal(0, 3, (NUMBER, *SIZE, 3)), 0, 255).astype(np.uint8)


def drawn_by(chain: FusedChain, epoch: int = 0) -> list[dict[str, Any]]:
    """Return what the single operation of a chain draws for each image."""
    place, operation = [*chain.geometry, *chain.blurs, *chain.colours][0]
    uniform = Draws(0, NUMBER)(epoch, ROWS, VIEWS, place, max(operation.number, 1))
    values = operation.parameters(uniform)
    return [{name: each[n].tolist() for name, each in values.items()} for n in range(NUMBER)]


def fused(chain: FusedChain, images: np.ndarray, epoch: int = 0) -> Tensor:
    """Shapes: images [M, H, W, C] -> [M, C, h, w] uint8."""
    return chain.on_cpu(images, chain.draw(Draws(0, len(images)), epoch, ROWS[: len(images)], VIEWS[: len(images)]))


def affine(image: Any, d: dict, interpolation: InterpolationMode = InterpolationMode.NEAREST) -> Any:
    shifts, shears = [d["x_shift"], d["y_shift"]], [d["x_shear"], d["y_shear"]]
    return tf.affine(image, d["angle"], [int(s) for s in shifts], d["scale"], shears, interpolation)


def resized_crop(image: Any, d: dict) -> Any:
    return tf.resized_crop(image, d["top"], d["left"], d["height"], d["width"], [40, 44], BILINEAR)


def blur(taps: list[int]) -> Any:
    return lambda image, d: tf.gaussian_blur(image, taps, [d["sigma"], d["sigma"]])


def jitter(image: Any, d: dict) -> Any:
    for place in d["order"]:
        name = ("brightness", "contrast", "saturation", "hue")[place]
        if d[name] != (name != "hue"):  # 1, or of a hue 0, is not asked for
            image = getattr(tf, f"adjust_{name}")(image, d[name])
    return image


COLOURED: dict[str, Any] = {"fill": (200, 100, 50)}
ERASED: Any = {"value": 0.25}
AFFINE: dict[str, Any] = {"degrees": 25, "translate": (0.1, 0.1), "scale": (0.9, 1.1), "shear": 8}
OPERATIONS: dict[str, tuple[Any, Any, float, float]] = {
    # torchvision's transform, its function, allowed mean and 99 % quantile of the difference, of 255
    "RandomHorizontalFlip": (T.RandomHorizontalFlip(), lambda i, d: tf.hflip(i) if d["flip"] else i, 0, 0),
    "RandomVerticalFlip": (T.RandomVerticalFlip(), lambda i, d: tf.vflip(i) if d["flip"] else i, 0, 0),
    "RandomAffine nearest": (T.RandomAffine(**AFFINE), affine, 0.5, 10),
    "RandomAffine bilinear": (
        T.RandomAffine(**AFFINE, interpolation=BILINEAR),
        lambda i, d: affine(i, d, BILINEAR),
        2.0,  # at the rim OpenCV mixes with what is outside, Pillow does not
        60,
    ),
    "RandomRotation": (
        T.RandomRotation(40, BILINEAR),
        lambda i, d: tf.rotate(i, d["angle"], BILINEAR),
        2.0,
        60,
    ),
    "RandomCrop": (
        T.RandomCrop(40, padding=4),
        lambda i, d: tf.crop(tf.pad(i, [4]), d["top"], d["left"], 40, 40),
        0,
        0,
    ),
    "RandomCrop reflect": (
        T.RandomCrop((40, 44), padding=(3, 5), padding_mode="reflect"),
        lambda i, d: tf.crop(tf.pad(i, [3, 5], padding_mode="reflect"), d["top"], d["left"], 40, 44),
        0,
        0,
    ),
    "Pad": (T.Pad((1, 2, 3, 4), **COLOURED), lambda i, d: tf.pad(i, [1, 2, 3, 4], **COLOURED), 0, 0),
    "CenterCrop": (T.CenterCrop((31, 40)), lambda i, d: tf.center_crop(i, [31, 40]), 0, 0),
    "Resize up": (T.Resize((64, 90)), lambda i, d: tf.resize(i, [64, 90]), 0.4, 2),
    "Resize down": (T.Resize((40, 44)), lambda i, d: tf.resize(i, [40, 44]), 1.0, 4),
    "RandomResizedCrop": (T.RandomResizedCrop((40, 44)), resized_crop, 0.5, 4),
    "GaussianBlur": (T.GaussianBlur(3, (0.1, 1.0)), blur([3, 3]), 0.001, 0),
    "GaussianBlur wide": (T.GaussianBlur((23, 5), (0.1, 4.0)), blur([23, 5]), 0.001, 0),
    "GaussianBlur of one sigma": (T.GaussianBlur([7, 95], 0.5), blur([7, 95]), 0.001, 0),
    "Grayscale": (T.Grayscale(3), lambda i, d: tf.rgb_to_grayscale(i, 3), 0.5, 1),
    "RandomGrayscale": (
        T.RandomGrayscale(0.5),
        lambda i, d: tf.rgb_to_grayscale(i, 3) if d["applied"] else i,
        0.5,
        1,
    ),
    "RandomInvert": (T.RandomInvert(), lambda i, d: tf.invert(i) if d["applied"] else i, 0, 0),
    "brightness": (T.ColorJitter(brightness=0.4), jitter, 0.7, 1),
    "contrast": (T.ColorJitter(contrast=0.4), jitter, 0.7, 1),
    "saturation": (T.ColorJitter(saturation=0.4), jitter, 0.7, 1),
    "hue": (T.ColorJitter(hue=0.1), jitter, 10, 60),
    "ColorJitter": (T.ColorJitter(0.2, 0.2, 0.2, 0.1), jitter, 10, 60),
}


def differences(name: str, photos: np.ndarray) -> np.ndarray:
    """Return |fused - torchvision|, of 255. Shapes: [M, C, h, w]."""
    transform, function, _, _ = OPERATIONS[name]
    chain = FusedChain([transform], SIZE, 3)
    ours = fused(chain, photos).numpy().astype(int)
    pairs = zip(photos, drawn_by(chain), strict=True)
    theirs = np.stack([np.asarray(function(Image.fromarray(image), drawn)) for image, drawn in pairs])
    return abs(ours - theirs.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_is_torchvision_s_with_the_same_numbers(name, photos):
    found = differences(name, photos)
    _, _, mean, quantile = OPERATIONS[name]
    assert found.mean() <= mean
    assert np.quantile(found, 0.99) <= quantile


# -------------------------------------------------------------------------------------------------------------- chains

THESIS = [T.RandomHorizontalFlip(), T.RandomAffine(**AFFINE, interpolation=BILINEAR), T.ColorJitter(0.2, 0.2, 0.2, 0.1)]
CHAINS: dict[str, list[Any]] = {
    "thesis": THESIS,
    "cifar": [T.RandomCrop((48, 60), padding=4), T.RandomHorizontalFlip()],
    "reflect": [T.RandomHorizontalFlip(), T.RandomCrop((48, 60), padding=6, padding_mode="reflect")],
    "symmetric": [T.RandomCrop((48, 60), padding=6, padding_mode="symmetric"), T.RandomVerticalFlip()],
    "edge": [T.RandomCrop((48, 60), padding=6, padding_mode="edge")],
    "filled": [T.RandomAffine(**AFFINE, **COLOURED)],
    "colour first": [T.ColorJitter(0.4, 0.4), T.RandomRotation(30, BILINEAR, fill=128)],
    "imagenet": [T.RandomResizedCrop((40, 44)), T.RandomHorizontalFlip(), T.ColorJitter(0.4, 0.4, 0.4)],
    "blurred": [*THESIS, T.GaussianBlur((5, 9), (0.1, 2.0))],
    "blurred first": [T.GaussianBlur(3), T.RandomHorizontalFlip(), T.ColorJitter(0.4, 0.4)],
    "blurred after colours": [T.ColorJitter(0.4, 0.4), T.RandomAffine(**AFFINE), T.GaussianBlur(3)],
    "blurred twice": [T.RandomCrop(40), T.GaussianBlur(3), T.RandomVerticalFlip(), T.GaussianBlur((1, 5))],
    "bicubic": [T.RandomAffine(10, interpolation=InterpolationMode.BICUBIC), T.RandomInvert(), T.RandomGrayscale()],
}


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("name", CHAINS)
def test_a_device_gives_what_the_cpu_gives(name, gray, photos):
    images = photos[..., :1] if gray else photos
    transforms = [each for each in CHAINS[name] if not (gray and type(each) is T.RandomGrayscale)]
    if gray and name == "filled":
        transforms = [T.RandomAffine(**AFFINE, fill=200)]
    chain = FusedChain(transforms, SIZE, images.shape[-1])
    drawn = chain.draw(Draws(0, NUMBER), 0, ROWS, VIEWS)
    here = chain.on_cpu(images, drawn)
    there = chain.on_device(torch.from_numpy(images.copy()).permute(0, 3, 1, 2), drawn)
    assert here.dtype == torch.uint8
    assert here.shape == there.shape == (NUMBER, images.shape[-1], *chain.size)
    difference = (here.float() - there).abs()
    assert difference.mean() < 0.6  # OpenCV rounds places to 1/32 pixel
    assert np.quantile(difference.numpy(), 0.97) <= 4


def test_colours_before_a_warp_leave_its_fill_alone(photos):
    inversion, turn = T.RandomInvert(1.0), T.RandomRotation((45, 45))
    before, after = (FusedChain(chain, SIZE, 3) for chain in ([inversion, turn], [turn, inversion]))
    assert fused(before, photos)[:, :, 0, 0].max() == 0
    assert fused(after, photos)[:, :, 0, 0].min() == 255


def test_contrast_is_about_the_mean_of_what_came_before(photos):
    contrast = T.ColorJitter(contrast=(0.0, 0.0))
    crop = T.CenterCrop((10, 10))
    middle = photos[:, 19:29, 25:35] @ np.array([0.299, 0.587, 0.114])
    flat = fused(FusedChain([crop, contrast], SIZE, 3), photos)
    assert np.allclose(flat[:, 0, 0, 0], middle.mean(axis=(1, 2)), atol=1)
    whole = photos @ np.array([0.299, 0.587, 0.114])
    assert np.allclose(
        fused(FusedChain([contrast, crop], SIZE, 3), photos)[:, 0, 0, 0], whole.mean(axis=(1, 2)), atol=1
    )


def test_a_chain_s_transforms_act_in_their_order(photos):
    flip, pad = T.RandomHorizontalFlip(1.0), T.Pad((7, 0, 0, 0))
    pad_last, flip_last = (fused(FusedChain(chain, SIZE, 3), photos) for chain in ([flip, pad], [pad, flip]))
    assert pad_last[..., :7].max() == 0
    assert flip_last[..., -7:].max() == 0
    assert torch.equal(flip_last, pad_last.roll(-7, -1))


def test_a_further_transform_leaves_what_the_others_drew(photos):
    short, long = (FusedChain(chain, SIZE, 3) for chain in (THESIS[:1], THESIS))
    flips = [
        chain.geometry[0][1].parameters(Draws(0, 9)(0, ROWS[:9], VIEWS[:9], 0, 1))["flip"] for chain in (short, long)
    ]
    assert flips[0].tolist() == flips[1].tolist()
    plain, jittered = (
        fused(FusedChain(chain, SIZE, 3), photos) for chain in (THESIS[:2], [*THESIS[:2], T.RandomInvert(1.0)])
    )
    assert torch.equal(255 - plain, jittered)


def test_a_blur_draws_its_sigma_evenly_and_its_weights_are_a_gaussian():
    chain = FusedChain([T.RandomHorizontalFlip(), T.GaussianBlur((5, 3), (0.5, 2.0))], SIZE, 3)
    rows = np.arange(4000)
    ((along_x, along_y),) = chain.draw(Draws(0, 4000), 0, rows, 0 * rows).blurs
    sigma = chain.blurs[0][1].parameters(Draws(0, 4000)(0, rows, 0 * rows, 1, 1))["sigma"]
    assert np.allclose(np.quantile(sigma, [0, 0.25, 0.5, 0.75, 1]), [0.5, 0.875, 1.25, 1.625, 2.0], atol=0.03)
    assert along_x.shape == (4000, 5)
    assert along_y.shape == (4000, 3)
    for weights, reach in ((along_x, 2), (along_y, 1)):
        assert np.allclose(weights.sum(dim=1), 1, atol=1e-6)
        ratio = weights[:, 0] / weights[:, reach]
        assert np.allclose(ratio, np.exp(-0.5 * (reach / sigma) ** 2), rtol=2e-3)


def test_blurs_and_mirrors_act_one_after_the_other(photos):
    flip, wide = T.RandomHorizontalFlip(1.0), T.GaussianBlur((9, 5), 1.5)
    first, second = T.GaussianBlur(3, 0.7), T.GaussianBlur((1, 5), 1.2)
    for chain in ([wide, flip], [flip, wide], [first, second]):
        ours = fused(FusedChain(chain, SIZE, 3), photos).permute(0, 2, 3, 1).numpy()
        theirs = np.stack([np.asarray(T.Compose(chain)(Image.fromarray(each))) for each in photos])
        assert abs(ours.astype(int) - theirs).max() <= 1
        assert (ours != theirs).mean() < 0.001


def test_a_blur_and_colours_act_in_their_order(photos):
    bright, blur = T.ColorJitter(brightness=(1.5, 1.5)), T.GaussianBlur(5, 1.5)
    found = {}
    for name, (first, last) in {"bright first": (bright, blur), "blur first": (blur, bright)}.items():
        ours = fused(FusedChain([first, last], SIZE, 3), photos).permute(0, 2, 3, 1).numpy().astype(int)
        theirs = np.stack([np.asarray(last(first(Image.fromarray(each)))) for each in photos])
        assert abs(ours - theirs).max() <= 2
        found[name] = ours
    assert abs(found["bright first"] - found["blur first"]).max() > 9  # what is brighter than 255 does not shine out


def test_a_blur_at_the_end_leaves_what_the_others_drew(photos):
    plain, blurred = (FusedChain(chain, SIZE, 3) for chain in (THESIS, [*THESIS, T.GaussianBlur(3)]))
    draws = Draws(0, NUMBER)
    here, there = (chain.draw(draws, 0, ROWS, VIEWS) for chain in (plain, blurred))
    assert torch.equal(here.matrices, there.matrices)
    assert all(torch.equal(value, there.colours[0][name]) for name, value in here.colours[0].items())
    assert here.blurs == ()
    sharp = FusedChain([*THESIS, T.GaussianBlur(3, 0.1)], SIZE, 3)  # its neighbours weigh less than 1e-20
    assert torch.equal(fused(plain, photos), fused(sharp, photos))


def test_views_share_their_image_and_not_their_numbers(photos):
    chain = FusedChain(THESIS, SIZE, 3)
    views = np.tile([0, 1], NUMBER)
    drawn = chain.draw(Draws(0, NUMBER), 0, ROWS.repeat(2), views)
    both = chain.on_cpu(list(photos), drawn).unflatten(0, (NUMBER, 2))
    assert torch.equal(both[:, 0], fused(chain, photos))
    assert not torch.equal(both[:, 0], both[:, 1])


def test_erasing_covers_the_drawn_share_with_its_value():
    chain = FusedChain([T.RandomErasing(p=0.5, scale=(0.1, 0.2), **ERASED)], (64, 64), 3)
    rows = np.arange(2000)
    drawn = chain.draw(Draws(0, 2000), 0, rows, 0 * rows)
    images = torch.ones(2000, 3, 64, 64)
    erased = chain.erase(images, drawn.boxes, lambda image: image - 0.5)
    shares = (erased[:, 0] == -0.25).float().mean(dim=(1, 2))
    hit = shares > 0
    assert abs(hit.float().mean() - 0.5) < 0.04
    assert shares[hit].min() > 0.09
    assert shares[hit].max() < 0.21
    assert abs(shares[hit].mean() - 0.15) < 0.005
    assert ((erased == 1) | (erased == -0.25)).all()


def test_cut_out_has_its_centre_anywhere_and_its_length_inside():
    chain = FusedChain([CutOut(length=7)], (20, 24), 1)
    rows = np.arange(3000)
    top, left, bottom, right = chain.draw(Draws(0, 3000), 0, rows, 0 * rows).boxes[:, 0].T
    assert (int(top.min()), int(left.min()), int(bottom.max()), int(right.max())) == (0, 0, 20, 24)
    inside = (top > 0) & (bottom < 20)
    assert set((bottom - top)[inside].tolist()) == {7}
    assert set(np.bincount((bottom[top == 0]).numpy()).nonzero()[0]) == set(range(4, 8))


def test_resized_crops_have_the_asked_areas_and_ratios():
    chain = FusedChain([T.RandomResizedCrop((150, 150), scale=(0.3, 0.6), ratio=(0.5, 2.0))], (200, 200), 3)
    operation = chain.geometry[0][1]
    rows = np.arange(4000)
    drawn = operation.parameters(Draws(0, 4000)(0, rows, 0 * rows, 0, operation.number))
    areas, ratios = drawn["height"] * drawn["width"] / 200**2, drawn["width"] / drawn["height"]
    assert 0.29 < areas.min() < 0.31
    assert 0.59 < areas.max() < 0.61
    assert abs(np.log(ratios).mean()) < 0.03
    assert (drawn["top"] + drawn["height"] <= 200).all()
    assert (drawn["left"] + drawn["width"] <= 200).all()


NOT_FUSED = {
    "RandomPosterize": [T.RandomHorizontalFlip(), T.RandomPosterize(4)],
    "RandomAffine (comes after a blur)": [T.GaussianBlur(3), T.RandomHorizontalFlip(), T.RandomAffine(9)],
    "RandomCrop (comes after a blur)": [T.GaussianBlur(3), T.RandomCrop(40)],
    "GaussianBlur (comes after what was erased)": [T.RandomErasing(), T.GaussianBlur(3)],
    "GaussianBlur (the image of 48x60 is too small for the kernel)": [T.GaussianBlur((3, 97))],
    "GaussianBlur (the image of 40x9 is too small for the kernel)": [T.CenterCrop((40, 9)), T.GaussianBlur(19)],
    "RandomRotation (expand gives images of many sizes)": [T.RandomRotation(20, expand=True)],
    "RandomErasing (value: random)": [T.RandomErasing(**{**ERASED, "value": "random"})],
    "ColorJitter (comes after what was erased)": [T.RandomErasing(), T.ColorJitter(0.1)],
    "RandomResizedCrop (makes images up to 7.5 times smaller, beyond 1.5)": [T.RandomResizedCrop(8)],
    "Resize (makes images up to 3.2 times smaller, beyond 1.5)": [T.Resize((15, 40))],
    "RandomAffine (interpolation: lanczos)": [T.RandomAffine(9, interpolation=InterpolationMode.LANCZOS)],
    "CenterCrop (the image of 48x60 is smaller than the crop)": [T.CenterCrop(50)],
    "Grayscale (another number of channels)": [T.Grayscale(1)],
    "several transforms that fill": [T.Pad(4, fill=9), T.RandomAffine(9)],
    "RandomAffine (fills what a crop before it cut away)": [T.CenterCrop(40), T.RandomAffine(9)],
}


@pytest.mark.parametrize("message", NOT_FUSED)
def test_what_only_torchvision_can_do_is_told(message):
    with pytest.raises(NotFusable) as raised:
        FusedChain(NOT_FUSED[message], SIZE, 3)
    assert message in str(raised.value)

"""torchvision's classification networks, taken apart and put together to timm's contract."""

from __future__ import annotations

import typing
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models as tv

from models.networks.base import Network
from utils.types import ConfigError

_HEAD_PARTS = ("avgpool", "dropout", "fc", "classifier", "norm", "permute", "flatten", "head", "heads")
_CONTAINERS = ("features", "layers", "trunk_output", "blocks")


class TorchvisionNetwork(Network):
    """A torchvision network in stages; computes what torchvision's own `forward` computes.

    `native_keys` maps torchvision's names in a state dict to ours.
    """

    native_keys: dict[str, str]
    trained_classifier: bool


class _SqueezeNet(TorchvisionNetwork):
    def new_classifier(self, num_classes: int) -> nn.Module:
        return _ClassMaps(self.num_features, num_classes)


class _ClassMaps(nn.Conv2d):
    """SqueezeNet's last layer: one map per class, ReLU, average.

    The ReLU stands before the average, so the features are maps [B, C, H, W] and no score is negative.
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(in_channels, num_classes, 1)
        nn.init.normal_(self.weight, std=0.01)
        nn.init.zeros_(typing.cast(Tensor, self.bias))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).relu().mean((2, 3))


class _Tokens(nn.Module):
    """A vision transformer's input: image -> class token and patches [B, 1 + N, D]."""

    def __init__(self, net: tv.VisionTransformer) -> None:
        super().__init__()
        self.image_size = net.image_size
        self.projection = net.conv_proj
        self.class_token = net.class_token
        self.position = net.encoder.pos_embedding
        self.dropout = net.encoder.dropout

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-2:] != (self.image_size, self.image_size):
            raise ConfigError(
                f"this network takes images of {self.image_size} x {self.image_size} px, got "
                f"{x.shape[-2]} x {x.shape[-1]}; timm's vision transformers take others by their parameter img_size"
            )
        x = self.projection(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], dim=1)
        return self.dropout(x + self.position)


class _FirstToken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0]


class _Rescale(nn.Module):
    """From ImageNet's mean and deviation to a range of -1 to 1, which two networks' pretrained weights expect.

    A grayscale image stands for three equal channels, as these are rescaled differently.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        self.register_buffer("scale", (std / 0.5).view(3, 1, 1), persistent=False)
        self.register_buffer("shift", ((mean - 0.5) / 0.5).view(3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


def _tokens_to_map(x: Tensor) -> Tensor:
    side = round((x.shape[1] - 1) ** 0.5)
    return x[:, 1:].transpose(1, 2).unflatten(2, (side, side))


def _channels_first(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def _downsamples(module: nn.Module) -> bool:
    """Return whether the module's output has fewer pixels than its input."""
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
            stride = part.stride if isinstance(part.stride, tuple) else (part.stride,)
            if max(stride) > 1:
                return True
        if type(part).__name__.startswith("PatchMerging"):  # Swin's, a linear layer over 2x2 neighbours
            return True
    return False


def _trunk(net: nn.Module) -> list[nn.Module]:
    """Return the modules that give the last feature map, in the order in which torchvision runs them."""
    trunk: list[nn.Module] = []
    for name, module in net.named_children():
        if name in _HEAD_PARTS:
            break
        trunk += module.children() if name in _CONTAINERS else [module]
    return trunk


def _stages(trunk: list[nn.Module]) -> list[nn.Sequential]:
    """Begin a stage at each module that lowers the resolution."""
    stages: list[list[nn.Module]] = [[]]
    for module in trunk:
        if stages[-1] and _downsamples(module):
            stages.append([])
        stages[-1].append(module)
    return [nn.Sequential(*stage) for stage in stages]


def _pooled(net: Any, *after: nn.Module) -> list[nn.Module]:
    return [getattr(net, "avgpool", None) or nn.AdaptiveAvgPool2d(1), nn.Flatten(1), *after]


def _assemble(network: nn.Module) -> TorchvisionNetwork:
    """Put the parts of a torchvision network in new modules; the parameters are the same objects."""
    net: Any = network  # `match` would narrow its type to what nn.Module promises of its attributes
    kind, trunk, to_map = TorchvisionNetwork, _trunk(net), None
    match network:
        case tv.ResNet() | tv.RegNet() | tv.ShuffleNetV2():
            head, last = _pooled(net), net.fc
        case tv.GoogLeNet() | tv.Inception3():
            head, last = _pooled(net, net.dropout), net.fc
            if net.transform_input:
                trunk[0] = nn.Sequential(_Rescale(), trunk[0])
        case tv.DenseNet():
            trunk.append(nn.ReLU())
            head, last = _pooled(net), net.classifier
        case tv.AlexNet() | tv.VGG() | tv.MobileNetV2() | tv.MobileNetV3() | tv.EfficientNet() | tv.MNASNet():
            head, last = _pooled(net, *net.classifier[:-1]), net.classifier[-1]
        case tv.ConvNeXt():
            head, last = [net.avgpool, *net.classifier[:-1]], net.classifier[-1]
        case tv.MaxVit():
            head, last = list(net.classifier[:-1]), net.classifier[-1]
        case tv.SwinTransformer():
            head, last = [net.norm, net.permute, *_pooled(net)], net.head
            to_map = _channels_first
        case tv.VisionTransformer():
            first, *others = net.encoder.layers
            stages = [nn.Sequential(_Tokens(net), first), *others]
            head, last = [net.encoder.ln, _FirstToken(), *net.heads[:-1]], net.heads[-1]
            return kind(stages, nn.Sequential(*head), last, last.in_features, _tokens_to_map)
        case tv.SqueezeNet():
            kind, conv = _SqueezeNet, net.classifier[1]
            last = _ClassMaps(conv.in_channels, conv.out_channels)
            last.weight, last.bias = conv.weight, conv.bias
            return kind(_stages(trunk), net.classifier[0], last, conv.in_channels)
        case _:
            raise ConfigError(f"torchvision's {type(net).__name__} networks are not supported")
    return kind(_stages(trunk), nn.Sequential(*head), last, last.in_features, to_map)


def adapt(net: nn.Module) -> TorchvisionNetwork:
    """Return a torchvision network in timm's contract, with its parameters.

    Raises: ConfigError if the network is of a kind that is not known here.
    """
    names = {id(tensor): name for name, tensor in net.state_dict(keep_vars=True).items()}
    network = _assemble(net)
    ours = network.state_dict(keep_vars=True).items()
    network.native_keys = {names[id(tensor)]: name for name, tensor in ours}
    return network

"""Parameters that stay as they are: throughout a run (`freeze`), or outside the epochs of their optimizer group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import pytorch_lightning as pl
from msgspec import structs
from torch import nn
from torch.optim import Optimizer

from configuration.schema import Configuration
from models.classifier import Classifier
from training.decays import treatments
from training.networks import CLASSES_TRIED, build_network
from training.optimizers import NAMED, assign, build_optimizers, is_active, patterns
from utils.types import ConfigError, first_few

BACKBONE = "backbone"
"""All but the last layer and what the loss trains."""


def frozen_names(names: Iterable[str], freeze: str | Sequence[str] | None) -> set[str]:
    """Return the names of the parameters that a run leaves as they are.

    Args: freeze: patterns or beginnings of names, or `BACKBONE`.
    Raises: ConfigError naming patterns that match nothing, or if nothing would be left to train.
    """
    listed, names = [freeze] if isinstance(freeze, str) else freeze or [], list(names)
    matched = {pattern: [name for name in names if _matches(name, pattern)] for pattern in listed}
    if empty := [pattern for pattern in listed if not matched[pattern]]:
        text = f"matches no parameter; there are {first_few(names, NAMED)}"
        raise ConfigError("\n".join(f"freeze: {pattern!r} {text}" for pattern in empty))
    frozen = {name for matches in matched.values() for name in matches}
    if len(frozen) == len(names):
        raise ConfigError("freeze: takes all parameters, so that none is left to train")
    return frozen


def _matches(name: str, pattern: str) -> bool:
    if pattern == BACKBONE:
        return not name.startswith(("classifier.", "loss."))
    return fnmatchcase(name, pattern) or name.startswith(f"{pattern}.")


def trained(weights: Mapping[str, nn.Parameter], config: Configuration) -> dict[str, nn.Parameter]:
    """Return the parameters that a run does not freeze throughout, by their names. Raises: as `frozen_names`."""
    frozen = frozen_names(weights, config.freeze)
    return {name: weight for name, weight in weights.items() if name not in frozen}


def name_problems(config: Configuration, names: Iterable[str]) -> list[str]:
    """Return what is wrong with the patterns of `freeze` and of the optimizer groups, a line each."""
    names, problems = list(names), []
    try:
        frozen = frozen_names(names, config.freeze)
    except ConfigError as error:
        problems, frozen = str(error).splitlines(), set()
    try:
        assign({name: nn.Parameter() for name in names if name not in frozen}, config.optimizer_groups)
    except ConfigError as error:
        problems += str(error).splitlines()
    return problems


def problems_before_building(config: Configuration) -> list[str]:
    """Return the same for the architecture alone; names of the last layer and the loss are taken to be right.

    For a run that is refused anyway, so that its mistakes are reported together.
    """
    if not (config.optimizer_groups or config.freeze):
        return []
    try:
        network = build_network(structs.replace(config, pretrained=False, weights_path=None), CLASSES_TRIED)
    except ConfigError:
        return []  # reported by itself
    written = [pattern for group in config.optimizer_groups.values() for pattern in patterns(group)]
    written += [config.freeze] if isinstance(config.freeze, str) else config.freeze or []
    unknown = [pattern for pattern in written if pattern.startswith(("classifier", "loss"))]
    last = {id(weight) for weight in network.get_classifier().parameters()}
    inner = [name for name, weight in network.named_parameters() if id(weight) not in last]
    return name_problems(config, [*inner, *unknown])


def freeze(classifier: Classifier, config: Configuration) -> None:
    """Freeze what `freeze` names, and with it the statistics of batch normalisation. Raises: as `frozen_names`."""
    if config.freeze is None:
        return
    weights = classifier.named_weights()
    kept = trained(weights, config)
    for name, weight in weights.items():
        weight.requires_grad_(name in kept)
    if config.freeze_statistics:
        classifier.still = _norms(classifier, kept.values())
        classifier.train(classifier.training)


def _norms(classifier: Classifier, in_training: Iterable[nn.Parameter]) -> tuple[nn.Module, ...]:
    """Return the layers with running statistics none of whose parameters is in training."""
    active = {id(weight) for weight in in_training}
    return tuple(
        module
        for module in classifier.modules()
        if getattr(module, "running_mean", None) is not None
        and any(True for _ in module.parameters())
        and not any(id(weight) in active for weight in module.parameters())
    )


def build_run_optimizer(config: Configuration, network: Any, weights: Mapping[str, nn.Parameter]) -> Optimizer:
    """Build the optimizer of a run for the parameters of `Classifier.named_weights`.

    Raises: ConfigError for patterns that match no parameter.
    """
    weights = trained(weights, config)
    assigned = assign(weights, config.optimizer_groups)
    return build_optimizers(config, assigned, treatments(config, network, weights))


class Freezing(pl.Callback):
    """Leaves the parameters of optimizer groups as they are before and after their epochs.

    Their gradients are then not computed or, on several devices, which all expect them, not used. The statistics of
    batch normalisation are no parameters: they go on after a group's epochs, and with `freeze_statistics` stay before.
    """

    def __init__(self, config: Configuration) -> None:
        self.config = config
        self.frozen: list[nn.Parameter] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Freeze; an epoch that is resumed does not start."""
        groups, epoch = self.config.optimizer_groups, trainer.current_epoch
        weights = trained(pl_module.named_weights(), self.config)
        assigned = assign(weights, groups)
        idle = [name for name, group in groups.items() if not is_active(group, epoch)]
        self.frozen = [weight for name in idle for weight in assigned[name]]
        if trainer.world_size == 1:
            resting = {id(weight) for weight in self.frozen}
            for weight in weights.values():
                weight.requires_grad_(id(weight) not in resting)
        if self.config.freeze_statistics:
            begun = [name for name in assigned if name not in groups or (groups[name].start_epoch or 0) <= epoch]
            pl_module.still = _norms(pl_module, (weight for name in begun for weight in assigned[name]))
            pl_module.train(pl_module.training)

    on_train_epoch_start = on_train_start

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        for weight in self.frozen:
            weight.grad = None


def needs_freezing(config: Configuration) -> bool:
    """Tell whether a group of parameters trains in some epochs only."""
    return any(group.epochs or group.start_epoch for group in config.optimizer_groups.values())

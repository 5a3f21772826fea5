"""The device and the arithmetic of a configuration: training, its test and every evaluation ask here."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException

from configuration.schema import Configuration
from runs.identity import precision_here
from utils.types import ConfigError


def build_lightning(config: Configuration, **options: Any) -> pl.Trainer:
    """Build Lightning's Trainer on the devices and in the precision that a configuration names.

    Raises: ConfigError for devices that are not there.
    """
    torch.set_float32_matmul_precision("high")  # TF32 on the GPUs that have it
    try:
        return pl.Trainer(
            accelerator=config.accelerator,
            devices=config.devices,
            num_nodes=config.num_nodes,
            strategy=config.strategy,
            precision=precision_here(config),  # type: ignore[arg-type]
            logger=False,
            enable_model_summary=False,
            **options,
        )
    except (ValueError, RuntimeError, ImportError, MisconfigurationException) as error:
        keys = f"accelerator: {config.accelerator}, devices: {config.devices}, strategy: {config.strategy}"
        key = next(filter(config.was_set, ("strategy", "devices", "accelerator")), "accelerator")
        raise ConfigError(f"{config.place((key,))}: {keys}: {error}") from None

"""The LightningModule: a network, a loss and an optimizer, with no word about which."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping
from typing import Any, Self

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from losses.base import ClassificationLoss, full_float, parts_of
from losses.contract import Batch, Outputs, Sequences, Task
from metrics import tally_for
from metrics.tally import BaseTally
from models.single_sample import running_statistics_for_single_values
from utils.types import ConfigError


class Classifier(pl.LightningModule):
    """Trains a network by a loss and counts its metrics on the device.

    Args:
        network: keeps timm's contract (`forward_features`, `forward_head`, `get_classifier`, `reset_classifier`).
        loss: what the scores mean, cost and decode to; its parameters are trained with the network's.
        task: what the loss was built with.
        build_optimizer: `named_weights` -> optimizer.
        build_scheduler: (optimizer, steps per epoch) -> Lightning's description of a scheduler, or None. A
            ReduceLROnPlateau is stepped here, not by Lightning, so that its step precedes the epoch's checkpoint.
        channels_last: memory format of the images.

    Attributes:
        metrics: the newest value of each, such as metrics["valid/accuracy"].
        unit: what its counts are of.
        still: modules that stay in eval mode while the others train.
    """

    unit = "images"

    def __init__(
        self,
        network: Any,
        loss: ClassificationLoss,
        task: Task,
        build_optimizer: Callable[[Mapping[str, nn.Parameter]], Optimizer],
        build_scheduler: Callable[[Optimizer, int], dict[str, Any] | None] = lambda optimizer, steps: None,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        self.network: Any = network
        self.loss: ClassificationLoss = loss
        head = loss.make_head(task)
        if any(module is head for module in loss.modules()):  # the state would have its weights under two names
            raise ConfigError(f"loss_function: {type(loss).__name__} registers its head: keep it in a tuple, (head,)")
        self.own_head = None if head is task.classifier else head
        if self.own_head is not None:
            network.reset_classifier(0)  # the architecture's own last layer would be dead weight
        if self.own_head is not None or not task.trained_classifier:
            loss.start_head(head)
        tally = tally_for(getattr(network, "kind", "image"))  # the libraries' networks classify images
        self.train_tally = tally(task.num_classes, judge=False)
        self.judge_tally = tally(task.num_classes, ordered=task.ordered)
        self.metrics: dict[str, float] = {}
        self.still: tuple[nn.Module, ...] = ()
        self._validation = _Validation(loss)
        self._build_optimizer, self._build_scheduler = build_optimizer, build_scheduler
        self._plateau: dict[str, Any] | None = None
        self._plateau_state: dict[str, Any] | None = None
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format
        if channels_last:
            network.to(memory_format=torch.channels_last)
        # Each rank counts its own samples, and a loss sums its state itself: DDP must not copy rank 0's over them. It
        # reads which tensors to leave alone from this attribute; there is no public way to say so.
        own = (self.train_tally, "train_tally"), (self.judge_tally, "judge_tally"), (loss, "loss")
        self._ddp_params_and_buffers_to_ignore = [
            f"{prefix}.{name}" for module, prefix in own for name, _ in module.named_buffers()
        ]

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for module in self.still:
            module.eval()
        return self

    @property
    def head(self) -> nn.Module:
        """The layer from features to scores."""
        return self.network.get_classifier() if self.own_head is None else self.own_head

    def named_weights(self) -> dict[str, nn.Parameter]:
        """Return what is trained by the names that a configuration uses, in the order of `parameters()`.

        The network's have their own names, the last layer's begin with `classifier.`, the loss's with `loss.`.
        """
        last = {weight: f"classifier.{name}" for name, weight in self.head.named_parameters()}
        named = ((weight, name.removeprefix("network.")) for name, weight in self.named_parameters())
        return {last.get(weight, name): weight for weight, name in named}

    def forward(self, image: Tensor) -> Outputs:
        """Shapes: image [N, C, H, W] -> `Outputs` of N samples, scores in float32 or better."""
        image = image.contiguous(memory_format=self._memory_format)
        stages: tuple[Tensor, ...] = ()
        if self.loss.stages:
            maps, captured = self.network.forward_intermediates(image, indices=list(self.loss.stages))
            stages = tuple(captured)
        else:
            maps = self.network.forward_features(image)
        features = self.network.forward_head(maps, pre_logits=True)
        with full_precision(features):
            weight = next(self.head.parameters(), features)
            scores = self.head(features.to(weight.dtype))
        return Outputs(full_float(scores), features, stages)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        views = batch.image.shape[1]
        target, index = repeat_views(batch.target, views), repeat_views(batch.index, views)
        extra = {name: value.flatten(0, 1) for name, value in batch.extra.items()}
        flat = Batch(batch.image.flatten(0, 1), target, index, extra)
        single = running_statistics_for_single_values(self) if len(flat.image) == 1 else contextlib.nullcontext()
        with single:
            outputs = self(flat.image)
            with full_precision(outputs.scores):
                total = functools.reduce(torch.add, self.loss.terms(outputs, flat).values())
                if batch_idx == 0:
                    self.train_tally.reset()
                self.train_tally.update(total, self.loss.predict(outputs.scores.detach()), flat.target)
        return total

    def _judge(self, batch: Batch) -> tuple[Tensor, Tensor]:
        scores = self(batch.image[:, 0]).scores
        with full_precision(scores):
            prediction, log_p = self.loss.predict(scores), self.loss.log_probabilities(scores)
            self.judge_tally.update(self.loss(scores, batch.target), prediction, batch.target, log_p)
        return scores, prediction

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._validation.add(self._judge(batch)[0], batch.target)

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        scores, prediction = self._judge(batch)
        target = batch.target.padded() if isinstance(batch.target, Sequences) else batch.target
        return {"index": batch.index, "target": target, "prediction": prediction, "scores": scores}

    def on_validation_epoch_start(self) -> None:
        self.judge_tally.reset()

    on_test_epoch_start = on_validation_epoch_start

    def on_validation_epoch_end(self) -> None:
        self._publish("valid", self.judge_tally)
        self._validation.end()

    def on_test_epoch_end(self) -> None:
        self._publish("test", self.judge_tally)

    def on_train_epoch_start(self) -> None:
        self.loss.begin_epoch(self.trainer.current_epoch)

    on_train_start = on_train_epoch_start  # resumed within an epoch, Lightning does not start it again

    def on_train_epoch_end(self) -> None:
        self._publish("train", self.train_tally)
        self.loss.on_epoch_end()
        if self._plateau is not None:
            self._plateau["scheduler"].step(self.metrics[self._plateau["monitor"]])

    def _publish(self, part: str, tally: BaseTally) -> None:
        if self.trainer.world_size > 1:
            tally.reduce(lambda count: self.trainer.strategy.reduce(count, reduce_op="sum"))
        metrics = {f"{part}/{name}": value for name, value in tally.compute().items()}
        self.metrics |= metrics
        self.log_dict(metrics, logger=False)  # for early stopping; Lightning rounds them to float32

    def configure_optimizers(self) -> Any:
        optimizer = self._build_optimizer(self.named_weights())
        steps_per_epoch = int(self.trainer.estimated_stepping_batches) // (self.trainer.max_epochs or 1)
        schedule = self._build_scheduler(optimizer, steps_per_epoch)
        if schedule is None:
            return optimizer
        if isinstance(schedule["scheduler"], ReduceLROnPlateau):
            self._plateau = schedule
            if self._plateau_state is not None:
                schedule["scheduler"].load_state_dict(self._plateau_state)
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self._plateau is not None:
            checkpoint["plateau"] = _plain(self._plateau["scheduler"].state_dict())

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._plateau_state = checkpoint.get("plateau")


class _Validation:
    """The scores of the validation part, kept for the losses that learn from them."""

    def __init__(self, loss: ClassificationLoss) -> None:
        plain = ClassificationLoss.end_validation
        self.parts = [part for part in parts_of(loss) if type(part).end_validation is not plain]
        self.batches: list[tuple[Tensor, Any]] = []

    def add(self, scores: Tensor, target: Any) -> None:
        if self.parts:
            self.batches.append((scores, target))

    def end(self) -> None:
        if self.batches:
            scores, target = map(torch.cat, zip(*self.batches, strict=True))
            self.batches.clear()
            for part in self.parts:
                part.end_validation(scores, target)


def full_precision(like: Tensor) -> contextlib.AbstractContextManager:
    """Switch autocast off: a loss in half precision loses its margins (float16 near 600 has a resolution of 0.5)."""
    device = like.device.type
    if not torch.is_autocast_enabled(device):
        return contextlib.nullcontext()
    return torch.autocast(device, enabled=False)


def repeat_views(target: Any, views: int) -> Any:
    """Repeat each sample's target for its views, whatever its type. Shapes: [B, ...] -> [B*V, ...]."""
    if views == 1:
        return target
    if isinstance(target, Sequences):
        return Sequences(*(repeat_views(part, views) for part in target))
    return target.repeat_interleave(views, dim=0)


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """Keep what a safe load of a checkpoint accepts."""
    return {key: value for key, value in state.items() if isinstance(value, (bool, int, float, str, list, type(None)))}

"""How test predictions are stored and drawn, for class labels and for texts."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from torch import Tensor

from datasets.base import DataSet
from datasets.sequences import decode_texts
from losses.base import ClassificationLoss
from losses.contract import REJECTED, Sequences
from losses.ctc import text_costs
from runs.confusions import draw_confusion, plot_confusion, plot_places
from runs.folder import RunFolder
from runs.records import write_csv
from utils.files import write_atomically

LOG = logging.getLogger("lossbench")
SIZES = ("small", "medium", "large")
"""Of objects, as COCO parts them: up to 32 x 32 and up to 96 x 96 pixels, and larger."""
LARGEST_SCORES = 2**28
"""Bytes of the scores that predictions.parquet takes in: a text has as many as it has steps times characters."""
Pairs = list[tuple[int, int, int]]
"""Place in the text, counted from 0, its character and what is read for it; REJECTED on either side is nothing."""


class Guess(NamedTuple):
    """A prediction for one image.

    Args: name: None if it is none of the classes. likeliest: names with their probabilities, the likeliest first.
    """

    name: str | None
    likeliest: tuple[tuple[str, float], ...]


class Classes:
    """Predictions that are classes.

    Args:
        outputs: of the test, in the order of the data set: index, target, prediction and scores, N rows each.
        classes: K names.
    """

    def columns(
        self, loss: ClassificationLoss, outputs: dict[str, Tensor], classes: tuple[str, ...]
    ) -> dict[str, pa.Array]:
        """Return the columns of predictions.parquet beside the index: the scores, of which all else follows, too."""
        scores = outputs["scores"]
        probabilities = loss.log_probabilities(scores).exp()
        return {
            "target": pa.array(outputs["target"].numpy()),
            "prediction": pa.array(outputs["prediction"].numpy()),
            "probability": pa.array(probabilities.max(dim=-1).values.float().numpy()),
            "scores": pa.FixedSizeListArray.from_arrays(pa.array(scores.float().flatten().numpy()), scores.shape[-1]),
        }

    def guesses(self, loss: ClassificationLoss, scores: Tensor, classes: tuple[str, ...], top: int) -> list[Guess]:
        """Return the predictions for B images, each with up to `top` of the likeliest readings."""
        probabilities = loss.log_probabilities(scores).double().exp()
        order = probabilities.argsort(dim=1, descending=True, stable=True)[:, :top]
        columns = (loss.predict(scores).tolist(), order.tolist(), probabilities.gather(1, order).tolist())
        return [
            Guess(
                None if label == REJECTED else classes[label],
                tuple((classes[k], value) for k, value in zip(likeliest, values, strict=True)),
            )
            for label, likeliest, values in zip(*columns, strict=True)
        ]

    def write_further(self, tally: Any, data: DataSet, folder: RunFolder) -> None:
        """Write what the test's counts tell beside the table."""

    def draw_mistakes(self, outputs: dict[str, Tensor], classes: tuple[str, ...], folder: RunFolder) -> None:
        targets, predictions = outputs["target"].numpy(), outputs["prediction"].numpy()
        plot_confusion(targets, predictions, classes, folder.picture("confusion"))


class Texts(Classes):
    """Predictions that are texts."""

    def columns(
        self, loss: ClassificationLoss, outputs: dict[str, Tensor], classes: tuple[str, ...]
    ) -> dict[str, pa.Array]:
        """Return the texts, the probability of the one that is read, and the scores [T, K] if they fit."""
        scores, prediction = outputs["scores"].float(), outputs["prediction"]
        costs = text_costs(loss.log_probabilities(scores), Sequences.of(prediction))
        table = {
            "target": pa.array(decode_texts(outputs["target"].numpy(), classes)),
            "prediction": pa.array(decode_texts(prediction.numpy(), classes)),
            "probability": pa.array((-costs).exp().numpy()),
        }
        size = scores.numel() * scores.element_size()
        if size > LARGEST_SCORES:
            LOG.info("predictions.parquet holds no scores: they would be %.1f GB", size / 1e9)
            return table
        steps = pa.FixedSizeListArray.from_arrays(pa.array(scores.flatten().numpy()), scores.shape[2])
        return table | {"scores": pa.FixedSizeListArray.from_arrays(steps, scores.shape[1])}

    def guesses(self, loss: ClassificationLoss, scores: Tensor, classes: tuple[str, ...], top: int) -> list[Guess]:
        """Return the text that is read of each image and its probability, no others."""
        prediction = loss.predict(scores)
        probabilities = (-text_costs(loss.log_probabilities(scores), Sequences.of(prediction))).exp().tolist()
        texts = decode_texts(prediction.cpu().numpy(), classes)
        return [Guess(text or None, ((text, value),)) for text, value in zip(texts, probabilities, strict=True)]

    def draw_mistakes(self, outputs: dict[str, Tensor], classes: tuple[str, ...], folder: RunFolder) -> None:
        """Draw the characters' confusions, those of each place of the text, and write the latter."""
        pairs = character_pairs(outputs["target"].numpy(), outputs["prediction"].numpy())
        written = np.array([pair for pair in pairs if pair[1] != REJECTED]).reshape(-1, 3)
        plot_confusion(written[:, 1], written[:, 2], classes, folder.picture("confusion"), nothing="not read")
        plot_places(pairs, classes, folder.picture("places"))
        names = (*classes, "")  # REJECTED is -1, the last
        counts = sorted(Counter(pairs).items(), key=lambda item: (item[0][0], -item[1]))
        rows = [
            {"place": place + 1, "character": names[character], "read": names[read], "count": count}
            for (place, character, read), count in counts
        ]
        write_csv(folder.confusions, rows)


class Pixels(Classes):
    """Predictions that are a class a pixel; what is stored is each image's counts, not its pixels."""

    def columns(
        self, loss: ClassificationLoss, outputs: dict[str, Tensor], classes: tuple[str, ...]
    ) -> dict[str, pa.Array]:
        """Return each image's labelled pixels, the share that is right, and the mean IoU of the classes in it."""
        counts = outputs["counts"].double()  # [N, K, K + 1], the last column rejected
        hits, actual, predicted = counts.diagonal(dim1=1, dim2=2), counts.sum(dim=2), counts[..., :-1].sum(dim=1)
        union = actual + predicted - hits
        iou = (hits / union).nansum(dim=1) / (union > 0).sum(dim=1)
        columns = {"pixels": actual.sum(dim=1).long(), "accuracy": hits.sum(dim=1) / actual.sum(dim=1), "mean_iou": iou}
        return {name: pa.array(column.numpy()) for name, column in columns.items()}

    def draw_mistakes(self, outputs: dict[str, Tensor], classes: tuple[str, ...], folder: RunFolder) -> None:
        counts = outputs["counts"].sum(dim=0).numpy()
        names = [*classes, "rejected"][: counts.shape[1] if counts[:, -1].any() else len(classes)]
        draw_confusion(counts[:, : len(names)], names, classes, folder.picture("confusion"))


class Objects(Classes):
    """Predictions that are objects: COCO's json, and the average precision of each class and size."""

    def columns(
        self, loss: ClassificationLoss, outputs: dict[str, Tensor], classes: tuple[str, ...]
    ) -> dict[str, pa.Array]:
        """Return how many objects each image holds and how many are detected."""
        return {name: pa.array(outputs[name].numpy()) for name in ("objects", "detections")}

    def write_further(self, tally: Any, data: DataSet, folder: RunFolder) -> None:
        truth, names = tally.ground_truth, data.classes[1:]
        truth["categories"] = [{"id": k, "name": name} for k, name in enumerate(names, start=1)]
        truth["images"] = [each | {"file_name": Path(data.test.name(each["id"])).name} for each in truth["images"]]
        write_atomically(folder.detections, json.dumps(tally.detections))
        write_atomically(folder.ground_truth, json.dumps(truth))
        numbers = Counter(each["category_id"] for each in truth["annotations"] if not each["iscrowd"])
        rows = []
        for kind, precision in tally.precisions.items():
            parts = [(name, precision[:, k, 0], numbers[k + 1]) for k, name in enumerate(names)]
            parts += [(f"{size} objects", precision[:, :, k], "") for k, size in enumerate(SIZES, start=1)]
            for name, some, number in parts:
                known = some[~np.isnan(some)]
                rows.append(
                    {"overlap_of": kind, "of": name, "ap": known.mean() if known.size else "", "objects": number}
                )
        write_csv(folder.precisions, rows)

    def draw_mistakes(self, outputs: dict[str, Tensor], classes: tuple[str, ...], folder: RunFolder) -> None:
        """Draw nothing: what is detected where nothing is has no class that it is confused with."""


OUTCOMES = {
    "image": Classes(),
    "sequence": Texts(),
    "segmentation": Pixels(),
    "detection": Objects(),
    "instance_segmentation": Objects(),
}
"""By the kind of the data."""


def character_pairs(targets: np.ndarray, predictions: np.ndarray) -> Pairs:
    """Return what is read for what in all texts. Shapes: targets [N, L], predictions [N, T], REJECTED behind each."""
    texts = zip(*([row[row != REJECTED].tolist() for row in rows] for rows in (targets, predictions)), strict=True)
    return [pair for target, prediction in texts for pair in align(target, prediction)]


def align(target: Sequence[int], prediction: Sequence[int]) -> Pairs:
    """Match what is read with what is written: place by place if they are as long, else around their common parts."""
    if len(target) == len(prediction):
        return [(place, *pair) for place, pair in enumerate(zip(target, prediction, strict=True))]
    pairs: Pairs = []
    for _, start, end, read_start, read_end in SequenceMatcher(None, target, prediction, autojunk=False).get_opcodes():
        for shift in range(max(end - start, read_end - read_start)):
            character = target[start + shift] if start + shift < end else REJECTED
            read = prediction[read_start + shift] if read_start + shift < read_end else REJECTED
            pairs.append((min(start + shift, len(target) - 1), character, read))
    return pairs

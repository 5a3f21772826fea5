"""Whether wrong training labels were learnt by heart."""

from __future__ import annotations

import torch
from torch import Tensor

from datasets.preprocessing import Preprocessing
from datasets.stream.image_stream import ImageStream
from evaluation.findings import Findings, NotApplicable, Picture, percent
from evaluation.plots import plot_over_epochs
from evaluation.ranges import Number
from evaluation.snapshots import choose_epochs, snapshots
from evaluation.subject import Subject


def label_noise(subject: Subject, *, epochs: list[Number] | None = None) -> Findings:
    """Ask for the training images whose label is wrong, as they are stored, without augmentation.

    Args:
        epochs: kept epochs that are asked, too; null for all.

    Returns: memorised, the share told as the wrong label that was trained on; recovered, the share told as the true
        one; neither, the rest; of the selected weights. details has them for each kept epoch.
    Raises: NotApplicable without wrong labels; ConfigError for epochs that were not kept.
    Source: Zhang et al. 2020, arXiv:2011.12562, Fig. 5, which draws 1 - memorised.
    """
    chosen = choose_epochs(subject, epochs, "evaluate_params.label_noise.epochs")
    rows = subject.data.wrong_rows
    if len(rows) == 0:
        raise NotApplicable("no training label is wrong; see label_noise and noisy_labels")
    stream = ImageStream(subject.data.train_table, rows, Preprocessing.of(subject.config, training=True))
    true = torch.from_numpy(subject.data.data.train.labels[rows])
    found = Findings("label_noise")
    found.add("wrong_labels", len(rows))
    for name, value in _shares(subject, stream, true, f"wrong labels, epoch {subject.epoch + 1}").items():
        found.add(name, value)
    with snapshots(subject, chosen) as members:
        shares = [_shares(member, stream, true, f"wrong labels, epoch {member.epoch + 1}") for member in members]
    if chosen:
        names = {"memorised": "told as the wrong label", "recovered": "told as the true label"}
        curves = {text: [each[name] for each in shares] for name, text in names.items()}
        path = subject.output / "label_noise.png"
        plot_over_epochs(curves, chosen, subject.epoch, path)
        found.pictures.append(Picture(path, "Training images with a wrong label, over the epochs"))
        cells = [[str(epoch + 1), *map(percent, each.values())] for epoch, each in zip(chosen, shares, strict=True)]
        found.add_table("Kept epochs", ("epoch", *shares[0]), cells)
        found.details = {"epochs": chosen, "shares": shares}
    else:
        found.notes.append("no epoch was kept beside the selected one; train with keep_epochs to see it over time")
    if subject.part.name != "test":
        found.notes.append("of the training images, whichever part is evaluated")
    return found


def _shares(subject: Subject, stream: ImageStream, true: Tensor, label: str) -> dict[str, float]:
    answers = subject.ask(stream, label)
    memorised, recovered = (float((answers.prediction == each).double().mean()) for each in (answers.target, true))
    return {"memorised": memorised, "recovered": recovered, "neither": 1 - memorised - recovered}

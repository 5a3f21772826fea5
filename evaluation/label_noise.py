"""Label noise: whether the network memorised wrong training labels."""

from __future__ import annotations

import torch
from torch import Tensor

from datasets.preprocessing import Preprocessing
from datasets.stream.image_stream import ImageStream
from evaluation import NonNegative
from evaluation.findings import Findings, NotApplicable, percent
from evaluation.subject import Subject
from runs.figures import plot_over_epochs

ON_REQUEST = True
NUMBERS = {
    "wrong_labels": ("count", "", "number of training images with a wrong label"),
    "memorised": ("share", "lower", "share of them predicted as the wrong label that was trained on"),
    "recovered": ("share", "higher", "share of them predicted as the true label"),
    "neither": ("share", "", "share of them predicted as another class"),
}


def label_noise(subject: Subject, *, epochs: list[NonNegative] | None = None) -> Findings:
    """Classify the training images whose label is wrong, without augmentation.

    Args: epochs: kept epochs to include in the figure and in details; null for all.
    Returns: numbers of the selected weights.
    Raises: NotApplicable without wrong labels; ConfigError for epochs that were not kept.
    Source: Zhang et al. 2020, arXiv:2011.12562, Fig. 5, which draws 1 - memorised.
    """
    chosen = subject.choose_epochs(epochs, "evaluate_params.label_noise.epochs")
    rows = subject.data.wrong_rows
    if len(rows) == 0:
        raise NotApplicable("no training label is wrong; see label_noise and noisy_labels")
    stream = ImageStream(subject.data.train_table, rows, Preprocessing.of(subject.config, training=True))
    true = torch.from_numpy(subject.data.data.train.labels[rows])
    findings = Findings("label_noise")
    findings.add("wrong_labels", len(rows))
    for name, value in _shares(subject, stream, true).items():
        findings.add(name, value)
    with subject.at_epochs(chosen) as members:
        shares = [_shares(member, stream, true) for member in members]
    if chosen:
        names = {"memorised": "predicted as the wrong label", "recovered": "predicted as the true label"}
        curves = {text: [of_epoch[name] for of_epoch in shares] for name, text in names.items()}
        path = subject.output / "label_noise.png"
        plot_over_epochs(curves, chosen, subject.epoch, path)
        findings.add_figure(path, "Training images with a wrong label, over the epochs")
        cells = [
            [str(epoch + 1), *map(percent, of_epoch.values())] for epoch, of_epoch in zip(chosen, shares, strict=True)
        ]
        findings.add_table("Kept epochs", ("epoch", *shares[0]), cells)
        findings.details = {"epochs": chosen, "shares": shares}
    else:
        findings.notes.append("no epochs were kept; train with keep_epochs for a curve over the epochs")
    if subject.part.name != "test":
        findings.notes.append("of the training images, whatever part is evaluated")
    return findings


def _shares(subject: Subject, stream: ImageStream, true: Tensor) -> dict[str, float]:
    answers = subject.ask(stream, f"wrong labels, epoch {subject.epoch + 1}")
    memorised, recovered = (float((answers.prediction == label).double().mean()) for label in (answers.target, true))
    return {"memorised": memorised, "recovered": recovered, "neither": 1 - memorised - recovered}

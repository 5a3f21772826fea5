"""The numbers of evaluations: unit, direction and meaning of each, for all that shows them."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

Better = Literal["", "lower", "higher"]
HIGHER: Better = "higher"
LOWER: Better = "lower"
NEITHER: Better = ""


class Unit(NamedTuple):
    """Args: name: behind the value. digits: behind the point; of a share, of its percentage."""

    name: str
    digits: int


SHARE, GAIN = Unit("%", 2), Unit("points", 2)
"""A share of 1, and a difference of two."""
NUMBER, COUNT = Unit("", 4), Unit("", 0)
MILLISECONDS, MEGABYTES = Unit("ms", 2), Unit("MB", 2)


class Meaning(NamedTuple):
    """Args: better: the direction. text: in words. formula: for docs."""

    unit: Unit
    better: Better
    text: str
    formula: str = ""


_NLL = "mean of -log p(label), in nats: a wrong prediction costs the more, the surer it is; training's cross_entropy"
INTERVAL_NAME = "95 % interval"
INTERVAL = (
    f"{INTERVAL_NAME}: Wilson's, of a share of so many images: where the share of all images of this kind lies with "
    "95 % confidence, if these are drawn from them at random; how much another seed's training differs is not in it"
)
"""What stands behind the values of `Findings.add_share`."""

GLOSSARY: dict[str, dict[str, Meaning]] = {
    "classification": {
        "images": Meaning(COUNT, NEITHER, "how many are judged"),
        "accuracy": Meaning(SHARE, HIGHER, "share whose label is predicted"),
        "top5_accuracy": Meaning(SHARE, HIGHER, "share whose label is among the five likeliest classes"),
        "one_off_accuracy": Meaning(
            SHARE, HIGHER, "share predicted right or one class beside it, where classes are ordered"
        ),
        "rejected": Meaning(SHARE, LOWER, "share told to be none of the classes, by losses that reject"),
        "accuracy_of_not_rejected": Meaning(SHARE, HIGHER, "accuracy of the images that are not rejected"),
        "precision": Meaning(
            SHARE, HIGHER, "of the images told as a class, the share that is of it; mean over classes (macro)"
        ),
        "recall": Meaning(SHARE, HIGHER, "of a class's images, the share told as it; mean over classes (macro)"),
        "f1": Meaning(
            SHARE,
            HIGHER,
            "harmonic mean of a class's precision and recall; mean over classes (macro)",
            "2 precision recall / (precision + recall)",
        ),
        "weighted_precision": Meaning(SHARE, HIGHER, "precision, each class counted by its images"),
        "weighted_recall": Meaning(SHARE, HIGHER, "recall, each class counted by its images"),
        "weighted_f1": Meaning(SHARE, HIGHER, "F1, each class counted by its images"),
        "aurc": Meaning(
            NUMBER,
            LOWER,
            "area under the risk-coverage curve: the mean error over all shares of images kept, the surest first; "
            "0 to 1, low where errors are the unsure predictions (Geifman, El-Yaniv 2017, arXiv:1705.08500)",
        ),
    },
    "reading": {
        "images": Meaning(COUNT, NEITHER, "how many are judged, a text each"),
        "characters": Meaning(COUNT, NEITHER, "how many the texts have together"),
        "accuracy": Meaning(SHARE, HIGHER, "share of the texts that are read without a mistake"),
        "character_error_rate": Meaning(SHARE, LOWER, "characters to change, add or take away, over those written"),
        "not_read": Meaning(SHARE, LOWER, "share of which no character is read"),
        "accuracy_by_beams": Meaning(SHARE, HIGHER, "accuracy, read by a prefix beam search"),
        "character_error_rate_by_beams": Meaning(SHARE, LOWER, "character_error_rate, read by a prefix beam search"),
    },
    "calibration": {
        "ece": Meaning(
            SHARE,
            LOWER,
            "expected calibration error: how far confidence is from the share that is right, in bins of confidence, "
            "mean over the images",
            "sum_b n_b / n |right_b - confidence_b|, over bins of equal width, each with its upper end",
        ),
        "classwise_ece": Meaning(
            SHARE,
            LOWER,
            "the same for the probability of each class, whether predicted or not, mean over the classes",
            "1/K sum_k sum_b n_kb / N |share of label k_kb - mean p_kb|, over bins of p_k",
        ),
        "nll": Meaning(NUMBER, LOWER, _NLL),
        "brier": Meaning(
            NUMBER,
            LOWER,
            "squared distance of the probabilities from the label's, 0 to 2",
            "mean of sum_k (p_k - [label = k])^2",
        ),
        "confidence": Meaning(
            SHARE, NEITHER, "mean probability of the predicted class; as high as the accuracy if it is calibrated"
        ),
        "temperature": Meaning(
            NUMBER,
            NEITHER,
            "what log p is divided by to be calibrated, fitted on other images: above 1 the network is too sure, below "
            "1 not sure enough",
            "the T that minimises the nll of log_softmax(log p / T)",
        ),
        "scaled_confidence": Meaning(SHARE, NEITHER, "confidence, with the temperature"),
        "scaled_ece": Meaning(SHARE, LOWER, "ece, with the temperature"),
        "scaled_classwise_ece": Meaning(SHARE, LOWER, "classwise_ece, with the temperature"),
        "scaled_nll": Meaning(NUMBER, LOWER, "nll, with the temperature"),
        "scaled_brier": Meaning(NUMBER, LOWER, "brier, with the temperature"),
    },
    "stability": {
        "images": Meaning(COUNT, NEITHER, "how many are looked at"),
        "changed": Meaning(
            SHARE, LOWER, "share of an image's augmented views predicted otherwise than the image, mean over images"
        ),
        "steady": Meaning(SHARE, HIGHER, "share of images none of whose views is predicted otherwise"),
        "total_variation": Meaning(
            NUMBER,
            LOWER,
            "distance of the views' probabilities from their mean, 0 to 1 - 1/V for V views",
            "1/V sum_v 1/2 sum_k |p_vk - mean_k|, mean = 1/V sum_v p_v",
        ),
        "divergence": Meaning(
            NUMBER,
            LOWER,
            "Jensen and Shannon's divergence of the views' probabilities, 0 to log V nats: 0 where all are the same",
            "1/V sum_v KL(p_v || mean)",
        ),
        "accuracy": Meaning(SHARE, HIGHER, "accuracy of these images"),
        "accuracy_of_views": Meaning(SHARE, HIGHER, "accuracy of their augmented views"),
    },
    "representations": {
        "images": Meaning(COUNT, NEITHER, "how many are looked at"),
        "intra_class_distance": Meaning(
            NUMBER,
            NEITHER,
            "how far features lie from their class's mean; in the features' unit, which losses choose differently",
            "mean over classes of the mean over their images of |f - m_c|",
        ),
        "inter_class_distance": Meaning(
            NUMBER,
            NEITHER,
            "how far the means of two classes lie apart; in the same unit",
            "mean over pairs of classes of |m_a - m_b|",
        ),
        "distance_ratio": Meaning(
            NUMBER, LOWER, "how wide classes are against how far apart; no unit", "intra / inter"
        ),
        "pca_variance": Meaning(SHARE, NEITHER, "share of the features' variance that the picture of PCA shows"),
    },
    "heat_map": {
        "p(label), mean: *": Meaning(
            NUMBER,
            NEITHER,
            "mean probability that this run gives to the label of the shown images: of these few, not of all",
        ),
    },
    "grad_cam": {
        "maps": Meaning(COUNT, NEITHER, "how many are drawn"),
        "empty_maps": Meaning(
            COUNT, NEITHER, "how many of them are 0 everywhere: the last feature map nowhere speaks for the class"
        ),
    },
    "cost": {
        "parameters": Meaning(COUNT, LOWER, "of the network with its last layer"),
        "multiply_adds": Meaning(COUNT, LOWER, "of the network with its last layer, for one image"),
        "weights_mb": Meaning(MEGABYTES, LOWER, "the weights alone as torch.save writes them, in 10^6 bytes"),
        "checkpoint_mb": Meaning(MEGABYTES, LOWER, "best.ckpt as it lies there, in 10^6 bytes"),
        "latency_ms": Meaning(MILLISECONDS, LOWER, "time for one image, median of passes on this device"),
        "latency_of_64_ms": Meaning(MILLISECONDS, LOWER, "time for a batch of 64, median of passes on this device"),
        "images_per_second": Meaning(COUNT, HIGHER, "in batches of 64"),
        "memory_mb": Meaning(MEGABYTES, LOWER, "what a batch of 64 takes beside the weights, in 10^6 bytes"),
    },
    "attacks": {
        "images": Meaning(COUNT, NEITHER, "how many are attacked, or are wrong already"),
        "accuracy": Meaning(SHARE, HIGHER, "share that is right untouched"),
        "fgsm_accuracy": Meaning(
            SHARE, HIGHER, "share still right after FGSM, one step along the sign of the gradient"
        ),
        "pgd_accuracy": Meaning(SHARE, HIGHER, "share still right after PGD, many such steps from a random start"),
        "zero_gradients": Meaning(
            SHARE,
            LOWER,
            "share of right images whose gradient is exactly 0: no such attack can change them, which is no robustness",
        ),
    },
    "test_time_augmentation": {
        "accuracy": Meaning(SHARE, HIGHER, "of the images alone"),
        "nll": Meaning(NUMBER, LOWER, f"of the images alone; {_NLL}"),
        "*_accuracy": Meaning(SHARE, HIGHER, "with the views of that kind, probabilities averaged"),
        "*_nll": Meaning(NUMBER, LOWER, "nll with the views of that kind"),
        "*_gain": Meaning(GAIN, HIGHER, "accuracy with the views of that kind less that of the images alone"),
    },
    "ensembles": {
        "members": Meaning(COUNT, NEITHER, "how many kept epochs take part"),
        "accuracy": Meaning(SHARE, HIGHER, "of the mean of their probabilities"),
        "gain": Meaning(GAIN, HIGHER, "accuracy of the ensemble less that of the run's selected epoch"),
        "nll": Meaning(NUMBER, LOWER, f"of the ensemble; {_NLL}"),
        "rejected": Meaning(SHARE, LOWER, "share that more than half of the members reject"),
        "accuracy_of_*": Meaning(
            SHARE, HIGHER, "of an ensemble of so many epochs, those nearest to evenly spaced ones"
        ),
        "mean_member": Meaning(SHARE, HIGHER, "mean accuracy of the members, each alone"),
        "best_member": Meaning(SHARE, HIGHER, "accuracy of the best member: chosen on these very images, so too good"),
    },
    "label_noise": {
        "wrong_labels": Meaning(COUNT, NEITHER, "how many training images have one"),
        "memorised": Meaning(SHARE, LOWER, "share of them told as the wrong label that was trained on"),
        "recovered": Meaning(SHARE, HIGHER, "share of them told as the true label"),
        "neither": Meaning(SHARE, NEITHER, "share of them told as another class"),
    },
    "human_agreement": {
        "kl": Meaning(
            NUMBER,
            LOWER,
            "divergence of the network's probabilities from people's, mean over all images, in nats",
            "sum_k h_k (log h_k - log max(p_k, 1.2e-38)), 0 log 0 = 0",
        ),
        "kl_right": Meaning(
            NUMBER, LOWER, "the same over the images that this network tells right: others for each network"
        ),
        "right": Meaning(COUNT, NEITHER, "how many these are"),
        "top1_agreement": Meaning(SHARE, HIGHER, "share told as most people do"),
        "human_entropy": Meaning(
            NUMBER, NEITHER, "people's own doubt, in nats: no network can have a lower cross entropy with them"
        ),
    },
}
"""Evaluation -> number, or a pattern of numbers' names -> what it is; the first that fits."""


def meaning(evaluation: str, number: str) -> Meaning | None:
    """Return what a number means; None for one of an evaluation's that this version does not know."""
    fitting = (each for pattern, each in GLOSSARY.get(evaluation, {}).items() if fnmatchcase(number, pattern))
    return next(fitting, None)


def as_markdown(evaluation: str) -> str:
    """Return an evaluation's part of the glossary as a table for docs/evaluation.md."""
    rows = ["| number | what it is | better |", "|---|---|---|"]
    for number, known in GLOSSARY[evaluation].items():
        text = f"{known.text}; {known.formula}" if known.formula else known.text
        name = number.replace("*", "...")
        rows.append(f"| `{name}` | {text.replace('|', chr(92) + '|')} | {known.better} |")
    return "\n".join(rows)

"""What the numbers of evaluations mean: one text each, for report.html and docs/evaluation.md."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import NamedTuple

from utils.evaluation.findings import INTERVAL_NAME
from utils.metrics import lower_is_better


class Meaning(NamedTuple):
    """Args: text: in words. formula: for docs. judged: whether one direction is the better one."""

    text: str
    formula: str = ""
    judged: bool = True


def _neutral(text: str, formula: str = "") -> Meaning:
    return Meaning(text, formula, judged=False)


_NLL = "mean of -log p(label), in nats: a wrong prediction costs the more, the surer it is; training's cross_entropy"
INTERVAL = (
    f"{INTERVAL_NAME}: Wilson's, of a share of so many images: where the share of all images of this kind lies with "
    "95 % confidence, if these are drawn from them at random; how much another seed's training differs is not in it"
)
"""What stands behind the shares that `findings.share_of` words."""

GLOSSARY: dict[str, dict[str, Meaning]] = {
    "classification": {
        "images": _neutral("how many are judged"),
        "accuracy": Meaning("share whose label is predicted"),
        "top5_accuracy": Meaning("share whose label is among the five likeliest classes"),
        "one_off_accuracy": Meaning("share predicted right or one class beside it, where classes are ordered"),
        "rejected": Meaning("share told to be none of the classes, by losses that reject"),
        "accuracy_of_not_rejected": Meaning("accuracy of the images that are not rejected"),
        "precision": Meaning("of the images told as a class, the share that is of it; mean over classes (macro)"),
        "recall": Meaning("of a class's images, the share told as it; mean over classes (macro)"),
        "f1": Meaning(
            "harmonic mean of a class's precision and recall; mean over classes (macro)",
            "2 precision recall / (precision + recall)",
        ),
        "weighted_precision": Meaning("precision, each class counted by its images"),
        "weighted_recall": Meaning("recall, each class counted by its images"),
        "weighted_f1": Meaning("F1, each class counted by its images"),
        "aurc": Meaning(
            "area under the risk-coverage curve: the mean error over all shares of images kept, the surest first; "
            "0 to 1, low where errors are the unsure predictions (Geifman, El-Yaniv 2017, arXiv:1705.08500)"
        ),
    },
    "reading": {
        "images": _neutral("how many are judged, a text each"),
        "characters": _neutral("how many the texts have together"),
        "accuracy": Meaning("share of the texts that are read without a mistake"),
        "character_error_rate": Meaning("characters to change, add or take away, over those written"),
        "not_read": Meaning("share of which no character is read"),
        "accuracy_by_beams": Meaning("accuracy, read by a prefix beam search"),
        "character_error_rate_by_beams": Meaning("character_error_rate, read by a prefix beam search"),
    },
    "calibration": {
        "ece": Meaning(
            "expected calibration error: how far confidence is from the share that is right, in bins of confidence, "
            "mean over the images",
            "sum_b n_b / n |right_b - confidence_b|, over bins of equal width, each with its upper end",
        ),
        "classwise_ece": Meaning(
            "the same for the probability of each class, whether predicted or not, mean over the classes",
            "1/K sum_k sum_b n_kb / N |share of label k_kb - mean p_kb|, over bins of p_k",
        ),
        "nll": Meaning(_NLL),
        "brier": Meaning(
            "squared distance of the probabilities from the label's, 0 to 2", "mean of sum_k (p_k - [label = k])^2"
        ),
        "confidence": _neutral("mean probability of the predicted class; as high as the accuracy if it is calibrated"),
        "temperature": _neutral(
            "what log p is divided by to be calibrated, fitted on other images: above 1 the network is too sure, below "
            "1 not sure enough",
            "the T that minimises the nll of log_softmax(log p / T)",
        ),
        "scaled_confidence": _neutral("confidence, with the temperature"),
        "scaled_*": Meaning("the number of that name above, with the temperature"),
    },
    "stability": {
        "images": _neutral("how many are looked at"),
        "changed": Meaning("share of an image's augmented views predicted otherwise than the image, mean over images"),
        "steady": Meaning("share of images none of whose views is predicted otherwise"),
        "total_variation": Meaning(
            "distance of the views' probabilities from their mean, 0 to 1 - 1/V for V views",
            "1/V sum_v 1/2 sum_k |p_vk - mean_k|, mean = 1/V sum_v p_v",
        ),
        "divergence": Meaning(
            "Jensen and Shannon's divergence of the views' probabilities, 0 to log V nats: 0 where all are the same",
            "1/V sum_v KL(p_v || mean)",
        ),
        "accuracy": Meaning("accuracy of these images"),
        "accuracy_of_views": Meaning("accuracy of their augmented views"),
    },
    "representations": {
        "images": _neutral("how many are looked at"),
        "intra_class_distance": _neutral(
            "how far features lie from their class's mean; in the features' unit, which losses choose differently",
            "mean over classes of the mean over their images of |f - m_c|",
        ),
        "inter_class_distance": _neutral(
            "how far the means of two classes lie apart; in the same unit", "mean over pairs of classes of |m_a - m_b|"
        ),
        "distance_ratio": Meaning("how wide classes are against how far apart; no unit", "intra / inter"),
        "pca_variance": _neutral("share of the features' variance that the picture of PCA shows"),
    },
    "heat_map": {
        "p(label), mean: *": _neutral(
            "mean probability that this run gives to the label of the shown images: of these few, not of all"
        ),
    },
    "grad_cam": {
        "maps": _neutral("how many are drawn"),
        "empty_maps": _neutral("how many of them are 0 everywhere: the last feature map nowhere speaks for the class"),
    },
    "cost": {
        "parameters": Meaning("of the network with its last layer"),
        "multiply_adds": Meaning("of the network with its last layer, for one image"),
        "weights_mb": Meaning("the weights alone as torch.save writes them, in 10^6 bytes"),
        "checkpoint_mb": Meaning("best.ckpt as it lies there, in 10^6 bytes"),
        "latency_ms": Meaning("time for one image, median of passes on this device"),
        "latency_of_64_ms": Meaning("time for a batch of 64, median of passes on this device"),
        "images_per_second": Meaning("in batches of 64"),
        "memory_mb": Meaning("what a batch of 64 takes beside the weights, in 10^6 bytes"),
    },
    "attacks": {
        "images": _neutral("how many are attacked, or are wrong already"),
        "accuracy": Meaning("share that is right untouched"),
        "fgsm_accuracy": Meaning("share still right after FGSM, one step along the sign of the gradient"),
        "pgd_accuracy": Meaning("share still right after PGD, many such steps from a random start"),
        "zero_gradients": Meaning(
            "share of right images whose gradient is exactly 0: no such attack can change them, which is no robustness"
        ),
    },
    "test_time_augmentation": {
        "accuracy": Meaning("of the images alone"),
        "nll": Meaning(f"of the images alone; {_NLL}"),
        "*_accuracy": Meaning("with the views of that kind, probabilities averaged"),
        "*_nll": Meaning("nll with the views of that kind"),
        "*_gain": Meaning("accuracy with the views of that kind less that of the images alone"),
    },
    "ensembles": {
        "members": _neutral("how many kept epochs take part"),
        "accuracy": Meaning("of the mean of their probabilities"),
        "gain": Meaning("accuracy of the ensemble less that of the run's selected epoch"),
        "nll": Meaning(f"of the ensemble; {_NLL}"),
        "rejected": Meaning("share that more than half of the members reject"),
        "accuracy_of_*": Meaning("of an ensemble of so many epochs, those nearest to evenly spaced ones"),
        "mean_member": Meaning("mean accuracy of the members, each alone"),
        "best_member": Meaning("accuracy of the best member: chosen on these very images, so too good"),
    },
    "label_noise": {
        "wrong_labels": _neutral("how many training images have one"),
        "memorised": Meaning("share of them told as the wrong label that was trained on"),
        "recovered": Meaning("share of them told as the true label"),
        "neither": _neutral("share of them told as another class"),
    },
    "human_agreement": {
        "kl": Meaning(
            "divergence of the network's probabilities from people's, mean over all images, in nats",
            "sum_k h_k (log h_k - log max(p_k, 1.2e-38)), 0 log 0 = 0",
        ),
        "kl_right": Meaning("the same over the images that this network tells right: others for each network"),
        "right": _neutral("how many these are"),
        "top1_agreement": Meaning("share told as most people do"),
        "human_entropy": _neutral("people's own doubt, in nats: no network can have a lower cross entropy with them"),
    },
}
"""Evaluation -> number, or a pattern of numbers' names -> what it means; the first that fits."""


def meaning(evaluation: str, number: str) -> Meaning | None:
    """Return what a number means; None for one of an evaluation's that this version does not know."""
    fitting = (each for pattern, each in GLOSSARY.get(evaluation, {}).items() if fnmatchcase(number, pattern))
    return next(fitting, None)


def better(evaluation: str, number: str) -> str:
    """Return "lower" or "higher", or "" where neither is better or the number is not known."""
    known = meaning(evaluation, number)
    if known is None or not known.judged:
        return ""
    return "lower" if lower_is_better(number) else "higher"


def as_markdown(evaluation: str) -> str:
    """Return an evaluation's part of the glossary as a table for docs/evaluation.md."""
    rows = ["| number | what it is | better |", "|---|---|---|"]
    for number, known in GLOSSARY[evaluation].items():
        text = f"{known.text}; {known.formula}" if known.formula else known.text
        name = number.replace("*", "...")
        direction = better(evaluation, number.replace("scaled_*", "scaled_ece").replace("*", "flips"))
        rows.append(f"| `{name}` | {text.replace('|', chr(92) + '|')} | {direction} |")
    return "\n".join(rows)

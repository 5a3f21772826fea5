"""Losses by name. To add one: write its file, add its line to `LOSSES`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.lookup import Entry, Table, did_you_mean, keywords, load_entry, parameter_problems, refusals, source_place
from utils.types import ConfigError, Task

if TYPE_CHECKING:
    from losses.base import ClassificationLoss

LOSSES = {
    "AngularSoftmaxLoss": Entry(
        "losses.angular_softmax:AngularSoftmaxLoss", "a multiplied angle for the label, unit weights (Liu 2017)"
    ),
    "BeYourOwnTeacherLoss": Entry(
        "losses.be_your_own_teacher:BeYourOwnTeacherLoss", "the deepest classifier teaches shallower ones (Zhang 2019)"
    ),
    "BinaryCrossEntropyLoss": Entry(
        "losses.binary_cross_entropy:BinaryCrossEntropyLoss", "two classes told apart by one score"
    ),
    "BinaryOneSidedMarginLoss": Entry(
        "losses.binary_one_sided_margin:BinaryOneSidedMarginLoss",
        "two classes, one score, one-sided margins (Karimi 2022)",
    ),
    "BootstrapLoss": Entry("losses.bootstrap:BootstrapLoss", "labels mixed with the network's own belief (Reed 2014)"),
    "CenterLoss": Entry("losses.center:CenterLoss", "any loss, and features near their class's centre (Wen 2016)"),
    "CompetingRatioLoss": Entry(
        "losses.competing_ratio:CompetingRatioLoss", "cross entropy and the wrong classes' total (Zhang 2019)"
    ),
    "ComplementCrossEntropyLoss": Entry(
        "losses.complement_cross_entropy:ComplementCrossEntropyLoss", "evens out the wrong classes (Kim 2020)"
    ),
    "ConnectionistTemporalLoss": Entry(
        "losses.connectionist_temporal:ConnectionistTemporalLoss", "CTC, for sequences: all ways to read (Graves 2006)"
    ),
    "DataDistortionDistillationLoss": Entry(
        "losses.data_distortion_distillation:DataDistortionDistillationLoss",
        "two views of an image teach each other (Xu 2019)",
    ),
    "DisturbLabelLoss": Entry(
        "losses.disturb_label:DisturbLabelLoss", "cross entropy, some labels redrawn at every step (Xie 2016)"
    ),
    "DualCrossEntropyLoss": Entry(
        "losses.dual_cross_entropy:DualCrossEntropyLoss", "penalises each wrong class; reconstructed (Li 2019)"
    ),
    "FocalLoss": Entry("losses.focal:FocalLoss", "cross entropy, faded for certain samples (Lin 2017)"),
    "GeneralizedCrossEntropyLoss": Entry(
        "losses.generalized_cross_entropy:GeneralizedCrossEntropyLoss", "bounded, for noisy labels (Zhang 2018)"
    ),
    "HingeLoss": Entry("losses.hinge:HingeLoss", "multi-class hinge of Crammer and Singer or Weston and Watkins"),
    "LabelSmoothingCrossEntropy": Entry(
        "losses.label_smoothing:LabelSmoothingCrossEntropy", "cross entropy against softened labels (Szegedy 2016)"
    ),
    "LargeMarginSoftmaxLoss": Entry(
        "losses.large_margin_softmax:LargeMarginSoftmaxLoss", "a multiplied angle for the label (Liu 2016)"
    ),
    "LossTransform": Entry(
        "losses.loss_transform:LossTransform", "any loss, and replicas near their mean prediction (2025)"
    ),
    "NegativeLogLikelihoodRatioLoss": Entry(
        "losses.negative_log_likelihood_ratio:NegativeLogLikelihoodRatioLoss",
        "log odds against the right class (Zhu 2018)",
    ),
    "OneSidedMarginCTCLoss": Entry(
        "losses.one_sided_margin_ctc:OneSidedMarginCTCLoss",
        "CTC of one-sided margins, for sequences: rejection is the blank (Karimi 2022)",
    ),
    "OneSidedMarginLoss": Entry(
        "losses.one_sided_margin:OneSidedMarginLoss", "costs with one-sided margins, lowest wins (Karimi 2022)"
    ),
    "OneVsRestCrossEntropyLoss": Entry(
        "losses.one_vs_rest:OneVsRestCrossEntropyLoss", "binary cross entropy of each softmax probability"
    ),
    "OnlineLabelSmoothingLoss": Entry(
        "losses.online_label_smoothing:OnlineLabelSmoothingLoss",
        "soft labels from the last epoch's right predictions (Zhang 2021)",
    ),
    "PairwiseConfusionLoss": Entry(
        "losses.pairwise_confusion:PairwiseConfusionLoss", "any loss, and classes predicted alike (Dubey 2018)"
    ),
    "SingleLabelSmoothingLoss": Entry(
        "losses.single_label_smoothing:SingleLabelSmoothingLoss",
        "soft labels, each the last right prediction of its class (Zhang 2021)",
    ),
    "SoftMarginSoftmaxLoss": Entry(
        "losses.soft_margin_softmax:SoftMarginSoftmaxLoss", "cross entropy won by a margin (Liang 2017)"
    ),
    "SymmetricCrossEntropyLoss": Entry(
        "losses.symmetric_cross_entropy:SymmetricCrossEntropyLoss", "cross entropy both ways (Wang 2019)"
    ),
    "TamedCrossEntropyLoss": Entry(
        "losses.tamed_cross_entropy:TamedCrossEntropyLoss", "fades for samples far off; reconstructed (Martinez 2018)"
    ),
    "TeacherFreeDistillationLoss": Entry(
        "losses.teacher_free_distillation:TeacherFreeDistillationLoss",
        "a teacher made by hand, or the network itself (Yuan 2020)",
    ),
    "TripletLoss": Entry(
        "losses.triplet:TripletLoss", "any loss, and triplets of features apart by a margin (Schroff 2015)"
    ),
}
LOSSES = Table(LOSSES)

TORCH_LOSSES = {
    "BCELoss": "binary cross entropy of each class's sigmoid",
    "BCEWithLogitsLoss": "binary cross entropy of each class against the rest",
    "CrossEntropyLoss": "softmax cross entropy; takes soft labels and label_smoothing",
    "HuberLoss": "Huber distance of the scores to the one-hot label",
    "KLDivLoss": "KL divergence of the softmax from the label's probabilities",
    "L1Loss": "absolute distance of the scores to the one-hot label",
    "MSELoss": "squared distance of the scores to the one-hot label",
    "MultiLabelMarginLoss": "multi-class hinge, margin 1, over K",
    "MultiLabelSoftMarginLoss": "mean binary cross entropy of each class against the rest",
    "MultiMarginLoss": "multi-class hinge of Weston and Watkins, over K",
    "NLLLoss": "cross entropy; the softmax is applied for it",
    "PoissonNLLLoss": "Poisson likelihood of the one-hot label",
    "SmoothL1Loss": "smooth absolute distance of the scores to the one-hot label",
    "SoftMarginLoss": "logistic loss of each class against the rest",
}
"""Losses of torch.nn that make sense for one score per class; losses/torch_losses.py says how each is fed."""

TORCH_DEFAULTS = {"KLDivLoss": {"reduction": "batchmean"}}
"""Parameters of torch's losses whose default here is not torch's."""

BASELINES = {"image": "CrossEntropyLoss", "sequence": "ConnectionistTemporalLoss"}
"""What losses are compared with unless asked otherwise, by their kind."""

NOT_CLASSIFICATION = {
    "AdaptiveLogSoftmaxWithLoss": "it is a layer for very large vocabularies",
    "CTCLoss": "it needs sequences of scores, and a blank; ConnectionistTemporalLoss is it for data sets of sequences",
    "CosineEmbeddingLoss": "it compares pairs of embeddings",
    "GaussianNLLLoss": "it needs a variance beside each score",
    "HingeEmbeddingLoss": "it judges distances of pairs",
    "LinearCrossEntropyLoss": "it holds a last layer of its own",
    "MarginRankingLoss": "it ranks pairs of scores",
    "TripletMarginLoss": "it compares triplets of embeddings",
    "TripletMarginWithDistanceLoss": "it compares triplets of embeddings",
}


def check_loss_name(name: str) -> str | None:
    """Return what is wrong with a loss's name, or None; imports nothing."""
    if name in LOSSES or name in TORCH_LOSSES:
        return None
    if name in NOT_CLASSIFICATION:
        return f"torch.nn.{name} cannot train a classifier: {NOT_CLASSIFICATION[name]}"
    if (file := _file_without_line(name)) is not None:
        line = f'"{name}": Entry("losses.{file}:{name}", "what it is, in one line")'
        return f"unknown loss {name!r}; losses/{file}.py defines it: add {line} to LOSSES in losses/__init__.py"
    return f"unknown loss {name!r}{did_you_mean(name, [*LOSSES, *TORCH_LOSSES])} (python train.py --list losses)"


def _file_without_line(name: str) -> str | None:
    """Return the file here that defines a loss of this name, found by its text; None also for what others extend."""
    texts = {file.stem: file.read_text(encoding="utf-8") for file in sorted(Path(__file__).parent.glob("*.py"))}
    if any(re.search(rf"^class \w+\(.*\b{re.escape(name)}\b", text, re.MULTILINE) for text in texts.values()):
        return None
    defines = re.compile(rf"^class {re.escape(name)}\b", re.MULTILINE)
    return next((stem for stem, text in texts.items() if defines.search(text)), None)


def loss_kind(name: str) -> str:
    """Return what a loss judges, "image" or "sequence"; those of torch.nn judge images."""
    return load_entry(LOSSES[name]).kind if name in LOSSES else "image"


def _place(constructor: Any) -> str:
    return f"loss_function: {source_place(constructor)}: {constructor.__name__}"


def build_loss(name: str, task: Task | None = None, /, **params: Any) -> ClassificationLoss:
    """Build a loss by its class name.

    Args:
        name: a key of `LOSSES` or the name of a loss of torch.nn.
        task: what the loss may know of the run; None for losses used alone.
        params: the loss's hyperparameters.

    Raises: ConfigError for an unknown name, a parameter the loss does not take or one out of range.
    """
    if problem := check_loss_name(name):
        raise ConfigError(f"loss_function: {problem}")
    from losses.base import ClassificationLoss, contract_problems
    from losses.torch_losses import TorchLoss, torch_loss_class

    constructor: Any = load_entry(LOSSES[name]) if name in LOSSES else torch_loss_class(name)
    if name in LOSSES and not (isinstance(constructor, type) and issubclass(constructor, ClassificationLoss)):
        raise ConfigError(f"{_place(constructor)} must be a subclass of losses.base.ClassificationLoss")
    problems = parameter_problems(constructor, params, given=() if name in TORCH_LOSSES else ("task",))
    if problems:
        raise ConfigError("\n".join(f"loss_params.{key}: {text}" for key, text in problems.items()))
    try:
        if name in TORCH_LOSSES:
            return TorchLoss(name, task, **params)
        loss = constructor(task, **params) if "task" in keywords(constructor) else constructor(**params)
    except refusals(constructor) as error:
        if not params and not isinstance(error, ConfigError):  # there is nothing that it could refuse
            raise
        raise ConfigError(f"loss_params: {name} refuses them: {error}") from None
    except (AttributeError, TypeError) as error:
        if task is not None or "NoneType" not in str(error):
            raise
        text = "must be built without a task, too: its parameters are checked so, before there is any data"
        raise ConfigError(f"{_place(constructor)} {text}. With task=None: {error}") from None
    if problems := contract_problems(loss):
        text = "belongs to the contract of losses/base.py; give a parameter of your own another name"
        lines = [f"{_place(constructor)}.{key} must be {allowed}: it {text}" for key, allowed in problems.items()]
        raise ConfigError("\n".join(lines))
    return loss

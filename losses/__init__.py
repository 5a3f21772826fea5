"""Losses by name. To add one: write its file, add its line to `LOSSES`.

Nothing here imports torch before a loss is asked for. The folder imports torch and itself only, so that it can be
installed alone, as `lossbench`: `from lossbench import FocalLoss`.
"""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

from .contract import REJECTED as REJECTED
from .contract import Batch as Batch
from .contract import Outputs as Outputs
from .contract import ParameterError as ParameterError
from .contract import Sequences as Sequences
from .contract import Task as Task

if TYPE_CHECKING:
    from .base import ClassificationLoss


class Entry(NamedTuple):
    """A line of the table: where a loss is defined, as "module:class", and a one-line summary."""

    location: str
    summary: str


LOSSES = {
    "ActivePassiveLoss": Entry(
        "losses.active_passive:ActivePassiveLoss",
        "a normalised loss and one of the wrong classes, for noisy labels (Ma 2020)",
    ),
    "AdaFaceLoss": Entry("losses.ada_face:AdaFaceLoss", "a margin that suits the image's quality (Kim 2022)"),
    "AdaFocalLoss": Entry(
        "losses.ada_focal:AdaFocalLoss", "focal loss that adapts to the validation's calibration (Ghosh 2022)"
    ),
    "AdaptiveArcFaceLoss": Entry(
        "losses.adaptive_arc_face:AdaptiveArcFaceLoss", "ArcFace with larger margins for rarer classes (Ha 2020)"
    ),
    "AngularSoftmaxLoss": Entry(
        "losses.angular_softmax:AngularSoftmaxLoss", "a multiplied angle for the label, unit weights (Liu 2017)"
    ),
    "ArcFaceLoss": Entry("losses.arc_face:ArcFaceLoss", "the label's angle wins by a margin (Deng 2019)"),
    "AsymmetricLoss": Entry(
        "losses.asymmetric:AsymmetricLoss", "right and wrong classes fade by powers of their own (Ridnik 2021)"
    ),
    "BalancedSoftmaxLoss": Entry(
        "losses.balanced_softmax:BalancedSoftmaxLoss", "a softmax that counts each class by its images (Ren 2020)"
    ),
    "BeYourOwnTeacherLoss": Entry(
        "losses.be_your_own_teacher:BeYourOwnTeacherLoss", "the deepest classifier teaches shallower ones (Zhang 2019)"
    ),
    "BiTemperedLoss": Entry(
        "losses.bi_tempered:BiTemperedLoss", "a bounded logarithm of a heavy-tailed softmax (Amid 2019)"
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
    "CircleLoss": Entry(
        "losses.circle:CircleLoss", "cosines weighted by how far they are from their optimum (Sun 2020)"
    ),
    "ClassBalancedLoss": Entry(
        "losses.class_balanced:ClassBalancedLoss", "any loss, weighted by the effective number of images (Cui 2019)"
    ),
    "CompetingRatioLoss": Entry(
        "losses.competing_ratio:CompetingRatioLoss", "cross entropy and the wrong classes' total (Zhang 2019)"
    ),
    "ComplementCrossEntropyLoss": Entry(
        "losses.complement_cross_entropy:ComplementCrossEntropyLoss", "evens out the wrong classes (Kim 2020)"
    ),
    "ConfidencePenaltyLoss": Entry(
        "losses.confidence_penalty:ConfidencePenaltyLoss",
        "cross entropy that rewards uncertain predictions (Pereyra 2017)",
    ),
    "ConnectionistTemporalLoss": Entry(
        "losses.connectionist_temporal:ConnectionistTemporalLoss", "CTC, for sequences: all ways to read (Graves 2006)"
    ),
    "CosFaceLoss": Entry("losses.cos_face:CosFaceLoss", "the label's cosine wins by a margin (Wang 2018)"),
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
    "DualFocalLoss": Entry(
        "losses.dual_focal:DualFocalLoss", "focal loss of the gap to the next class below (Tao 2023)"
    ),
    "EarlyLearningRegularizationLoss": Entry(
        "losses.early_learning_regularization:EarlyLearningRegularizationLoss",
        "any loss, and predictions near their earlier ones, for noisy labels (Liu 2020)",
    ),
    "FenchelYoungLoss": Entry(
        "losses.fenchel_young:FenchelYoungLoss", "sparse probabilities of Tsallis' entropy (Roulet 2025)"
    ),
    "FocalLoss": Entry("losses.focal:FocalLoss", "cross entropy, faded for certain samples (Lin 2017)"),
    "GeneralizedCrossEntropyLoss": Entry(
        "losses.generalized_cross_entropy:GeneralizedCrossEntropyLoss", "bounded, for noisy labels (Zhang 2018)"
    ),
    "HarmonicLoss": Entry(
        "losses.harmonic:HarmonicLoss", "probabilities by the distance to each class's weights (Baek 2025)"
    ),
    "HingeLoss": Entry("losses.hinge:HingeLoss", "multi-class hinge of Crammer and Singer or Weston and Watkins"),
    "LDAMLoss": Entry("losses.ldam:LDAMLoss", "larger margins for rarer classes, and late reweighting (Cao 2019)"),
    "LabelSmoothingCrossEntropy": Entry(
        "losses.label_smoothing:LabelSmoothingCrossEntropy", "cross entropy against softened labels (Szegedy 2016)"
    ),
    "LargeMarginSoftmaxLoss": Entry(
        "losses.large_margin_softmax:LargeMarginSoftmaxLoss", "a multiplied angle for the label (Liu 2016)"
    ),
    "LogitAdjustedLoss": Entry(
        "losses.logit_adjusted:LogitAdjustedLoss", "scores raised by the classes' frequencies in training (Menon 2021)"
    ),
    "LogitNormLoss": Entry("losses.logit_norm:LogitNormLoss", "cross entropy of scores of one length (Wei 2022)"),
    "LossTransform": Entry(
        "losses.loss_transform:LossTransform", "any loss, and replicas near their mean prediction (2025)"
    ),
    "MDCALoss": Entry(
        "losses.mdca:MDCALoss", "any loss, and mean probabilities like the labels' shares (Hebbalaguppe 2022)"
    ),
    "MarginLabelSmoothingLoss": Entry(
        "losses.margin_label_smoothing:MarginLabelSmoothingLoss", "smooths score differences beyond a margin (Liu 2022)"
    ),
    "MaxSupLoss": Entry(
        "losses.max_sup:MaxSupLoss", "cross entropy, the largest score held near the mean one (Zhou 2025)"
    ),
    "NegativeLogLikelihoodRatioLoss": Entry(
        "losses.negative_log_likelihood_ratio:NegativeLogLikelihoodRatioLoss",
        "log odds against the right class (Zhu 2018)",
    ),
    "NormFaceLoss": Entry("losses.norm_face:NormFaceLoss", "cross entropy of scaled cosines (Wang 2017)"),
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
    "PolyLoss": Entry("losses.poly:PolyLoss", "cross entropy, its first polynomial coefficient shifted (Leng 2022)"),
    "RescaledSquareLoss": Entry(
        "losses.rescaled_square:RescaledSquareLoss", "squared distance to a stretched one-hot label (Hui 2021)"
    ),
    "SeesawLoss": Entry("losses.seesaw:SeesawLoss", "rare classes pushed down less, confused ones more (Wang 2021)"),
    "SigmoidCrossEntropyLoss": Entry(
        "losses.sigmoid_cross_entropy:SigmoidCrossEntropyLoss",
        "each class against the rest, as timm trains (Wightman 2021)",
    ),
    "SingleLabelSmoothingLoss": Entry(
        "losses.single_label_smoothing:SingleLabelSmoothingLoss",
        "soft labels, each the last right prediction of its class (Zhang 2021)",
    ),
    "SoftMarginSoftmaxLoss": Entry(
        "losses.soft_margin_softmax:SoftMarginSoftmaxLoss", "cross entropy won by a margin (Liang 2017)"
    ),
    "SquentropyLoss": Entry(
        "losses.squentropy:SquentropyLoss", "cross entropy and the wrong scores' mean square (Hui 2023)"
    ),
    "SupervisedContrastiveLoss": Entry(
        "losses.supervised_contrastive:SupervisedContrastiveLoss",
        "any loss, and views of a class near each other (Khosla 2020)",
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


BASE = ("ClassificationLoss", "as_probabilities", "full_float", "require")
"""What a loss of one's own is made from, in base.py."""
__all__ = [*LOSSES, *BASE, "REJECTED", "Batch", "Outputs", "ParameterError", "Sequences", "Task", "build_loss"]  # pyright: ignore


def __getattr__(name: str) -> Any:
    """Import a loss when it is asked for: torch takes a second."""
    if name in LOSSES:
        return loss_class(name)
    if name in BASE:
        return getattr(importlib.import_module(f"{__name__}.base"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def loss_class(name: str) -> type[ClassificationLoss]:
    """Return the class of a loss of `LOSSES`, or "package.module:Class"."""
    module, _, defined = (LOSSES[name].location if name in LOSSES else name).partition(":")
    return getattr(
        importlib.import_module(module.replace("losses", __name__, 1) if name in LOSSES else module), defined
    )


def build_loss(name: str, task: Task | None = None, /, **params: Any) -> ClassificationLoss:
    """Build a loss by its class name.

    Args:
        name: a key of `LOSSES` or of `TORCH_LOSSES`, or "package.module:Class", one of your own.
        task: facts about the run that the loss may use; None for losses used alone.
        params: the loss's hyperparameters.

    Raises: ValueError for an unknown name or a parameter out of range; TypeError for a parameter that it does not take.
    """
    if name in TORCH_LOSSES:
        from .torch_losses import TorchLoss

        return TorchLoss(name, task, **params)
    if name not in LOSSES and ":" not in name:
        raise ValueError(f"unknown loss {name!r}; one of {', '.join([*LOSSES, *TORCH_LOSSES])}")
    constructor: Any = loss_class(name)
    return constructor(task, **params) if takes_task(constructor) else constructor(**params)


def takes_task(constructor: Any) -> bool:
    """Return whether a loss is built with a task; one that needs none need not take it."""
    return "task" in inspect.signature(constructor).parameters

"""Doubtful predictions: the likeliest class has little probability."""

from evaluation.findings import Findings
from evaluation.subject import Subject

NUMBERS = {"doubtful": ("share", "lower", "share of the images whose likeliest class has little probability")}


def doubt(subject: Subject, *, below: float = 0.5) -> Findings:
    """Count the images whose likeliest class has little probability.

    Args:
        below: the probability under which a prediction is doubtful.

    Returns: doubtful, the share of such images.
    """
    findings = Findings("doubt")
    likeliest = subject.answers.log_probabilities.exp().amax(dim=1)
    findings.add("doubtful", (likeliest < below).double().mean().item())
    return findings

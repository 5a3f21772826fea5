"""How test predictions are stored and drawn, for class labels and for texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from utils.lookup import Entry, load_entry

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

    from losses.base import ClassificationLoss
    from runs.folder import RunFolder

OUTCOMES = {
    "image": Entry("runs.outcomes.classes:CLASSES", "a class an image"),
    "sequence": Entry("runs.outcomes.texts:TEXTS", "a text an image"),
}


class Guess(NamedTuple):
    """A prediction for one image.

    Args: name: None if it is none of the classes. likeliest: names with their probabilities, the likeliest first.
    """

    name: str | None
    likeliest: tuple[tuple[str, float], ...]


class Outcomes(Protocol):
    """Storage and figures of predictions of one kind.

    Args:
        outputs: of the test, in the order of the data set: index, target, prediction and scores, N rows each.
        classes: K names.
    """

    def columns(
        self, loss: ClassificationLoss, outputs: dict[str, Tensor], classes: tuple[str, ...]
    ) -> dict[str, pa.Array]:
        """Return the columns of predictions.parquet beside the index."""
        ...

    def guesses(self, loss: ClassificationLoss, scores: Tensor, classes: tuple[str, ...], top: int) -> list[Guess]:
        """Return the predictions for B images, each with up to `top` of the likeliest readings."""
        ...

    def draw_mistakes(self, outputs: dict[str, Tensor], classes: tuple[str, ...], folder: RunFolder) -> None:
        """Draw the mistakes."""
        ...


def outcomes_for(kind: str) -> Outcomes:
    """Return the storage and figures of a kind."""
    entry: Any = load_entry(OUTCOMES[kind])
    return entry

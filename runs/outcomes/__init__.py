"""What a test leaves of its predictions, by their kind: what a file holds of them, what is drawn of the mistakes."""

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
    """What an image is told to be.

    Args: name: None if it is none of the classes. likeliest: names with their probabilities, the likeliest first.
    """

    name: str | None
    likeliest: tuple[tuple[str, float], ...]


class Outcomes(Protocol):
    """What the predictions of one kind need.

    Args:
        outputs: of the test, in the order of the data set: index, target, prediction and scores, N rows each.
        classes: K names.
    """

    def columns(
        self, loss: ClassificationLoss, outputs: dict[str, Tensor], classes: tuple[str, ...]
    ) -> dict[str, pa.Array]:
        """Return what predictions.parquet holds beside the index."""
        ...

    def guesses(self, loss: ClassificationLoss, scores: Tensor, classes: tuple[str, ...], top: int) -> list[Guess]:
        """Return what each of B images is told to be, and up to `top` readings that are likeliest."""
        ...

    def draw_mistakes(self, outputs: dict[str, Tensor], classes: tuple[str, ...], folder: RunFolder) -> None:
        """Draw what is taken for what."""
        ...


def outcomes_for(kind: str) -> Outcomes:
    """Return what writes and draws predictions of a kind."""
    entry: Any = load_entry(OUTCOMES[kind])
    return entry

"""An embedding model that keeps what it has answered, so that the pages of a search rank by the very same vector."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from embedding.models import EmbeddingModelName
from embedding.ports import EmbeddingAnswer, EmbeddingModel, Vector

_KEPT: Final = 128  # 3 MB of the largest usual vectors


class RememberedEmbeddings:
    """`EmbeddingModel` for single texts: the last ones are answered from memory, and not paid for again.

    Endpoints answer the same text with vectors that differ in their last digits, enough to swap near neighbours.
    """

    def __init__(self, model: EmbeddingModel) -> None:
        self._model = model
        self._vectors: OrderedDict[tuple[EmbeddingModelName, tuple[str, ...]], Sequence[Vector]] = OrderedDict()

    def embed(
        self, model: EmbeddingModelName, texts: Sequence[str], seconds_left: Callable[[], float]
    ) -> EmbeddingAnswer:
        """As `EmbeddingModel.embed`; what is remembered took no tokens."""
        key = (model, tuple(texts))
        if key in self._vectors:
            self._vectors.move_to_end(key)
            return EmbeddingAnswer(self._vectors[key], 0)
        answer = self._model.embed(model, texts, seconds_left)
        # One that is none would break every search for this text as long as the process lives.
        if all(map(model.made, answer.vectors)):
            self._vectors[key] = answer.vectors
        if len(self._vectors) > _KEPT:
            self._vectors.popitem(last=False)
        return answer

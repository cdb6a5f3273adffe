"""Vectors as they are stored, and those that were paid for and could not be stored yet."""

import math
from array import array
from collections import OrderedDict
from typing import Final

from embedding.models import EmbeddingModelName
from embedding.ports import Vector

_MOST_NUMBERS: Final = 8_000_000  # 32 MB in single precision


def sound(vector: Vector, model: EmbeddingModelName) -> Vector | None:
    """The vector as it is stored, in single precision; None when it is no vector of the model, or has no direction."""
    try:
        numbers = array("f", vector)
    except (TypeError, OverflowError):
        return None
    if len(numbers) != model.dimensions:
        return None
    return numbers if any(numbers) and all(map(math.isfinite, numbers)) else None


class UnsavedVectors:
    """Vectors that were paid for and are in no row yet, by model name and content hash, of one process.

    The batch that they belong to is delivered again, mostly to the same process. The oldest go where room is short.
    """

    def __init__(self) -> None:
        self._vectors: OrderedDict[tuple[str, str], Vector] = OrderedDict()
        self._numbers = 0

    def get(self, model_name: str, content_hash: str) -> Vector | None:
        """What was paid for this content."""
        return self._vectors.get((model_name, content_hash))

    def add(self, model_name: str, content_hash: str, vector: Vector) -> None:
        """Remember what could not be saved."""
        self.discard(model_name, content_hash)
        self._vectors[model_name, content_hash] = vector
        self._numbers += len(vector)
        while self._numbers > _MOST_NUMBERS:
            _, oldest = self._vectors.popitem(last=False)
            self._numbers -= len(oldest)

    def discard(self, model_name: str, content_hash: str) -> None:
        """Forget what is in a row now."""
        self._numbers -= len(self._vectors.pop((model_name, content_hash), ()))

"""Embedding models by the name that a row carries: the endpoint's model and the dimension of its vectors."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

_NAME: Final = re.compile(r"(?P<model>[\w./:@-]*[\w])-(?P<dimensions>[1-9][0-9]{0,4})", re.ASCII)
MAX_MODEL_NAME_LENGTH: Final = 128
MAX_DIMENSIONS: Final = 16_384
# The size of these models' vectors where none is asked for; only another size has to be sent.
_NATIVE_DIMENSIONS: Final = {
    "text-embedding-3-small": 1_536,
    "text-embedding-3-large": 3_072,
    "text-embedding-ada-002": 1_536,
}


@dataclass(frozen=True)
class EmbeddingModelName:
    """`text-embedding-3-small-1536` is model `text-embedding-3-small` with vectors of 1,536 numbers."""

    model: str
    dimensions: int

    @classmethod
    def parse(cls, name: str) -> Self:
        """Read a name. Raises ValueError that says what is allowed."""
        found = _NAME.fullmatch(name) if len(name) <= MAX_MODEL_NAME_LENGTH else None
        if found is None or int(found["dimensions"]) > MAX_DIMENSIONS:
            raise ValueError(
                f"should be a model and its dimension, such as text-embedding-3-small-1536: at most "
                f"{MAX_MODEL_NAME_LENGTH} characters and {MAX_DIMENSIONS} dimensions"
            )
        return cls(found["model"], int(found["dimensions"]))

    @property
    def native_dimensions(self) -> int | None:
        """How long the model's vectors are where no size is asked for; None when that is not known here."""
        return _NATIVE_DIMENSIONS.get(self.model)

    def made(self, vector: Sequence[float]) -> bool:
        """Whether this can be a vector of the model: of its length, of finite numbers, not all zero."""
        return len(vector) == self.dimensions and all(map(math.isfinite, vector)) and any(vector)

    def __str__(self) -> str:
        return f"{self.model}-{self.dimensions}"

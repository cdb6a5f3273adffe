"""Tokens of a text, counted offline: exactly for models of the `o200k_base` encoding, with a margin for all others."""

import math
import re
from typing import Final

from trace_summarization.encodings import O200K_BASE

UNKNOWN_MODEL_MARGIN: Final = 1.15  # other tokenizers need more tokens for the same text

_MODELS_OF_ENCODING = re.compile(r"(?:gpt-4o|gpt-4\.1|gpt-4\.5|gpt-5|o1|o3|o4-mini|gpt-oss|chatgpt-4o)(?:[-.:].*)?")


def count_tokens(text: str) -> int:
    """Tokens of the text in the `o200k_base` encoding. Markers such as `<|endoftext|>` count as plain text."""
    return O200K_BASE.count(text)


def is_counted_exactly(model: str) -> bool:
    """Whether the model, named plainly or behind a gateway's prefix, uses the encoding that is counted with."""
    return _MODELS_OF_ENCODING.fullmatch(model.rpartition("/")[2]) is not None


def with_margin(tokens: int, model: str) -> int:
    """Tokens that the model is expected to count where `count_tokens` counted so many.

    15 % more when its encoding is unknown: an estimate, as some need several times as many for some languages.
    """
    return tokens if is_counted_exactly(model) else math.ceil(tokens * UNKNOWN_MODEL_MARGIN)


def without_margin(tokens: int, model: str) -> int:
    """How many tokens may be counted so that the model counts at most so many; at least 1."""
    return tokens if is_counted_exactly(model) else max(1, int(tokens / UNKNOWN_MODEL_MARGIN))

"""What of a text an embedding model is given, and how texts share requests: by tokens, counted offline.

Exactly for OpenAI's embedding models; models whose encoding is not known here are counted with the same and a margin.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from trace_summarization import constants as c
from trace_summarization.encodings import CL100K_BASE
from trace_summarization.tokens import UNKNOWN_MODEL_MARGIN

_MODELS_OF_ENCODING: Final = re.compile(r"text-embedding-(?:3-small|3-large|ada-002)(?:[-.:].*)?")
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class CutText:
    """A text as it is sent. `tokens` is what it takes at most: of a text that is short anyway its bytes."""

    text: str
    tokens: int
    is_cut: bool


def is_counted_exactly(model: str) -> bool:
    """Whether the endpoint's model, named plainly or behind a gateway's prefix, is counted without a margin."""
    return _MODELS_OF_ENCODING.fullmatch(model.rpartition("/")[2]) is not None


def count_tokens(text: str, model: str) -> int:
    """Tokens that the endpoint's model takes for the text; 15 % more than counted when its encoding is not known."""
    counted = CL100K_BASE.count(text)
    return counted if is_counted_exactly(model) else math.ceil(counted * UNKNOWN_MODEL_MARGIN)


def cut_to_window(text: str, model: str, max_tokens: int = c.MAX_EMBEDDING_INPUT_TOKENS) -> CutText:
    """The text, or its start in whole characters that takes at most `max_tokens` of the endpoint's model.

    Half surrogate pairs, which no request can hold, become question marks.
    """
    content = text.encode("utf-8", "replace")
    whole = content.decode()
    allowed = max_tokens if is_counted_exactly(model) else int(max_tokens / UNKNOWN_MODEL_MARGIN)
    # No token is shorter than a byte, so that what is short in bytes need not be counted, nor the ranks be loaded.
    if len(content) <= allowed:
        return CutText(whole, len(content), is_cut=False)
    start = CL100K_BASE.prefix(whole, allowed)
    return CutText(start, count_tokens(start, model), is_cut=len(start) < len(whole))


def request_groups(
    items: Sequence[tuple[_Item, int]],
    max_items: int = c.MAX_EMBEDDING_INPUTS,
    max_tokens: int = c.MAX_EMBEDDING_REQUEST_TOKENS,
) -> Iterator[list[_Item]]:
    """The items, each given with its tokens, in groups of consecutive ones that fit into one request.

    An item with more tokens than a request takes stands alone.
    """
    group: list[_Item] = []
    tokens = 0
    for item, of_item in items:
        if group and (len(group) == max_items or tokens + of_item > max_tokens):
            yield group
            group, tokens = [], 0
        group.append(item)
        tokens += of_item
    if group:
        yield group

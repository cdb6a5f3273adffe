"""Tokens of a text, counted offline: exactly for models of the `o200k_base` encoding, with a margin for all others.

The ranks are a data file of our own, because tiktoken would download them. Nothing is loaded before the first count.
"""

import base64
import functools
import hashlib
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trace_summarization.errors import InvalidConfiguration

if TYPE_CHECKING:
    from tiktoken import Encoding

RANKS_FILE: Final = Path(__file__).parent / "data" / "o200k_base.tiktoken"
RANKS_SHA256: Final = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
UNKNOWN_MODEL_MARGIN: Final = 1.15  # other tokenizers need more tokens for the same text

_NAME = "o200k_base"
# How the encoding splits text before it looks for tokens (tiktoken, `tiktoken_ext/openai_public.py`, `o200k_base`).
_SPLIT = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}",
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
    r"\s*[\r\n]+",
    r"\s+(?!\S)",
    r"\s+",
])  # fmt: skip
_LONGEST_RUN = 100  # characters
_LONG_BLANK = re.compile(rf"\s{{{_LONGEST_RUN}}}")
_LONG_RUN = re.compile("|".join(rf"{kind}{{{_LONGEST_RUN}}}" for kind in (r"[^\W\d_]", r"[^\w\s]", r"_", r"\s")))
_MODELS_OF_ENCODING = re.compile(r"(?:gpt-4o|gpt-4\.1|gpt-4\.5|gpt-5|o1|o3|o4-mini|gpt-oss|chatgpt-4o)(?:[-.:].*)?")


def count_tokens(text: str) -> int:
    """Tokens of the text in the `o200k_base` encoding. Markers such as `<|endoftext|>` count as plain text."""
    encode = _encoding().encode_ordinary
    return sum(len(encode(piece)) for piece in _pieces(text))


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


def _pieces(text: str) -> list[str]:
    """The text, cut within runs so long that tiktoken would take their length squared (0.11.0 does).

    A cut can add a token; nothing but such runs is cut.
    """
    if len(text) <= _LONGEST_RUN or (not _LONG_BLANK.search(text) and max(map(len, text.split())) <= _LONGEST_RUN):
        return [text]
    pieces, start = [], 0
    for run in _LONG_RUN.finditer(text):
        pieces.append(text[start : run.end()])
        start = run.end()
    return [*pieces, text[start:]]


@functools.cache
def _encoding() -> "Encoding":
    from tiktoken import Encoding  # only here: most invocations reuse a stored summary and count nothing

    content = RANKS_FILE.read_bytes()
    if hashlib.sha256(content).hexdigest() != RANKS_SHA256:
        raise InvalidConfiguration(f"{RANKS_FILE.name}: not the file that was shipped (SHA-256 differs)")
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in content.splitlines())}
    return Encoding(_NAME, pat_str=_SPLIT, mergeable_ranks=ranks, special_tokens={})

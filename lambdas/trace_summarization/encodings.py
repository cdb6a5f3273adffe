"""OpenAI's token encodings, offline: `o200k_base` of its chat models, `cl100k_base` of its embedding models.

The ranks are data files of our own, because tiktoken would download them. Nothing is loaded before the first count.
"""

import base64
import functools
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trace_summarization.errors import InvalidConfiguration

if TYPE_CHECKING:
    from tiktoken import Encoding

_DATA: Final = Path(__file__).parent / "data"
_LONGEST_RUN: Final = 100  # characters
_LONGEST_MIXED_RUN: Final = 400  # longer, because much text without blanks is such a run and no single piece
_LONG_BLANK: Final = re.compile(rf"\s{{{_LONGEST_RUN}}}")
_LETTERS: Final = r"[^\W\d_]"
_SIGNS: Final = r"(?:[^\w\s]|_)"
_LETTERS_AND_MARKS: Final = rf"(?:{_LETTERS}|[^\x00-\x7f\w\s])"  # `re` knows no class of marks alone


@dataclass(frozen=True)
class TokenEncoding:
    """One encoding: its ranks, how it splits text before it looks for tokens, and what it splits into long pieces."""

    name: str
    ranks_file: Path
    ranks_sha256: str
    split: str
    long_run: re.Pattern[str]

    def count(self, text: str) -> int:
        """Tokens of the text. Markers such as `<|endoftext|>` count as plain text."""
        encode = self._encoding.encode_ordinary
        return sum(len(encode(piece)) for piece in self._pieces(text))

    def prefix(self, text: str, tokens: int) -> str:
        """The start of the text that is its first so many tokens, in whole characters; itself where it has no more."""
        length = tokens * _EXPECTED_CHARACTERS_PER_TOKEN
        while True:
            found = self._tokens(text[:length])
            if len(found) > tokens:
                break
            if length >= len(text):
                return text
            length *= 2
        for kept in range(tokens, 0, -1):
            content = self._encoding.decode_bytes(found[:kept])
            if _ends_with_a_character(content) and self.count(start := content.decode()) <= tokens:
                return start
        return ""

    def _tokens(self, text: str) -> list[int]:
        encode = self._encoding.encode_ordinary
        return [token for piece in self._pieces(text) for token in encode(piece)]

    def _pieces(self, text: str) -> Iterator[str]:
        """The text, cut within runs so long that tiktoken would take their length squared (0.11.0 does).

        A cut can add a token; nothing but such runs is cut.
        """
        start = 0
        if _may_hold_a_long_run(text):
            for run in self.long_run.finditer(text):
                yield text[start : run.end()]
                start = run.end()
        yield text[start:]

    @functools.cached_property
    def _encoding(self) -> "Encoding":
        from tiktoken import Encoding  # only here: most invocations count nothing

        content = self.ranks_file.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.ranks_sha256:
            raise InvalidConfiguration(f"{self.ranks_file.name}: not the file that was shipped (SHA-256 differs)")
        ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in content.splitlines())}
        return Encoding(self.name, pat_str=self.split, mergeable_ranks=ranks, special_tokens={})


def _long_runs(*runs: tuple[str, int]) -> re.Pattern[str]:
    return re.compile("|".join(f"{kind}{{{length}}}" for kind, length in runs))


def _may_hold_a_long_run(text: str) -> bool:
    if len(text) <= _LONGEST_RUN:
        return False
    return _LONG_BLANK.search(text) is not None or max(map(len, text.split()), default=0) > _LONGEST_RUN


def _ends_with_a_character(content: bytes) -> bool:
    """Whether the start of a UTF-8 text ends where one of its characters does."""
    last = next((back for back in range(1, 5) if content[-back] & 0xC0 != 0x80), 4)
    lead = content[-last]
    return last == (1 if lead < 0xC0 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4)


# How the encodings split text: tiktoken 0.11.0, `tiktoken_ext/openai_public.py`.
O200K_BASE: Final = TokenEncoding(
    name="o200k_base",
    ranks_file=_DATA / "o200k_base.tiktoken",
    ranks_sha256="446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    split="|".join([
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]),
    long_run=_long_runs(
        (_LETTERS, _LONGEST_RUN),
        (_SIGNS, _LONGEST_RUN),
        (r"\s", _LONGEST_RUN),
        (_LETTERS_AND_MARKS, _LONGEST_MIXED_RUN),
    ),
)  # fmt: skip
CL100K_BASE: Final = TokenEncoding(
    name="cl100k_base",
    ranks_file=_DATA / "cl100k_base.tiktoken",
    ranks_sha256="223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    split="|".join([
        r"'(?i:[sdmt]|ll|ve|re)",
        r"[^\r\n\p{L}\p{N}]?+\p{L}++",
        r"\p{N}{1,3}+",
        r" ?[^\s\p{L}\p{N}]++[\r\n]*+",
        r"\s++$",
        r"\s*[\r\n]",
        r"\s+(?!\S)",
        r"\s",
    ]),
    long_run=_long_runs((_LETTERS, _LONGEST_RUN), (_SIGNS, _LONGEST_RUN), (r"\s", _LONGEST_RUN)),
)  # fmt: skip
_EXPECTED_CHARACTERS_PER_TOKEN: Final = 8  # twice the usual, so that one look at a long text is mostly enough

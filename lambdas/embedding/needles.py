"""What of a query is looked for word by word: its words, and words that have to stand in a row."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from embedding.words import words_of
from trace_summarization.stop_words import FUNCTION_WORDS, language_of

MAX_NEEDLES: Final = 64
MAX_PHRASE_WORDS: Final = 12  # a longer one is hardly found as it stands, its words are
_MAX_PHRASES: Final = 24  # leaves room for words in a pasted stack trace, where every line is a compound
_PHRASE_WEIGHT: Final = 2.0
_QUOTED: Final = re.compile(r'"([^"]+)"|`([^`]+)`|“([^”]+)”|„([^“”]+)[“”]|«([^»]+)»')


@dataclass(frozen=True)
class Needle:
    """Words in a row, evened out as `words_of` does. `weight`: how much more than a single word it counts."""

    words: tuple[str, ...]
    weight: float

    @property
    def text(self) -> str:
        """The words as a person reads them: `gift card`."""
        return " ".join(self.words)

    @property
    def is_phrase(self) -> bool:
        """Whether it is several words in a row."""
        return len(self.words) > 1


def needles_of(text: str) -> tuple[Needle, ...]:
    """What to look for, at most MAX_NEEDLES; none when the text holds no letter and no digit.

    Phrases: what is quoted, what stands without a blank (`update_flights`, an id, a path), and the whole text; each of
    2 to MAX_PHRASE_WORDS words. Then single words in their order, without function words unless nothing else is left.
    """
    phrases = _distinct(words for words in _rows(text) if 2 <= len(words) <= MAX_PHRASE_WORDS)[:_MAX_PHRASES]
    found = [Needle(words, _PHRASE_WEIGHT) for words in phrases]
    found += [Needle(words, 1.0) for words in _distinct((word,) for word in _telling(words_of(text)))]
    return tuple(found[:MAX_NEEDLES])


def _rows(text: str) -> Iterator[tuple[str, ...]]:
    yield tuple(words_of(text))
    for quoted in _QUOTED.finditer(text):
        yield tuple(words_of(quoted[quoted.lastindex or 0]))
    for chunk in text.split():
        yield tuple(words_of(chunk))


def _telling(words: list[str]) -> list[str]:
    language = language_of(words)
    # English ones in any case: names of tools and errors are English in traces of any language.
    unspecific = FUNCTION_WORDS["english"] | (FUNCTION_WORDS[language] if language else frozenset())
    return [word for word in words if word not in unspecific] or words


def _distinct(rows: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    return list(dict.fromkeys(rows))

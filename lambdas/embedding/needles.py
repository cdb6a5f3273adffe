"""What of a query is looked for word by word: its words, and words that have to stand in a row."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from embedding.words import words_of
from trace_summarization.stop_words import FUNCTION_WORDS, language_of

_Item = TypeVar("_Item")

MAX_NEEDLES: Final = 64
MAX_PHRASE_WORDS: Final = 12  # a longer one is hardly found as it stands, its words are
_MAX_PHRASES: Final = 24  # leaves room for words in a pasted stack trace, where every line is a compound
_PHRASE_WEIGHT: Final = 2.0
_MAX_IDS: Final = 64
_SHORTEST_ID: Final = 6  # characters, within a text
_AROUND: Final = ".,;:!?()[]{}<>\"'`"
_QUOTED: Final = re.compile(r'"([^"]+)"|`([^`]+)`|“([^”]+)”|„([^“”]+)[“”]|«([^»]+)»')


@dataclass(frozen=True)
class Needle:
    """Words in a row, evened out as `words_of` does; in another form where names with humps have two.

    `weight`: how much more than a single word it counts.
    """

    forms: tuple[tuple[str, ...], ...]
    weight: float

    @property
    def text(self) -> str:
        """The words as a person reads them: `gift card`."""
        return " ".join(self.forms[0])

    @property
    def is_phrase(self) -> bool:
        """Whether it is several words in a row."""
        return len(self.forms[0]) > 1


def needles_of(text: str) -> tuple[Needle, ...]:
    """What to look for, at most MAX_NEEDLES; none when the text holds no letter and no digit.

    Phrases: what is quoted, what stands without a blank (`update_flights`, an id, a path), and the whole text; each of
    2 to MAX_PHRASE_WORDS words. Then single words in their order, without function words unless nothing else is left.
    """
    phrases = _distinct(forms for forms in map(_forms, _rows(text)) if 2 <= len(forms[0]) <= MAX_PHRASE_WORDS)
    found = [Needle(forms, _PHRASE_WEIGHT) for forms in phrases[:_MAX_PHRASES]]
    found += [Needle(((word,),), 1.0) for word in _distinct(_telling(words_of(text)))]
    return tuple(found[:MAX_NEEDLES])


def ids_of(text: str, longest: int) -> tuple[str, ...]:
    """What may be a trace's id, as it stands: the whole text, and of its parts those in quotes or without a blank.

    Parts of at least 6 characters with a digit among them; all of at most `longest` characters.
    """
    _, *parts = _rows(text)
    parts = [part for row in parts for part in (row, row.strip(_AROUND))]
    telling = [part for part in parts if len(part) >= _SHORTEST_ID and any(map(str.isdigit, part))]
    return tuple(id_ for id_ in _distinct([text.strip(), *telling]) if len(id_) <= longest)[:_MAX_IDS]


def _rows(text: str) -> Iterator[str]:
    yield text
    for quoted in _QUOTED.finditer(text):
        yield quoted[quoted.lastindex or 0]
    yield from text.split()


def _forms(row: str) -> tuple[tuple[str, ...], ...]:
    """`ask getUser` may stand in a text as `ask get_user`, or as itself: with the name's whole after its parts."""
    return tuple(_distinct([tuple(words_of(row, wholes=False)), tuple(words_of(row))]))


def _telling(words: list[str]) -> list[str]:
    language = language_of(words)
    # English ones in any case: names of tools and errors are English in traces of any language.
    unspecific = FUNCTION_WORDS["english"] | (FUNCTION_WORDS[language] if language else frozenset())
    return [word for word in words if word not in unspecific] or words


def _distinct(items: Iterable[_Item]) -> list[_Item]:
    return list(dict.fromkeys(items))

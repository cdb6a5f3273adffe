"""What of a text can be found again in another that says the same in other words: words, names, numbers.

Case, accents, width and inflection are evened out, `1,234` and `1234` are one number, `find_order` is also `find` and
`order`. Scripts without spaces between words give pairs of characters.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Literal, NamedTuple

from trace_summarization.stop_words import STOP_WORDS

Kind = Literal["word", "name", "number", "count"]

SHORTEST_STEM = 4  # letters that two forms of a word have in common at least

_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_CONTRACTION = re.compile(r"(?<=\w)(?:n['’]t|['’](?:s|ll|ve|re|d|m))\b", re.IGNORECASE)
_CHUNK = re.compile(r"\d+\.\d+(?![\w.])|\w+(?:[.\-/@:\\]+\w+)*")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_DATE = re.compile(r"\d{4}-(\d{2})-\d{2}")
_PART = re.compile(r"\d+|[^\W\d_]+")
_WHOLES = (re.compile(r"[/\\@:]+"), re.compile(r"\W+"))
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]+")
_ACCENTED = re.compile("[\u00c0-\u024f]")
_ACCENT = re.compile("[\u0300-\u036f]")
_VOWELS = frozenset("aeiouyаеиоуыэюяьαεηιουω")
_ENDINGS = frozenset(
    ["", "d", "e", "ed", "er", "es", "ing", "ion", "ions", "led", "ling", "ment", "s", "y", "ies", "ied"]
)
# What a trace calls an error, its summary calls a failure.
_ERRORS = frozenset(["error", "errors", "exception", "fail", "failed", "failing", "fails", "failure", "failures"])
_SENTENCE_ENDS = ".!?:;\"“'(["
_MOST_COUNTED = 12  # numbers up to this are counts, which a text may give in words or not give at all
_NUMBER_WORDS = {
    word: str(number)
    for number, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    )
}
_MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]


class Term(NamedTuple):
    """One thing to look for. `parts` are the words of a compound name, found apart where the whole is not."""

    kind: Kind
    text: str
    parts: tuple[str, ...] = ()


def tokens_of(text: str) -> Iterator[str]:
    """All that can be found in a text: whole names and their parts, words, numbers in one form. May repeat."""
    for chunk in _CHUNK.findall(_normal(text)):
        yield from _tokens_in(chunk)


def terms_of(statement: str) -> list[Term]:
    """What a statement says, in order, each term once; without stop words."""
    found: dict[str, Term] = {}
    normal = _normal(statement)
    for match in _CHUNK.finditer(normal):
        before = normal[: match.start()].rstrip()
        starts_sentence = not before or before[-1] in _SENTENCE_ENDS
        for term in _terms_in(match.group(), starts_sentence):
            found.setdefault(term.text, term)
    return list(found.values())


def alike(word: str, other: str) -> bool:
    """Whether two words that share their first `SHORTEST_STEM` letters are forms of one, by what else they share."""
    shorter, longer = sorted((len(word), len(other)))
    common = SHORTEST_STEM
    while common < shorter and word[common] == other[common]:
        common += 1
    short_end, long_end = sorted((word[common:], other[common:]), key=len)
    if longer - common <= min(common, 6) and (not short_end or short_end in _VOWELS or shorter - common < shorter // 4):
        return True
    return short_end in _ENDINGS and long_end in _ENDINGS


def _normal(text: str) -> str:
    return _CONTRACTION.sub("", _THOUSANDS.sub("", unicodedata.normalize("NFKC", text)))


def _tokens_in(chunk: str) -> Iterator[str]:
    if _NUMBER.fullmatch(chunk):
        yield _number(chunk)
        return
    if chunk.isalpha() and not _HUMP.search(chunk) and not _UNSPACED.search(chunk):
        yield _folded(chunk)
        return
    date = _DATE.match(chunk)
    if date is not None and 1 <= int(date[1]) <= 12:
        yield _MONTHS[int(date[1]) - 1]
    # `agent.run_sync` and `tests/test_app.py` are also `run_sync` and `test_app.py`.
    wholes = [chunk, *(piece for separator in _WHOLES for piece in separator.split(chunk) if piece)]
    yield from dict.fromkeys([*map(_folded, wholes), *_parts(chunk)])


def _terms_in(chunk: str, starts_sentence: bool) -> Iterator[Term]:
    folded = _folded(chunk)
    if folded in STOP_WORDS and not chunk.isdigit():
        return
    if _NUMBER.fullmatch(chunk):
        yield _number_term(_number(chunk))
    elif folded in _NUMBER_WORDS:
        yield Term("count", _NUMBER_WORDS[folded])
    elif _is_name(chunk):
        yield Term("name", folded, tuple(part for part in _parts(chunk) if part not in STOP_WORDS))
    elif chunk.isalpha() and not _UNSPACED.search(chunk):
        if len(folded) > 1:
            yield Term("name" if chunk[0].isupper() and not starts_sentence else "word", folded)
    else:
        for part in _parts(chunk):
            if part.isdigit():
                yield _number_term(part)
            elif part not in STOP_WORDS and (len(part) > 1 or _UNSPACED.match(part)):
                yield Term("word", part)


def _number_term(number: str) -> Term:
    return Term(
        "count" if number.isdigit() and int(number[:3]) <= _MOST_COUNTED and len(number) < 3 else "number", number
    )


def _is_name(chunk: str) -> bool:
    """Whether it is written as only identifiers are: `a_b`, `aB`, `HAT006`, `src/a.py`, `a@b`, `SDZQKO`."""
    if not re.search(r"[^\W\d_]", chunk) or _UNSPACED.search(chunk) or _DATE.match(chunk):
        return False
    return bool(
        re.search(r"[\d_/@\\.:]", chunk)
        or (len(chunk) > 1 and chunk.isupper())
        or (chunk.isalpha() and _HUMP.search(chunk))
    )


def _parts(chunk: str) -> Iterator[str]:
    for piece in _PART.findall(_HUMP.sub("_", chunk)):
        if piece.isdigit():
            yield _number(piece)
        elif _UNSPACED.search(piece):
            yield from _pairs(piece)
        else:
            yield _folded(piece)


def _pairs(piece: str) -> Iterator[str]:
    """Neighbouring characters of a script without spaces; what is of another script whole."""
    yield from map(_folded, filter(None, _UNSPACED.split(piece)))
    for run in _UNSPACED.findall(piece):
        yield from (run[place : place + 2] for place in range(max(len(run) - 1, 1)))


def _number(digits: str) -> str:
    whole, _, fraction = digits.partition(".")
    fraction = fraction.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")


def _folded(text: str) -> str:
    """Without case, and without accents where Latin letters carry them; one word for all errors."""
    folded = text.casefold()
    if folded in _ERRORS:
        return "error"
    return _ACCENT.sub("", unicodedata.normalize("NFKD", folded)) if _ACCENTED.search(folded) else folded

"""By what else people look for a trace: errors, tools, codes and ids, the request's own words.

A summary says what happened; who has an error message, an order number or a tool's name at hand looks for just that.
Keywords are plain words between blanks, as search compares them (`embedding.words`): without a sign between them there
is no markup, no URL and no formula. Words that stood in a row stay in a row, so that a whole message, or an id of
several parts, is found as such.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from embedding.words import words_of
from trace_summarization import constants as c
from trace_summarization.redaction import hide_secrets
from trace_summarization.stop_words import STOP_WORDS
from trace_summarization.text_repr import TextRepr
from trace_summarization.text_repr.lines import Kind, Line

# Characters that each sort of keywords may take, in order of worth: what comes late is dropped first.
_ERRORS_ROOM: Final = 2_000
_TOOLS_ROOM: Final = 800
_CONDITIONS_ROOM: Final = 400
_CODES_ROOM: Final = 3_000
_REQUEST_ROOM: Final = 1_500
_LONGEST_ERROR: Final = 600  # characters; of a longer one its beginning and, as in a traceback, its end
_LONGEST_CODE: Final = 100
_LONGEST_WORD: Final = 40  # longer ones are hashes and encoded data
_READ_AT_ONCE: Final = 20_000  # characters
_MOST_READ: Final = 500_000  # characters of content in which codes and words are looked for, the most worth first

_FAILURES: Final = frozenset({Kind.ERROR, Kind.FAILED_TOOL})
# What the user names comes first, then what tools are given, and what is made of it; what all traces share comes last.
_TALK: Final = (Kind.USER, Kind.ERROR, Kind.FAILED_TOOL, Kind.CALL, Kind.ASSISTANT)
_OTHERS: Final = (Kind.TOOL, Kind.OTHER, Kind.THINKING, Kind.SYSTEM)
_LABEL: Final = re.compile(r"[^:\n]{0,120}:(?:[ \n]|$)")
_HEADING: Final = re.compile(r"#\d+ \S+ (.*?)(?: \((.*)\))?$")
_FACT: Final = re.compile(r"(?!error\b)[A-Za-z][\w./:@-]+")  # no number, no `in #2`, no `320 -> 18 tokens`: the model
_STATUS: Final = re.compile(r"\bstatus \d{3}\b")
_CALLED: Final = re.compile(r"([^\s(]{1,120})\(")
# Tools that only pass on to the tool that is meant.
_PASSED_ON: Final = re.compile(r'\btool_?[nN]ame"?[=:] ?"([^"\s]{1,100})"')
_CONDITION: Final = re.compile(
    r"\b[A-Z][A-Za-z]{1,60}(?:Error|Exception|Warning|Fault|Timeout)\b|\b[A-Z]{2,30}(?:_[A-Z]{2,30}){1,6}\b"
    r"|\b(?i:status|code|http|error)[\w ]{0,12}[\"':= ]{1,4}([1-5]\d\d)\b"
)
_RUN: Final = re.compile(r"[^\W_]+")
_CHUNK: Final = re.compile(r"\w+(?:[.\-/:@]+\w+)*", re.ASCII)
# `HAT136`, `noah_muller_9847`, `gpt-4o`, `5237144`, `tests/test_app.py`, `ada@example.org`
_CODE: Final = re.compile(
    r"(?=.*[a-zA-Z])(?=.*\d)|\d{5,}$|[\w.-]+(?:/[\w.-]+)*[\w/-]\.[A-Za-z]{1,5}$|[\w.-]+/[\w./-]+$|.+@|[A-Z]{4,}$"
)
_NAME: Final = re.compile(r"_|[a-z][A-Z]|[A-Z]{2}")
_NO_CODE: Final = re.compile(r"://|^\d{4}-\d\d-\d\d|^\d+[a-zA-Z]{1,3}$")  # links, times, amounts
# What a rendering puts in the place of something else, and the line breaks of text within JSON.
_STAND_IN: Final = re.compile(
    r"\[(?:secret|password|private-key|email|card|phone)(?:-\d+)?\]"
    r"|\[(?:[^\[\]\n]{1,40} )?as (?:in )?L\d[^\[\]\n]{0,80}\]"
    r"|\[the same line [\d,]+ times more\]|\[blob of \d+ characters cut\]|\\\\|\\[nrt]"
)


def keywords_of(rendered: TextRepr, *, is_redacted: bool) -> str:
    """Keywords of a rendered trace, at most `MAX_KEYWORDS_LENGTH` characters. Deterministic.

    Args:
        rendered: the whole trace, before it is fitted into a budget.
        is_redacted: whether secrets were taken out of its text already; else they are left out here.
    """
    entries = _entries(rendered.parts, _unchanged if is_redacted else hide_secrets)
    kept = _Kept()
    kept.add(_errors(entries), _ERRORS_ROOM)
    kept.add(_tools(entries), _TOOLS_ROOM)
    kept.add(_conditions(entries), _CONDITIONS_ROOM)
    kept.add(_codes(entries), _CODES_ROOM)
    kept.add((entry.text for entry in entries if entry.kind is Kind.USER), _REQUEST_ROOM)
    kept.fill(_by_worth(entries, (*_TALK, *_OTHERS)))
    return kept.text


@dataclass(frozen=True)
class _Entry:
    """Content without its label: what one label stands before, or the part of it that an error repeats."""

    kind: Kind
    text: str


class _Kept:
    """Keywords so far. What is kept already as words in a row is not kept again."""

    def __init__(self) -> None:
        self._text = " "

    @property
    def text(self) -> str:
        return self._text.strip()

    def add(self, texts: Iterable[str], room: int) -> None:
        """Keep texts in their order until they take so many characters; the one that does not fit is cut at a word."""
        end = min(len(self._text) + room, c.MAX_KEYWORDS_LENGTH)
        for text in texts:
            row = " ".join(words_of(text[: c.MAX_KEYWORDS_LENGTH]))
            if row and not self._keep(row, end):
                return

    def fill(self, texts: Iterable[str]) -> None:
        """Keep single words as far as there is room; where words are not parted, runs of characters."""
        seen: set[str] = set()
        for text in texts:
            for run in dict.fromkeys(_RUN.findall(text)):
                if run in seen:
                    continue
                seen.add(run)
                words = words_of(run[: c.MAX_KEYWORDS_LENGTH])
                row = " ".join(words)
                if len(row) < 2 or len(words[-1]) > _LONGEST_WORD or row in STOP_WORDS:
                    continue
                if not self._keep(row, c.MAX_KEYWORDS_LENGTH):
                    return

    def _keep(self, row: str, end: int) -> bool:
        """Keep words in a row unless they are kept already. Whether there may be room for more."""
        if f" {row} " in self._text:
            return True
        left = end - len(self._text)
        if len(row) < left:
            self._text += f"{row} "
            return True
        cut = row[: max(left, 0)].rpartition(" ")[0]
        self._text += f"{cut} " if cut else ""
        return False


def _entries(lines: Sequence[Line], hide: Callable[[str], str]) -> list[_Entry]:
    entries: list[_Entry] = []
    texts: list[str] = []
    kind = Kind.GAP
    for line in (*lines, Line(0, is_entry=True, text="", kind=Kind.GAP, event=0)):
        if texts and (line.is_entry or line.kind is not kind):
            entries.append(_Entry(kind, _STAND_IN.sub(" ", hide("\n".join(texts)))))
            texts = []
        kind = line.kind
        if kind not in (Kind.POINTER, Kind.GAP):
            label = _LABEL.match(line.text) if line.is_entry and kind is not Kind.HEADING else None
            texts.append(line.text[label.end() :] if label else line.text)
    return entries


def _errors(entries: Iterable[_Entry]) -> Iterator[str]:
    for entry in entries:
        if entry.kind in _FAILURES:
            text = entry.text.strip()
            if len(text) > _LONGEST_ERROR:
                half = _LONGEST_ERROR // 2
                text = f"{text[:half].rpartition(' ')[0]}\n{text[-half:].partition(' ')[2]}"
            yield text


def _tools(entries: Sequence[_Entry]) -> Iterator[str]:
    """Names of what was called, then of all steps and their models."""
    calls = [entry.text for entry in entries if entry.kind is Kind.CALL]
    yield from (called[1] for text in calls if (called := _CALLED.match(text)))
    for text in calls:
        yield from _PASSED_ON.findall(text)
    for entry in entries:
        if entry.kind is Kind.HEADING and (heading := _HEADING.match(entry.text)):
            yield heading[1]
            yield from (fact for fact in (heading[2] or "").split(", ") if _FACT.fullmatch(fact))


def _conditions(entries: Iterable[_Entry]) -> Iterator[str]:
    """Names of exceptions and codes of states."""
    for entry in entries:
        if entry.kind is Kind.HEADING:
            yield from _STATUS.findall(entry.text)
        elif entry.kind in _FAILURES or entry.kind is Kind.TOOL:
            yield from (found[1] or found[0] for found in _CONDITION.finditer(entry.text, 0, _READ_AT_ONCE))


def _codes(entries: Sequence[_Entry]) -> Iterator[str]:
    """Ids, codes, file names, and names such as `test_fit`: those that are most spoken of first.

    Names that only stand in what tools return (`payment_methods`) come last: many traces share them.
    """
    spoken = (chunk for text in _by_worth(entries, _TALK) for chunk in _CHUNK.findall(text))
    yield from (chunk for chunk, _ in Counter(spoken).most_common() if _is_code(chunk) or _is_name(chunk))
    names: dict[str, None] = {}
    for text in _by_worth(entries, _OTHERS):
        for chunk in dict.fromkeys(_CHUNK.findall(text)):
            if _is_code(chunk):
                yield chunk
            elif _is_name(chunk):
                names[chunk] = None
    yield from names


def _is_code(chunk: str) -> bool:
    return len(chunk) <= _LONGEST_CODE and not _NO_CODE.search(chunk) and bool(_CODE.match(chunk))


def _is_name(chunk: str) -> bool:
    return len(chunk) <= _LONGEST_CODE and not _NO_CODE.search(chunk) and bool(_NAME.search(chunk))


def _by_worth(entries: Sequence[_Entry], kinds: Sequence[Kind]) -> Iterator[str]:
    """Content in pieces, kind by kind."""
    texts = (entry.text for kind in kinds for entry in entries if entry.kind is kind)
    pieces = (text[start : start + _READ_AT_ONCE] for text in texts for start in range(0, len(text), _READ_AT_ONCE))
    left = _MOST_READ
    for piece in pieces:
        yield piece
        left -= len(piece)
        if left <= 0:
            return


def _unchanged(text: str) -> str:
    return text

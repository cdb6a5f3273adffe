"""Finds what a text repeats of the lines that stand already: whole lines, or parts of very long ones.

Texts are compared piece by piece: a line is a piece, a line of over `_LONGEST_PIECE` characters several. Pieces are
compared without their indentation, quotes and JSON escapes, so that a text is recognized when it comes again inside a
JSON string, re-indented, or cut.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_LONGEST_PIECE = 1_000  # characters
_SHORTEST_RUN_OF_LINES = 120  # characters; a pointer to anything shorter saves nothing
_SHORTEST_RUN_WITHIN_A_LINE = 400  # characters; a line is torn for more than that only
_SHORTEST_START = 8  # characters; "}" and its like stand everywhere
_MOST_PLACES = 4  # that are tried for the start of a run: keeps the search linear
# Where a long line may be divided: after a sentence, a JSON member, an escaped end of line. Independent of position, so
# that the same text is divided alike wherever it stands.
_DIVISION = re.compile(r"(?<=[.!?;,}\]])[ \n]|\\\\?n")
_MARGIN = " \t\"',"


class Piece(NamedTuple):
    """A line or a part of one. `ends_line`: the next piece begins a new line."""

    text: str
    key: str
    ends_line: bool


class Run(NamedTuple):
    """Pieces `start` to `end` (excluded) of a text; `numbers` of the lines that say each of them, None for new ones."""

    start: int
    end: int
    numbers: tuple[int, ...] | None


def pieces_of(lines: Sequence[str]) -> list[Piece]:
    """The pieces of a text's lines, in order."""
    pieces: list[Piece] = []
    for line in lines:
        if len(line) <= _LONGEST_PIECE:
            pieces.append(Piece(line, _key(line), True))
            continue
        parts = list(_parts(line))
        pieces += [Piece(part, _key(part), False) for part in parts[:-1]]
        pieces.append(Piece(parts[-1], _key(parts[-1]), True))
    return pieces


class SeenPieces:
    """The pieces of all texts so far, in order, each with the number of the line that it was written on.

    A piece that was not written again is here as well, with the line that it stands on: so a text that grows, such as
    the transcript of a conversation, is found in one run, although its parts were written at different times.
    """

    def __init__(self) -> None:
        self._keys: list[str] = []
        self._numbers: list[int] = []
        self._places: defaultdict[str, list[int]] = defaultdict(list)

    def add(self, piece: Piece, number: int) -> None:
        """Note the next piece of a text and the line that says it."""
        self._add(piece.key, number)

    def add_line(self, text: str, number: int) -> None:
        """Note a text that is one line."""
        self._add(_key(text), number)

    def _add(self, key: str, number: int) -> None:
        if len(key) >= _SHORTEST_START:
            places = self._places[key]
            if len(places) == _MOST_PLACES:
                del places[1]  # the first and the newest are the likeliest to go on as the text at hand does
            places.append(len(self._keys))
        self._keys.append(key)
        self._numbers.append(number)

    def runs(self, pieces: Sequence[Piece]) -> Iterator[Run]:
        """The text in runs: what is new and what repeats earlier lines, by turns."""
        start = position = 0
        while position < len(pieces):
            place, length = self._longest(pieces, position)
            if length == 0 or not _is_worth_it(pieces, position, position + length):
                position += 1
                continue
            if start < position:
                yield Run(start, position, None)
            yield Run(position, position + length, tuple(self._numbers[place : place + length]))
            start = position = position + length
        if start < position:
            yield Run(start, position, None)

    def _longest(self, pieces: Sequence[Piece], position: int) -> tuple[int, int]:
        """Where the longest run of known pieces from `position` on stands, and how many pieces it has."""
        best = (0, 0)
        for place in self._places.get(pieces[position].key, ()):
            length = 1
            while (
                position + length < len(pieces)
                and place + length < len(self._keys)
                and pieces[position + length].key == self._keys[place + length]
            ):
                length += 1
            if length > best[1]:
                best = (place, length)
        return best


def _is_worth_it(pieces: Sequence[Piece], start: int, end: int) -> bool:
    whole_lines = (start == 0 or pieces[start - 1].ends_line) and pieces[end - 1].ends_line
    needed = _SHORTEST_RUN_OF_LINES if whole_lines else _SHORTEST_RUN_WITHIN_A_LINE
    length = 0
    for piece in pieces[start:end]:
        length += len(piece.text)
        if length >= needed:
            return True
    return False


def _parts(line: str) -> Iterator[str]:
    start = 0
    for match in _DIVISION.finditer(line):
        yield line[start : match.end()]
        start = match.end()
    yield line[start:]


def _key(text: str) -> str:
    key = text.strip(_MARGIN)
    if "\\" not in key:
        return key
    while key.endswith("\\n"):
        key = key[:-2].rstrip("\\" + _MARGIN)
    return key.replace("\\", "")

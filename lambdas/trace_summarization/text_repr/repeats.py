"""Finds what a text repeats of the lines that stand already: whole lines, or parts of very long ones.

Texts are compared piece by piece: a line is a piece, a line of over `_LONGEST_PIECE` characters several. Pieces are
compared without their indentation, quotes and JSON escapes, so that a text is recognized when it comes again inside a
JSON string, re-indented, or cut.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

_LONGEST_PIECE = 1_000  # characters
_SHORTEST_RUN_OF_LINES = 120  # characters; a pointer to anything shorter saves nothing
_SHORTEST_RUN_WITHIN_A_LINE = 400  # characters; a line is torn for more than that only
_SHORTEST_START = 8  # characters; "}" and its like stand everywhere
_MOST_PLACES = 4  # that are tried for the start of a run: keeps the search linear
# Where a long line may be divided: after a sentence, a JSON member, an escaped end of line. Independent of position, so
# that the same text is divided alike wherever it stands.
_ENDINGS = (". ", "! ", "? ", "; ", ", ", "} ", "] ", "\\n")
_MARGIN = " \t\"',"
_MARGIN_OF_ESCAPED = _MARGIN + "\\"


class Pieces(NamedTuple):
    """A text's lines and parts of lines, in order: side by side, as an object for each would cost more than its use.

    `ends_line[i]`: piece i + 1 begins a new line.
    """

    texts: list[str]
    keys: list[str]
    ends_line: list[bool]


class Run(NamedTuple):
    """Pieces `start` to `end` (excluded) of a text; `numbers` of the lines that say each of them, None for new ones."""

    start: int
    end: int
    numbers: list[int] | None


def pieces_of(lines: list[str]) -> Pieces:
    """The pieces of a text's lines, in order."""
    if max(map(len, lines), default=0) <= _LONGEST_PIECE:
        return Pieces(lines, _keys(lines), [True] * len(lines))
    texts: list[str] = []
    ends_line: list[bool] = []
    for line in lines:
        parts = _parts(line) if len(line) > _LONGEST_PIECE else [line]
        texts += parts
        ends_line += [False] * (len(parts) - 1)
        ends_line.append(True)
    return Pieces(texts, _keys(texts), ends_line)


class SeenPieces:
    """The pieces of all texts so far, in order, each with the number of the line that it was written on.

    A piece that was not written again is here as well, with the line that it stands on: so a text that grows, such as
    the transcript of a conversation, is found in one run, although its parts were written at different times.
    """

    def __init__(self) -> None:
        self._keys: list[str] = []
        self._numbers: list[int] = []
        # The first place of each key, and up to `_MOST_PLACES` - 1 of its newest where it has several: the likeliest
        # to go on as the text at hand does.
        self._first_place: dict[str, int] = {}
        self._newer_places: dict[str, list[int]] = {}

    def add(self, pieces: Pieces, numbers: Sequence[int]) -> None:
        """Note the pieces of a text and the lines that say them."""
        self._add(pieces.keys, numbers)

    def add_line(self, text: str, number: int) -> None:
        """Note a text that is one line."""
        self._add(_keys([text]), [number])

    def _add(self, keys: Sequence[str], numbers: Sequence[int]) -> None:
        note_first = self._first_place.setdefault
        for place, key in enumerate(keys, start=len(self._keys)):
            if len(key) >= _SHORTEST_START and note_first(key, place) != place:
                newer = self._newer_places.setdefault(key, [])
                newer.append(place)
                if len(newer) == _MOST_PLACES:
                    del newer[0]
        self._keys += keys
        self._numbers += numbers

    def is_new(self, pieces: Pieces) -> bool:
        """Whether no piece could begin a run."""
        return self._first_place.keys().isdisjoint(pieces.keys)

    def runs(self, pieces: Pieces) -> Iterator[Run]:
        """The text in runs: what is new and what repeats earlier lines, by turns."""
        keys, known = pieces.keys, self._first_place
        if self.is_new(pieces):  # most texts, and told at once
            if keys:
                yield Run(0, len(keys), None)
            return
        start = position = 0
        while position < len(keys):
            if keys[position] not in known:
                position += 1
                continue
            place, length = self._longest(keys, position)
            if not _is_worth_it(pieces, position, position + length):
                position += 1
                continue
            if start < position:
                yield Run(start, position, None)
            yield Run(position, position + length, self._numbers[place : place + length])
            start = position = position + length
        if start < position:
            yield Run(start, position, None)

    def _longest(self, keys: Sequence[str], position: int) -> tuple[int, int]:
        """Where the longest run of known pieces from `position` on stands, and how many pieces it has."""
        best = (0, 0)
        key = keys[position]
        for place in (self._first_place[key], *self._newer_places.get(key, ())):
            length = 1
            while (
                position + length < len(keys)
                and place + length < len(self._keys)
                and keys[position + length] == self._keys[place + length]
            ):
                length += 1
            if length > best[1]:
                best = (place, length)
        return best


def _is_worth_it(pieces: Pieces, start: int, end: int) -> bool:
    whole_lines = (start == 0 or pieces.ends_line[start - 1]) and pieces.ends_line[end - 1]
    needed = _SHORTEST_RUN_OF_LINES if whole_lines else _SHORTEST_RUN_WITHIN_A_LINE
    length = 0
    for position in range(start, end):
        length += len(pieces.texts[position])
        if length >= needed:
            return True
    return False


def _parts(line: str) -> list[str]:
    for ending in _ENDINGS:  # twice as fast as one regular expression
        line = line.replace(ending, ending + "\n")
    return line.split("\n")


def _keys(texts: Sequence[str]) -> list[str]:
    return [text.strip(_MARGIN) if "\\" not in text else _key_of_escaped(text) for text in texts]


def _key_of_escaped(text: str) -> str:
    key = text.strip(_MARGIN)
    while key.endswith("\\n"):
        key = key[:-2].rstrip(_MARGIN_OF_ESCAPED)
    return key.replace("\\", "")

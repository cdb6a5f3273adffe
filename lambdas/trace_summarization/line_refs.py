"""References to lines of a rendered trace: `L10`, `L1-5`, `L1-L5`, lists of them."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from trace_summarization import constants as c

_REFERENCE = re.compile(r"L(\d{1,7})(?:-L?(\d{1,7}))?", re.ASCII)
_DASH = re.compile(r"\s*[-–—]\s*")
_SEPARATORS = re.compile(r"[\s,;&()\[\]{}]+|\band\b")
_LONGEST_READ = c.MAX_LINE_REFS_LENGTH * 10  # characters of what a model answers


class LineRange(NamedTuple):
    """Lines `first` to `last`, both counted in."""

    first: int
    last: int

    def __str__(self) -> str:
        """`L10` or `L1-5`: how lines are cited."""
        return f"L{self.first}" if self.first == self.last else f"L{self.first}-{self.last}"


class GivenRefs(NamedTuple):
    """What a model gave as references: the ranges, each once and in its order, and how many pieces are none."""

    ranges: tuple[LineRange, ...]
    malformed: int


def parse_refs(refs: str) -> GivenRefs:
    """Read `L10`, `L1-5` or `L1-L5`, separated by commas, semicolons, blanks or "and", brackets around or not."""
    ranges: dict[LineRange, None] = {}
    malformed = 0
    for piece in _SEPARATORS.split(_DASH.sub("-", refs[:_LONGEST_READ])):
        match = _REFERENCE.fullmatch(piece)
        if match is not None:
            ranges[LineRange(int(match[1]), int(match[2] or match[1]))] = None
        elif piece:
            malformed += 1
    return GivenRefs(tuple(ranges), malformed)


def fitting_refs(ranges: Iterable[LineRange]) -> tuple[LineRange, ...]:
    """The ranges, each once, that fit `MAX_LINE_REFS_LENGTH` when they are written."""
    kept: dict[LineRange, None] = {}
    for each in ranges:
        if len(written_refs([*kept, each])) <= c.MAX_LINE_REFS_LENGTH:
            kept[each] = None
    return tuple(kept)


def written_refs(ranges: Iterable[LineRange]) -> str:
    """How references are stored: `L10, L1-5`."""
    return ", ".join(map(str, ranges))

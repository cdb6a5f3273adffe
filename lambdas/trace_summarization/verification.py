"""Whether the lines that a bullet or note cites show what it says.

Each term of a statement that the trace has is weighed by how surprising it is to find it in as much text as is cited: a
term on one line of a thousand says a lot, one on every third line nothing. The sum is, roughly, the log likelihood
ratio between "these lines were cited because they show it" and "they were picked at random". That makes the check fair
to short and long traces, and no range passes for covering half the trace. A term that the cited lines lack counts
against them, but little: who summarizes uses other words.

Known limits: a statement that shares no term with its lines is not verified, however true; one that cites the wrong one
of two passages with the same words is.
"""

import math
import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Final, NamedTuple

from trace_summarization.line_refs import LineRange
from trace_summarization.stop_words import language_of
from trace_summarization.terms import SHORTEST_STEM, Kind, Term, alike, terms_of, tokens_of

MAX_RANGE_LINES: Final = 60  # of a reference as it is kept
_NARROWED_LINES = 20  # to which a wider one is narrowed, around what matches best
_MAX_TERMS = 80  # of one statement
_MAX_STARTS = 300  # of narrower ranges that are tried within a wide one
_NOT_LATIN = re.compile(r"[^\W\d_\u0000-\u024f\u1e00-\u1eff]")
_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"[^\W\d_]+")
_FOREIGN_LETTERS = 0.2  # share of them from which on a text is in another script
_READ_FOR_LANGUAGE = 5_000  # characters

# How lines say that they stand for others; which ones is known from the rendering, never read from a text.
_POINTER = re.compile(r"\[(?:[^\[\]]{1,40} )?as (?:in )?L\d[^\[\]]{0,80}\]")


class _Weight(NamedTuple):
    """What a term of a kind counts, in nats.

    `shown`: how often right lines show such a term. `most`: what finding it counts at most. `missed`: what it costs
    when other lines have it, `absent` when no line has.
    """

    shown: float
    most: float
    missed: float
    absent: float


# Chosen with `python -m bench references`, looking at one half of its traces.
_WEIGHTS: Mapping[Kind, _Weight] = {
    "word": _Weight(shown=0.5, most=2.5, missed=0.5, absent=0.0),
    "name": _Weight(shown=0.7, most=3.5, missed=0.85, absent=0.5),
    "number": _Weight(shown=0.6, most=3.5, missed=0.65, absent=0.5),
    "count": _Weight(shown=0.3, most=1.5, missed=0.0, absent=0.0),
}
_NEEDED = 0.8
_NEEDED_SHARE = 0.8  # of what the statement could reach at all: in a trace of a few lines nothing is surprising
_LEAST = 0.25
_NEXT_TO_IT = 0.5  # what a term counts that stands on a line beside: a heading cited for its content
_CONTRIBUTION = 0.5  # of one reference among several
_LEAST_AMOUNT = 0.3  # lines of mean size; the shortest lines are not that telling

_Places = Mapping[Term, Sequence[int]]


class LineEvidence:
    """The shown lines of a trace, ready to be asked whether they support a statement.

    Args:
        lines: content by line number, without the number's prefix; lines that were not shown are absent.
        pointers: first and last lines of what a line stands for instead of repeating it, by the line's number.
    """

    def __init__(
        self, lines: Mapping[int, str], pointers: Mapping[int, Sequence[tuple[int, int]]] | None = None
    ) -> None:
        self._lines = lines
        self._pointers = pointers or {}
        self._numbers = sorted(lines)
        self._sizes: dict[int, int] = {}
        places: dict[str, dict[int, None]] = defaultdict(dict)
        for number in self._numbers:
            tokens = list(tokens_of(_POINTER.sub(" ", lines[number])))
            self._sizes[number] = len(tokens)
            for token in tokens:
                places[token][number] = None
        self._places = {token: tuple(numbers) for token, numbers in places.items()}
        self._mean_size = max(sum(self._sizes.values()) / max(len(lines), 1), 1.0)
        self._stems: dict[str, list[str]] = defaultdict(list)
        for token in self._places:
            if len(token) >= SHORTEST_STEM and token.isalpha():
                self._stems[token[:SHORTEST_STEM]].append(token)

    def supporting(self, statement: str, ranges: Sequence[LineRange]) -> tuple[LineRange, ...]:
        """The ranges that show the statement or a part of it; none when together they do not show it.

        A range that begins or ends on a line that was not shown is none of them. One of more than `MAX_RANGE_LINES`
        comes back narrowed to the lines in it that match best, when these match well for the best of so many.
        """
        places: _Places = {term: self._lines_with(term) for term in terms_of(statement)[:_MAX_TERMS]}
        cited = [self._cited(each, places) for each in ranges if self._is_shown(each)]
        if not cited:
            return ()
        together = frozenset(chain.from_iterable(each.lines for each in cited))
        if self._shows(statement, together, places, max(each.handicap for each in cited)):
            telling = [self._most_telling(each.lines, places) for each in cited]
            needed = min(_CONTRIBUTION, max(telling))
            return tuple(each.range for each, most in zip(cited, telling, strict=True) if most >= needed)
        # A right reference among wrong ones: the more there are to pick from, the better it has to be.
        among = math.log(len(cited))
        return tuple(each.range for each in cited if self._shows(statement, each.lines, places, each.handicap + among))

    def _is_shown(self, each: LineRange) -> bool:
        return each.first <= each.last and each.first in self._lines and each.last in self._lines

    def _cited(self, given: LineRange, places: _Places) -> "_Cited":
        numbers = self._between(given)
        handicap = 0.0
        if len(numbers) > MAX_RANGE_LINES:
            handicap = math.log(len(numbers) / _NARROWED_LINES)
            given = self._best_part(given, places)
            numbers = self._between(given)
        return _Cited(given, frozenset(chain(numbers, self._pointed_at(numbers))), handicap)

    def _between(self, given: LineRange) -> Sequence[int]:
        return self._numbers[bisect_left(self._numbers, given.first) : bisect_right(self._numbers, given.last)]

    def _pointed_at(self, numbers: Iterable[int]) -> Iterable[int]:
        """The lines that pointers among these lines stand for, and those that these stand for in turn."""
        seen: set[int] = set()
        waiting = [number for number in numbers if number in self._pointers]
        while waiting:
            for first, last in self._pointers[waiting.pop()]:
                new = set(self._between(LineRange(first, last))) - seen
                seen |= new
                waiting += [number for number in new if number in self._pointers]
        return seen

    def _best_part(self, given: LineRange, places: _Places) -> LineRange:
        """The lines within a range, `_NARROWED_LINES` apart at most, that hold most of what the statement says."""
        found = {
            term: [number for number in numbers if given.first <= number <= given.last]
            for term, numbers in places.items()
        }
        gains = {term: self._gain(term, len(places[term]), 1.0) for term in found}

        def held(first: int) -> list[Term]:
            end = first + _NARROWED_LINES
            return [term for term, numbers in found.items() if bisect_left(numbers, first) < bisect_left(numbers, end)]

        rarest_first: list[list[int]] = sorted(found.values(), key=len)
        starts = sorted(set(islice(chain.from_iterable(rarest_first), _MAX_STARTS))) or [given.first]
        first = max(starts, key=lambda start: sum(gains[term] for term in held(start)))
        # Up to where each of these terms has been seen once.
        last = max((found[term][bisect_left(found[term], first)] for term in held(first)), default=first)
        return LineRange(first, last)

    def _shows(self, statement: str, lines: frozenset[int], places: _Places, handicap: float) -> bool:
        beside = frozenset(near for line in lines for near in (line - 1, line + 1) if near in self._lines) - lines
        amount, amount_beside = self._amount(lines), self._amount(lines | beside)
        is_foreign = self._is_foreign(statement, lines)
        score = reachable = 0.0
        for term, found in places.items():
            weight = _WEIGHTS[term.kind]
            if is_foreign and term.kind in ("word", "name") and lines.isdisjoint(found):
                # Said in other words, or spelled in another script; only a name that stands elsewhere was missed.
                score -= weight.missed if found and term.kind == "name" else 0.0
                continue
            if not found:
                score -= weight.absent
                continue
            gain = self._gain(term, len(found), amount)
            reachable += gain
            if not lines.isdisjoint(found):
                score += gain
            elif not beside.isdisjoint(found):
                score += self._gain(term, len(found), amount_beside, _NEXT_TO_IT)
            else:
                score -= weight.missed
        return score >= max(min(_NEEDED, _NEEDED_SHARE * reachable), _LEAST) + handicap

    def _most_telling(self, lines: frozenset[int], places: _Places) -> float:
        amount = self._amount(lines)
        shown = [term for term, found in places.items() if not lines.isdisjoint(found)]
        return max((self._gain(term, len(places[term]), amount) for term in shown), default=0.0)

    def _amount(self, lines: Iterable[int]) -> float:
        """How much text lines hold, in lines of mean size."""
        return sum(self._sizes[line] for line in lines) / self._mean_size

    def _gain(self, term: Term, count: int, amount: float, share: float = 1.0) -> float:
        """What it says to find a term of `count` lines in an amount of text that was picked for it."""
        weight = _WEIGHTS[term.kind]
        by_chance = 1 - (1 - count / (len(self._lines) + 1)) ** max(amount, _LEAST_AMOUNT)
        return min(math.log1p(weight.shown * share * (1 - by_chance) / by_chance), weight.most) if by_chance else 0.0

    def _is_foreign(self, statement: str, lines: Iterable[int]) -> bool:
        """Whether the lines are in another script or language than the statement, so that only names are shared."""
        text = "\n".join(self._lines[line] for line in sorted(lines))[:_READ_FOR_LANGUAGE]
        if _is_latin(statement) != _is_latin(text):
            return True
        languages = [language_of(_WORD.findall(each.casefold())) for each in (statement, text)]
        return None not in languages and languages[0] != languages[1]

    def _lines_with(self, term: Term) -> Sequence[int]:
        found = self._forms(term.text)
        if len(term.parts) > 1:
            found |= set.intersection(*(self._forms(part) for part in term.parts))
        return sorted(found)

    def _forms(self, text: str) -> set[int]:
        """The lines with a word or another form of it; with exactly this name or number."""
        if len(text) < SHORTEST_STEM or not text.isalpha():
            plural = self._places.get(f"{text}s", ()) if len(text) == SHORTEST_STEM - 1 else ()
            return {*self._places.get(text, ()), *plural}
        forms = (word for word in self._stems.get(text[:SHORTEST_STEM], ()) if alike(text, word))
        return set(chain.from_iterable(self._places[word] for word in forms))


class _Cited(NamedTuple):
    """A reference as it may be kept, the lines it stands for, and what it has to score more for being picked."""

    range: LineRange
    lines: frozenset[int]
    handicap: float


def _is_latin(text: str) -> bool:
    letters = len(_LETTER.findall(text))
    return len(_NOT_LATIN.findall(text)) < _FOREIGN_LETTERS * max(letters, 1)

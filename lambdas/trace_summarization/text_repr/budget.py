"""Shortens a rendered trace to a number of tokens, by value.

In this order: repeated loops become a count; long entries lose their middle, tool output and catalogues first, then
thinking, system prompts, answers, user turns; then entries of the middle are left out. Errors are kept whole as long as
they fit. Numbers stay those of the whole text; a gap says which lines are missing.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, NamedTuple

from trace_summarization.text_repr.lines import Kind, Line, line_range
from trace_summarization.text_repr.rendering import TextRepr
from trace_summarization.tokens import count_tokens

# How much of an entry stays, relative to entries of other kinds. Errors and headings stay whole.
_WORTH: Final[Mapping[Kind, float]] = {
    Kind.USER: 12,
    Kind.ASSISTANT: 6,
    Kind.FAILED_TOOL: 6,
    Kind.CALL: 4,
    Kind.SYSTEM: 2,
    Kind.OTHER: 1.5,
    Kind.THINKING: 1.5,
    Kind.TOOL: 1,
    Kind.CATALOGUE: 0.5,
}
_WHOLE: Final = frozenset({Kind.HEADING, Kind.ERROR, Kind.POINTER, Kind.GAP})
_WORTH_OF_FIRST_AND_LAST = 20  # what was wanted first, and what was answered in the end
_WORTH_OF_ERRORS = 30  # when they do not fit as a whole
_SMALLEST_WISH = 150  # tokens that the first wish and the last answer keep
_SMALLEST_STUB = 24
_LITTLE_WORTH = 2.0
_SMALLEST_ENTRY = 12  # tokens that every entry keeps while none has to go
_TOKENS_OF_A_GAP = 12
_TOKENS_OF_A_BARE_GAP = 3
_FEW_TOKENS = 200  # a cap below this leaves no room to say what is missing
_HEAD_SHARE = 0.6  # of what stays of an entry; the rest is its end
_LONGEST_PERIOD = 8  # events of one round of a loop
_FEWEST_ROUNDS = 3
_BARE_GAP = "[...]"
_NUMBERS = re.compile(r"#\d+ |in #\d+|[\d.,]+ s\b|[\d?]+ -> [\d?]+ tokens|\$[\d.]+")
_SEARCH_STEPS = 16
_FEWEST_CHARACTERS = 16  # of a line that is cut within itself


@dataclass(frozen=True)
class _Entry:
    """An entry's lines. `worth` decides how much of it stays."""

    lines: tuple["_Sized", ...]
    worth: float | None  # None: it stays whole

    @cached_property
    def size(self) -> int:
        return _total(self.lines)


def fit(rendered: TextRepr, max_tokens: int, tokens_of: Callable[[str], int] = count_tokens) -> TextRepr:
    """The trace in at most `max_tokens` tokens; the very same one when it fits already. Linear in its length.

    Raises ValueError for less than one token.
    """
    if max_tokens < 1:
        raise ValueError(f"max_tokens: {max_tokens} is less than 1")
    whole = [_sized(line, tokens_of) for line in rendered.parts]
    if _total(whole) <= max_tokens:
        return rendered
    gaps = _Gaps(tokens_of, bare=max_tokens < _FEW_TOKENS)
    entries = _entries(_without_loops(whole, gaps))
    kept = (
        _best(entries, max_tokens, gaps)
        or _best([replace(entry, worth=entry.worth or _WORTH_OF_ERRORS) for entry in entries], max_tokens, gaps)
        or _cut_hard(whole, max_tokens, gaps)
    )
    lines = tuple(_without_adjacent_gaps([line for line, _ in kept]))
    return TextRepr(lines, rendered.line_count, rendered.event_uuids)


class _Sized(NamedTuple):
    line: Line
    tokens: int


def _sized(line: Line, tokens_of: Callable[[str], int]) -> _Sized:
    # A line begins with a number or "[", which no token joins to the newline before: so tokens of lines add up.
    return _Sized(line, tokens_of(line.written() + "\n"))


def _total(lines: Iterable[_Sized]) -> int:
    return sum(line.tokens for line in lines)


# --- gaps ------------------------------------------------------------------------------------------------------------


def _spans(line: Line) -> Sequence[tuple[int, int]]:
    return [(line.number, line.number)] if line.number else line.refers


@dataclass(frozen=True)
class _Gaps:
    """Makes the lines that say what is missing: with its numbers, or bare where every token counts."""

    tokens_of: Callable[[str], int]
    bare: bool

    @property
    def cost(self) -> int:
        """Tokens of a gap, about."""
        return _TOKENS_OF_A_BARE_GAP if self.bare else _TOKENS_OF_A_GAP

    def of(self, lines: Sequence[_Sized], why: str = "") -> list[_Sized]:
        """The gap that these lines leave; nothing for no lines."""
        if not lines:
            return []
        left_out = [span for line, _ in lines for span in _spans(line)]
        return [_sized(_gap_line(left_out, lines[0].line.event, self.bare, why), self.tokens_of)]


def _without_adjacent_gaps(lines: Sequence[Line]) -> Iterator[Line]:
    """The lines, with gaps that follow each other as one, which takes fewer tokens."""
    for is_gap, group in itertools.groupby(lines, key=lambda line: line.kind is Kind.GAP):
        members = list(group)
        if is_gap and len(members) > 1:
            left_out = [lines for gap in members for lines in gap.refers]
            bare = members[0].text == _BARE_GAP
            yield _gap_line(left_out, members[0].event, bare)
        else:
            yield from members


def _gap_line(left_out: Sequence[tuple[int, int]], event: int, bare: bool, why: str = "") -> Line:
    span = (min(first for first, _ in left_out), max(last for _, last in left_out))
    text = _BARE_GAP if bare else f"[... {line_range(*span)} left out{': ' if why else ''}{why} ...]"
    return Line(0, False, text, Kind.GAP, event, (span,))


# --- loops -----------------------------------------------------------------------------------------------------------


def _without_loops(lines: list[_Sized], gaps: _Gaps) -> list[_Sized]:
    """Rounds of a loop but for the first and the last as one gap. Rounds are equal but for headings and pointers."""
    events = [list(group) for _, group in itertools.groupby(lines, key=lambda sized: sized.line.event)]
    signatures = [_signature(event) for event in events]
    kept: list[_Sized] = []
    position = 0
    while position < len(events):
        period, rounds = _loop_at(signatures, position)
        through = position + period
        kept += itertools.chain.from_iterable(events[position:through])
        if rounds:
            last_round = position + period * (rounds - 1)
            hidden = list(itertools.chain.from_iterable(events[through:last_round]))
            kept += gaps.of(hidden, f"{rounds - 2} more rounds like the one above")
            through = last_round
        position = through
    return kept


def _signature(event: Iterable[_Sized]) -> tuple[tuple[Kind, str], ...]:
    """What an event says, but for its number, times and tokens; a failed one is like none that succeeded."""
    return tuple(
        (line.kind, _NUMBERS.sub("", line.text) if line.kind is Kind.HEADING else line.text)
        for line, _ in event
        if line.kind is not Kind.POINTER
    )


def _loop_at(signatures: Sequence[tuple[tuple[Kind, str], ...]], start: int) -> tuple[int, int]:
    """Period and rounds of a loop that starts here; no rounds when none does. A loop of silent events is none."""
    for period in range(1, _LONGEST_PERIOD + 1):
        if not any(
            any(kind is not Kind.HEADING for kind, _ in signature) for signature in signatures[start : start + period]
        ):
            continue
        end = start + period
        while end < len(signatures) and signatures[end] == signatures[end - period]:
            end += 1
        rounds = (end - start) // period
        if rounds >= _FEWEST_ROUNDS:
            return period, rounds
    return 1, 0


# --- entries ---------------------------------------------------------------------------------------------------------


def _entries(lines: Sequence[_Sized]) -> list[_Entry]:
    groups: list[list[_Sized]] = []
    for sized in lines:
        if sized.line.is_entry or sized.line.number == 0 or not groups:
            groups.append([])
        groups[-1].append(sized)
    kinds = [group[0].line.kind for group in groups]
    texts = [group[0].line.text for group in groups]
    places = range(len(groups))
    first_wish = _first(places, lambda at: kinds[at] is Kind.USER, lambda at: texts[at].startswith("input"))
    last_answer = _first(
        places[::-1], lambda at: kinds[at] is Kind.ASSISTANT, lambda at: texts[at].startswith("output")
    )
    return [
        _Entry(tuple(group), _WORTH_OF_FIRST_AND_LAST if at in (first_wish, last_answer) else _worth(group))
        for at, group in enumerate(groups)
    ]


def _first(places: Iterable[int], *tests: Callable[[int], bool]) -> int:
    """The first place that passes the first test, else the first that passes the next; -1 for none."""
    return next((at for test in tests for at in places if test(at)), -1)


def _worth(lines: Sequence[_Sized]) -> float | None:
    kind = lines[0].line.kind
    if kind in _WHOLE or any(line.kind is Kind.ERROR for line, _ in lines):
        return None
    return _WORTH.get(kind, 1.0)


def _best(entries: Sequence[_Entry], max_tokens: int, gaps: _Gaps) -> list[_Sized]:
    """The entries at the highest level that fits; empty when what has to stay whole does not."""

    def at_level(level: float) -> list[_Sized]:
        lines: list[_Sized] = []
        for is_chosen, group in itertools.groupby(range(len(entries)), key=chosen.__contains__):
            if is_chosen:
                for at in group:
                    lines += _entry_within(entries[at], level, gaps)
            else:
                lines += gaps.of([sized for at in group for sized in entries[at].lines])
        return lines

    chosen = frozenset(range(len(entries)))
    best = at_level(0)
    if _total(best) > max_tokens:
        chosen = _chosen(entries, max_tokens, gaps)
        best = at_level(0)
        if any(entry.worth is None and at not in chosen for at, entry in enumerate(entries) if _is_error(entry)):
            return []
        if not chosen or _total(best) > max_tokens:
            return []
    low, high = 0.0, float(max(entry.size for entry in entries))
    for _ in range(_SEARCH_STEPS):
        level = (low + high) / 2
        lines = at_level(level)
        if _total(lines) <= max_tokens:
            low, best = level, lines
        else:
            high = level
        if high - low < 1:
            break
    return best


def _chosen(entries: Sequence[_Entry], max_tokens: int, gaps: _Gaps) -> frozenset[int]:
    """Positions of entries by value until no more fit; of equal value, from both ends inwards."""
    middle = (len(entries) - 1) / 2
    by_value = sorted(range(len(entries)), key=lambda at: (-_rank(at, entries[at]), -abs(at - middle), at))
    chosen: set[int] = set()
    used = 0
    for at in by_value:
        cost = _total(_entry_within(entries[at], 0, gaps))
        # Each entry may have a gap beside it.
        if not {at - 1, at + 1} & chosen:
            cost += gaps.cost
        if used + cost <= max_tokens:
            chosen.add(at)
            used += cost
    return frozenset(chosen)


def _rank(position: int, entry: _Entry) -> int:
    if _is_error(entry):
        return 3
    if entry.worth == _WORTH_OF_FIRST_AND_LAST:
        return 2
    kind = entry.lines[0].line.kind
    if kind is Kind.POINTER:
        return -1
    return 1 if position == 0 or kind in (Kind.USER, Kind.FAILED_TOOL) else 0


def _is_error(entry: _Entry) -> bool:
    return any(line.kind is Kind.ERROR for line, _ in entry.lines)


def _entry_within(entry: _Entry, level: float, gaps: _Gaps) -> list[_Sized]:
    """The entry's beginning and end, as much as the level allows, with a gap between them."""
    lines = list(entry.lines)
    if entry.worth is None:
        return lines
    smallest = _SMALLEST_WISH if entry.worth == _WORTH_OF_FIRST_AND_LAST else _SMALLEST_ENTRY
    limit = max(smallest, int(level * entry.worth))
    if entry.size <= limit + gaps.cost:
        return lines
    if limit < _SMALLEST_STUB and entry.worth <= _LITTLE_WORTH:
        return gaps.of(lines)  # a few words of a tool's output say less than what they take
    head = used = 0
    while head < len(lines) and used + lines[head].tokens <= limit * _HEAD_SHARE:
        used += lines[head].tokens
        head += 1
    tail, left = len(lines), limit - used
    while tail > head and lines[tail - 1].tokens <= left:
        tail -= 1
        left -= lines[tail].tokens
    if head == 0 or tail - head == 1:
        # A line that is too long for what is left is cut within itself.
        cut = _cut_within(lines[head], max(left, _SMALLEST_ENTRY), gaps)
        return [*lines[:head], cut, *gaps.of(lines[head + 1 : tail]), *lines[tail:]]
    return [*lines[:head], *gaps.of(lines[head:tail]), *lines[tail:]]


def _cut_within(sized: _Sized, limit: int, gaps: _Gaps) -> _Sized:
    """A line without its middle, of about `limit` tokens; the note within it comes on top."""
    line, size = sized
    if size <= limit:
        return sized
    keep = max(_FEWEST_CHARACTERS, int(len(line.text) * limit / size))
    while True:
        head = _at_word(line.text, int(keep * _HEAD_SHARE))
        tail = line.text[len(line.text) - (keep - int(keep * _HEAD_SHARE)) :]
        if keep <= _FEWEST_CHARACTERS or gaps.tokens_of(head + tail) <= limit:
            break
        keep = int(keep * 0.8)
    gone = len(line.text) - len(head) - len(tail)
    note = "[...]" if gaps.bare else f"[... {gone:,} characters left out ...]"
    return _sized(line._replace(text=f"{head} {note} {tail.lstrip()}"), gaps.tokens_of)


def _at_word(text: str, length: int) -> str:
    """The first `length` characters at most, ending with a word where one ends near."""
    head = text[:length]
    at_word = max(head.rfind(" "), head.rfind("\n"))
    return head[:at_word] if at_word > length * 0.7 else head


# --- when nothing else fits -----------------------------------------------------------------------------------------


def _cut_hard(lines: Sequence[_Sized], max_tokens: int, gaps: _Gaps) -> list[_Sized]:
    """The last resort, when errors alone are too long or hardly any token is left: a beginning and an end."""
    half = (max_tokens - gaps.cost) // 2
    head = tail = used = 0
    while head < len(lines) and used + lines[head].tokens <= half:
        used += lines[head].tokens
        head += 1
    used = 0
    while tail < len(lines) - head and used + lines[-1 - tail].tokens <= half:
        used += lines[-1 - tail].tokens
        tail += 1
    kept = [*lines[:head], *gaps.of(lines[head : len(lines) - tail]), *lines[len(lines) - tail :]]
    if head + tail and _total(kept) <= max_tokens:
        return kept
    first = lines[0]
    while first.tokens > max_tokens and first.line.text:
        first = _sized(first.line._replace(text=first.line.text[: len(first.line.text) * 3 // 4]), gaps.tokens_of)
    return [first] if first.tokens <= max_tokens else []

"""The offline model: summaries made of the trace's own sentences. No language model, deterministic, linear in the text.

It knows the layout of the numbered text (who spoke, which tools were called, what failed) and picks what a reader needs
first: the wish, the course, the errors, the end. Sentences of the middle are ranked by how frequent their words are in
the conversation, and a word that has been said counts less from then on (after SumBasic: Nenkova and Vanderwende, "The
Impact of Frequency on Summarization", 2005).
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from local.passages import Passage, read_events
from local.sentences import (
    Sentence,
    content_words,
    cut_headline,
    excerpt,
    gist,
    headline,
    is_pleasantry,
    quotable,
    words,
)
from local.story import Failure, Step, Story, tell
from trace_summarization import constants as c

_LONGEST_QUOTE = 240  # characters
_LONGEST_ANSWER_QUOTE = 320
_MAX_STEPS_NAMED = 6
_MAX_DIAGRAM_STEPS = 6
_MAX_REFS = 3
_MANY_REPEATS = 3
_MANY_CALLS = 15
_MANY_TOKENS = 100_000
_TOKENS = re.compile(r"([\d?]+) -> ([\d?]+) tokens")
_UNHAPPY_WORDS = words(
    """
    angry annoyed complaint disappointed frustrated frustrating frustration furious ridiculous terrible unacceptable
    unhappy upset useless worst
    """
)


@dataclass(frozen=True)
class _Candidate:
    """A bullet that may be chosen. The lower the rank, the more it is needed; `order` is where it belongs."""

    rank: float
    order: int
    text: str
    refs: tuple[tuple[int, int], ...]


def extractive_summary(text: str, fewest: int, most: int, most_notes: int) -> dict[str, Any]:
    """The answer to a summary request, in its schema, for a trace's numbered text.

    `fewest` and `most` bound the bullets; a trace too small for `fewest` gets as many as it has facts.
    """
    story = tell(read_events(text))
    candidates = [*_essentials(story), *_middle(story), *_fillers(story)]
    wanted = (fewest + most) // 2
    chosen = sorted(candidates, key=lambda candidate: candidate.rank)[:wanted]
    needed = [candidate for candidate in chosen if candidate.rank < _FILLER_RANK]
    if len(needed) >= fewest:
        chosen = needed
    chosen = chosen[: max(fewest, len(needed))]
    bullets = [_item(each.text, each.refs) for each in sorted(chosen, key=lambda each: each.order)]
    notes = [_item(text, refs) for text, refs in _notes(story)[:most_notes]]
    return {
        "title": _title(story),
        "flow_diagram": _diagram(story),
        "summary_bullets": bullets or [_item("The trace holds no readable content.", ((1, 1),))],
        "interesting_notes": notes,
    }


_FILLER_RANK = 100.0


def _item(text: str, refs: Iterable[tuple[int, int]]) -> dict[str, str]:
    listed = [f"L{first}" if first == last else f"L{first}-{last}" for first, last in list(refs)[:_MAX_REFS]]
    return {"text": text, "line_refs": ", ".join(listed)}


# --- bullets ---------------------------------------------------------------------------------------------------------


def _essentials(story: Story) -> list[_Candidate]:
    """The wish, the calls, the failures, the end."""
    candidates = []
    first_wish = _first_wish(story)
    if first_wish is not None:
        who = "The text to embed is" if story.only_embeds else "The user asks"
        candidates.append(_Candidate(0, 0, f'{who}: "{first_wish.text}"', first_wish.refs))
    if story.steps:
        first = story.steps[0]
        refs = _refs_of(story.steps)
        candidates.append(_Candidate(2, first.line, _calls_sentence(story), refs))
    for position, failure in enumerate(story.failures[:3]):
        candidates.append(
            _Candidate(3 + position * 4, failure.lines[0], _failure_sentence(failure), _lines(failure.lines))
        )
    ending = _ending(story)
    if ending is not None:
        candidates.append(ending)
    return candidates


def _first_wish(story: Story) -> Sentence | None:
    """What the user wants first: in prose if any turn is prose."""
    quotes = (quote for turn in story.wishes if (quote := quotable(turn.lines, _LONGEST_QUOTE)).text)
    return next(quotes, excerpt(story.wishes[0].lines, _LONGEST_QUOTE) if story.wishes else None)


def _ending(story: Story) -> _Candidate | None:
    last = _last_answer(story)
    if last is None:
        return None
    quote = excerpt(last.lines, _LONGEST_ANSWER_QUOTE)
    who = "The assistant answers" if len(story.answers) == 1 else "In the end the assistant answers"
    return _Candidate(1, 10**9, f'{who}: "{quote.text}"', quote.refs)


def _last_answer(story: Story) -> Passage | None:
    """The last answer that says more than goodbye."""
    telling = (answer for answer in reversed(story.answers) if not is_pleasantry(answer.lines))
    return next(telling, story.answers[-1] if story.answers else None)


def _calls_sentence(story: Story) -> str:
    counts = Counter(step.name for step in story.steps)
    named = [name if count == 1 else f"{name} ({count} times)" for name, count in counts.items()]
    rest = len(named) - _MAX_STEPS_NAMED
    shown = [*named[:_MAX_STEPS_NAMED], f"{rest} more"] if rest > 0 else named
    return f"The assistant calls {_listed(shown)}."


def _failure_sentence(failure: Failure) -> str:
    times = f" {len(failure.lines)} times" if len(failure.lines) > 1 else ""
    return f'{failure.name} fails{times}: "{failure.message}"' if failure.message else f"{failure.name} fails{times}."


def _middle(story: Story) -> list[_Candidate]:
    """Later turns of the user and what the assistant says on its way, best first."""
    last = _last_answer(story)
    turns = [quotable(turn.lines, _LONGEST_QUOTE) for turn in story.wishes if not is_pleasantry(turn.lines)]
    replies = [quotable(answer.lines, _LONGEST_QUOTE) for answer in story.answers if answer is not last]
    # The last turn of the user often tells how it ended.
    weights = [1.3] * (len(turns) - 1) + [1.6]
    pool = [("The user", turn, weight) for turn, weight in zip(turns, weights, strict=False)][1:]
    pool += [("The assistant", reply, 1.0) for reply in replies]
    pool = [(who, quote, weight) for who, quote, weight in pool if len(content_words(quote.text)) >= 3]
    # Frameworks hand the first request on in other words around it.
    first_wish = _first_wish(story)
    asked = set(content_words(first_wish.text)) if first_wish else set()
    pool = [
        each for each in pool if len(asked.intersection(content_words(each[1].text))) < 0.8 * len(asked) or not asked
    ]
    frequency = Counter(word for _, quote, _ in pool for word in content_words(quote.text))
    candidates: list[_Candidate] = []
    said = set(content_words(_title(story)))
    while pool and len(candidates) < 6:
        scored = [weight * _score(quote.text, frequency, said) for _, quote, weight in pool]
        best = max(range(len(pool)), key=lambda position: (scored[position], -position))
        who, quote, _ = pool.pop(best)
        said.update(content_words(quote.text))
        candidates.append(_Candidate(4 + len(candidates), quote.refs[0][0], f'{who}: "{quote.text}"', quote.refs))
    return candidates


def _score(text: str, frequency: Counter[str], said: set[str]) -> float:
    words = content_words(text)
    fresh = [word for word in words if word not in said]
    return sum(1 + math.log(frequency[word]) for word in fresh) / math.sqrt(len(words) + 3)


def _fillers(story: Story) -> list[_Candidate]:
    """What can be said of any trace, for those too small for more."""
    candidates = []
    if story.thinking is not None:
        quote = quotable(story.thinking.lines, _LONGEST_QUOTE)
        if quote.text:
            text = f'The model thinks first: "{quote.text}"'
            candidates.append(_Candidate(_FILLER_RANK, quote.refs[0][0], text, quote.refs))
    if story.result is not None:
        quote = quotable(story.result.lines, _LONGEST_QUOTE)
        if quote.text:
            text = f'{story.result.name or "The tool"} returns: "{quote.text}"'
            candidates.append(_Candidate(_FILLER_RANK + 1, quote.refs[0][0], text, quote.refs))
    if story.system is not None:
        quote = quotable(story.system.lines, _LONGEST_QUOTE)
        if quote.text:
            text = f'The system prompt says: "{quote.text}"'
            candidates.append(_Candidate(_FILLER_RANK + 2, 1, text, quote.refs))
    if story.facts:
        facts = [_TOKENS.sub(r"\1 tokens in, \2 tokens out", fact) for fact in story.facts]
        text = f"The trace {story.name} records {', '.join(facts)}."
        candidates.append(_Candidate(_FILLER_RANK + 3, 10**9 + 1, text, ((1, 1),)))
    return candidates


def _refs_of(steps: Sequence[Step]) -> tuple[tuple[int, int], ...]:
    """The lines of the first calls and of the last one."""
    shown = [*steps[: _MAX_REFS - 1], *([steps[-1]] if len(steps) >= _MAX_REFS else [])]
    return tuple((step.line, step.line) for step in shown)


def _lines(lines: Sequence[int]) -> tuple[tuple[int, int], ...]:
    return tuple((line, line) for line in lines)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


# --- notes -----------------------------------------------------------------------------------------------------------


def _notes(story: Story) -> list[tuple[str, tuple[tuple[int, int], ...]]]:
    notes: list[tuple[str, tuple[tuple[int, int], ...]]] = []
    if story.failures and not story.answers:
        notes.append(("The trace ends without an answer.", _lines(story.failures[-1].lines[-1:])))
    repeats = Counter(step.signature for step in story.steps)
    for signature, count in repeats.most_common(1):
        if count >= _MANY_REPEATS:
            same = [step for step in story.steps if step.signature == signature]
            notes.append((f"{same[0].name} is called {count} times with the same arguments.", _refs_of(same)))
    if len(story.steps) >= _MANY_CALLS:
        [(most, _)] = Counter(step.name for step in story.steps).most_common(1)
        those = [step for step in story.steps if step.name == most]
        notes.append((f"It takes {len(story.steps)} tool calls, most of them {most}.", _refs_of(those)))
    tokens = next((match for fact in story.facts if (match := _TOKENS.fullmatch(fact)) and match[1] != "?"), None)
    if tokens is not None and int(tokens[1]) >= _MANY_TOKENS:
        notes.append((f"It reads {int(tokens[1]):,} input tokens in all.", ((1, 1),)))
    failed = sum(len(failure.lines) for failure in story.failures)
    if failed > 1:
        notes.append((f"{failed} steps fail.", _lines([line for f in story.failures for line in f.lines][:_MAX_REFS])))
    for turn in story.wishes:
        unhappy = next(
            (
                quote
                for line in turn.lines
                if (quote := quotable((line,), _LONGEST_QUOTE)).text and _is_unhappy(quote.text)
            ),
            None,
        )
        if unhappy is not None:
            notes.append((f'The user is unhappy: "{unhappy.text}"', unhappy.refs))
            break
    for passage in story.stops[:1]:
        notes.append((f"An answer stopped early: {passage.text}.", _lines([passage.first_line])))
    return notes


def _is_unhappy(text: str) -> bool:
    return bool(_UNHAPPY_WORDS.intersection(content_words(text)))


# --- title and diagram -----------------------------------------------------------------------------------------------


def _title(story: Story) -> str:
    title = next((line for turn in story.wishes[:3] if (line := headline(turn.lines))), "")
    if not title and (first_wish := _first_wish(story)) is not None:
        title = cut_headline(first_wish.text[: c.MAX_TITLE_LENGTH])
    if not title and story.failures:
        failure = story.failures[0]
        title = cut_headline(f"{failure.name} fails: {failure.message}")
    if not title and story.answers:
        title = gist(story.answers[-1].lines)
    return title or cut_headline(story.name) or "Trace without content"


def _diagram(story: Story) -> str:
    """The wish, the calls in groups, the end: in the form that the instructions ask for."""
    labels: list[str] = []
    if story.wishes:
        labels.append(f"{'Text to embed' if story.only_embeds else 'User'}: {_title(story)}")
    grouped = story.grouped_steps()
    shown = grouped if len(grouped) <= _MAX_DIAGRAM_STEPS else [*grouped[: _MAX_DIAGRAM_STEPS - 1], grouped[-1]]
    for position, (name, count, failed) in enumerate(shown):
        if position == _MAX_DIAGRAM_STEPS - 1 and len(grouped) > len(shown):
            hidden = len(grouped) - len(shown)
            labels.append(f"{hidden} more step{'' if hidden == 1 else 's'}")
        labels.append(f"{name}{' fails' if failed else ''}{f', {count} times' if count > 1 else ''}")
    if story.answers:
        last = _last_answer(story)
        labels.append(f"Answer: {gist(last.lines) if last else ''}")
    elif story.failures:
        labels.append(f"Error: {story.failures[-1].message[:60] or story.failures[-1].name}")
    labels = labels or [_title(story)]
    lines = ["flowchart TD"]
    lines += [f'S{number}["{_quoted(label)}"]' for number, label in enumerate(labels, start=1)]
    lines += [f"S{number} --> S{number + 1}" for number in range(1, len(labels))]
    return "\n".join(lines)


def _quoted(label: str) -> str:
    return json.dumps(label, ensure_ascii=False)[1:-1].replace('\\"', "'").replace("\\", "/").replace(";", ",")

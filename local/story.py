"""What happens in a trace: wishes, steps, failures, answers."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from local.passages import Event, Kind, Passage

_CALL = re.compile(r"([^\s(]{1,80})\((.*)\)?", re.DOTALL)
_INNER_TOOL = re.compile(r'\btool_name="?: ?"?([\w./-]{1,60})|\btool_name="([\w./-]{1,60})"')
_ERROR_HEAD = re.compile(r"^(?:(?:\w+ )?[Ee]rror: |Error executing tool [\w-]+: |\w+(?:\.\w+)*(?:Error|Exception): )+")
_ERROR_MESSAGE = re.compile(r"['\"]message['\"]: ['\"]([^'\"]{8,})")
_RULE = re.compile(r"[=_*#-]{4,}")
_FIRST_SENTENCE = re.compile(r".{20,}?[.!?](?=\s)")
_BARE_END = re.compile(r":[^a-zA-Z]*$")  # "returncode 1: 1"
_FEWEST_SPACES_OF_PROSE = 3
_LONGEST_MESSAGE = 160
_SAME_MESSAGE = re.compile(r"[\d'\"]+")


@dataclass(frozen=True)
class Step:
    """One tool call. `signature` is equal for calls with equal arguments."""

    name: str
    signature: str
    line: int
    failed: bool = False


@dataclass
class Failure:
    """What failed in the same way, with the lines that say so."""

    name: str
    message: str
    lines: list[int] = field(default_factory=list)


@dataclass
class Story:
    """A trace as its reader would tell it."""

    name: str
    facts: tuple[str, ...]
    wishes: list[Passage] = field(default_factory=list)
    answers: list[Passage] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    stops: list[Passage] = field(default_factory=list)
    thinking: Passage | None = None
    system: Passage | None = None
    result: Passage | None = None
    only_embeds: bool = False

    def grouped_steps(self) -> list[tuple[str, int, bool]]:
        """Steps in order; neighbours of one name and fate as one, with their number."""
        groups: list[tuple[str, int, bool]] = []
        for step in self.steps:
            if groups and (groups[-1][0], groups[-1][2]) == (step.name, step.failed):
                groups[-1] = (step.name, groups[-1][1] + 1, step.failed)
            else:
                groups.append((step.name, 1, step.failed))
        return groups


def tell(events: Sequence[Event]) -> Story:
    """The story of a trace's events."""
    story = Story(events[0].name, events[0].facts)
    story.only_embeds = len(events) > 1 and all(event.kind == "embedding" for event in events[1:])
    results = {
        passage.text for event in events for passage in event.passages if passage.kind in (Kind.TOOL, Kind.OUTPUT)
    }
    _read_talk(events, story, results)
    _read_steps(events, story)
    _read_failures(events, story)
    return story


def _read_talk(events: Sequence[Event], story: Story, results: set[str]) -> None:
    wishes: set[str] = set()
    answers: set[str] = set()
    for event in events:
        for passage in event.passages:
            text = passage.text
            is_request = passage.kind is Kind.INPUT and event.kind in ("trace", "embedding")
            is_wish = passage.kind is Kind.USER or is_request
            if is_wish and text and text not in wishes and (text not in results or event.number == 0):
                wishes.add(text)
                story.wishes.append(passage)
            elif passage.kind is Kind.ASSISTANT and passage.fresh and text and event.number > 0:
                passage = _spoken(passage)
                text = passage.text
                if text in answers:
                    story.answers = [answer for answer in story.answers if answer.text != text]
                answers.add(text)
                story.answers.append(passage)
            elif passage.kind is Kind.STOPPED:
                story.stops.append(passage)
            elif passage.kind is Kind.THINKING and not text.startswith("["):
                story.thinking = story.thinking or passage
            elif passage.kind is Kind.SYSTEM:
                story.system = story.system or passage
            elif passage.kind is Kind.TOOL or (passage.kind is Kind.OUTPUT and event.kind == "span"):
                story.result = story.result or passage
    if not story.answers:
        speaking = (event for event in events if event.kind in ("trace", "generation"))
        outputs = [p for event in speaking for p in event.passages if p.kind is Kind.OUTPUT and p.text[:1] != "["]
        story.answers = [_spoken(output) for output in outputs[-1:]]


def _spoken(passage: Passage) -> Passage:
    """The longest prose inside an answer that is JSON, where it stands; any other answer as it is."""
    if not passage.text.lstrip().startswith("{"):
        return passage
    try:
        members = json.loads(passage.text)
    except (ValueError, RecursionError):
        return passage
    prose = max((value for value in members.values() if isinstance(value, str)), key=len, default="")
    if prose.count(" ") < _FEWEST_SPACES_OF_PROSE:
        return passage
    start = json.dumps(prose[:20], ensure_ascii=False)[1:-1]
    line = next((number for number, text in passage.lines if start in text), passage.first_line)
    return replace(passage, lines=tuple((line, text) for text in prose.split("\n")))


def _read_steps(events: Sequence[Event], story: Story) -> None:
    failed_names = _failed_spans(events)
    calls_of = {
        event.number: {
            passage.text: passage for passage in event.passages if passage.kind is Kind.CALL and passage.fresh
        }
        for event in events
        if event.number > 0
    }
    for event in events:
        outer = calls_of.get(event.parent, {})
        # What an event and its parent both record is one call.
        calls = [
            call for text, call in calls_of.get(event.number, {}).items() if text not in outer and not call.repeated
        ]
        story.steps += [Step(_tool_name(call.text), call.text, call.first_line) for call in calls]
    if not story.steps:
        parents = {event.parent for event in events}
        spans = [event for event in events if event.kind == "span" and event.number not in parents]
        story.steps = [
            Step(event.name or "a step", f"{event.name} {given.text}", event.line)
            for event in spans
            if (given := event.first(Kind.INPUT)) is not None
        ]
    story.steps = _with_fates(story.steps, failed_names)


def _failed_spans(events: Sequence[Event]) -> list[tuple[str, int]]:
    return [(event.name, event.line) for event in events if event.kind == "span" and "error" in event.facts]


def _with_fates(steps: Sequence[Step], failed: Sequence[tuple[str, int]]) -> list[Step]:
    """Steps, failed where a failed span of their tool follows before the tool is called again."""
    told: list[Step] = []
    for position, step in enumerate(steps):
        until = next((later.line for later in steps[position + 1 :] if later.name == step.name), 10**9)
        hit = any(step.line <= line < until and step.name.startswith(name) for name, line in failed if name)
        told.append(Step(step.name, step.signature, step.line, failed=hit))
    return told


def _read_failures(events: Sequence[Event], story: Story) -> None:
    by_key: dict[tuple[str, str], Failure] = {}
    for event in events:
        for passage in event.passages:
            if passage.kind is not Kind.ERROR or (event.number == 0 and len(events) > 1):
                continue
            name = passage.name or event.name or ("The call" if event.kind == "generation" else "The trace")
            message = _message(passage.text)
            failure = by_key.setdefault((name, _SAME_MESSAGE.sub("", message)), Failure(name, message))
            failure.lines.append(passage.line)
    story.failures = sorted(by_key.values(), key=lambda failure: -len(failure.lines))


def _tool_name(call: str) -> str:
    match = _CALL.match(call)
    name = match[1] if match else "a tool"
    inner = _INNER_TOOL.search(call)  # tools that only pass on to the tool that is meant
    return (inner[1] or inner[2]) if inner else name


def _message(text: str) -> str:
    """The part of an error that a person wants to read."""
    if text.startswith(("{", "[")):
        with contextlib.suppress(ValueError, RecursionError):  # it only looks like JSON
            text = _innermost(json.loads(text)) or text
    found = _ERROR_MESSAGE.search(text)
    message = found[1] if found else text
    lines = [line for line in message.split("\n") if line.strip()]
    # A Python traceback says what went wrong in its last line.
    line = lines[-1] if lines and lines[0].startswith("Traceback") else (lines[0] if lines else "")
    line = _RULE.sub(" ", _ERROR_HEAD.sub("", line) or line)
    line = _BARE_END.sub("", " ".join(line.split())).replace('"', "'").rstrip(",;'")
    first_sentence = _FIRST_SENTENCE.match(line)
    line = first_sentence.group() if first_sentence else line
    return line if len(line) <= _LONGEST_MESSAGE else line[:_LONGEST_MESSAGE].rpartition(" ")[0] + "…"


def _innermost(value: object, depth: int = 0) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and depth < 6:
        return _innermost(value[0], depth + 1)
    if isinstance(value, dict) and depth < 6:
        for key in ("message", "error", "detail", "msg", "text"):
            if found := _innermost(value.get(key), depth + 1):
                return found
    return ""

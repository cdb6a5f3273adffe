"""The plain rendering that ours is measured against: every event in time order, every input in full, lines numbered.

It is what one writes first, and what public tools print: nothing is recognized as said before, each content is cut to
1,000 characters in its middle, and a text that is too long is thinned out line by line.
"""

import ast
import json
import math
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from bench.baseline_messages import RULE, cut, input_text, messages_text, output_text, pretty, tools_text
from trace_summarization.models import TraceEvent

_DOUBLE_RULE = "=" * 80
_HEADER_LINES = 5
_ATTEMPTS = 10
_TRACE_EVENT = "$ai_trace"
_PREFIX_BY_EVENT = {
    "$ai_generation": "GEN",
    "$ai_span": "SPAN",
    "$ai_embedding": "EMBED",
    "$ai_evaluation": "EVAL",
}
_LINE_NUMBER = re.compile(r"^L\d+: ?", re.MULTILINE)


def render_baseline(events: Sequence[TraceEvent]) -> str:
    """The whole text of a trace."""
    trace = next((event.properties for event in events if event.event == _TRACE_EVENT), {})
    nodes = sorted((event for event in events if event.event != _TRACE_EVENT), key=lambda event: event.timestamp)
    name = str(trace.get("$ai_span_name") or trace.get("$ai_trace_name") or "TRACE").upper()
    lines = [name, _DOUBLE_RULE]
    if nodes:
        lines += ["", RULE, "", "TRACE HIERARCHY:", ""]
        for position, event in enumerate(nodes):
            lines += _node_lines(event, is_last=position == len(nodes) - 1)
    else:
        for title, key in (("TRACE INPUT", "$ai_input_state"), ("TRACE OUTPUT", "$ai_output_state")):
            if trace.get(key):
                lines += ["", RULE, "", f"{title}:", "", _state_text(trace[key])]
    return _numbered("\n".join(lines).split("\n"))


def without_line_numbers(text: str) -> str:
    """The text of a whole or thinned-out baseline rendering without the numbers before its lines."""
    return _LINE_NUMBER.sub("", text)


def sampled(text: str, max_length: int) -> str:
    """The text thinned out to so many characters: its first five lines, then every n-th one, with a note."""
    if len(text) <= max_length:
        return text
    lines = text.split("\n")
    header, body = lines[:_HEADER_LINES], lines[_HEADER_LINES:]
    notice_length = len(_notice(0, len(lines))) + 3
    room = max_length - sum(len(line) + 1 for line in header) - notice_length
    if not body or room <= 0:
        return text[:max_length]
    average = sum(len(line) + 1 for line in body) / len(body)
    target = max(1, math.floor(room / average))
    if target >= len(body):
        return text[:max_length]
    for _ in range(_ATTEMPTS):
        kept = [body[index * len(body) // target] for index in range(target)]
        notice = _notice(round(100 * (len(header) + target) / len(lines)), len(lines))
        shorter = "\n".join([*header[:2], notice, *header[2:], *kept])
        if len(shorter) <= max_length:
            return shorter
        target = max(1, math.floor(target * max_length / len(shorter) * 0.9))
    return shorter[:max_length]


def sampled_to_tokens(text: str, max_tokens: int, count_tokens: Callable[[str], int]) -> str:
    """The text thinned out until it has at most so many tokens; the longest such text is sought, within 2 %."""
    tokens = count_tokens(text)
    length = len(text)
    shorter = text
    while tokens > max_tokens:
        length = min(length - 1, int(length * max_tokens / tokens * 0.99))
        shorter = sampled(text, length)
        tokens = count_tokens(shorter)
    return shorter


def _notice(percent: int, line_count: int) -> str:
    return f"[SAMPLED VIEW: ~{percent}% of {line_count:,} lines; gaps in the numbers are lines left out]"


def _numbered(lines: Sequence[str]) -> str:
    width = len(str(len(lines)))
    return "\n".join(f"L{number:0{width}}: {line}" for number, line in enumerate(lines, start=1))


def _node_lines(event: TraceEvent, *, is_last: bool) -> Iterator[str]:
    branch, margin = ("└─", " ") if is_last else ("├─", "│")
    prefix = _PREFIX_BY_EVENT.get(event.event)
    if prefix is None:
        yield f"{branch} [EVENT] {event.event}"
        return
    yield f"{branch} [+] [{prefix}] {_summary(event)}"
    for line in _event_text(event).split("\n"):
        yield f"{margin}      {line}".rstrip()


def _summary(event: TraceEvent) -> str:
    properties = event.properties
    model = properties.get("$ai_model")
    facts = []
    if (latency := properties.get("$ai_latency")) is not None:
        facts.append(_formatted(latency, "{:.2f}s"))
    if event.event == "$ai_generation" and (first := properties.get("$ai_time_to_first_token")) is not None:
        facts.append(_formatted(first, "TTFT: {:.2f}s"))
    if event.event != "$ai_span":
        if (cost := properties.get("$ai_total_cost_usd")) is not None:
            facts.append(_formatted(cost, "${:.4f}"))
        facts += [str(model)] if model else []
    facts += ["ERROR"] if properties.get("$ai_is_error") else []
    default = "span" if event.event == "$ai_span" else model or event.event.removeprefix("$ai_")
    name = str(properties.get("$ai_span_name") or default)
    return f"{name} ({', '.join(facts)})" if facts else name


def _formatted(value: object, form: str) -> str:
    try:
        return form.format(float(str(value)))
    except ValueError:
        return str(value)


def _event_text(event: TraceEvent) -> str:
    properties = event.properties
    if event.event == "$ai_span":
        return _span_text(properties)
    if event.event == "$ai_evaluation":
        return _evaluation_text(properties)
    output = "[an embedding vector]" if event.event == "$ai_embedding" else output_text(properties)
    value = properties.get("$ai_input")
    sections = [
        tools_text(properties.get("$ai_tools")),
        f"INPUT:\n\n{input_text(value)}" if value else "",
        f"OUTPUT:\n\n{output}" if output else "",
        _error_text(properties, says_flag=True),
    ]
    return "\n\n".join(f"{RULE}\n\n{section}" for section in sections if section)


def _span_text(properties: Mapping[str, object]) -> str:
    head = f"{str(properties.get('$ai_span_name') or 'SPAN').upper()}\n{_DOUBLE_RULE}"
    sections = [_error_text(properties, says_flag=False)]
    for title, key in (("INPUT STATE", "$ai_input_state"), ("OUTPUT STATE", "$ai_output_state")):
        state = properties.get(key)
        sections.append(f"{title}:\n\n{_state_text(state)}" if state else "")
    return "\n".join([head, *(f"{RULE}\n\n{section}\n" for section in sections if section)]).rstrip("\n")


def _evaluation_text(properties: Mapping[str, object]) -> str:
    facts = [f"EVALUATION: {properties.get('$ai_evaluation_name')}"]
    result = "N/A" if properties.get("$ai_evaluation_applicable") is False else properties.get("$ai_evaluation_result")
    facts.append(f"Result: {'UNKNOWN' if result is None else str(result).lower()}")
    facts.append(f"Reasoning: {properties.get('$ai_evaluation_reasoning') or ''}")
    return " | ".join(facts)


def _state_text(state: object) -> str:
    if isinstance(state, str):
        parsed = _parsed(state)
        if not isinstance(parsed, dict | list):
            return cut(state)
        state = parsed
    if isinstance(state, list) and state and all(isinstance(item, dict) and "role" in item for item in state):
        return messages_text(state)
    if isinstance(state, dict):
        if state.get("__type") == "tool_call_with_context":
            inner = state.get("state")
            shown = _state_text(inner) if inner else ""
            return f"{shown}\n\nTool Call:\n\n{cut(pretty(state.get('tool_call')))}"
        if isinstance(state.get("messages"), list):
            return messages_text(state["messages"])
        if state.get("type") == "tool":
            return f"[TOOL RESULT] {state.get('name')} ({state.get('status')})\n\n{cut(str(state.get('content')))}"
    return cut(pretty(state))


def _parsed(text: str) -> object:
    """The object or list that a string holds as JSON or as a Python literal, else None."""
    if text[:1] not in ("{", "["):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in a text that was never meant as Python
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _error_text(properties: Mapping[str, object], *, says_flag: bool) -> str:
    error = properties.get("$ai_error")
    if isinstance(error, str):
        parsed = _parsed(error)
        error = parsed if isinstance(parsed, dict) else error
    if isinstance(error, dict | list) and error:
        return "\n".join(["ERROR:", "", *_outline(error, "")])
    if error:
        return f"ERROR:\n\n{error}"
    return "ERROR:\n\nAn error without details." if says_flag and properties.get("$ai_is_error") else ""


def _outline(value: object, indent: str) -> Iterator[str]:
    """Nested data as indented `key: value` and `- item` lines."""
    members: Iterable[tuple[object, object]] = ()
    if isinstance(value, dict):
        members = value.items()
    elif isinstance(value, list):
        members = ((None, item) for item in value)
    for key, item in members:
        mark = "-" if key is None else f"{key}:"
        if isinstance(item, dict | list) and item:
            yield f"{indent}{mark}"
            yield from _outline(item, indent + "  ")
        else:
            yield f"{indent}{mark} {item}"

"""One event as lines: what it is, what went in, what came out, what went wrong."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

from trace_summarization.models import TraceEvent
from trace_summarization.text_repr.blocks import signature
from trace_summarization.text_repr.entries import Conversation, Message, is_empty, name_of
from trace_summarization.text_repr.failures import error_text
from trace_summarization.text_repr.lines import Kind, LineWriter, line_range
from trace_summarization.text_repr.messages import is_conversation, messages_of
from trace_summarization.text_repr.plain_text import compact_json, equality_key
from trace_summarization.text_repr.tools import catalogue
from trace_summarization.text_repr.tree import Node, seconds_of

_GENERATION = "$ai_generation"
_EMBEDDING = "$ai_embedding"
_SPAN = "$ai_span"
_INPUT_KEYS = ("$ai_input", "$ai_input_state")
_OUTPUT_KEYS = ("$ai_output_choices", "$ai_output", "$ai_output_state")
# Said in the heading line, part of the tree, or of no use to a reader. Every other `$ai_*` property is printed.
_SILENT_PROPERTIES = frozenset(
    {
        *_INPUT_KEYS,
        *_OUTPUT_KEYS,
        "$ai_base_url",
        "$ai_cache_creation_input_tokens",
        "$ai_cache_read_input_tokens",
        "$ai_cache_reporting_exclusive",
        "$ai_error",
        "$ai_evaluation_id",
        "$ai_evaluation_run_id",
        "$ai_framework",
        "$ai_generation_id",
        "$ai_http_status",
        "$ai_ingestion_source",
        "$ai_input_cost_usd",
        "$ai_input_tokens",
        "$ai_is_error",
        "$ai_latency",
        "$ai_lib",
        "$ai_lib_version",
        "$ai_model",
        "$ai_output_cost_usd",
        "$ai_output_tokens",
        "$ai_parent_id",
        "$ai_provider",
        "$ai_reasoning_tokens",
        "$ai_request_url",
        "$ai_session_id",
        "$ai_span_id",
        "$ai_span_name",
        "$ai_time_to_first_token",
        "$ai_tools",
        "$ai_total_cost_usd",
        "$ai_total_tokens",
        "$ai_trace_id",
        "$ai_trace_name",
    }
)
_INPUT_LABELS = {_GENERATION: ("user", ""), _EMBEDDING: ("input", "")}  # role of what names none, prefix
_SMALLEST_HTTP_ERROR = 400
_NO_ERROR = frozenset({"false", "none", "null", "0"})
_BILLED = frozenset({_GENERATION, _EMBEDDING})  # spans around them record the same tokens and costs again
_SMALLEST_COST_USD = 1e-9


class EventRenderer:
    """Writes events one after the other; what it has learned of tool calls is used further on."""

    def __init__(self, writer: LineWriter, conversation: Conversation) -> None:
        self._writer = writer
        self._conversation = conversation
        self._last_tools: bytes | None = None

    def trace_start(self, properties: Mapping[str, object]) -> None:
        """The trace's own input and error."""
        self._values(_recorded(properties, _INPUT_KEYS), "", "trace input ")
        self._error(properties, "trace error")
        self._others(properties)

    def trace_end(self, properties: Mapping[str, object]) -> None:
        """The trace's own output."""
        self._values(_recorded(properties, _OUTPUT_KEYS), "", "trace output ")

    def event(self, node: Node) -> None:
        """One event's heading, tools, input, error, output and whatever else it records."""
        properties = node.event.properties
        is_generation = node.event.event == _GENERATION
        self._writer.structure(_heading(node))
        self._tools(properties.get("$ai_tools"))
        self._input(node.event)
        self._error(properties, "error")
        outputs = _recorded(properties, _OUTPUT_KEYS)
        if node.event.event == _EMBEDDING and outputs:
            outputs = ["[a vector]"]
        self._values(outputs, "assistant" if is_generation else "", "output ")
        if is_generation and not outputs and not _has_error(properties):
            self._writer.structure("output: [not recorded]")
        self._others(properties)

    def _input(self, event: TraceEvent) -> None:
        """What went in; of a tool's span, where the call that it runs stands already, just that."""
        values = _recorded(event.properties, _INPUT_KEYS)
        if event.event == _SPAN and len(values) == 1 and isinstance(values[0], dict):
            called = self._writer.known(signature(name_of(event.properties.get("$ai_span_name")), values[0]))
            if called is not None:
                self._writer.structure(f"input: [as in {line_range(*called)}]", Kind.POINTER, [called])
                return
        # The texts of an embedding are each a line of their own, not data to be printed as JSON.
        role, prefix = _INPUT_LABELS.get(event.event, ("", "input "))
        self._values(values, role, prefix)

    def _tools(self, tools: object) -> None:
        """The tools, where they are not those of the event before."""
        if is_empty(tools):
            return
        key = equality_key(tools)
        if key is None or key != self._last_tools:
            self._last_tools = key
            self._writer.entry("tools", catalogue(tools))

    def _values(self, values: Sequence[object], role: str, prefix: str) -> None:
        """What an event records under one or several names, each once."""
        told: list[list[Message]] = []
        for value in values:
            # A tool's arguments or result is data, not a conversation.
            is_data = role == "" and isinstance(value, dict | list) and not is_conversation(value)
            messages = messages_of(compact_json(value) if is_data else value, role, self._conversation)
            if messages not in told:
                self._writer.messages(messages, prefix)
                told.append(messages)

    def _error(self, properties: Mapping[str, object], label: str) -> None:
        error = properties.get("$ai_error")
        if not _is_no_error(error):
            self._writer.entry(label, error_text(error))
        elif _has_error(properties):
            self._writer.structure(f"{label}: [no details recorded]", Kind.ERROR)

    def _others(self, properties: Mapping[str, object]) -> None:
        """Properties no rule knows, such as an evaluation's result or a user's feedback."""
        telling = [key for key in properties if key not in _SILENT_PROPERTIES and str(key).startswith("$ai_")]
        for key in telling:
            value = properties[key]
            if not is_empty(value):
                text = value if isinstance(value, str) else compact_json(value)
                self._writer.entry(str(key).removeprefix("$ai_").replace("_", " "), text)


def _recorded(properties: Mapping[str, object], keys: Sequence[str]) -> list[object]:
    return [value for key in keys if not is_empty(value := properties.get(key))]


def _is_no_error(error: object) -> bool:
    """Nothing, or the way some SDKs write that there was none."""
    return is_empty(error) or error is False or error == 0 or (isinstance(error, str) and error.lower() in _NO_ERROR)


def trace_facts(properties: Mapping[str, object], events: Sequence[TraceEvent]) -> str:
    """How many events of which kind, errors, duration, tokens and cost in sum."""
    kinds = Counter([_kind(event.event) for event in events])
    facts = [f"{count:,} {kind}{'' if count == 1 else 's'}" for kind, count in sorted(kinds.items())] or ["no events"]
    errors = sum(_has_error(event.properties) for event in events)
    if errors:
        facts.append(f"{errors:,} error{'' if errors == 1 else 's'}")
    totals = {key: _total(events, key) for key in ("$ai_input_tokens", "$ai_output_tokens", "$ai_total_cost_usd")}
    return ", ".join(facts + _numbers({**totals, "$ai_latency": properties.get("$ai_latency")}))


def _heading(node: Node) -> str:
    properties = node.event.properties
    model = name_of(properties.get("$ai_model"))
    name = name_of(properties.get("$ai_span_name"))
    facts = [f"in #{node.parent}"] if node.parent else []
    if model and name:
        facts.append(model)
    facts += _numbers(properties)
    status = seconds_of(properties.get("$ai_http_status"))
    if status is not None and status >= _SMALLEST_HTTP_ERROR:
        facts.append(f"status {status:.0f}")
    if _has_error(properties):
        facts.append("error")
    heading = f"#{node.number} {_kind(node.event.event)} {name or model}".rstrip()
    return f"{heading} ({', '.join(facts)})" if facts else heading


@lru_cache(maxsize=64)
def _kind(event_name: str) -> str:
    return name_of(event_name.removeprefix("$ai_")) or "event"


def _numbers(properties: Mapping[str, object]) -> list[str]:
    facts = []
    latency = seconds_of(properties.get("$ai_latency"))
    if latency is not None:
        facts.append(f"{latency:.3g} s" if latency < 1_000 else f"{latency:,.0f} s")
    tokens = [seconds_of(properties.get(key)) for key in ("$ai_input_tokens", "$ai_output_tokens")]
    if any(count is not None for count in tokens):
        into, out = ("?" if count is None else f"{count:.0f}" for count in tokens)
        facts.append(f"{into} -> {out} tokens")
    cost = seconds_of(properties.get("$ai_total_cost_usd"))
    if cost is not None and cost >= _SMALLEST_COST_USD:
        facts.append(f"${cost:,.2f}" if cost >= 1 else f"${float(f'{cost:.2g}'):.9f}".rstrip("0"))
    return facts


def _total(events: Sequence[TraceEvent], key: str) -> float | None:
    billed = [event for event in events if event.event in _BILLED] or events
    values = [value for event in billed if (value := seconds_of(event.properties.get(key))) is not None]
    return sum(values) if values else None


def _has_error(properties: Mapping[str, object]) -> bool:
    flag = properties.get("$ai_is_error")
    if isinstance(flag, str):
        flag = _flag_of(flag)
    return bool(flag) or not _is_no_error(properties.get("$ai_error"))


def _flag_of(text: str) -> bool:
    try:
        return bool(json.loads(text.lower()))
    except (ValueError, RecursionError):
        return False

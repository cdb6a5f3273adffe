"""The tree of a trace's events, in reading order."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from trace_summarization.models import TraceEvent

_NUMERIC = (int, float, str)  # a union would be made anew for each of the many values asked
_ID_KEYS = ("$ai_span_id", "$ai_generation_id")


class Node(NamedTuple):
    """An event in reading order. `number` counts from 1; `parent` is the parent's number, None for a root."""

    number: int
    parent: int | None
    event: TraceEvent


def reading_order(trace_id: str, events: Sequence[TraceEvent]) -> list[Node]:
    """Events depth first, siblings by start. Orphans are roots; of a cycle its earliest event is.

    Where ids repeat, children belong to the event that starts first. Linear but for one sort; no recursion.
    """
    ordered = sorted(events, key=_start_key)
    position_by_id = _positions(ordered)
    children: dict[int, list[int]] = defaultdict(list)
    roots: list[int] = []
    for position, event in enumerate(ordered):
        parent_id = _text_id(event.properties.get("$ai_parent_id"))
        parent = position_by_id.get(parent_id) if parent_id and parent_id != trace_id else None
        if parent is None or parent == position:
            roots.append(position)
        else:
            children[parent].append(position)
    nodes: list[Node] = []
    number_of: dict[int, int] = {}
    for root in roots:
        _walk(root, ordered, children, number_of, nodes)
    if len(nodes) < len(ordered):  # a cycle kept some out of reach: each is tried as a root
        for root in range(len(ordered)):
            _walk(root, ordered, children, number_of, nodes)
    return nodes


def seconds_of(value: object) -> float | None:
    """A recorded duration, count or price as a finite number of at least 0; None when it is none."""
    if value is None or isinstance(value, bool) or not isinstance(value, _NUMERIC):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _walk(
    root: int,
    ordered: Sequence[TraceEvent],
    children: Mapping[int, list[int]],
    number_of: dict[int, int],
    nodes: list[Node],
) -> None:
    stack: list[tuple[int, int | None]] = [(root, None)]
    while stack:
        position, parent = stack.pop()
        if position in number_of:
            continue
        number_of[position] = len(nodes) + 1
        nodes.append(Node(number_of[position], parent, ordered[position]))
        stack.extend((child, number_of[position]) for child in reversed(children.get(position, ())))


def _positions(ordered: Sequence[TraceEvent]) -> dict[str, int]:
    positions: dict[str, int] = {}
    for position, event in enumerate(ordered):
        for key in _ID_KEYS:
            name = _text_id(event.properties.get(key))
            if name:
                positions.setdefault(name, position)
        if event.uuid:
            positions.setdefault(event.uuid, position)
    return positions


def _text_id(value: object) -> str:
    if isinstance(value, str):
        return str(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _start_key(event: TraceEvent) -> tuple[float, float, bool, str]:
    """Start, then the longest first: parents before their children.

    SDKs stamp the end of a call, OpenTelemetry its start.

    Where neither tells two events apart, tool calls come first: a generation stamped with the same moment has read
    their results.
    """
    ended = _epoch(event.timestamp)
    latency = seconds_of(event.properties.get("$ai_latency")) or 0.0
    begun = ended if event.properties.get("$ai_ingestion_source") == "otel" else ended - latency
    # Rounded: floating point must not tear apart what started in the same microsecond.
    return (round(begun, 6), -latency, event.event == "$ai_generation", event.uuid)


def _epoch(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

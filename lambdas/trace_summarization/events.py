"""The `$ai_trace_summary` event: its identity, its properties, and when an earlier one still holds."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid5

from trace_summarization import constants as c
from trace_summarization.models import (
    Mode,
    ModelUsage,
    StoredSummary,
    SummaryEvent,
    SummaryItem,
    TeamRun,
    TraceExtent,
    TraceSummary,
)
from trace_summarization.timestamps import format_microseconds, format_rfc3339, parse_microseconds

FINGERPRINT_PROPERTY = "$ai_summary_fingerprint"
KEYWORDS_PROPERTY = "$ai_summary_keywords"


@dataclass(frozen=True)
class SummaryIdentity:
    """What a summary was made from. When nothing of it changed, the stored summary still holds."""

    text: str
    mode: Mode
    requested_model: str
    provider: str

    @property
    def content_hash(self) -> str:
        """SHA-256 of the text that the model saw, in hex."""
        return _sha256(self.text)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over text, mode, model, provider and prompt version, in hex."""
        parts = [self.content_hash, self.mode, self.requested_model, self.provider, c.PROMPT_VERSION]
        return _sha256(json.dumps(parts))


def summary_event_id(team_id: int, trace_id: str, mode: Mode) -> str:
    """UUIDv5 of (team, trace, mode): a rerun writes the same event again instead of another one."""
    return str(uuid5(c.SUMMARY_ID_NAMESPACE, json.dumps([team_id, trace_id, mode])))


def summary_distinct_id(team_id: int) -> str:
    """`distinct_id` of a team's summary events."""
    return f"trace_summary_{team_id}"


def summary_event(
    run: TeamRun,
    trace_id: str,
    summary: TraceSummary,
    keywords: str,
    usage: ModelUsage,
    identity: SummaryIdentity,
    extent: TraceExtent,
    timestamp: datetime,
    summarized_at: datetime,
) -> SummaryEvent:
    """The event to store. `timestamp` is the trace's first event's, or the stored summary's when there is one."""
    properties: dict[str, Any] = {
        "$ai_trace_id": trace_id,
        "$ai_batch_run_id": run.batch_run_id,
        "$ai_summary_mode": run.mode,
        "$ai_summary_title": summary.title,
        "$ai_summary_flow_diagram": summary.flow_diagram,
        "$ai_summary_bullets": _items_json(summary.bullets),
        "$ai_summary_interesting_notes": _items_json(summary.interesting_notes),
        KEYWORDS_PROPERTY: keywords,
        "$ai_summary_line_refs_valid": summary.line_refs_valid,
        "$ai_summary_line_refs_total": summary.line_refs_total,
        "$ai_text_repr_length": len(identity.text),
        "$ai_event_count": extent.event_count,
        "trace_timestamp": format_microseconds(extent.first_event),
        "$ai_window_start": format_rfc3339(run.window_start),
        "$ai_window_end": format_rfc3339(run.window_end),
        "$ai_execution_id": run.execution_id,
        "$ai_summary_model": usage.model,
        "$ai_summary_requested_model": identity.requested_model,
        "$ai_summary_provider": identity.provider,
        "$ai_summary_prompt_version": c.PROMPT_VERSION,
        "$ai_summary_content_hash": identity.content_hash,
        FINGERPRINT_PROPERTY: identity.fingerprint,
        "$ai_summary_input_tokens": usage.input_tokens,
        "$ai_summary_cached_input_tokens": usage.cached_input_tokens,
        "$ai_summary_output_tokens": usage.output_tokens,
        "$ai_summary_calls": usage.calls,
        "$ai_summary_cost_usd": usage.cost_usd,
        "$ai_summarized_at": format_microseconds(summarized_at),
    }
    return SummaryEvent(
        uuid=summary_event_id(run.team_id, trace_id, run.mode),
        team_id=run.team_id,
        distinct_id=summary_distinct_id(run.team_id),
        timestamp=timestamp,
        properties=properties,
    )


def still_holds(stored: StoredSummary, identity: SummaryIdentity, trace_id: str) -> bool:
    """Whether the stored summary was made from exactly this and is whole: then nothing has to be paid for again.

    A row that somebody damaged, or wrote under our id, does not hold: it is replaced by a sound one.
    """
    properties = stored.properties
    if properties.get(FINGERPRINT_PROPERTY) != identity.fingerprint or properties.get("$ai_trace_id") != trace_id:
        return False
    if not all(_is_text(properties.get(name)) for name in _READ_FROM_STORED) or (
        properties["$ai_summary_mode"] != identity.mode
    ):
        return False
    # A summary of before there were keywords holds without.
    if not _is_text(properties.get(KEYWORDS_PROPERTY, "")):
        return False
    try:
        parse_microseconds(properties["$ai_summarized_at"])
        summary = summary_of(properties)
    except (KeyError, TypeError, ValueError, RecursionError):
        return False
    items = (*summary.bullets, *summary.interesting_notes)
    return bool(summary.bullets) and all(_is_text(item.text) and _is_text(item.line_refs) for item in items)


def summary_of(properties: Mapping[str, Any]) -> TraceSummary:
    """The summary that an event's properties hold.

    Raises KeyError, TypeError, ValueError or RecursionError when they hold none.
    """
    return TraceSummary(
        title=properties["$ai_summary_title"],
        flow_diagram=properties["$ai_summary_flow_diagram"],
        bullets=_items(properties["$ai_summary_bullets"]),
        interesting_notes=_items(properties["$ai_summary_interesting_notes"]),
        line_refs_valid=properties.get("$ai_summary_line_refs_valid"),
        line_refs_total=properties.get("$ai_summary_line_refs_total"),
    )


# What an embedding request is built from, besides bullets and notes.
_READ_FROM_STORED = (
    "$ai_trace_id",
    "$ai_batch_run_id",
    "$ai_summary_mode",
    "$ai_summary_title",
    "$ai_summary_flow_diagram",
    "$ai_summary_bullets",
    "$ai_summary_interesting_notes",
    "$ai_window_start",
    "$ai_window_end",
    "$ai_summarized_at",
)


def _is_text(value: object) -> bool:
    """Whether it is a string that can be written as UTF-8."""
    return isinstance(value, str) and value.encode("utf-8", "ignore").decode() == value


def _items_json(items: tuple[SummaryItem, ...]) -> str:
    return json.dumps([item.as_dict() for item in items], ensure_ascii=False)


def _items(stored: str) -> tuple[SummaryItem, ...]:
    # Items stored before references were checked do not say whether they are verified: they are not.
    return tuple(
        SummaryItem(item["text"], item["line_refs"], item.get("verified", False) is True) for item in json.loads(stored)
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

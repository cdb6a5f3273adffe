"""The summary event: the same trace gives the same event, and a stored summary holds only when nothing changed."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from embedding.requests import content_hash, document_content, embedding_request, encode, message_key
from trace_summarization import constants as c
from trace_summarization.events import SummaryIdentity, still_holds, summary_event, summary_event_id, summary_of
from trace_summarization.models import ModelUsage, StoredSummary, SummaryEvent, SummaryItem, TraceExtent, TraceSummary
from trace_summarization.planning import team_run
from trace_summarization.prompts import SUMMARY_SIZES

FIRST = datetime(2025, 1, 15, 11, 3, 4, 567890, tzinfo=UTC)
RUN, _ = team_run({"team_id": 42}, "2025-01-15T12:00:00Z", "arn:execution", 110)
IDENTITY = SummaryIdentity(text="L1: text", mode="detailed", requested_model="gpt-4.1-mini", provider="api.openai.com")
SUMMARY = TraceSummary(
    title='Refund for "Ada"',
    flow_diagram="flowchart TD\n  a --> b",
    bullets=(SummaryItem("Asked for a refund ✓", "L1, L3-5", verified=True), SummaryItem("Got it", "", verified=False)),
    interesting_notes=(SummaryItem("Polite", "L2", verified=True),),
    line_refs_valid=3,
    line_refs_total=4,
)


def event(summarized_at: datetime = FIRST + timedelta(hours=1)) -> SummaryEvent:
    return summary_event(
        RUN,
        "trace-1",
        SUMMARY,
        "refund order w2890441",
        ModelUsage("gpt-4.1-mini-2025-04-14", 812, 64),
        IDENTITY,
        TraceExtent(FIRST, FIRST + timedelta(minutes=2), 7, 1_000),
        timestamp=FIRST,
        summarized_at=summarized_at,
    )


def test_the_id_is_a_uuid5_of_team_trace_and_mode() -> None:
    assert UUID(event().uuid).version == 5
    assert event().uuid == summary_event_id(42, "trace-1", "detailed")
    others = {summary_event_id(t, i, m) for t in (1, 11) for i in ("1", "11", '1"') for m in ("detailed", "minimal")}
    assert len(others) == 12


def test_the_event_carries_every_property() -> None:
    properties = event().properties
    assert json.loads(properties["$ai_summary_bullets"]) == [
        {"text": "Asked for a refund ✓", "line_refs": "L1, L3-5", "verified": True},
        {"text": "Got it", "line_refs": "", "verified": False},
    ]
    assert json.loads(properties["$ai_summary_interesting_notes"]) == [
        {"text": "Polite", "line_refs": "L2", "verified": True}
    ]
    assert {name: value for name, value in properties.items() if not name.endswith(("bullets", "notes"))} == {
        "$ai_trace_id": "trace-1",
        "$ai_batch_run_id": "team_42_2025-01-15T11:50:00Z",
        "$ai_summary_mode": "detailed",
        "$ai_summary_title": 'Refund for "Ada"',
        "$ai_summary_flow_diagram": "flowchart TD\n  a --> b",
        "$ai_summary_keywords": "refund order w2890441",
        "$ai_summary_line_refs_valid": 3,
        "$ai_summary_line_refs_total": 4,
        "$ai_text_repr_length": 8,
        "$ai_event_count": 7,
        "trace_timestamp": "2025-01-15T11:03:04.567890Z",
        "$ai_window_start": "2025-01-15T10:50:00Z",
        "$ai_window_end": "2025-01-15T11:50:00Z",
        "$ai_execution_id": "arn:execution",
        "$ai_summary_model": "gpt-4.1-mini-2025-04-14",
        "$ai_summary_requested_model": "gpt-4.1-mini",
        "$ai_summary_provider": "api.openai.com",
        "$ai_summary_prompt_version": c.PROMPT_VERSION,
        "$ai_summary_content_hash": IDENTITY.content_hash,
        "$ai_summary_fingerprint": IDENTITY.fingerprint,
        "$ai_summary_input_tokens": 812,
        "$ai_summary_cached_input_tokens": None,
        "$ai_summary_output_tokens": 64,
        "$ai_summary_calls": 1,
        "$ai_summary_cost_usd": None,
        "$ai_summarized_at": "2025-01-15T12:03:04.567890Z",
    }
    assert event().distinct_id == "trace_summary_42"


def stored_with(**changes: object) -> StoredSummary:
    properties = {**event().properties, **{f"$ai_{name}": value for name, value in changes.items()}}
    return StoredSummary(FIRST, {name: value for name, value in properties.items() if value != "absent"})


def test_a_stored_summary_holds_while_nothing_it_was_made_from_changed() -> None:
    stored = StoredSummary(FIRST, json.loads(json.dumps(dict(event().properties))))
    assert still_holds(stored, IDENTITY, "trace-1")


def test_a_summary_of_before_references_were_checked_is_read_as_not_verified() -> None:
    stored = dict(event().properties)
    for name in ("$ai_summary_line_refs_valid", "$ai_summary_line_refs_total"):
        del stored[name]
    stored["$ai_summary_bullets"] = '[{"text": "Asked for a refund", "line_refs": "L1"}]'
    read = summary_of(stored)
    assert read.bullets == (SummaryItem("Asked for a refund", "L1", verified=False),)
    assert (read.line_refs_valid, read.line_refs_total) == (None, None)
    assert still_holds(stored_with(summary_bullets=stored["$ai_summary_bullets"]), IDENTITY, "trace-1")


def test_a_stored_summary_is_read_back_as_it_was() -> None:
    assert summary_of(event().properties) == SUMMARY


@pytest.mark.parametrize(
    "change",
    [{"text": "L1: other"}, {"mode": "minimal"}, {"requested_model": "gpt-4o"}, {"provider": "offline"}],
)
def test_a_change_of_text_mode_model_or_provider_asks_for_a_new_summary(change: dict[str, str]) -> None:
    changed = dataclasses.replace(IDENTITY, **change)  # type: ignore[arg-type] # by name
    assert not still_holds(stored_with(), changed, "trace-1")


@pytest.mark.parametrize(
    "damage",
    [
        {"trace_id": "another"},
        {"trace_id": "absent"},
        {"batch_run_id": "absent"},
        {"window_start": None},
        {"window_end": 5},
        {"summarized_at": "absent"},
        {"summarized_at": "yesterday"},
        {"summary_mode": "minimal"},
        {"summary_mode": "absent"},
        {"summary_title": None},
        {"summary_title": "\ud800"},
        {"summary_bullets": "not JSON"},
        {"summary_bullets": "{}"},
        {"summary_bullets": "[]"},
        {"summary_bullets": "[1]"},
        {"summary_bullets": '[{"text": null, "line_refs": ""}]'},
        {"summary_bullets": '[{"text": "\\ud800", "line_refs": ""}]'},
        {"summary_bullets": '[{"text": "x"}]'},
        {"summary_bullets": "[" * 100_000},
        {"summary_bullets": [{"text": "x", "line_refs": ""}]},
        {"summary_interesting_notes": "absent"},
        {"summary_flow_diagram": 7},
        {"summary_keywords": 17},
        {"summary_keywords": "\ud800"},
    ],
)
def test_a_damaged_summary_does_not_hold(damage: dict[str, object]) -> None:
    assert not still_holds(stored_with(**damage), IDENTITY, "trace-1")


def test_the_embedded_text_has_no_diagram_and_no_line_references() -> None:
    assert document_content(SUMMARY) == ('Refund for "Ada"\n- Asked for a refund ✓\n- Got it\nNotes:\n- Polite')


def test_the_embedding_request_is_version_1() -> None:
    properties = event().properties
    content = document_content(SUMMARY)
    assert embedding_request(42, FIRST, properties, ["text-embedding-3-small-1536"]) == {
        "version": 1,
        "team_id": 42,
        "product": "llm-analytics",
        "document_type": "llm-trace-summary",
        "rendering": "llma_trace_detailed",
        "document_id": "trace-1",
        "timestamp": "2025-01-15T11:03:04.567890Z",
        "summarized_at": "2025-01-15T12:03:04.567890Z",
        "content_hash": content_hash(content),
        "content": content,
        "keywords": "refund order w2890441",
        "metadata": {
            "batch_run_id": "team_42_2025-01-15T11:50:00Z",
            "window_start": "2025-01-15T10:50:00Z",
            "window_end": "2025-01-15T11:50:00Z",
        },
        "models": ["text-embedding-3-small-1536"],
    }


@pytest.mark.parametrize("keywords", ["absent", 17, None, ["w2890441"]])
def test_a_request_for_an_event_without_keywords_has_none(keywords: object) -> None:
    request = embedding_request(42, FIRST, stored_with(summary_keywords=keywords).properties, ["m"])
    assert request["keywords"] == ""


def test_a_summary_of_before_there_were_keywords_holds() -> None:
    assert still_holds(stored_with(summary_keywords="absent"), IDENTITY, "trace-1")


def test_keywords_do_not_change_what_is_embedded() -> None:
    without = embedding_request(42, FIRST, stored_with(summary_keywords="absent").properties, ["m"])
    assert without["content_hash"] == embedding_request(42, FIRST, event().properties, ["m"])["content_hash"]


def test_a_summary_at_all_its_limits_fits_into_a_message() -> None:
    item = SummaryItem("漢" * c.MAX_ITEM_LENGTH, "L1", verified=True)
    size = SUMMARY_SIZES["detailed"]
    largest = summary_event(
        RUN,
        "\U00020000" * c.MAX_TRACE_ID_LENGTH,
        dataclasses.replace(SUMMARY, bullets=(item,) * size.most_bullets, interesting_notes=(item,) * size.most_notes),
        "\U00020000" * c.MAX_KEYWORDS_LENGTH,
        ModelUsage("m", 1, 1),
        IDENTITY,
        TraceExtent(FIRST, FIRST, 7, 1_000),
        timestamp=FIRST,
        summarized_at=FIRST,
    )
    message = embedding_request(c.MAX_TEAM_ID, FIRST, largest.properties, ["m" * 128] * 10)
    assert len(encode(message)) < c.MAX_KAFKA_MESSAGE_BYTES / 4


def test_a_rerun_queues_the_same_bytes() -> None:
    stored = json.loads(json.dumps(dict(event().properties)))
    first = embedding_request(42, FIRST, event().properties, ["m"])
    again = embedding_request(42, FIRST, stored, ["m"])
    assert encode(first) == encode(again)
    assert message_key(first) == message_key(again) == '[42, "trace-1", "llma_trace_detailed"]'

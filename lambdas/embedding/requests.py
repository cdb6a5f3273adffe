"""Embedding requests: the message on `document_embeddings_input`, version 1."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from trace_summarization import constants as c
from trace_summarization.events import KEYWORDS_PROPERTY, summary_of
from trace_summarization.models import Mode, TraceSummary
from trace_summarization.timestamps import format_microseconds


def rendering(mode: Mode) -> str:
    """The `rendering` of a summary's document: `llma_trace_detailed` or `llma_trace_minimal`."""
    return f"llma_trace_{mode}"


def document_content(summary: TraceSummary) -> str:
    """The text to embed: title, bullets, notes. Line references and the diagram would only add layout noise."""
    sections = [summary.title, *(f"- {item.text}" for item in summary.bullets)]
    if summary.interesting_notes:
        sections += ["Notes:", *(f"- {item.text}" for item in summary.interesting_notes)]
    return "\n".join(sections)


def content_hash(content: str) -> str:
    """SHA-256 of a document's content, in hex."""
    return hashlib.sha256(content.encode()).hexdigest()


def embedding_request(
    team_id: int, timestamp: datetime, properties: Mapping[str, Any], models: Sequence[str]
) -> dict[str, Any]:
    """The message for a summary event, built from the event alone, so that a rerun queues the same message."""
    content = document_content(summary_of(properties))
    return {
        "version": c.EMBEDDING_MESSAGE_VERSION,
        "team_id": team_id,
        "product": c.EMBEDDING_PRODUCT,
        "document_type": c.EMBEDDING_DOCUMENT_TYPE,
        "rendering": rendering(properties["$ai_summary_mode"]),
        "document_id": properties["$ai_trace_id"],
        "timestamp": format_microseconds(timestamp),
        "summarized_at": properties["$ai_summarized_at"],
        "content_hash": content_hash(content),
        "content": content,
        "keywords": _keywords(properties),
        "metadata": {
            "batch_run_id": properties["$ai_batch_run_id"],
            "window_start": properties["$ai_window_start"],
            "window_end": properties["$ai_window_end"],
        },
        "models": list(models),
    }


def _keywords(properties: Mapping[str, Any]) -> str:
    """Nothing for events that have none, or none that we wrote."""
    keywords = properties.get(KEYWORDS_PROPERTY)
    return keywords[: c.MAX_KEYWORDS_LENGTH] if isinstance(keywords, str) else ""


def encode(message: Mapping[str, Any]) -> bytes:
    """The message as it travels: compact UTF-8 JSON."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def message_key(message: Mapping[str, Any]) -> str:
    """One partition per document, so that its requests stay in order."""
    return json.dumps([message["team_id"], message["document_id"], message["rendering"]], ensure_ascii=False)

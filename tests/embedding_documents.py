"""Documents and messages for tests of the embedding worker."""

import dataclasses
from datetime import UTC, datetime
from typing import Any

from embedding.ports import Document
from embedding.requests import content_hash
from embedding.words import searchable
from trace_summarization import constants as c

MODEL = "test-embedding-4"


def document(document_id: str = "trace-1", content: str = "Refund asked for", **changes: Any) -> Document:
    """A document of team 1, 15 January 2025; hash and words are its content's unless given."""
    plain = Document(
        team_id=1,
        product=c.EMBEDDING_PRODUCT,
        document_type=c.EMBEDDING_DOCUMENT_TYPE,
        model_name=MODEL,
        rendering="llma_trace_detailed",
        document_id=document_id,
        timestamp=datetime(2025, 1, 15, 14, 10, 0, 123_456, tzinfo=UTC),
        summarized_at=datetime(2025, 1, 15, 15, 0, tzinfo=UTC),
        content_hash=content_hash(content),
        content=content,
        words=searchable(content),
        metadata='{"batch_run_id":"team_1"}',
    )
    return dataclasses.replace(plain, **changes)


def message(document_id: Any = "trace-1", content: Any = "Refund asked for", **changes: Any) -> dict[str, Any]:
    """A message as the queue holds it; None leaves a field out."""
    hashed = content.encode("utf-8", "replace").decode() if isinstance(content, str) else ""
    whole = {
        "version": 1,
        "team_id": 1,
        "product": c.EMBEDDING_PRODUCT,
        "document_type": c.EMBEDDING_DOCUMENT_TYPE,
        "rendering": "llma_trace_detailed",
        "document_id": document_id,
        "timestamp": "2025-01-15T14:10:00.123456Z",
        "summarized_at": "2025-01-15T15:00:00.000000Z",
        "content_hash": content_hash(hashed),
        "content": content,
        "metadata": {"batch_run_id": "team_1"},
        "models": [MODEL],
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}

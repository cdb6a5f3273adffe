"""The embedding worker's surroundings in memory: a store, a model, a failure place and a clock, all with faults."""

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from embedding.batches import BatchParts, BatchResult, QueueRecord, embed_batch
from embedding.models import EmbeddingModelName
from embedding.ports import (
    BrokenRecord,
    Document,
    DocumentKey,
    EmbeddedVersion,
    EmbeddingAnswer,
    EmbeddingModel,
    KeptRecord,
    RecordPosition,
    StoredEmbeddings,
    Vector,
)
from embedding.requests import encode
from embedding.vectors import UnsavedVectors
from tests.embedding_documents import MODEL, message
from trace_summarization import constants as c

Row = tuple[Document, Vector]


@dataclass
class Clock:
    """What is left of an invocation: waiting takes it, and so does whatever a test says."""

    left: float = float(c.EMBED_LAMBDA_TIMEOUT_SECONDS)

    def __call__(self) -> float:
        return self.left

    def pass_seconds(self, seconds: float) -> None:
        self.left -= seconds


@dataclass
class MemoryStore:
    """An `EmbeddingStore`; `on_find` and `on_save` may raise."""

    rows: list[Row] = field(default_factory=list)
    on_find: Callable[[int], None] = lambda _: None
    on_save: Callable[[Sequence[Row]], None] = lambda _: None
    finds: list[int] = field(default_factory=list)
    saves: list[list[Row]] = field(default_factory=list)

    def find(self, team_id: int, documents: Sequence[Document], seconds_left: Callable[[], float]) -> StoredEmbeddings:
        self.finds.append(team_id)
        self.on_find(team_id)
        of_team = [row for row in self.rows if row[0].team_id == team_id]
        newest = self.newest()
        versions = {}
        for one in documents:
            if (team_id, one.key) in newest:
                row, _ = newest[team_id, one.key]
                versions[one.key] = EmbeddedVersion(row.summarized_at, row.content_hash)
        vectors = {
            (row.model_name, row.content_hash): vector
            for one in documents
            for row, vector in of_team
            if abs(row.timestamp.date() - one.timestamp.date()) <= timedelta(days=30)
            and (row.model_name, row.content_hash) == (one.model_name, one.content_hash)
        }
        return StoredEmbeddings(versions, vectors)

    def save(self, rows: Sequence[Row]) -> None:
        self.on_save(rows)
        self.saves.append(list(rows))
        self.rows.extend(rows)

    def newest(self) -> dict[tuple[int, DocumentKey], Row]:
        """What readers see: of each document the newest version, of equal ones the last inserted."""
        seen: dict[tuple[int, DocumentKey], Row] = {}
        for row in self.rows:
            key = (row[0].team_id, row[0].key)
            if key not in seen or seen[key][0].summarized_at <= row[0].summarized_at:
                seen[key] = row
        return seen


def vector_of(text: str, dimensions: int = 4) -> list[float]:
    """The model's vector of a text."""
    digest = hashlib.sha256(text.encode()).digest()
    return [1.0 + digest[place % 32] for place in range(dimensions)]


@dataclass
class MemoryModel:
    """An `EmbeddingModel` that lists what it is asked for; `on_ask` may raise, `answer` may answer something else."""

    on_ask: Callable[[EmbeddingModelName, Sequence[str], Callable[[], float]], None] = lambda *_: None
    answer: Callable[[str, int], Any] = vector_of
    asked: list[list[str]] = field(default_factory=list)
    answered: list[tuple[str, str]] = field(default_factory=list)

    def embed(
        self, model: EmbeddingModelName, texts: Sequence[str], seconds_left: Callable[[], float]
    ) -> EmbeddingAnswer:
        self.asked.append(list(texts))
        self.on_ask(model, texts, seconds_left)
        self.answered += [(str(model), text) for text in texts]
        return EmbeddingAnswer([self.answer(text, model.dimensions) for text in texts], input_tokens=10 * len(texts))


@dataclass
class MemoryFailures:
    """A `FailurePlace`; `on_keep` and `on_kept` may raise."""

    records: dict[KeptRecord, BrokenRecord] = field(default_factory=dict)
    on_keep: Callable[[], None] = lambda: None
    on_kept: Callable[[], None] = lambda: None
    attempts: int = 0

    def keep(self, record: BrokenRecord) -> None:
        self.attempts += 1
        self.on_keep()
        self.records[record.identity] = record

    def positions(self) -> set[RecordPosition]:
        """Where the kept records stand."""
        return {identity.position for identity in self.records}

    def kept(self, records: Collection[KeptRecord]) -> frozenset[KeptRecord]:
        self.on_kept()
        return frozenset(self.records.keys() & set(records))


@dataclass
class World:
    """All of it, over any number of deliveries."""

    store: MemoryStore = field(default_factory=MemoryStore)
    model: MemoryModel = field(default_factory=MemoryModel)
    failures: MemoryFailures = field(default_factory=MemoryFailures)
    clock: Clock = field(default_factory=Clock)
    configured_models: tuple[str, ...] = (MODEL,)
    max_input_tokens: int = c.MAX_EMBEDDING_INPUT_TOKENS
    open_model: Callable[[], EmbeddingModel] | None = None
    unsaved: UnsavedVectors = field(default_factory=UnsavedVectors)

    def deliver(self, *records: QueueRecord) -> BatchResult:
        """One delivery, with all of an invocation's time."""
        self.clock.left = float(c.EMBED_LAMBDA_TIMEOUT_SECONDS)
        parts = BatchParts(
            store=self.store,
            model=self.open_model or (lambda: self.model),
            failures=self.failures,
            configured_models=self.configured_models,
            unsaved=self.unsaved,
            max_input_tokens=self.max_input_tokens,
            sleep=self.clock.pass_seconds,
        )
        return embed_batch(records, parts, self.clock)

    def stored_contents(self) -> list[str]:
        """Contents of the rows that readers see, sorted."""
        return sorted(document.content for document, _ in self.store.newest().values())


def position(offset: int) -> RecordPosition:
    """Where a test's record stands."""
    return RecordPosition(c.EMBEDDING_TOPIC, 0, offset)


def record(offset: int, value: bytes | None = None, **fields: Any) -> QueueRecord:
    """A record whose trace and content are named after its offset, unless the fields or the value say otherwise."""
    given = {"document_id": f"trace-{offset}", "content": f"content {offset}", **fields}
    return QueueRecord(position(offset), encode(message(**given)) if value is None else value)

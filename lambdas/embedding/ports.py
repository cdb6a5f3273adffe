"""What embedding and search ask of the outside world. `adapters/` implements these; nothing here imports a driver."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Protocol, Self
from uuid import UUID

from embedding.models import EmbeddingModelName
from trace_summarization.errors import EmbeddingNotQueued
from trace_summarization.models import Window

Vector = Sequence[float]


@dataclass(frozen=True)
class Document:
    """One document for one model: a row of `document_embeddings` without its vector.

    `content` is what is embedded; `words` what word search looks into (see `embedding.words`); `metadata` JSON.
    """

    team_id: int
    product: str
    document_type: str
    model_name: str
    rendering: str
    document_id: str
    timestamp: datetime
    summarized_at: datetime
    content_hash: str
    content: str
    words: str
    metadata: str

    @property
    def key(self) -> "DocumentKey":
        """What of a document is one row: a later version of it replaces the earlier one."""
        day = self.timestamp.astimezone(UTC).date()
        return DocumentKey(day, self.product, self.document_type, self.model_name, self.rendering, self.document_id)


@dataclass(frozen=True)
class DocumentKey:
    """Identity of a team's document; the day is the UTC day of its timestamp."""

    day: date
    product: str
    document_type: str
    model_name: str
    rendering: str
    document_id: str


@dataclass(frozen=True)
class EmbeddedVersion:
    """Which version of a document a row of `document_embeddings` holds."""

    summarized_at: datetime
    content_hash: str

    def stands_for(self, document: Document) -> bool:
        """Whether the document needs no row any more: this one is of a newer summary, or of the same content.

        Of equal times another content stands for nothing: it is how the same summary reads to another release, and the
        row that is inserted last stays. `words` are not compared: keywords are renewed with the summary only.
        """
        if self.summarized_at == document.summarized_at:
            return self.content_hash == document.content_hash
        return self.summarized_at > document.summarized_at


@dataclass(frozen=True)
class StoredEmbeddings:
    """What is stored already of some documents.

    `versions`: the newest stored one of each document that has a row. `vectors`: by model name and content
    hash, of content that this team has embedded before, in these documents or in others.
    """

    versions: Mapping[DocumentKey, EmbeddedVersion]
    vectors: Mapping[tuple[str, str], Vector]


class EmbeddingStore(Protocol):
    """Reads and writes `document_embeddings`. Errors: the `ClickHouse*` classes."""

    def find(self, team_id: int, documents: Sequence[Document], seconds_left: Callable[[], float]) -> StoredEmbeddings:
        """What is stored of the team's documents; looked for on their days, content also in the 30 days around.

        Raises ClickHouseTimeout when no time is left for the next of its queries.
        """

    def save(self, rows: Sequence[tuple[Document, Vector]]) -> None:
        """Insert rows; return when they are written. Of each document the version with the newest summary stays."""


@dataclass(frozen=True)
class SummaryPosition:
    """Where a stored summary stands within its team's: by the UTC day of its trace, then by its event's hash and id."""

    day: date
    uuid_hash: int
    uuid: UUID


@dataclass(frozen=True)
class PlacedSummary:
    """A stored summary event: its place, the timestamp of its trace, and its properties as stored."""

    position: SummaryPosition
    timestamp: datetime
    properties: Mapping[str, Any]


class RequeueStore(Protocol):
    """Reads stored summaries and what is embedded of them. Errors: the `ClickHouse*` classes."""

    def summaries(
        self, team_id: int, window: Window, after: SummaryPosition | None, limit: int
    ) -> Sequence[PlacedSummary]:
        """The next summaries of traces that begin in the window, by position, each once in its newest version.

        One that is longer than any summary can be has no properties.
        """

    def embedded(self, team_id: int, documents: Sequence[Document]) -> Mapping[DocumentKey, EmbeddedVersion]:
        """Of those of the team's documents that have a row, which version it holds: that of the newest summary."""


class EmbeddingBatchQueue(Protocol):
    """Takes many embedding requests at once."""

    def send_all(self, records: Sequence[tuple[str, bytes]]) -> Sequence[EmbeddingNotQueued | None]:
        """For each record of key and message None once the broker confirmed it, else why not."""


@dataclass(frozen=True)
class EmbeddingAnswer:
    """What an endpoint answered: a vector per text, and how many tokens it counted, over all that it answered for this.

    `input_tokens` is None where the endpoint does not say.
    """

    vectors: Sequence[Vector]
    input_tokens: int | None


class EmbeddingModel(Protocol):
    """An endpoint that turns texts into vectors. Errors: the `Model*` classes and EmbeddingInputRejected."""

    def embed(
        self, model: EmbeddingModelName, texts: Sequence[str], seconds_left: Callable[[], float]
    ) -> EmbeddingAnswer:
        """One vector per text, in their order, unchecked but for their number.

        At most MAX_EMBEDDING_INPUTS texts of MAX_EMBEDDING_REQUEST_TOKENS together: one request, repeated after 429 and
        5xx as told and as far as `seconds_left` allows. Raises EmbeddingInputRejected when a text is at fault.
        """


@dataclass(frozen=True)
class RecordPosition:
    """Where a record stands in Kafka."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True)
class BrokenRecord:
    """A record that no attempt will ever embed: where it stood, what it holds (None: nothing), and why not.

    `model_name`: the model that does not embed it; None when the whole message is broken.
    """

    position: RecordPosition
    value: bytes | None
    reason: str
    model_name: str | None = None

    @property
    def identity(self) -> "KeptRecord":
        """What the failure place knows it by."""
        return KeptRecord.of(self.position, self.value, self.model_name)


@dataclass(frozen=True)
class KeptRecord:
    """Identity of what a failure place keeps. The same position can hold another record when a topic is made anew."""

    position: RecordPosition
    value_hash: str
    model_name: str | None

    @classmethod
    def of(cls, position: RecordPosition, value: bytes | None, model_name: str | None) -> Self:
        """The identity of a record's value, for one model or as a whole."""
        return cls(position, hashlib.sha256(value or b"").hexdigest(), model_name)


class FailurePlace(Protocol):
    """Keeps broken records for people. Errors: FailurePlaceUnavailable, InvalidConfiguration."""

    def keep(self, record: BrokenRecord) -> None:
        """Return when it is kept. The same record again replaces itself."""

    def kept(self, records: Collection[KeptRecord]) -> frozenset[KeptRecord]:
        """Which of these records are kept already."""

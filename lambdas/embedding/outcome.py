"""What comes of a batch: rows that are saved, records that the failure place holds, records to be delivered again."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from embedding.models import EmbeddingModelName
from embedding.ports import (
    BrokenRecord,
    EmbeddingModel,
    EmbeddingStore,
    FailurePlace,
    KeptRecord,
    RecordPosition,
    Vector,
)
from embedding.records import QueueRecord, Source
from embedding.vectors import UnsavedVectors
from trace_summarization import constants as c
from trace_summarization.errors import (
    ClickHouseAtCapacity,
    FailurePlaceUnavailable,
    ModelUnavailable,
    RetryableError,
    TraceSummarizationError,
)

# Kept free of the model's time: one save that runs into its limit, and a broken record that is kept with patience.
_SAVE_SECONDS: Final = c.CLICKHOUSE_CLIENT_TIMEOUT_SECONDS + 5
_KEEP_SECONDS: Final = 15
RESERVED_SECONDS: Final = _SAVE_SECONDS + _KEEP_SECONDS
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 15.0


@dataclass(frozen=True)
class BatchParts:
    """What a batch passes through. `model` is called where it is needed: it reads a secret.

    `configured_models`: names of the models that this deployment embeds with. Messages may name others. `unsaved` lives
    as long as the process.
    """

    store: EmbeddingStore
    model: Callable[[], EmbeddingModel]
    failures: FailurePlace
    configured_models: tuple[str, ...]
    unsaved: UnsavedVectors
    max_input_tokens: int = c.MAX_EMBEDDING_INPUT_TOKENS
    sleep: Callable[[float], None] = time.sleep


@dataclass
class BatchResult:
    """What came of a batch.

    Counts are of documents (one per record and model), but for `model_requests` and `input_tokens`. `broken`: records
    that the failure place holds, with the reason. `cut`: records whose text was longer than a model's window. `left`:
    records that have to be delivered again, in their order, and `error` the first thing that kept them. `unlisted`: why
    it is not known which records the failure place held before.
    """

    documents_embedded: int = 0
    embeddings_reused: int = 0
    embeddings_unneeded: int = 0
    model_requests: int = 0
    input_tokens: int = 0
    broken: dict[RecordPosition, str] = field(default_factory=dict)
    cut: set[RecordPosition] = field(default_factory=set)
    left: list[RecordPosition] = field(default_factory=list)
    error: TraceSummarizationError | None = None
    unlisted: TraceSummarizationError | None = None


class Outcome:
    """The result of a batch while it comes about. Every record ends as rows, as broken, or as left."""

    def __init__(self, parts: BatchParts, seconds_left: Callable[[], float]) -> None:
        self.result = BatchResult()
        self._parts = parts
        self._seconds_left = seconds_left
        self._left: set[RecordPosition] = set()
        self._unsaved: TraceSummarizationError | None = None
        self._unkept: TraceSummarizationError | None = None
        self._model: EmbeddingModel | None = None

    def finished(self, records: Sequence[QueueRecord]) -> BatchResult:
        """The result, with the records that are left in their order."""
        self.result.left = [record.position for record in records if record.position in self._left]
        return self.result

    def seconds_for_models(self) -> float:
        """How long models may be asked, so that their answers can still be saved."""
        return self._seconds_left() - RESERVED_SECONDS

    def ask(self, model: EmbeddingModelName, texts: Sequence[str], tokens: int) -> Sequence[Vector]:
        """One request; the model is given all the time that saving does not need. Raises the model's errors.

        Raises also what kept the rows before from being saved: what cannot be stored is not paid for.
        """
        if self._unsaved is not None:
            raise self._unsaved
        seconds = self.seconds_for_models()
        if seconds < c.MODEL_SHORTEST_ANSWER_SECONDS:
            raise ModelUnavailable(f"only {max(seconds, 0):.0f} s left for embeddings: not asked")
        if self._model is None:
            self._model = self._parts.model()
        self.result.model_requests += 1
        answer = self._model.embed(model, texts, self.seconds_for_models)
        self.result.input_tokens += tokens if answer.input_tokens is None else answer.input_tokens
        return answer.vectors

    @property
    def is_saving(self) -> bool:
        """Whether the rows so far could be saved."""
        return self._unsaved is None

    def save(self, rows: Sequence[tuple[Source, Vector]]) -> bool:
        """Insert rows, again and again while there is time: what was paid for is worth waiting for."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                self._parts.store.save([(source.document, vector) for source, vector in rows])
            except (RetryableError, ClickHouseAtCapacity) as error:
                self._unsaved = error
                if self._seconds_left() >= _SAVE_SECONDS + pause:
                    self._parts.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                    continue
            except TraceSummarizationError as error:
                self._unsaved = error
            else:
                self._unsaved = None
                return True
            self.leave((source for source, _ in rows), self._unsaved)
            return False

    def leave(self, sources: Iterable[Source], error: TraceSummarizationError) -> None:
        """Let the records be delivered again."""
        for source in sources:
            self._left.add(source.record.position)
            self.result.error = self.result.error or error

    def keep(self, record: QueueRecord, reason: str, model_name: str | None = None) -> None:
        """Put a broken record into the failure place; where that is away, it is left.

        `model_name`: the model that does not embed it; None when the whole message is broken.
        """
        if self._unkept is None and self._seconds_left() < _KEEP_SECONDS:
            self._unkept = FailurePlaceUnavailable("no time left to keep broken records")
        if self._unkept is None:
            try:
                self._parts.failures.keep(BrokenRecord(record.position, record.value, reason, model_name))
            except TraceSummarizationError as error:
                self._unkept = error  # asking for each record would take the time that others need
            else:
                self.count_broken(record, reason)
                return
        self._left.add(record.position)
        self.result.error = self.result.error or self._unkept

    def count_broken(self, record: QueueRecord, reason: str) -> None:
        """Count a record that the failure place holds."""
        known = self.result.broken.get(record.position, reason)
        self.result.broken[record.position] = "; ".join(dict.fromkeys((known, reason)))

    def kept(self, sources: Iterable[Source]) -> frozenset[KeptRecord]:
        """Which of the sources the failure place holds; none where it does not say."""
        try:
            return self._parts.failures.kept({kept_record(source) for source in sources})
        except TraceSummarizationError as error:
            self.result.unlisted = error
            return frozenset()


def kept_record(source: Source) -> KeptRecord:
    """How the failure place knows a source."""
    return KeptRecord.of(source.record.position, source.record.value, source.document.model_name)

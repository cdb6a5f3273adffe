"""One batch of the embedding queue: from its records to rows of `document_embeddings`, whatever part of it is broken.

Why a batch that is delivered again comes to an end, although the records of it that are done are delivered with it:

* A text that was embedded is stored before the next one is asked for. It is found then, and never asked for again.
* A record that can never be embedded is kept in the failure place as soon as that is known, and no reason to deliver
  the batch again. With the first text that a model does not take, the failure place is asked which records of the batch
  it holds from earlier deliveries: their texts come last, and where no time is left for them they need none.

So each delivery of a batch stores a text or finds a broken one among those that neither holds yet, until there are none
left, or it ends early for a reason that does not lie in the batch: then nothing but time, or a person, can help.
"""

import math
import time
from array import array
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from embedding.messages import BrokenMessage, parse_message
from embedding.models import EmbeddingModelName
from embedding.ports import (
    BrokenRecord,
    Document,
    DocumentKey,
    EmbeddingModel,
    EmbeddingStore,
    FailurePlace,
    RecordPosition,
    Vector,
)
from embedding.tokens import cut_to_window, request_groups
from trace_summarization import constants as c
from trace_summarization.errors import (
    ClickHouseAtCapacity,
    ClickHouseTimeout,
    EmbeddingInputRejected,
    FailurePlaceUnavailable,
    FinalError,
    InvalidConfiguration,
    InvalidModelOutput,
    ModelAnsweredNothing,
    ModelUnavailable,
    RetryableError,
    TraceSummarizationError,
)

# Kept free of the model's time: one save that runs into its limit, and a broken record that is kept with patience.
_SAVE_SECONDS: Final = c.CLICKHOUSE_CLIENT_TIMEOUT_SECONDS + 5
_KEEP_SECONDS: Final = 15
_RESERVED_SECONDS: Final = _SAVE_SECONDS + _KEEP_SECONDS
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 15.0
# An endpoint that fails so often in a row is down; else it is what it was asked: too much at once, or one text of it.
_FAILURES_IN_A_ROW: Final = 5
# What a text can be at fault for: it is not taken, or the answer to it is no vector.
_UNUSABLE: Final = (EmbeddingInputRejected, InvalidModelOutput, ModelAnsweredNothing)
# What is asked for to learn whether a model takes any text at all.
_PROBE: Final = "Does this model answer?"


@dataclass(frozen=True)
class QueueRecord:
    """One record of the queue; a value of None is a tombstone."""

    position: RecordPosition
    value: bytes | None


@dataclass(frozen=True)
class BatchParts:
    """What a batch passes through. `model` is called where it is needed: it reads a secret.

    `configured_models`: names of the models that this deployment embeds with. Messages may name others.
    """

    store: EmbeddingStore
    model: Callable[[], EmbeddingModel]
    failures: FailurePlace
    configured_models: tuple[str, ...]
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


@dataclass(frozen=True)
class _Source:
    """A document with the record that asks for it."""

    document: Document
    record: QueueRecord


@dataclass(frozen=True, eq=False)
class _Text:
    """What a model is asked for once, however many documents have this content."""

    text: str
    tokens: int
    sources: tuple[_Source, ...]

    @property
    def positions(self) -> list[RecordPosition]:
        return [source.record.position for source in self.sources]


def embed_batch(records: Sequence[QueueRecord], parts: BatchParts, seconds_left: Callable[[], float]) -> BatchResult:
    """Bring a batch as far as it can be brought within the time; raises none of our errors.

    What is broken is in the failure place, what was paid is stored; the records left are to be delivered again.
    """
    batch = _Batch(parts, seconds_left)
    wanted = batch.without_stored(batch.newest_documents(records))
    # Models that only messages name come last: they must not take the time of those that this deployment embeds with.
    for model_name in sorted(wanted, key=lambda name: name not in parts.configured_models):
        batch.embed(model_name, wanted[model_name])
    batch.result.left = [one.position for one in records if one.position in batch.left]
    return batch.result


class _Batch:
    def __init__(self, parts: BatchParts, seconds_left: Callable[[], float]) -> None:
        self.result = BatchResult()
        self.left: set[RecordPosition] = set()
        self._parts = parts
        self._seconds_left = seconds_left
        self._model: EmbeddingModel | None = None
        self._answering: set[str] = set()  # models that took a text
        self._unsaved: TraceSummarizationError | None = None
        self._unkept: TraceSummarizationError | None = None

    # --- from records to what has to be embedded ----------------------------------------------------------------------

    def newest_documents(self, records: Sequence[QueueRecord]) -> list[_Source]:
        """Of each document of the records its newest version, of equal ones the later record's."""
        newest: dict[tuple[int, DocumentKey], _Source] = {}
        for record in records:
            try:
                documents = parse_message(record.value).documents()
            except BrokenMessage as error:
                self._keep(record, str(error))
                continue
            for document in documents:
                known = newest.get((document.team_id, document.key))
                if known is not None:
                    self.result.embeddings_unneeded += 1
                if known is None or known.document.summarized_at <= document.summarized_at:
                    newest[document.team_id, document.key] = _Source(document, record)
        return list(newest.values())

    def without_stored(self, sources: Sequence[_Source]) -> dict[str, list[_Source]]:
        """By model, the documents that nothing stored stands for; those with known vectors are saved with them."""
        by_team: dict[int, list[_Source]] = defaultdict(list)
        for source in sources:
            by_team[source.document.team_id].append(source)
        reused: list[tuple[_Source, Vector]] = []
        wanted: dict[str, list[_Source]] = defaultdict(list)
        for team_id, of_team in by_team.items():
            if self._seconds_left() < _RESERVED_SECONDS:
                self._leave(of_team, ClickHouseTimeout("no time left to look for stored embeddings"))
                continue
            try:
                stored = self._parts.store.find(team_id, [source.document for source in of_team])
            except TraceSummarizationError as error:
                self._leave(of_team, error)
                continue
            for source in of_team:
                document = source.document
                version = stored.versions.get(document.key)
                known = stored.vectors.get((document.model_name, document.content_hash))
                vector = None if known is None else _sound(known, document.model_name)
                if version is not None and version.stands_for(document):
                    self.result.embeddings_unneeded += 1
                elif vector is not None:
                    reused.append((source, vector))
                else:
                    wanted[document.model_name].append(source)
        if reused and self._save(reused):
            self.result.embeddings_reused += len(reused)
        return wanted

    # --- from what has to be embedded to rows -------------------------------------------------------------------------

    def embed(self, model_name: str, sources: Sequence[_Source]) -> None:
        """Embed the documents with a model, as many as it takes, and save their rows."""
        try:
            texts = self._texts(model_name, sources)
        except TraceSummarizationError as error:
            self._leave(sources, error)
        else:
            _Asking(self, EmbeddingModelName.parse(model_name), texts).run()

    def _texts(self, model_name: str, sources: Sequence[_Source]) -> list[_Text]:
        by_content: dict[str, list[_Source]] = defaultdict(list)
        for source in sources:
            by_content[source.document.content_hash].append(source)
        model = EmbeddingModelName.parse(model_name).model
        window = min(self._parts.max_input_tokens, c.MAX_EMBEDDING_REQUEST_TOKENS)
        texts = []
        for of_content in by_content.values():
            cut = cut_to_window(of_content[0].document.content, model, window)
            texts.append(_Text(cut.text, cut.tokens, tuple(of_content)))
            if cut.is_cut:
                self.result.cut.update(texts[-1].positions)
        return texts

    def ask(self, model: EmbeddingModelName, texts: Sequence[str], tokens: int, share: float) -> Sequence[Vector]:
        """One request, within a share of the time that is left for models. Raises the model's errors."""
        if self._unsaved is not None:
            raise self._unsaved  # what cannot be stored is not paid for
        until = self._seconds_left() - share * self.seconds_for_models()
        if self._model is None:
            self._model = self._parts.model()
        self.result.model_requests += 1
        answer = self._model.embed(model, texts, lambda: self._seconds_left() - until)
        self._answering.add(str(model))
        self.result.input_tokens += tokens if answer.input_tokens is None else answer.input_tokens
        return answer.vectors

    def seconds_for_models(self) -> float:
        """How long models may be asked, so that their answers can still be saved."""
        return self._seconds_left() - _RESERVED_SECONDS

    def answers(self, model_name: str) -> bool:
        """Whether a model has a vector for any text at all. Raises the errors that are none of a text."""
        if model_name not in self._answering:
            try:
                self.ask(EmbeddingModelName.parse(model_name), [_PROBE], len(_PROBE), share=0.5)
            except _UNUSABLE:
                return False
        return True

    def is_configured(self, model: EmbeddingModelName) -> bool:
        """Whether this deployment embeds with the model, or only messages name it."""
        return str(model) in self._parts.configured_models

    def fault_of_model(self, model: EmbeddingModelName, error: TraceSummarizationError) -> str | None:
        """Why the records that name a model are broken; None when the fault may lie anywhere else.

        Only where a model that is configured answers, another one can be told from an endpoint that refuses all.
        Raises the errors of the configured model.
        """
        if self.is_configured(model) or not isinstance(error, FinalError) or error is self._unsaved:
            return None
        if any(self.answers(configured) for configured in self._parts.configured_models[:1]):
            return f"models: {model} is none that the endpoint answers for ({type(error).__name__})"
        return None

    def save_embedded(self, embedded: Sequence[tuple[_Text, Vector]]) -> None:
        """Save the rows of texts that were paid for."""
        rows = [(source, vector) for text, vector in embedded for source in text.sources]
        if rows and self._save(rows):
            self.result.documents_embedded += len(embedded)
            self.result.embeddings_reused += len(rows) - len(embedded)

    def give_up(self, texts: Iterable[_Text], reason: str) -> None:
        """Keep the records of texts that no attempt will embed."""
        for text in texts:
            for source in text.sources:
                self._keep(source.record, reason)

    def let_go(self, texts: Iterable[_Text]) -> None:
        """Count as broken what the failure place holds from an earlier delivery."""
        for text in texts:
            for position in text.positions:
                self.result.broken.setdefault(position, "kept by an earlier delivery")

    def leave_texts(self, texts: Iterable[_Text], error: TraceSummarizationError) -> None:
        """Let the texts' records be delivered again."""
        for text in texts:
            self._leave(text.sources, error)

    def kept(self, texts: Iterable[_Text]) -> frozenset[RecordPosition]:
        """Which of the texts' records the failure place holds; none where it does not say."""
        try:
            return self._parts.failures.kept({position for text in texts for position in text.positions})
        except TraceSummarizationError as error:
            self.result.unlisted = error
            return frozenset()

    def _leave(self, sources: Iterable[_Source], error: TraceSummarizationError) -> None:
        self.left.update(source.record.position for source in sources)
        self.result.error = self.result.error or error

    def _save(self, rows: Sequence[tuple[_Source, Vector]]) -> bool:
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
            self._leave((source for source, _ in rows), self._unsaved)
            return False

    def _keep(self, record: QueueRecord, reason: str) -> None:
        if self._unkept is None and self._seconds_left() < _KEEP_SECONDS:
            self._unkept = FailurePlaceUnavailable("no time left to keep broken records")
        if self._unkept is None:
            reasons = dict.fromkeys((self.result.broken.get(record.position, reason), reason))
            reason = "; ".join(reasons)
            try:
                self._parts.failures.keep(BrokenRecord(record.position, record.value, reason))
            except TraceSummarizationError as error:
                self._unkept = error  # asking for each record would take the time that others need
            else:
                self.result.broken[record.position] = reason
                return
        self.left.add(record.position)
        self.result.error = self.result.error or self._unkept


class _Asking:
    """Texts on their way through one model."""

    def __init__(self, batch: _Batch, model: EmbeddingModelName, texts: Sequence[_Text]) -> None:
        self._batch = batch
        self._model = model
        self._texts = texts
        self._pending = deque(request_groups([(text, text.tokens) for text in texts]))
        self._last: deque[list[_Text]] = deque()  # of records that the failure place holds
        self._kept: frozenset[RecordPosition] | None = None
        self._asked_alone: set[_Text] = set()  # whose first vector cannot be used
        self._failures = 0

    def run(self) -> None:
        """Ask until nothing is pending, the time is up, or the model cannot be asked."""
        while self._pending or self._last:
            seconds = self._batch.seconds_for_models()
            if seconds < c.MODEL_SHORTEST_ANSWER_SECONDS:
                self._batch.let_go(text for group in self._last for text in group)
                self._last.clear()
                self._stop(ModelUnavailable(f"only {max(seconds, 0):.0f} s left for embeddings: not asked"))
                return
            group = (self._pending or self._last).popleft()
            try:
                self._ask(group)
            except TraceSummarizationError as error:
                self._pending.appendleft(group)
                self._stop(error)

    def _ask(self, group: list[_Text]) -> None:
        """Ask for a group; raises what ends the asking altogether."""
        # The last single text may take all the time. Whatever else fails leaves as much again for what comes after it.
        is_last = len(group) == 1 and not self._pending and not self._last
        texts, tokens = [text.text for text in group], sum(text.tokens for text in group)
        try:
            vectors = self._batch.ask(self._model, texts, tokens, share=1.0 if is_last else 0.5)
        except _UNUSABLE as error:
            self._failures = 0
            self._without_rejected(group, error)
        except ModelUnavailable as error:
            self._failures += 1
            if self._failures >= _FAILURES_IN_A_ROW:
                raise
            if len(group) == 1:
                self._batch.leave_texts(group, error)
            else:
                # Behind all others, so that the next to be asked for is likely to be without what breaks it.
                self._pending.extend(_halves(group))
        else:
            self._failures = 0
            self._take(group, vectors)

    def _take(self, group: list[_Text], vectors: Sequence[Vector]) -> None:
        checked = [(text, _sound(vector, str(self._model))) for text, vector in zip(group, vectors, strict=True)]
        self._batch.save_embedded([(text, vector) for text, vector in checked if vector is not None])
        for text in [text for text, vector in checked if vector is None]:
            # What is kept already was asked for twice: not each delivery pays for that.
            if text in self._asked_alone or self._is_kept(text):
                self._batch.give_up([text], f"content: {self._model} answers with a vector that cannot be used")
            else:
                self._asked_alone.add(text)
                self._pending.append([text])

    def _without_rejected(self, group: list[_Text], error: TraceSummarizationError) -> None:
        """Put aside what earlier deliveries found broken, then halve, until the text at fault stands alone."""
        name = str(self._model)
        if not self._batch.answers(name):
            # A setting that the endpoint does not take must not send the whole queue to the failure place.
            if self._batch.is_configured(self._model) and isinstance(error, EmbeddingInputRejected):
                raise InvalidConfiguration(f"embedding model {name}: the endpoint takes no text for it")
            raise error
        parts = self._by_kept(group)
        if len(parts) == 1 and len(group) == 1:
            self._batch.give_up(group, f"content: {name} has no vector for it ({type(error).__name__})")
            return
        # In front of all others: one text is found broken before the next is looked for, however little time there is.
        for part in reversed(parts if len(parts) > 1 else _halves(group)):
            self._queue_of(part).appendleft(part)

    def _queue_of(self, group: list[_Text]) -> deque[list[_Text]]:
        return self._last if self._is_kept(group[0]) else self._pending

    def _by_kept(self, group: list[_Text]) -> list[list[_Text]]:
        parts = ([text for text in group if self._is_kept(text) is is_kept] for is_kept in (False, True))
        return [part for part in parts if part]

    def _is_kept(self, text: _Text) -> bool:
        if self._kept is None:
            self._kept = self._batch.kept(self._texts)
            pending, self._pending = self._pending, deque()
            for group in pending:
                for part in self._by_kept(group):
                    self._queue_of(part).append(part)
        return self._kept.issuperset(text.positions)

    def _stop(self, error: TraceSummarizationError) -> None:
        """Leave all that was not asked for; or, where only these records name a model that there is not, keep them."""
        texts = [text for group in (*self._pending, *self._last) for text in group]
        self._pending.clear()
        self._last.clear()
        try:
            reason = self._batch.fault_of_model(self._model, error)
        except TraceSummarizationError as other:
            self._batch.leave_texts(texts, other)
            return
        if reason is None:
            self._batch.leave_texts(texts, error)
        else:
            self._batch.give_up(texts, reason)


def _halves(group: list[_Text]) -> list[list[_Text]]:
    middle = len(group) // 2
    return [group[:middle], group[middle:]]


def _sound(vector: Vector, model_name: str) -> Vector | None:
    """The vector as it is stored, in single precision; None when it is no vector of the model, or has no direction."""
    try:
        numbers = array("f", vector)
    except (TypeError, OverflowError):
        return None
    if len(numbers) != EmbeddingModelName.parse(model_name).dimensions:
        return None
    return numbers if any(numbers) and all(map(math.isfinite, numbers)) else None

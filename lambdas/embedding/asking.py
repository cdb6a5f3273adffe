"""Texts on their way through one model: asked for in groups, and a text condemned only where the model works."""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from embedding.models import EmbeddingModelName
from embedding.outcome import BatchParts, Outcome, kept_record
from embedding.ports import KeptRecord, Vector
from embedding.records import Source
from embedding.tokens import count_tokens, cut_to_window, request_groups
from embedding.vectors import UnsavedVectors, sound
from trace_summarization import constants as c
from trace_summarization.errors import (
    EmbeddingInputRejected,
    InvalidConfiguration,
    InvalidModelOutput,
    ModelAnsweredNothing,
    ModelRateLimited,
    ModelUnavailable,
    TraceSummarizationError,
)

# What a text can be at fault for: it is not taken, the answer to it is no vector, or the endpoint breaks on it.
_MAYBE_OF_A_TEXT: Final = (EmbeddingInputRejected, InvalidModelOutput, ModelAnsweredNothing, ModelUnavailable)
# So often a text fails, each time with a model that works right afterwards: once can be the end of an outage.
_FAILURES_OF_A_TEXT: Final = 2
# With less time than this for the rest, a group that fails may cost what finding one text at fault takes.
_SECONDS_FOR_HALVING: Final = 3 * c.EMBEDDING_REQUEST_SECONDS
# What is asked for to learn whether a model works.
_PROBE: Final = "Does this model answer?"
_KEPT_BEFORE: Final = "kept by an earlier delivery"


@dataclass(frozen=True, eq=False)
class _Text:
    """What a model is asked for once, however many documents have this content."""

    text: str
    tokens: int
    content_hash: str
    sources: tuple[Source, ...]


class Probes:
    """What is found out about a batch's models and failure place once something has failed."""

    def __init__(self, outcome: Outcome, configured_models: Sequence[str], wanted: Sequence[Source]) -> None:
        self._outcome = outcome
        self._configured_models = configured_models
        self._wanted = wanted
        self._kept: frozenset[KeptRecord] | None = None

    def is_kept(self, text: _Text) -> bool:
        """Whether the failure place held all records of a text, for its model, before; asked once for the batch."""
        if self._kept is None:
            self._kept = self._outcome.kept(self._wanted)
        return all(kept_record(source) in self._kept for source in text.sources)

    def check(self, model: EmbeddingModelName) -> None:
        """Return when the model has a sound vector for a text that nobody can object to, else raise why not."""
        try:
            (vector,) = self._outcome.ask(model, [_PROBE], len(_PROBE))
        except EmbeddingInputRejected as error:
            raise InvalidConfiguration(f"embedding model {model}: the endpoint takes no text for it") from error
        if len(vector) != model.dimensions:
            raise InvalidConfiguration(
                f"embedding model {model}: its vectors have {len(vector)} numbers; configured are {model.dimensions}"
            )
        if sound(vector, model) is None:
            raise InvalidModelOutput(f"{model} answers with vectors that cannot be used")

    def fault_of_message(self, model: EmbeddingModelName, error: TraceSummarizationError) -> str | None:
        """Why records that name a model are broken, when it does not work; None when the fault may lie elsewhere.

        Only where a model that is configured works, another one can be told from an endpoint that refuses all. Raises
        the errors of the configured model.
        """
        is_of_message = str(model) not in self._configured_models and self._outcome.is_saving
        if not is_of_message or isinstance(error, ModelRateLimited):
            return None
        for configured in self._configured_models[:1]:
            self.check(EmbeddingModelName.parse(configured))
            try:
                self.check(model)
            except ModelRateLimited:
                return None
            except TraceSummarizationError as fault:
                is_out_of_time = self._outcome.seconds_for_models() < c.MODEL_SHORTEST_ANSWER_SECONDS
                return None if is_out_of_time else f"models: {model} has no vectors here ({type(fault).__name__})"
        return None


class Asking:
    """The texts that one model is asked for. Raises nothing of ours once it runs."""

    def __init__(
        self, outcome: Outcome, probes: Probes, model: EmbeddingModelName, sources: Sequence[Source], parts: BatchParts
    ) -> None:
        self._outcome = outcome
        self._probes = probes
        self._model = model
        self._unsaved: UnsavedVectors = parts.unsaved
        self._pending = deque(_groups(self._texts(sources, parts.max_input_tokens), model))
        self._failures: Counter[_Text] = Counter()
        self._is_without_kept = False
        self._is_checked = False  # whether the model worked after a failure

    def run(self) -> None:
        """Ask until nothing is pending, the time is up, or the model cannot be asked."""
        self._save_paid_before()
        while self._pending:
            try:
                self._ask(self._pending[0])
            except TraceSummarizationError as error:
                self._stop(error)

    def _texts(self, sources: Sequence[Source], max_input_tokens: int) -> list[_Text]:
        by_content: dict[str, list[Source]] = defaultdict(list)
        for source in sources:
            by_content[source.document.content_hash].append(source)
        window = min(max_input_tokens, c.MAX_EMBEDDING_REQUEST_TOKENS)
        texts = []
        for content_hash, of_content in by_content.items():
            cut = cut_to_window(of_content[0].document.content, self._model.model, window)
            texts.append(_Text(cut.text, cut.tokens, content_hash, tuple(of_content)))
            if cut.is_cut:
                self._outcome.result.cut.update(source.record.position for source in of_content)
        return texts

    def _save_paid_before(self) -> None:
        """Save what was paid for in this process and could not be saved then."""
        paid = {
            text: vector
            for group in self._pending
            for text in group
            if (vector := self._unsaved.get(str(self._model), text.content_hash)) is not None
        }
        if paid:
            self._without(paid)
            self._save(list(paid.items()), reused=len(paid))

    def _ask(self, group: list[_Text]) -> None:
        """Ask for the group in front, which stays there until it is done; raises what ends the asking altogether."""
        texts, tokens = [text.text for text in group], sum(text.tokens for text in group)
        try:
            vectors = self._outcome.ask(self._model, texts, tokens)
        except _MAYBE_OF_A_TEXT as error:
            if self._outcome.seconds_for_models() < c.MODEL_SHORTEST_ANSWER_SECONDS:
                raise
            self._narrow_down(group, error)
        else:
            self._take(group, vectors)

    def _take(self, group: list[_Text], vectors: Sequence[Vector]) -> None:
        checked = [(text, sound(vector, self._model)) for text, vector in zip(group, vectors, strict=True)]
        self._save([(text, vector) for text, vector in checked if vector is not None])
        unsound = [text for text, vector in checked if vector is None]
        self._pending.popleft()
        self._put_in_front([[text] for text in unsound])
        if unsound and not self._drop_kept():
            self._probes.check(self._model)
            for text in unsound:
                self._suspect(text, "it answers with a vector that cannot be used")

    def _narrow_down(self, group: list[_Text], error: TraceSummarizationError) -> None:
        """Look for the text at fault, depth first: one is found before the next, however short the time is."""
        has_time = self._outcome.seconds_for_models() >= _SECONDS_FOR_HALVING
        if self._drop_kept():
            if self._pending and not has_time:
                self._put_in_front(_doubling(self._pending.popleft()))
            return
        if len(group) == 1 or not self._is_checked:
            self._probes.check(self._model)
            self._is_checked = True
        if len(group) == 1:
            self._suspect(group[0], f"{type(error).__name__}, while others are answered")
            return
        self._pending.popleft()
        self._put_in_front(_halves(group) if has_time else _doubling(group))

    def _suspect(self, text: _Text, reason: str) -> None:
        """Count a failure of a text alone while the model works; the last one condemns it."""
        self._failures[text] += 1
        if self._failures[text] >= _FAILURES_OF_A_TEXT:
            self._without([text])
            self._give_up([text], f"content: {self._model} has no vector for it ({reason})")

    def _drop_kept(self) -> bool:
        """With the first failure, count as broken what earlier deliveries gave up; whether there was any."""
        if self._is_without_kept:
            return False
        self._is_without_kept = True
        kept = [text for group in self._pending for text in group if self._probes.is_kept(text)]
        for text in kept:
            for source in text.sources:
                self._outcome.count_broken(source.record, _KEPT_BEFORE)
        self._without(kept)
        return bool(kept)

    def _without(self, texts: Iterable[_Text]) -> None:
        gone = set(texts)
        groups = ([text for text in group if text not in gone] for group in self._pending)
        self._pending = deque(group for group in groups if group)

    def _put_in_front(self, groups: Sequence[list[_Text]]) -> None:
        self._pending.extendleft(reversed(groups))

    def _save(self, embedded: Sequence[tuple[_Text, Vector]], reused: int = 0) -> None:
        """Save the rows of texts that were paid for, so many of them earlier, or remember what they cost."""
        if not embedded:
            return
        rows = [(source, vector) for text, vector in embedded for source in text.sources]
        name = str(self._model)
        if self._outcome.save(rows):
            self._outcome.result.documents_embedded += len(embedded) - reused
            self._outcome.result.embeddings_reused += len(rows) - len(embedded) + reused
            for text, _ in embedded:
                self._unsaved.discard(name, text.content_hash)
        else:
            for text, vector in embedded:
                self._unsaved.add(name, text.content_hash, vector)

    def _stop(self, error: TraceSummarizationError) -> None:
        """Leave all that was not asked for; or, where only these records name a model that does not work, keep them."""
        texts = [text for group in self._pending for text in group]
        self._pending.clear()
        try:
            reason = self._probes.fault_of_message(self._model, error)
        except TraceSummarizationError as other:
            reason, error = None, other
        if reason is None:
            self._outcome.leave((source for text in texts for source in text.sources), error)
        else:
            self._give_up(texts, reason)

    def _give_up(self, texts: Iterable[_Text], reason: str) -> None:
        for text in texts:
            for source in text.sources:
                self._outcome.keep(source.record, reason, str(self._model))


def _groups(texts: Sequence[_Text], model: EmbeddingModelName) -> list[list[_Text]]:
    """The texts by requests. Tokens are counted where bytes, which is what short texts are taken for, are too many."""
    sizes = [text.tokens for text in texts]
    if sum(sizes) > c.MAX_EMBEDDING_REQUEST_TOKENS:
        sizes = [min(text.tokens, count_tokens(text.text, model.model)) for text in texts]
    return list(request_groups(list(zip(texts, sizes, strict=True))))


def _halves(group: list[_Text]) -> list[list[_Text]]:
    middle = len(group) // 2
    return [group[:middle], group[middle:]]


def _doubling(group: list[_Text]) -> list[list[_Text]]:
    """The group from a single text on, each part twice the one before: what can be done at all is done first."""
    parts, first, size = [], 0, 1
    while first < len(group):
        parts.append(group[first : first + size])
        first, size = first + size, 2 * size
    return parts

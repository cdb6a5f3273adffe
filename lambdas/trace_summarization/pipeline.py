"""One trace from stored events to stored summary and queued embedding: what SummarizeTrace does."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from embedding.requests import embedding_request, encode, message_key
from trace_summarization import constants as c
from trace_summarization.errors import BudgetExhausted, InvalidConfiguration, ModelUnavailable, TraceSummarizationError
from trace_summarization.events import SummaryIdentity, still_holds, summary_event
from trace_summarization.keywords import keywords_of
from trace_summarization.models import (
    EmbeddingOutcome,
    ModelUsage,
    SkipReason,
    StoredSummary,
    SummarizationActivityResult,
    TeamRun,
    TraceExtent,
)
from trace_summarization.ports import EmbeddingQueue, Spending, SummaryModel, SummaryStore, TraceStore
from trace_summarization.prices import priced
from trace_summarization.redaction import Redactor
from trace_summarization.requests import summary_request
from trace_summarization.summarization import summarize
from trace_summarization.text_repr import TextRepr, fit, render_trace
from trace_summarization.timestamps import parse_microseconds
from trace_summarization.tokens import without_margin

# Kept free of the model's time: a save and a queued embedding that each run into their own limit.
_RESERVED_SECONDS = c.CLICKHOUSE_CLIENT_TIMEOUT_SECONDS + 2 * c.KAFKA_DELIVERY_TIMEOUT_SECONDS


@dataclass
class Phases:
    """Seconds that each phase of one trace took; a phase that was not reached is absent."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measure(self, phase: str) -> Iterator[None]:
        """Add the block's duration to the phase, also when it raises."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - began


@dataclass(frozen=True)
class PipelineResult:
    """The outcome that the state machine counts, and what the log says of it.

    `because`: the error that left the trace out, or that kept a dry run from looking for its stored summary.
    """

    result: SummarizationActivityResult
    usage: ModelUsage | None = None
    embedding_error: TraceSummarizationError | None = None
    because: TraceSummarizationError | None = None


@dataclass(frozen=True)
class TracePipeline:
    """The parts that one trace passes through. `model` is called where it is needed: it reads a secret."""

    traces: TraceStore
    summaries: SummaryStore
    model: Callable[[], SummaryModel]
    queue: EmbeddingQueue
    embedding_models: tuple[str, ...]
    spending: Callable[[TeamRun], Spending]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def summarize(
        self, run: TeamRun, trace_id: str, phases: Phases, seconds_left: Callable[[], float]
    ) -> PipelineResult:
        """Summarize one trace of a run, or say why not; in a dry run, count what the model would be sent.

        `seconds_left` tells how long this attempt may still run. Raises the `ClickHouse*` and `Model*` errors; what
        was stored before an error is found again by the next attempt. An embedding that cannot be queued is counted.
        """
        if self.now() >= run.deadline:
            return _skipped(SkipReason.OUT_OF_TIME)
        with phases.measure("fetch"):
            extent = self.traces.extent(run.team_id, trace_id, run.window)
            if extent is None:
                return _skipped(SkipReason.TRACE_NOT_FOUND)
            if extent.event_count > c.MAX_TRACE_EVENTS or extent.properties_bytes > c.MAX_TRACE_BYTES:
                return _skipped(SkipReason.TRACE_TOO_LARGE)
            events = self.traces.events(run.team_id, trace_id, extent)
        with phases.measure("render"):
            whole = render_trace(trace_id, events, Redactor().redact if run.redaction else None)
            if len(whole.text) > c.MAX_TEXT_REPR_LENGTH:
                return _skipped(SkipReason.TEXT_TOO_LONG)
            rendered = fit(whole, without_margin(run.max_input_tokens, run.model))
        return self._summary_of(run, trace_id, extent, whole, rendered, phases, seconds_left)

    def _summary_of(
        self,
        run: TeamRun,
        trace_id: str,
        extent: TraceExtent,
        whole: TextRepr,
        rendered: TextRepr,
        phases: Phases,
        seconds_left: Callable[[], float],
    ) -> PipelineResult:
        if run.dry_run:
            return self._estimated(run, trace_id, extent, rendered, phases)
        model = self.model()
        identity = SummaryIdentity(rendered.text, run.mode, run.model, model.provider)
        with phases.measure("fetch"):
            stored = self.summaries.find(run.team_id, trace_id, run.mode, extent.first_event)
        if stored is not None and still_holds(stored, identity, trace_id):
            return self._queue_stored(run, trace_id, stored, phases)
        with phases.measure("model"):
            timeout = min(float(c.MODEL_TIMEOUT_SECONDS), seconds_left() - _RESERVED_SECONDS)
            if timeout < c.MODEL_SHORTEST_ANSWER_SECONDS:
                raise ModelUnavailable(f"only {timeout:.0f} s left for the model: not asked")
            try:
                answered = summarize(rendered, run.mode, run.model, model, timeout, self.spending(run))
            except BudgetExhausted as error:
                return _skipped(SkipReason.BUDGET, error)
        usage = priced(run.price, answered.usages)
        with phases.measure("render"):
            keywords = keywords_of(whole, is_redacted=run.redaction)
        event = summary_event(
            run,
            trace_id,
            answered.summary,
            keywords,
            usage,
            identity,
            extent,
            timestamp=stored.timestamp if stored else extent.first_event,
            summarized_at=self.now(),
        )
        with phases.measure("save"):
            self.summaries.save(event)
        with phases.measure("queue"):
            message = embedding_request(run.team_id, event.timestamp, event.properties, self.embedding_models)
            return self._queued(message, reused=False, usage=usage)

    def _estimated(
        self, run: TeamRun, trace_id: str, extent: TraceExtent, rendered: TextRepr, phases: Phases
    ) -> PipelineResult:
        """What a run would send: nothing where the stored summary still holds.

        What a run costs is asked before the model's secret is filled. Without it nobody knows whose summary would be
        reused: all are counted.
        """
        request = summary_request(rendered.text, run.mode, run.model)
        try:
            provider = self.model().provider
        except InvalidConfiguration as error:
            return _estimated(request.input_tokens, error)
        with phases.measure("fetch"):
            stored = self.summaries.find(run.team_id, trace_id, run.mode, extent.first_event)
        identity = SummaryIdentity(rendered.text, run.mode, run.model, provider)
        holds = stored is not None and still_holds(stored, identity, trace_id)
        return _estimated(0 if holds else request.input_tokens)

    def _queue_stored(self, run: TeamRun, trace_id: str, stored: StoredSummary, phases: Phases) -> PipelineResult:
        """Queue a reused summary's embedding again, unless every model already holds this very summary."""
        with phases.measure("queue"):
            message = embedding_request(run.team_id, stored.timestamp, stored.properties, self.embedding_models)
            try:
                held = self.summaries.embedded_models(
                    run.team_id,
                    trace_id,
                    run.mode,
                    stored.timestamp,
                    parse_microseconds(message["summarized_at"]),
                    message["content_hash"],
                )
            except TraceSummarizationError as error:
                return _generated("failed", reused=True, error=error)
            if held.issuperset(self.embedding_models):
                return _generated("unneeded", reused=True)
            return self._queued(message, reused=True)

    def _queued(self, message: Mapping[str, Any], reused: bool, usage: ModelUsage | None = None) -> PipelineResult:
        try:
            self.queue.send(message_key(message), encode(message))
        except TraceSummarizationError as error:
            # The summary is stored: an embedding that cannot be queued is counted and logged, never undoes it.
            return _generated("failed", reused, usage, error)
        return _generated("succeeded", reused, usage)


def _generated(
    embedding: EmbeddingOutcome,
    reused: bool,
    usage: ModelUsage | None = None,
    error: TraceSummarizationError | None = None,
) -> PipelineResult:
    result = SummarizationActivityResult(outcome="generated", reused=reused, embedding=embedding)
    return PipelineResult(result, usage, error)


def _estimated(input_tokens: int, because: TraceSummarizationError | None = None) -> PipelineResult:
    """What a dry run found: no tokens where the stored summary still holds."""
    result = SummarizationActivityResult(outcome="estimated", reused=input_tokens == 0, input_tokens=input_tokens)
    return PipelineResult(result, because=because)


def _skipped(reason: SkipReason, why: TraceSummarizationError | None = None) -> PipelineResult:
    return PipelineResult(SummarizationActivityResult(outcome="skipped", reason=reason), because=why)

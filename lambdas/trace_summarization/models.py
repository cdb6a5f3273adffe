"""What passes between the parts: inputs, what one state hands to the next, results, and rows.

Inputs are checked strictly (a boolean is no integer, unknown keys are errors) and end in `InvalidInput`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from trace_summarization import constants as c
from trace_summarization.timestamps import UtcSeconds

TeamId = Annotated[int, Field(ge=1, le=c.MAX_TEAM_ID)]
Mode = Literal["detailed", "minimal"]
EmbeddingOutcome = Literal["succeeded", "failed", "unneeded"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _SamplingInputs(_Frozen):
    """What both state machines take. Defaults and ranges are the contract."""

    max_traces: int = Field(
        c.DEFAULT_MAX_TRACES_PER_WINDOW,
        ge=1,
        le=c.MAX_TRACES_LIMIT,
        description="Traces per team and window at most; of more, a uniform sample that a rerun repeats.",
    )
    batch_size: int = Field(
        c.DEFAULT_BATCH_SIZE, ge=1, le=c.MAX_CONCURRENCY_LIMIT, description="Traces of a team summarized at once."
    )
    mode: Mode = Field(c.DEFAULT_MODE, description="How much a summary holds.")
    window_minutes: int = Field(
        c.DEFAULT_WINDOW_MINUTES, ge=1, le=c.MAX_WINDOW_MINUTES, description="Length of the window."
    )
    window_lag_minutes: int = Field(
        c.DEFAULT_WINDOW_LAG_MINUTES,
        ge=0,
        le=c.MAX_WINDOW_LAG_MINUTES,
        description="How long before now the window ends, so that its traces have finished.",
    )
    model: str = Field(
        c.DEFAULT_MODEL,
        min_length=1,
        max_length=c.MAX_MODEL_NAME_LENGTH,
        pattern=r"^[\w./:@-]+$",
        description="Model that summarizes, by the name that your endpoint knows.",
    )
    max_cost_usd: float | None = Field(
        None,
        gt=0,
        le=c.MAX_COST_USD_LIMIT,
        allow_inf_nan=False,
        description="The most that one team's run may spend on the model; then its traces are skipped. "
        f"Default: the team's setting, else {c.DEFAULT_MAX_COST_USD:g}.",
    )
    max_input_tokens: int | None = Field(
        None,
        ge=c.MIN_INPUT_TOKENS_LIMIT,
        le=c.MAX_INPUT_TOKENS_LIMIT,
        description="Tokens of a trace's text that the model reads at most, as far as its context has room. "
        f"Default: the team's setting, else {c.DEFAULT_MAX_INPUT_TOKENS}.",
    )
    dry_run: bool = Field(False, description="Only count and price what a run would send: no model, nothing stored.")
    window_start: UtcSeconds | None = Field(
        None, description="Start of an explicit window; with `window_end`. Overrides minutes and lag."
    )
    window_end: UtcSeconds | None = Field(None, description="End of an explicit window, itself excluded.")
    scheduled_time: UtcSeconds | None = Field(
        None, description="The run's now; the schedule sets it. Else the execution's start is."
    )


class BatchTraceSummarizationCoordinatorInputs(_SamplingInputs):
    """Input of the coordinator: all allowlisted teams."""

    max_concurrent_teams: int = Field(
        c.DEFAULT_MAX_CONCURRENT_TEAMS,
        ge=1,
        le=c.MAX_CONCURRENCY_LIMIT,
        description="Teams summarized at once. Coordinator only.",
    )


class BatchSummarizationInputs(_SamplingInputs):
    """Input of the team state machine. The team need not be on the allowlist."""

    team_id: TeamId = Field(description="The team. Team machine only, required.")


@dataclass(frozen=True)
class Window:
    """A half-open span of time, `start <= t < end`, both UTC and in whole seconds."""

    start: datetime
    end: datetime


class TeamInputs(_Frozen):
    """What the coordinator hands to every team's execution: settings and the fixed window."""

    max_traces: int
    batch_size: int
    mode: Mode
    model: str
    max_cost_usd: float | None
    max_input_tokens: int | None
    dry_run: bool
    window_start: UtcSeconds
    window_end: UtcSeconds


class RunPlan(_Frozen):
    """What PlanRun returns."""

    run_key: str
    team_ids: list[int]
    max_concurrent_teams: int
    team_input: TeamInputs


class SkipReason(StrEnum):
    """Why a trace was sampled and not summarized. The attempt that ends so has paid nothing; one before it may have."""

    TRACE_NOT_FOUND = "trace_not_found"
    TRACE_TOO_LARGE = "trace_too_large"
    TEXT_TOO_LONG = "text_too_long"
    TRACE_ID_TOO_LONG = "trace_id_too_long"
    OUT_OF_TIME = "out_of_time"
    BUDGET = "budget"


_SkipReasonText = Annotated[SkipReason, Field(strict=False)]  # payloads carry the reason as text


class ModelPrice(_Frozen):
    """What a model's tokens cost, in pico-USD (10^-12 USD) per token: a millionth of USD per million tokens.

    `flex`: whether the provider's flex tier halves it.
    """

    input: int = Field(ge=0)
    cached_input: int = Field(ge=0)
    output: int = Field(ge=0)
    flex: bool = False


class TeamRun(_Frozen):
    """One team's run over one window: what every later state of the execution needs to know of it.

    `price` is None for a model that has none: then `max_cost_usd` is None and the run is not capped. Runs with the same
    team and `spending_key` share one cap. `redaction`: whether personal data is taken out of the text.
    """

    team_id: TeamId
    batch_run_id: str
    window_start: UtcSeconds
    window_end: UtcSeconds
    mode: Mode
    model: str
    batch_size: int
    execution_id: str
    started_at: UtcSeconds
    deadline: UtcSeconds
    spending_key: str
    price: ModelPrice | None
    max_cost_usd: float | None
    max_input_tokens: int
    redaction: bool
    dry_run: bool
    traces_queried: int = Field(0, ge=0)
    skipped_at_sampling: dict[_SkipReasonText, int] = {}

    @property
    def window(self) -> Window:
        """The run's window."""
        return Window(self.window_start, self.window_end)


class TeamSample(_Frozen):
    """What SampleTraces returns. `traces` holds ids; the Map over it replaces them by outcomes."""

    run: TeamRun
    traces: list[str]


class SummarizationActivityResult(_Frozen):
    """The outcome of one trace: what SummarizeTrace returns, at most 150 bytes as JSON.

    Field names are short because 1,000 outcomes share one 256 KiB payload.
    """

    outcome: Literal["generated", "skipped", "failed", "estimated"]
    reused: bool = False
    input_tokens: int | None = None  # of an estimated trace; 0 when its stored summary still holds
    embedding: EmbeddingOutcome | None = None
    reason: _SkipReasonText | None = None
    error: str | None = None


class BatchSummarizationMetrics(_Frozen):
    """Counts of one team run.

    queried = generated + skipped + failed + estimated, generated = succeeded + failed + unneeded. `summaries_reused` is
    among the generated, in a dry run among the estimated. Costs and tokens are those of all the run's model calls, also
    of an earlier attempt of the team in the same coordinator run; costs are None when the model has no price,
    `cost_usd` also when the ledger could not be read (calls and tokens are 0 then), and `estimated_cost_usd` outside a
    dry run. `tokens_are_estimated`: whether the tokens that are counted before a call are an estimate, because the
    model's encoding is not known. `price_version`: of the shipped price list, None for a price of the deployment's own.
    """

    traces_queried: int = 0
    summaries_skipped: int = 0
    summaries_failed: int = 0
    summaries_generated: int = 0
    summaries_reused: int = 0
    embedding_requests_succeeded: int = 0
    embedding_requests_failed: int = 0
    embedding_requests_unneeded: int = 0
    summaries_skipped_by_reason: dict[_SkipReasonText, int] = {}
    duration_seconds: float = 0.0
    max_cost_usd: float | None = None
    cost_usd: float | None = None
    model_calls: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    traces_estimated: int = 0
    estimated_input_tokens: int = 0
    estimated_cost_usd: float | None = None
    tokens_are_estimated: bool = False
    price_version: str | None = None


class BatchSummarizationResult(_Frozen):
    """Result of the team state machine."""

    batch_run_id: str
    metrics: BatchSummarizationMetrics


class TeamOutcome(BaseModel):
    """What the coordinator keeps of one team: counts, or id and error name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    team_id: int
    status: Literal["completed", "failed"]
    traces_queried: int = 0
    summaries_generated: int = 0
    cost_usd: float | None = None
    estimated_input_tokens: int = 0
    estimated_cost_usd: float | None = None
    error: str | None = None


class CoordinatorResult(_Frozen):
    """Result of the coordinator. `teams_processed` counts teams with trace activity that completed.

    Costs are sums over the completed teams whose model has a price, None when no team has one.
    """

    teams_processed: int
    teams_idle: int
    teams_failed: int
    failed_team_ids: list[int]
    total_traces: int
    total_summaries: int
    total_cost_usd: float | None
    estimated_input_tokens: int
    estimated_cost_usd: float | None


@dataclass(frozen=True)
class TraceEvent:
    """One stored event of a trace. `properties` is the event's JSON object as stored, parsed."""

    uuid: str
    event: str
    timestamp: datetime
    properties: Mapping[str, Any]


@dataclass(frozen=True)
class TraceExtent:
    """What is known of a stored trace before its content is read. Each event counts once, however often inserted."""

    first_event: datetime
    last_event: datetime
    event_count: int
    properties_bytes: int


@dataclass(frozen=True)
class SummaryItem:
    """One bullet or note.

    `line_refs`: `L10`, `L1-5`, comma-separated; empty when it refers to no line. `verified`: whether there are such
    lines and they were found to show what the text says.
    """

    text: str
    line_refs: str
    verified: bool

    def as_dict(self) -> dict[str, str | bool]:
        """The stored form."""
        return {"text": self.text, "line_refs": self.line_refs, "verified": self.verified}


@dataclass(frozen=True)
class TraceSummary:
    """A validated summary of one trace. `flow_diagram` is Mermaid.

    `line_refs_total` counts the references that the model gave for these bullets and notes, `line_refs_valid` those
    of them that were kept. Both are None when a summary was stored before references were checked.
    """

    title: str
    flow_diagram: str
    bullets: tuple[SummaryItem, ...]
    interesting_notes: tuple[SummaryItem, ...]
    line_refs_valid: int | None
    line_refs_total: int | None


@dataclass(frozen=True)
class ModelUsage:
    """What a model call took, as the provider reports it; None where it does not."""

    model: str
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None = None
    cached_input_tokens: int | None = None  # among input_tokens
    service_tier: str | None = None  # that was billed, where the provider says so
    calls: int = 1

    def __add__(self, later: Self) -> Self:
        """What two calls took together. What either does not report is unknown; model and tier are the later call's."""
        return replace(
            later,
            input_tokens=_sum(self.input_tokens, later.input_tokens),
            output_tokens=_sum(self.output_tokens, later.output_tokens),
            cost_usd=None if self.cost_usd is None or later.cost_usd is None else self.cost_usd + later.cost_usd,
            cached_input_tokens=_sum(self.cached_input_tokens, later.cached_input_tokens),
            calls=self.calls + later.calls,
        )


def _sum(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else first + second


@dataclass(frozen=True)
class RunSpending:
    """What the calls of a team's run took so far. Money still set aside for a call counts as spent."""

    spent_nano_usd: int = 0
    calls: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True)
class StoredSummary:
    """The summary that ClickHouse already holds for a (team, trace, mode): the newest row of its event."""

    timestamp: datetime
    properties: Mapping[str, Any]


@dataclass(frozen=True)
class SummaryEvent:
    """An `$ai_trace_summary` event, ready to insert."""

    uuid: str
    team_id: int
    distinct_id: str
    timestamp: datetime
    properties: Mapping[str, Any]


@dataclass(frozen=True)
class BatchRunRow:
    """A row of `batch_runs`: this window of this team is done."""

    team_id: int
    window: Window
    mode: Mode
    batch_run_id: str
    execution_id: str
    finished_at: datetime
    metrics: BatchSummarizationMetrics

    @classmethod
    def of(cls, run: TeamRun, metrics: BatchSummarizationMetrics, finished_at: datetime) -> Self:
        """The row that a finished run leaves."""
        return cls(run.team_id, run.window, run.mode, run.batch_run_id, run.execution_id, finished_at, metrics)

"""Results add up, whatever mixture of outcomes comes in."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.runs import run_of_team
from trace_summarization import constants as c
from trace_summarization.aggregation import aggregate_run, aggregate_team
from trace_summarization.models import RunSpending, SkipReason, SummarizationActivityResult, TeamOutcome, TeamRun
from trace_summarization.planning import team_run
from trace_summarization.prices import PriceList
from trace_summarization.team_settings import parse_team_settings

RUN, _ = team_run({"team_id": 1}, "2025-01-15T12:00:00Z", "arn:execution", 110)

OUTCOMES = st.one_of(
    st.builds(
        SummarizationActivityResult,
        outcome=st.just("generated"),
        reused=st.booleans(),
        embedding=st.sampled_from(["succeeded", "failed", "unneeded"]),
    ),
    st.builds(SummarizationActivityResult, outcome=st.just("skipped"), reason=st.sampled_from(SkipReason)),
    st.builds(SummarizationActivityResult, outcome=st.just("estimated"), input_tokens=st.integers(1, 10**6)),
    st.builds(SummarizationActivityResult, outcome=st.just("failed"), error=st.just("ModelUnavailable")),
)


def run_of(queried: int, too_long: int) -> TeamRun:
    left_out = {SkipReason.TRACE_ID_TOO_LONG: too_long} if too_long else {}
    return RUN.model_copy(update={"traces_queried": queried, "skipped_at_sampling": left_out})


@given(outcomes=st.lists(OUTCOMES, max_size=30), too_long=st.integers(0, 5))
def test_queried_is_generated_plus_skipped_plus_failed_plus_estimated(
    outcomes: list[SummarizationActivityResult], too_long: int
) -> None:
    run = run_of(len(outcomes) + too_long, too_long)
    metrics = aggregate_team(run, outcomes, RUN.started_at + timedelta(seconds=90)).metrics
    assert metrics.traces_queried == (
        metrics.summaries_generated + metrics.summaries_skipped + metrics.summaries_failed + metrics.traces_estimated
    )
    assert metrics.summaries_generated == (
        metrics.embedding_requests_succeeded + metrics.embedding_requests_failed + metrics.embedding_requests_unneeded
    )
    assert metrics.summaries_skipped == sum(metrics.summaries_skipped_by_reason.values())
    assert metrics.summaries_reused <= metrics.summaries_generated
    assert metrics.estimated_input_tokens >= metrics.traces_estimated
    assert metrics.duration_seconds == 90.0


def test_outcomes_survive_the_way_through_a_state_payload() -> None:
    for outcome in (
        SummarizationActivityResult(outcome="generated", reused=True, embedding="succeeded"),
        SummarizationActivityResult(outcome="skipped", reason=SkipReason.TRACE_ID_TOO_LONG),
        SummarizationActivityResult(outcome="failed", error="ClickHouseQueryFailed"),
        SummarizationActivityResult(outcome="estimated", input_tokens=1_000_000),
    ):
        payload = outcome.model_dump(mode="json", exclude_none=True)
        assert SummarizationActivityResult.model_validate(payload) == outcome


def test_every_outcome_has_at_most_150_bytes() -> None:
    longest_reason = max(SkipReason, key=len)
    outcome = SummarizationActivityResult(
        outcome="generated", reused=False, embedding="succeeded", reason=longest_reason, error="ModelRejectedRequest"
    )
    assert len(outcome.model_dump_json(exclude_none=True).encode()) <= c.MAX_OUTCOME_BYTES


def test_a_run_survives_the_way_through_a_state_payload() -> None:
    run = run_of(3, 2)
    assert TeamRun.model_validate(run.model_dump(mode="json")) == run


def test_teams_are_processed_idle_or_failed() -> None:
    result = aggregate_run(
        [
            TeamOutcome(team_id=1, status="completed", traces_queried=10, summaries_generated=8, cost_usd=0.1),
            TeamOutcome(team_id=2, status="completed"),
            TeamOutcome(team_id=3, status="failed", error="States.TaskFailed"),
            TeamOutcome(team_id=4, status="completed", traces_queried=1, summaries_generated=0, cost_usd=0.2),
        ]
    )
    assert result.model_dump() == {
        "teams_processed": 2,
        "teams_idle": 1,
        "teams_failed": 1,
        "failed_team_ids": [3],
        "total_traces": 11,
        "total_summaries": 8,
        "total_cost_usd": 0.3,
        "estimated_input_tokens": 0,
        "estimated_cost_usd": None,
    }


def test_no_team_is_a_result_too() -> None:
    assert aggregate_run([]).model_dump() == {
        "teams_processed": 0,
        "teams_idle": 0,
        "teams_failed": 0,
        "failed_team_ids": [],
        "total_traces": 0,
        "total_summaries": 0,
        "total_cost_usd": None,
        "estimated_input_tokens": 0,
        "estimated_cost_usd": None,
    }


@pytest.mark.parametrize(
    ("model", "settings", "estimated", "version"),
    [
        ("gpt-4.1-mini", "{}", False, PriceList.shipped().version),
        ("claude-haiku-4-5", "{}", True, PriceList.shipped().version),
        ("my-own", "{}", True, None),
        ("gpt-4.1-mini", '{"prices": {"gpt-4.1-mini": {"input": 1, "output": 1}}}', False, None),
    ],
)
def test_the_metrics_tell_what_their_money_rests_on(
    model: str, settings: str, estimated: bool, version: str | None
) -> None:
    run = run_of_team(1, parse_team_settings(settings), model=model)
    metrics = aggregate_team(run, [], run.started_at).metrics
    assert (metrics.tokens_are_estimated, metrics.price_version) == (estimated, version)


def test_a_ledger_that_could_not_be_read_has_no_cost() -> None:
    metrics = aggregate_team(RUN, [], RUN.started_at, None).metrics
    assert (metrics.cost_usd, metrics.model_calls, metrics.input_tokens) == (None, 0, 0)


def test_what_the_ledger_holds_is_in_the_metrics() -> None:
    spending = RunSpending(1_234_567_890, calls=5, input_tokens=70, cached_input_tokens=20, output_tokens=9)
    metrics = aggregate_team(RUN, [], RUN.started_at, spending).metrics
    assert (metrics.cost_usd, metrics.max_cost_usd) == (1.23456789, 5.0)
    assert (metrics.model_calls, metrics.input_tokens, metrics.cached_input_tokens, metrics.output_tokens) == (
        5,
        70,
        20,
        9,
    )


def test_a_run_without_a_price_has_tokens_and_no_cost() -> None:
    run = RUN.model_copy(update={"price": None, "max_cost_usd": None})
    metrics = aggregate_team(run, [], RUN.started_at, RunSpending(0, calls=1, input_tokens=70)).metrics
    assert (metrics.cost_usd, metrics.input_tokens) == (None, 70)


def test_a_dry_run_prices_input_and_expected_output_and_nothing_for_what_still_holds() -> None:
    outcomes = [
        SummarizationActivityResult(outcome="estimated", input_tokens=1_000),
        SummarizationActivityResult(outcome="estimated", input_tokens=500),
        SummarizationActivityResult(outcome="estimated", input_tokens=0, reused=True),
    ]
    metrics = aggregate_team(RUN.model_copy(update={"dry_run": True}), outcomes, RUN.started_at).metrics
    assert (metrics.traces_estimated, metrics.summaries_reused, metrics.estimated_input_tokens) == (3, 1, 1_500)
    output_tokens = 2 * c.EXPECTED_OUTPUT_TOKENS["detailed"]
    assert metrics.estimated_cost_usd == pytest.approx((1_500 * 0.40 + output_tokens * 1.60) / 1_000_000)


def test_a_dry_run_expects_what_the_model_s_reasoning_takes() -> None:
    estimated = [SummarizationActivityResult(outcome="estimated", input_tokens=0)] * 2
    run = RUN.model_copy(update={"dry_run": True})
    plain, reasoning = (
        aggregate_team(run.model_copy(update={"model": model}), estimated, run.started_at).metrics.estimated_cost_usd
        for model in ("gpt-4.1-mini", "o3")
    )
    assert plain is not None
    added = 2 * c.EXPECTED_REASONING_TOKENS["low"]
    assert reasoning == pytest.approx(plain + added * 1.60 / 1_000_000), "at the price of the run"

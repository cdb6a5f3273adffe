"""What a run will do, fixed once at its start: PlanRun for all teams, and a team's own start."""

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from trace_summarization import constants as c
from trace_summarization.errors import InvalidAllowlist, InvalidInput
from trace_summarization.inputs import parse_inputs, started_by
from trace_summarization.models import (
    BatchSummarizationInputs,
    BatchTraceSummarizationCoordinatorInputs,
    ModelPrice,
    RunPlan,
    TeamInputs,
    TeamRun,
    Window,
)
from trace_summarization.prices import ModelLimits, PriceList
from trace_summarization.requests import max_output_tokens
from trace_summarization.team_settings import TeamLimits, TeamSettings
from trace_summarization.timestamps import format_rfc3339, parse_rfc3339
from trace_summarization.windows import resolve_window

ValueT = TypeVar("ValueT")


def coordinator_settings(
    raw_input: object, execution_start: str
) -> tuple[BatchTraceSummarizationCoordinatorInputs, Window]:
    """The coordinator's checked input and its window. Raises InvalidInput."""
    inputs = parse_inputs(BatchTraceSummarizationCoordinatorInputs, raw_input)
    return inputs, resolve_window(inputs, parse_rfc3339(execution_start))


def plan_run(
    inputs: BatchTraceSummarizationCoordinatorInputs, window: Window, execution_id: str, team_ids: list[int]
) -> RunPlan:
    """The plan that every team's execution follows.

    `run_key` names the run within the children's execution names, which must be unique for 90 days: the window's end
    for people, and a part of the hash of the coordinator's execution id, so that another run of a window is another.
    """
    return RunPlan(
        run_key=f"{window.end:%Y%m%dT%H%M%SZ}-{run_hash(execution_id)}",
        team_ids=team_ids,
        max_concurrent_teams=inputs.max_concurrent_teams,
        team_input=TeamInputs(
            max_traces=inputs.max_traces,
            batch_size=inputs.batch_size,
            mode=inputs.mode,
            model=inputs.model,
            max_cost_usd=inputs.max_cost_usd,
            max_input_tokens=inputs.max_input_tokens,
            dry_run=inputs.dry_run,
            window_start=window.start,
            window_end=window.end,
        ),
    )


def check_cap(inputs: BatchTraceSummarizationCoordinatorInputs, settings: TeamSettings) -> None:
    """Whether the run's model has the price that a cap for all teams needs: no team has to find out by itself.

    Raises InvalidInput.
    """
    _cap(inputs, settings.default, PriceList.shipped(settings.model_prices()).price_of(inputs.model))


def run_hash(execution_id: str) -> str:
    """What names a coordinator's execution within its children's names: 12 hex digits."""
    return hashlib.sha256(execution_id.encode()).hexdigest()[:12]


def parse_allowlist(text: str) -> list[int]:
    """Team ids of the allowlist, each once, in the order given. Raises InvalidAllowlist."""
    allowed = f"allowed is a JSON array of at most {c.MAX_ALLOWED_TEAMS} integers >= 1, such as [1, 2]"
    try:
        team_ids = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidAllowlist(f"team allowlist: not JSON; {allowed}") from error
    if not isinstance(team_ids, list):
        raise InvalidAllowlist(f"team allowlist: {type(team_ids).__name__} is no array; {allowed}")
    for position, team_id in enumerate(team_ids):
        if type(team_id) is not int or not 1 <= team_id <= c.MAX_TEAM_ID:
            raise InvalidAllowlist(f"team allowlist: entry {position} ({str(team_id)[:40]!r}) is no team id; {allowed}")
    distinct = list(dict.fromkeys(team_ids))
    if len(distinct) > c.MAX_ALLOWED_TEAMS:
        raise InvalidAllowlist(f"team allowlist: {len(distinct)} teams; {allowed}")
    return distinct


def team_run(
    raw_input: object,
    execution_start: str,
    execution_id: str,
    deadline_minutes: float,
    settings: Callable[[], TeamSettings] = TeamSettings,
) -> tuple[TeamRun, BatchSummarizationInputs]:
    """A team's run with its window, id, deadline and limits, and its checked input.

    `settings` is called once the input is known to be sound. Raises InvalidInput, also for a cap that cannot be kept.
    """
    inputs = parse_inputs(BatchSummarizationInputs, raw_input)
    started_at = parse_rfc3339(execution_start)
    window = resolve_window(inputs, started_at)
    parent = started_by(raw_input)
    set_up = settings()
    limits = set_up.of_team(inputs.team_id)
    prices = PriceList.shipped(set_up.model_prices())
    price = prices.price_of(inputs.model)
    run = TeamRun(
        team_id=inputs.team_id,
        batch_run_id=f"team_{inputs.team_id}_{format_rfc3339(window.end)}",
        window_start=window.start,
        window_end=window.end,
        mode=inputs.mode,
        model=inputs.model,
        batch_size=inputs.batch_size,
        execution_id=execution_id,
        started_at=started_at,
        deadline=started_at + timedelta(minutes=deadline_minutes),
        spending_key=execution_id if parent is None else _shared_key(parent, inputs, window),
        price=price,
        max_cost_usd=_cap(inputs, limits, price),
        max_input_tokens=_input_tokens(inputs, limits, prices.limits_of(inputs.model)),
        redaction=_first(limits.redaction, c.DEFAULT_REDACTION),
        dry_run=inputs.dry_run,
    )
    return run, inputs


def _shared_key(parent: str, inputs: BatchSummarizationInputs, window: Window) -> str:
    """Under what the parent's attempts at the same work share one cap. Each window, mode and model is other work."""
    span = f"{format_rfc3339(window.start)}/{format_rfc3339(window.end)}"
    return f"{parent}#{span}#{inputs.mode}#{inputs.model}"


def _cap(
    inputs: BatchSummarizationInputs | BatchTraceSummarizationCoordinatorInputs,
    limits: TeamLimits,
    price: ModelPrice | None,
) -> float | None:
    """What the run may spend in USD; None when its model has no price and nobody asked for a cap."""
    if price is not None:
        return _first(inputs.max_cost_usd, limits.max_cost_usd, c.DEFAULT_MAX_COST_USD)
    asked = inputs.max_cost_usd if inputs.max_cost_usd is not None else limits.max_cost_usd
    if asked is None:
        return None
    where = "max_cost_usd" if inputs.max_cost_usd is not None else "max_cost_usd of the team settings"
    raise InvalidInput(
        f"{where}: {asked:g} cannot be kept, because no price is known for the model {inputs.model}; "
        "allowed is a model with a price (state one under prices in the team settings), or no max_cost_usd"
    )


def _input_tokens(inputs: BatchSummarizationInputs, limits: TeamLimits, fits: ModelLimits | None) -> int:
    """Tokens of a trace's text at most: as asked for, and no more than the model's context has room for."""
    asked = _first(inputs.max_input_tokens, limits.max_input_tokens, c.DEFAULT_MAX_INPUT_TOKENS)
    if fits is None:
        return asked
    room = fits.context_window - max_output_tokens(inputs.model, inputs.mode) - c.PROMPT_TOKENS_LIMIT
    return min(asked, room)


def _first(*values: ValueT | None) -> ValueT:
    """The first value that is stated; the last one always is."""
    return next(value for value in values if value is not None)

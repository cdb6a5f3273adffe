"""The ledger against a DynamoDB server on a socket: never above the cap, whatever is lost, whoever is in a hurry."""

import itertools
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from adapters.spending import DynamoDbSpending, read_spending
from local.aws import LocalAws
from tests.flow.http_proxy import Fault, HttpProxy
from tests.integration.spending.conftest import TABLE
from tests.unit.runs import run_of_team
from trace_summarization.errors import BudgetExhausted, InvalidConfiguration, SpendingUnavailable
from trace_summarization.models import ModelUsage, TeamRun
from trace_summarization.prices import nano_usd
from trace_summarization.team_settings import parse_team_settings

MODEL = "gpt-4.1-mini"  # 400 nano-USD per input token, 1,600 per output token
WAIT_SECONDS = 50.0
_TEAM_IDS = itertools.count(1)


@pytest.fixture
def run(proxy: HttpProxy) -> TeamRun:
    return run_of_team(next(_TEAM_IDS), max_cost_usd=0.01)


def ledger(run: TeamRun) -> DynamoDbSpending:
    return DynamoDbSpending(TABLE, run)


def took(input_tokens: int | None, output_tokens: int | None, cached: int = 0, tier: str | None = None) -> ModelUsage:
    return ModelUsage("offline-extractive", input_tokens, output_tokens, None, cached, tier)


def spent(run: TeamRun) -> int:
    return read_spending(TABLE, run).spent_nano_usd


def updates(_: str) -> bool:
    return True


def test_a_settled_call_costs_what_it_took_and_gives_back_the_rest(run: TeamRun) -> None:
    reservation = ledger(run).reserve(MODEL, 1_000, 1_000, None, WAIT_SECONDS)
    assert spent(run) == 1_000 * 400 + 1_000 * 1_600
    reservation.settle(took(1_000, 100, cached=500))
    told = read_spending(TABLE, run)
    assert told.spent_nano_usd == 500 * 400 + 500 * 100 + 100 * 1_600
    assert (told.calls, told.input_tokens, told.cached_input_tokens, told.output_tokens) == (1, 1_000, 500, 100)


def test_a_released_call_costs_nothing_and_is_no_call(run: TeamRun) -> None:
    ledger(run).reserve(MODEL, 1_000, 1_000, None, WAIT_SECONDS).release()
    assert (spent(run), read_spending(TABLE, run).calls) == (0, 0)


def test_a_kept_call_costs_its_whole_reservation(run: TeamRun) -> None:
    ledger(run).reserve(MODEL, 1_000, 1_000, None, WAIT_SECONDS).keep()
    assert (spent(run), read_spending(TABLE, run).calls) == (2_000_000, 1)


def test_a_call_without_token_counts_costs_its_whole_reservation(run: TeamRun) -> None:
    ledger(run).reserve(MODEL, 1_000, 1_000, None, WAIT_SECONDS).settle(took(None, None))
    assert spent(run) == 2_000_000


def test_a_call_that_took_more_than_was_set_aside_counts_in_full(run: TeamRun) -> None:
    ledger(run).reserve(MODEL, 1_000, 100, None, WAIT_SECONDS).settle(took(1_000, 1_000))
    assert spent(run) == 2_000_000


def test_after_a_provider_counted_more_input_than_expected_as_much_more_is_set_aside(run: TeamRun) -> None:
    ledger(run).reserve(MODEL, 1_000, 0, None, WAIT_SECONDS).settle(took(4_000, 0))
    ledger(run).reserve(MODEL, 1_000, 0, None, WAIT_SECONDS).settle(took(2_000, 0))
    before = spent(run)
    held = ledger(run).reserve(MODEL, 1_000, 100, None, WAIT_SECONDS)
    assert spent(run) - before == 4_000 * 400 + 100 * 1_600
    held.release()
    assert spent(run) == before == 6_000 * 400


def test_a_call_beyond_the_cap_is_refused_at_once(run: TeamRun) -> None:
    began = time.monotonic()
    with pytest.raises(BudgetExhausted, match=r"^max_cost_usd: 0\.01"):
        ledger(run).reserve(MODEL, 25_001, 0, None, WAIT_SECONDS)
    ledger(run).reserve(MODEL, 12_500, 0, None, WAIT_SECONDS).settle(took(12_500, 0))
    with pytest.raises(BudgetExhausted):
        ledger(run).reserve(MODEL, 12_501, 0, None, WAIT_SECONDS)
    assert time.monotonic() - began < 2
    ledger(run).reserve(MODEL, 12_500, 0, None, WAIT_SECONDS)
    assert spent(run) == nano_usd(0.01), "the last nano-USD may be spent"


def test_money_that_another_call_holds_is_waited_for(run: TeamRun) -> None:
    holding = ledger(run).reserve(MODEL, 20_000, 0, None, WAIT_SECONDS)
    threading.Timer(1.0, lambda: holding.settle(took(1_000, 0))).start()
    began = time.monotonic()
    ledger(run).reserve(MODEL, 20_000, 0, None, WAIT_SECONDS).release()
    assert time.monotonic() - began > 0.8


def test_the_wait_for_money_ends_when_its_time_is_over(run: TeamRun) -> None:
    ledger(run).reserve(MODEL, 20_000, 0, None, WAIT_SECONDS)
    began = time.monotonic()
    with pytest.raises(BudgetExhausted):
        ledger(run).reserve(MODEL, 20_000, 0, None, 1.0)
    assert 0.9 < time.monotonic() - began < 2.5


def test_nobody_waits_for_a_call_whose_function_must_be_dead(run: TeamRun, aws: LocalAws) -> None:
    ledger(run).reserve(MODEL, 20_000, 0, None, WAIT_SECONDS)
    client = aws.client("dynamodb")
    item = client.get_item(TableName=TABLE, Key={"id": {"S": f"spending#{run.team_id}#{run.spending_key}"}})["Item"]
    [call] = [name for name in item if name.startswith("call_")]
    item[call]["L"][1] = {"N": str(int(time.time()) - 301)}
    client.put_item(TableName=TABLE, Item=item)
    began = time.monotonic()
    with pytest.raises(BudgetExhausted):
        ledger(run).reserve(MODEL, 20_000, 0, None, WAIT_SECONDS)
    assert time.monotonic() - began < 1


def test_runs_of_another_execution_or_team_have_caps_of_their_own(run: TeamRun) -> None:
    ledger(run).reserve(MODEL, 25_000, 0, None, WAIT_SECONDS)
    again = run.model_copy(update={"spending_key": "arn:execution:another"})
    other_team = run.model_copy(update={"team_id": run.team_id + 10_000})
    for other in (again, other_team):
        ledger(other).reserve(MODEL, 25_000, 0, None, WAIT_SECONDS)


def test_a_model_without_a_price_is_counted_and_not_capped(proxy: HttpProxy) -> None:
    run = run_of_team(next(_TEAM_IDS), model="my-own")
    ledger(run).reserve("my-own", 10**9, 10**9, None, WAIT_SECONDS).settle(took(700, 80))
    told = read_spending(TABLE, run)
    assert (told.spent_nano_usd, told.calls, told.input_tokens, told.output_tokens) == (0, 1, 700, 80)


def test_a_price_of_the_deployment_s_own_is_used(proxy: HttpProxy) -> None:
    settings = parse_team_settings('{"prices": {"my-own": {"input": 1, "output": 2}}}')
    run = run_of_team(next(_TEAM_IDS), settings, model="my-own")
    ledger(run).reserve("my-own", 1_000, 0, None, WAIT_SECONDS)
    assert spent(run) == 1_000_000


def test_another_model_than_the_run_s_is_refused(run: TeamRun) -> None:
    with pytest.raises(InvalidConfiguration, match=r"^model gpt-5: "):
        ledger(run).reserve("gpt-5", 1, 1, None, WAIT_SECONDS)


# --- what is lost on the way -----------------------------------------------------------------------------------------


def test_a_reservation_whose_answer_was_lost_counts_once(run: TeamRun, proxy: HttpProxy) -> None:
    with proxy.fault(Fault(updates, times=1, lose_answer=True)) as fault:
        reservation = ledger(run).reserve(MODEL, 1_000, 0, None, WAIT_SECONDS)
    assert fault.taken == 1
    assert spent(run) == 400_000
    reservation.release()
    assert spent(run) == 0


def test_a_settlement_whose_answer_was_lost_counts_once(run: TeamRun, proxy: HttpProxy) -> None:
    reservation = ledger(run).reserve(MODEL, 1_000, 0, None, WAIT_SECONDS)
    with proxy.fault(Fault(updates, times=1, lose_answer=True)) as fault:
        reservation.settle(took(500, 0))
    assert fault.taken == 1
    told = read_spending(TABLE, run)
    assert (told.spent_nano_usd, told.calls, told.input_tokens) == (200_000, 1, 500)


def test_a_ledger_that_does_not_answer_is_unavailable_and_may_keep_what_was_asked_for(
    run: TeamRun, proxy: HttpProxy
) -> None:
    with proxy.fault(Fault(updates, lose_answer=True)), pytest.raises(SpendingUnavailable):
        ledger(run).reserve(MODEL, 1_000, 0, None, WAIT_SECONDS)
    assert spent(run) == 400_000


def test_a_ledger_that_does_not_answer_at_settling_leaves_the_reservation_spent(run: TeamRun, proxy: HttpProxy) -> None:
    reservation = ledger(run).reserve(MODEL, 1_000, 0, None, WAIT_SECONDS)
    with proxy.fault(Fault(updates, status=503)):
        reservation.settle(took(500, 0))
    assert spent(run) == 400_000


def test_a_missing_table_is_a_fault_of_the_configuration(run: TeamRun) -> None:
    with pytest.raises(InvalidConfiguration, match=r"^table nowhere: ResourceNotFoundException$"):
        DynamoDbSpending("nowhere", run).reserve(MODEL, 1, 1, None, WAIT_SECONDS)


# --- many at once ----------------------------------------------------------------------------------------------------


def test_forty_at_once_leave_exactly_what_their_calls_took(run: TeamRun) -> None:
    def call(number: int) -> int:
        ledger(run).reserve(MODEL, 100, 0, None, WAIT_SECONDS).settle(took(number % 90, 0))
        return (number % 90) * 400

    with ThreadPoolExecutor(40) as pool:
        billed = sum(pool.map(call, range(300)))
    assert spent(run) == billed
    assert read_spending(TABLE, run).calls == 300


def test_forty_at_once_never_pass_the_cap_and_use_it_up_when_a_tenth_of_all_answers_is_lost(
    run: TeamRun, proxy: HttpProxy
) -> None:
    """Each call sets aside 0.0009 USD and takes a tenth of it, more or less; billed is what was really asked for."""
    cap = nano_usd(0.01)
    billed: list[int] = []
    highest: list[int] = []
    lottery = random.Random(7)  # noqa: S311 - a test's dice

    def lost(_: str) -> bool:
        return lottery.random() < 0.1

    def call(number: int) -> bool:
        try:
            reservation = ledger(run).reserve(MODEL, 1_000, 312, None, WAIT_SECONDS)
        except (BudgetExhausted, SpendingUnavailable):
            return False
        output = number % 60
        billed.append(1_000 * 400 // 10 + output * 1_600)
        time.sleep(0.02)
        reservation.settle(took(100, output))
        highest.append(spent_or_none(run))
        return True

    with proxy.fault(Fault(lost, lose_answer=True)), ThreadPoolExecutor(40) as pool:
        done = list(pool.map(call, range(400)))
    assert 0 < sum(done) < 400
    assert sum(billed) <= cap
    assert max(highest) <= cap
    assert sum(billed) >= 0.8 * cap


def spent_or_none(run: TeamRun) -> int:
    try:
        return spent(run)
    except SpendingUnavailable:
        return 0

"""The ledger of what a team's run has spent: one DynamoDB item per team and run.

    id                   spending#{team_id}#{spending_key}
    committed            nano-USD that are spent or set aside: never above the run's cap
    call_{id}            one attribute for each call that money is set aside for now: [nano-USD, epoch seconds]
    calls, input_tokens, cached_input_tokens, output_tokens
    input_permille       the most input tokens that a provider reported for 1,000 counted ones, where it was more
    expires_at           when DynamoDB may delete the item, epoch seconds

`reserve` raises `committed` by the most that a call can cost and adds the call's attribute, in one conditional update
that holds however many callers there are; `settle`, `release` and `keep` take the attribute away and lower `committed`
by what is given back. The call's attribute makes each update safe to repeat: an update whose answer was lost finds it
there, or gone. Neither a transaction nor a request token does as much: transactions on one item cancel each other, and
tokens are remembered for ten minutes only. Settled calls leave nothing behind, so that the item stays small.

Whatever goes wrong in between errs on the side of the cap: an update that arrives late, a function that is killed
before it settles and a ledger that does not answer at settling all leave the whole reservation spent.
"""

import functools
import math
import random
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import boto3
from aws_lambda_powertools import Logger
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from trace_summarization import constants as c
from trace_summarization.errors import BudgetExhausted, InvalidConfiguration, SpendingUnavailable
from trace_summarization.models import ModelUsage, RunSpending, TeamRun
from trace_summarization.prices import cost_nano_usd, most_nano_usd, nano_usd, usd

__all__ = ["DynamoDbSpending", "read_spending"]

_CALL_PREFIX: Final = "call_"
_PERMILLE: Final = 1_000
_RETENTION_SECONDS: Final = int(timedelta(days=c.LEDGER_RETENTION_DAYS).total_seconds())
_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 3.0
# An update takes milliseconds: three quick attempts, throttling included, then the state machine has its own patience.
_CLIENT_CONFIG = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 3, "mode": "standard"})
# Answers that no further attempt changes.
_FINAL_CODES = ("AccessDeniedException", "ResourceNotFoundException", "UnrecognizedClientException")

logger = Logger(child=True)


@functools.cache
def _dynamodb() -> Any:
    return boto3.client("dynamodb", config=_CLIENT_CONFIG)


@dataclass(frozen=True)
class _Ledger:
    """What the item holds of money, in nano-USD. `returning`: what calls may still give back."""

    committed: int
    returning: int
    calls_open: frozenset[str]
    input_permille: int = 0

    @classmethod
    def of(cls, item: Mapping[str, Mapping[str, Any]], now: float) -> "_Ledger":
        open_calls = {name: value["L"] for name, value in item.items() if name.startswith(_CALL_PREFIX)}
        returning = sum(
            int(amount["N"])
            for amount, since in open_calls.values()
            if now - int(since["N"]) < c.RESERVATION_LIFETIME_SECONDS
        )
        return cls(_number(item, "committed"), returning, frozenset(open_calls), _number(item, "input_permille"))


class DynamoDbSpending:
    """`Spending` of one team's run."""

    def __init__(self, table: str, run: TeamRun) -> None:
        self._table = table
        self._run = run
        self._key = _key(run)
        self._cap = None if run.max_cost_usd is None else nano_usd(run.max_cost_usd)

    def reserve(
        self, model: str, input_tokens: int, max_output_tokens: int, service_tier: str | None, wait_seconds: float
    ) -> "_Reserved":
        """Set aside the most that the call can cost, waiting for other calls to give back what they do not need.

        Where a provider counted more input than was expected of it, as much more is expected for the rest of the run.
        Raises BudgetExhausted when no money is left, or none came free in time, and SpendingUnavailable.
        """
        if model != self._run.model:
            raise InvalidConfiguration(f"model {model}: its price is not the run's, which asks {self._run.model}")
        price = self._run.price

        def most(permille: int) -> int:
            expected = math.ceil(input_tokens * permille / _PERMILLE)
            return 0 if price is None else most_nano_usd(price, expected, max_output_tokens, service_tier)

        permille = _PERMILLE
        amount = most(permille)
        call = _CALL_PREFIX + uuid.uuid4().hex
        began = time.monotonic()
        while (ledger := self._try_to_reserve(call, amount, permille)) is not None:
            if ledger.input_permille > permille:
                permille = ledger.input_permille
                amount = most(permille)
                continue
            missing = self._missing(ledger, amount)
            if missing > ledger.returning or time.monotonic() - began >= wait_seconds:
                raise BudgetExhausted(
                    f"max_cost_usd: {usd(self._cap or 0):f} is used up to {usd(ledger.committed):f}; "
                    f"this call may take {usd(amount):f}"
                )
            # Who has waited for long asks less often: each question is paid for.
            longest = min(_LONGEST_PAUSE_SECONDS, 5 * _SHORTEST_PAUSE_SECONDS + (time.monotonic() - began) / 10)
            time.sleep(random.uniform(_SHORTEST_PAUSE_SECONDS, longest))  # noqa: S311 - no secret
        return _Reserved(self._table, self._key, self._run, call, amount, input_tokens)

    def _missing(self, ledger: _Ledger, amount: int) -> int:
        return ledger.committed + amount - (self._cap or 0)

    def _try_to_reserve(self, call: str, amount: int, permille: int) -> _Ledger | None:
        """None when the money is set aside, else the ledger that leaves no room for it or asks for more per token."""
        now = int(time.time())
        values: dict[str, Any] = {
            ":amount": {"N": str(amount)},
            ":call": {"L": [{"N": str(amount)}, {"N": str(now)}]},
            ":expires": {"N": str(now + _RETENTION_SECONDS)},
            ":permille": {"N": str(permille)},
        }
        condition = (
            "attribute_not_exists(#call) AND (attribute_not_exists(input_permille) OR input_permille <= :permille)"
        )
        if self._cap is not None:
            if amount > self._cap:
                return _Ledger(0, 0, frozenset())
            condition += " AND (attribute_not_exists(committed) OR committed <= :room)"
            values[":room"] = {"N": str(self._cap - amount)}
        try:
            _dynamodb().update_item(
                TableName=self._table,
                Key=self._key,
                UpdateExpression="ADD committed :amount SET #call = :call, expires_at = :expires",
                ConditionExpression=condition,
                ExpressionAttributeNames={"#call": call},
                ExpressionAttributeValues=values,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if _code(error) != "ConditionalCheckFailedException":
                raise _typed(self._table, error) from error
            ledger = _Ledger.of(error.response.get("Item", {}), now)
            # An attempt whose answer was lost has set it aside already.
            return None if call in ledger.calls_open else ledger
        except BotoCoreError as error:
            raise _typed(self._table, error) from error
        return None


class _Reserved:
    """A `Reservation`: money set aside for one call, until one of its methods is called.

    A ledger that does not answer then leaves all of it spent, which is logged: an answer that was paid for is worth
    more than its exact place in the ledger.
    """

    def __init__(
        self, table: str, key: Mapping[str, Any], run: TeamRun, call: str, amount: int, input_tokens: int
    ) -> None:
        self._table = table
        self._key = key
        self._run = run
        self._call = call
        self._amount = amount
        self._input_tokens = input_tokens

    def settle(self, usage: ModelUsage) -> None:
        """What the call took stays spent, by the price of the model that was asked; the rest is given back."""
        cost = self._amount if self._run.price is None else cost_nano_usd(self._run.price, usage)
        if cost is None:
            logger.warning("The provider reported no token counts: the call counts as its reservation")
            cost = self._amount
        if cost > self._amount:
            logger.warning(
                "A call cost more than was set aside for it",
                extra={"cost_usd": str(usd(cost)), "set_aside_usd": str(usd(self._amount))},
            )
        self._close(cost, calls=1, usage=usage)
        if (usage.input_tokens or 0) > self._input_tokens > 0:
            self._expect_more_input(math.ceil((usage.input_tokens or 0) * _PERMILLE / self._input_tokens))

    def _expect_more_input(self, permille: int) -> None:
        try:
            _dynamodb().update_item(
                TableName=self._table,
                Key=self._key,
                UpdateExpression="SET input_permille = :permille",
                ConditionExpression="attribute_not_exists(input_permille) OR input_permille < :permille",
                ExpressionAttributeValues={":permille": {"N": str(permille)}},
            )
        except (ClientError, BotoCoreError) as error:
            if _code(error) != "ConditionalCheckFailedException":
                logger.warning("The ledger did not answer: no more is set aside", extra={"error": _code(error)})

    def release(self) -> None:
        """The call was refused before the model ran: all is given back."""
        self._close(0, calls=0)

    def keep(self) -> None:
        """Whether the call is billed is unknown: all of it counts as spent."""
        self._close(self._amount, calls=1)

    def _close(self, cost: int, calls: int, usage: ModelUsage | None = None) -> None:
        counted = {
            "committed": cost - self._amount,
            "calls": calls,
            "input_tokens": usage.input_tokens if usage else 0,
            "cached_input_tokens": usage.cached_input_tokens if usage else 0,
            "output_tokens": usage.output_tokens if usage else 0,
        }
        try:
            _dynamodb().update_item(
                TableName=self._table,
                Key=self._key,
                UpdateExpression=f"ADD {', '.join(f'#{name} :{name}' for name in counted)} REMOVE #call",
                ConditionExpression="attribute_exists(#call)",
                ExpressionAttributeNames={"#call": self._call, **{f"#{name}": name for name in counted}},
                ExpressionAttributeValues={f":{name}": {"N": str(value or 0)} for name, value in counted.items()},
            )
        except (ClientError, BotoCoreError) as error:
            # Without the attribute, an attempt whose answer was lost has closed it already.
            if _code(error) != "ConditionalCheckFailedException":
                logger.warning(
                    "The ledger did not answer: the call counts as its reservation",
                    extra={"error": _code(error), "set_aside_usd": str(usd(self._amount))},
                )


def read_spending(table: str, run: TeamRun) -> RunSpending:
    """What the run's calls took so far. Raises SpendingUnavailable or InvalidConfiguration."""
    try:
        answer = _dynamodb().get_item(TableName=table, Key=_key(run), ConsistentRead=True)
    except (ClientError, BotoCoreError) as error:
        raise _typed(table, error) from error
    item = answer.get("Item", {})
    return RunSpending(
        spent_nano_usd=_number(item, "committed"),
        calls=_number(item, "calls"),
        input_tokens=_number(item, "input_tokens"),
        cached_input_tokens=_number(item, "cached_input_tokens"),
        output_tokens=_number(item, "output_tokens"),
    )


def _key(run: TeamRun) -> dict[str, Any]:
    return {"id": {"S": f"spending#{run.team_id}#{run.spending_key}"}}


def _number(item: Mapping[str, Mapping[str, Any]], name: str) -> int:
    return int(item[name]["N"]) if name in item else 0


def _code(error: ClientError | BotoCoreError) -> str:
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__


def _typed(table: str, error: ClientError | BotoCoreError) -> SpendingUnavailable | InvalidConfiguration:
    code = _code(error)
    if code in _FINAL_CODES:
        return InvalidConfiguration(f"table {table}: {code}")
    return SpendingUnavailable(f"table {table}: {code}")

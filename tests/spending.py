"""A budget that grants what it is told to and remembers what happened, for tests."""

import time
from dataclasses import dataclass, field

from trace_summarization.errors import BudgetExhausted
from trace_summarization.models import ModelUsage


@dataclass(frozen=True)
class Reserved:
    """What one reservation was for."""

    model: str
    input_tokens: int
    max_output_tokens: int
    service_tier: str | None
    wait_seconds: float


@dataclass
class RecordedSpending:
    """A `Spending` that grants so many reservations, each after a wait; None grants all.

    `log` has one word for each reservation and one for how it ended: `reserve`, `settle`, `release`, `keep`.
    """

    grants: int | None = None
    wait_seconds: float = 0.0
    log: list[str] = field(default_factory=list)
    reserved: list[Reserved] = field(default_factory=list)
    settled: list[ModelUsage] = field(default_factory=list)

    def reserve(
        self, model: str, input_tokens: int, max_output_tokens: int, service_tier: str | None, wait_seconds: float
    ) -> "_RecordedReservation":
        if self.grants is not None and len(self.reserved) >= self.grants:
            raise BudgetExhausted("the budget of this test is spent")
        time.sleep(self.wait_seconds)
        self.reserved.append(Reserved(model, input_tokens, max_output_tokens, service_tier, wait_seconds))
        self.log.append("reserve")
        return _RecordedReservation(self)


class _RecordedReservation:
    def __init__(self, spending: RecordedSpending) -> None:
        self._spending = spending

    def settle(self, usage: ModelUsage) -> None:
        self._spending.log.append("settle")
        self._spending.settled.append(usage)

    def release(self) -> None:
        self._spending.log.append("release")

    def keep(self) -> None:
        self._spending.log.append("keep")

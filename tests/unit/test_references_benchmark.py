"""The benchmark of references: that it measures what it says, and that its limits hold."""

from typing import Any

import pytest

from bench import references


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    return references.run()


def test_there_are_pairs_enough_of_every_kind(result: dict[str, Any]) -> None:
    assert result["true_pairs"] >= 300
    assert result["shuffled_pairs"] >= 300
    assert result["paraphrases"] >= 80
    assert set(result["true_rejected_by_source"]) == {"amount", "call", "paraphrase", "sentence"}
    assert set(result["shuffled_rejected_by_source"]) == {"other trace", "same trace"}


def test_the_limits_hold_on_the_half_that_was_not_looked_at(result: dict[str, Any]) -> None:
    assert result["held_out"]["true_rejected"] <= references.MAX_TRUE_REJECTED
    assert result["held_out"]["shuffled_rejected"] >= references.MIN_SHUFFLED_REJECTED


@pytest.mark.parametrize(
    "change",
    [
        {"true_pairs": 299},
        {"paraphrases": 79},
        {"true_rejected": 0.06},
        {"shuffled_rejected": 0.89},
        {"held_out": {"true_rejected": 0.06, "shuffled_rejected": 1.0}},
    ],
)
def test_a_missed_limit_fails_it(result: dict[str, Any], change: dict[str, Any]) -> None:
    assert references.passes(result)
    assert not references.passes({**result, **change})

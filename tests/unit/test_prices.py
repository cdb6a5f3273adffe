"""Prices: which model a name means, and what its tokens cost, to the nano-USD."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trace_summarization.models import ModelUsage
from trace_summarization.prices import (
    PRICES_FILE,
    PriceList,
    cost_nano_usd,
    model_price,
    most_nano_usd,
    nano_usd,
    priced,
    usd,
)

MINI = model_price("0.40", "0.10", "1.60")
tokens = st.integers(0, 10**7)


def usage(
    input_tokens: int | None,
    output_tokens: int | None,
    cached: int | None = None,
    tier: str | None = None,
    model: str = "gpt-4.1-mini-2025-04-14",
) -> ModelUsage:
    return ModelUsage(model, input_tokens, output_tokens, None, cached, tier)


def cost_usd(model: str, taken: ModelUsage) -> Decimal | None:
    price = PriceList.shipped().price_of(model)
    assert price is not None
    nano = cost_nano_usd(price, taken)
    return None if nano is None else usd(nano)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("gpt-4.1-mini-2025-04-14", "gpt-4.1-mini"),
        ("openai/gpt-4.1-mini", "gpt-4.1-mini"),
        ("azure/gpt-4o-2024-08-06", "gpt-4o"),
        ("openrouter/openai/gpt-5-nano", "gpt-5-nano"),
        ("anthropic/claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
        ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("amazon.nova-lite-v1:0", "nova-lite"),
        ("us.amazon.nova-lite-v1:0", "nova-lite"),
        ("models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("gemini-2.5-flash-001", "gemini-2.5-flash"),
    ],
)
def test_a_name_leads_to_its_model(name: str, model: str) -> None:
    prices = PriceList.shipped()
    assert prices.price_of(name) == prices.price_of(model) is not None
    assert prices.limits_of(name) == prices.limits_of(model) is not None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "gpt",
        "my-model",
        "offline-extractive",
        "ft:gpt-4o-mini-2024-07-18:acme",
        "gpt-4o-audio-preview",
        "gpt-4.1-x",
    ],
)
def test_a_name_that_no_price_was_stated_for_has_none(name: str) -> None:
    assert PriceList.shipped().price_of(name) is None


def test_a_snapshot_with_a_price_of_its_own_keeps_it() -> None:
    assert PriceList.shipped().price_of("gpt-4o-2024-05-13") == model_price("5", None, "15")


def test_bedrock_s_geographic_endpoints_cost_a_tenth_more() -> None:
    prices = PriceList.shipped()
    assert prices.price_of("us.anthropic.claude-haiku-4-5-20251001-v1:0") == model_price("1.1", "0.11", "5.5")


def test_a_deployment_s_price_comes_before_the_shipped_one() -> None:
    mine = model_price("0.01", None, "0.02")
    prices = PriceList.shipped({"gpt-4.1-mini": mine, "vllm/my-model": mine})
    for name in ("gpt-4.1-mini", "openai/gpt-4.1-mini", "vllm/my-model"):
        assert prices.price_of(name) == mine
    assert prices.price_of("my-model") is None
    assert prices.price_of("gpt-4.1") == PriceList.shipped().price_of("gpt-4.1")


def test_tokens_cost_by_their_kind() -> None:
    assert cost_usd("gpt-4.1-mini", usage(1_000_000, 0)) == Decimal("0.4")
    assert cost_usd("gpt-4.1-mini", usage(1_000_000, 0, cached=1_000_000)) == Decimal("0.1")
    assert cost_usd("gpt-4.1-mini", usage(0, 1_000_000)) == Decimal("1.6")
    assert cost_usd("gpt-4.1-mini", usage(1_234, 567, cached=1_024)) == Decimal("0.0010936")


def test_tokens_that_the_provider_did_not_count_have_no_cost() -> None:
    assert cost_usd("gpt-4.1-mini", usage(None, 5)) is None
    assert cost_usd("gpt-4.1-mini", usage(5, None)) is None


def test_flex_halves_the_price_of_models_that_offer_it_and_of_no_other() -> None:
    assert cost_usd("gpt-5-mini", usage(1_000, 1_000, tier="flex")) == Decimal("0.001125")
    assert cost_usd("gpt-5-mini", usage(1_000, 1_000, tier="default")) == Decimal("0.00225")
    assert cost_usd("gpt-4.1-mini", usage(1_000, 0, tier="flex")) == Decimal("0.0004")


def test_priority_is_set_aside_by_the_dearest_factor_also_where_the_provider_s_project_decides() -> None:
    standard = most_nano_usd(MINI, 1_000, 100)
    assert most_nano_usd(MINI, 1_000, 100, "priority") == most_nano_usd(MINI, 1_000, 100, "auto") == standard * 5 // 2
    assert cost_nano_usd(MINI, usage(1_000, 100, tier="priority")) == standard * 5 // 2


def test_half_a_nano_usd_is_rounded_up() -> None:
    assert cost_nano_usd(model_price("0.005", None, "0.005", flex=True), usage(1, 0, tier="flex")) == 3
    assert cost_nano_usd(model_price("0.0000001", None, "0"), usage(1, 0)) == 1


@given(tokens, tokens, tokens, st.sampled_from([None, "auto", "default", "flex", "priority", "scale"]))
def test_no_call_costs_more_than_the_most_that_it_can(
    input_tokens: int, output_tokens: int, cached: int, tier: str | None
) -> None:
    """Whatever part of the input is cached, and whichever tier answers a request for the flex or the standard one."""
    for model in ("gpt-4.1-mini", "gpt-5-nano", "us.anthropic.claude-haiku-4-5"):
        price = PriceList.shipped().price_of(model)
        assert price is not None
        cost = cost_nano_usd(price, usage(input_tokens, output_tokens, cached, tier))
        assert cost is not None
        assert 0 <= cost <= most_nano_usd(price, input_tokens, output_tokens, tier)


@given(st.integers(0, 10**13))
def test_money_keeps_its_value_through_every_form(amount: int) -> None:
    assert nano_usd(float(usd(amount))) in (amount, amount - 1)
    assert usd(amount) * 10**9 == amount


def test_a_cap_is_never_made_larger() -> None:
    assert nano_usd(0.1) == 100_000_000
    assert nano_usd(0.000_000_001_9) == 1


def test_the_calls_for_one_summary_are_priced_each_by_its_tier() -> None:
    price = PriceList.shipped().price_of("gpt-5-mini")
    together = priced(price, [usage(1_000, 0, tier="flex"), usage(1_000, 100, tier="default")])
    assert together.cost_usd == pytest.approx(0.000_125 + 0.000_45)
    assert (together.calls, together.input_tokens, together.output_tokens) == (2, 2_000, 100)


def test_what_nobody_bills_or_prices_has_no_cost() -> None:
    assert priced(MINI, [usage(1_000, 100, model="offline-extractive")]).cost_usd is None
    assert priced(None, [usage(1_000, 100)]).cost_usd is None
    assert priced(MINI, [usage(1_000, 100), usage(None, None)]).cost_usd is None


def test_the_list_names_its_version_unit_and_the_source_of_every_price() -> None:
    document = json.loads(PRICES_FILE.read_text("utf-8"))
    assert PriceList.shipped().version == document["version"]
    assert document["unit"] == "USD per million tokens"
    for name, stated in document["models"].items():
        assert stated["source"] in document["sources"], name
        price, limits = PriceList.shipped().price_of(name), PriceList.shipped().limits_of(name)
        assert price is not None
        assert limits is not None
        assert 0 < price.cached_input <= price.input <= price.output, name
        assert limits.max_output_tokens < limits.context_window, name

"""What a model's tokens cost: `data/prices.json`, and the prices that a deployment adds.

Money is counted in whole nano-USD (10^-9 USD). A price is held in pico-USD per token (10^-12 USD), which is what "USD
per million tokens" with up to six decimals is, so that nothing is ever rounded but the cost of a whole call: up.
"""

import functools
import json
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Self

from trace_summarization import constants as c
from trace_summarization.models import ModelPrice, ModelUsage

PRICES_FILE: Final = Path(__file__).parent / "data" / "prices.json"
FLEX_TIER: Final = "flex"
PRIORITY_TIER: Final = "priority"
AUTO_TIER: Final = "auto"

_NANO_PER_USD = 1_000_000_000
_PICO_PER_NANO = 1_000
_PICO_PER_TOKEN_OF_USD_PER_MILLION = 1_000_000
_PRIORITY_FACTOR = (5, 2)  # the most that a priority tier costs (gpt-5.5); for other models 1.7 to 2 times the standard
# Snapshots are priced as their model: -2025-04-14, -20250929, @20250929, -001, -latest; Bedrock adds -v1:0.
_SNAPSHOT = re.compile(r"(?:-\d{4}-\d{2}-\d{2}|[-@]\d{8}|-\d{3}|-latest)?(?:-v\d+(?::\d+)?)?$")
_BEDROCK_NAME = re.compile(r"(?:(?P<area>global|[a-z]{2,6}(?:-gov)?)\.)?(?P<vendor>anthropic|amazon)\.(?P<name>.+)")
# Bedrock's geographic endpoints cost a tenth more than its global one for Claude 4.5 and later (Anthropic's prices).
_GEOGRAPHIC_SURCHARGE = (11, 10)


@dataclass(frozen=True)
class ModelLimits:
    """What fits into one call at this price, in tokens. Models that charge more for a long context end before it."""

    context_window: int
    max_output_tokens: int


@dataclass(frozen=True)
class _Entry:
    price: ModelPrice
    limits: ModelLimits


@dataclass(frozen=True)
class PriceList:
    """Prices by model: those shipped, or those of a deployment before them."""

    version: str
    entries: Mapping[str, _Entry]
    overrides: Mapping[str, ModelPrice]

    @classmethod
    def shipped(cls, overrides: Mapping[str, ModelPrice] | None = None) -> Self:
        """The list of `data/prices.json`; `overrides` come first, under the name that a run asks for."""
        version, entries = _shipped_entries()
        return cls(version, entries, overrides or {})

    def price_of(self, model: str) -> ModelPrice | None:
        """The price of a model by the name that an endpoint knows it by; None when nobody stated one.

        Gateway prefixes (`openai/...`, `azure/...`), Bedrock's names and dated snapshots lead to their model.
        """
        name, surcharged = _plain_name(model)
        for candidate in (model, name):
            if candidate in self.overrides:
                return self.overrides[candidate]
        entry = self._entry(name)
        if entry is None:
            return None
        return _surcharged(entry.price) if surcharged else entry.price

    def limits_of(self, model: str) -> ModelLimits | None:
        """What fits into one call of a model; None for a model that is not on the shipped list."""
        entry = self._entry(_plain_name(model)[0])
        return entry.limits if entry else None

    def _entry(self, name: str) -> _Entry | None:
        return self.entries.get(name) or self.entries.get(_SNAPSHOT.sub("", name))


def priced(price: ModelPrice | None, usages: Sequence[ModelUsage]) -> ModelUsage:
    """What the calls for one summary took together, with their cost in USD; None without a price or for nobody's bill.

    Each call is priced by its own tier.
    """
    together = functools.reduce(operator.add, usages)
    costs = [cost_nano_usd(price, usage) for usage in usages] if price else []
    known = [cost for cost in costs if cost is not None]
    if together.model == c.OFFLINE_MODEL or not known or len(known) < len(usages):
        return replace(together, cost_usd=None)
    return replace(together, cost_usd=float(usd(sum(known))))


def cost_nano_usd(price: ModelPrice, usage: ModelUsage) -> int | None:
    """What a call cost, in nano-USD rounded up; None when the provider did not report both token counts."""
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    cached = min(usage.cached_input_tokens or 0, usage.input_tokens)
    pico = (
        (usage.input_tokens - cached) * price.input + cached * price.cached_input + usage.output_tokens * price.output
    )
    return _nano(pico, price, usage.service_tier)


def most_nano_usd(price: ModelPrice, input_tokens: int, output_tokens: int, service_tier: str | None = None) -> int:
    """The most that a call can cost, in nano-USD: nothing cached, and no discount, which is known only afterwards.

    What `auto` means is set in the provider's project: it may be priority.
    """
    tier = PRIORITY_TIER if service_tier in (PRIORITY_TIER, AUTO_TIER) else None
    return _nano(input_tokens * price.input + output_tokens * price.output, price, tier)


def usd(nano_usd: int) -> Decimal:
    """Nano-USD as USD, exactly."""
    return Decimal(nano_usd).scaleb(-9)


def nano_usd(amount_usd: float) -> int:
    """USD as nano-USD, rounded down: a cap is never made larger."""
    return int(Decimal(repr(amount_usd)).scaleb(9))


def model_price(input_usd: str, cached_input_usd: str | None, output_usd: str, flex: bool = False) -> ModelPrice:
    """A price from decimal texts in USD per million tokens. Cached input without a price of its own costs the whole."""
    return ModelPrice(
        input=_pico(input_usd),
        cached_input=_pico(cached_input_usd if cached_input_usd is not None else input_usd),
        output=_pico(output_usd),
        flex=flex,
    )


def _nano(pico: int, price: ModelPrice, service_tier: str | None) -> int:
    numerator, denominator = 1, 1
    if service_tier == FLEX_TIER and price.flex:
        denominator = 2
    elif service_tier == PRIORITY_TIER:
        numerator, denominator = _PRIORITY_FACTOR
    return -(-pico * numerator // (denominator * _PICO_PER_NANO))


def _pico(usd_per_million: str) -> int:
    """Pico-USD per token, rounded up beyond the sixth decimal."""
    return int((Decimal(usd_per_million) * _PICO_PER_TOKEN_OF_USD_PER_MILLION).to_integral_value("ROUND_CEILING"))


def _plain_name(model: str) -> tuple[str, bool]:
    """The name without gateway and vendor, and whether it costs Bedrock's geographic surcharge."""
    name = model.rpartition("/")[2]
    bedrock = _BEDROCK_NAME.fullmatch(name)
    if bedrock is None:
        return name, False
    return bedrock["name"], bedrock["vendor"] == "anthropic" and bedrock["area"] != "global"


def _surcharged(price: ModelPrice) -> ModelPrice:
    numerator, denominator = _GEOGRAPHIC_SURCHARGE

    def raised(pico: int) -> int:
        return -(-pico * numerator // denominator)

    return ModelPrice(
        input=raised(price.input),
        cached_input=raised(price.cached_input),
        output=raised(price.output),
        flex=price.flex,
    )


@functools.cache
def _shipped_entries() -> tuple[str, Mapping[str, _Entry]]:
    document: dict[str, Any] = json.loads(PRICES_FILE.read_text("utf-8"))
    entries = {
        name: _Entry(
            model_price(stated["input"], stated.get("cached_input"), stated["output"], stated.get("flex", False)),
            ModelLimits(stated["context_window"], stated["max_output_tokens"]),
        )
        for name, stated in document["models"].items()
    }
    return str(document["version"]), entries

"""The secret that says how the model is reached."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from adapters.secrets import ModelSecret

CONFIGURATION_PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
KEY = "sk-" + "test-" + "0123456789"


def test_a_key_is_enough_for_openai() -> None:
    secret = ModelSecret(api_key=KEY)
    assert (secret.base_url, secret.provider) == ("https://api.openai.com/v1", "api.openai.com")
    assert secret.service_tier is None


def test_an_endpoint_of_ones_own_needs_no_key() -> None:
    secret = ModelSecret(base_url="http://vllm.internal:8000/v1")
    assert (secret.api_key, secret.provider) == (None, "vllm.internal")


def test_secrets_of_the_same_content_are_the_same_key_of_a_cache() -> None:
    first, second, other = (ModelSecret(api_key=KEY, headers={"a": value}) for value in ("1", "1", "2"))
    assert hash(first) == hash(second)
    assert {first, second, other} == {first, other}


def test_neither_key_nor_headers_nor_query_are_shown() -> None:
    shown = repr(ModelSecret(api_key=KEY, headers={"api-key": KEY}, query={"key": KEY}))
    assert KEY not in shown


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "api_key: missing; only endpoints other than api.openai.com may do without"),
        ({"api_key": ""}, "api_key"),
        ({"api_key": "two words"}, "api_key"),
        ({"api_key": KEY, "base_url": "ftp://x"}, "base_url"),
        ({"api_key": KEY, "headers": {"a b": "c"}}, "headers"),
        ({"api_key": KEY, "headers": {"a": "b\r\nc: d"}}, "headers"),
        ({"api_key": KEY, "headers": {"a": 5}}, "headers"),
        ({"api_key": KEY, "query": {"a": None}}, "query"),
        ({"api_key": KEY, "service_tier": "felx"}, "service_tier"),
        ({"api_key": KEY, "tier": "flex"}, "tier"),
    ],
)
def test_a_secret_that_cannot_be_meant_is_refused(value: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ModelSecret.model_validate(value)
    assert message in str(caught.value)
    assert KEY not in str(caught.value)


def test_the_endpoints_shown_in_the_documentation_are_valid() -> None:
    page = CONFIGURATION_PAGE.read_text(encoding="utf-8")
    section = page.partition("## The model's endpoint\n")[2].partition("\n## ")[0]
    shown = [json.loads(text) for text in re.findall(r"`(\{.*?\})`", section)]
    assert len(shown) >= 6
    for secret in shown:
        assert set(secret) == ModelSecret.model_validate(secret).model_fields_set

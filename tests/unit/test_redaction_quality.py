"""How much is found and how much is taken by mistake, over the cases of `python -m bench redaction`."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from bench import redaction
from trace_summarization.redaction import Redactor


@pytest.fixture(scope="module")
def result() -> Mapping[str, Any]:
    return redaction.run()


def test_recall_and_precision_hold_their_limits(result: Mapping[str, Any]) -> None:
    assert not redaction.misses_its_limits(dict(result)), redaction.report(dict(result))


def test_there_are_enough_cases_to_tell(result: Mapping[str, Any]) -> None:
    cases = result["cases"]

    assert cases["look-alike"] >= 250
    assert sum(cases.values()) - cases["look-alike"] >= 250
    assert all(count >= 20 for count in cases.values())


def test_traces_of_2_million_characters_take_no_longer_than_allowed(result: Mapping[str, Any]) -> None:
    assert result["seconds_for_2_million_characters"] <= 1.5


def test_every_case_stays_json_within_json() -> None:
    for case in redaction.cases():
        tool_result = json.dumps({"content": json.dumps({"output": case.text})})

        assert json.loads(json.loads(Redactor().redact(tool_result))["content"])


def test_redacting_a_case_twice_changes_nothing() -> None:
    for case in redaction.cases():
        once = Redactor().redact(case.text)

        assert Redactor().redact(once) == once

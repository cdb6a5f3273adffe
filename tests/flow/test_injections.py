"""Injections planted in traces, with a model that obeys them: what is stored obeys the rules all the same."""

import json

import pytest

from bench.gullible_model import MODEL_NAME, GullibleModel
from bench.injection import PLACES, planted_rows, stored_violations
from bench.injections import FEW_INJECTIONS
from tests.flow.workbench import Workbench


@pytest.mark.parametrize("place", PLACES)
def test_what_is_stored_obeys_the_rules_whatever_the_model_was_talked_into(bench: Workbench, place: str) -> None:
    team = bench.new_team()
    bench.insert(planted_rows(team, place, FEW_INJECTIONS))
    with GullibleModel() as gullible:
        secret = json.dumps({"api_key": "unused", "base_url": gullible.base_url, "provider": "gullible"})
        created = bench.info.aws("secretsmanager").create_secret(Name=f"gullible-{team}", SecretString=secret)
        with bench.changed_function("summarize-trace", {"MODEL_SECRET_ARN": created["ARN"]}):
            metrics = bench.metrics_of(team)
    assert metrics["summaries_generated"] == len(FEW_INJECTIONS)
    assert {row["model"] for row in bench.summaries(team).values()} == {MODEL_NAME}
    assert list(stored_violations(bench.info, team)) == []

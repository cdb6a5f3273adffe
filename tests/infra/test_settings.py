"""Context keys: what is taken, what is refused, and that the documentation says the same."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from adapters.secrets import ClickHouseSecret, KafkaSecret, ModelSecret
from infra.settings import ContextError, ProvisionedPollers, StackSettings
from infra.synthesis import SynthesisError, synthesize
from tests.golden_file import assert_golden_text
from tests.infra.conftest import CUSTOM_CONTEXT

CONFIGURATION_PAGE = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"
BROKER = "b-1.example.com:9096"
SECRET_ARN = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:kafka-AbCdEf"
CLUSTER_ARN = "arn:aws:kafka:eu-central-1:111122223333:cluster/events/0f3c-1"

NETWORK = {"vpc": {"subnet_ids": ["subnet-0a1b2c3d"], "security_group_ids": ["sg-0a1b2c3d"]}}
_PLAINTEXT = {"bootstrap_servers": BROKER, "security_protocol": "PLAINTEXT"}


def _schedule(**changes: Any) -> dict[str, Any]:
    return {"schedules": [{"name": "team-42", "expression": "rate(1 hour)", **changes}]}


def _kafka(**changes: Any) -> dict[str, Any]:
    return {"kafka": {"bootstrap_servers": BROKER, "sasl_mechanism": "SCRAM-SHA-512", **changes}}


# --- what is taken ---------------------------------------------------------------------------------------------------


def test_no_context_is_a_valid_context() -> None:
    settings = StackSettings.from_context({})
    assert settings.schedule_expression == "cron(0 * * * ? *)"
    assert settings.python_version == "3.13"
    assert settings.named("x") == "x"


def test_keys_of_the_cdk_are_left_alone() -> None:
    of_cdk = {
        "@aws-cdk/core:flag": True,
        "aws-cdk:enableDiffNoFail": True,
        "aws:cdk:enable-asset-metadata": False,
        "availability-zones:account=111122223333:region=eu-central-1": ["eu-central-1a"],
        "acknowledged-issue-numbers": [1],
        "cli-telemetry": False,
    }
    assert StackSettings.from_context(of_cdk) == StackSettings()


def test_values_given_on_the_command_line_are_read_as_json() -> None:
    as_text = {key: value if isinstance(value, str) else json.dumps(value) for key, value in CUSTOM_CONTEXT.items()}
    assert StackSettings.from_context(as_text) == StackSettings.from_context(CUSTOM_CONTEXT)


@pytest.mark.parametrize(
    "expression",
    [
        "rate(1 minute)",
        "rate(15 minutes)",
        "rate(2 days)",
        "cron(0 * * * ? *)",
        "cron(0/15 * * * ? *)",
        "cron(0 8-18/2 ? * MON-FRI *)",
        "cron(30 3 1,15 JAN,jul ? 2026-2030)",
        "cron(0 0 L * ? *)",
        "cron(0 0 15W * ? *)",
        "cron(0 0 ? * 6L *)",
        "cron(0 0 ? * MON#1 *)",
    ],
)
def test_expressions_of_eventbridge_are_taken(expression: str) -> None:
    assert StackSettings.from_context({"schedule_expression": expression}).schedule_expression == expression


# --- what is refused -------------------------------------------------------------------------------------------------

# context, then what the message has to contain: key, value, and what is allowed
REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"schedule_enable": False}, ["schedule_enable", "unknown", "schedule_enabled"]),
    ({"name-prefix": "x"}, ["name-prefix", "unknown", "name_prefix"]),
    ({"log-retention-dayz": "3"}, ["log-retention-dayz", "unknown", "log_retention_days"]),
    ({"kafka-bootstrap": "x"}, ["kafka-bootstrap", "unknown", "kafka"]),
    ({"name_prefix": "Staging"}, ["name_prefix", "Staging", "a-z"]),
    ({"name_prefix": "staging-"}, ["name_prefix", "staging-", "a-z"]),
    ({"name_prefix": "x" * 17}, ["name_prefix", "16"]),
    ({"python_version": "3.10"}, ["python_version", "3.10", "'3.11', '3.12' or '3.13'"]),
    ({"python_version": 3.13}, ["python_version", "3.13", "'3.11', '3.12' or '3.13'"]),
    ({"architecture": "amd64"}, ["architecture", "amd64", "'arm64' or 'x86_64'"]),
    ({"bundle_platform": "windows"}, ["bundle_platform", "windows", "'lambda' or 'host'"]),
    ({"schedule_enabled": "no"}, ["schedule_enabled", "no", "boolean"]),
    ({"schedule_enabled": 1}, ["schedule_enabled", "1", "boolean"]),
    ({"schedule_expression": "hourly"}, ["schedule_expression", "hourly", "cron(", "rate("]),
    ({"schedule_expression": "cron(0 * * * *)"}, ["schedule_expression", "six fields", "has 5"]),
    ({"schedule_expression": "cron(0 * * * * *)"}, ["schedule_expression", "exactly one of day-of-month", "?"]),
    ({"schedule_expression": "cron(60 * * * ? *)"}, ["schedule_expression", "minutes", "0 to 59", "60"]),
    ({"schedule_expression": "cron(0 24 * * ? *)"}, ["schedule_expression", "hours", "0 to 23", "24"]),
    ({"schedule_expression": "cron(0 * ? * MUN *)"}, ["schedule_expression", "day-of-week", "MUN"]),
    ({"schedule_expression": "cron(0 * * * ? 1969)"}, ["schedule_expression", "year", "1969"]),
    ({"schedule_expression": "cron(0/0 * * * ? *)"}, ["schedule_expression", "minutes", "0/0"]),
    ({"schedule_expression": "rate(1 hours)"}, ["schedule_expression", "rate(1 hours)", "singular"]),
    ({"schedule_expression": "rate(5 minute)"}, ["schedule_expression", "rate(5 minute)", "plural"]),
    ({"schedule_expression": "rate(0 minutes)"}, ["schedule_expression", "rate(0 minutes)", "rate("]),
    ({"schedule_input": {"max_traces": 1_001}}, ["schedule_input", "max_traces", "1001", "from 1 to 1000"]),
    ({"schedule_input": {"team_id": 1}}, ["schedule_input", "team_id", "schedules"]),
    ({"schedule_input": {"scheduled_time": "2026-01-01T00:00:00Z"}}, ["schedule_input", "scheduled_time", "rule"]),
    (
        {"schedule_input": {"window_start": "2026-01-01T00:00:00Z", "window_end": "2026-01-01T01:00:00Z"}},
        ["schedule_input", "window_start", "window_minutes"],
    ),
    (_schedule(name="Team 42"), ["schedules[0].name", "Team 42", "a-z"]),
    (_schedule(name="all-teams"), ["schedules[0].name", "all-teams", "choose another"]),
    (_schedule(name="x" * 25), ["schedules[0].name", "24"]),
    (_schedule(expression="cron(0 * * * *)"), ["schedules[0].expression", "six fields"]),
    (_schedule(input={"team_id": 0}), ["schedules[0].input", "team_id", "0", "from 1"]),
    (_schedule(input={"team_id": True}), ["schedules[0].input", "team_id", "true", "integer"]),
    (_schedule(input={"team_id": 1, "max_concurrent_teams": 2}), ["schedules[0].input", "max_concurrent_teams"]),
    (_schedule(input={"batchsize": 2}), ["schedules[0].input", "batchsize", "batch_size"]),
    (_schedule(enabled="yes"), ["schedules[0].enabled", "yes", "boolean"]),
    (_schedule(cron="x"), ["schedules[0].cron", "unknown"]),
    ({"schedules": [{"name": "x"}]}, ["schedules[0].expression", "missing"]),
    ({"schedules": [*_schedule()["schedules"], *_schedule()["schedules"]]}, ["schedules", "team-42", "once"]),
    ({"log_retention_days": 31}, ["log_retention_days", "31", "30, 60"]),
    ({"log_retention_days": "forever"}, ["log_retention_days", "forever", "30, 60"]),
    ({"clickhouse": {"secret_arn": "clickhouse"}}, ["clickhouse.secret_arn", "clickhouse", "arn:aws"]),
    ({"clickhouse": {"database": "my-db"}}, ["clickhouse.database", "my-db"]),
    ({"clickhouse": {"events_table": "events"}}, ["clickhouse.events_table", "events"]),
    ({"clickhouse": {"host": "x"}}, ["clickhouse.host", "unknown"]),
    ({"model": "gpt"}, ["model", "gpt"]),
    ({"kafka": {}}, ["kafka.bootstrap_servers", "missing"]),
    (_kafka(bootstrap_servers="broker"), ["kafka.bootstrap_servers", "broker", "host:port"]),
    (_kafka(bootstrap_servers=f"{BROKER},"), ["kafka.bootstrap_servers", "host:port"]),
    (_kafka(security_protocol="TLS"), ["kafka.security_protocol", "TLS", "'SASL_SSL'"]),
    (_kafka(sasl_mechanism=""), ["kafka", "sasl_mechanism", "SASL_SSL"]),
    (_kafka(security_protocol="SSL"), ["kafka", "sasl_mechanism", "SASL_SSL"]),
    (_kafka(sasl_mechanism="AWS_MSK_IAM"), ["kafka", "cluster_arn", "AWS_MSK_IAM"]),
    (_kafka(cluster_arn=CLUSTER_ARN), ["kafka", "cluster_arn", "AWS_MSK_IAM"]),
    (_kafka(sasl_mechanism="AWS_MSK_IAM", cluster_arn=CLUSTER_ARN, secret_arn=SECRET_ARN), ["kafka", "secret_arn"]),
    (_kafka(topic="embedding requests"), ["kafka.topic", "embedding requests"]),
    ({"embedding_models": []}, ["embedding_models", "at least 1"]),
    ({"embedding_models": "text-embedding-3-small-1536"}, ["embedding_models", "text-embedding-3-small", "array"]),
    ({"embedding_models": ["text-embedding-3-small"]}, ["embedding_models", "a model and its dimension"]),
    ({"embedding_models": ["m-1", "m-1"]}, ["embedding_models", "once"]),
    ({"embedding_models": [f"m-{number}" for number in range(1, 12)]}, ["embedding_models", "at most 10"]),
    ({"embedding_endpoint": {"secret_arn": "x"}}, ["embedding_endpoint.secret_arn", "arn:aws"]),
    ({"embedding_max_input_tokens": 1}, ["embedding_max_input_tokens", "1", "16"]),
    ({"kafka": _PLAINTEXT}, ["vpc", "PLAINTEXT"]),
    ({"kafka": {**_PLAINTEXT, "security_protocol": "SSL"}}, ["vpc", "SSL"]),
    (_kafka(batch_size=0), ["kafka.batch_size", "0", "1"]),
    (_kafka(batch_size=10_001), ["kafka.batch_size", "10001", "10000"]),
    (_kafka(batch_window_seconds=301), ["kafka.batch_window_seconds", "301", "300"]),
    (_kafka(failure_retention_days=0), ["kafka.failure_retention_days", "0", "1"]),
    (_kafka(poller="fast"), ["kafka.poller", "fast", "'default' or 'provisioned'"]),
    (_kafka(minimum_pollers=1), ["kafka", "minimum_pollers", "poller provisioned"]),
    (_kafka(maximum_pollers=1), ["kafka", "maximum_pollers", "poller provisioned"]),
    (_kafka(maximum_retry_attempts=1), ["kafka", "maximum_retry_attempts", "poller provisioned"]),
    (_kafka(maximum_record_age_seconds=60), ["kafka", "maximum_record_age_seconds", "poller provisioned"]),
    (_kafka(poller="provisioned", minimum_pollers=3), ["kafka", "minimum_pollers", "maximum_pollers", "3 and 2"]),
    (_kafka(poller="provisioned", maximum_retry_attempts=-1), ["kafka.maximum_retry_attempts", "-1", "0"]),
    (_kafka(poller="provisioned", maximum_record_age_seconds=59), ["kafka.maximum_record_age_seconds", "59", "60"]),
    (_kafka(root_certificate_secret_arn="x"), ["kafka.root_certificate_secret_arn", "arn:aws"]),
    (
        _kafka(sasl_mechanism="AWS_MSK_IAM", cluster_arn=CLUSTER_ARN, root_certificate_secret_arn=SECRET_ARN),
        ["kafka", "root_certificate_secret_arn", "SSL, SCRAM or PLAIN"],
    ),
    ({"vpc": {"subnet_ids": ["subnet-0a1b2c3d"]}}, ["vpc.security_group_ids", "missing"]),
    ({"vpc": {"subnet_ids": ["a"], "security_group_ids": ["sg-0a1b2c3d"]}}, ["vpc.subnet_ids[0]", "subnet-"]),
]


@pytest.mark.parametrize(("context", "expected"), REFUSED, ids=lambda value: json.dumps(value)[:60])
def test_wrong_context_is_refused_by_key_value_and_what_is_allowed(context: Any, expected: list[str]) -> None:
    with pytest.raises(ContextError) as refused:
        StackSettings.from_context(context)
    message = str(refused.value)
    assert message.startswith("context key ")
    assert [part for part in expected if part not in message] == [], message


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ContextError) as refused:
        StackSettings.from_context({"architecture": "mips", "log_retention_days": 2})
    assert len(str(refused.value).splitlines()) == 2


@pytest.mark.slow
def test_synthesis_ends_with_the_message_and_no_traceback(tmp_path: Path) -> None:
    with pytest.raises(SynthesisError) as refused:
        synthesize(tmp_path, {"schedule_enable": False})
    assert str(refused.value).startswith("context key schedule_enable: unknown; known are name_prefix, ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({"sasl_mechanism": "SCRAM-SHA-512"}, True),
        ({"sasl_mechanism": "PLAIN"}, True),
        ({"sasl_mechanism": "AWS_MSK_IAM", "cluster_arn": CLUSTER_ARN}, False),
        ({"security_protocol": "PLAINTEXT", "sasl_mechanism": ""}, False),
    ],
)
def test_only_password_mechanisms_take_a_password(choices: dict[str, Any], expected: bool) -> None:
    kafka = StackSettings.from_context({**_kafka(**choices), **NETWORK}).kafka
    assert kafka is not None
    assert kafka.takes_password is expected


def test_a_provisioned_poller_has_defaults_for_what_is_not_chosen() -> None:
    kafka = StackSettings.from_context(_kafka(poller="provisioned", maximum_pollers=4)).kafka
    assert kafka is not None
    assert kafka.pollers == ProvisionedPollers(minimum=1, maximum=4, retry_attempts=100, record_age_seconds=86_400)


# --- documentation ---------------------------------------------------------------------------------------------------

_BEGIN, _END = "<!-- context keys, from infra/settings.py -->\n", "<!-- end of context keys -->"


def test_documentation_lists_every_key_as_the_code_has_it() -> None:
    page = CONFIGURATION_PAGE.read_text(encoding="utf-8")
    before, rest = page.split(_BEGIN)
    _, after = rest.split(_END)
    assert_golden_text(CONFIGURATION_PAGE, before + _BEGIN + _reference() + _END + after)


def _reference() -> str:
    rows = "".join(f"| {' | '.join(row)} |\n" for row in _rows(StackSettings, ""))
    return f"\n| key | type | default | meaning |\n| --- | --- | --- | --- |\n{rows}\n"


def _rows(model: type[BaseModel], prefix: str) -> list[tuple[str, str, str, str]]:
    schema = model.model_json_schema()
    rows = []
    for name, field in model.model_fields.items():
        described = _type(schema["properties"][name], schema)
        rows.append(
            (
                f"`{prefix}{name}`",
                described,
                _default(field.get_default(call_default_factory=True)),
                field.description or "",
            )
        )
        nested = _nested_model(field.annotation)
        if nested is not None:
            rows += _rows(nested, f"{prefix}{name}{'[]' if described.startswith('array') else ''}.")
    return rows


def _type(schema: dict[str, Any], root: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return _type(schema["anyOf"][0], root)
    if "$ref" in schema:
        return _type(root["$defs"][schema["$ref"].rsplit("/", 1)[1]], root)
    if "enum" in schema:
        return " \\| ".join(f"`{value}`" if value != "" else '`""`' for value in schema["enum"])
    if schema["type"] == "array":
        return f"array of {_type(schema['items'], root)}s"
    return str(schema["type"])


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, BaseModel):
        return ""
    return "unset" if value is None else f"`{json.dumps(value)}`"


def _nested_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in getattr(annotation, "__args__", ()) if (found := _nested_model(part))), None)


def test_contexts_shown_in_the_documentation_are_valid() -> None:
    blocks = re.findall(r"```json\n(.*?)```", CONFIGURATION_PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 2
    for block in blocks:
        assert StackSettings.from_context(json.loads(block)["context"]) != StackSettings()


def test_secrets_shown_in_the_documentation_are_those_that_the_functions_read() -> None:
    page = CONFIGURATION_PAGE.read_text(encoding="utf-8")
    shown = [json.loads(text) for text in re.findall(r"'(\{[^']*\"(?:password|api_key)\"[^']*\})'", page)]
    models: list[type[BaseModel]] = [ClickHouseSecret, ModelSecret, KafkaSecret]
    for secret, model in zip(shown, models, strict=True):
        assert set(secret) <= set(model.model_validate(secret).model_fields_set)

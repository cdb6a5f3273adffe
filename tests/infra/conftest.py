from pathlib import Path

import pytest

from infra.synthesis import cached_synthesis, host_context
from tests.infra.cloudformation import Template

CUSTOM_CONTEXT = {
    "name_prefix": "staging",
    "schedule_enabled": False,
    "schedule_expression": "rate(30 minutes)",
    "schedule_input": {"max_traces": 250, "mode": "minimal"},
    "schedules": [
        {
            "name": "team-42",
            "expression": "cron(0/15 * * * ? *)",
            "input": {"team_id": 42, "window_minutes": 15, "window_lag_minutes": 5},
        },
        {"name": "nightly", "expression": "cron(0 3 * * ? *)", "enabled": False, "input": {"window_minutes": 1440}},
    ],
    "log_retention_days": 7,
    "clickhouse": {
        "secret_arn": "arn:aws:secretsmanager:eu-central-1:111122223333:secret:clickhouse-AbCdEf",
        "database": "summaries",
        "events_table": "posthog.events",
    },
    "model": {"secret_arn": "arn:aws:secretsmanager:eu-central-1:111122223333:secret:model-AbCdEf"},
    "kafka": {
        "bootstrap_servers": "b-1.example.com:9098,b-2.example.com:9098",
        "sasl_mechanism": "AWS_MSK_IAM",
        "cluster_arn": "arn:aws:kafka:eu-central-1:111122223333:cluster/events/0f3c-1",
        "poller": "provisioned",
        "maximum_retry_attempts": 20,
        "failure_retention_days": 30,
    },
    "embedding_endpoint": {"secret_arn": "arn:aws:secretsmanager:eu-central-1:111122223333:secret:embed-AbCdEf"},
    "embedding_models": ["text-embedding-3-small-1536", "text-embedding-3-large-3072"],
    "vpc": {"subnet_ids": ["subnet-0a1b2c3d"], "security_group_ids": ["sg-0a1b2c3d"]},
}


QUEUE_CONTEXT = {
    "kafka": {
        "bootstrap_servers": "b-1.example.com:9096",
        "sasl_mechanism": "SCRAM-SHA-512",
        "secret_arn": "arn:aws:secretsmanager:eu-central-1:111122223333:secret:kafka-AbCdEf",
        "root_certificate_secret_arn": "arn:aws:secretsmanager:eu-central-1:111122223333:secret:brokers-AbCdEf",
    }
}


@pytest.fixture(scope="session")
def template() -> Template:
    """As deployed with no context at all, but for this machine: the bundle that can run here."""
    return Template(cached_synthesis(host_context()))


@pytest.fixture(scope="session")
def queue_template() -> Template:
    """As deployed with nothing chosen but where the queue is: every function exists."""
    return Template(cached_synthesis({**host_context(), **QUEUE_CONTEXT}))


@pytest.fixture(scope="session")
def custom_template() -> Template:
    """A second stack with every choice made."""
    return Template(cached_synthesis({**host_context(), **CUSTOM_CONTEXT}))


@pytest.fixture(scope="session")
def golden_directory() -> Path:
    return Path(__file__).parent / "golden"

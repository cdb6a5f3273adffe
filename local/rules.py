"""EventBridge's part on this machine: when a rule of the template is due, and the input that it gives."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aws_croniter import AwsCroniter

from local.errors import LocalStackError
from local.template import Arns, Template
from trace_summarization.timestamps import format_rfc3339

_RATE_UNITS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}


@dataclass(frozen=True)
class Rule:
    """A rule of the template whose target is a state machine."""

    name: str
    expression: str
    enabled: bool
    machine_arn: str
    target: Mapping[str, Any]

    def next_after(self, moment: datetime) -> datetime:
        """When the rule is due next, UTC. A rate counts from the epoch, so that a restart keeps its beat."""
        rate = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", self.expression)
        if rate is None:
            return self._next_of_cron(moment)
        step = int(rate[1]) * _RATE_UNITS[rate[2]]
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        return epoch + ((moment - epoch) // step + 1) * step

    def _next_of_cron(self, moment: datetime) -> datetime:
        try:
            due: datetime | None = AwsCroniter(self.expression.removeprefix("cron(").removesuffix(")")).get_next(
                moment
            )[0]
        except ValueError as error:  # the library takes no LW
            raise LocalStackError(f"{self.name}: {self.expression} cannot be followed here: {error}") from error
        if due is None:
            raise LocalStackError(f"{self.name}: {self.expression} is never due again")
        return due

    def input_at(self, due: datetime) -> dict[str, Any]:
        """The execution's input: the target's own, with the event's `time` put in."""
        transformer = self.target["InputTransformer"]
        event = {"time": format_rfc3339(due)}
        text = transformer["InputTemplate"]
        for name, path in transformer["InputPathsMap"].items():
            text = text.replace(f"<{name}>", json.dumps(event[path.removeprefix("$.")]))
        given: dict[str, Any] = json.loads(text)
        return given


def rules(template: Template, machine_arns: Mapping[str, str]) -> list[Rule]:
    """The template's rules; `machine_arns` are the local ARNs by logical id."""
    return [
        Rule(
            name=resource.properties["Name"],
            expression=resource.properties["ScheduleExpression"],
            enabled=resource.properties["State"] == "ENABLED",
            machine_arn=Arns(machine_arns, machine_arns).resolve(resource.properties["Targets"][0]["Arn"]),
            target=resource.properties["Targets"][0],
        )
        for resource in template.of_type("AWS::Events::Rule")
    ]

"""When runs start: one EventBridge rule for all teams, and one for each further schedule."""

from collections.abc import Mapping
from typing import Any

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.settings import ALL_TEAMS_SCHEDULE_NAME, StackSettings
from trace_summarization.constants import SERVICE_NAME

# A run that starts later than this would find its window overtaken by the next ones: better seen in the queue.
MAX_EVENT_AGE_HOURS = 2


class Schedules(Construct):
    """The rules. What a rule could not start goes to the dead-letter queue."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        settings: StackSettings,
        coordinator: sfn.StateMachine,
        team_machine: sfn.StateMachine,
    ) -> None:
        super().__init__(scope, construct_id)
        self._settings = settings
        self.dead_letter_queue = sqs.Queue(
            self,
            "DeadLetterQueue",
            queue_name=settings.named(f"{SERVICE_NAME}-missed-runs"),
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(14),
        )
        # A scope of their own, so that no schedule's name meets the id of anything else.
        self._rules_scope = Construct(self, "Rules")
        self.rules = [
            self._rule(
                ALL_TEAMS_SCHEDULE_NAME,
                settings.schedule_expression,
                settings.schedule_enabled,
                settings.schedule_input,
                coordinator,
            )
        ]
        for schedule in settings.schedules:
            machine = team_machine if schedule.starts_one_team else coordinator
            rule = self._rule(schedule.name, schedule.expression, schedule.enabled, schedule.input, machine)
            self.rules.append(rule)

    def _rule(
        self, name: str, expression: str, enabled: bool, execution_input: Mapping[str, Any], machine: sfn.StateMachine
    ) -> events.Rule:
        target = targets.SfnStateMachine(
            machine,
            # The run's "now" is the time that the rule fired for, not the time that the execution came to start.
            input=events.RuleTargetInput.from_object({**execution_input, "scheduled_time": events.EventField.time}),
            dead_letter_queue=self.dead_letter_queue,
            max_event_age=Duration.hours(MAX_EVENT_AGE_HOURS),
        )
        return events.Rule(
            self._rules_scope,
            name,
            rule_name=self._settings.named(f"{SERVICE_NAME}-{name}"),
            description="Starts the batch summarization of traces",
            schedule=events.Schedule.expression(expression),
            enabled=enabled,
            targets=[target],
        )

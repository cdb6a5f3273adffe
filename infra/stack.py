"""The stack: composes the capabilities and says where the results are."""

from typing import Any

from aws_cdk import CfnOutput, Stack
from constructs import Construct

from infra.functions import Functions, state_name
from infra.schedule import Schedules
from infra.settings import StackSettings
from infra.workflow import Workflow
from trace_summarization.constants import SERVICE_NAME

STACK_ID = "TraceSummarization"


class TraceSummarizationStack(Stack):
    """Everything that one deployment consists of."""

    def __init__(self, scope: Construct, settings: StackSettings, **stack_properties: Any) -> None:
        super().__init__(
            scope,
            STACK_ID,
            stack_name=settings.named(SERVICE_NAME),
            description="Summarizes samples of LLM traces, every hour",
            **stack_properties,
        )
        functions = Functions(self, "Functions", settings)
        workflow = Workflow(self, "Workflow", settings, functions)
        schedules = Schedules(self, "Schedules", settings, workflow.coordinator, workflow.team_machine)

        self._output("CoordinatorStateMachineArn", workflow.coordinator.state_machine_arn)
        self._output("TeamStateMachineArn", workflow.team_machine.state_machine_arn)
        self._output("TeamAllowlistParameter", functions.allowlist.name)
        self._output("TeamSettingsParameter", functions.team_settings.name)
        self._output("CoordinationTableName", functions.coordination.table_name)
        self._output("ClickHouseSecretArn", functions.clickhouse_secret.arn)
        self._output("ModelSecretArn", functions.model_secret.arn)
        if functions.embedding_queue.secret is not None:
            self._output("KafkaSecretArn", functions.embedding_queue.secret.arn)
        if functions.failure_bucket is not None:
            self._output("FailureBucketName", functions.failure_bucket.name)
        self._output("AllTeamsRuleName", schedules.rules[0].rule_name)
        self._output("MissedRunsQueueUrl", schedules.dead_letter_queue.queue_url)
        for handler_module, function in functions.by_module.items():
            self._output(f"{state_name(handler_module)}FunctionName", function.function_name)

    def _output(self, name: str, value: str) -> None:
        CfnOutput(self, name, value=value)

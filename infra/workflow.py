"""Both state machines: the coordinator over all teams, and the machine that summarizes one team's window.

Payloads carry ids, counts and settings only. Error names that a `Retry` lists are the application's own retryable
classes and those that AWS documents (Step Functions developer guide, "Handle Lambda service exceptions" and "Error
names"; Lambda API reference, errors of Invoke).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import Duration
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from infra.functions import Functions
from infra.monitoring import log_group
from infra.settings import StackSettings
from trace_summarization import constants as c
from trace_summarization.errors import retryable_error_names
from trace_summarization.models import TeamInputs

# The Lambda service's own faults: nothing of ours ran. The last three arise when a function is attached to a VPC.
LAMBDA_SERVICE_ERRORS = (
    "Lambda.AWSLambdaException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.SdkClientException",
    "Lambda.ServiceException",
    "Lambda.TooManyRequestsException",
    "Lambda.EC2ThrottledException",
    "Lambda.ENINotReadyException",
    "Lambda.ResourceNotReadyException",
)
# A function that ran and did not end by itself: timed out, killed (out of memory), or not heard of in the state's time.
FUNCTION_FAULTS = ("Lambda.Unknown", "Runtime.ExitError", "Sandbox.Timedout", "States.Timeout")

_EXECUTION = {
    "execution_start": sfn.JsonPath.string_at("$$.Execution.StartTime"),
    "execution_id": sfn.JsonPath.string_at("$$.Execution.Id"),
}


class Workflow(Construct):
    """The team machine and the coordinator that starts it once per team."""

    def __init__(self, scope: Construct, construct_id: str, settings: StackSettings, functions: Functions) -> None:
        super().__init__(scope, construct_id)
        self._settings = settings
        self.team_machine = self._machine(
            "TeamMachine",
            c.WORKFLOW_NAME,
            "Summarizes a sample of one team's traces of one window",
            _team_definition(Construct(self, "Team"), functions),
            Duration.minutes(c.WORKFLOW_EXECUTION_TIMEOUT_MINUTES),
        )
        self.coordinator = self._machine(
            "Coordinator",
            c.COORDINATOR_WORKFLOW_NAME,
            "Summarizes one window for every team on the allowlist",
            _coordinator_definition(Construct(self, "Run"), functions, self.team_machine),
            Duration.minutes(c.COORDINATOR_TIMEOUT_MINUTES),
        )

    def _machine(
        self, construct_id: str, name: str, comment: str, definition: sfn.IChainable, timeout: Duration
    ) -> sfn.StateMachine:
        name = self._settings.named(name)
        # The prefix /aws/vendedlogs/ keeps the log group out of the account's resource policy, which has a size limit.
        logs = log_group(self, f"{construct_id}Logs", f"/aws/vendedlogs/states/{name}", self._settings)
        return sfn.StateMachine(
            self,
            construct_id,
            state_machine_name=name,
            state_machine_type=sfn.StateMachineType.STANDARD,
            comment=comment,
            definition_body=sfn.DefinitionBody.from_chainable(definition),
            timeout=timeout,
            tracing_enabled=True,
            # Without data: payloads hold only ids, but the message of a failed function may quote what a model
            # answered about a trace, and log groups have more readers than execution histories.
            logs=sfn.LogOptions(destination=logs, level=sfn.LogLevel.ALL, include_execution_data=False),
        )


def _coordinator_definition(scope: Construct, functions: Functions, team_machine: sfn.StateMachine) -> sfn.IChainable:
    plan = _invoke(
        scope,
        "PlanRun",
        functions.plan_run,
        {"input": sfn.JsonPath.object_at("$"), **_EXECUTION},
        c.PLAN_TIMEOUT_SECONDS,
    )
    _retry_function(plan, c.SAMPLE_RETRY_POLICY)

    for_each_team = sfn.Map(
        scope,
        "ForEachTeam",
        items_path="$.team_ids",
        max_concurrency_path="$.max_concurrent_teams",
        item_selector={
            "team_id": sfn.JsonPath.number_at("$$.Map.Item.Value"),
            "run_key": sfn.JsonPath.string_at("$.run_key"),
            "team_input": sfn.JsonPath.object_at("$.team_input"),
        },
    )
    for_each_team.item_processor(_summarize_team(scope, team_machine))

    outcomes = {"outcomes": sfn.JsonPath.object_at("$")}
    aggregate = _invoke(scope, "AggregateRun", functions.aggregate_run, outcomes, c.AGGREGATE_TIMEOUT_SECONDS)
    _retry_function(aggregate, c.AGGREGATE_RETRY_POLICY)
    return plan.next(for_each_team).next(aggregate)


def _summarize_team(scope: Construct, team_machine: sfn.StateMachine) -> sfn.IChainable:
    team_input = {name: sfn.JsonPath.string_at(f"$.team_input.{name}") for name in TeamInputs.model_fields}
    summarize = tasks.StepFunctionsStartExecution(
        scope,
        "SummarizeTeam",
        state_machine=team_machine,
        integration_pattern=sfn.IntegrationPattern.RUN_JOB,
        # A name is taken for 90 days: without the retry count the second attempt would fail on it.
        name=sfn.JsonPath.format(
            "team-{}-{}-{}",
            sfn.JsonPath.string_at("$.team_id"),
            sfn.JsonPath.string_at("$.run_key"),
            sfn.JsonPath.string_at("$$.State.RetryCount"),
        ),
        input=sfn.TaskInput.from_object({"team_id": sfn.JsonPath.number_at("$.team_id"), **team_input}),
        associate_with_parent=True,  # the console links the child execution to this one
        task_timeout=sfn.Timeout.duration(Duration.seconds(c.SUMMARIZE_TEAM_TIMEOUT_SECONDS)),
        result_selector={
            "team_id": sfn.JsonPath.number_at("$.Input.team_id"),
            "status": "completed",
            **{
                name: sfn.JsonPath.number_at(f"$.Output.metrics.{name}")
                for name in (
                    "traces_queried",
                    "summaries_generated",
                    "cost_usd",
                    "estimated_input_tokens",
                    "estimated_cost_usd",
                )
            },
        },
    )
    # A child that failed, for whatever reason, is States.TaskFailed: one that used up its two hours too, because its
    # machine ends before this task's time-out. It is given two more; both attempts fit into the coordinator's time.
    _retry(summarize, c.COORDINATOR_CHILD_WORKFLOW_RETRY_POLICY, ["States.TaskFailed"])
    failed = sfn.Pass(
        scope,
        "TeamFailed",
        parameters={
            "team_id": sfn.JsonPath.number_at("$.team_id"),
            "status": "failed",
            # The name alone: a cause can be 32 KiB, and hundreds of teams share one payload.
            "error": sfn.JsonPath.string_at("$.failure.Error"),
        },
    )
    return summarize.add_catch(failed, errors=["States.ALL"], result_path="$.failure")


def _team_definition(scope: Construct, functions: Functions) -> sfn.IChainable:
    whole_input = {"input": sfn.JsonPath.object_at("$"), **_EXECUTION}
    sample = _invoke(scope, "SampleTraces", functions.sample_traces, whole_input, c.SAMPLE_TIMEOUT_SECONDS)
    _retry_function(sample, c.SAMPLE_RETRY_POLICY)

    for_each_trace = sfn.Map(
        scope,
        "ForEachTrace",
        items_path="$.traces",
        max_concurrency_path="$.run.batch_size",
        item_selector={
            "run": sfn.JsonPath.object_at("$.run"),
            "trace_id": sfn.JsonPath.string_at("$$.Map.Item.Value"),
        },
        # The outcomes replace the ids: 1,000 of both could pass the 256 KiB of one payload.
        result_path="$.traces",
    )
    for_each_trace.item_processor(_summarize_trace(scope, functions.summarize_trace))

    outcomes = {"run": sfn.JsonPath.object_at("$.run"), "outcomes": sfn.JsonPath.object_at("$.traces")}
    aggregate = _invoke(scope, "AggregateTeam", functions.aggregate_team, outcomes, c.AGGREGATE_TIMEOUT_SECONDS)
    _retry_function(aggregate, c.AGGREGATE_RETRY_POLICY)
    return sample.next(for_each_trace).next(aggregate)


def _summarize_trace(scope: Construct, function: lambda_.IFunction) -> sfn.IChainable:
    payload = {"run": sfn.JsonPath.object_at("$.run"), "trace_id": sfn.JsonPath.string_at("$.trace_id")}
    summarize = _invoke(scope, "SummarizeTrace", function, payload, c.GENERATE_SUMMARY_TIMEOUT_SECONDS)
    _retry_function(summarize, c.SUMMARIZE_RETRY_POLICY)
    failed = sfn.Pass(
        scope, "TraceFailed", parameters={"outcome": "failed", "error": sfn.JsonPath.string_at("$.Error")}
    )
    return summarize.add_catch(failed, errors=["States.ALL"])


def _invoke(
    scope: Construct, state: str, function: lambda_.IFunction, payload: Mapping[str, Any], timeout_seconds: int
) -> tasks.LambdaInvoke:
    return tasks.LambdaInvoke(
        scope,
        state,
        lambda_function=function,
        payload=sfn.TaskInput.from_object(dict(payload)),
        payload_response_only=True,  # the function's answer is the state's result, without the invocation's metadata
        retry_on_service_exceptions=False,  # our own list, in _retry_function
        task_timeout=sfn.Timeout.duration(Duration.seconds(timeout_seconds)),
    )


def _retry_function(task: tasks.LambdaInvoke, policy: c.RetryPolicy) -> None:
    _retry(task, c.LAMBDA_SERVICE_RETRY_POLICY, LAMBDA_SERVICE_ERRORS)
    _retry(task, policy, [*retryable_error_names(), *FUNCTION_FAULTS])


def _retry(task: sfn.TaskStateBase, policy: c.RetryPolicy, errors: Sequence[str]) -> None:
    task.add_retry(
        errors=list(errors),
        interval=Duration.seconds(policy.interval_seconds),
        max_attempts=policy.attempts - 1,
        backoff_rate=policy.backoff_rate,
        max_delay=Duration.seconds(policy.max_delay_seconds),
        jitter_strategy=sfn.JitterType.FULL,
    )

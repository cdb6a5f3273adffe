"""`schedule`: do on this machine what the EventBridge rules do in AWS."""

import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from botocore.exceptions import ClientError

from infra.synthesis import cached_synthesis, host_context
from local.executions import Execution, describe, start
from local.output import Output, data_dir_option, json_option, stack_options
from local.rules import Rule, rules
from local.session import running_or_own_stack
from local.stack_info import StackInfo
from local.template import Template
from trace_summarization.timestamps import format_rfc3339


@click.command(
    epilog="""\b
Example:
  python -m local schedule              # until Ctrl-C
  python -m local schedule --show       # when each rule is due
  python -m local schedule --due-now --count 1"""
)
@click.option("--show", is_flag=True, help="Only tell each rule, its expression and its next three times.")
@click.option("--due-now", is_flag=True, help="Fire first for each rule's latest past time, at once.")
@click.option("--count", type=click.IntRange(min=1), help="Stop after so many firings.")
@data_dir_option
@json_option
def schedule(show: bool, due_now: bool, count: int | None, data_dir: Path, output: Output) -> None:
    """Fire the deployment's own schedule rules on this machine, by their own expressions and with their own input."""
    if show:
        _show(rules_of(None), output)
        return
    with running_or_own_stack(stack_options(data_dir, dict(os.environ)), output.say) as info:
        active = [rule for rule in rules_of(info) if rule.enabled]
        if not active:
            output.fail("no rule is enabled; see the context key schedule_enabled in docs/configuration.md")
        started = _fire(info, active, due_now, count, output)
        for firing in started:  # a stack of our own must not end before what it was started for
            if "execution" in firing:
                firing["status"] = _ended(info, firing["execution"]).status
                output.say(f"{firing['status']} {firing['execution']}")
        output.result({"started": started})


def rules_of(info: StackInfo | None) -> list[Rule]:
    """The rules of the template for this machine, bound to a stack's machines."""
    template = Template(cached_synthesis(host_context()))
    arns = {
        machine.logical_id: _arn(info, machine.properties["StateMachineName"])
        for machine in template.of_type("AWS::StepFunctions::StateMachine")
    }
    return rules(template, arns)


def _arn(info: StackInfo | None, machine_name: str) -> str:
    if info is None:
        return machine_name
    arns = (info.coordinator_arn, info.team_machine_arn)
    return next(arn for arn in arns if arn.rpartition(":")[2] == machine_name)


def _show(found: list[Rule], output: Output) -> None:
    told = []
    for rule in found:
        due = [rule.next_after(datetime.now(UTC))]
        while len(due) < 3:
            due.append(rule.next_after(due[-1]))
        times = [format_rfc3339(moment) for moment in due]
        state = "enabled" if rule.enabled else "disabled"
        output.say(f"{rule.name}: {rule.expression}, {state}, next {', '.join(times)}, input {rule.input_at(due[0])}")
        told.append({"name": rule.name, "expression": rule.expression, "enabled": rule.enabled, "next": times})
    output.result({"rules": told})


def _fire(
    info: StackInfo, active: list[Rule], due_now: bool, count: int | None, output: Output
) -> list[dict[str, Any]]:
    """Fire until `count` or Ctrl-C. Returns what was started."""
    now = datetime.now(UTC)
    due = {rule.name: _latest(rule, now) if due_now else rule.next_after(now) for rule in active}
    started: list[dict[str, Any]] = []
    waiting = threading.Event()
    try:
        while count is None or len(started) < count:
            rule = min(active, key=lambda candidate: due[candidate.name])
            moment = due[rule.name]
            output.say(f"{rule.name} is due at {format_rfc3339(moment)}")
            waiting.wait(max(0.0, moment.timestamp() - time.time()))
            started.append(_start(info, rule, moment, output))
            due[rule.name] = rule.next_after(max(moment, datetime.now(UTC)))
    except KeyboardInterrupt:
        output.say("Stopped")
    return started


def _ended(info: StackInfo, arn: str) -> Execution:
    while (execution := describe(info, arn)).status == "RUNNING":
        time.sleep(0.2)
    return execution


def _latest(rule: Rule, now: datetime) -> datetime:
    """The rule's latest time that is not after now."""
    step = timedelta(minutes=1)
    while True:
        due = rule.next_after(now - step)
        if due <= now:
            following = rule.next_after(due)
            while following <= now:
                due, following = following, rule.next_after(following)
            return due
        step *= 2


def _start(info: StackInfo, rule: Rule, moment: datetime, output: Output) -> dict[str, Any]:
    """Start the execution. Its name carries the due time, so that a rule fires once for each."""
    name = f"{rule.name}-{moment:%Y%m%dT%H%M%SZ}"
    document: dict[str, Any] = {"rule": rule.name, "time": format_rfc3339(moment)}
    try:
        arn = start(info, rule.machine_arn, rule.input_at(moment), name[-80:])
    except ClientError as error:
        output.say(f"{rule.name} could not start: {error}")
        return {**document, "error": str(error)}
    output.say(f"started {arn}")
    return {**document, "execution": arn}

"""State machines behave as in AWS. Each fix of `moto_fixes` and `moto_executions` has a test here that needs it."""

from __future__ import annotations

import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from moto.stepfunctions.parser import utils as parser_utils
from moto.stepfunctions.parser.asl.component import eval_component
from moto.stepfunctions.parser.asl.component.common.retry.interval_seconds_decl import IntervalSecondsDecl
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.utils import json_path

from local import moto_fixes
from tests.local_engines.machines import (
    BACKOFF_SCALE,
    CAUGHT,
    PASS,
    Machines,
    catch,
    for_each,
    invoke,
    machine,
    run_child,
)


def retry(*errors: str, attempts: int = 3, **fields: Any) -> list[dict[str, Any]]:
    return [{"ErrorEquals": list(errors), "IntervalSeconds": 1, "MaxAttempts": attempts - 1, **fields}]


# Children


def test_a_parent_gets_its_childs_output(machines: Machines) -> None:
    child = machines.create(machine(Echo=invoke("echo")))
    output = machines.run(machine(Child=run_child(child)), {"team": 1})
    assert output["Output"] == {"team": 1}
    assert output["Status"] == "SUCCEEDED"
    assert output["ExecutionArn"].startswith("arn:aws:states:us-east-1:123456789012:execution:")


def test_a_failed_child_is_states_task_failed_with_the_childs_description(machines: Machines) -> None:
    child = machines.create(machine(Fail=invoke("fail")))
    caught = machines.run(machine(Child=run_child(child, Catch=catch("States.TaskFailed")), Caught=CAUGHT), {"team": 1})
    assert caught["Error"] == "States.TaskFailed"
    cause = json.loads(caught["Cause"])
    assert (cause["Status"], cause["Error"], cause["Input"]) == ("FAILED", "BadTrace", {"team": 1})
    assert json.loads(cause["Cause"])["errorMessage"] == "cannot read {'team': 1}"


def test_a_child_that_times_out_is_states_task_failed_too(machines: Machines) -> None:
    child = machines.create({**machine(Wait={"Type": "Wait", "Seconds": 30, "End": True}), "TimeoutSeconds": 1})
    caught = machines.run(machine(Child=run_child(child, Catch=catch("States.TaskFailed")), Caught=CAUGHT))
    cause = json.loads(caught["Cause"])
    assert caught["Error"] == "States.TaskFailed"
    assert cause["Status"] == "TIMED_OUT"
    assert "Error" not in cause


def test_a_parent_that_waits_too_long_gets_states_timeout_and_stops_its_child(machines: Machines) -> None:
    child = machines.create(machine(Wait={"Type": "Wait", "Seconds": 30, "End": True}))
    parent = machine(Child=run_child(child, TimeoutSeconds=1, Catch=catch("States.Timeout")), Caught=CAUGHT)
    assert machines.run(parent)["Error"] == "States.Timeout"
    [execution] = machines.client.list_executions(stateMachineArn=child)["executions"]
    assert machines.wait(execution["executionArn"])["status"] == "ABORTED"


def test_the_end_of_a_child_is_noticed_at_once(machines: Machines) -> None:
    child = machines.create(machine(Sleep=invoke("sleep", {"seconds": 0.1})))
    parent = machine(Children=for_each(run_child(child, "States.UUID()"), MaxConcurrency=1))
    execution = machines.start(parent, {"items": [1, 2, 3, 4, 5]})
    machines.wait(execution)
    times: dict[str, list[float]] = {"TaskSubmitted": [], "TaskSucceeded": []}
    for event in machines.history(execution):
        if event["type"] in times:
            times[event["type"]].append(event["timestamp"].timestamp())
    waits = [ended - started for started, ended in zip(*times.values(), strict=True)]
    assert len(waits) == 5
    assert 0.1 <= min(waits) < 0.4


def test_a_child_that_cannot_start_is_named(machines: Machines) -> None:
    child = machines.create(machine(Pass=PASS))
    assert machines.fail(machine(Child=run_child(child, "States.Format('a b')")))["error"] == (
        "StepFunctions.InvalidNameException"
    )
    machines.run(machine(Child=run_child(child, "States.Format('once')")))
    assert machines.fail(machine(Child=run_child(child, "States.Format('once')")))["error"] == (
        "StepFunctions.ExecutionAlreadyExistsException"
    )


# Context


def test_the_attempt_is_known_to_the_task(machines: Machines, tmp_path: Path) -> None:
    payload = {
        "attempt.$": "States.Format('try-{}', $$.State.RetryCount)",
        "path": str(tmp_path / "log"),
        "failures": 1,
    }
    machines.run(machine(Try=invoke("fail_first", payload, Retry=retry("TransientError"))))
    attempts = [json.loads(line)["attempt"] for line in (tmp_path / "log").read_text().splitlines()]
    assert attempts == ["try-0", "try-1"]


def test_each_attempt_of_a_child_has_a_name_of_its_own(machines: Machines, tmp_path: Path) -> None:
    child = machines.create(machine(Try=invoke("fail_first")))
    name = "States.Format('team-{}-{}', $$.Execution.Name, $$.State.RetryCount)"
    parent = machine(Child=run_child(child, name, Retry=retry("States.TaskFailed")))
    output = machines.run(parent, {"path": str(tmp_path / "log"), "failures": 1})
    assert output["Output"] == 2
    assert output["Name"].endswith("-1")


def test_the_item_is_known_to_a_task_within_an_iteration(machines: Machines) -> None:
    each = invoke("echo", {"index.$": "$$.Map.Item.Index", "item.$": "$$.Map.Item.Value.id"})
    assert machines.run(machine(Each=for_each(each)), {"items": [{"id": "a"}, {"id": "b"}]}) == [
        {"index": 0, "item": "a"},
        {"index": 1, "item": "b"},
    ]


def test_the_start_time_is_an_rfc_3339_time_in_milliseconds(machines: Machines) -> None:
    state = {
        "Type": "Pass",
        "Parameters": {
            "plain.$": "$$.Execution.StartTime",
            "formatted.$": "States.Format('{}', $$.Execution.StartTime)",
        },
        "End": True,
    }
    seen = machines.run(machine(Time=state))
    assert seen["plain"] == seen["formatted"]
    assert time.strptime(seen["plain"], "%Y-%m-%dT%H:%M:%S." + seen["plain"][20:23] + "Z")


# Errors


def test_an_errors_type_is_its_name(machines: Machines) -> None:
    failed = machines.fail(machine(Fail=invoke("fail")))
    assert (failed["status"], failed["error"]) == ("FAILED", "BadTrace")


def test_an_unknown_function_is_named(machines: Machines) -> None:
    failed = machines.fail(machine(Unknown=invoke("no_such_function")))
    assert failed["error"] == "Lambda.ResourceNotFoundException"
    assert "Function not found: arn:aws:lambda:us-east-1:123456789012:function:no_such_function" in failed["cause"]


def test_a_timeout_within_an_iteration_is_caught_by_the_map(machines: Machines) -> None:
    each = invoke("sleep", {"seconds": 3}, TimeoutSeconds=1)
    definition = machine(Map=for_each(each, Catch=catch("States.TaskFailed", "States.Timeout")), Caught=CAUGHT)
    assert machines.run(definition, {"items": [1]})["Error"] == "States.Timeout"


def test_an_iteration_that_fails_fails_the_map(machines: Machines) -> None:
    definition = machine(Map=for_each(invoke("fail"), Catch=catch("BadTrace")), Caught=CAUGHT)
    assert machines.run(definition, {"items": [1, 2, 3]})["Error"] == "BadTrace"


def test_states_all_does_not_catch_an_answer_above_256_kib(machines: Machines) -> None:
    def answer(size: int) -> dict[str, Any]:
        task = invoke("answer_bytes", {"bytes": size}, Retry=retry("States.ALL"), Catch=catch("States.ALL"))
        return machine(Answer=task, Caught=CAUGHT)

    assert len(machines.run(answer(200 * 1024))) == 200 * 1024 - 2
    execution = machines.start(answer(256 * 1024 + 1))
    failed = machines.wait(execution)
    assert (failed["status"], failed["error"]) == ("FAILED", "States.DataLimitExceeded")
    assert [event["type"] for event in machines.history(execution)].count("TaskScheduled") == 1


def test_a_map_whose_results_are_above_256_kib_fails(machines: Machines) -> None:
    definition = machine(
        Map=for_each(invoke("answer_bytes", {"bytes": 90_000}), Catch=catch("States.ALL")), Caught=CAUGHT
    )
    assert machines.fail(definition, {"items": [1, 2, 3]})["error"] == "States.DataLimitExceeded"


def test_parameters_above_256_kib_fail(machines: Machines) -> None:
    task = invoke("sleep", {"seconds": 0, "a.$": "$.text", "b.$": "$.text"}, Catch=catch("States.ALL"))
    failed = machines.fail(machine(Twice=task, Caught=CAUGHT), {"text": "x" * 150_000})
    assert failed["error"] == "States.DataLimitExceeded"


def test_states_all_does_not_catch_a_path_that_is_not_there(machines: Machines) -> None:
    task = invoke("echo", {"a.$": "$.missing"}, Catch=catch("States.ALL"))
    failed = machines.fail(machine(Missing=task, Caught=CAUGHT))
    assert failed["error"] == "States.Runtime"
    assert "$.missing" in failed["cause"]


def test_states_all_catches_everything_else(machines: Machines) -> None:
    for task in (invoke("fail"), invoke("no_such_function"), invoke("sleep", {"seconds": 3}, TimeoutSeconds=1)):
        definition = machine(Task={**task, "Catch": catch("States.ALL")}, Caught=CAUGHT)
        assert machines.run(definition)["Error"] in {"BadTrace", "Lambda.ResourceNotFoundException", "States.Timeout"}


def test_failures_are_not_logged_in_kilobytes(machines: Machines, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, logger="moto.stepfunctions"):
        machines.fail(machine(Fail=invoke("fail")))
    assert [record for record in caplog.records if record.name.endswith("eval_component")] == []


# Retries


def test_waits_between_attempts_are_scaled(machines: Machines, tmp_path: Path) -> None:
    policy = retry("TransientError", attempts=4, BackoffRate=2.0, JitterStrategy="NONE")  # 1 + 2 + 4 s
    started = time.monotonic()
    payload = {"path": str(tmp_path / "log"), "failures": 3}
    assert machines.run(machine(Try=invoke("fail_first", payload, Retry=policy))) == 4
    assert 7 * BACKOFF_SCALE <= time.monotonic() - started < 5


def test_a_state_has_as_many_attempts_as_it_should(machines: Machines, tmp_path: Path) -> None:
    payload = {"path": str(tmp_path / "log"), "failures": 100}
    failed = machines.fail(machine(Try=invoke("fail_first", payload, Retry=retry("TransientError", attempts=3))))
    assert failed["error"] == "TransientError"
    assert len((tmp_path / "log").read_text().splitlines()) == 3


def test_each_iteration_has_its_own_attempts(machines: Machines) -> None:
    each = invoke("fail", Retry=retry("BadTrace", attempts=2), Catch=catch("States.ALL"))
    processor = {"ProcessorConfig": {"Mode": "INLINE"}, **machine(Each=each, Caught=CAUGHT)}
    definition = machine(Map={**for_each(PASS), "ItemProcessor": processor, "MaxConcurrency": 20})
    execution = machines.start(definition, {"items": list(range(60))})
    assert machines.wait(execution)["status"] == "SUCCEEDED"
    types = [event["type"] for event in machines.history(execution)]
    assert types.count("TaskScheduled") == 120


def test_a_component_has_one_key_however_many_ask_at_once(monkeypatch: pytest.MonkeyPatch, machines: Machines) -> None:
    del machines  # it has installed the fixes
    keys = iter(range(100))

    def slow_uid() -> str:
        time.sleep(0.05)
        return str(next(keys))

    monkeypatch.setattr(eval_component, "long_uid", slow_uid)
    monkeypatch.setattr(moto_fixes, "long_uid", slow_uid)
    component = IntervalSecondsDecl()
    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(lambda _: component.heap_key, range(4)))) == 1


# Size


def test_a_map_runs_forty_iterations_at_once(machines: Machines) -> None:
    wait = {"Type": "Wait", "Seconds": 1, "End": True}
    execution = machines.start(machine(Map=for_each(wait)), {"items": list(range(60))})
    machines.wait(execution)
    running = most = 0
    for event in machines.history(execution):
        running += {"MapIterationStarted": 1, "MapIterationSucceeded": -1}.get(event["type"], 0)
        most = max(most, running)
    assert most == 40


def test_the_concurrency_can_come_from_the_input(machines: Machines) -> None:
    each = invoke("sleep", {"seconds": 0.05})
    definition = machine(Map=for_each(each, MaxConcurrencyPath="$.batch_size"))
    execution = machines.start(definition, {"items": list(range(9)), "batch_size": 3})
    machines.wait(execution)
    running = most = 0
    for event in machines.history(execution):
        running += {"TaskStarted": 1, "TaskSucceeded": -1}.get(event["type"], 0)
        most = max(most, running)
    assert most == 3


@pytest.mark.parametrize("concurrency", [1, 40])
def test_a_map_of_a_thousand_items_keeps_their_order(machines: Machines, concurrency: int) -> None:
    definition = machine(Map=for_each(PASS, MaxConcurrency=concurrency))
    assert machines.run(definition, {"items": list(range(1000))}) == list(range(1000))


def test_a_map_of_nothing_gives_nothing(machines: Machines) -> None:
    assert machines.run(machine(Map=for_each(PASS, MaxConcurrency=5)), {"items": []}) == []


def test_five_machines_run_side_by_side(machines: Machines) -> None:
    child = machines.create(machine(Map=for_each(invoke("echo"), MaxConcurrency=5)))
    name = "States.Format('{}-{}', $$.Execution.Name, $.team)"
    parent = machine(Teams=for_each(run_child(child, name, OutputPath="$.Output"), MaxConcurrency=5))
    teams = [{"team": team, "items": [{"team": team, "trace": trace} for trace in range(30)]} for team in range(5)]
    assert machines.run(parent, {"items": teams}) == [team["items"] for team in teams]


def test_a_definition_is_parsed_once(machines: Machines) -> None:
    definition = json.dumps(machine(Pass=PASS))
    parsed = AmazonStateLanguageParser.parse(definition)[0]
    assert AmazonStateLanguageParser.parse(definition)[0] is parsed
    parse_path = vars(json_path)["parse"]
    assert parse_path("$.a.b") is parse_path("$.a.b")
    # What was parsed before does not stand in for a definition that was changed.
    arn = machines.create(machine(Pass={**PASS, "Result": 1}))
    assert machines.run(arn) == 1
    machines.client.update_state_machine(
        stateMachineArn=arn, definition=json.dumps(machine(Pass={**PASS, "Result": 2}))
    )
    assert machines.run(arn) == 2


def test_ended_steps_leave_no_threads(machines: Machines) -> None:
    arn = machines.create(machine(Map=for_each(PASS, MaxConcurrency=10)))
    machines.run(arn, {"items": list(range(20))})
    before = threading.active_count()
    for _ in range(3):
        machines.run(arn, {"items": list(range(20))})
    assert threading.active_count() <= before + 3
    machines.run(arn, {"items": []})
    assert len(parser_utils.TMP_THREADS) < 20

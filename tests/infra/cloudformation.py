"""Reads a synthesized template the way a reviewer does: by names instead of logical ids and tokens."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

_PSEUDO_PARAMETERS = re.compile(r"AWS::(\w+)")
# What the CDK appends to a construct's path to make a logical id.
_HASH = re.compile(r"[0-9A-F]{8}$")

Statement = dict[str, Any]


def readable_name(logical_id: str) -> str:
    """A logical id without its hash."""
    return _HASH.sub("", logical_id)


def readable(value: Any) -> Any:
    """The value with every intrinsic function written as text: `${PlanRunFunction.Arn}`, `${AWS::Region}`."""
    if isinstance(value, list):
        return [readable(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((function, argument),) = value.items()
        if function == "Ref":
            return f"${{{argument if _PSEUDO_PARAMETERS.match(argument) else readable_name(argument)}}}"
        if function == "Fn::GetAtt":
            return f"${{{readable_name(argument[0])}.{argument[1]}}}"
        if function == "Fn::Join":
            return str(argument[0]).join(str(readable(part)) for part in argument[1])
        if function == "Fn::Select":
            return f"${{Select {argument[0]} of {readable(argument[1])}}}"
        if function == "Fn::Split":
            return f"{readable(argument[1])} split at {argument[0]}"
        if function == "Fn::Sub":
            return argument
    return {key: readable(item) for key, item in value.items()}


class Template:
    """A synthesized CloudFormation template."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))

    def resources(self, resource_type: str) -> dict[str, dict[str, Any]]:
        """Properties of all resources of a type, by readable name."""
        return {
            readable_name(logical_id): body.get("Properties", {})
            for logical_id, body in self.document["Resources"].items()
            if body["Type"] == resource_type
        }

    @cached_property
    def functions(self) -> dict[str, dict[str, Any]]:
        """Properties of the application's functions, by handler module."""
        return {
            properties["Handler"].split(".")[1]: properties
            for properties in self.resources("AWS::Lambda::Function").values()
            if properties["Handler"].startswith("handlers.")
        }

    @cached_property
    def machines(self) -> dict[str, dict[str, Any]]:
        """Properties of the state machines, by name."""
        return {body["StateMachineName"]: body for body in self.resources("AWS::StepFunctions::StateMachine").values()}

    def definition(self, machine: str) -> dict[str, Any]:
        """Definition of a state machine, tokens replaced by readable names."""
        parsed: dict[str, Any] = json.loads(readable(self.machines[machine]["DefinitionString"]))
        return parsed

    @cached_property
    def statements(self) -> dict[str, list[Statement]]:
        """Every role's statements, by the role's readable name."""
        found: dict[str, list[Statement]] = {role: [] for role in self.resources("AWS::IAM::Role")}
        for policy in self.resources("AWS::IAM::Policy").values():
            for role in policy["Roles"]:
                found[readable_name(role["Ref"])] += readable(policy["PolicyDocument"]["Statement"])
        return found

    def function_statements(self, handler_module: str) -> list[Statement]:
        """Statements of one function's role."""
        role = self.functions[handler_module]["Role"]["Fn::GetAtt"][0]
        return self.statements[readable_name(role)]


def states(definition: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """All states of a definition with their names, those within Maps too."""
    for name, state in definition["States"].items():
        yield name, state
        if "ItemProcessor" in state:
            yield from states(state["ItemProcessor"])


def actions(statement: Mapping[str, Any]) -> list[str]:
    """The statement's actions, always as a list."""
    found = statement["Action"]
    return [found] if isinstance(found, str) else found


def targets(statement: Mapping[str, Any]) -> list[str]:
    """The statement's resources, always as a list."""
    found = statement["Resource"]
    return [found] if isinstance(found, str) else found

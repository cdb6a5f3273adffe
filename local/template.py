"""Read the synthesized CloudFormation template: the one definition of functions, state machines and rules."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from local.lambda_function import ACCOUNT_ID, REGION

_PSEUDO_PARAMETERS = {
    "AWS::AccountId": ACCOUNT_ID,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackName": "local",
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT_ID}:stack/local/0",
}


class UnresolvedReferenceError(LookupError):
    """The template refers to a resource that has no local counterpart."""


@dataclass(frozen=True)
class Resource:
    """One resource of the template."""

    logical_id: str
    type: str
    properties: Mapping[str, Any]


@dataclass(frozen=True)
class Arns:
    """What `Ref` and `Fn::GetAtt` give for resources that exist locally."""

    refs: Mapping[str, str]
    arns: Mapping[str, str]

    def resolve(self, value: Any) -> Any:
        """The value with `Ref`, `Fn::GetAtt` (`Arn`, `Name`), `Fn::Join` and `Fn::Sub`-free CDK output put in.

        Raises UnresolvedReferenceError for a reference to anything else.
        """
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "Ref" in value:
            return self._looked_up({**_PSEUDO_PARAMETERS, **self.refs}, value["Ref"])
        if "Fn::GetAtt" in value:
            logical_id, attribute = value["Fn::GetAtt"]
            return self._looked_up(self.refs if attribute == "Name" else self.arns, logical_id)
        if "Fn::Join" in value:
            separator, parts = value["Fn::Join"]
            return str(separator).join(str(self.resolve(part)) for part in parts)
        return {key: self.resolve(item) for key, item in value.items()}

    @staticmethod
    def _looked_up(known: Mapping[str, str], logical_id: str) -> str:
        try:
            return known[logical_id]
        except KeyError as error:
            raise UnresolvedReferenceError(f"the template refers to {logical_id}, unknown locally") from error


class Template:
    """A synthesized template and the assets beside it."""

    def __init__(self, path: Path) -> None:
        self._directory = path.parent
        self._document: dict[str, Any] = json.loads(path.read_text())

    @cached_property
    def _resources(self) -> list[Resource]:
        return [
            Resource(logical_id, body["Type"], body.get("Properties", {}))
            for logical_id, body in self._document["Resources"].items()
        ]

    def of_type(self, resource_type: str) -> list[Resource]:
        """All resources of a CloudFormation type, such as `AWS::Lambda::Function`, in the template's order."""
        return [resource for resource in self._resources if resource.type == resource_type]

    def functions(self) -> list[Resource]:
        """The application's own Lambda functions: those with a handler module under `handlers`."""
        return [
            resource
            for resource in self.of_type("AWS::Lambda::Function")
            if str(resource.properties.get("Handler", "")).startswith("handlers.")
        ]

    def asset_directory(self, function: Resource) -> Path:
        """The unzipped bundle of a function."""
        asset_hash = Path(function.properties["Code"]["S3Key"]).stem
        return self._directory / f"asset.{asset_hash}"

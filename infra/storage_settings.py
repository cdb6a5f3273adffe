"""What the functions read at run time: the team allowlist, the team settings and the secrets."""

import json
from dataclasses import dataclass

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import custom_resources as cr
from constructs import Construct

from infra.monitoring import log_group
from infra.settings import StackSettings
from trace_summarization.constants import ALLOWED_TEAM_IDS, SERVICE_NAME
from trace_summarization.team_settings import NO_SETTINGS


@dataclass(frozen=True)
class Secret:
    """A secret that a function may read: where it is, never what it holds."""

    arn: str

    def read_statement(self) -> iam.PolicyStatement:
        """The right to read it."""
        return iam.PolicyStatement(actions=["secretsmanager:GetSecretValue"], resources=[self.arn])


def secret(scope: Construct, construct_id: str, given_arn: str | None, description: str) -> Secret:
    """The secret that the deployment names, else a new one without a value.

    Without a value on purpose: one that the template held would overwrite yours as soon as the template changed it.
    """
    if given_arn is not None:
        return Secret(given_arn)
    return Secret(secretsmanager.CfnSecret(scope, construct_id, description=description).ref)


class EditableParameter:
    """An SSM parameter that a deploy creates once and that is the operator's to edit from then on."""

    def __init__(self, scope: Construct, name: str) -> None:
        self.name = name
        self.arn = Stack.of(scope).format_arn(service="ssm", resource="parameter", resource_name=name.removeprefix("/"))

    def read_statement(self) -> iam.PolicyStatement:
        """The right to read the parameter."""
        return iam.PolicyStatement(actions=["ssm:GetParameter"], resources=[self.arn])


class EditableParameters(Construct):
    """The team allowlist, a JSON array of team ids, and the team settings, a JSON object.

    A parameter of CloudFormation's own would be overwritten when its initial value changes, and would stop the deploy
    that follows a destroy. So custom resources put each once, without `Overwrite`, and nothing ever deletes them. They
    share the CDK's one function for such calls, and with it one role.
    """

    def __init__(self, scope: Construct, construct_id: str, settings: StackSettings) -> None:
        super().__init__(scope, construct_id)
        prefix = f"/{settings.named(SERVICE_NAME)}"
        self.allowlist = EditableParameter(self, f"{prefix}/allowed-team-ids")
        self.team_settings = EditableParameter(self, f"{prefix}/team-settings")
        self._logs = log_group(self, "Logs", f"/aws/lambda/{settings.named(SERVICE_NAME)}-parameter-creation", settings)
        self._role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        self._role.add_to_policy(
            iam.PolicyStatement(actions=["ssm:PutParameter"], resources=[self.allowlist.arn, self.team_settings.arn])
        )
        self._logs.grant_write(self._role)
        self._create_once(
            "TeamAllowlist",
            self.allowlist,
            "Ids of the teams whose traces are summarized: a JSON array. Yours to edit.",
            json.dumps(ALLOWED_TEAM_IDS),
        )
        self._create_once(
            "TeamSettings",
            self.team_settings,
            "What teams may spend and send, and prices of your own models: a JSON object. Yours to edit.",
            NO_SETTINGS,
        )

    def _create_once(self, construct_id: str, parameter: EditableParameter, description: str, value: str) -> None:
        put = cr.AwsSdkCall(
            service="SSM",
            action="PutParameter",
            parameters={
                "Name": parameter.name,
                "Description": description,
                "Value": value,
                "Type": "String",
                "Tier": "Intelligent-Tiering",
                "Overwrite": False,
            },
            ignore_error_codes_matching="ParameterAlreadyExists",
            physical_resource_id=cr.PhysicalResourceId.of(parameter.name),
        )
        cr.AwsCustomResource(
            self,
            construct_id,
            on_create=put,
            on_update=put,
            role=self._role,
            log_group=self._logs,
            install_latest_aws_sdk=False,
            resource_type=f"Custom::{construct_id}",
        )

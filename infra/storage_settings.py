"""What the functions read at run time: the team allowlist and the secrets."""

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


class TeamAllowlist(Construct):
    """The SSM parameter with the ids of the teams that the coordinator summarizes, as a JSON array.

    A parameter of CloudFormation's own would be overwritten when `ALLOWED_TEAM_IDS` changes, and would stop the deploy
    that follows a destroy. So a custom resource puts it once, without `Overwrite`, and nothing ever deletes it.
    """

    def __init__(self, scope: Construct, construct_id: str, settings: StackSettings) -> None:
        super().__init__(scope, construct_id)
        self.parameter_name = f"/{settings.named(SERVICE_NAME)}/allowed-team-ids"
        self.parameter_arn = Stack.of(self).format_arn(
            service="ssm", resource="parameter", resource_name=self.parameter_name.removeprefix("/")
        )
        logs = log_group(self, "Logs", f"/aws/lambda/{settings.named(SERVICE_NAME)}-allowlist-creation", settings)
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        role.add_to_policy(iam.PolicyStatement(actions=["ssm:PutParameter"], resources=[self.parameter_arn]))
        logs.grant_write(role)
        put = cr.AwsSdkCall(
            service="SSM",
            action="PutParameter",
            parameters={
                "Name": self.parameter_name,
                "Description": "Ids of the teams whose traces are summarized: a JSON array. Yours to edit.",
                "Value": json.dumps(ALLOWED_TEAM_IDS),
                "Type": "String",
                "Tier": "Intelligent-Tiering",
                "Overwrite": False,
            },
            ignore_error_codes_matching="ParameterAlreadyExists",
            physical_resource_id=cr.PhysicalResourceId.of(self.parameter_name),
        )
        cr.AwsCustomResource(
            self,
            "Creation",
            on_create=put,
            on_update=put,
            role=role,
            log_group=logs,
            install_latest_aws_sdk=False,
            resource_type="Custom::TeamAllowlist",
        )

    def read_statement(self) -> iam.PolicyStatement:
        """The right to read the parameter."""
        return iam.PolicyStatement(actions=["ssm:GetParameter"], resources=[self.parameter_arn])

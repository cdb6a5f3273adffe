"""The table through which concurrent functions agree on what a run may still spend."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.settings import StackSettings
from trace_summarization.constants import SERVICE_NAME


class CoordinationTable(Construct):
    """A DynamoDB table of short-lived items. It goes when the stack goes: nothing in it outlives its run by a month."""

    def __init__(self, scope: Construct, construct_id: str, settings: StackSettings) -> None:
        super().__init__(scope, construct_id)
        self._table = dynamodb.Table(
            self,
            "Table",
            table_name=settings.named(f"{SERVICE_NAME}-coordination"),
            partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            time_to_live_attribute="expires_at",
            removal_policy=RemovalPolicy.DESTROY,
        )

    @property
    def table_name(self) -> str:
        """What the functions call it."""
        return self._table.table_name

    def update_statement(self) -> iam.PolicyStatement:
        """The right to change items."""
        return iam.PolicyStatement(actions=["dynamodb:UpdateItem"], resources=[self._table.table_arn])

    def read_statement(self) -> iam.PolicyStatement:
        """The right to read items."""
        return iam.PolicyStatement(actions=["dynamodb:GetItem"], resources=[self._table.table_arn])

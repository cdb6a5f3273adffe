"""Log groups: one per function and state machine, each with the retention that the deployment chose."""

from typing import cast

from aws_cdk import RemovalPolicy
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.settings import StackSettings


def log_group(scope: Construct, construct_id: str, name: str, settings: StackSettings) -> logs.LogGroup:
    """A log group that goes when the stack goes: kept under its fixed name, it would stop the next deploy."""
    group = logs.LogGroup(scope, construct_id, log_group_name=name, removal_policy=RemovalPolicy.DESTROY)
    cast("logs.CfnLogGroup", group.node.default_child).retention_in_days = settings.log_retention_days
    return group

"""Where records go that no attempt will ever embed: an S3 bucket for people to look into."""

from aws_cdk import Aws, Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

BROKEN_RECORDS_PREFIX = "broken/"


class FailureBucket(Construct):
    """Outlives the stack: what it holds was acknowledged in the queue and is nowhere else.

    Its name is generated: names are unique among all accounts, and CloudFormation begins them with the stack's.
    """

    def __init__(self, scope: Construct, construct_id: str, retention_days: int) -> None:
        super().__init__(scope, construct_id)
        self._bucket = s3.Bucket(
            self,
            "Bucket",
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            lifecycle_rules=[
                s3.LifecycleRule(
                    expiration=Duration.days(retention_days),
                    abort_incomplete_multipart_upload_after=Duration.days(1),
                )
            ],
            removal_policy=RemovalPolicy.RETAIN,
        )

    @property
    def name(self) -> str:
        """What the functions call it."""
        return self._bucket.bucket_name

    @property
    def arn(self) -> str:
        """What an event source calls it."""
        return self._bucket.bucket_arn

    def keep_statements(self) -> list[iam.PolicyStatement]:
        """The rights to keep broken records and to list which are kept, without reading them."""
        below_prefix = f"{BROKEN_RECORDS_PREFIX}*"
        return [
            iam.PolicyStatement(actions=["s3:PutObject"], resources=[self._bucket.arn_for_objects(below_prefix)]),
            iam.PolicyStatement(
                actions=["s3:ListBucket"],
                resources=[self.arn],
                conditions={"StringLike": {"s3:prefix": below_prefix}},
            ),
        ]

    def destination_statements(self) -> list[iam.PolicyStatement]:
        """The rights of an event source whose on-failure destination this is, within this account only.

        On all objects: where Lambda puts a Kafka batch is not documented, and one that it may not put is lost (Lambda
        guide, "Capturing discarded batches", names the rights and the condition).
        """
        own_account = {"StringEquals": {"s3:ResourceAccount": Aws.ACCOUNT_ID}}
        return [
            iam.PolicyStatement(
                actions=["s3:PutObject"], resources=[self._bucket.arn_for_objects("*")], conditions=own_account
            ),
            iam.PolicyStatement(actions=["s3:ListBucket"], resources=[self.arn], conditions=own_account),
        ]

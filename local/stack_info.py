"""What a running stack tells about itself: `stack.json` in its data directory, read by every other command."""

import fcntl
import os
from pathlib import Path
from typing import IO, Any, Self

import boto3
import clickhouse_connect
from botocore.config import Config
from clickhouse_connect.driver.client import Client
from pydantic import BaseModel, ConfigDict

from local.errors import DataDirectoryInUseError
from local.lambda_function import REGION

PROJECT_ROOT = Path(__file__).resolve().parent.parent
DEFAULT_DATA_DIR = PROJECT_ROOT / ".local"
OFFLINE_PROVIDER = "offline"
ACCESS_KEY = "local"  # moto takes any credentials


class StackInfo(BaseModel):
    """Endpoints and names of a running stack."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int
    data_dir: Path
    log_dir: Path
    aws_endpoint_url: str
    region: str = REGION
    coordinator_arn: str
    team_machine_arn: str
    allowlist_parameter: str
    team_settings_parameter: str
    coordination_table: str
    clickhouse_host: str
    clickhouse_port: int
    clickhouse_database: str
    clickhouse_events_table: str
    kafka_bootstrap_servers: str
    kafka_topic: str
    failure_bucket: str
    embed_function: str
    search_function: str
    requeue_function: str
    embedding_models: tuple[str, ...]
    model_base_url: str
    model_provider: str

    def model_told(self) -> str:
        """Which model this stack asks, for people."""
        if self.model_provider == OFFLINE_PROVIDER:
            return "offline, extractive: it picks sentences and costs nothing (costs told: of the model asked for)"
        return f"{self.model_base_url} (costs what it charges)"

    def exports(self) -> list[str]:
        """Lines for a shell, so that the AWS CLI talks to this stack."""
        return [
            f"export AWS_ENDPOINT_URL={self.aws_endpoint_url}",
            f"export AWS_DEFAULT_REGION={self.region}",
            f"export AWS_ACCESS_KEY_ID={ACCESS_KEY}",
            f"export AWS_SECRET_ACCESS_KEY={ACCESS_KEY}",
            f"export COORDINATOR_ARN={self.coordinator_arn}",
            f"export TEAM_MACHINE_ARN={self.team_machine_arn}",
            f"export ALLOWED_TEAM_IDS_PARAMETER={self.allowlist_parameter}",
            f"export TEAM_SETTINGS_PARAMETER={self.team_settings_parameter}",
        ]

    def aws(self, service: str) -> Any:
        """A boto3 client of the stack's AWS endpoint."""
        return boto3.client(
            service,
            endpoint_url=self.aws_endpoint_url,
            region_name=self.region,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=ACCESS_KEY,
            config=Config(retries={"max_attempts": 0}, read_timeout=60),
        )

    def clickhouse(self) -> Client:
        """A ClickHouse client of the stack."""
        return clickhouse_connect.get_client(host=self.clickhouse_host, port=self.clickhouse_port)


class DataDirectory:
    """The folder that one stack owns at a time: data, logs, `stack.json`, and the lock that says who runs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    @property
    def _info_path(self) -> Path:
        return self.path / "stack.json"

    @property
    def allowlist_path(self) -> Path:
        """Where the team allowlist is kept between starts."""
        return self.path / "allowed_team_ids.json"

    def running(self) -> StackInfo | None:
        """The stack that runs on this folder now, once it is ready."""
        if not self._locked_by_another():
            return None
        try:
            return StackInfo.model_validate_json(self._info_path.read_text())
        except FileNotFoundError:
            raise DataDirectoryInUseError(f"{self.path}: a stack is starting or stopping; try again shortly") from None

    def acquire(self) -> Self:
        """Own the folder until `release`. Raises DataDirectoryInUseError."""
        self.path.mkdir(parents=True, exist_ok=True)
        lock = (self.path / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise DataDirectoryInUseError(
                f"{self.path}: a stack runs on this folder already; stop it, or give another --data-dir"
            ) from None
        self._lock = lock
        self._info_path.unlink(missing_ok=True)
        return self

    def publish(self, info: StackInfo) -> None:
        """Make the running stack known, in one step."""
        partial = self._info_path.with_suffix(f".{os.getpid()}")
        partial.write_text(info.model_dump_json(indent=2))
        partial.replace(self._info_path)

    def release(self) -> None:
        """Give the folder free."""
        if self._lock is not None:
            self._info_path.unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def _locked_by_another(self) -> bool:
        try:
            with (self.path / "lock").open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

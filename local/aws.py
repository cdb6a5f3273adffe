"""AWS on one machine: Step Functions with its interpreter, Lambda, Secrets Manager, SSM, S3 and DynamoDB on one port.

All of it is moto's server in this process, with the fixes of `moto_fixes`; Lambda functions run in a `LambdaRuntime`.
The AWS CLI (`--endpoint-url`), boto3 and worker processes use it as they would use AWS. State lives in memory, and is
moto's own, so a process can have one `LocalAws` at a time. Executions and their histories are kept until it stops: 6 MB
for each Map of 1,000 functions. Credentials, IAM policies and logging configurations are accepted, not enforced.
"""

from __future__ import annotations

import functools
import io
import logging
import socket
import threading
import zipfile
from types import TracebackType
from typing import Any, ClassVar, Self

import boto3
from botocore.config import Config
from moto.awslambda_simple.models import LambdaSimpleBackend
from moto.core.config import default_user_config
from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import ThreadedWSGIServer

from local import moto_fixes
from local.http_server import BackgroundServer
from local.lambda_function import ACCOUNT_ID, REGION, FunctionSpec
from local.lambda_invocation import InterpreterLambdaClient, LambdaInvoker
from local.lambda_runtime import LambdaRuntime
from local.patching import replace
from local.ports import listen

__all__ = ["LocalAws"]

_HOST = "127.0.0.1"
_CREDENTIAL = "local"  # any will do
_ROLE_NAME = "local"


class LocalAws:
    """AWS services on 127.0.0.1, in account 123456789012 and region us-east-1.

    Args:
        port: 0 takes a free one at the first start; later starts keep it.
        backoff_scale: factor of every wait between the attempts of a `Retry`; 0 does not wait.
    """

    _running: ClassVar[LocalAws | None] = None

    def __init__(self, port: int = 0, backoff_scale: float = 1.0) -> None:
        if backoff_scale < 0:
            raise ValueError(f"backoff_scale: expected 0 or more, got {backoff_scale}")
        self._port = port
        self._backoff_scale = backoff_scale
        self._server: _MotoServer | None = None
        self._invoker = LambdaInvoker()
        self._session = boto3.session.Session(_CREDENTIAL, _CREDENTIAL, region_name=REGION)
        self._clients: dict[str, Any] = {}
        self._clients_lock = threading.Lock()

    @property
    def endpoint_url(self) -> str:
        """`http://127.0.0.1:port`, for clients; before the first start with port 0 there is none."""
        if self._port == 0:
            raise RuntimeError("the local AWS has no port yet: start it first")
        return f"http://{_HOST}:{self._port}"

    def start(self) -> None:
        """Listen, with nothing created yet.

        Raises:
            PortInUseError: something listens on the port.
            RuntimeError: this process runs another one.
        """
        if LocalAws._running is not None:
            raise RuntimeError(f"this process runs a local AWS already, on {LocalAws._running.endpoint_url}")
        listener = listen(_HOST, self._port)
        self._port = listener.getsockname()[1]
        moto_api_backend.reset()
        default_user_config["stepfunctions"] = {"execute_state_machine": True}
        default_user_config["lambda"] = {"use_docker": False}
        replace(LambdaSimpleBackend, "invoke", lambda _original: _lambda_invoke(self._invoker))
        # For each failure it writes kilobytes of its own structures; the error itself is in the execution's history.
        logging.getLogger("moto.stepfunctions").setLevel(logging.CRITICAL)
        moto_fixes.install(self._interpreter_client, self._backoff_scale)
        self._server = _MotoServer(listener)
        LocalAws._running = self

    def stop(self) -> None:
        """Abort all executions, stop listening and forget everything that was created. Can be called twice."""
        if self._server is None:
            return
        moto_fixes.abort_executions()
        self._server.close()
        self._server = None
        self._invoker.use(None)
        LocalAws._running = None
        with self._clients_lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def client(self, service_name: str) -> Any:
        """A boto3 client of this endpoint; one per service, which threads may share.

        Args:
            service_name: as boto3 has it, for instance `stepfunctions`.
        """
        with self._clients_lock:
            if service_name not in self._clients:
                config = Config(max_pool_connections=50, s3={"addressing_style": "path"}, proxies={})
                self._clients[service_name] = self._session.client(
                    service_name, endpoint_url=self.endpoint_url, config=config
                )
            return self._clients[service_name]

    def register_functions(self, runtime: LambdaRuntime) -> None:
        """Make a runtime's functions the ones of this Lambda; later calls replace them.

        The runtime stays its owner's: `stop` does not stop it.
        """
        iam = self.client("iam")
        client = self.client("lambda")
        if not any(role["RoleName"] == _ROLE_NAME for role in iam.list_roles()["Roles"]):
            iam.create_role(RoleName=_ROLE_NAME, AssumeRolePolicyDocument="{}")
        for function in client.list_functions()["Functions"]:
            client.delete_function(FunctionName=function["FunctionName"])
        for function in runtime.functions:
            client.create_function(**_function_configuration(function))
        self._invoker.use(runtime)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _interpreter_client(self, service_name: str) -> Any:
        if service_name == "lambda":
            return InterpreterLambdaClient(self._invoker)
        return self.client(service_name)


def _lambda_invoke(invoker: LambdaInvoker) -> Any:
    def invoke(
        _backend: Any, function_name: str, _qualifier: str | None, body: Any, headers: Any, response_headers: Any
    ) -> bytes:
        return invoker.answer_endpoint(function_name, body, headers, response_headers)

    return invoke


def _function_configuration(function: FunctionSpec) -> dict[str, Any]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as code:
        code.writestr("README", f"The code of this function is in {function.task_root}.")
    return {
        "FunctionName": function.name,
        "Handler": function.handler,
        "Role": f"arn:aws:iam::{ACCOUNT_ID}:role/{_ROLE_NAME}",
        "Runtime": "python3.13",
        "Code": {"ZipFile": archive.getvalue()},
        "Timeout": int(function.timeout_seconds) or 1,
        "MemorySize": function.memory_mb,
        "Environment": {"Variables": dict(function.environment)},
    }


class _Application(DomainDispatcherApplication):
    @functools.cached_property
    def get_backend_for_host(self) -> Any:
        """Remember the answers: moto would list its folders, which takes 1 ms, for each request."""
        return functools.cache(super().get_backend_for_host)


class _RequestHandler(MotoRequestHandler):
    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing of a request that was answered; errors have a log call of their own."""


class _MotoServer(BackgroundServer, ThreadedWSGIServer):
    """Moto's WSGI application behind werkzeug's server.

    Moto's own `ThreadedMotoServer` hangs when the port is in use, and answers on open connections after its end.
    """

    def __init__(self, listener: socket.socket) -> None:
        host, port = listener.getsockname()
        super().__init__(host, port, _Application(create_backend_app), _RequestHandler, fd=listener.fileno())
        self.serve_in_background(listener, "moto-http")

"""Lambda's Invoke API in front of a `LambdaRuntime`, for clients of the endpoint and for the state machines."""

from __future__ import annotations

import io
import json
import re
import threading
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from botocore.exceptions import ClientError
from moto.core.exceptions import JsonRESTError

from local.lambda_function import InvocationResult
from local.lambda_runtime import (
    LambdaRuntime,
    PayloadTooLargeError,
    RuntimeStoppedError,
    ThrottledError,
    UnknownFunctionError,
)

__all__ = ["InterpreterLambdaClient", "LambdaInvoker"]

# A name, a partial ARN or an ARN, each with or without a version or alias.
_FUNCTION_NAME = re.compile(r"(?:arn:aws:lambda:[^:]+:)?(?:\d{12}:)?(?:function:)?(?P<name>[^:]+)(?::[^:]+)?")


class LambdaInvoker:
    """Invokes functions by any form of their name, with Lambda's own errors."""

    def __init__(self) -> None:
        self._runtime: LambdaRuntime | None = None

    def use(self, runtime: LambdaRuntime | None) -> None:
        """Invoke functions of this runtime from now on; None: there are no functions."""
        self._runtime = runtime

    def invoke(self, function_name: str, payload: bytes) -> InvocationResult:
        """Run a function and wait for its result.

        Raises:
            InvokeError: what Lambda refuses to run.
        """
        found = _FUNCTION_NAME.fullmatch(function_name)
        unknown = InvokeError("ResourceNotFoundException", f"Function not found: {function_name}", HTTPStatus.NOT_FOUND)
        if self._runtime is None or found is None:
            raise unknown
        try:
            return self._runtime.invoke(found["name"], payload)
        except UnknownFunctionError as error:
            raise unknown from error
        except PayloadTooLargeError as error:
            status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            raise InvokeError("RequestTooLargeException", str(error), status) from error
        except ThrottledError as error:
            raise InvokeError("TooManyRequestsException", str(error), HTTPStatus.TOO_MANY_REQUESTS) from error
        except RuntimeStoppedError as error:
            raise InvokeError("ServiceException", str(error), HTTPStatus.INTERNAL_SERVER_ERROR) from error

    def answer_endpoint(
        self, function_name: str, body: str | bytes | None, headers: Mapping[str, str], response_headers: dict[str, str]
    ) -> bytes:
        """Answer a request of Invoke to the endpoint, in the form that moto's Lambda backend gives and takes it."""
        payload = body.encode() if isinstance(body, str) else body or b""
        match headers.get("X-Amz-Invocation-Type"):
            case "DryRun":
                return b""
            case "Event":  # AWS would also try twice more after an error
                threading.Thread(target=self.invoke, args=(function_name, payload), daemon=True).start()
                return b""
        result = self.invoke(function_name, payload)
        response_headers["x-amz-executed-version"] = "$LATEST"
        if result.function_error is not None:
            response_headers["x-amz-function-error"] = result.function_error
        return result.payload


class InvokeError(JsonRESTError):
    """Raised for an invocation that never reaches the function; moto answers it as Lambda would."""

    def __init__(self, error_type: str, message: str, status: HTTPStatus) -> None:
        super().__init__(error_type, message)
        self.code = int(status)

    def as_client_error(self) -> ClientError:
        """What boto3 would raise for it."""
        response = {
            "Error": {"Code": self.error_type, "Message": self.message},
            "ResponseMetadata": {"HTTPStatusCode": self.code, "RequestId": str(uuid.uuid4())},
        }
        return ClientError(response, "Invoke")


class InterpreterLambdaClient:
    """Stands for the interpreter's boto3 client: a call through HTTP would cost ten times the invocation itself."""

    def __init__(self, invoker: LambdaInvoker) -> None:
        self._invoker = invoker

    def invoke(self, **parameters: Any) -> dict[str, Any]:
        """Do what the client's method of this name does.

        Raises:
            ClientError: as the client does.
        """
        payload = parameters.get("Payload", b"{}")
        if not isinstance(payload, bytes):
            payload = json.dumps(payload).encode()
        try:
            result = self._invoker.invoke(parameters["FunctionName"], payload)
        except InvokeError as error:
            raise error.as_client_error() from error
        response = {"StatusCode": 200, "ExecutedVersion": "$LATEST", "Payload": io.BytesIO(result.payload)}
        if result.function_error is not None:
            response["FunctionError"] = result.function_error
        return response

"""Secrets Manager and Parameter Store: read, checked, kept for five minutes."""

import functools
import ssl
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from aws_lambda_powertools.utilities.parameters import SecretsProvider, SSMProvider
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError, TransformParameterError
from botocore.config import Config
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from trace_summarization.errors import InvalidConfiguration, SecretUnavailable

_MAX_AGE_SECONDS = 300
# One quick repetition; for anything longer the state machine tries again, with its own patience.
_CLIENT_CONFIG = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2, "mode": "standard"})


@functools.cache
def _secrets_provider() -> SecretsProvider:
    return SecretsProvider(boto_config=_CLIENT_CONFIG)


@functools.cache
def _ssm_provider() -> SSMProvider:
    return SSMProvider(boto_config=_CLIENT_CONFIG)


# Answers of the secret or parameter store that no further attempt changes.
_FINAL_CODES = (
    "AccessDeniedException",
    "InvalidRequestException",
    "ParameterNotFound",
    "ResourceNotFoundException",
    "UnrecognizedClientException",
)


class _Secret(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @classmethod
    def read(cls, arn: str) -> Self:
        """Read and check the secret. Raises SecretUnavailable, or InvalidConfiguration that names no value."""
        try:
            value: Any = _secrets_provider().get(arn, transform="json", max_age=_MAX_AGE_SECONDS)
        except TransformParameterError as error:
            raise InvalidConfiguration(f"secret {arn}: not JSON; allowed is {cls._allowed()}") from error
        except GetParameterError as error:
            raise _store_error(f"secret {arn}", error) from error
        if not isinstance(value, Mapping):
            raise InvalidConfiguration(f"secret {arn}: not a JSON object; allowed is {cls._allowed()}")
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'secret'}: {e['msg']}" for e in error.errors())
            raise InvalidConfiguration(f"secret {arn}: {problems}; allowed is {cls._allowed()}") from error

    @classmethod
    def _allowed(cls) -> str:
        names = (name if field.is_required() else f"{name} (optional)" for name, field in cls.model_fields.items())
        return f"a JSON object with {', '.join(names)}"


class ClickHouseSecret(_Secret):
    """How to connect to ClickHouse over HTTP."""

    host: str = Field(min_length=1)
    port: int = Field(8443, ge=1, le=65_535)
    username: str = "default"
    password: str = Field("", repr=False)
    secure: bool = True


_OPENAI_HOST = "api.openai.com"
_HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
_HeaderValue = Annotated[str, Field(pattern=r"^[ -~]*$")]


class ModelSecret(_Secret):
    """How to reach the model: any endpoint that speaks OpenAI's API.

    `api_key` is sent as a bearer token; only endpoints other than OpenAI's may do without. `headers` and `query` go
    with every request, for endpoints that want their key or version there. `service_tier` is sent where it is given;
    where it is not, OpenAI is asked for `standard_tier`.
    """

    api_key: str | None = Field(None, pattern=r"^[!-~]+$", repr=False)
    base_url: str = Field(f"https://{_OPENAI_HOST}/v1", pattern=r"^https?://")
    provider: str = Field("", validate_default=True)
    headers: Mapping[_HeaderName, _HeaderValue] = Field({}, repr=False)
    query: Mapping[str, str] = Field({}, repr=False)
    service_tier: Literal["auto", "default", "flex", "priority", "scale"] | None = None

    @property
    def standard_tier(self) -> Literal["default"] | None:
        """What asks for the standard price: where none is sent, OpenAI takes the project's own, which may be dearer."""
        host = urlsplit(self.base_url).hostname or ""
        return "default" if host == _OPENAI_HOST or host.endswith(f".{_OPENAI_HOST}") else None

    def __hash__(self) -> int:
        """By content, so that clients can be kept by their secret."""
        return hash(self.model_dump_json())

    @field_validator("provider")
    @classmethod
    def _host_where_unnamed(cls, provider: str, info: ValidationInfo) -> str:
        # Who answers is part of a summary's identity: a change of provider is no rerun.
        return provider or urlsplit(info.data.get("base_url", "")).hostname or ""

    @model_validator(mode="after")
    def _key_where_openai_answers(self) -> Self:
        if self.api_key is None and urlsplit(self.base_url).hostname == _OPENAI_HOST:
            raise ValueError(f"api_key: missing; only endpoints other than {_OPENAI_HOST} may do without")
        return self


class KafkaSecret(_Secret):
    """SASL credentials of the broker."""

    username: str = Field(min_length=1)
    password: str = Field(min_length=1, repr=False)


class RootCertificateSecret(_Secret):
    """Root certificates, PEM, of the authorities that vouch for servers; named as Lambda's event source wants it."""

    certificate: str = Field(repr=False)

    @field_validator("certificate")
    @classmethod
    def _readable(cls, certificate: str) -> str:
        _tls_context(certificate)
        return certificate

    def tls_context(self) -> ssl.SSLContext:
        """TLS for a client that checks the server's name, and its certificate by these authorities and no others."""
        return _tls_context(self.certificate)


def _tls_context(root_certificates: str) -> ssl.SSLContext:
    # As the Kafka client's own. Python's default is stricter from 3.13 on, and refuses what many private authorities
    # leave out of their certificates.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cadata=root_certificates)
    except (ssl.SSLError, TypeError, ValueError) as error:  # TypeError: not ASCII
        raise ValueError("should be root certificates in PEM, with its line breaks") from error
    return context


def read_parameter(name: str) -> str:
    """Text of an SSM parameter. Never from a cache: a changed allowlist holds from the next run on."""
    try:
        value = _ssm_provider().get(name, force_fetch=True)
    except GetParameterError as error:
        raise _store_error(f"parameter {name}", error) from error
    return str(value)


def _store_error(what: str, error: GetParameterError) -> SecretUnavailable | InvalidConfiguration:
    code = next((code for code in _FINAL_CODES if code in str(error)), None)
    if code:
        return InvalidConfiguration(f"{what}: {code}")
    return SecretUnavailable(f"{what}: not readable now ({type(error.__cause__ or error).__name__})")

"""Messages on `document_embeddings_input`, read: what a record holds, checked, or what is wrong with it.

The contract is `document_embeddings_input.v1.schema.json` beside this file, generated from `EmbeddingRequest`. Checked
besides: the size, JSON that keeps to its standard, each key once, and that `content_hash` is that of `content`.
"""

import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import ErrorDetails

from embedding.models import MAX_DIMENSIONS, MAX_MODEL_NAME_LENGTH, EmbeddingModelName
from embedding.ports import Document
from embedding.requests import content_hash
from embedding.words import searchable
from trace_summarization import constants as c
from trace_summarization.timestamps import parse_microseconds

SCHEMA_FILE_NAME: Final = f"{c.EMBEDDING_TOPIC}.v{c.EMBEDDING_MESSAGE_VERSION}.schema.json"
MAX_MODELS: Final = 10

# What `Date`, part of the table's sort key, and `DateTime64(6)` both hold, in whole years.
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2148, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
_TIME_PATTERN: Final = (
    r"^(19[7-9][0-9]|20[0-9]{2}|21[0-3][0-9]|214[0-8])-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"[Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
# Up to MAX_DIMENSIONS.
_MODEL_PATTERN: Final = (
    r"^[A-Za-z0-9_./:@-]*[A-Za-z0-9_]"
    r"-([1-9][0-9]{0,3}|1[0-5][0-9]{3}|16[0-2][0-9]{2}|163[0-7][0-9]|1638[0-4])$"
)
_TOLD_PROBLEMS: Final = 5


class BrokenMessage(ValueError):
    """A record that holds no embedding request. Its text names the field and what is allowed, never what is there."""


def _moment(value: object) -> datetime:
    if not isinstance(value, str):
        raise ValueError("should be a string holding an RFC 3339 time with offset")  # noqa: TRY004 - pydantic wants it
    try:
        moment = parse_microseconds(value)
    except ValueError:
        # Python's own text quotes what it could not read.
        raise ValueError("should be an RFC 3339 time with offset, such as 2025-01-15T12:00:00Z") from None
    if not _EARLIEST <= moment <= _LATEST:
        raise ValueError(f"should be a time from the years {_EARLIEST.year} to {_LATEST.year}")
    return moment


def _version(value: int) -> int:
    if value != c.EMBEDDING_MESSAGE_VERSION:
        raise ValueError(f"should be {c.EMBEDDING_MESSAGE_VERSION}")
    return value


def _models(value: object) -> tuple[EmbeddingModelName, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_MODELS or not all(isinstance(n, str) for n in value):
        raise ValueError(f"should be a list of 1 to {MAX_MODELS} strings")
    try:
        return tuple(map(EmbeddingModelName.parse, value))
    except ValueError as error:
        raise ValueError(f"each {error}") from None


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("should hold no NUL character")
    return text


_Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": _TIME_PATTERN}),
]
_Models = Annotated[
    tuple[EmbeddingModelName, ...],
    PlainValidator(_models),
    WithJsonSchema(
        {
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_MODELS,
            "items": {"type": "string", "maxLength": MAX_MODEL_NAME_LENGTH, "pattern": _MODEL_PATTERN},
        }
    ),
]
_EmbeddedText = Annotated[
    str,
    Field(min_length=1, pattern=r"\S", json_schema_extra={"not": {"pattern": "\\u0000"}}),
    AfterValidator(_without_nul),
]


class EmbeddingRequest(BaseModel):
    """A document that is to be embedded with each of some models."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", hide_input_in_errors=True)

    # No Literal, which takes `true` and 1.0 for 1.
    version: Annotated[
        int, AfterValidator(_version), WithJsonSchema({"type": "integer", "const": c.EMBEDDING_MESSAGE_VERSION})
    ]
    team_id: int = Field(ge=1, le=c.MAX_TEAM_ID)
    # Columns of few values: what is no enum would make their dictionaries grow without end.
    product: Literal["llm-analytics"]
    document_type: Literal["llm-trace-summary"]
    rendering: Literal["llma_trace_detailed", "llma_trace_minimal"] = Field(description="What of the trace it is.")
    document_id: str = Field(min_length=1, max_length=c.MAX_TRACE_ID_LENGTH, description="The trace's id.")
    timestamp: _Moment = Field(description="The trace's first event: with its UTC day part of the document's identity.")
    summarized_at: _Moment = Field(description="The document's version: the newest one stays.")
    content_hash: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of `content` in UTF-8, in hex.")
    content: _EmbeddedText = Field(description="What is embedded, cut to the model's window by tokens.")
    keywords: str = Field(
        "",
        max_length=c.MAX_KEYWORDS_LENGTH,
        description="Names, errors and ids by which the document is found besides its content; not embedded.",
    )
    metadata: dict[str, Any] = Field({}, description="Kept beside the vector as it is.")
    models: _Models = Field(description=f"Models with the dimension of their vectors, at most {MAX_DIMENSIONS}.")

    @model_validator(mode="after")
    def _hash_is_of_the_content(self) -> Self:
        if self.content_hash != content_hash(self.content):
            raise ValueError("content_hash: should be the SHA-256 of content in UTF-8, in hex")
        return self

    def documents(self) -> list[Document]:
        """One document per model, each model once."""
        metadata = json.dumps(self.metadata, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        words = searchable(f"{self.content}\n{self.keywords}")
        return [
            Document(
                team_id=self.team_id,
                product=self.product,
                document_type=self.document_type,
                model_name=name,
                rendering=self.rendering,
                document_id=self.document_id,
                timestamp=self.timestamp,
                summarized_at=self.summarized_at,
                content_hash=self.content_hash,
                content=self.content,
                words=words,
                metadata=metadata,
            )
            for name in dict.fromkeys(map(str, self.models))
        ]


def parse_message(value: bytes | None) -> EmbeddingRequest:
    """The request that a record's value holds. Raises BrokenMessage."""
    if value is None:
        raise BrokenMessage("value: is missing; allowed is a message as in the schema")
    if len(value) > c.MAX_KAFKA_MESSAGE_BYTES:
        raise BrokenMessage(f"value: has {len(value)} bytes; allowed are at most {c.MAX_KAFKA_MESSAGE_BYTES}")
    try:
        return EmbeddingRequest.model_validate(_fields(value))
    except ValidationError as error:
        raise BrokenMessage(_told(error.errors(include_url=False, include_context=False))) from None
    except RecursionError:
        raise BrokenMessage("value: is nested too deeply") from None


def message_schema() -> dict[str, Any]:
    """JSON schema of the message: what `EmbeddingRequest` takes, as far as a schema can say it."""
    schema = EmbeddingRequest.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"{c.EMBEDDING_TOPIC}, version {c.EMBEDDING_MESSAGE_VERSION}",
        "description": schema["description"],
        "type": "object",
        "required": schema["required"],
        "properties": schema["properties"],
        "additionalProperties": True,
    }


def _fields(value: bytes) -> dict[str, Any]:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise BrokenMessage("value: is not UTF-8") from None
    try:
        fields = json.loads(text, object_pairs_hook=_each_once, parse_constant=_no_number, parse_float=_finite)
    except BrokenMessage:
        raise
    except ValueError:  # its text may quote
        raise BrokenMessage("value: is not JSON") from None
    if not isinstance(fields, dict):
        raise BrokenMessage("value: is not a JSON object")
    for name in fields.keys() & EmbeddingRequest.model_fields.keys():
        _check_encodable(name, fields[name])
    return fields


def _each_once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    given = list(pairs)
    fields = dict(given)
    if len(fields) < len(given):
        raise BrokenMessage("value: is JSON with a key that stands twice in one object; allowed is each key once")
    return fields


def _no_number(_: str) -> None:
    raise BrokenMessage("value: is JSON with NaN or Infinity; allowed are numbers")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise BrokenMessage("value: is JSON with a number beyond the range of a double")
    return number


def _check_encodable(name: str, value: object) -> None:
    """A lone surrogate, which JSON can escape, is in no encoding: nothing could store or send it."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise BrokenMessage(f"{name}: should hold no lone surrogate") from None


def _told(problems: list[ErrorDetails]) -> str:
    # A later version may change everything else as well: that it is another version says it all.
    told = [problem for problem in problems if problem["loc"] == ("version",)] or problems
    texts = [_problem(problem) for problem in told[:_TOLD_PROBLEMS]]
    return "; ".join([*texts, f"and {len(told) - _TOLD_PROBLEMS} more"] if len(told) > _TOLD_PROBLEMS else texts)


def _problem(problem: Mapping[str, Any] | ErrorDetails) -> str:
    message = str(problem["msg"]).removeprefix("Value error, ").replace("Input should", "should")
    if not problem["loc"]:
        return message
    field = ".".join(map(str, problem["loc"]))
    return f"{field}: {'is missing' if problem['type'] == 'missing' else message}"

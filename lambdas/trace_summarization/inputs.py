"""Check what a caller gave: every problem becomes one `InvalidInput` that says field, value and what is allowed."""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from trace_summarization.errors import InvalidInput

InputsT = TypeVar("InputsT", bound=BaseModel)

# Step Functions adds this key to a child execution's input, so that the console links the two executions.
STARTED_BY_KEY = "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID"
_MAX_EXECUTION_ID_LENGTH = 400
_SHOWN_VALUE_LENGTH = 80
_TOLD_PROBLEMS = 10


def parse_inputs(model: type[InputsT], raw: object) -> InputsT:
    """The execution's input as a checked model. Raises InvalidInput naming every field that is wrong."""
    if not isinstance(raw, Mapping):
        raise InvalidInput(f"input: {_shown(raw)} is not a JSON object")
    given = {key: value for key, value in raw.items() if key != STARTED_BY_KEY}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems = [_problem(model, detail) for detail in error.errors()[:_TOLD_PROBLEMS]]
        if error.error_count() > _TOLD_PROBLEMS:
            problems.append(f"and {error.error_count() - _TOLD_PROBLEMS} more")
        raise InvalidInput("; ".join(problems)) from error


def started_by(raw: object) -> str | None:
    """The id of the execution that started this one; None when it was started by hand. Raises InvalidInput."""
    value = raw.get(STARTED_BY_KEY) if isinstance(raw, Mapping) else None
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= _MAX_EXECUTION_ID_LENGTH:
        raise InvalidInput(f"{STARTED_BY_KEY}: {_shown(value)} is not the id of an execution; leave it out")
    return value


def _problem(model: type[BaseModel], detail: ErrorDetails) -> str:
    model, path = _innermost(model, [str(part) for part in detail["loc"]])
    field, named = path[-1] if path else "input", ".".join(path) or "input"
    if detail["type"] == "extra_forbidden":
        return f"{_shown(named)[1:-1]}: unknown key; allowed are {', '.join(sorted(model.model_fields))}"
    if detail["type"] == "missing":
        return f"{named}: required, {allowed_values(model, field)}"
    message = detail["msg"].removeprefix("Value error, ")
    given = _shown(detail["input"])
    if detail["type"] == "value_error":
        return f"{named}: {given} {message}"
    return f"{named}: {given} is not allowed; allowed is {allowed_values(model, field) or message}"


def _innermost(model: type[BaseModel], location: list[str]) -> tuple[type[BaseModel], list[str]]:
    """The model that the field at fault belongs to, and the field's names from the outermost in: `filters`, `mode`."""
    path = location[:1]
    for part in location[1:]:
        inner = model.model_fields[path[-1]].annotation if path[-1] in model.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break  # what pydantic adds for its own sake, such as the member of a union
        model, path = inner, [*path, part]
    return model, path


def allowed_values(model: type[BaseModel], field: str) -> str:
    """What a field takes, read from its own schema: `an integer from 1 to 1000`. Empty for a time."""
    schema = _schema(model, field)
    if "enum" in schema:
        return " | ".join(schema["enum"])
    if schema.get("type") == "integer":
        return f"an integer from {schema['minimum']} to {schema['maximum']}"
    if schema.get("type") == "number":
        return f"a number above {schema['exclusiveMinimum']:g}, at most {schema['maximum']:g}"
    if schema.get("type") == "boolean":
        return "true or false"
    if "$ref" in schema:
        return "a JSON object"
    if "pattern" in schema:
        return f"a string of {schema['minLength']} to {schema['maxLength']} characters matching {schema['pattern']}"
    if schema.get("type") == "string" and "format" not in schema:
        return f"a string{_lengths(schema)}"
    return ""


def _lengths(schema: Mapping[str, Any]) -> str:
    if "maxLength" not in schema:
        return ""
    return f" of {schema.get('minLength', 0)} to {schema['maxLength']} characters"


def _schema(model: type[BaseModel], field: str) -> dict[str, Any]:
    """The field's JSON schema; of an optional field, that of its value."""
    schema: dict[str, Any] = model.model_json_schema()["properties"].get(field, {})
    return next((kind for kind in schema.get("anyOf", []) if kind.get("type") != "null"), schema)


def _shown(value: object) -> str:
    """A short form of a given value that is safe to print."""
    text = json.dumps(value, default=str)
    return text if len(text) <= _SHOWN_VALUE_LENGTH else f"{text[:_SHOWN_VALUE_LENGTH]}... ({len(text)} characters)"

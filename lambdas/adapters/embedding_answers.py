"""What an endpoint's answers and errors to requests for embeddings mean: vectors and usage, or an error by type."""

import array
import base64
import binascii
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import openai

from adapters.model_answers import typed_error
from adapters.rejections import complaint_about, head_of, parameter_named_in
from trace_summarization.errors import (
    EmbeddingInputRejected,
    EmbeddingModelUnknown,
    InvalidModelOutput,
    ModelAnsweredNothing,
    ModelInputTooLong,
    ModelRefused,
    ModelRejectedRequest,
    TraceSummarizationError,
)

Subject = Literal["input", "model", "dimensions", "encoding_format", "account"]

_STATUSES_OF_INPUT: Final = (400, 413, 422)
_SERVER_ERROR_STATUS: Final = 500
# What makes servers fail on a text each time it comes: llama.cpp's limit; Ollama with a model that answers NaN.
_INPUT_BEHIND_A_SERVER_ERROR: Final = re.compile(
    r"too large to process|context (window|size|length|limit)|exceed_context_size|unsupported value: NaN", re.IGNORECASE
)
_NOT_THERE: Final = r"not found|(does|do) not (exist|work|support embedding)|not (available|supported|loaded|a valid)"
# In this order: of dimensions it is said that the model does not support them.
_SUBJECTS: Final[tuple[tuple[Subject, str], ...]] = (
    ("dimensions", rf"matryoshka|{complaint_about(r'dimensions?')}"),
    ("encoding_format", complaint_about(r"encoding.?format|base64")),
    ("model", rf"\bmodel\b.{{0,150}}?({_NOT_THERE})|(unknown|unsupported|invalid|no such|must provide a) model\b"),
    ("account", r"api.?key|unauthori[sz]ed|authenticat|credential|billing|\bquota\b"),
)
_MODEL_UNKNOWN: Final = "model_not_found"


def vectors_in(answer: object, count: int) -> list[list[float]]:
    """The vectors of so many texts in the texts' order; what is no number in them is NaN.

    Raises ModelAnsweredNothing unless there is exactly one per text, InvalidModelOutput for what are no vectors.
    """
    if not isinstance(answer, Mapping):
        raise InvalidModelOutput("the answer is no list of embeddings")
    data = answer.get("data")
    items = [item for item in data if isinstance(item, Mapping)] if isinstance(data, list) else []
    by_index = {item["index"]: item.get("embedding") for item in items if type(item.get("index")) is int}
    if len(items) != count or by_index.keys() != set(range(count)):
        raise ModelAnsweredNothing("the answer does not hold one vector for each text")
    return [_vector(by_index[index]) for index in range(count)]


def input_tokens_in(answer: object) -> int | None:
    """The tokens that the answer says its input took; None where it does not say, or says none."""
    usage = answer.get("usage") if isinstance(answer, Mapping) else None
    if not isinstance(usage, Mapping):
        return None
    stated = (usage.get("prompt_tokens"), usage.get("total_tokens"))
    return next((each for each in stated if isinstance(each, int) and not isinstance(each, bool) and each > 0), None)


def embedding_error(
    error: openai.APIError | ValueError | RecursionError | TimeoutError, sent: Mapping[str, Any], timeout_seconds: float
) -> TraceSummarizationError:
    """The error that a failed request is; `sent` are its parameters, `timeout_seconds` what it was given."""
    if not isinstance(error, openai.APIStatusError | openai.APIConnectionError | TimeoutError):
        return InvalidModelOutput("the answer is no JSON list of embeddings")
    failure = typed_error(error, timeout_seconds)
    if not isinstance(error, openai.APIStatusError):
        return failure
    if isinstance(failure, ModelInputTooLong | ModelRefused):
        return EmbeddingInputRejected(str(failure))
    if error.status_code >= _SERVER_ERROR_STATUS:
        is_of_input = _INPUT_BEHIND_A_SERVER_ERROR.search(head_of(error)) is not None
        return EmbeddingInputRejected(str(failure)) if is_of_input else failure
    if not isinstance(failure, ModelRejectedRequest):
        return failure
    subject = subject_of(error, sent)
    if subject == "model":
        return EmbeddingModelUnknown(str(failure))
    if error.status_code in _STATUSES_OF_INPUT and subject in (None, "input"):
        return EmbeddingInputRejected(str(failure))
    if subject == "dimensions":
        return ModelRejectedRequest(f"{failure}: the endpoint does not take `dimensions`, or not as many")
    return failure


def subject_of(error: openai.APIStatusError, sent: Mapping[str, Any]) -> Subject | None:
    """What of a request an error plainly speaks of; None when that is not plain."""
    named = parameter_named_in(error).removeprefix("$.")
    if named.startswith("input"):
        return "input"
    if error.code == _MODEL_UNKNOWN:
        return "model"
    for subject, pattern in _SUBJECTS:
        if subject in ("dimensions", "encoding_format") and subject not in sent:
            continue
        if subject == named or (not named and _says(pattern, head_of(error), sent["input"])):
            return subject
    return None


def _says(pattern: str, text: str, inputs: Sequence[str]) -> bool:
    """Whether an error says this of its own: words that a text brought along would make its fault the endpoint's."""
    found = re.search(pattern, text, re.IGNORECASE | re.DOTALL)
    return found is not None and not any(found[0] in each for each in inputs)


def _vector(given: object) -> list[float]:
    if isinstance(given, list):
        return [_number(each) for each in given]
    if not isinstance(given, str):
        raise InvalidModelOutput("a vector is neither an array nor base64")
    numbers = array.array("f")
    try:
        numbers.frombytes(base64.b64decode(given, validate=True))
    except (binascii.Error, ValueError):
        raise InvalidModelOutput("a vector is not base64 of 4-byte numbers") from None
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()


def _number(given: object) -> float:
    # Some servers write null for what is not a number; an integer can be too large for a float.
    if isinstance(given, int | float) and not isinstance(given, bool) and abs(given) <= sys.float_info.max:
        return float(given)
    return float("nan")

"""Embedding requests and their answers, in OpenAI's form.

`offline-wordllama` embeds by meaning: the mean of trained vectors of the text's words (WordLlama, 256 numbers, trained
so that its first 64 or 128 serve as well). A name that the server was started with besides gets numbers by chance, the
same for the same text: they have the size that is wanted and mean nothing, so that nothing can be found by them.

Tokens, counted and limited as OpenAI's, are those of the `cl100k_base` encoding whatever the model.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import threading
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import quicktok

from embedding.models import EmbeddingModelName
from local.api_errors import RejectedRequest, well_formed
from local.model_faults import Fault
from trace_summarization.constants import MAX_EMBEDDING_INPUTS, MAX_EMBEDDING_REQUEST_TOKENS, OFFLINE_EMBEDDING_MODEL

_OFFLINE: Final = EmbeddingModelName.parse(OFFLINE_EMBEDDING_MODEL)
EMBEDDING_MODEL_NAME: Final = _OFFLINE.model
_OFFLINE_DIMENSIONS: Final = (64, 128, _OFFLINE.dimensions)
_MAX_INPUT_TOKENS: Final = 8_192
_FORMATS: Final = ("float", "base64")
_LOADING: Final = threading.Lock()

Vectors = npt.NDArray[np.float32]


class EmbeddingRequest:
    """What of an embeddings request matters here. Raises RejectedRequest for one that OpenAI would not take either.

    Args:
        body: the request's JSON.
        hashed: models with numbers by chance, and how many.
    """

    def __init__(self, body: Any, hashed: Mapping[str, int]) -> None:
        if not isinstance(body, dict):
            raise _rejected("the body is not a JSON object")
        self.parameters = body
        self.model = body.get("model")
        if not isinstance(self.model, str) or not self.model:
            raise _rejected("you must provide a model parameter", "model")
        if self.model != EMBEDDING_MODEL_NAME and self.model not in hashed:
            message = f"The model `{self.model}` does not exist or you do not have access to it."
            raise RejectedRequest(HTTPStatus.NOT_FOUND, message, "model", "model_not_found")
        self.texts = [well_formed(text) for text in _texts(body.get("input"))]
        self.input_tokens = _counted(self.texts)
        self.dimensions = _dimensions(body.get("dimensions"), hashed.get(self.model))
        self.encoding_format = body.get("encoding_format", "float")
        if self.encoding_format not in _FORMATS:
            raise _rejected(f"encoding_format: allowed are {' and '.join(_FORMATS)}", "encoding_format")

    def vectors(self, hashed: Mapping[str, int]) -> Vectors:
        """A vector of length 1 per text: shape (texts, dimensions)."""
        assert isinstance(self.model, str)  # noqa: S101 - checked when it was read
        size = hashed.get(self.model)
        whole = _by_meaning(self.texts) if size is None else np.stack([_by_chance(text, size) for text in self.texts])
        return _normalized(whole[:, : self.dimensions])


def embeddings(request: EmbeddingRequest, hashed: Mapping[str, int], fault: Fault | None) -> dict[str, Any]:
    """The answer to a request, disturbed by a fault of its vectors or their order."""
    kind = fault.kind if fault else None
    vectors = request.vectors(hashed)
    hit = [fault is not None and (fault.match is None or fault.match in text) for text in request.texts]
    data = []
    for index, vector in enumerate(vectors):
        disturbed = _disturbed(vector, kind) if hit[index] else vector
        data.append({"object": "embedding", "index": index, "embedding": _encoded(disturbed, request.encoding_format)})
    if kind == "nothing":
        data = []
    elif kind == "shuffled":
        data.reverse()
    elif kind == "missing_one":
        data.pop()
    elif kind == "duplicate_index":
        data[-1]["index"] = 0 if len(data) > 1 else 1
    usage = {"prompt_tokens": request.input_tokens, "total_tokens": request.input_tokens}
    return {"object": "list", "data": data, "model": request.model, "usage": usage}


def _rejected(message: str, param: str | None = None) -> RejectedRequest:
    return RejectedRequest(HTTPStatus.BAD_REQUEST, message, param)


def _texts(given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise _rejected("'$.input' is invalid: allowed is a string or a non-empty array of strings", "input")
    if not all(isinstance(text, str) for text in texts):
        raise _rejected("'$.input' is invalid: this server takes strings, no arrays of tokens", "input")
    if len(texts) > MAX_EMBEDDING_INPUTS:
        raise _rejected(
            f"Invalid 'input': array too long. Expected an array with maximum length {MAX_EMBEDDING_INPUTS}, but got "
            f"an array with length {len(texts)} instead.",
            "input",
        )
    if "" in texts:
        raise _rejected(f"Invalid 'input[{texts.index('')}]': input cannot be an empty string.", "input")
    return texts


def _counted(texts: Sequence[str]) -> int:
    encoding = quicktok.get_encoding("cl100k_base")
    counts = [int(encoding.count(text)) for text in texts]
    for position, count in enumerate(counts):
        if count > _MAX_INPUT_TOKENS:
            place = f"input[{position}]"
            raise _rejected(f"Invalid '{place}': maximum context length is {_MAX_INPUT_TOKENS} tokens.", place)
    if sum(counts) > MAX_EMBEDDING_REQUEST_TOKENS:
        kind = "max_tokens_per_request"
        message = f"Requested {sum(counts)} tokens, max {MAX_EMBEDDING_REQUEST_TOKENS} tokens per request"
        raise RejectedRequest(HTTPStatus.BAD_REQUEST, message, code=kind, kind=kind)
    return sum(counts)


def _dimensions(wanted: Any, of_hashed: int | None) -> int:
    largest = _OFFLINE.dimensions if of_hashed is None else of_hashed
    if wanted is None:
        return largest
    allowed = _OFFLINE_DIMENSIONS if of_hashed is None else range(1, of_hashed + 1)
    if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted not in allowed:
        what = ", ".join(map(str, allowed)) if of_hashed is None else f"1 to {of_hashed}"
        raise _rejected(f"Invalid value for 'dimensions' = {wanted!r}: allowed are {what}.", "dimensions")
    return wanted


def _by_meaning(texts: list[str]) -> Vectors:
    # One at a time: a batch is padded to its longest text, in memory and in the last bits of the shorter ones' sums.
    vectors: Vectors = _wordllama().embed(texts, batch_size=1)
    return vectors


def _wordllama() -> Any:
    with _LOADING:
        return _loaded_wordllama()


@functools.cache
def _loaded_wordllama() -> Any:
    import wordllama  # only here: it takes most of a second, and most servers are asked for chat alone

    # Its own folder holds weights and tokenizer; without `cache_dir` it would look for the tokenizer on the internet.
    return wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)


def _by_chance(text: str, size: int) -> Vectors:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest())
    return np.random.default_rng(seed).standard_normal(size, dtype=np.float32)


def _normalized(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def _disturbed(vector: Vectors, kind: str | None) -> Vectors:
    if kind == "wrong_dimensions":
        return vector[: len(vector) // 2]
    if kind == "nan":
        return np.concatenate([vector[:-1], np.array([np.nan], np.float32)])
    return np.zeros_like(vector) if kind == "zeros" else vector


def _encoded(vector: Vectors, encoding_format: str) -> str | list[float]:
    if encoding_format == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    numbers: list[float] = vector.tolist()
    return numbers

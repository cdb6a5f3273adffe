"""Chat completion requests and their answers, in OpenAI's form."""

from __future__ import annotations

import hashlib
import json
import re
import time
from http import HTTPStatus
from typing import Any, Final

import quicktok

from local.api_errors import RejectedRequest, well_formed
from local.extractive import extractive_summary
from local.model_faults import Fault
from trace_summarization.constants import OFFLINE_MODEL
from trace_summarization.prompts import RESPONSE_SCHEMA

MODEL_NAME: Final = OFFLINE_MODEL
_ENCODING = "o200k_base"
_TOKENS_PER_MESSAGE = 4
_TOKENS_PER_ANSWER_START = 3
_TIERS = {None: "default", "auto": "default"}  # what is answered for what was asked
_TRACE_MARK = re.compile(r"\n<(trace-[0-9a-f]+)>\n")
_BULLETS_ASKED = re.compile(r"(\d+) to (\d+) bullets")
_NOTES_ASKED = re.compile(r"0 to (\d+) notes")
_DEFAULT_BULLETS = (5, 10)
_DEFAULT_NOTES = 5


class ChatRequest:
    """What of a chat request matters here. Raises RejectedRequest for one that is none."""

    def __init__(self, body: Any) -> None:
        if not isinstance(body, dict):
            raise RejectedRequest(HTTPStatus.BAD_REQUEST, "the body is not a JSON object")
        self.model = body.get("model")
        messages = body.get("messages")
        if not isinstance(self.model, str) or not self.model:
            raise RejectedRequest(HTTPStatus.BAD_REQUEST, "model: missing; allowed is any non-empty string", "model")
        if not isinstance(messages, list) or not messages or not all(isinstance(each, dict) for each in messages):
            raise RejectedRequest(HTTPStatus.BAD_REQUEST, "messages: allowed is a non-empty list", "messages")
        if body.get("stream"):
            raise RejectedRequest(HTTPStatus.BAD_REQUEST, "stream: true; this server answers at once only", "stream")
        texts = [(message.get("role"), _text_of(message.get("content"))) for message in messages]
        self.system = "\n".join(text for role, text in texts if role in ("system", "developer"))
        self.user = "\n".join(text for role, text in texts if role == "user")
        self.parameters = body
        self.service_tier = _TIERS.get(body.get("service_tier"), body.get("service_tier"))
        self._check_format(body.get("response_format"), texts)
        self.input_tokens = _TOKENS_PER_ANSWER_START + sum(_tokens(text) + _TOKENS_PER_MESSAGE for _, text in texts)
        if self.format == "json_schema":
            self.input_tokens += _tokens(json.dumps(body["response_format"]["json_schema"]["schema"]))
        self.output_limit = body.get("max_completion_tokens") or body.get("max_tokens")

    def summary(self) -> dict[str, Any]:
        """The summary that the request asks for."""
        instructions = f"{self.system}\n{self.user}"
        bullets, notes = _BULLETS_ASKED.search(instructions), _NOTES_ASKED.search(instructions)
        fewest, most = (int(bullets[1]), int(bullets[2])) if bullets else _DEFAULT_BULLETS
        return extractive_summary(_trace_in(self.user), fewest, most, int(notes[1]) if notes else _DEFAULT_NOTES)

    def _check_format(self, wanted: Any, texts: list[tuple[Any, str]]) -> None:
        self.format = wanted.get("type") if isinstance(wanted, dict) else None
        if wanted is None or self.format == "text":
            return
        if self.format == "json_object":
            if not any("json" in text.lower() for _, text in texts):
                message = "messages: must contain the word 'json' in some form, to use response_format json_object"
                raise RejectedRequest(HTTPStatus.BAD_REQUEST, message, "messages")
            return
        schema = wanted.get("json_schema", {}).get("schema") if isinstance(wanted, dict) else None
        required = schema.get("required") if isinstance(schema, dict) else None
        if required is None or set(required) != set(RESPONSE_SCHEMA["required"]):
            needed = ", ".join(RESPONSE_SCHEMA["required"])
            allowed = f"text, json_object, or a json_schema that requires {needed}"
            message = f"response_format: not one that this server can fill; allowed is {allowed}"
            raise RejectedRequest(HTTPStatus.BAD_REQUEST, message, "response_format")


def completion(request: ChatRequest, fault: Fault | None) -> dict[str, Any]:
    """The answer to a request, disturbed by a fault of the answer's content."""
    kind = fault.kind if fault else None
    content: str | None = (
        json.dumps(request.summary(), ensure_ascii=False) if kind in (None, "delay", "length", "code_fence") else None
    )
    refusal = None
    finish_reason = "stop"
    if kind == "invalid_json":
        content = "Here is the summary you asked for: {"
    elif kind == "wrong_schema":
        content = json.dumps({"headline": "A summary in other words", "points": []})
    elif kind == "refusal":
        refusal = "I'm sorry, I can't help with that."
    elif kind == "length" and content is not None:
        content, finish_reason = content[: len(content) // 2], "length"
    elif kind == "content_filter":
        finish_reason = "content_filter"
    elif kind == "code_fence":
        content = f"```json\n{content}\n```"
    if content is not None and isinstance(request.output_limit, int) and _tokens(content) > request.output_limit:
        content, finish_reason = _first_tokens(content, request.output_limit), "length"
    message = {"role": "assistant", "content": content, "refusal": refusal}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": None}
    output_tokens = _tokens(content or "")
    return {
        "id": f"chatcmpl-{hashlib.sha256(request.user.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": MODEL_NAME,
        "choices": [] if kind == "nothing" else [choice],
        "usage": {
            "prompt_tokens": request.input_tokens,
            "completion_tokens": output_tokens,
            "total_tokens": request.input_tokens + output_tokens,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
        "service_tier": request.service_tier,
    }


def _trace_in(user_message: str) -> str:
    """The trace's numbered text between its marks, or the whole message when there are none."""
    mark = _TRACE_MARK.search(user_message)
    if mark is None:
        return user_message
    end = user_message.find(f"\n</{mark[1]}>", mark.end())
    return user_message[mark.end() : end if end >= 0 else None]


def _text_of(content: Any) -> str:
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "\n".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _tokens(text: str) -> int:
    return int(quicktok.get_encoding(_ENCODING).count(well_formed(text)))


def _first_tokens(text: str, count: int) -> str:
    encoding = quicktok.get_encoding(_ENCODING)
    return str(encoding.decode(encoding.encode_ordinary(well_formed(text))[:count]))

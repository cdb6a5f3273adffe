"""Endpoints that speak OpenAI's protocol in their own way, with the errors that they send.

Each endpoint is the offline server with standing faults: what it rejects, it rejects every time.
"""

from typing import Any

import pytest

from adapters.model import OpenAiSummaryModel
from adapters.secrets import ModelSecret
from local.model_server import ModelServer
from tests.integration.model.traces import LONG_ENOUGH_SECONDS, ask, request_for
from tests.spending import RecordedSpending
from trace_summarization.errors import (
    ModelInputTooLong,
    ModelRefused,
    ModelRejectedRequest,
    ModelUnavailable,
    TraceSummarizationError,
)

_STRICT = {"response_format.type": "json_schema"}
_JSON_MODE = {"response_format.type": "json_object"}
_SYSTEM = {"messages.0.role": "system"}


def _rejects(sent: dict[str, Any], status: int, body: Any) -> dict[str, Any]:
    return {"sent": sent, "status": status, "body": body}


def _openai_error(message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


def _vllm_error(message: str) -> dict[str, Any]:
    return {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400}


def _litellm_error(message: str) -> dict[str, Any]:
    return {"error": {"message": f"litellm.{message}", "type": "None", "param": "None", "code": "400"}}


def _forbidden(name: str, value: str) -> str:
    """Pydantic's words for a field that it does not know, as vLLM passes them on."""
    error = f"'type': 'extra_forbidden', 'loc': ('body', '{name}'), 'msg': 'Extra inputs are not permitted'"
    return f"[{{{error}, 'input': {value}}}]"


def _requests(server: ModelServer) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = server.requests()["entries"]
    return entries


AZURE_BEFORE_STRUCTURED_OUTPUTS = [
    _rejects(
        {"max_completion_tokens": None},
        400,
        _openai_error("Unrecognized request argument supplied: max_completion_tokens"),
    ),
    _rejects(
        _STRICT,
        400,
        {"error": {"code": "BadRequest", "message": "response_format value as json_schema is enabled only for api "
                                                    "versions 2024-08-01-preview and later"}},
    ),
]  # fmt: skip
OPENAI_MODEL_WITHOUT_STRUCTURED_OUTPUTS = [
    _rejects(
        _STRICT,
        400,
        _openai_error(
            "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model. Learn more "
            "about supported models at the Structured Outputs guide: https://platform.openai.com/docs/guides"
        ),
    ),
    _rejects(
        _JSON_MODE,
        400,
        _openai_error(
            "Invalid parameter: 'response_format' of type 'json_object' is not supported with this model.",
            "response_format",
        ),
    ),
]
VLLM_BEFORE_0_6_4 = [
    _rejects({"max_completion_tokens": None}, 400, _vllm_error(_forbidden("max_completion_tokens", "64")))
]
VLLM_WITH_GEMMA = [
    _rejects(
        _SYSTEM,
        400,
        {"error": {"message": "System role not supported System role not supported", "type": "BadRequestError",
                   "param": None, "code": 400}},
    )
]  # fmt: skip
VLLM_WITH_MISTRAL = [
    _rejects(_SYSTEM, 400, _vllm_error("Conversation roles must alternate user/assistant/user/assistant/..."))
]
OLLAMA_WITHOUT_THINKING = [
    _rejects({"reasoning_effort": None}, 400, _openai_error('"gpt-oss:20b" does not support thinking')),
]
OLLAMA_WITH_OTHER_THINKING = [
    _rejects(
        {"reasoning_effort": None},
        500,
        {"error": {"message": 'think value "low" is not supported for this model', "type": "api_error", "param": None,
                   "code": None}},
    )
]  # fmt: skip
LITELLM_WITHOUT_DROP_PARAMS = [
    _rejects(
        {"response_format": None},
        400,
        _litellm_error(
            "UnsupportedParamsError: together_ai does not support parameters: ['response_format'], for model=x. To "
            "drop these, set `litellm.drop_params=True`. Received Model Group=x\nAvailable Model Group Fallbacks=None"
        ),
    ),
    _rejects(
        {"max_completion_tokens": None},
        400,
        _litellm_error(
            "UnsupportedParamsError: x does not support parameters: ['max_completion_tokens'], for model=x."
        ),
    ),
]
OPENROUTER_WITHOUT_STRUCTURED_OUTPUTS = [
    _rejects(
        _STRICT,
        404,
        {"error": {"message": "No endpoints found that can handle the requested parameters. To learn more about "
                              "provider routing, visit: https://openrouter.ai/docs/guides/routing/provider-selection",
                   "code": 404}},
    )
]  # fmt: skip
FASTAPI_SERVER_WITHOUT_JSON_SCHEMA = [
    _rejects(
        _STRICT,
        422,
        {"detail": [{"type": "literal_error", "loc": ["body", "response_format", "type"],
                     "msg": "Input should be 'text' or 'json_object'", "input": "json_schema"}]},
    )
]  # fmt: skip
GPT_5_1_BEHIND_A_GATEWAY = [
    _rejects(
        {"reasoning_effort": "minimal"},
        400,
        _openai_error(
            "Unsupported value: 'minimal' is not supported with the 'gpt-5.1' model. Supported values are: 'none', "
            "'low', 'medium', and 'high'.",
            "reasoning_effort",
            "unsupported_value",
        ),
    )
]
BEDROCK_BEFORE_STRUCTURED_OUTPUTS = [
    _rejects(
        _STRICT,
        400,
        {"error": {"code": "validation_error", "message": "response_format: unsupported type 'json_schema'",
                   "param": None, "type": "invalid_request_error"}},
    )
]  # fmt: skip
_SIZES = {"response_format.json_schema.schema.properties.summary_bullets.minItems": None}
AZURE_WITHOUT_LIST_SIZES = [
    _rejects(
        _SIZES,
        400,
        _openai_error(
            "Invalid schema for response_format 'trace_summary': In context=('properties', 'summary_bullets'), "
            "'minItems' is not permitted.",
            "response_format",
        ),
    )
]
BEDROCK_WITHOUT_LIST_SIZES = [
    _rejects(
        _SIZES,
        400,
        {"message": "output_config.format.schema: For 'array' type, property 'maxItems' is not supported"},
    )
]
NOTHING_BUT_MESSAGES = [
    _rejects({name: None}, 400, _openai_error(f"Unknown parameter: '{name}'.", name, "unknown_parameter"))
    for name in ("max_completion_tokens", "reasoning_effort", "response_format")
] + VLLM_WITH_GEMMA


@pytest.mark.parametrize(
    ("endpoint", "model_name", "rejected", "response_format", "absent"),
    [
        (AZURE_BEFORE_STRUCTURED_OUTPUTS, "gpt-4o", 2, "json_object", "max_completion_tokens"),
        (OPENAI_MODEL_WITHOUT_STRUCTURED_OUTPUTS, "gpt-4", 2, None, "response_format"),
        (VLLM_BEFORE_0_6_4, "qwen", 1, "json_schema", "max_completion_tokens"),
        (VLLM_WITH_GEMMA, "gemma", 1, "json_schema", None),
        (VLLM_WITH_MISTRAL, "mistral", 1, "json_schema", None),
        (OLLAMA_WITHOUT_THINKING, "gpt-oss:20b", 1, "json_schema", "reasoning_effort"),
        (OLLAMA_WITH_OTHER_THINKING, "gpt-oss:20b", 1, "json_schema", "reasoning_effort"),
        (LITELLM_WITHOUT_DROP_PARAMS, "x", 3, None, "response_format"),
        (OPENROUTER_WITHOUT_STRUCTURED_OUTPUTS, "x/y", 1, "json_object", None),
        (FASTAPI_SERVER_WITHOUT_JSON_SCHEMA, "x", 1, "json_object", None),
        (GPT_5_1_BEHIND_A_GATEWAY, "gpt-5", 1, "json_schema", "reasoning_effort"),
        (BEDROCK_BEFORE_STRUCTURED_OUTPUTS, "openai.gpt-oss-20b-1:0", 1, "json_object", None),
        (AZURE_WITHOUT_LIST_SIZES, "gpt-4o", 1, "json_schema", None),
        (BEDROCK_WITHOUT_LIST_SIZES, "claude", 1, "json_schema", None),
        (NOTHING_BUT_MESSAGES, "gpt-5", 5, None, "reasoning_effort"),
    ],
    ids=[
        "Azure before structured outputs", "OpenAI's gpt-4", "vLLM before 0.6.4", "vLLM with Gemma",
        "vLLM with Mistral", "Ollama without thinking", "Ollama with other thinking", "LiteLLM without drop_params",
        "OpenRouter", "FastAPI", "gpt-5.1 behind a gateway", "Bedrock before structured outputs",
        "Azure without list sizes", "Bedrock without list sizes", "nothing but messages",
    ],
)  # fmt: skip
def test_what_an_endpoint_rejects_is_left_out_and_the_trace_summarized(
    server: ModelServer,
    model: OpenAiSummaryModel,
    spending: RecordedSpending,
    endpoint: list[dict[str, Any]],
    model_name: str,
    rejected: int,
    response_format: str | None,
    absent: str | None,
) -> None:
    server.faults.replace(endpoint)
    assert ask(model, name=model_name, spending=spending).summary.title == "The customer's secret is swordfish"
    assert spending.log == ["reserve", "release"] * rejected + ["reserve", "settle"]
    taken = _requests(server)[-1]
    assert taken["response_format"] == response_format
    assert absent not in taken["parameters"]
    assert {"max_completion_tokens", "max_tokens"} & set(taken["parameters"]), "what an answer may cost stays bounded"
    ask(model, name=model_name)
    assert server.requests()["count"] == rejected + 2, "what was learned is remembered"


def test_a_renamed_limit_is_renamed_back_once_when_the_other_name_is_rejected(
    server: ModelServer, model: OpenAiSummaryModel
) -> None:
    only_once = _openai_error("Unrecognized request argument supplied: max_completion_tokens")
    never = _openai_error(
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "max_tokens",
        "unsupported_parameter",
    )
    server.faults.replace(
        [
            {**_rejects({"max_completion_tokens": None}, 400, only_once), "times": 1},
            _rejects({"max_tokens": None}, 400, never),
        ]
    )
    ask(model)
    ask(model)
    sent = [{"max_completion_tokens", "max_tokens"} & set(entry["parameters"]) for entry in _requests(server)]
    assert sent == [{"max_completion_tokens"}, {"max_tokens"}, {"max_completion_tokens"}, {"max_completion_tokens"}]


def test_what_is_learned_of_one_model_is_not_held_against_another(
    server: ModelServer, model: OpenAiSummaryModel
) -> None:
    server.faults.replace([{**OPENROUTER_WITHOUT_STRUCTURED_OUTPUTS[0], "times": 1}])
    ask(model, name="old")
    ask(model, name="new")
    assert [entry["response_format"] for entry in _requests(server)] == ["json_schema", "json_object", "json_schema"]


def test_without_a_strict_schema_the_schema_stands_in_the_instructions(
    server: ModelServer, model: OpenAiSummaryModel
) -> None:
    server.faults.replace(OPENROUTER_WITHOUT_STRUCTURED_OUTPUTS)
    ask(model)
    strict, json_mode = _requests(server)
    assert json_mode["input_tokens"] > 0.9 * strict["input_tokens"]
    assert json_mode["input_tokens"] < 1.1 * strict["input_tokens"], "it is the same schema in another place"


def test_an_answer_within_a_code_fence_is_read(server: ModelServer, model: OpenAiSummaryModel) -> None:
    server.faults.replace([*OPENAI_MODEL_WITHOUT_STRUCTURED_OUTPUTS, {"kind": "code_fence"}])
    assert ask(model).summary.title == "The customer's secret is swordfish"


def test_thoughts_that_a_server_does_not_separate_are_left_out(
    server: ModelServer, model: OpenAiSummaryModel, spending: RecordedSpending
) -> None:
    content = '<think>\nThe user {wants} a summary.\n</think>\n\n{"title": 5}'
    server.faults.replace(
        [{"status": 200, "body": {"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}}]
    )
    assert model.answer(request_for("qwen3"), LONG_ENOUGH_SECONDS, spending).content.strip() == '{"title": 5}'


@pytest.mark.parametrize("message", ["Unsupported service_tier: flex", "Flex is not available for this model."])
def test_an_endpoint_without_flex_is_asked_at_the_standard_tier_from_then_on(
    server: ModelServer, spending: RecordedSpending, message: str
) -> None:
    model = OpenAiSummaryModel(ModelSecret(base_url=server.base_url, service_tier="flex"))
    server.faults.replace([_rejects({"service_tier": None}, 400, _openai_error(message))])
    model.answer(request_for(), LONG_ENOUGH_SECONDS, spending)
    model.answer(request_for(), LONG_ENOUGH_SECONDS, spending)
    model.close()
    assert [reserved.service_tier for reserved in spending.reserved] == ["flex", None, None]


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (404, _openai_error("The model `x` does not exist or you do not have access to it.", None, "model_not_found"),
         ModelRejectedRequest),
        (400, _openai_error("Invalid value for 'temperature'.", "temperature", "invalid_value"), ModelRejectedRequest),
        (404, {"error": {"code": "DeploymentNotFound", "message": "The API deployment does not exist."}},
         ModelRejectedRequest),
        (400, {"error": {"code": "validation_error", "param": None, "type": "invalid_request_error",
                         "message": "The model 'openai.gpt-5.6' does not support the '/v1/chat/completions' API"}},
         ModelRejectedRequest),
        (400, {"error": {"message": "The response was filtered due to the prompt triggering Azure OpenAI's content "
                                    "management policy.", "type": None, "param": "prompt", "code": "content_filter",
                         "status": 400, "innererror": {"code": "ResponsibleAIPolicyViolation"}}}, ModelRefused),
        (400, _litellm_error("BadRequestError: litellm.ContentPolicyViolationError: AzureException - filtered"),
         ModelRefused),
        (400, _vllm_error("This model's maximum context length is 6048 tokens. However, you requested 6616 tokens "
                          "(568 in the messages, 6048 in the completion)."), ModelInputTooLong),
        (400, _vllm_error("'max_tokens' or 'max_completion_tokens' is too large: 3000. This model's maximum context "
                          "length is 4096 tokens and your request has 2000 input tokens."), ModelInputTooLong),
        (400, _openai_error('{"error":{"code":400,"message":"request (18995 tokens) exceeds the available context size '
                            '(4096 tokens), try increasing it","type":"exceed_context_size_error","n_ctx":4096}}'),
         ModelInputTooLong),
        (400, _litellm_error("ContextWindowExceededError: BedrockException: Input is too long for requested model."),
         ModelInputTooLong),
        (400, _openai_error("max_completion_tokens is too large: 9000. This model supports at most 4096 completion "
                            "tokens, whereas you provided 9000.", "max_completion_tokens", "invalid_value"),
         ModelRejectedRequest),
        (400, _vllm_error("max_completion_tokens must be less than or equal to 4096"), ModelRejectedRequest),
        (400, _openai_error("Could not parse: user: the response_format, a json schema, reasoning, our system role, "
                            "the service tier and max_completion_tokens"), ModelRejectedRequest),
        (422, {"detail": [{"type": "string_type", "loc": ["body", "messages", 1, "content"], "msg": "Input should be a "
                           "valid string", "input": "the response_format is not supported"}]}, ModelRejectedRequest),
        (400, _openai_error("Invalid 'messages[1].content': string too long.", "messages[1].content",
                            "string_above_max_length"), ModelInputTooLong),
    ],
    ids=["OpenAI without the model", "another parameter", "Azure without the deployment", "Bedrock without the API",
         "Azure's filter", "LiteLLM's filter", "vLLM's context", "newer vLLM's context", "Ollama's context",
         "LiteLLM's context", "a limit too high", "a limit too high, unnamed",
         "a trace that speaks of parameters", "a trace that speaks of errors", "OpenAI's size"],
)  # fmt: skip
def test_an_error_that_leaving_out_cannot_help_is_final_at_once(
    server: ModelServer, model: OpenAiSummaryModel, status: int, body: Any, error: type[TraceSummarizationError]
) -> None:
    server.faults.replace([{"status": status, "body": body}])
    with pytest.raises(error) as caught:
        ask(model)
    assert type(caught.value) is error
    assert server.requests()["count"] == 1


@pytest.mark.parametrize("status", [400, 404, 422, 501])
def test_an_endpoint_that_rejects_whatever_is_sent_ends(
    server: ModelServer, model: OpenAiSummaryModel, status: int
) -> None:
    everything = "max_completion_tokens, max_tokens, service_tier, reasoning, response_format, system role: unsupported"
    server.faults.replace([{"status": status, "body": _openai_error(everything)}])
    with pytest.raises(ModelRejectedRequest):
        ask(model, name="gpt-5")
    assert server.requests()["count"] == 7, "one more than there is to leave out or to rename"


def test_a_server_error_that_names_no_parameter_teaches_nothing(server: ModelServer, model: OpenAiSummaryModel) -> None:
    server.faults.replace([{"status": 500, "times": 3, "headers": {"retry-after-ms": "10"}}])
    with pytest.raises(ModelUnavailable):
        ask(model)
    ask(model)
    assert _requests(server)[-1]["response_format"] == "json_schema"

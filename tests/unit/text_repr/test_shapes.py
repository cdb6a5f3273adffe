"""Golden renderings: one small trace per message shape."""

from typing import Any

import pytest

from tests.unit.text_repr.traces import body_of, event, generation, lines_of

WEATHER_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}},
    "required": ["city"],
}


def test_openai_chat_with_a_tool_call() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
    asked: list[dict[str, Any]] = [
        {"role": "system", "content": "You report the weather.\n\nBe brief."},
        {"role": "user", "content": "How is Oslo?"},
    ]
    called = {"role": "assistant", "content": None, "tool_calls": [call]}
    result = {"role": "tool", "tool_call_id": "c1", "content": "12 degrees, rain"}
    tools = [
        {
            "type": "function",
            "function": {"name": "get_weather", "description": "The weather now.", "parameters": WEATHER_SCHEMA},
        }
    ]
    assert lines_of(
        event("trace", 9, span_name="weather bot", latency=4.2, input_state="How is Oslo?", output_state="Rain."),
        generation(
            1,
            uuid="g1",
            model="gpt-4.1-mini",
            latency=0.8,
            input=asked,
            output_choices=[called],
            tools=tools,
            input_tokens=120,
            output_tokens=12,
            total_cost_usd=0.0021,
        ),
        event("span", 2, span_name="get_weather", input_state={"city": "Oslo"}, output_state="12 degrees, rain"),
        generation(
            3,
            uuid="g2",
            model="gpt-4.1-mini",
            input=[*asked, called, result],
            output_choices=[{"role": "assistant", "content": "Rain."}],
        ),
    ) == [
        "trace weather bot (2 generations, 1 span, 4.2 s, 120 -> 12 tokens, $0.0021)",
        "trace input: How is Oslo?",
        "#1 generation gpt-4.1-mini (0.8 s, 120 -> 12 tokens, $0.0021)",
        "tools: get_weather(city: string, unit?: C|F) - The weather now.",
        "system: You report the weather.",
        " Be brief.",
        "user: How is Oslo?",
        'output assistant calls: get_weather(city="Oslo")',
        "#2 span get_weather",
        'input: {"city": "Oslo"}',
        "output: 12 degrees, rain",
        "#3 generation gpt-4.1-mini",
        "[3 messages as in L5-7]",
        "tool get_weather: 12 degrees, rain",
        "output assistant: Rain.",
        "trace output: Rain.",
    ]


def test_anthropic_blocks() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo1aB" * 3_000}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, image]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Let me look.", "signature": "abc"},
                {"type": "tool_use", "id": "u1", "name": "classify", "input": {"n": 3}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "u1", "is_error": True, "content": "down"}],
        },
    ]
    output = [{"role": "assistant", "content": [{"type": "text", "text": "I cannot tell."}]}]
    assert body_of(generation(input=messages, output_choices=output)) == [
        "user: What is this?",
        " [image/png, 31 kB]",
        "assistant thinking: Let me look.",
        "assistant calls: classify(n=3)",
        "tool classify error: down",
        "output assistant: I cannot tell.",
    ]


def test_openai_responses_items() -> None:
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "Sum it."}]},
        {"type": "reasoning", "id": "r1", "summary": [], "encrypted_content": "gAAAA"},
        {"type": "function_call", "call_id": "c9", "name": "add", "arguments": '{"a": 1, "b": 2}'},
        {"type": "function_call_output", "call_id": "c9", "output": "3"},
        {"type": "web_search_call", "action": {"query": "sums"}, "status": "completed"},
    ]
    output = {
        "object": "response",
        "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "3."}]}],
    }
    assert body_of(generation(input=items, output_choices=output)) == [
        "user: Sum it.",
        "assistant thinking: [not recorded]",
        "assistant calls: add(a=1, b=2)",
        "tool add: 3",
        'assistant calls: web_search_call(query="sums")',
        "output assistant: 3.",
    ]


def test_gemini_parts() -> None:
    contents = {
        "systemInstruction": {"parts": [{"text": "Be kind."}]},
        "contents": [
            {
                "role": "user",
                "parts": [{"text": "Hi"}, {"inlineData": {"mimeType": "audio/wav", "data": "UklG" * 200}}],
            },
            {"role": "model", "parts": [{"functionCall": {"name": "wave", "args": {}}, "thoughtSignature": "x"}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "wave", "response": {"ok": True}}}]},
        ],
    }
    candidate = {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "Hello"}]}, "finishReason": "MAX_TOKENS"}]
    }
    assert body_of(generation(input=contents, output_choices=candidate)) == [
        "system: Be kind.",
        "user: Hi",
        " [audio/wav, 600 B]",
        "assistant calls: wave()",
        'tool wave: {"ok": true}',
        "output assistant: Hello",
        "output assistant stopped: MAX_TOKENS",
    ]


def test_bedrock_converse() -> None:
    messages = [
        {
            "role": "user",
            "content": [{"text": "Read it."}, {"document": {"name": "Bill", "format": "pdf", "source": {}}}],
        },
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "b1", "name": "read", "input": {"page": 1}}}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "b1", "content": [{"text": "12 EUR"}]}}]},
    ]
    reasoning = {"reasoningContent": {"reasoningText": {"text": "It is a bill.", "signature": "s"}}}
    output = [{"role": "assistant", "content": [reasoning, {"text": "12 EUR."}]}]
    tools = [{"toolSpec": {"name": "read", "inputSchema": {"json": {"properties": {"page": {"type": "integer"}}}}}}]
    assert body_of(generation(input=messages, output_choices=output, tools=tools)) == [
        "tools: read(page?: integer)",
        "user: Read it.",
        " [pdf, Bill]",
        "assistant calls: read(page=1)",
        "tool read: 12 EUR",
        "output assistant thinking: It is a bill.",
        "output assistant: 12 EUR.",
    ]


def test_langchain_messages() -> None:
    state = {
        "messages": [
            {
                "lc": 1,
                "type": "constructor",
                "id": ["langchain_core", "messages", "HumanMessage"],
                "kwargs": {"content": "Hi"},
            },
            {
                "type": "ai",
                "content": "",
                "additional_kwargs": {"tool_calls": [{"id": "k", "function": {"name": "look", "arguments": "{}"}}]},
                "response_metadata": {"finish_reason": "tool_calls"},
            },
            {"type": "tool", "content": "nothing", "tool_call_id": "k", "status": "error"},
        ],
        "step": 2,
    }
    assert body_of(event("span", span_name="agent", input_state=state)) == [
        "input user: Hi",
        "input assistant calls: look()",
        "input tool look error: nothing",
        'input details: {"step": 2}',
    ]


def test_vercel_ai_sdk() -> None:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
        {
            "role": "assistant",
            "content": [{"type": "tool-call", "toolCallId": "v", "toolName": "sky", "input": {"at": "SF"}}],
        },
        {"role": "tool", "content": [{"type": "tool-result", "toolCallId": "v", "toolName": "sky", "output": "blue"}]},
    ]
    output = [{"toolCallId": "w", "toolName": "sky", "input": '{"at": "LA"}'}]
    assert body_of(generation(input=messages, output_choices=output)) == [
        "user: Weather?",
        'assistant calls: sky(at="SF")',
        "tool sky: blue",
        'output assistant calls: sky(at="LA")',
    ]


def test_otel_parts() -> None:
    messages = [
        {"role": "user", "parts": [{"type": "text", "content": "Add."}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "o", "name": "add", "arguments": {"a": 1}}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "o", "response": "1"}]},
    ]
    output = [{"role": "assistant", "parts": [{"type": "reasoning", "content": "Easy."}], "finish_reason": "stop"}]
    assert body_of(generation(input=messages, output_choices=output)) == [
        "user: Add.",
        "assistant calls: add(a=1)",
        "tool add: 1",
        "output assistant thinking: Easy.",
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Hi", ["user: Hi"]),
        (["one", "two"], ["user: one", "user: two"]),
        ({"prompt": "Complete me"}, ["user: Complete me"]),
        ({"message": "Hi", "chat_history": [{"role": "CHATBOT", "message": "Yo"}]}, ["assistant: Yo", "user: Hi"]),
        ('[{"role": "user", "content": "inside"}]', ["user: inside"]),
        ([{"role": 7, "content": "odd"}], ["7: odd"]),
        ([{"role": "developer", "content": 5}], ["developer: 5"]),
        ({"any": {"thing": [1, None]}}, ['user: {"any": {"thing": [1, null]}}']),
        ([{"role": "assistant", "content": "", "refusal": "No."}], ["assistant refuses: No."]),
        ([{"role": "assistant", "audio": {"data": "x", "transcript": "Hello"}}], ["assistant audio: Hello"]),
        ([{"role": "assistant", "content": "4", "reasoning_content": "2+2"}],
         ["assistant thinking: 2+2", "assistant: 4"]),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://e.org/a.png"}}]}],
         ["user: [image, https://e.org/a.png]"]),
        ([{"role": "user", "content": [{"type": "hologram", "beam": 3}]}], ['user: {"type": "hologram", "beam": 3}']),
        ([{"role": "user", "content": "Hi", "mood": "glad"}], ["user: Hi", 'user details: {"mood": "glad"}']),
        ([{"role": "user", "content": {"name": "Shoe", "image": {"url": "u"}, "price": 3}}],
         ['user: {"name": "Shoe", "image": {"url": "u"}, "price": 3}']),
    ],
)  # fmt: skip
def test_inputs_of_every_other_shape(value: object, expected: list[str]) -> None:
    assert body_of(generation(input=value, output_choices="ok"))[:-1] == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Bye", ["output assistant: Bye"]),
        (["a", "b"], ["output assistant: a", "output assistant: b"]),
        ([{"text": "done", "index": 0, "logprobs": None, "finish_reason": "length"}],
         ["output assistant: done", "output assistant stopped: length"]),
        ({"choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}]},
         ["output assistant: x"]),
        ({"generations": [[{"text": "y", "message": {"lc": 1, "id": ["AIMessage"], "kwargs": {"content": "y"}}}]]},
         ["output assistant: y"]),
        (None, ["output: [not recorded]"]),
        ([], ["output: [not recorded]"]),
        (0, ["output assistant: 0"]),
    ],
)  # fmt: skip
def test_outputs_of_every_shape(value: object, expected: list[str]) -> None:
    assert body_of(generation(output_choices=value)) == expected


def test_an_error_without_output_is_enough() -> None:
    assert lines_of(generation(is_error=True, error={"code": 429, "message": "slow down"}, http_status=429)) == [
        "trace t1 (1 generation, 1 error)",
        "#1 generation (status 429, error)",
        "error: 429: slow down",
    ]


def test_an_error_flag_without_details_is_said() -> None:
    assert body_of(event("span", is_error="true")) == ["error: [no details recorded]"]


def test_evaluations_and_feedback_say_what_they_found() -> None:
    evaluation = event("evaluation", evaluation_name="polite", evaluation_result=False, evaluation_reasoning="Rude.")
    assert body_of(evaluation, event("feedback", 1, feedback_text="Bad!")) == [
        "evaluation name: polite",
        "evaluation result: false",
        "evaluation reasoning: Rude.",
        "feedback text: Bad!",
    ]


def test_an_embedding_shows_its_text_and_not_its_vector() -> None:
    assert body_of(event("embedding", input=["a", "b"], output_choices=[0.1, 0.2])) == [
        "input: a",
        "input: b",
        "output: [a vector]",
    ]


def test_a_trace_without_content_still_says_what_it_is() -> None:
    assert lines_of(event("trace", span_name="empty run")) == ["trace empty run (no events)"]
    assert lines_of() == ["trace t1 (no events)"]

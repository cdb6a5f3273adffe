"""Nothing that was said is dropped: each text of a logged value stands in its entries."""

import itertools
import json
from collections.abc import Iterator

import pytest

from tests.unit.text_repr.shapes import SHAPES, Shape
from trace_summarization.text_repr.entries import Conversation
from trace_summarization.text_repr.messages import messages_of

# Left out on purpose: what a page shows or a service counts.
_SILENT_KEYS = {"searchEntryPoint", "logprobs"}


def _prose(value: object) -> Iterator[str]:
    """Strings with a space in them that are no key's technical value, words apart: arguments are printed anew."""
    if isinstance(value, dict):
        for key, member in value.items():
            if key not in _SILENT_KEYS:
                yield from _prose(member)
    elif isinstance(value, list):
        for item in value:
            yield from _prose(item)
    elif isinstance(value, str) and value.startswith("data:"):
        return  # media, or a stream: test_every_shape.py says how these are read
    elif isinstance(value, str) and value.startswith(("{", "[", '"')):
        try:
            yield from _prose(json.loads(value))
        except ValueError:
            # Pieces of JSON and Python's spelling are read as well.
            if not set(value) & {"'", '"'}:
                yield value
    elif isinstance(value, str) and " " in value.strip():
        yield value.strip()


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_every_text_of_a_shape_is_in_its_entries(shape: Shape) -> None:
    messages = messages_of(shape.value, shape.role, Conversation())
    shown = "\n".join(text for _, text, _ in itertools.chain.from_iterable(messages))
    for text in _prose(shape.value):
        assert text in shown or json.dumps(text)[1:-1] in shown


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@pytest.mark.parametrize("extra", [{"aside": "a word more"}, {"deep": {"aside": ["a word more"]}}])
def test_a_field_that_no_rule_reads_is_printed(shape: Shape, extra: dict[str, object]) -> None:
    """An unknown field of the value, or of the first object in it, is said too."""
    first = shape.value[0] if isinstance(shape.value, list) and shape.value else shape.value
    if not isinstance(first, dict):
        return
    wider = {**first, **extra}
    value = [wider, *shape.value[1:]] if isinstance(shape.value, list) else wider
    messages = messages_of(value, shape.role, Conversation())
    assert "a word more" in "\n".join(text for _, text, _ in itertools.chain.from_iterable(messages))


ORDER = {"id": "ORDER-77", "text": "a note", "timestamp": "noon", "model": "X", "created_at": "May", "user": "bob"}


@pytest.mark.parametrize(
    "result",
    [
        {"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": [{"json": ORDER}]}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [ORDER, ORDER]}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": ORDER}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "find", "response": {"orders": [ORDER]}}}]},
        {"role": "tool", "tool_call_id": "t", "content": [ORDER]},
        {"role": "tool", "content": [{"type": "tool-result", "output": {"type": "json", "value": [ORDER]}}]},
        {"role": "tool", "content": [{"type": "tool-result", "output": {"type": "error-json", "value": ORDER}}]},
        {"role": "tool", "content": [{"type": "tool-result", "result": [ORDER]}]},
        {"type": "function_call_output", "call_id": "t", "output": [ORDER]},
        {"type": "function_call_output", "call_id": "t", "output": ORDER},
    ],
)  # fmt: skip
def test_a_row_of_a_tools_data_is_printed_whole(result: dict[str, object]) -> None:
    """An agent takes the ids for its next call from there."""
    assert json.dumps(ORDER) in _shown([result])


def test_fields_beside_the_content_of_a_tools_own_type_are_kept() -> None:
    row = {"type": "invoice", "content": "12 EUR", "id": "I-7", "created_at": "May"}
    shown = _shown([{"role": "tool", "content": [row]}])
    assert all(text in shown for text in ("invoice", "12 EUR", "I-7", "May"))


@pytest.mark.parametrize("kind", ["custom", "function", "phone_call"])
def test_a_row_whose_type_is_called_like_a_call_is_data(kind: str) -> None:
    row = {"type": kind, "id": "R-7", "name": "Bob", "created_at": "May"}
    assert _shown([{"role": "tool", "content": [row]}]) == f"tool: {json.dumps(row)}"


@pytest.mark.parametrize("kind", ["text", "image", "source", "search_result"])
def test_a_row_whose_type_is_called_like_a_block_keeps_its_fields(kind: str) -> None:
    row = {"type": kind, "text": "a note", "id": "R-7", "url": "https://e.org", "created_at": "May", "model": "Volvo"}
    shown = _shown([{"role": "tool", "content": [row]}])
    assert all(text in shown for text in ("R-7", "https://e.org", "May", "Volvo"))


def test_metadata_and_the_name_of_a_message_are_kept() -> None:
    message = {"role": "system", "name": "example", "content": "Hi", "metadata": {"id": "M-7", "model": "Volvo"}}
    assert _shown([message]) == (
        'system example: Hi\nsystem example details: {"metadata": {"id": "M-7", "model": "Volvo"}}'
    )


def test_a_found_document_keeps_its_id() -> None:
    document = {"page_content": "It rains.", "id": "D-7", "metadata": {"id": "M-7", "source": "e.org"}}
    assert all(text in _shown([document]) for text in ("It rains.", "D-7", "M-7"))


STATE = {
    "phase": "late", "metrics": {"sales": 7}, "execution": "paused", "model": "Volvo", "object": "car", "id": "S-7",
    "timestamp": "noon", "usage": "rented", "type": "rental", "created_at": "May", "metadata": {"id": "M-7"},
    "done": False,
}  # fmt: skip


@pytest.mark.parametrize(
    "conversation",
    [
        {"messages": [{"role": "user", "content": "Hi"}]},
        {"message": {"role": "user", "content": "Hi"}},
        {"question": {"role": "user", "content": "Hi"}},
        {"gen_ai.prompt": "Hi"},
    ],
)  # fmt: skip
def test_a_state_around_messages_loses_none_of_its_fields(conversation: dict[str, object]) -> None:
    shown = _shown({**conversation, **STATE})
    assert [key for key, value in STATE.items() if f"{json.dumps(key)}: {json.dumps(value)}" not in shown] == []


@pytest.mark.parametrize(
    "envelope",
    [
        {"id": "chatcmpl-7", "object": "chat.completion", "created": 7, "model": "gpt-7", "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}]},
        {"id": "resp_7", "object": "response", "created_at": 7, "model": "gpt-7", "output": [
            {"id": "msg_7", "type": "message", "role": "assistant", "content": "Hi"}]},
        {"id": "msg_7", "type": "message", "role": "assistant", "model": "claude-7", "content": "Hi"},
        {"model": "gpt-7", "messages": [{"role": "assistant", "content": "Hi"}]},
        {"index": 0, "tokenCount": 7, "content": {"role": "model", "parts": [{"text": "Hi"}]}},
    ],
)  # fmt: skip
def test_ids_and_models_of_a_providers_own_objects_are_no_content(envelope: dict[str, object]) -> None:
    assert _shown(envelope) == "assistant: Hi"


@pytest.mark.parametrize("extra", [
    {"state": "waiting"}, {"kind": "draft"}, {"tool_args": {"city": "Oslo"}}, {"author": "bob"},
    {"status": "incomplete"}, {"author_name": "bob"},
])  # fmt: skip
@pytest.mark.parametrize("role", ["user", "assistant", "tool"])
def test_what_is_said_of_a_message_is_kept(role: str, extra: dict[str, object]) -> None:
    shown = _shown([{"role": role, "content": "Hi", **extra}])
    assert all(
        str(text) in shown
        for value in extra.values()
        for text in (value.values() if isinstance(value, dict) else [value])
    )


def _shown(value: object) -> str:
    return "\n".join(
        f"{label}: {text}" for message in messages_of(value, "", Conversation()) for label, text, _ in message
    )


THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Too late for it."}]}
BEFORE = [
    {"type": "response.created", "response": {"id": "resp_1", "object": "response", "output": []}},
    {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "rs_1"}},
    {"type": "response.output_item.done", "output_index": 0, "item": THOUGHT},
]


@pytest.mark.parametrize("where", [{"output_index": 1}, {"item_id": "msg_1"}, {"output_index": 1, "item_id": "msg_1"}])
def test_an_answer_that_was_cut_off_is_kept(where: dict[str, object]) -> None:
    """Its `done` never came, while that of the reasoning before it did."""
    pieces = ["The refund ", "was denied"]
    cut = [{"type": "response.output_text.delta", "delta": piece, "content_index": 0, **where} for piece in pieces]
    page = {"type": "url_citation", "url": "https://e.org/w", "title": "The rules"}
    cited = {"type": "response.output_text.annotation.added", "annotation": page, **where}
    assert _shown([*BEFORE, *cut, cited]).split("\n") == [
        "assistant thinking: Too late for it.",
        "assistant: The refund was denied",
        "assistant sources: The rules, https://e.org/w",
    ]


def test_calls_that_were_cut_off_stay_apart() -> None:
    events: list[dict[str, object]] = []
    for index, city in enumerate(("Oslo", "Rome"), 1):
        call = {"type": "function_call", "id": f"fc_{index}", "name": "look", "arguments": "", "status": "in_progress"}
        events.append({"type": "response.output_item.added", "output_index": index, "item": call})
        for piece in ('{"at": ', f'"{city}"}}'):
            events.append({"type": "response.function_call_arguments.delta", "item_id": f"fc_{index}", "delta": piece})
    assert _shown([*BEFORE, *events]).split("\n")[1:] == [
        'assistant calls: look(at="Oslo")', 'assistant calls: look(at="Rome")',
    ]  # fmt: skip


def test_a_text_that_was_sent_in_pieces_and_whole_is_said_once() -> None:
    said = [
        {"type": "response.output_text.delta", "output_index": 1, "delta": "Rain "},
        {"type": "response.output_text.delta", "output_index": 1, "delta": "again"},
        {"type": "response.output_text.done", "output_index": 1, "text": "Rain again"},
    ]
    assert _shown([*BEFORE, *said]).endswith("\nassistant: Rain again")


def test_the_settings_that_a_response_repeats_are_said_but_for_what_is_not_set() -> None:
    settings = {"tool_choice": "auto", "truncation": "disabled", "temperature": 0, "text": {"format": {"type": "text"}},
                "reasoning": {"effort": "low"}}  # fmt: skip
    unset: dict[str, object] = {"user": None, "metadata": {}, "status": "completed", "tools": [], "instructions": None}
    said = {"type": "message", "role": "assistant", "content": "Hi"}
    assert _shown({"object": "response", "output": [said], **settings, **unset}) == (
        f"assistant: Hi\ndetails: {json.dumps(settings)}"
    )


@pytest.mark.parametrize(
    "state",
    [
        {"status": "timeout"},
        {"success": False},
        {"error_type": "quota"},
        {"outcome": "OUTCOME_DEADLINE_EXCEEDED"},
        {"is_error": True, "state": "cancelled"},
    ],
)
def test_how_a_tools_run_ended_is_said_where_it_did_not_simply_end(state: dict[str, object]) -> None:
    shown = _shown([{"role": "user", "content": [{"type": "tool_result", "content": "late", **state}]}])
    assert all(json.dumps(value) in shown for key, value in state.items() if key != "is_error")


def test_a_call_whose_input_was_cut_off_is_kept() -> None:
    events = [
        {"type": "text-delta", "id": "t", "text": "Let me look."},
        {"type": "tool-input-start", "id": "c1", "toolName": "look"},
        {"type": "tool-input-delta", "id": "c1", "delta": '{"at": '},
        {"type": "tool-input-delta", "id": "c1", "delta": '"the s'},
    ]
    assert _shown(events) == 'assistant: Let me look.\nassistant calls: look({"at": "the s)'


def test_a_call_that_was_written_and_then_made_is_said_once() -> None:
    events = [
        {"type": "tool-input-start", "id": "c1", "toolName": "look"},
        {"type": "tool-input-delta", "id": "c1", "delta": '{"at": "sky"}'},
        {"type": "tool-call", "toolCallId": "c1", "toolName": "look", "input": '{"at": "sky"}'},
    ]
    assert _shown(events) == 'assistant calls: look(at="sky")'


def test_why_a_langchain_stream_stopped_is_said() -> None:
    first = {"type": "AIMessageChunk", "id": "run-1", "content": "It rai"}
    last = {**first, "content": "ns", "response_metadata": {"finish_reason": "length"}}
    assert _shown([first, last]) == "assistant: It rains\nassistant stopped: length"


def test_how_an_agents_run_ended_and_what_it_was_denied_is_said() -> None:
    denied = [{"tool_name": "Bash", "tool_input": {"command": "rm the file"}}]
    run = {
        "type": "result",
        "subtype": "error_max_turns",
        "is_error": False,
        "result": "Half",
        "permission_denials": denied,
    }
    shown = _shown([run])
    assert all(text in shown for text in ("Half", "error_max_turns", "rm the file"))

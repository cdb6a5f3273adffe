"""Each known shape of a traced call is read as the entries that stand beside it."""

import json

import pytest

from tests.unit.text_repr.shapes import SHAPES, Shape
from trace_summarization.text_repr.entries import Conversation
from trace_summarization.text_repr.messages import is_conversation, messages_of


def _entries(value: object, role: str) -> list[tuple[str, str]]:
    return [(label, text) for message in messages_of(value, role, Conversation()) for label, text, _ in message]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_shape_is_read_as_its_entries(shape: Shape) -> None:
    assert _entries(shape.value, shape.role) == shape.entries


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_conversation_logged_as_a_json_string_is_read_alike(shape: Shape) -> None:
    if is_conversation(shape.value):
        assert _entries(json.dumps(shape.value), shape.role) == shape.entries


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_conversation_logged_by_python_is_read_alike(shape: Shape) -> None:
    if is_conversation(shape.value):
        assert _entries(str(shape.value), shape.role) == shape.entries


def test_what_is_thought_is_marked_as_thinking() -> None:
    message = {"role": "assistant", "content": [{"type": "thinking", "thinking": "let me see"}], "tool_plan": "look up"}
    entries = [entry for each in messages_of([message], "", Conversation()) for entry in each]
    assert [(entry.text, entry.thinking) for entry in entries] == [("look up", True), ("let me see", True)]


def test_a_tool_is_named_in_results_of_later_events() -> None:
    conversation = Conversation()
    call = {"id": "c1", "function": {"name": "look", "arguments": "{}"}}
    messages_of([{"role": "assistant", "tool_calls": [call]}], "", conversation)
    assert (
        messages_of([{"role": "tool", "tool_call_id": "c1", "content": "blue"}], "", conversation)[0][0].label
        == "tool look"
    )

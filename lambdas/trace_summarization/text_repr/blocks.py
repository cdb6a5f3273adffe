"""Content blocks of every provider as labelled entries: text, thinking, tool calls, tool results, media."""

import itertools
import json

from trace_summarization.text_repr.entries import (
    Conversation,
    Entry,
    first_of,
    is_empty,
    leftovers,
    name_of,
    texts_of,
    type_of,
)
from trace_summarization.text_repr.media import MEDIA_KEYS, document_text, media_of
from trace_summarization.text_repr.plain_text import compact_json
from trace_summarization.text_repr.tools import catalogue

MAX_CONTENT_DEPTH = 20  # blocks in blocks; what lies deeper is printed as JSON

_TEXT_TYPES = frozenset({"text", "input_text", "output_text", "summary_text", "markdown", "text_delta", "logs"})
_THINKING_TYPES = frozenset(
    {"thinking", "redacted_thinking", "reasoning", "reasoning_text", "reasoning.text", "reasoning.summary"}
)
_CALL_TYPES = frozenset({"tool_use", "tool-call", "function", "server_tool_use", "mcp_tool_use", "tool_calls"})
_CALL_KEYS = ("toolUse", "functionCall", "function_call", "tool_call", "executableCode", "executable_code")
_RESULT_TYPES = frozenset({"tool_result", "tool-result", "tool_call_response", "server_tool_call_response"})
_RESULT_KEYS = (
    "toolResult",
    "functionResponse",
    "function_response",
    "tool_result",
    "codeExecutionResult",
    "code_execution_result",
)
_RESULT_TYPE_ENDINGS = ("_tool_result", "_call_output", "_search_output")
_CALL_ID_KEYS = ("call_id", "toolUseId", "tool_use_id", "toolCallId", "tool_call_id", "id")
_CALL_NAME_KEYS = ("name", "toolName", "tool_name")
_ARGUMENT_KEYS = ("arguments", "args", "input", "parameters", "action", "code", "queries", "partial_json")
_OUTPUT_KEYS = ("output", "outputs", "result", "results", "response", "content", "error", "tools")


def content_entries(content: object, role: str, conversation: Conversation, depth: int = 0) -> list[Entry]:
    """A message's content, in any provider's form, as entries. Adjacent texts of one label become one entry."""
    if is_empty(content):
        return []
    if isinstance(content, str):
        return [Entry(role, content)]
    if depth > MAX_CONTENT_DEPTH:
        return [Entry(role, compact_json(content))]
    if isinstance(content, list):
        blocks = [entry for block in content for entry in content_entries(block, role, conversation, depth + 1)]
        return _joined(blocks, role)
    if isinstance(content, dict):
        return _block_entries(content, role, conversation, depth)
    return [Entry(role, compact_json(content))]


def call_entries(call: object, role: str, conversation: Conversation, depth: int = 0) -> list[Entry]:
    """A tool call in any form as `assistant calls: name(argument=value)`, with its output where it carries one."""
    label = f"{role} calls".strip()
    if not isinstance(call, dict):
        return [] if is_empty(call) else [Entry(label, call if isinstance(call, str) else compact_json(call))]
    function = call.get("function")
    if isinstance(function, dict) and "parameters" in function and "arguments" not in function:
        return [Entry("tools", catalogue([call]))]  # not a call but a declaration, logged as a message
    body = {**call, **function} if isinstance(function, dict) else call
    kind = body.get("type")
    name = name_of(first_of(body, *_CALL_NAME_KEYS)) or (name_of(kind) if kind != "function" else "") or "tool"
    argument_key = next((key for key in _ARGUMENT_KEYS if body.get(key) is not None), "")
    output_key = next((key for key in _OUTPUT_KEYS if not is_empty(body.get(key)) and key != argument_key), "")
    failed = output_key == "error" or call.get("status") in ("failed", "incomplete", "error")
    for key in _CALL_ID_KEYS:
        conversation.remember(call.get(key), name)
    entries = [Entry(label, signature(name, body.get(argument_key)))]
    result_label = f"tool {name} error" if failed else f"tool {name}"
    if output_key:
        entries += _output_entries(body, output_key, result_label, conversation, depth)
    elif failed:
        entries.append(Entry(result_label, f"status {call['status']}"))
    known = {*_CALL_NAME_KEYS, *_CALL_ID_KEYS, argument_key, output_key, "function", "status", "namespace"}
    return entries + leftovers(call, known, label)


def signature(name: str, arguments: object) -> str:
    """`name(key=value)`, values as JSON; arguments that are not an object stay as they are."""
    if isinstance(arguments, str):
        arguments = _parsed_object(arguments)
    if is_empty(arguments):
        return f"{name}()"
    if isinstance(arguments, dict):
        pairs = ", ".join(f"{key}={compact_json(value)}" for key, value in arguments.items())
        return f"{name}({pairs})"
    return f"{name}({arguments if isinstance(arguments, str) else compact_json(arguments)})"


def result_entries(result: dict[str, object], conversation: Conversation, depth: int = 0) -> list[Entry]:
    """A tool's result in any form as `tool name: content`; a failed one as `tool name error: content`."""
    name = name_of(first_of(result, *_CALL_NAME_KEYS))
    name = name or next((tool for key in _CALL_ID_KEYS if (tool := conversation.tool_of(result.get(key)))), "")
    label = f"tool {name}".strip()
    if result.get("is_error") is True or result.get("isError") is True or result.get("status") == "error":
        label += " error"
    output_key = next((key for key in _OUTPUT_KEYS if result.get(key) is not None), "")
    entries = _output_entries(result, output_key, label, conversation, depth) if output_key else []
    known = {*_CALL_NAME_KEYS, *_CALL_ID_KEYS, output_key, "is_error", "isError", "status", "namespace"}
    entries += leftovers(result, known, label)
    return entries or [Entry(label, "[empty result]" if output_key else "[result not recorded]")]


def is_result(block: dict[str, object]) -> bool:
    """Whether a typed block or item is a tool's result."""
    kind = type_of(block)
    return kind in _RESULT_TYPES or kind.endswith(_RESULT_TYPE_ENDINGS)


def is_call(block: dict[str, object]) -> bool:
    """Whether a typed block or item is a tool call."""
    kind = type_of(block)
    return kind in _CALL_TYPES or kind.endswith("_call")


def is_block(value: object) -> bool:
    """Whether a value has the form of a content block rather than of a message or of plain data."""
    if not isinstance(value, dict) or "role" in value:
        return False
    if type_of(value) in _TEXT_TYPES | _THINKING_TYPES or is_result(value) or is_call(value):
        return True
    keyed = (*_CALL_KEYS, *_RESULT_KEYS, "reasoningContent", "inlineData", "inline_data", "fileData")
    return (
        any(isinstance(value.get(key), dict) for key in keyed)
        or (isinstance(value.get("text"), str) and value.keys() <= {"text", "type", "thought", "thoughtSignature"})
        or {"toolCallId", "toolName"} <= value.keys()
    )


def thinking_text(value: object) -> str:
    """The readable part of a reasoning value in any provider's form."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        parts = (value.get(key) for key in ("thinking", "reasoning", "reasoningText", "text", "summary", "content"))
        return "\n".join(text for part in parts if (text := texts_of(part)))
    return texts_of(value)


def _block_entries(block: dict[str, object], role: str, conversation: Conversation, depth: int) -> list[Entry]:
    kind = type_of(block)
    if _is_thinking(block, kind):
        return [_thinking_entry(block, role)]
    if is_result(block):
        return result_entries(block, conversation, depth)
    if is_call(block) or {"toolCallId", "toolName"} <= block.keys():
        return call_entries(block, _caller(role), conversation, depth)
    for key in _CALL_KEYS:
        if isinstance(block.get(key), dict):
            named = {"name": key} if key.startswith("executable") else {}
            return call_entries({**named, **_inner(block, key)}, _caller(role), conversation, depth)
    for key in _RESULT_KEYS:
        if isinstance(block.get(key), dict):
            return result_entries(_inner(block, key), conversation, depth)
    return _text_or_media(block, kind, role, conversation, depth)


def _text_or_media(
    block: dict[str, object], kind: str, role: str, conversation: Conversation, depth: int
) -> list[Entry]:
    text = first_of(block, "text", "content") if kind in _TEXT_TYPES else block.get("text")
    if isinstance(text, dict):
        text = first_of(text, "value", "text")
    if isinstance(text, str) and kind in ("", *_TEXT_TYPES):
        rest = leftovers(block, ("text", "content" if kind in _TEXT_TYPES else "text", "annotations"), role)
        return ([Entry(role, text)] if text else []) + _annotations(block, role) + rest
    if kind == "refusal" and isinstance(block.get("refusal"), str):
        return [Entry(f"{role} refuses".strip(), str(block["refusal"]))]
    note = media_of(block)
    if note is not None:
        inner = document_text(block)
        return [Entry(role, f"{note}\n{inner}" if inner else note), *leftovers(block, MEDIA_KEYS, role)]
    if block.keys() <= {"cachePoint"}:
        return []
    if kind and not is_empty(block.get("content")):
        label = f"{role} {name_of(kind)}".strip()
        inner_entries = content_entries(block["content"], label, conversation, depth + 1)
        return inner_entries + leftovers(block, ("content",), label)
    return [Entry(role, compact_json(block))]


def _is_thinking(block: dict[str, object], kind: str) -> bool:
    if kind:
        return kind in _THINKING_TYPES
    return (block.get("thought") is True and "text" in block) or isinstance(block.get("reasoningContent"), dict)


def _thinking_entry(block: dict[str, object], role: str) -> Entry:
    text = thinking_text(block.get("reasoningContent") or block)
    thinker = role if role.startswith("assistant") else "assistant"
    return Entry(f"{thinker} thinking", text or "[not recorded]", thinking=True)


def _output_entries(
    body: dict[str, object], key: str, label: str, conversation: Conversation, depth: int
) -> list[Entry]:
    if key == "tools":
        return [Entry(label, catalogue(body[key]))]
    return content_entries(body[key], label, conversation, depth + 1)


def _annotations(block: dict[str, object], role: str) -> list[Entry]:
    annotations = block.get("annotations")
    return [] if is_empty(annotations) else [Entry(f"{role} annotations".strip(), compact_json(annotations))]


def _caller(role: str) -> str:
    return role or "assistant"


def _inner(block: dict[str, object], key: str) -> dict[str, object]:
    inner = block[key]
    return inner if isinstance(inner, dict) else {}


def _parsed_object(arguments: str) -> object:
    try:
        parsed = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    return parsed if isinstance(parsed, dict) else arguments


def _joined(entries: list[Entry], role: str) -> list[Entry]:
    """Adjacent texts as one entry. Calls and results keep a label each."""
    joined: list[Entry] = []
    for label, run in itertools.groupby(entries, key=lambda entry: entry.label):
        pieces = list(run)
        joined += [Entry(role, "\n".join(piece.text for piece in pieces))] if label == role else pieces
    return joined

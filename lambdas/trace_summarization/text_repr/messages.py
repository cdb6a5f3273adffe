"""Inputs, outputs and states of every provider and framework as messages: tuples of labelled entries."""

import itertools
import json

from trace_summarization.text_repr.blocks import (
    call_entries,
    content_entries,
    is_block,
    is_call,
    is_result,
    thinking_text,
)
from trace_summarization.text_repr.entries import (
    Conversation,
    Entry,
    Message,
    first_of,
    is_empty,
    leftovers,
    name_of,
    role_of,
    type_of,
)
from trace_summarization.text_repr.plain_text import compact_json, equality_key
from trace_summarization.text_repr.tools import catalogue

_MAX_WRAPPER_DEPTH = 6
_LANGCHAIN_TYPES = frozenset(
    {"human", "ai", "system", "tool", "function", "chat", "AIMessageChunk", "HumanMessageChunk"}
)
_CATALOGUE_TYPES = ("additional_tools", "mcp_list_tools")
_CONVERSATION_KEYS = ("chat_history", "messages", "contents", "choices", "candidates", "generations")
_SYSTEM_KEYS = ("system", "system_instruction", "systemInstruction", "preamble", "instructions")
_PROMPT_KEYS = ("prompt", "message")
_THINKING_KEYS = ("reasoning_content", "reasoning", "thinking", "tool_plan", "reasoning_details")
_CALLS_KEYS = ("tool_calls", "toolCalls", "function_call", "executed_tools", "invalid_tool_calls")
_FINISH_KEYS = ("finish_reason", "finishReason", "stop_reason", "stopReason")
_UNREMARKABLE_FINISHES = frozenset(
    {
        "complete",
        "completed",
        "done",
        "end_turn",
        "eos",
        "finish_reason_unspecified",
        "function_call",
        "stop",
        "stop_sequence",
        "tool-calls",
        "tool_call",
        "tool_calls",
        "tool_use",
    }
)
_MESSAGE_KEYS = frozenset(
    {
        *_THINKING_KEYS,
        *_CALLS_KEYS,
        *_FINISH_KEYS,
        "additional_kwargs",
        "annotations",
        "audio",
        "author",
        "content",
        "data",
        "is_error",
        "message",
        "name",
        "parts",
        "refusal",
        "role",
        "status",
        "text",
        "tool_args",
        "tool_call_error",
        "tool_name",
    }
)


def messages_of(value: object, role: str, conversation: Conversation, depth: int = 0) -> list[Message]:
    """What an input, output or state says, message by message, in order; empty when it says nothing.

    `role` labels what names no role of its own. Never raises on any JSON value.
    """
    if is_empty(value):
        return []
    if isinstance(value, str):
        embedded = _embedded(value)
        return [(Entry(role, value),)] if embedded is None else messages_of(embedded, role, conversation, depth + 1)
    if depth > _MAX_WRAPPER_DEPTH:
        return [(Entry(role, compact_json(value)),)]
    if isinstance(value, list):
        return _listed(value, role, conversation, depth)
    if isinstance(value, dict):
        return _object(value, role, conversation, depth)
    return [(Entry(role, compact_json(value)),)]


def is_conversation(value: object, depth: int = 0) -> bool:
    """Whether a value holds messages or content blocks, rather than plain data."""
    if depth > _MAX_WRAPPER_DEPTH:
        return False
    if isinstance(value, list):
        return bool(value) and isinstance(value[0], dict) and all(_is_message(item) or is_block(item) for item in value)
    return isinstance(value, dict) and (_is_message(value) or _is_wrapper(value, depth))


def _listed(values: list[object], role: str, conversation: Conversation, depth: int) -> list[Message]:
    """Items of a list; blocks that follow each other are one message, as providers that send bare blocks mean it."""
    messages: list[Message] = []
    for is_bare_block, run in itertools.groupby(values, key=_is_bare_block):
        items = list(run)
        if is_bare_block:
            entries = content_entries(items, role, conversation)
            messages += [tuple(entries)] if entries else []
        elif any(isinstance(item, dict | list) for item in items):
            for item in items:
                messages += _recalled(item, role, conversation, depth + 1)
        else:
            messages += [(Entry(role, item if isinstance(item, str) else compact_json(item)),) for item in items]
    return messages


def _recalled(item: object, role: str, conversation: Conversation, depth: int) -> list[Message]:
    """Messages of a list's item; read once, however often the history brings it again."""
    key = equality_key(item)
    if key is None:
        return messages_of(item, role, conversation, depth)
    known = conversation.messages_by_key.get((role, key))
    if known is None:
        known = conversation.messages_by_key[(role, key)] = messages_of(item, role, conversation, depth)
    return known


def _object(value: dict[str, object], role: str, conversation: Conversation, depth: int) -> list[Message]:
    constructed = _langchain_body(value)
    if constructed is not None:
        return [_message(constructed, role, conversation)]
    if is_call(value) and "role" not in value:
        return [tuple(call_entries(value, role if role == "assistant" else "assistant", conversation))]
    if is_result(value):
        return [tuple(content_entries(value, role, conversation))]
    if type_of(value) in _CATALOGUE_TYPES:
        return [(Entry("tools", catalogue(value.get("tools")) or "[none]"),)]
    if _is_wrapper(value):
        return _unwrapped(value, role, conversation, depth)
    enclosed = _enclosed_message(value)
    if enclosed is not None:
        inner = messages_of(enclosed, role, conversation, depth + 1)
        rest = leftovers(value, (*_FINISH_KEYS, "message", "content", "text"), role) + _finish(value, role)
        return [*inner, *([tuple(rest)] if rest else [])]
    if _is_message(value):
        entries = list(_message(value, role, conversation))
    elif is_block(value):
        entries = content_entries(value, role, conversation)
    else:
        entries = [Entry(role, compact_json(value))]
    return [tuple(entries)] if entries else []


def _unwrapped(value: dict[str, object], role: str, conversation: Conversation, depth: int) -> list[Message]:
    """A request or response object: system prompt, conversation, output; its other fields as one entry."""
    messages: list[Message] = []
    used: set[str] = {"tools"}
    if not is_empty(value.get("tools")):
        messages.append((Entry("tools", catalogue(value["tools"])),))
    for keys, part_role in ((_SYSTEM_KEYS, "system"), (_CONVERSATION_KEYS, role), (_PROMPT_KEYS, "user")):
        for key in keys:
            if key in value:
                used.add(key)
                messages += messages_of(value[key], part_role, conversation, depth + 1)
    for key in ("input", "output"):
        if is_conversation(value.get(key)):
            used.add(key)
            messages += messages_of(value[key], role, conversation, depth + 1)
    rest = leftovers(value, used | set(_FINISH_KEYS), role) + _finish(value, role)
    return [*messages, *([tuple(rest)] if rest else [])]


def _message(value: dict[str, object], default_role: str, conversation: Conversation) -> Message:
    role = _label(value, default_role, conversation)
    entries: list[Entry] = []
    for key in _THINKING_KEYS:
        text = thinking_text(value.get(key))
        if text and all(text != entry.text for entry in entries):
            entries.append(Entry(f"{role} thinking".strip(), text, thinking=True))
    for key in ("content", "parts", "text", "message", "data"):
        if not is_empty(value.get(key)):
            entries += content_entries(value[key], role, conversation)
            break
    entries += _calls(value, role, entries, conversation)
    extra = value.get("additional_kwargs")
    if isinstance(extra, dict):
        entries += _additional(extra, role, entries, conversation)
    if not is_empty(value.get("refusal")):
        entries += [Entry(f"{role} refuses".strip(), str(value["refusal"]))]
    entries += _audio(value.get("audio"), role)
    if not is_empty(value.get("annotations")):
        entries += [Entry(f"{role} annotations".strip(), compact_json(value["annotations"]))]
    return tuple(entries + leftovers(value, _MESSAGE_KEYS, role) + _finish(value, role))


def _calls(value: dict[str, object], role: str, known: list[Entry], conversation: Conversation) -> list[Entry]:
    """A message's tool calls, but for those that its content has shown: LangChain carries Anthropic's twice."""
    shown = {entry.text for entry in known}
    entries: list[Entry] = []
    for key in _CALLS_KEYS:
        calls = value.get(key)
        for call in calls if isinstance(calls, list) else [calls]:
            made = [] if _is_blank_call(call) else call_entries(call, role, conversation)
            entries += made if made and made[0].text not in shown else []
    return entries


def _additional(extra: dict[str, object], role: str, known: list[Entry], conversation: Conversation) -> list[Entry]:
    """LangChain's `additional_kwargs`: the provider's own tool calls, which newer versions repeat beside it."""
    has_calls = any(entry.label.endswith(" calls") for entry in known)
    if has_calls:
        return leftovers(extra, (*_CALLS_KEYS, "refusal"), role)
    calls = first_of(extra, *_CALLS_KEYS)
    listed = calls if isinstance(calls, list) else [calls]
    entries = [entry for call in listed if call for entry in call_entries(call, role, conversation)]
    return entries + leftovers(extra, _CALLS_KEYS, role)


def _audio(audio: object, role: str) -> list[Entry]:
    transcript = audio.get("transcript") if isinstance(audio, dict) else None
    return [Entry(f"{role} audio".strip(), transcript)] if isinstance(transcript, str) and transcript else []


def _finish(value: dict[str, object], role: str) -> list[Entry]:
    """Why an answer ended, where it did not simply end."""
    reason = first_of(value, *_FINISH_KEYS)
    if not isinstance(reason, str) or not reason or reason.lower() in _UNREMARKABLE_FINISHES:
        return []
    return [Entry(f"{role or 'assistant'} stopped", name_of(reason))]


def _label(value: dict[str, object], default: str, conversation: Conversation) -> str:
    kind = type_of(value)
    typed = kind if kind in _LANGCHAIN_TYPES or kind.endswith("Message") else None
    role = role_of(first_of(value, "role", "author"), "") or role_of(typed, default)
    if role != "tool":
        name = name_of(value.get("name"))
        return f"{role} {name}" if name and role_of(name) != role and role in ("user", "assistant") else role
    call_id = first_of(value, "tool_call_id", "toolCallId")
    name = name_of(first_of(value, "name", "tool_name")) or conversation.tool_of(call_id)
    failed = value.get("is_error") is True or value.get("status") == "error" or value.get("tool_call_error") is True
    return f"{role} {name}".strip() + (" error" if failed else "")


def _langchain_body(value: dict[str, object]) -> dict[str, object] | None:
    """A LangChain message in serialized (`lc`, `kwargs`) or stored (`type`, `data`) form; None for anything else."""
    body = value.get("kwargs")
    path = value.get("id")
    if "lc" in value and isinstance(body, dict) and isinstance(path, list) and path:
        return {**body, "type": body.get("type") or str(path[-1])}
    data = value.get("data")
    if type_of(value) in _LANGCHAIN_TYPES and isinstance(data, dict) and "content" in data:
        return {**data, "type": value["type"]}
    return None


def _is_message(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    if _langchain_body(value) is not None:
        return True
    says = value.keys() & {"content", "parts", "text", "message", *_CALLS_KEYS, *_THINKING_KEYS, "refusal", "audio"}
    if "role" in value:
        return bool(says) or value.keys() <= {"role", "name", "id", "type", *_FINISH_KEYS}
    if type_of(value) in _LANGCHAIN_TYPES:
        return "content" in value
    if is_call(value) or is_result(value) or type_of(value) in _CATALOGUE_TYPES:
        return True
    if isinstance(value.get("parts"), list) or _enclosed_message(value) is not None:
        return True
    return bool(says) and bool(value.keys() & {*_FINISH_KEYS, *_CALLS_KEYS, "logprobs"})


def _enclosed_message(value: dict[str, object]) -> object:
    """The message inside a choice or a candidate; None when the value is neither."""
    inner = first_of(value, "message", "content")
    if "role" in value or not isinstance(inner, dict):
        return None
    return inner if "lc" in inner or inner.keys() & {"parts", "role", "content", *_CALLS_KEYS} else None


def _is_wrapper(value: dict[str, object], depth: int = 0) -> bool:
    if "role" in value:
        return False
    lists = any(isinstance(value.get(key), list) and value[key] for key in _CONVERSATION_KEYS)
    prompt = isinstance(value.get("prompt"), str | list) and not is_empty(value["prompt"])
    contents = isinstance(value.get("contents"), str) and bool(value["contents"])
    return lists or prompt or contents or any(is_conversation(value.get(key), depth + 1) for key in ("input", "output"))


def _is_bare_block(value: object) -> bool:
    return is_block(value) and not (isinstance(value, dict) and (is_call(value) or is_result(value)))


def _is_blank_call(call: object) -> bool:
    if not isinstance(call, dict):
        return is_empty(call)
    return not any(not is_empty(item) for key, item in call.items() if key not in ("id", "type", "index"))


def _embedded(text: str) -> object:
    """The conversation that a string holds as JSON; None when the string is just a string."""
    stripped = text.strip()
    if not (stripped.startswith(("[{", '{"', "[ {", '{ "')) and stripped.endswith(("]", "}"))):
        return None
    try:
        parsed = json.loads(stripped)
    except (ValueError, RecursionError):
        return None
    return parsed if is_conversation(parsed) else None

"""What a message is made of: labelled pieces of text."""

from collections.abc import Collection, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import NamedTuple

from trace_summarization.text_repr.plain_text import compact_json, one_line

_LONGEST_NAME = 80

_ROLE_BY_ALIAS = {
    "human": "user",
    "humanmessage": "user",
    "humanmessagechunk": "user",
    "ai": "assistant",
    "aimessage": "assistant",
    "aimessagechunk": "assistant",
    "model": "assistant",
    "chatbot": "assistant",
    "bot": "assistant",
    "systemmessage": "system",
    "toolmessage": "tool",
    "functionmessage": "tool",
    "function": "tool",
    "chatmessage": "chat",
}

# Ids, signatures, encrypted content, and numbers that stand on the event itself: not what a reader needs to know of a
# trace. Everything else that no rule reads is printed as JSON.
TECHNICAL_KEYS = frozenset(
    {
        "avg_logprobs",
        "cache_control",
        "cachePoint",
        "call_id",
        "caller",
        "closed",
        "container_id",
        "created",
        "created_at",
        "encrypted_content",
        "encrypted_index",
        "event.name",
        "example",
        "execution",
        "extra_content",
        "from_history",
        "gen_ai.message.index",
        "gen_ai.system",
        "id",
        "index",
        "invocation_id",
        "lc",
        "logprobs",
        "metrics",
        "model",
        "object",
        "phase",
        "prefix",
        "prompt_cache_breakpoint",
        "provider_options",
        "providerOptions",
        "response_metadata",
        "run_id",
        "safety_ratings",
        "service_tier",
        "session_id",
        "signature",
        "stop_after_tool_call",
        "strict",
        "system_fingerprint",
        "thought_signature",
        "thoughtSignature",
        "timestamp",
        "tool_call_id",
        "tool_use_id",
        "toolCallId",
        "toolUseId",
        "type",
        "usage",
        "usage_metadata",
        "usageMetadata",
    }
)


class Entry(NamedTuple):
    """One labelled piece of a message: `user: Hello`. Thinking is left out when messages are compared."""

    label: str
    text: str
    thinking: bool = False


Message = tuple[Entry, ...]


@dataclass
class Conversation:
    """What reading a trace's messages has to remember: the tools behind call ids, and what was read already."""

    tool_by_call_id: MutableMapping[str, str] = field(default_factory=dict)
    messages_by_key: MutableMapping[tuple[str, bytes], list[Message]] = field(default_factory=dict)

    def remember(self, call_id: object, tool: str) -> None:
        """Note which tool a call id belongs to."""
        if isinstance(call_id, str) and call_id:
            self.tool_by_call_id[call_id] = tool

    def tool_of(self, call_id: object) -> str:
        """The tool that a call id belongs to, or an empty string."""
        return self.tool_by_call_id.get(call_id, "") if isinstance(call_id, str) else ""


def role_of(value: object, default: str = "") -> str:
    """A role's usual name; a role that is no string is named by its JSON."""
    if value is None or value == "":
        return default
    name = one_line(value if isinstance(value, str) else compact_json(value), _LONGEST_NAME).lower()
    return _ROLE_BY_ALIAS.get(name, name)


def name_of(value: object) -> str:
    """A tool's or span's name on one line; empty when there is none."""
    if value is None or isinstance(value, dict | list):
        return ""
    return one_line(str(value), _LONGEST_NAME)


def type_of(value: Mapping[str, object]) -> str:
    """The `type` that a block, item or message states; empty when it states none."""
    stated = value.get("type")
    return stated if isinstance(stated, str) else ""


def first_of(mapping: Mapping[str, object], *keys: str) -> object:
    """The first value under one of the keys that is not None."""
    return next((mapping[key] for key in keys if mapping.get(key) is not None), None)


def is_empty(value: object) -> bool:
    """Whether a value says nothing: None, or an empty string, list or object. 0 and False say something."""
    return value is None or (isinstance(value, str | list | dict) and not value)


def leftovers(mapping: Mapping[str, object], known: Collection[str], label: str) -> list[Entry]:
    """What no rule read, as one entry of JSON, so that nothing is dropped in silence."""
    rest = {
        key: value
        for key, value in mapping.items()
        if key not in known and key not in TECHNICAL_KEYS and not is_empty(value)
    }
    return [Entry(f"{label} details".strip(), compact_json(rest))] if rest else []


def texts_of(value: object) -> str:
    """The text of a string, of a block, or of a list of them; empty for anything else."""
    items = value if isinstance(value, list) else [value]
    texts = (item.get("text") if isinstance(item, dict) else item for item in items)
    return "\n".join(text for text in texts if isinstance(text, str) and text)

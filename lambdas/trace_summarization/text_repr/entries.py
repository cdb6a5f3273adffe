"""What a message is made of: labelled pieces of text."""

from collections.abc import Collection, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import NamedTuple

from trace_summarization.text_repr.plain_text import compact_json, one_line

_LONGEST_NAME = 80

_PLAIN_ROLES = frozenset({"user", "assistant", "system", "tool", "developer"})
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
    "chatmessagechunk": "chat",
    "systemmessagechunk": "system",
    "toolmessagechunk": "tool",
    "functionmessagechunk": "tool",
    "tool-call": "assistant",  # smolagents
    "tool-response": "tool",
    "agent": "assistant",
    "role_user": "user",
    "role_assistant": "assistant",
    "role_system": "system",
    "role_tool": "tool",
}

# PydanticAI, LlamaIndex, Semantic Kernel (Python, .NET).
_OTHER_TYPE_KEYS = ("part_kind", "block_type", "content_type", "$type")  # first come, first read
_ANY_OTHER_TYPE_KEY = frozenset(_OTHER_TYPE_KEYS)
_FINISHES_IN_METADATA = {"finish_reason", "stop_reason"}  # read by those who read the message
_METADATA_KEYS = frozenset(
    {"additional_kwargs", "generation_info", "llm_output", "meta", "_meta", "metadata", "params"}
)
_DEEPEST_HOLLOW = 4  # levels of empty objects in objects looked through

# Ids, signatures, encrypted content, and numbers that stand on the event itself: not what a reader needs to know of a
# trace. Everything else that no rule reads is printed as JSON.
TECHNICAL_KEYS = frozenset(
    {
        "$type",
        "__type",
        "approvalId",
        "approval_request_id",
        "avgLogprobs",
        "avg_logprobs",
        "block_type",
        "cachePoint",
        "cache_control",
        "callId",
        "callProviderMetadata",
        "call_id",
        "caller",
        "class_name",
        "closed",
        "completed_at",
        "completion_tokens",
        "config_id",
        "container_id",
        "content_index",
        "content_type",
        "createTime",
        "create_time",
        "created",
        "created_at",
        "created_by",
        "duration_api_ms",
        "duration_ms",
        "encrypted_content",
        "encrypted_index",
        "eval_count",
        "eval_duration",
        "event.name",
        "event_id",
        "example",
        "execution",
        "extra_content",
        "from_history",
        "gen_ai.message.index",
        "gen_ai.system",
        "generation_id",
        "generation_token_count",
        "has_more",
        "id",
        "id_",
        "index",
        "inputTextTokenCount",
        "input_token_count",
        "invocation_id",
        "is_streaming",
        "itemId",
        "item_id",
        "lc",
        "llm_provider",
        "load_duration",
        "logprobs",
        "logprobsResult",
        "logprobs_result",
        "messageId",
        "message_id",
        "metrics",
        "model",
        "modelVersion",
        "model_name",
        "model_provider",
        "model_version",
        "models_usage",
        "num_tokens",
        "num_turns",
        "obfuscation",
        "object",
        "output_index",
        "output_token_count",
        "parentUuid",
        "parent_tool_use_id",
        "part_kind",
        "phase",
        "prefix",
        "preliminary",
        "prompt_cache_breakpoint",
        "prompt_eval_count",
        "prompt_eval_duration",
        "prompt_token_count",
        "prompt_tokens",
        "protectedData",
        "providerExecuted",
        "providerMetadata",
        "providerOptions",
        "provider_details",
        "provider_metadata",
        "provider_name",
        "provider_options",
        "provider_response_id",
        "raw_representation",
        "reasoning_tokens",
        "requestId",
        "request_id",
        "responseId",
        "response_id",
        "response_metadata",
        "run_id",
        "safety_ratings",
        "sdkHttpResponse",
        "sdk_http_response",
        "sequence_number",
        "service_tier",
        "sessionId",
        "session_id",
        "signature",
        "signatureDelta",
        "sourceId",
        "source_id",
        "stop_after_tool_call",
        "strict",
        "system_fingerprint",
        "thoughtSignature",
        "thought_signature",
        "timestamp",
        "tokenCount",
        "token_count",
        "token_usage",
        "toolCallId",
        "toolMetadata",
        "toolUseId",
        "tool_call_id",
        "tool_use_id",
        "total_cost_usd",
        "total_duration",
        "toolType",
        "tool_type",
        "total_tokens",
        "type",
        "usage",
        "usageMetadata",
        "usage_details",
        "usage_metadata",
        "uuid",
    }
)

# Of these, the words that anyone may use for data: in a state, a wrapper or a log record they are no technical matter.
ORDINARY_KEYS = frozenset({
    "caller", "class_name", "closed", "completed_at", "config_id", "container_id", "content_type", "createTime",
    "create_time", "created", "created_at", "created_by", "duration_ms", "event_id", "example", "execution",
    "from_history", "generation_id", "has_more", "id", "id_", "index", "itemId", "item_id", "messageId", "message_id",
    "metrics", "model", "modelVersion", "model_name", "model_provider", "model_version", "num_tokens", "num_turns",
    "object", "parentUuid", "phase", "prefix", "preliminary", "provider_name", "requestId", "request_id", "run_id",
    "sequence_number", "service_tier", "sessionId", "session_id", "signature", "sourceId", "source_id", "strict",
    "timestamp", "tokenCount", "token_count", "toolType", "tool_type", "total_cost_usd", "total_duration",
    "total_tokens", "type", "usage", "uuid",
})  # fmt: skip
PROTOCOL_KEYS = TECHNICAL_KEYS - ORDINARY_KEYS


class Entry(NamedTuple):
    """One labelled piece of a message: `user: Hello`. Thinking is left out when messages are compared."""

    label: str
    text: str
    thinking: bool = False


Message = tuple[Entry, ...]


class History(NamedTuple):
    """A list as it was read. `ends[i]`: messages after its item i; -1 where the next item may still add to one."""

    role: str
    items: list[object]
    messages: list[Message]
    ends: list[int]

    def shared_with(self, items: list[object], role: str) -> int:
        """How many items two lists have in common at their beginning, of which all messages are known."""
        shared = 0
        if role == self.role:
            try:
                for item, mine in zip(items, self.items, strict=False):
                    if item != mine:
                        break
                    shared += 1
            except RecursionError:  # too deep to be compared: read again
                return 0
        while shared and self.ends[shared - 1] < 0:
            shared -= 1
        return shared


@dataclass
class Conversation:
    """What reading a trace's messages has to remember: the tools behind call ids, and what was read already.

    Signatures and messages are kept because every generation repeats its history.
    """

    tool_by_call_id: MutableMapping[str, str] = field(default_factory=dict)
    signature_by_call: MutableMapping[tuple[str, str], str] = field(default_factory=dict)
    messages_by_key: MutableMapping[tuple[str, bytes], list[Message]] = field(default_factory=dict)
    plain_messages: MutableMapping[tuple[str, str], Message] = field(default_factory=dict)
    last_history: "History | None" = None

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
    if isinstance(value, str) and value in _PLAIN_ROLES:
        return value
    if isinstance(value, dict):  # Semantic Kernel's {"label": "user"}, Microsoft's {"type": "role", "value": "user"}
        named = first_of(value, "label", "Label", "value", "Value", "name")
        value = named if isinstance(named, str) else compact_json(value)
    name = one_line(value if isinstance(value, str) else compact_json(value), _LONGEST_NAME).lower()
    if name.startswith(("messagerole.", "chatmessagerole.", "role.", "chatrole.")):  # an enumeration's name
        name = name.partition(".")[2]
    return _ROLE_BY_ALIAS.get(name, name)


def name_of(value: object) -> str:
    """A tool's or span's name on one line; empty when there is none."""
    if isinstance(value, str):
        return one_line(str(value), _LONGEST_NAME)
    if value is None or isinstance(value, dict | list):
        return ""
    return one_line(str(value), _LONGEST_NAME)


def type_of(value: Mapping[str, object]) -> str:
    """The `type` that a block, item or message states; empty when it states none."""
    stated = value.get("type")
    if isinstance(stated, str):
        return stated
    if not _ANY_OTHER_TYPE_KEY.isdisjoint(value):
        return next((stated for key in _OTHER_TYPE_KEYS if isinstance(stated := value.get(key), str)), "")
    return ""


def first_of(mapping: Mapping[str, object], *keys: str) -> object:
    """The first value under one of the keys that is not None."""
    for key in keys:
        value = mapping.get(key)
        if value is not None:
            return value
    return None


def is_empty(value: object) -> bool:
    """Whether a value says nothing: None, or an empty string, list or object. 0 and False say something."""
    return value is None or (not value and isinstance(value, str | list | dict))


def is_hollow(value: object, depth: int = 0) -> bool:
    """Whether a value is empty or holds nothing but empty values."""
    if is_empty(value):
        return True
    if depth >= _DEEPEST_HOLLOW or not isinstance(value, dict | list):
        return False
    members = value.values() if isinstance(value, dict) else value
    return all(is_hollow(member, depth + 1) for member in members)


def present(mapping: dict[str, object]) -> dict[str, object]:
    """The mapping without its None values, which dumps of typed objects are full of."""
    if None in mapping.values():
        return {key: value for key, value in mapping.items() if value is not None}
    return mapping


def leftovers(
    mapping: Mapping[str, object], known: Collection[str], label: str, silent: Collection[str] = TECHNICAL_KEYS
) -> list[Entry]:
    """What no rule read, as one entry of JSON, so that nothing is dropped in silence but `silent` keys.

    Those are technical in a provider's own objects only: of anyone else's, name the few that may be left out.
    """
    rest = {
        key: value for key, value in mapping.items() if key not in known and key not in silent and not is_hollow(value)
    }
    for key in rest.keys() & _METADATA_KEYS if silent is TECHNICAL_KEYS else ():
        rest[key] = _telling(rest[key], PROTOCOL_KEYS if key == "metadata" else TECHNICAL_KEYS)
        if is_hollow(rest[key]):
            del rest[key]
    return [Entry(f"{label} details".strip(), compact_json(rest))] if rest else []


def _telling(metadata: object, technical: Collection[str]) -> object:
    """Metadata without its technical fields."""
    if not isinstance(metadata, dict):
        return metadata
    return {key: value for key, value in metadata.items() if key not in technical and key not in _FINISHES_IN_METADATA}


def texts_of(value: object) -> str:
    """The text of a string, of a block, or of a list of them; empty for anything else."""
    items = value if isinstance(value, list) else [value]
    texts = (item.get("text") if isinstance(item, dict) else item for item in items)
    return "\n".join(text for text in texts if isinstance(text, str) and text)

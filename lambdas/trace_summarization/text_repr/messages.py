"""Inputs, outputs and states of every provider and framework as messages: tuples of labelled entries."""

import itertools
import re
from collections.abc import Iterable

from trace_summarization.text_repr.blocks import (
    call_entries,
    content_entries,
    is_block,
    is_call,
    is_result,
    result_entries,
    source_entries,
    thinking_text,
)
from trace_summarization.text_repr.encoded import decoded
from trace_summarization.text_repr.entries import (
    PROTOCOL_KEYS,
    TECHNICAL_KEYS,
    Conversation,
    Entry,
    History,
    Message,
    first_of,
    is_empty,
    is_hollow,
    leftovers,
    name_of,
    present,
    role_of,
    type_of,
)
from trace_summarization.text_repr.flattened import is_flattened, unflattened
from trace_summarization.text_repr.frameworks import is_langchain_type, restated
from trace_summarization.text_repr.plain_text import compact_json, equality_key
from trace_summarization.text_repr.streams import accumulated
from trace_summarization.text_repr.tools import catalogue
from trace_summarization.text_repr.verdicts import (
    FEEDBACK_KEYS,
    FINISH_KEYS,
    GROUNDING_KEYS,
    SAFETY_KEYS,
    feedback,
    finish,
    verdicts,
)

_MAX_WRAPPER_DEPTH = 10
# One of these is in every conversation, in JSON or in Python's own writing, escaped or not. Apart from each other: a
# regular expression of alternatives that begin in several ways is much slower than one, or a search, for each.
_TELLING_KEY = re.compile(
    r"""["']_?(?:role|type|kind|part_kind|content|contents|parts|text|message|messages|prompt|choices|candidates|generations"""
    r"""|history|chat_history|completion|delta|blocks|items|kwargs|body|data|event|isError|page_content|args|tool\w*"""
    r"""|function\w*|thinking|reasoning\w*)\\{0,7}["']"""
)
_TELLING_NAMES = ("gen_ai", "llm.", "ai.")
_POSITION_IN_PATH = re.compile(r"\.\d+\.")
_SERVER_SENT = re.compile(r"\s*(?:data|event|id):")
_SHORTEST_SEARCHED = 200  # characters
_SHORTEST_HISTORY = 3  # messages; shorter lists are read as fast as compared
_MOST_TOKENS_SHOWN = 32  # a longer list of whole numbers is a prompt in token ids
_PLAIN_ROLES = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "developer",
    "human": "user",
    "model": "assistant",
}
_PAIR_ROLES = frozenset({"human", "ai", "user", "assistant", "system", "developer", "placeholder", "tool"})
_MESSAGE_TYPES = ("message", "message.input", "message.output")
_CATALOGUE_TYPES = ("additional_tools", "mcp_list_tools")
_CATALOGUE_KEYS = ("tools", "functions", "toolConfig", "tool_config")
_SYSTEM_KEYS = ("system", "system_instruction", "systemInstruction", "preamble", "instructions", "system_prompt")
_CONVERSATION_KEYS = (
    "chat_history", "messages", "contents", "input_messages", "choices", "candidates", "generations", "output_messages",
)  # fmt: skip
_HOLDING_KEYS = frozenset({*_CONVERSATION_KEYS, "steps", "response", "input", "output"})
_PROMPT_KEYS = ("prompt", "message")
_ANSWER_KEYS = ("text", "output_text", "completion", "content")
_THINKING_KEYS = (
    "reasoning_content", "reasoning", "thinking", "tool_plan", "reasoning_details", "reasoningText", "reasoning_text",
    "thought",
)  # fmt: skip
_ANY_THINKING_KEY = frozenset(_THINKING_KEYS)
_CALLS_KEYS = (
    "tool_calls", "toolCalls", "toolInvocations", "function_call", "executed_tools", "invalid_tool_calls",
    "tool_call_chunks",
)  # fmt: skip
_RESULTS_KEYS = ("tool_results", "toolResults")
_BODY_KEYS = ("parts", "blocks", "items", "contents", "content", "text", "message", "data")
_LIST_BODY_KEYS = frozenset({"parts", "blocks", "items", "contents"})  # anything else under these is no content
_MESSAGE_KEYS = frozenset({
    *_THINKING_KEYS, *_CALLS_KEYS, *_RESULTS_KEYS, *FINISH_KEYS, *_BODY_KEYS, *SAFETY_KEYS, *GROUNDING_KEYS,
    "additional_kwargs", "annotations", "audio", "citations", "name", "refusal", "role", "type",
})  # fmt: skip
_SILENT_FAILURES = frozenset({"is_error", "isError", "tool_call_error"})
_UNREMARKABLE_STATES = ("completed", "success", "ok", "done")
_COMMON_KEYS = frozenset({"role", "content", "tool_calls", "tool_call_id"})
_SAYING_KEYS = frozenset({
    *_THINKING_KEYS, *_CALLS_KEYS, *_RESULTS_KEYS, *_BODY_KEYS, "refusal", "audio",
})  # fmt: skip
_ENDING_KEYS = frozenset({*FINISH_KEYS, "function_call", "logprobs"})
_ENCLOSING_KEYS = frozenset({"parts", "role", "content", "blocks", *_CALLS_KEYS})
# What only a provider's response, choice, candidate or event has.
_ENVELOPE_KEYS = frozenset({
    *FINISH_KEYS, *FEEDBACK_KEYS, *SAFETY_KEYS, *GROUNDING_KEYS, "choices", "candidates", "generations", "logprobs",
    "usageMetadata", "usage_metadata", "system_fingerprint", "eval_count", "generation_info", "invocation_id",
    "parent_tool_use_id", "parentUuid", "response_metadata",
})  # fmt: skip
_ENVELOPE_OBJECTS = ("response", "chat.completion", "chat.completion.chunk", "text_completion", "conversation.response",
                     "entry")  # fmt: skip
_CHOICE_KEYS = frozenset({"index", "message", "delta", "content", "tokenCount", "avgLogprobs"})
_REQUEST_KEYS = frozenset({
    *_CATALOGUE_KEYS, *_SYSTEM_KEYS, *_PROMPT_KEYS, "messages", "contents", "input", "model", "stream", "max_tokens",
    "maxTokens", "temperature", "tool_choice", "config", "generationConfig", "store", "text", "include", "reasoning",
})  # fmt: skip
# Of what the Responses API repeats of the request, what looks like content and is configuration.
_RESPONSE_SETTINGS = frozenset({"text", "reasoning", "tool_choice", "conversation", "user", "content_filters"})
# Where span attributes hold a conversation, and who speaks in what names no role of its own.
_ATTRIBUTE_PATHS = (
    ("tools", ("llm", "tools")),
    ("tools", ("llm", "request", "functions")),
    ("tools", ("gen_ai", "tool", "definitions")),
    ("tools", ("ai", "prompt", "tools")),
    ("system", ("gen_ai", "system_instructions")),
    ("user", ("llm", "input_messages")),
    ("user", ("llm", "prompts")),
    ("user", ("gen_ai", "prompt")),
    ("user", ("gen_ai", "input", "messages")),
    ("user", ("ai", "prompt")),
    ("user", ("ai", "prompt", "messages")),
    ("", ("message",)),
    ("", ("retrieval", "documents")),
    ("user", ("input", "value")),
    ("user", ("traceloop", "entity", "input")),
    ("assistant", ("llm", "output_messages")),
    ("assistant", ("llm", "choices")),
    ("assistant", ("gen_ai", "completion")),
    ("assistant", ("gen_ai", "output", "messages")),
    ("assistant", ("ai", "response")),
    ("assistant", ("output", "value")),
    ("assistant", ("traceloop", "entity", "output")),
)
_ATTRIBUTE_NOISE = frozenset({"usage", "token_count", "mime_type", "system", "provider", "model_name"})


def messages_of(value: object, role: str, conversation: Conversation, depth: int = 0) -> list[Message]:
    """What an input, output or state says, message by message, in order; empty when it says nothing.

    `role` labels what names no role of its own. Never raises on any JSON value.
    """
    if is_empty(value):
        return []
    if isinstance(value, str):
        held = _held(value)
        return [(Entry(role, value),)] if held is None else messages_of(held, role, conversation, depth + 1)
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
        if not value:
            return False
        if isinstance(value[0], list):
            return all(_is_pair(item) for item in value) or all(is_conversation(item, depth + 1) for item in value)
        return (isinstance(value[0], dict) and all(_says(item) for item in value)) or accumulated(value) is not None
    return isinstance(value, dict) and (_says(value) or _is_wrapper(value, depth))


def _listed(values: list[object], role: str, conversation: Conversation, depth: int) -> list[Message]:
    """Items of a list; blocks that follow each other are one message, as providers that send bare blocks mean it."""
    stream = accumulated(values)
    if stream is not None:
        return messages_of(stream, role, conversation, depth + 1)
    if not isinstance(values[0], str | dict | list) and all(isinstance(item, int | float) for item in values):
        is_prompt = len(values) > _MOST_TOKENS_SHOWN and all(isinstance(item, int) for item in values)
        return [(Entry(role, f"[{len(values):,} token ids]" if is_prompt else compact_json(values)),)]
    messages: list[Message] = []
    ends: list[int] = []
    last = conversation.last_history
    # A generation's input is mostly that of the one before, and some more.
    shared = last.shared_with(values, role) if last is not None else 0
    if last is not None and shared:
        messages, ends = last.messages[: last.ends[shared - 1]], last.ends[:shared]
    bare: list[object] = []
    for item in itertools.islice(values, shared, None):
        ends.append(-1)
        if type(item) is dict:
            # The commonest form by far, which long histories repeat in every generation.
            speaker, content = item.get("role"), item.get("content")
            if len(item) == 2 and type(content) is str and type(speaker) is str and content[:1] not in ("", "["):
                plain = _PLAIN_ROLES.get(speaker)
                if plain is not None:
                    _flush(bare, messages, role, conversation)
                    messages.append(_plain(plain, content, conversation))
                    ends[-1] = len(messages)
                    continue
            elif speaker is None and _is_bare_block(item):
                bare.append(item)
                continue
        _flush(bare, messages, role, conversation)
        if _is_pair(item) and isinstance(item, list):
            messages += messages_of({"role": item[0], "content": item[1]}, role, conversation, depth + 1)
        elif isinstance(item, dict | list):
            messages += _recalled(item, role, conversation, depth + 1)
        elif isinstance(item, str):
            messages += (
                messages_of(item, role, conversation, depth + 1) if item[:1] in ("{", "[") else _said(item, role)
            )
        else:
            messages.append((Entry(role, compact_json(item)),))
        ends[-1] = len(messages)
    _flush(bare, messages, role, conversation)
    if len(values) >= _SHORTEST_HISTORY and len(ends) == len(values):
        conversation.last_history = History(role, values, messages, ends)
    return messages


def _plain(role: str, content: str, conversation: Conversation) -> Message:
    """The very same message for the same words, so that a repeated history is recognized at a glance."""
    known = conversation.plain_messages.get((role, content))
    if known is None:
        known = conversation.plain_messages[(role, content)] = (Entry(role, content),)
    return known


def _recalled(item: object, role: str, conversation: Conversation, depth: int) -> list[Message]:
    """Messages of a list's item; read once, however often the history brings it again."""
    key = equality_key(item)
    if key is None:
        return messages_of(item, role, conversation, depth)
    known = conversation.messages_by_key.get((role, key))
    if known is None:
        known = conversation.messages_by_key[(role, key)] = messages_of(item, role, conversation, depth)
    return known


def _flush(bare: list[object], messages: list[Message], role: str, conversation: Conversation) -> None:
    if bare:
        entries = content_entries(bare[:], role, conversation)
        bare.clear()
        if entries:
            messages.append(tuple(entries))


def _said(text: str, role: str) -> list[Message]:
    return [(Entry(role, text),)] if text else []


def _object(value: dict[str, object], role: str, conversation: Conversation, depth: int) -> list[Message]:
    if value.get("type") in _CATALOGUE_TYPES:
        server = name_of(value.get("server_label"))
        rest = leftovers(value, ("tools", "server_label", "role"), "tools")
        return [(Entry(f"tools {server}".strip(), catalogue(value.get("tools")) or "[none]"), *rest)]
    if "role" in value and "content" in value and isinstance(value["role"], str):
        return _one(_message(value, role, conversation))
    value = present(value)
    other = restated(value)
    if other is not None:
        return messages_of(other, role, conversation, depth + 1)
    if is_flattened(value):
        return _attributes(value, role, conversation, depth)
    if "role" not in value:
        if is_call(value):
            return _one(call_entries(value, role if role == "assistant" else "assistant", conversation))
        if is_result(value):
            return _one(content_entries(value, role, conversation))
        if _is_turn(value):
            return _one(_message(value, role, conversation))
        if _is_wrapper(value):
            return _unwrapped(value, role, conversation, depth)
        enclosed = _enclosed_message(value)
        if enclosed is not None:
            return _opened(value, enclosed, role, conversation, depth)
    if _is_message(value):
        return _one(_message(value, role, conversation))
    if is_block(value):
        return _one(content_entries(value, role, conversation))
    return [(Entry(role, compact_json(value)),)]


def _one(entries: Iterable[Entry]) -> list[Message]:
    message = tuple(entries)
    return [message] if message else []


def _opened(
    value: dict[str, object], enclosed: object, role: str, conversation: Conversation, depth: int
) -> list[Message]:
    """The message in a choice or a candidate, and what is said of it there."""
    role = role_of(value["type"], role) if value.get("type") in ("user", "assistant") else role
    author = name_of(value.get("author"))
    if author and isinstance(enclosed, dict) and "name" not in enclosed and role_of(author) != "user":
        enclosed = {**enclosed, "name": author}
    inner = messages_of(enclosed, role, conversation, depth + 1)
    shown = _text_of(inner)
    repeated = [key for key, member in value.items() if key in _REPEATING_KEYS and _repeats(member, shown)]
    known = (*FINISH_KEYS, *SAFETY_KEYS, *GROUNDING_KEYS, "message", "content", "author", *repeated)
    content = value.get("content")
    extra: list[Entry] = []
    if content is not enclosed and "message" in value and isinstance(content, str) and not _repeats(content, shown):
        extra = content_entries(content, role, conversation)
    silent = TECHNICAL_KEYS if _is_envelope(value) else PROTOCOL_KEYS
    rest = extra + verdicts(value, role) + leftovers(value, known, role, silent) + finish(value, role)
    return [*inner, *_one(rest)]


_REPEATING_KEYS = frozenset({"text", "toolUseResult", "tool_use_result", "raw", "delta", "output_text"})


_READ_APART = frozenset({*_CATALOGUE_KEYS, *FINISH_KEYS, *FEEDBACK_KEYS, *SAFETY_KEYS, *GROUNDING_KEYS})


def _unwrapped(value: dict[str, object], role: str, conversation: Conversation, depth: int) -> list[Message]:
    """A request or response object: system prompt, conversation, output; its other fields as one entry."""
    messages: list[Message] = []
    used = set(_READ_APART)
    for key in _CATALOGUE_KEYS:
        if not is_hollow(value.get(key)):
            messages.append((Entry("tools", catalogue(value[key])),))
    for keys, part_role in ((_SYSTEM_KEYS, "system"), (_CONVERSATION_KEYS, role), (_PROMPT_KEYS, "user")):
        for key in keys:
            if key in value and key not in used:
                used.add(key)
                speaker = "assistant" if key == "output_messages" else part_role
                messages += messages_of(value[key], speaker, conversation, depth + 1)
    for key in ("input", "output"):
        if is_conversation(value.get(key)):
            used.add(key)
            messages += messages_of(value[key], role, conversation, depth + 1)
    settings = _RESPONSE_SETTINGS if value.get("object") == "response" else ()
    shown = {entry.text for message in messages for entry in message}
    for key, member in value.items():
        if key in used or key in settings or not isinstance(key, str):
            continue
        if isinstance(member, dict | list) and is_conversation(member, depth + 1):
            used.add(key)
            _add_unshown(messages_of(member, role, conversation, depth + 1), messages, shown)
    for key in _ANSWER_KEYS:  # what the last step or message has said, most often
        answer = value.get(key)
        if key not in used and key not in settings and isinstance(answer, str):
            used.add(key)
            _add_unshown(_said(answer, role), messages, shown)
    silent = TECHNICAL_KEYS if _is_envelope(value) else PROTOCOL_KEYS
    used |= {"status"} if settings and value.get("status") == "completed" else set()
    rest = feedback(value) + verdicts(value, role) + leftovers(value, used, role, silent) + finish(value, role)
    return [*messages, *_one(rest)]


def _is_envelope(value: dict[str, object]) -> bool:
    """Whether an object is a provider's response, choice or event, rather than somebody's state around messages."""
    return (
        not _ENVELOPE_KEYS.isdisjoint(value)
        or value.get("object") in _ENVELOPE_OBJECTS
        or value.keys() <= _REQUEST_KEYS
        or value.keys() <= _CHOICE_KEYS
        or {"timestamp", "modelId"} <= value.keys()  # Vercel
        or value.get("type") in _MESSAGE_TYPES
        or (value.get("type") in ("user", "assistant") and "message" in value)  # Claude Code
    )


def _add_unshown(found: list[Message], messages: list[Message], shown: set[str]) -> None:
    """Add messages, but for entries that another field of the same object has said."""
    unshown = [tuple(entry for entry in message if entry.text not in shown) for message in found]
    shown.update(entry.text for message in unshown for entry in message)
    messages += [message for message in unshown if message]


def _attributes(value: dict[str, object], role: str, conversation: Conversation, depth: int) -> list[Message]:
    """The conversation in a span's attributes: OpenInference, OpenLLMetry, OpenTelemetry, Vercel."""
    tree = unflattened(value)
    messages: list[Message] = []
    shown: set[str] = set()
    for speaker, path in _ATTRIBUTE_PATHS:
        found = _taken(tree, path)
        if is_empty(found):
            continue
        if speaker == "tools":
            messages.append((Entry("tools", catalogue(found)),))
        else:
            is_message = path == ("message",)
            part = messages_of({"message": found} if is_message else found, speaker or role, conversation, depth + 1)
            _add_unshown(part, messages, shown)
    rest = {key: _telling(member) for key, member in tree.items()}
    if not messages and rest.keys() - value.keys():
        return messages_of(rest, role, conversation, depth + 1) if not is_flattened(rest) else []
    return [*messages, *_one(leftovers(rest, (), role, PROTOCOL_KEYS))]


def _taken(tree: dict[str, object], path: tuple[str, ...]) -> object:
    """Take a part out of a tree; None where it is not, or where the rest of the path leads further down."""
    node = tree
    for step in path[:-1]:
        below = node.get(step)
        if not isinstance(below, dict):
            return None
        node = below
    found = node.get(path[-1])
    if path == ("ai", "prompt") and isinstance(found, dict):
        return None
    return node.pop(path[-1], None)


def _telling(member: object) -> object:
    if not isinstance(member, dict):
        return member
    return {key: value for key, value in member.items() if key not in _ATTRIBUTE_NOISE}


def _message(value: dict[str, object], default_role: str, conversation: Conversation) -> list[Entry]:
    value = present(value)
    role = _label(value, default_role, conversation)
    if value.keys() <= _COMMON_KEYS:
        entries = _body(value, role, conversation)
        entries += _calls(value, role, entries, conversation) if "tool_calls" in value else []
        return entries or ([Entry(role, "[empty result]")] if role.startswith("tool") else [])
    entries = _thoughts(value, role)
    entries += _body(value, role, conversation)
    entries += _calls(value, role, entries, conversation)
    extra = value.get("additional_kwargs")
    if isinstance(extra, dict) and extra:
        entries += _additional(extra, role, entries, conversation)
    if not is_empty(value.get("refusal")):
        refusal = value["refusal"]
        text = refusal if isinstance(refusal, str) else compact_json(refusal)
        entries += [Entry(f"{role} refuses".strip(), text)] if all(text != entry.text for entry in entries) else []
    if "audio" in value:
        entries += _audio(value["audio"], role)
    entries += [entry for entry in source_entries(value, role) if entry not in entries]
    entries += verdicts(value, role)
    if not value.keys() <= _MESSAGE_KEYS:
        known = {*_MESSAGE_KEYS, *_read_in_label(value, role)}
        known.update(
            key for key in ("artifact", "toolUseResult", "raw") if _repeats(value.get(key), _text_of([entries]))
        )
        entries += leftovers(value, known, role)
    entries += finish(value, role)
    if entries:
        return entries
    if role.startswith("tool"):
        return [Entry(role, "[empty result]")]
    # Data that has a role among its fields, such as a member of a team.
    return [] if value.keys() & _SAYING_KEYS or is_empty(value.get("name")) else [Entry(role, compact_json(value))]


def _thoughts(value: dict[str, object], role: str) -> list[Entry]:
    entries: list[Entry] = []
    for key in _THINKING_KEYS if not _ANY_THINKING_KEY.isdisjoint(value) else ():
        if key in value and not isinstance(value[key], bool):
            text = thinking_text(value[key])
            if text and all(text != entry.text for entry in entries):
                entries.append(Entry(f"{role} thinking".strip(), text, thinking=True))
    return entries


def _body(value: dict[str, object], role: str, conversation: Conversation) -> list[Entry]:
    """A message's content, wherever it stands; what several fields say is said once."""
    content = value.get("content")
    if type(content) is str and "parts" not in value and "blocks" not in value and "text" not in value:
        if content[:1] == "[" and ('"type"' in content[:200] or "'type'" in content[:200]):
            held = _held(content)
            if held is not None:
                return content_entries(held, role, conversation)
        return [Entry(role, content)] if content else []
    entries: list[Entry] = []
    for key in _BODY_KEYS:
        if key not in value or is_empty(value[key]):
            continue
        member = value[key]
        if key in _LIST_BODY_KEYS and not isinstance(member, list):
            entries += leftovers({key: member}, (), role)
            continue
        found = content_entries(member, role, conversation)
        if entries:  # what several fields say is said once, however they break its lines
            found = _new(found, entries)
        entries += found
    return entries


def _new(found: list[Entry], known: list[Entry]) -> list[Entry]:
    """Entries whose text does not stand in the known ones, spaces aside."""
    texts = ["".join(entry.text.split()) for entry in known]
    equal, within = set(texts), "".join(texts) if len(found) <= _MOST_LEAVES else ""
    return [
        entry
        for entry in found
        if (text := "".join(entry.text.split())) not in equal and (not within or text not in within)
    ]


def _calls(value: dict[str, object], role: str, known: list[Entry], conversation: Conversation) -> list[Entry]:
    """A message's tool calls, but for those that its content has shown: LangChain carries Anthropic's twice."""
    entries: list[Entry] = []
    for key in _CALLS_KEYS:
        calls = value.get(key)
        if calls is None or (key == "tool_call_chunks" and (entries or known)):
            continue
        shown = {entry.text for entry in (*known, *entries)}
        for call in calls if isinstance(calls, list) else [calls]:
            made = [] if _is_blank_call(call) else call_entries(call, role, conversation)
            entries += (
                made if made and made[0].text not in shown else [entry for entry in made[1:] if entry.text not in shown]
            )
    for key in _RESULTS_KEYS:
        results = value.get(key)
        if results is None:
            continue
        shown = {entry.text for entry in (*known, *entries)}
        for result in results if isinstance(results, list) else [results]:
            found = (
                result_entries(result, conversation)
                if isinstance(result, dict)
                else content_entries(result, "tool", conversation)
            )
            entries += [entry for entry in found if entry.text not in shown]
    return entries


def _additional(extra: dict[str, object], role: str, known: list[Entry], conversation: Conversation) -> list[Entry]:
    """LangChain's `additional_kwargs`: the provider's own tool calls, which newer versions repeat beside it."""
    entries = [entry for entry in _thoughts(extra, role) if entry.text not in {each.text for each in known}]
    if not any(entry.label.endswith(" calls") for entry in known):
        calls = first_of(extra, *_CALLS_KEYS)
        listed = calls if isinstance(calls, list) else [calls]
        entries += [entry for call in listed if call for entry in call_entries(call, role, conversation)]
    refusal = extra.get("refusal")
    if isinstance(refusal, str) and refusal and all(refusal != entry.text for entry in known):
        entries.append(Entry(f"{role} refuses".strip(), refusal))
    shown = _text_of([known, entries])
    repeated = [key for key, member in extra.items() if isinstance(member, dict | list) and _repeats(member, shown)]
    return entries + leftovers(extra, (*_CALLS_KEYS, *_THINKING_KEYS, "refusal", *repeated), role)


def _audio(audio: object, role: str) -> list[Entry]:
    if not isinstance(audio, dict):
        return [] if is_empty(audio) else [Entry(f"{role} audio".strip(), compact_json(audio))]
    transcript = audio.get("transcript")
    label = f"{role} audio".strip()
    spoken = [Entry(label, transcript)] if isinstance(transcript, str) and transcript else []
    return spoken + leftovers(audio, ("transcript", "data", "expires_at", "format"), label)


def _label(value: dict[str, object], default: str, conversation: Conversation) -> str:
    stated = value.get("role")
    if stated is None or stated == "":
        kind = type_of(value)
        typed = kind if is_langchain_type(value) or kind.endswith("Message") else None
        author = value.get("author")
        stated = author if not is_empty(author) else None
        role = role_of(stated, "") or role_of(typed, default)
    else:
        role = role_of(stated)
    if role != "tool":
        name = name_of(first_of(value, "name", "author_name"))
        if not name or role not in ("user", "assistant", "system", "developer"):
            return role
        return f"{role} {name}" if role_of(name) != role else role
    call_id = first_of(value, "tool_call_id", "toolCallId")
    name = name_of(first_of(value, "name", "tool_name")) or conversation.tool_of(call_id)
    failed = (
        value.get("is_error") is True
        or value.get("isError") is True
        or value.get("status") == "error"
        or value.get("tool_call_error") is True
    )
    return f"{role} {name}".strip() + (" error" if failed else "")


def _read_in_label(value: dict[str, object], role: str) -> set[str]:
    """Keys of a message that its label says, or that say what goes without saying."""
    read = {key for key in _SILENT_FAILURES if value.get(key) is False}
    read |= {key for key in ("status", "state") if value.get(key) in _UNREMARKABLE_STATES}
    named = role.partition(" ")[2]
    read |= {key for key in ("author", "author_name", "tool_name") if name_of(value.get(key)) in (named, role)}
    if role.startswith("tool"):
        read |= _SILENT_FAILURES | ({"status"} if value.get("status") == "error" else set())
        read |= {"tool_name"} if role.removesuffix(" error") == f"tool {name_of(value.get('tool_name'))}" else set()
    return read


def _says(item: object) -> bool:
    """Whether an item of a list is a message or a block in any form."""
    if not isinstance(item, dict):
        return False
    return _is_message(item) or is_block(item) or restated(item) is not None or is_flattened(item)


def _is_message(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    if "role" in value:
        if "content" in value or not _SAYING_KEYS.isdisjoint(value):
            return True
        return value.keys() <= {"role", "name", "id", "type", *FINISH_KEYS}
    if is_langchain_type(value) or type_of(value) in _MESSAGE_TYPES:
        return "content" in value
    if is_call(value) or is_result(value) or type_of(value) in _CATALOGUE_TYPES:
        return True
    if isinstance(value.get("parts"), list) or _enclosed_message(value) is not None:
        return True
    if _SAYING_KEYS.isdisjoint(value):
        return False
    if any(key in value and not is_empty(value[key]) for key in ("tool_calls", "toolCalls", "toolInvocations")):
        return True
    return not _ENDING_KEYS.isdisjoint(value)


def _enclosed_message(value: dict[str, object]) -> object:
    """The message inside a choice or a candidate; None when the value is neither."""
    if "role" in value:
        return None
    for key in ("message", "content"):
        inner = value.get(key)
        if isinstance(inner, dict):
            return inner if "lc" in inner or not _ENCLOSING_KEYS.isdisjoint(inner) else None
    return None


def _is_wrapper(value: dict[str, object], depth: int = 0) -> bool:
    if "role" in value:
        return False
    for key in _CONVERSATION_KEYS:
        if isinstance(value.get(key), list) and value[key]:
            return True
    prompt = value.get("prompt")
    if isinstance(prompt, str | list) and prompt:
        return True
    if isinstance(value.get("contents"), str) and value["contents"]:
        return True
    if any(isinstance(value.get(key), dict) for key in FEEDBACK_KEYS):
        return True
    if is_block(value) or _enclosed_message(value) is not None or is_langchain_type(value):
        return False
    return any(
        is_conversation(member, depth + 1)
        for key, member in value.items()
        if isinstance(member, dict | list) and member
    )


def _is_turn(value: dict[str, object]) -> bool:
    """Whether an object is one answer with its calls, such as a step of Vercel's, and no conversation beside it."""
    if not any(
        isinstance(value.get(key), list) and value[key] for key in ("tool_calls", "toolCalls", "toolInvocations")
    ):
        return False
    return isinstance(value.get("text"), str) and _HOLDING_KEYS.isdisjoint(value)


def _is_bare_block(value: dict[str, object]) -> bool:
    return is_block(value) and not is_call(value) and not is_result(value)


def _is_pair(item: object) -> bool:
    """LangChain's short form of a message, a pair of role and content, which JSON holds as a list."""
    if not isinstance(item, list) or len(item) != 2 or not isinstance(item[0], str):
        return False
    return item[0] in _PAIR_ROLES and isinstance(item[1], str | list)


def _is_blank_call(call: object) -> bool:
    if not isinstance(call, dict):
        return is_empty(call)
    return all(key in ("id", "type", "index") or is_empty(item) for key, item in call.items())


def _text_of(messages: Iterable[Iterable[Entry]]) -> str:
    return "\n".join(entry.text for message in messages for entry in message)


_MOST_LEAVES = 40  # strings of a value looked up in what is shown


def _repeats(value: object, shown: str) -> bool:
    """Whether every text in a value stands in what is shown already."""
    stack, leaves = [value], 0
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, str) and item.strip():
            leaves += 1
            if item.strip() not in shown:
                return False
        if leaves > _MOST_LEAVES or len(stack) > 10 * _MOST_LEAVES:
            return False
    return True


def _may_be_conversation(text: str) -> bool:
    return (
        _TELLING_KEY.search(text) is not None
        or any(name in text for name in _TELLING_NAMES)
        or _POSITION_IN_PATH.search(text) is not None
        or _SERVER_SENT.match(text) is not None
    )


def _held(text: str) -> object:
    """The conversation that a string holds in encoded form; None when the string is just a string."""
    if text[:200].lstrip()[:1] not in ("{", "[", '"', "d", "e", ":", "i", ""):
        return None
    if len(text) > _SHORTEST_SEARCHED and not _may_be_conversation(text):
        return None  # plain data, which is much slower to parse than to search
    value = decoded(text)
    return value if value is not None and is_conversation(value) else None

"""Content blocks of every provider as labelled entries: text, thinking, tool calls, tool results, media."""

import itertools
import json
from collections.abc import Collection

from trace_summarization.text_repr.block_kinds import kind_of
from trace_summarization.text_repr.entries import (
    ORDINARY_KEYS,
    PROTOCOL_KEYS,
    TECHNICAL_KEYS,
    Conversation,
    Entry,
    first_of,
    is_empty,
    is_hollow,
    leftovers,
    name_of,
    present,
    texts_of,
    type_of,
)
from trace_summarization.text_repr.media import MEDIA_KEYS, document_text, is_media, media_of
from trace_summarization.text_repr.notices import is_notice, notice_entries, reference_entries
from trace_summarization.text_repr.plain_text import binary_note, compact_json
from trace_summarization.text_repr.sources import source_line, sources_text
from trace_summarization.text_repr.tool_outputs import (
    execution_text,
    from_protobuf,
    is_failure,
    is_stated_json,
    says_same,
    unwrapped_output,
)
from trace_summarization.text_repr.tools import catalogue

MAX_CONTENT_DEPTH = 20  # blocks in blocks; what lies deeper is printed as JSON
_COMPACTION_TYPES = frozenset({"compaction", "context_compaction", "compaction_summary"})
_SPOKEN = frozenset({"page_content", "guardContent", "citationsContent", "searchResult"})
_CALL_SHELLS = (
    "functionCall",
    "function_call",
    "toolUse",
    "tool_call",
    "executableCode",
    "executable_code",
    "toolCall",
)
_CALL_BODIES = ("function", "custom", "tool_call", "toolInvocation", "functionCall", "toolUse")
_ANY_CALL_BODY = frozenset(_CALL_BODIES)
_RESULT_SHELLS = (
    "functionResponse",
    "function_response",
    "toolResult",
    "tool_result",
    "tool_call_result",
    "codeExecutionResult",
    "code_execution_result",
)
_SHELLS = frozenset({
    *_CALL_SHELLS, *_RESULT_SHELLS, "reasoningContent", "inlineData", "inline_data", "fileData",
})  # fmt: skip
_CALL_ID_KEYS = ("call_id", "toolUseId", "tool_use_id", "toolCallId", "tool_call_id", "callId", "id")
_CALL_NAME_KEYS = ("name", "toolName", "tool_name", "functionName", "function_name")
_ARGUMENT_KEYS = (
    "arguments", "args", "input", "parameters", "tool_input", "tool_kwargs", "action", "actions", "operation", "code",
    "queries", "rawInput", "server_tool_call", "partial_json",
)  # fmt: skip
_ANY_CALL_PART = frozenset({*_ARGUMENT_KEYS, *_CALL_BODIES})
_OUTPUT_KEYS = (
    "output", "outputs", "result", "results", "response", "server_tool_call_response", "content", "search_results",
    "error", "errorText", "tools",
)  # fmt: skip
_TEXT_KEYS = ("text", "content", "logs", "value", "markdown")
_SOURCES_KEYS = ("annotations", "citations")
# What Gemini and the SDKs put beside a text that states no type. Anything else there is somebody's data.
_SIGNATURE_KEYS = frozenset({
    "thoughtSignature", "thought_signature", "providerMetadata", "providerOptions", "provider_metadata",
    "provider_options", "cache_control", "cachePoint",
})  # fmt: skip
_BLOCK_KEYS = frozenset({"type", "id", "index", "signature", "block_type", "content_type"})  # of the words for data
_BARE_TEXT_KEYS = frozenset({"text", "thought", *_SIGNATURE_KEYS, *_SOURCES_KEYS})
_RESULT_STATE_KEYS = frozenset({
    "is_error", "isError", "status", "state", "namespace", "success", "outcome", "error_type", "tool_call_error",
})  # fmt: skip
_UNREMARKABLE_STATES = frozenset({
    "completed", "success", "ok", "done", "result", "output-available",
})  # fmt: skip
_STATES_IN_LABEL = frozenset({"error", "failed", "output-error"})
_CALL_KEYS = frozenset({
    *_CALL_NAME_KEYS, *_CALL_ID_KEYS, *_RESULT_STATE_KEYS, "index", "server_label", "serverName", "server_name", "type",
})  # fmt: skip
_ONLY_OUTPUT_KEYS = frozenset({"output", "result", "return_value", "content", "error"})
_MCP_KEYS = frozenset({
    "content", "isError", "is_error", "structuredContent", "structured_content", "_meta", "meta", "type", "resultType",
})  # fmt: skip
_THINKING_FIELDS = (
    "thinking", "reasoning", "reasoningText", "reasoning_text", "text", "summary", "content",
)  # fmt: skip


def content_entries(content: object, role: str, conversation: Conversation, depth: int = 0) -> list[Entry]:
    """A message's content, in any provider's form, as entries. Adjacent texts of one label become one entry."""
    if isinstance(content, str):
        return [Entry(role, content)] if content else []
    if is_empty(content):
        return []
    if depth > MAX_CONTENT_DEPTH:
        return [Entry(role, compact_json(content))]
    if isinstance(content, list):
        return _listed_entries(content, role, conversation, depth)
    if isinstance(content, dict):
        return _block_entries(content, role, conversation, depth)
    return [Entry(role, compact_json(content))]


def call_entries(call: object, role: str, conversation: Conversation, depth: int = 0) -> list[Entry]:
    """A tool call in any form as `assistant calls: name(argument=value)`, with its output where it carries one."""
    label = f"{role} calls" if role else "calls"
    if not isinstance(call, dict):
        return [] if is_empty(call) else [Entry(label, call if isinstance(call, str) else compact_json(call))]
    body = _call_body(call)
    if body is None:
        return [Entry("tools", catalogue([call]))]  # not a call but a declaration, logged as a message
    kind = type_of(body)
    name = _call_name(body, kind)
    argument_key = next((key for key in _ARGUMENT_KEYS if not is_empty(body.get(key))), "")
    output_key = ""
    for key in _OUTPUT_KEYS:
        if key in body and key != argument_key and not is_empty(body[key]) and body[key] is not False:
            output_key = key
            break
    for key in _CALL_ID_KEYS:
        if key in call or key in body:
            conversation.remember(first_of(call, key) or body.get(key), name)
    entries = [Entry(label, _signature(name, body.get(argument_key) if argument_key else None, conversation))]
    failed = output_key in ("error", "errorText") or is_failure(body)
    result_label = f"tool {name} error" if failed else f"tool {name}"
    if output_key:
        entries += _output_entries(body, output_key, result_label, conversation, depth, kind)
    elif failed:
        entries.append(Entry(result_label, f"status {name_of(first_of(body, 'status', 'state'))}"))
    if body.keys() - _CALL_KEYS <= {argument_key, output_key}:
        return entries
    known = {*_CALL_KEYS, argument_key, output_key, *_emptied(body, _ARGUMENT_KEYS), *_emptied(body, _OUTPUT_KEYS)}
    return entries + leftovers(body, known, label)


def signature(name: str, arguments: object) -> str:
    """`name(key=value)`, values as JSON; arguments that are not an object stay as they are."""
    if isinstance(arguments, str):
        arguments = _parsed_object(arguments)
    if is_empty(arguments):
        return f"{name}()"
    if isinstance(arguments, dict):
        if arguments.keys() == {"fields"} and isinstance(arguments["fields"], dict):
            arguments = {key: from_protobuf(value) for key, value in arguments["fields"].items()}
        pairs = ", ".join([f"{key}={compact_json(value)}" for key, value in arguments.items()])
        return f"{name}({pairs})"
    return f"{name}({arguments if isinstance(arguments, str) else compact_json(arguments)})"


def result_entries(result: dict[str, object], conversation: Conversation, depth: int = 0) -> list[Entry]:
    """A tool's result in any form as `tool name: content`; a failed one as `tool name error: content`."""
    result = _result_body(present(result))
    name = name_of(first_of(result, *_CALL_NAME_KEYS))
    name = name or next((tool for key in _CALL_ID_KEYS if (tool := conversation.tool_of(result.get(key)))), "")
    if not name and type_of(result).endswith("_tool_result"):  # of a provider's own tool: web_search_tool_result
        name = name_of(type_of(result).removesuffix("_tool_result"))
    label = f"tool {name}".strip()
    output_key = next((key for key in _OUTPUT_KEYS if result.get(key) is not None and result[key] is not False), "")
    if is_failure(result) or result.get("error") is True:
        label += " error"
    entries = _output_entries(result, output_key, label, conversation, depth) if output_key else []
    if not entries and not is_empty(result.get("tool_references")):
        output_key, entries = "tool_references", reference_entries(result["tool_references"], label)
    parts = result.get("parts")  # Gemini: media beside a function's response
    entries += content_entries(parts, label, conversation, depth + 1) if isinstance(parts, list) else []
    known = {*_CALL_NAME_KEYS, *_CALL_ID_KEYS, output_key, "parts", "server_label", "origin"}
    known |= {key for key in result.keys() & _RESULT_STATE_KEYS if _goes_without_saying(key, result[key], label)}
    known |= {"error"} if isinstance(result.get("error"), bool) else set()
    entries += leftovers(result, known, label)
    return entries or [Entry(label, "[empty result]" if output_key else "[result not recorded]")]


def _goes_without_saying(key: str, state: object, label: str) -> bool:
    """Whether a result's state says no more than its label and that it is there."""
    if isinstance(state, bool):
        return label.endswith(" error") or state is (key == "success")
    said = _STATES_IN_LABEL if label.endswith(" error") else _UNREMARKABLE_STATES
    return key != "namespace" and isinstance(state, str) and state.lower() in said


def is_result(block: dict[str, object]) -> bool:
    """Whether a typed block or item is a tool's result."""
    return kind_of(type_of(block)) == "result"


def is_call(block: dict[str, object]) -> bool:
    """Whether a typed block or item is a tool call."""
    kind = type_of(block)
    return kind_of(kind) == "call" or (
        kind.startswith("tool-") and not kind_of(kind) and ("toolCallId" in block or "state" in block)
    )


def is_block(value: object) -> bool:
    """Whether a value has the form of a content block rather than of a message or of plain data."""
    if not isinstance(value, dict) or "role" in value:
        return False
    kind = type_of(value)
    if (
        kind_of(kind)
        or is_call(value)
        or is_notice(kind)
        or kind in _COMPACTION_TYPES
        or kind == "mcp_approval_request"
    ):
        return True
    if isinstance(value.get("page_content"), str) or value.keys() == {"cachePoint"}:
        return True
    return (
        (not _SHELLS.isdisjoint(value) and any(isinstance(value.get(key), dict) for key in _SHELLS))
        or (
            isinstance(value.get("text"), str)
            and present(value).keys() <= {"text", "type", "thought", "thoughtSignature"}
        )
        or {"toolCallId", "toolName"} <= value.keys()
        or _is_mcp_result(value)
        or is_media(value)
    )


def thinking_text(value: object) -> str:
    """The readable part of a reasoning value in any provider's form."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        texts = (texts_of(value[key]) for key in _THINKING_FIELDS if key in value)
        return "\n".join(dict.fromkeys(text for text in texts if text))
    if isinstance(value, list):
        # OpenRouter's `reasoning_details`: summaries and texts.
        texts = (thinking_text(item) for item in value if isinstance(item, str | dict))
        return "\n".join(text for text in texts if text)
    return ""


def source_entries(value: dict[str, object], role: str) -> list[Entry]:
    """The annotations and citations of a block or message."""
    texts = (sources_text(value[key]) for key in _SOURCES_KEYS if key in value and not _is_switch(value[key]))
    return [Entry(f"{role} sources".strip(), text) for text in dict.fromkeys(texts) if text]


def _listed_entries(blocks: list[object], role: str, conversation: Conversation, depth: int) -> list[Entry]:
    first = blocks[0]
    if len(blocks) == 1 and isinstance(first, dict) and first.keys() == {"type", "text"} and first["type"] == "text":
        text = first["text"]
        if isinstance(text, str):
            return [Entry(role, text)] if text else []
    entries: list[Entry] = []
    for block in blocks:
        entries += content_entries(block, role, conversation, depth + 1)
    if len(entries) < 2:
        return entries
    return _joined(entries, role)


def _block_entries(block: dict[str, object], role: str, conversation: Conversation, depth: int) -> list[Entry]:
    block = present(block)
    shell = block.get("message_content")
    if isinstance(shell, dict) and len(block) == 1:  # OpenInference
        return content_entries(shell, role, conversation, depth + 1)
    stated = type_of(block)
    kind = kind_of(stated)
    if kind == "thinking" or (not stated and _is_thinking(block)):
        return _thinking_entries(block, role)
    if kind == "result":
        return result_entries(block, conversation, depth)
    if kind == "call" and depth and _is_tool(role) and _ANY_CALL_PART.isdisjoint(block):
        return [Entry(role, compact_json(block))]  # a tool's row of a type that is called alike, such as `custom`
    if kind == "call" or is_call(block) or (not kind and {"toolCallId", "toolName"} <= block.keys()):
        return call_entries(block, role or "assistant", conversation, depth)
    if kind == "nothing":
        return []
    if stated in _COMPACTION_TYPES:
        return _compaction(block, role, conversation, depth)
    if stated == "mcp_approval_request":
        return _approval_request(block, conversation, depth)
    notice = notice_entries(block, stated, role)
    if notice is not None:
        return notice
    for key in _CALL_SHELLS if not _SHELLS.isdisjoint(block) else ():
        if isinstance(block.get(key), dict):
            return _call_in_shell(block, key, role, conversation, depth)
    for key in _RESULT_SHELLS if not _SHELLS.isdisjoint(block) else ():
        if isinstance(block.get(key), dict):
            rest = leftovers(block, (key,), f"tool {name_of(_inner(block, key).get('name'))}".strip())
            return (
                result_entries(
                    {**({"name": "code"} if key.startswith("code") else {}), **_inner(block, key)}, conversation, depth
                )
                + rest
            )
    return _text_or_media(block, stated, kind, role, conversation, depth)


def _call_in_shell(
    block: dict[str, object], key: str, role: str, conversation: Conversation, depth: int
) -> list[Entry]:
    inner = _inner(block, key)
    if key.startswith("executable"):
        inner = {"name": "code", **inner}
    label = f"{role or 'assistant'} calls"
    return call_entries(inner, role or "assistant", conversation, depth) + leftovers(block, (key,), label)


def _text_or_media(
    block: dict[str, object], stated: str, kind: str, role: str, conversation: Conversation, depth: int
) -> list[Entry]:
    if _is_mcp_result(block):
        return _mcp_entries(block, role, conversation, depth)
    if kind == "text" or not stated:
        key = next((key for key in (_TEXT_KEYS if kind else ("text",)) if key in block), "")
        text: object = block.get(key)
        sources = source_entries(block, role)
        if isinstance(text, dict):  # OpenAI's assistants
            sources += source_entries(text, role)
            text = first_of(text, "value", "text")
        if isinstance(text, str):
            if not stated and _is_tool(role) and not block.keys() <= _BARE_TEXT_KEYS:
                return [Entry(role, compact_json(block))]  # a row of data with a text among its fields
            silent = _silent_keys(block, role) if stated else _SIGNATURE_KEYS
            rest = leftovers(block, (key, *_SOURCES_KEYS), role, silent)
            return ([Entry(role, text)] if text else []) + sources + rest
    if kind == "source" and _silent_keys(block, role) is not TECHNICAL_KEYS:
        return [Entry(role, compact_json(block))]
    if kind == "source":
        return _source_block(block, role, conversation, depth)
    if not _SPOKEN.isdisjoint(block):
        return _untyped_entries(block, stated, role, conversation, depth)
    note = media_of(block)
    if note is not None:
        inner = document_text(block)
        sources = source_entries(block, role)
        silent = _silent_keys(block, role)
        known = MEDIA_KEYS if silent is TECHNICAL_KEYS else MEDIA_KEYS - {"id"}
        return [Entry(role, f"{note}\n{inner}" if inner else note), *sources, *leftovers(block, known, role, silent)]
    return _untyped_entries(block, stated, role, conversation, depth)


def _untyped_entries(
    block: dict[str, object], stated: str, role: str, conversation: Conversation, depth: int
) -> list[Entry]:
    if block.keys() <= {"cachePoint"}:
        return []
    if block.keys() == {"json"}:  # a Bedrock tool's result
        return _data_entries(block["json"], role, conversation, depth)
    guarded = block.get("guardContent")
    if isinstance(guarded, dict):
        return content_entries(guarded.get("text") or guarded, role, conversation, depth + 1)
    cited = block.get("citationsContent")
    if isinstance(cited, dict):
        return content_entries(cited.get("content"), role, conversation, depth + 1) + source_entries(cited, role)
    if isinstance(block.get("searchResult"), dict):
        return _source_block(_inner(block, "searchResult"), role, conversation, depth)
    if isinstance(block.get("page_content"), str):
        label = f"{role} document".strip()
        return [Entry(label, str(block["page_content"])), *leftovers(block, ("page_content",), label, {"type"})]
    executed = execution_text(block)
    if executed is not None:
        text, rest = executed
        entries = [Entry(role, text)] if text else []
        return entries + content_entries(block.get("content"), role, conversation, depth + 1) + rest
    if isinstance(block.get("reasoning"), dict) and len(block) == 1:  # Haystack
        return _thinking_entries(_inner(block, "reasoning"), role)
    if stated and not is_empty(block.get("content")):
        label = f"{role} {name_of(stated)}".strip()
        inner = content_entries(block["content"], label, conversation, depth + 1)
        rest = leftovers(block, ("content", "type", *_SOURCES_KEYS), label, _SIGNATURE_KEYS)
        return inner + source_entries(block, label) + rest
    return [Entry(role, compact_json(block))]


def _data_entries(data: object, role: str, conversation: Conversation, depth: int) -> list[Entry]:
    """What is stated to be JSON, whole; of MCP's results, which gateways hand on as JSON, what they say."""
    if isinstance(data, dict) and _is_mcp_result(data):
        return _mcp_entries(data, role, conversation, depth)
    return [Entry(role, data if isinstance(data, str) else compact_json(data))]


def _silent_keys(block: dict[str, object], role: str) -> Collection[str]:
    """Which fields of a typed block are technical: few, where a tool's row has a type that blocks have as well."""
    if not _is_tool(role) or ORDINARY_KEYS.isdisjoint(block.keys() - _BLOCK_KEYS):
        return TECHNICAL_KEYS
    return PROTOCOL_KEYS | {"type"}


def _is_tool(role: str) -> bool:
    return role.startswith("tool") and role[4:5] in ("", " ")


def _source_block(block: dict[str, object], role: str, conversation: Conversation, depth: int) -> list[Entry]:
    """A page or search result: its address, then what it says."""
    content = block.get("content")
    head = {key: value for key, value in block.items() if key not in ("content", "type", "citations")}
    line = source_line(head if isinstance(content, list) else {**head, "content": content})
    entries = [Entry(role, line)] if line else []
    return _joined(
        entries + (content_entries(content, role, conversation, depth + 1) if isinstance(content, list) else []), role
    )


def _compaction(block: dict[str, object], role: str, conversation: Conversation, depth: int) -> list[Entry]:
    said = first_of(block, "summary", "content", "text")
    entries = content_entries(said, role, conversation, depth + 1)
    head = [Entry(role, "[conversation compacted]")]
    return _joined(head + entries, role) + leftovers(block, ("summary", "content", "text"), role)


def _approval_request(block: dict[str, object], conversation: Conversation, depth: int) -> list[Entry]:
    calls = call_entries({**block, "type": "mcp_call"}, "assistant", conversation, depth)
    return [Entry("assistant asks approval", calls[0].text), *calls[1:]]


def _call_body(call: dict[str, object]) -> dict[str, object] | None:
    """A call out of the shells it came in; None for a declaration of a tool."""
    body = call
    for _ in range(3):
        if _ANY_CALL_BODY.isdisjoint(body):
            break
        key = next((key for key in _CALL_BODIES if isinstance(body.get(key), dict)), None)
        if key is None:
            break
        inner = _inner(body, key)
        if key == "function" and "parameters" in inner and "arguments" not in inner:
            return None
        body = {**{name: value for name, value in body.items() if name != key}, **present(inner)}
    return present(body)


def _call_name(body: dict[str, object], kind: str) -> str:
    name = name_of(first_of(body, *_CALL_NAME_KEYS))
    if not name and isinstance(body.get("function"), str):
        name = name_of(body["function"])
    if not name and kind not in ("function", "custom"):
        name = name_of(kind.removeprefix("tool-") if is_call(body) and not kind_of(kind) else kind)
    server = name_of(first_of(body, "server_label", "server_name", "serverName"))
    return f"{server}.{name or 'tool'}" if server else name or "tool"


def _signature(name: str, arguments: object, conversation: Conversation) -> str:
    if not isinstance(arguments, str):
        return signature(name, arguments)
    key = (name, arguments)
    made = conversation.signature_by_call.get(key)
    if made is None:
        made = conversation.signature_by_call[key] = signature(name, arguments)
    return made


def _emptied(body: dict[str, object], keys: tuple[str, ...]) -> list[str]:
    return [key for key in keys if key in body and (is_empty(body[key]) or body[key] is False)]


def _result_body(result: dict[str, object]) -> dict[str, object]:
    """A result with its call's name where it names the call: Haystack's `origin`, Cohere's `call`."""
    for key in ("origin", "call"):
        made = result.get(key)
        if isinstance(made, dict) and not result.keys() & set(_CALL_NAME_KEYS):
            name = first_of(made, *_CALL_NAME_KEYS)
            return {**{k: v for k, v in result.items() if k != key or key == "origin"}, "name": name}
    return result


def _output_entries(
    body: dict[str, object], key: str, label: str, conversation: Conversation, depth: int, kind: str = ""
) -> list[Entry]:
    output = body[key]
    if key == "tools":
        return [Entry(label, catalogue(output))]
    if key == "search_results" or kind == "file_search_call":
        listed = output.get("results") if isinstance(output, dict) and output.keys() <= {"results"} else output
        return (
            [Entry(label, sources_text(listed))] if isinstance(listed, list) else [Entry(label, compact_json(output))]
        )
    if kind == "image_generation_call" and isinstance(output, str) and len(output) > 100:
        return [Entry(label, binary_note("", output))]
    if isinstance(output, dict):
        if is_stated_json(output):
            return _data_entries(output["value"], label, conversation, depth)
        output = unwrapped_output(output)
        if isinstance(output, dict) and len(output) == 1 and key == "response":
            only, inner = next(iter(output.items()))
            if only in _ONLY_OUTPUT_KEYS and isinstance(inner, str):
                label = f"{label} error" if only == "error" and not label.endswith(" error") else label
                output = inner
    return content_entries(output, label, conversation, depth + 1)


def _is_thinking(block: dict[str, object]) -> bool:
    return (block.get("thought") is True and "text" in block) or isinstance(block.get("reasoningContent"), dict)


def _thinking_entries(block: dict[str, object], role: str) -> list[Entry]:
    inner = block.get("reasoningContent")
    body = inner if isinstance(inner, dict) else block
    text = thinking_text(body)
    thinker = role if role.startswith("assistant") else "assistant"
    known = {*_THINKING_FIELDS, "reasoningContent", "data", "redactedContent", "redacted", "status", "state", "format"}
    known |= {"thought", "extra", "details"}
    return [Entry(f"{thinker} thinking", text or "[not recorded]", thinking=True), *leftovers(block, known, role)]


def _is_mcp_result(block: dict[str, object]) -> bool:
    """The result of a tool of the Model Context Protocol: content, and the same as data beside it."""
    if not isinstance(block.get("content"), list):
        return False
    marks = block.keys() & {"isError", "structuredContent", "structured_content"}
    return bool(marks) and block.keys() <= _MCP_KEYS


def _mcp_entries(block: dict[str, object], role: str, conversation: Conversation, depth: int) -> list[Entry]:
    failed = block.get("isError") is True or block.get("is_error") is True
    label = f"{role} error".strip() if failed else role
    entries = content_entries(block["content"], label, conversation, depth + 1)
    data = first_of(block, "structuredContent", "structured_content")
    if not is_hollow(data) and not any(says_same(entry.text, data) for entry in entries):
        entries.append(Entry(label, compact_json(data)))
    return entries + leftovers(block, _MCP_KEYS, label)


def _is_switch(sources: object) -> bool:
    """`"citations": {"enabled": true}`: a request for citations, not one."""
    return isinstance(sources, dict) and sources.keys() <= {"enabled"}


def _inner(block: dict[str, object], key: str) -> dict[str, object]:
    inner = block[key]
    return inner if isinstance(inner, dict) else {}


def _parsed_object(arguments: str) -> object:
    try:
        parsed = json.loads(arguments)
        if isinstance(parsed, str) and parsed.startswith("{"):  # encoded twice
            parsed = json.loads(parsed)
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

"""What frameworks and older APIs log in forms of their own, restated as messages and blocks of the common forms."""

from collections.abc import Callable

from trace_summarization.text_repr.entries import first_of, is_empty, type_of

Object = dict[str, object]

_LANGCHAIN_TYPES = frozenset({
    "human", "ai", "system", "tool", "function", "chat", "AIMessageChunk", "HumanMessageChunk", "SystemMessageChunk",
    "ToolMessageChunk", "FunctionMessageChunk", "ChatMessageChunk",
})  # fmt: skip
_AUTOGEN_ROLES = {
    "UserMessage": "user",
    "SystemMessage": "system",
    "AssistantMessage": "assistant",
    "FunctionExecutionResultMessage": "tool",
}
# Answers of completion APIs that are no chat: the key that holds the text, keys that occur beside it.
_COMPLETION_KEYS = {
    "completion": ("stop_reason", "stop", "log_id", "type"),  # Anthropic's first API
    "generation": ("stop_reason", "prompt_token_count", "generation_token_count"),  # Llama on Bedrock
    "outputText": ("completionReason", "tokenCount", "index"),  # Titan on Bedrock
    "generated_text": ("details", "finish_reason"),  # Hugging Face
    "response": ("done", "done_reason", "context"),  # Ollama
}
_COMPLETION_NOISE = frozenset({"context", "done", "tokenCount", "index"})

# How a LlamaIndex node is stored and embedded.
# Without one of these, no rule applies but for those that go by a value.
_RULE_KEYS = frozenset({
    *_COMPLETION_KEYS, "EventName", "Role", "__type", "_role", "arg", "class_name", "completions", "data", "event",
    "event.name", "event_name", "goto", "inputText", "kind", "lc", "message_content", "node", "outputs", "raw",
    "results", "return_values", "source", "subtype", "tool_call_result", "tool_input",
})  # fmt: skip
_NODE_NOISE = frozenset({
    "text", "text_resource", "embedding", "excluded_embed_metadata_keys", "excluded_llm_metadata_keys", "relationships",
    "start_char_idx", "end_char_idx", "mimetype", "text_template", "metadata_template", "metadata_separator",
    "metadata_seperator", "hash", "class_name", "id_",
})  # fmt: skip
# How OpenTelemetry ships a log record.
_RECORD_NOISE = frozenset({
    "event.name", "event_name", "name", "EventName", "body", "Body", "attributes", "timestamp", "observed_timestamp",
    "trace_id", "span_id", "trace_flags", "severity_number", "severity_text", "resource", "gen_ai.system", "time",
})  # fmt: skip


def is_langchain_type(value: Object) -> bool:
    """Whether the object states the type of a LangChain message."""
    kind = value.get("type")
    return isinstance(kind, str) and kind in _LANGCHAIN_TYPES


def restated(value: Object) -> object:
    """The same said as common messages, blocks or a wrapper of them; None when the form is a common one already."""
    if ("content" in value and isinstance(value.get("role"), str)) or not _may_be_restated(value):
        return None
    for rule in _RULES:
        other = rule(value)
        if other is not None:
            return other
    return None


def _may_be_restated(value: Object) -> bool:
    """Whether it is worth trying the rules one by one: of each, a key or value that it cannot do without."""
    return (
        not _RULE_KEYS.isdisjoint(value)
        or isinstance(value.get("role"), dict)
        or type_of(value) in _AUTOGEN_ROLES
        or str(value.get("name")).startswith("gen_ai.")
    )


def _langchain_serialized(value: Object) -> object:
    path = value.get("id")
    if "lc" not in value or not isinstance(path, list) or not path:
        return None
    body, name = value.get("kwargs"), str(path[-1])
    if not isinstance(body, dict):
        return value.get("repr")
    is_message = name.endswith(("Message", "MessageChunk"))
    body = {**_but(value, "lc", "type", "id", "kwargs", "name", "graph"), **body}
    return {"role": body.get("type") or name, **body} if is_message else body or None


def _langchain_stored(value: Object) -> object:
    data = value.get("data")
    if is_langchain_type(value) and isinstance(data, dict) and "content" in data:
        return {"role": value["type"], **_but(value, "type", "data"), **data}
    return None


def _langchain_step(value: Object) -> object:
    """An agent's action, its end, a command of LangGraph, or a tool call that carries the state it was made in."""
    if isinstance(value.get("tool"), str) and "tool_input" in value:
        call = {
            "type": "tool_call",
            "name": value["tool"],
            "args": value["tool_input"],
            "id": value.get("tool_call_id"),
        }
        log = value.get("log")
        return {**_but(value, "tool", "tool_input", "log", "type", "message_log"), "role": "assistant",
                "reasoning": log, "tool_calls": [call]}  # fmt: skip
    returned = value.get("return_values")
    if isinstance(returned, dict):
        output = returned.get("output")
        text = output if isinstance(output, str) else None
        log = value.get("log")
        repeats = isinstance(log, str) and text is not None and log.strip().endswith(text.strip())
        return {**_but(returned, "output" if text is not None else ""), "role": "assistant", "content": text or "",
                "reasoning": None if repeats and log == text else log}  # fmt: skip
    if value.get("__type") == "tool_call_with_context":
        state = value.get("state")
        call = {"role": "assistant", "tool_calls": [value.get("tool_call")]}
        return [*([state] if not is_empty(state) else []), call, *_rest(value, "state", "tool_call", "__type")]
    if "goto" in value and value.keys() & {"update", "graph", "resume"}:
        return {"messages": [value["update"]] if not is_empty(value.get("update")) else [], **_but(value, "update")}
    if isinstance(value.get("node"), str) and "arg" in value:
        return {"messages": [value["arg"]], **_but(value, "arg")}
    return None


def _pydantic_ai(value: Object) -> object:
    parts = value.get("parts")
    if value.get("kind") not in ("request", "response") or not isinstance(parts, list):
        return None
    noise = ("parts", "kind", "timestamp", "finish_reason", "instructions", "usage")
    if value["kind"] == "response":
        said: list[object] = [_pydantic_part(part) for part in parts]
        reason = value.get("finish_reason")
        return {**_but(value, *noise), "role": "assistant", "content": said, "finish_reason": reason}
    messages: list[object] = []
    if not is_empty(value.get("instructions")):
        messages.append({"role": "system", "content": value["instructions"]})
    for part in parts:
        kind = part.get("part_kind") if isinstance(part, dict) else None
        role = {"system-prompt": "system", "user-prompt": "user"}.get(kind) if isinstance(kind, str) else None
        if role and isinstance(part, dict):
            messages.append({**_but(part, "part_kind", "timestamp", "dynamic_ref"), "role": role})
        elif kind == "retry-prompt" and isinstance(part, dict) and not part.get("tool_name"):
            messages.append({**_but(part, "part_kind", "timestamp", "tool_name"), "role": "user"})
        else:
            messages.append(_pydantic_part(part))
    return [*messages, *_rest(value, *noise)]


def _pydantic_part(part: object) -> object:
    kind = part.get("part_kind") if isinstance(part, dict) else None
    if not isinstance(part, dict) or not isinstance(kind, str):
        return part
    if kind == "retry-prompt":
        return {**_but(part, "part_kind", "timestamp"), "type": "tool_result", "is_error": True}
    return {**_but(part, "part_kind", "timestamp"), "type": kind}


def _haystack(value: Object) -> object:
    content = value.get("_content", value.get("content"))
    if "_role" in value:
        meta = value.get("_meta")
        reason = meta.get("finish_reason") if isinstance(meta, dict) else None
        return {"role": value["_role"], "content": content, "name": value.get("_name"), "finish_reason": reason,
                "meta": meta, **_but(value, "_role", "_content", "_name", "_meta")}  # fmt: skip
    return None


def _semantic_kernel(value: Object) -> object:
    """Roles that are objects, and .NET's capital keys."""
    if "Role" in value and value.keys() & {"Items", "Contents", "Content", "Text"}:
        return _uncapitalized(value, 0)
    role = value.get("role")
    named = first_of(role, "label", "Label", "value", "Value") if isinstance(role, dict) else None
    return {**value, "role": named} if isinstance(named, str) else None


def _uncapitalized(value: object, depth: int) -> object:
    if isinstance(value, list) and depth < 4:
        return [_uncapitalized(item, depth + 1) for item in value]
    if not isinstance(value, dict) or depth >= 4:
        return value
    return {
        key[:1].lower() + key[1:] if isinstance(key, str) else key: member
        if key in ("Arguments", "Result", "Metadata")
        else _uncapitalized(member, depth + 1)
        for key, member in value.items()
    }


def _autogen(value: Object) -> object:
    kind, source = type_of(value), value.get("source")
    if not isinstance(source, str) or ("content" not in value and "thought" not in value):
        if kind in _AUTOGEN_ROLES and "content" in value and "id" not in value:  # system and result messages
            source = _AUTOGEN_ROLES[kind]
        else:
            return None
    if not kind.endswith(("Message", "Event")):
        return None
    role = "user" if source.lower() in ("user", "user_proxy") else _AUTOGEN_ROLES.get(kind, "assistant")
    body: Object = {
        **_but(value, "source", "type", "content", "thought"),
        "role": role,
        "content": value.get("content"),
    }
    if source.lower() != role:
        body["name"] = source
    content = value.get("content")
    if kind in ("ThoughtEvent", "SelectSpeakerEvent"):
        body |= {"content": None, "reasoning": content}
    elif value.get("thought"):
        body["reasoning"] = value["thought"]
    if isinstance(content, list) and content and all(isinstance(item, dict) for item in content):
        if all("call_id" in item and "content" in item for item in content):
            return [*({"type": "tool_result", **item} for item in content), *_rest(value, "content", "source", "type")]
        if all("arguments" in item and "name" in item for item in content):
            body |= {"content": None, "tool_calls": content}
    if kind == "ToolCallSummaryMessage":
        body = _but(body, "tool_calls", "results")  # told by the request and execution events before
    return body


def _otel_event(value: Object) -> object:
    """A log record of OpenTelemetry: `gen_ai.user.message` with its body."""
    name = first_of(value, "event.name", "event_name", "name", "EventName")
    if not isinstance(name, str) or not name.startswith("gen_ai."):
        return None
    role = "assistant" if name == "gen_ai.choice" else name.removeprefix("gen_ai.").removesuffix(".message")
    body = first_of(value, "body", "Body", "attributes")
    if not isinstance(body, dict):
        body = {}
    elif isinstance(body.get("content"), str | list) or "message" in body or "tool_calls" in body:
        body = _but(body, "index", "event.name", "gen_ai.system")
    else:
        return None
    said = {**{key: member for key, member in value.items() if key not in _RECORD_NOISE}, **body}
    inner = said.get("message")
    if name == "gen_ai.choice" and isinstance(inner, dict):
        said = {**_but(said, "message", "index"), **inner}
    return {"role": role, **said} if body or "role" not in value else None


def _openinference(value: Object) -> object:
    """One-keyed shells: `{"message_content": {...}}`, `{"tool_call": {...}}`."""
    if len(value) != 1:
        return None
    inner = first_of(value, "message_content", "tool_call_result")
    return inner if isinstance(inner, dict) else None


def _llama_index(value: Object) -> object:
    """A chat response beside the provider's own copy of it; a retrieved node."""
    if "raw" in value and isinstance(value.get("message"), dict) and value.keys() & {"delta", "additional_kwargs"}:
        return {"message": value["message"], **_but(value, "raw", "delta", "logprobs")}
    node = value.get("node")
    if isinstance(node, dict) and "score" in value:
        inner = _llama_index_node(node)
        return None if inner is None else {**inner, **_but(value, "node")}
    return _llama_index_node(value) if value.get("class_name") in ("TextNode", "Document") else None


def _llama_index_node(node: Object) -> Object | None:
    resource = node.get("text_resource")
    text = node.get("text") or (resource.get("text") if isinstance(resource, dict) else None)
    if not isinstance(text, str):
        return None
    return {"page_content": text, **{key: member for key, member in node.items() if key not in _NODE_NOISE}}


def _stream_item(value: Object) -> object:
    """What Claude Code and the agent SDKs print line by line."""
    if value.get("type") == "result" and isinstance(value.get("result"), str) and "subtype" in value:
        failed = value.get("is_error") is True
        plain = ("subtype",) if value["subtype"] == "success" else ()
        return {**_but(value, "type", "result", "is_error", "modelUsage", *plain),
                "role": "error" if failed else "result", "content": value["result"]}  # fmt: skip
    if value.get("type") == "system" and "subtype" in value and "content" not in value:
        return {"role": "system", "content": f"[{value['subtype']}]", **_but(value, "type", "subtype")}
    event = value.get("event")
    if value.get("type") == "stream_event" and isinstance(event, dict):
        return event
    return None


def _completion(value: Object) -> object:
    for key, beside in _COMPLETION_KEYS.items():
        text = value.get(key)
        if isinstance(text, str) and "role" not in value and (len(value) == 1 or value.keys() & set(beside)):
            if key == "response" and "done" not in value:
                continue
            rest = {name: member for name, member in value.items() if name != key and name not in _COMPLETION_NOISE}
            reason = first_of(value, "stop_reason", "completionReason", "done_reason", "finish_reason")
            return {**_but(rest, "completionReason", "done_reason"), "role": "", "content": text, "stop_reason": reason}
    if isinstance(value.get("inputText"), str):  # Titan's request
        return {**_but(value, "inputText"), "prompt": value["inputText"]}
    results = value.get("results")
    if (
        isinstance(results, list)
        and results
        and all(isinstance(item, dict) and "outputText" in item for item in results)
    ):
        return {**_but(value, "results"), "messages": results}
    outputs = value.get("outputs")
    if (
        isinstance(outputs, list)
        and outputs
        and "messages" not in value
        and all(
            isinstance(item, dict) and isinstance(item.get("text"), str) and "stop_reason" in item for item in outputs
        )
    ):  # Mistral on Bedrock
        return {
            **_but(value, "outputs"),
            "messages": [{"role": "", "content": item["text"], **_but(item, "text")} for item in outputs],
        }
    completions = value.get("completions")
    if (
        isinstance(completions, list)
        and completions
        and all(isinstance(item, dict) and isinstance(item.get("data"), dict) for item in completions)
    ):  # AI21
        return {
            **_but(value, "completions"),
            "messages": [_ai21(item) for item in completions if isinstance(item, dict)],
        }
    return None


def _ai21(item: Object) -> Object:
    data, ended = item.get("data"), item.get("finishReason")
    text = data.get("text") if isinstance(data, dict) else ""
    return {"role": "", "content": text, "stop_reason": ended.get("reason") if isinstance(ended, dict) else ended}


def _rest(value: Object, *read: str) -> list[object]:
    """What a rule that makes several messages has not read, as one more item."""
    rest = {key: member for key, member in _but(value, *read).items() if not is_empty(member)}
    return [{"role": "", "text": "", **rest}] if rest else []


def _but(value: Object, *keys: str) -> Object:
    return {key: member for key, member in value.items() if key not in keys}


_RULES: tuple[Callable[[Object], object], ...] = (
    _langchain_serialized,
    _langchain_stored,
    _langchain_step,
    _pydantic_ai,
    _haystack,
    _semantic_kernel,
    _autogen,
    _otel_event,
    _openinference,
    _llama_index,
    _stream_item,
    _completion,
)

"""Messages and tools as the baseline prints them: every one of them, each content cut in its middle.

It reads OpenAI's, Anthropic's, the Responses API's and typed OpenTelemetry forms; content in other forms is left out.
"""

import json
from collections.abc import Mapping, Sequence

RULE = "-" * 80

_MAX_CONTENT_LENGTH = 1_000  # characters, half of them from each end
_MAX_UNKNOWN_LENGTH = 500  # characters of a value in an unknown form
_MAX_FIELD_LENGTH = 1_000  # characters of one field of an item of an unknown kind
_COLLAPSED_TOOLS = 5
_TEXT_TYPES = frozenset({"", "text", "input_text", "output_text", "summary_text"})


def cut(text: str) -> str:
    """The text, or its two ends around a note that counts what is missing."""
    if len(text) <= _MAX_CONTENT_LENGTH:
        return text
    half = _MAX_CONTENT_LENGTH // 2
    return f"{text[:half]}\n\n... ({len(text) - 2 * half} chars truncated) ...\n\n{text[-half:]}"


def pretty(value: object) -> str:
    """A value as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def input_text(value: object) -> str:
    """An input: a string as it is, messages one by one; of anything else a little of its JSON."""
    if isinstance(value, str):
        return cut(value)
    if isinstance(value, list):
        return messages_text(value)
    return f"[Unparsed input format: {type(value).__name__}]\n{_shortened(json.dumps(value, default=str))}"


def output_text(properties: Mapping[str, object]) -> str:
    """A generation's output; empty when it has none in a known form."""
    choices = properties.get("$ai_output_choices")
    if isinstance(choices, dict) and choices.get("object") == "response" and isinstance(choices.get("output"), list):
        return messages_text(choices["output"])
    output = properties.get("$ai_output")
    if isinstance(output, str) and output:
        return cut(output)
    if isinstance(choices, dict) and isinstance(choices.get("choices"), list):
        choices = choices["choices"]
    if isinstance(choices, str):
        return cut(choices)
    if not isinstance(choices, list):
        return ""
    return messages_text([_chosen(choice) for choice in choices], default_role="assistant")


def messages_text(messages: Sequence[object], default_role: str = "unknown") -> str:
    """Messages, numbered by their place in the list, with rules between them."""
    printed = []
    for number, message in enumerate(messages, start=1):
        for each in _flattened(message):
            role = str(each.get("role") or each.get("type") or default_role).upper()
            body = _message_body(each)
            printed.append(f"[{number}] {role}\n\n{body}" if body else f"[{number}] {role}")
    return f"\n\n{RULE}\n\n".join(printed)


def tools_text(tools: object) -> str:
    """The tools' signatures with a sentence each; of more than five only their number; empty for none."""
    if isinstance(tools, dict):
        tools = list(tools.values()) if "functionDeclarations" not in tools else [tools]
    if not isinstance(tools, list):
        return ""
    declared: list[dict[str, object]] = []
    for tool in tools:
        if isinstance(tool, dict):
            bundle = tool.get("functionDeclarations")
            declared += [each for each in bundle if isinstance(each, dict)] if isinstance(bundle, list) else [tool]
    if not declared:
        return ""
    if len(declared) > _COLLAPSED_TOOLS:
        return f"[+] AVAILABLE TOOLS: {len(declared)}"
    return "\n\n".join([f"AVAILABLE TOOLS: {len(declared)}", *map(_tool, declared)])


def signature(name: object, arguments: object) -> str:
    """`name(key=json, ...)`; arguments that are no object as they are."""
    if isinstance(arguments, str):
        try:
            parsed = json.loads(arguments) if arguments.strip() else {}
        except (ValueError, RecursionError):
            return f"{name}({arguments})"
        arguments = parsed
    if isinstance(arguments, dict):
        pairs = (f"{key}={json.dumps(value, ensure_ascii=False, default=str)}" for key, value in arguments.items())
        return f"{name}({', '.join(pairs)})"
    return f"{name}()" if arguments is None else f"{name}({json.dumps(arguments, default=str)})"


def _chosen(choice: object) -> object:
    message = choice.get("message") if isinstance(choice, dict) else None
    return message if isinstance(message, dict) else choice


def _message_body(message: Mapping[str, object]) -> str:
    kind = message.get("type")
    if isinstance(kind, str) and not message.keys() & {"role", "content", "tool_calls"}:
        return _typed_item(kind, message)
    content = message.get("content")
    body = cut(_content_text(content))
    calls = _calls_in(content) or message.get("tool_calls")
    if isinstance(calls, list) and calls:
        listed = "\n".join([f"Tool calls: {len(calls)}", *(f"  - {_call(call)}" for call in calls)])
        body = f"{body}\n\n{listed}" if body else listed
    return body


def _typed_item(kind: str, item: Mapping[str, object]) -> str:
    """An item of the Responses API."""
    if kind in ("function_call", "custom_tool_call"):
        arguments = item.get("arguments") if kind == "function_call" else item.get("input")
        return cut(signature(item.get("name"), arguments))
    if kind.endswith("_output"):
        output = item.get("output")
        return cut(_content_text(output)) if output is not None else "[tool output not recorded]"
    if kind == "reasoning":
        return cut(_content_text(item.get("summary") or "")) or "[reasoning summary not recorded]"
    if kind == "additional_tools":
        return tools_text(item.get("tools"))
    rest = {
        key: f"[{len(value)} chars]" if isinstance(value, str) and len(value) > _MAX_FIELD_LENGTH else value
        for key, value in item.items()
        if key not in ("type", "id", "name", "arguments", "status")
    }
    status = f" ({item['status']})" if item.get("status") else ""
    return cut(f"{signature(item.get('name') or kind, item.get('arguments'))}{status}\n{pretty(rest)}")


def _content_text(content: object) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        if isinstance(content.get("text"), str):
            return str(content["text"])
        return _content_text(content["content"]) if "content" in content else pretty(content)
    if isinstance(content, list):
        parts = [part for block in content if (part := _block_text(block))]
        if parts or not content or _calls_in(content):
            return "\n\n".join(parts)
        return _shortened(repr(content))
    return str(content)


def _block_text(block: object) -> str:
    """One block of a content list; empty when it has neither text nor a known form."""
    if isinstance(block, str):
        return block
    if not isinstance(block, dict):
        return ""
    kind = str(block.get("type") or "")
    if kind == "tool_use":
        return signature(block.get("name"), block.get("input") or block.get("partial_json"))
    if kind in ("function", "tool-call"):
        return "" if isinstance(block.get("function"), dict) else signature(block.get("toolName"), block.get("input"))
    inner = block.get("content")
    if isinstance(inner, dict) and "toolName" in inner:
        if "args" in inner:
            return signature(inner["toolName"], inner["args"])
        if "result" in inner:
            return f"[Tool result: {inner['toolName']}]\n{_content_text(inner['result'])}"
    text = next((block[key] for key in ("text", "content", "thinking") if block.get(key)), None)
    if text is None:
        return ""
    shown = _content_text(text)
    return shown if kind in _TEXT_TYPES else f"[{kind.upper()}]\n\n{shown}"


def _calls_in(content: object) -> list[object]:
    blocks = content if isinstance(content, list) else []
    return [
        block
        for block in blocks
        if isinstance(block, dict)
        and block.get("type") in ("tool-call", "function")
        and isinstance(block.get("function"), dict)
    ]


def _call(call: object) -> str:
    if not isinstance(call, dict):
        return str(call)
    function = call.get("function")
    if isinstance(function, dict):
        return signature(function.get("name"), function.get("arguments"))
    return signature(call.get("name"), call.get("args"))


def _flattened(message: object) -> list[Mapping[str, object]]:
    """A message as it is; one of typed OpenTelemetry parts as one message for each kind of part."""
    if not isinstance(message, dict):
        return []
    parts = message.get("parts")
    if not isinstance(parts, list) or message.get("content") or message.get("tool_calls"):
        return [message]
    texts: list[str] = []
    calls: list[object] = []
    others: list[Mapping[str, object]] = []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text":
            texts.append(_content_text(part.get("content")))
        elif kind in ("tool_call", "server_tool_call"):
            calls.append({"name": part.get("name"), "args": part.get("arguments")})
        elif kind in ("tool_call_response", "server_tool_call_response"):
            keys = ("response", "result", "server_tool_call_response")
            response = next((part[key] for key in keys if part.get(key) is not None), None)
            others.append({"role": "tool", "content": response})
        elif kind == "reasoning":
            others.append({"role": "thinking", "content": part.get("content")})
        elif kind in ("blob", "uri", "file"):
            texts.append(f"[file: {part.get('file_id')}]" if kind == "file" else "[image]")
        elif kind == "compaction":
            texts.append(_content_text(part.get("content")) or "[conversation compacted]")
    main = {"role": message.get("role"), "content": " ".join(texts), "tool_calls": calls}
    return [main, *others] if texts or calls or not others else others


def _tool(tool: Mapping[str, object]) -> str:
    function = tool.get("function")
    body = function if isinstance(function, dict) else tool
    name = body.get("name")
    if not isinstance(name, str):
        return f"  {body.get('type')}: {json.dumps(body, default=str)[:100]}"
    schema = next((body[key] for key in ("parameters", "input_schema", "inputSchema") if key in body), None)
    line = f"  {name}({_parameters(schema)})"
    description = body.get("description")
    if not isinstance(description, str) or not description.strip():
        return line
    sentence = description.strip().split("\n", 1)[0].split(". ", 1)[0].rstrip(".")
    return f"{line}\n    {sentence}."


def _parameters(schema: object) -> str:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(schema, dict) or not isinstance(properties, dict):
        return ""
    required = schema.get("required")
    names = required if isinstance(required, list) else []
    return ", ".join(
        f"{name}{'' if name in names else '?'}: {kind.get('type', 'any') if isinstance(kind, dict) else 'any'}"
        for name, kind in properties.items()
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_UNKNOWN_LENGTH else text[:_MAX_UNKNOWN_LENGTH] + "..."

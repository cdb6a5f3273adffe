"""Tool catalogues of every provider as one line a tool: `name(required: type, optional?: type) - description`."""

import json

from trace_summarization.text_repr.entries import first_of, is_empty, name_of
from trace_summarization.text_repr.plain_text import compact_json, one_line

_LONGEST_DESCRIPTION = 1_000
_LONGEST_CHOICES = 120  # characters of an enumeration; a longer one is named by its type
_SCHEMA_KEYS = (
    "parameters",
    "input_schema",
    "inputSchema",
    "parametersJsonSchema",
    "args_schema",
    "parameter_definitions",
)
_BUNDLE_KEYS = ("functionDeclarations", "function_declarations", "tools")


def catalogue(tools: object) -> str:
    """One line per tool. What has no name is printed as JSON."""
    if isinstance(tools, str):
        try:
            tools = json.loads(tools)
        except (ValueError, RecursionError):
            return str(tools)
    return "\n".join(_tool_line(tool) for tool in _flattened(tools))


def _flattened(tools: object) -> list[object]:
    """Declarations out of their bundles: Gemini's, namespaces, objects of tools by name."""
    if isinstance(tools, dict) and not any(key in tools for key in (*_BUNDLE_KEYS, "name", "function", "type")):
        tools = [{"name": name, **tool} if isinstance(tool, dict) else tool for name, tool in tools.items()]
    flat: list[object] = []
    for tool in tools if isinstance(tools, list) else [tools]:
        bundle = first_of(tool, *_BUNDLE_KEYS) if isinstance(tool, dict) else None
        if isinstance(bundle, list):
            flat += bundle
        elif not is_empty(tool):
            flat.append(tool)
    return flat


def _tool_line(tool: object) -> str:
    if not isinstance(tool, dict):
        return one_line(tool if isinstance(tool, str) else compact_json(tool), _LONGEST_DESCRIPTION)
    body = next((tool[key] for key in ("function", "toolSpec") if isinstance(tool.get(key), dict)), tool)
    name = name_of(body.get("name")) or name_of(tool.get("type"))
    if not name:
        return one_line(compact_json(tool), _LONGEST_DESCRIPTION)
    schema = first_of(body, *_SCHEMA_KEYS)
    if isinstance(schema, dict) and isinstance(schema.get("json"), dict):
        schema = schema["json"]
    description = body.get("description")
    about = one_line(description, _LONGEST_DESCRIPTION) if isinstance(description, str) else ""
    return f"{name}({_parameters(schema)})" + (f" - {about}" if about else "")


def _parameters(schema: object) -> str:
    if not isinstance(schema, dict):
        return ""
    properties = schema.get("properties")
    required = schema.get("required")
    names = required if isinstance(required, list) else []
    if not isinstance(properties, dict):
        return ""
    return ", ".join(
        f"{name_of(name)}{'' if name in names else '?'}: {_type_of(parameter)}"
        for name, parameter in properties.items()
    )


def _type_of(parameter: object) -> str:
    if not isinstance(parameter, dict):
        return "any"
    choices = parameter.get("enum")
    if isinstance(choices, list) and choices:
        listed = "|".join(name_of(choice) or compact_json(choice) for choice in choices)
        if len(listed) <= _LONGEST_CHOICES:
            return listed
    kind = parameter.get("type")
    if isinstance(kind, list):
        return "|".join(name_of(each) for each in kind)
    if isinstance(kind, str):
        return name_of(kind).lower()
    variants = first_of(parameter, "anyOf", "oneOf")
    kinds = (
        [name_of(each.get("type")) for each in variants if isinstance(each, dict)] if isinstance(variants, list) else []
    )
    return "|".join(filter(None, kinds)) or "any"

"""Tool catalogues of every provider, a tool a line, with what its parameters mean on lines of their own:

get_weather(city: string, days?: integer) - The weather to come.
  city: Name of the city, in English
  days: at most 10
"""

import json
from collections import Counter
from collections.abc import Iterator

from trace_summarization.text_repr.entries import first_of, is_empty, is_hollow, name_of
from trace_summarization.text_repr.plain_text import compact_json

_LONGEST_INLINE_CHOICES = 120  # characters of an enumeration; a longer one stands beside its parameter's description
_LONGEST_FOLDED = 200  # characters of a description that is put on one line; a longer one keeps its lines
_DEEPEST_SCHEMA = 12  # objects in objects; what lies deeper is printed as JSON
_SCHEMA_KEYS = (
    "parameters",
    "input_schema",
    "inputSchema",
    "parametersJsonSchema",
    "parameters_json_schema",
    "args_schema",
    "parameter_definitions",
    "json_schema",
    "args",
)
_RESULT_SCHEMA_KEYS = ("outputSchema", "output_schema", "response", "responseJsonSchema", "response_json_schema")
_BUNDLE_KEYS = ("functionDeclarations", "function_declarations", "tools")
_BODY_KEYS = ("function", "toolSpec", "custom", "tool")
# Said otherwise, or of no use to a reader.
_SILENT_TOOL_KEYS = frozenset({
    "name", "type", "description", "strict", "cache_control", "cacheControl", "defer_loading", "id", "class_name",
    *_SCHEMA_KEYS, *_RESULT_SCHEMA_KEYS, *_BODY_KEYS, "title", "execution", "metadata", "tool_type",
})  # fmt: skip
# Said in the signature, or what only a validator needs: of a trace's reader it would take more than it gives.
_SILENT_SCHEMA_KEYS = frozenset({
    "type", "properties", "required", "items", "enum", "anyOf", "oneOf", "allOf", "any_of", "$ref", "$defs",
    "definitions", "title", "description", "additionalProperties", "$schema", "const", "nullable", "default",
    "propertyOrdering", "property_ordering", "strict", "type_", "minLength", "maxLength", "minimum", "maximum",
    "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minItems", "maxItems", "uniqueItems", "prefixItems",
    "minProperties", "maxProperties", "pattern", "format",
})  # fmt: skip


def catalogue(tools: object) -> str:
    """All tools, whole. What has no name is printed as JSON; what is no JSON, as it is."""
    if isinstance(tools, str):
        try:
            tools = json.loads(tools)
        except (ValueError, RecursionError):
            return str(tools)
    return "\n".join(_tool_lines(tool) for tool in _flattened(tools))


def _flattened(tools: object) -> list[object]:
    """Declarations out of their bundles: Gemini's, namespaces, objects of tools by name."""
    if isinstance(tools, dict) and not any(
        key in tools for key in (*_BUNDLE_KEYS, *_BODY_KEYS, "name", "type", "server_label")
    ):
        tools = [{"name": name, **tool} if isinstance(tool, dict) else {name: tool} for name, tool in tools.items()]
    flat: list[object] = []
    for tool in tools if isinstance(tools, list) else [tools]:
        if isinstance(tool, str) and tool.startswith("{"):
            tool = _parsed(tool)
        key = (
            next((key for key in _BUNDLE_KEYS if isinstance(tool.get(key), list)), "") if isinstance(tool, dict) else ""
        )
        if isinstance(tool, dict) and key:
            rest = {name: value for name, value in tool.items() if name != key and value is not None}
            flat += [{name: value} for name, value in rest.items() if value == {}]  # Gemini's own tools beside it
            rest = {name: value for name, value in rest.items() if not is_empty(value)}
            flat += [rest] if rest.keys() - {"type"} else []
            bundle = tool[key]
            flat += bundle if isinstance(bundle, list) else []
        elif not is_empty(tool):
            flat.append(tool)
    return flat


def _tool_lines(tool: object) -> str:
    if not isinstance(tool, dict):
        return tool if isinstance(tool, str) else compact_json(tool)
    body = tool
    for _ in range(2):  # OpenInference has a tool in a tool
        key = next((key for key in _BODY_KEYS if isinstance(body.get(key), dict)), None)
        inner = body.get(key) if key else None
        if isinstance(inner, dict):
            body = inner
    if isinstance(body.get("json_schema"), str):
        body = _parsed_tool(body)
    name = name_of(body.get("name")) or name_of(tool.get("type"))
    if not name:
        return _unnamed(tool)
    schema = first_of(body, *_SCHEMA_KEYS)
    if isinstance(schema, dict) and isinstance(schema.get("json"), dict):
        schema = schema["json"]
    if isinstance(schema, str):
        schema = _parsed(schema)
    reading = _Schema(schema)
    signature = f"{name}({reading.parameters()})"
    returned = first_of(body, *_RESULT_SCHEMA_KEYS)
    if not is_hollow(returned):
        signature += f" -> {_Schema(returned).type_of(returned, '', 0)}"
    rest = {
        key: value
        for key, value in {**(tool if tool is not body else {}), **body}.items()
        if key not in _SILENT_TOOL_KEYS and not is_hollow(value)
    }
    description = body.get("description")
    about = description if isinstance(description, str) else "" if description is None else compact_json(description)
    notes = reading.notes()
    lines = [line.strip() for line in about.split("\n") if line.strip()]
    if len(about) <= _LONGEST_FOLDED:
        lines = [" ".join(lines)] if lines else []
    head = f"{signature} - {lines[0]}" if lines else signature
    tail = [f"  {compact_json(rest)}"] if rest else []
    if rest and not lines[1:] and not notes and len(head) + len(tail[0]) <= _LONGEST_FOLDED:
        return head + tail[0][1:]
    return "\n".join([head, *(f"  {line}" for line in lines[1:]), *notes, *tail])


def _unnamed(tool: dict[str, object]) -> str:
    """Gemini's own tools, `{"googleSearch": {}}`, by their key; anything else as JSON."""
    if len(tool) == 1:
        name, settings = next(iter(tool.items()))
        if is_empty(settings) and name_of(name):
            return f"{name_of(name)}()"
    return compact_json(tool)


class _Schema:
    """Reads the JSON schema of one tool: each part of it once, however often it is referred to."""

    def __init__(self, schema: object) -> None:
        self._notes: list[tuple[str, str]] = []  # path of a parameter, what is said of it
        self._paths: set[str] = set()
        self._schema = schema
        self._definitions: dict[str, object] = {}
        for key in ("$defs", "definitions"):
            found = schema.get(key) if isinstance(schema, dict) else None
            self._definitions.update(found if isinstance(found, dict) else {})
        self._opened: set[str] = set()

    def notes(self) -> list[str]:
        """What is said of the parameters, each by the shortest end of its path that no other one shares."""
        paths_by_end: Counter[str] = Counter()
        if any("." in path for path, _ in self._notes):
            paths_by_end.update(end for path in self._paths for end in _ends(path))
        notes: list[str] = []
        for path, note in self._notes:
            short = next((end for end in _ends(path) if paths_by_end[end] < 2 and end[:1] != "*"), path)
            notes.append(f"  {short}: {note}" if path else f"  {note}")
        return notes

    def parameters(self) -> str:
        """The arguments of a signature; what they mean goes to the notes."""
        schema = self._schema
        if is_hollow(schema):
            return ""
        if not isinstance(schema, dict):
            return compact_json(schema)
        if "properties" not in schema and all(isinstance(value, dict) for value in schema.values()):
            return self._members(schema, _required_in(schema), "", 0)  # Cohere, LangChain: parameters by name
        if is_hollow(schema.get("properties")):
            variants = schema.keys() & {"anyOf", "oneOf", "allOf", "any_of", "$ref", "items"}
            return self.type_of(schema, "", 0) if variants else ""
        self._note("", schema)
        return self._members(schema["properties"], schema.get("required"), "", 0)

    def type_of(self, schema: object, path: str, depth: int) -> str:
        """A type's name; members of objects and choices are spelled out."""
        if not isinstance(schema, dict):
            return "any"
        if depth > _DEEPEST_SCHEMA:
            return compact_json(schema)
        reference = schema.get("$ref")
        if isinstance(reference, str):
            return self._referred(reference, path, depth)
        choices = schema.get("enum", [schema["const"]] if "const" in schema else None)
        if isinstance(choices, list) and choices:
            listed = _listed(choices)
            if len(listed) <= _LONGEST_INLINE_CHOICES:
                return listed
        if isinstance(schema.get("properties"), dict) and schema["properties"]:
            return "{" + self._members(schema["properties"], schema.get("required"), path, depth + 1) + "}"
        kind = schema.get("type", schema.get("type_"))
        kinds = [name_of(each).lower() for each in kind] if isinstance(kind, list) else [name_of(kind).lower()]
        if kinds == ["array"] and not is_hollow(schema.get("items")):
            return f"[{self._variant(schema['items'], f'{path}[]', depth + 1)}]"
        if isinstance(schema.get("additionalProperties"), dict) and schema["additionalProperties"]:
            return f"{{any key: {self._variant(schema['additionalProperties'], f'{path}.*', depth + 1)}}}"
        variants = first_of(schema, "anyOf", "oneOf", "allOf", "any_of")
        if isinstance(variants, list) and variants:
            kinds = [self._variant(each, path, depth + 1) for each in variants]
        return "|".join(dict.fromkeys(filter(None, kinds))) or "any"

    def _variant(self, schema: object, path: str, depth: int) -> str:
        self._note(path, schema)
        return self.type_of(schema, path, depth)

    def _referred(self, reference: str, path: str, depth: int) -> str:
        name = reference.rpartition("/")[2]
        if name in self._opened or name not in self._definitions:
            return name_of(name) or "any"
        self._opened.add(name)
        definition = self._definitions[name]
        self._note(path, definition)
        return (
            f"{name_of(name)}: {self.type_of(definition, path, depth + 1)}"
            if _is_object(definition)
            else self.type_of(definition, path, depth + 1)
        )

    def _members(self, properties: object, required: object, path: str, depth: int) -> str:
        if not isinstance(properties, dict):
            return ""
        needed = {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()
        members: list[str] = []
        for name, schema in properties.items():
            here = f"{path}.{name_of(name)}" if path else name_of(name)
            self._paths.add(here)
            self._note(here, schema)
            members.append(f"{name_of(name)}{'' if name in needed else '?'}: {self.type_of(schema, here, depth)}")
        return ", ".join(members)

    def _note(self, path: str, schema: object) -> None:
        """What a parameter's schema says beyond its type."""
        if not isinstance(schema, dict):
            return
        description = schema.get("description")
        said = " ".join(description.split()) if isinstance(description, str) else ""
        facts: list[str] = []
        choices = schema.get("enum")
        if isinstance(choices, list) and len(listed := _listed(choices)) > _LONGEST_INLINE_CHOICES:
            facts.append(f"one of {listed}")
        facts += [
            f"{name_of(key)} {_short(value)}"
            for key, value in schema.items()
            if key not in _SILENT_SCHEMA_KEYS and not is_hollow(value)
        ] if path else []  # fmt: skip
        note = f"{said} ({', '.join(facts)})" if said and facts else said or ", ".join(facts)
        if note:
            self._paths.add(path)
            self._notes.append((path, note))


def _ends(path: str) -> Iterator[str]:
    """Of `a.b.c`: `c`, `b.c`, `a.b.c`."""
    start = path.rfind(".")
    while start >= 0:
        yield path[start + 1 :]
        start = path.rfind(".", 0, start)
    yield path


def _is_object(schema: object) -> bool:
    return isinstance(schema, dict) and isinstance(schema.get("properties"), dict)


def _required_in(parameters: dict[str, object]) -> list[str]:
    """Names of the parameters that say of themselves that they are required, as Cohere's do."""
    return [name for name, value in parameters.items() if isinstance(value, dict) and value.get("required") is True]


def _listed(choices: list[object]) -> str:
    return "|".join(_short(choice) for choice in choices)


def _short(value: object) -> str:
    return value if isinstance(value, str) and value else compact_json(value)


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _parsed_tool(body: dict[str, object]) -> dict[str, object]:
    """OpenInference's `tool.json_schema`: the whole declaration as JSON."""
    parsed = _parsed(str(body["json_schema"]))
    if not isinstance(parsed, dict):
        return body
    inner = parsed.get("function")
    return inner if isinstance(inner, dict) else parsed

import pytest

from trace_summarization.text_repr.tools import catalogue


@pytest.mark.parametrize(
    ("tools", "expected"),
    [
        ([{"name": "a", "description": "Does a.\nSlowly.", "input_schema": {}}], "a() - Does a. Slowly."),
        ([{"functionDeclarations": [{"name": "b"}, {"name": "c"}]}], "b()\nc()"),
        ({"d": {"description": "Does d."}}, "d() - Does d."),
        ([{"type": "web_search"}], "web_search()"),
        ([{"type": "namespace", "tools": [{"type": "function", "name": "e"}]}], "e()"),
        ('[{"name": "f"}]', "f()"),
        ("not json", "not json"),
        ([None, 7, {"x": 1}], '7\n{"x": 1}'),
        ([{"name": "g", "parameters": {"properties": {"k": 1, "l": {"type": ["string", "null"]}}, "required": "k"}}],
         "g(k?: any, l?: string|null)"),
        ([{"name": "h", "parameters": {"properties": [1]}}], "h()"),
        ([{"name": "i", "parameters": {"properties": {"m": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}}],
         "i(m?: string|null)"),
    ],
)  # fmt: skip
def test_catalogues_of_every_provider(tools: object, expected: str) -> None:
    assert catalogue(tools) == expected


def _declared(properties: dict[str, object], **schema: object) -> list[object]:
    return [{"name": "find", "parameters": {"type": "object", "properties": properties, **schema}}]


def test_what_parameters_mean_stands_below_the_tool() -> None:
    days = {"type": "integer", "description": "How many\n days"}
    assert catalogue(
        _declared({"city": {"type": "string", "description": "Its name"}, "days": days}, required=["city"])
    ) == ("find(city: string, days?: integer)\n  city: Its name\n  days: How many days")


def test_a_long_description_is_whole_and_keeps_its_lines() -> None:
    about = "Finds places.\n\n" + "Use it well. " * 200 + "\nThe end."
    lines = catalogue([{"name": "find", "description": about}]).split("\n")
    assert lines == ["find() - Finds places.", "  " + ("Use it well. " * 200).strip(), "  The end."]


def test_members_of_nested_objects_are_spelled_out() -> None:
    where = {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "Its name"}},
        "required": ["city"],
    }
    rows = {"type": "array", "items": where}
    assert catalogue(_declared({"where": where, "rows": rows})) == (
        "find(where?: {city: string}, rows?: [{city: string}])\n  where.city: Its name\n  rows[].city: Its name"
    )


def test_a_definition_is_spelled_out_once() -> None:
    place = {"type": "object", "properties": {"in": {"$ref": "#/$defs/Place"}}}
    reference = {"$ref": "#/$defs/Place"}
    assert catalogue(_declared({"a": reference, "b": reference}, **{"$defs": {"Place": place}})) == (
        "find(a?: Place: {in?: Place}, b?: Place)"
    )


def test_a_long_choice_stands_below_the_tool() -> None:
    choices = [f"choice {number}" for number in range(20)]
    assert catalogue(_declared({"k": {"type": "string", "enum": choices}})) == (
        f"find(k?: string)\n  k: one of {'|'.join(choices)}"
    )


@pytest.mark.parametrize(
    ("tools", "expected"),
    [
        ([{"type": "web_search_20250305", "name": "web_search", "max_uses": 5}], 'web_search() {"max_uses": 5}'),
        ([{"googleSearch": {}}, {"functionDeclarations": [{"name": "a"}], "codeExecution": {}}],
         "googleSearch()\ncodeExecution()\na()"),
        ([{"name": "co", "parameter_definitions": {"day": {"type": "str", "required": True}}}], "co(day: str)"),
        ([{"name": "m", "inputSchema": {}, "outputSchema": {"type": "object",
         "properties": {"x": {"type": "string"}}}}],
         "m() -> {x?: string}"),
        ([{"tool": {"json_schema": '{"type": "function", "function": {"name": "a", "description": "Does a."}}'}}],
         "a() - Does a."),
        ([{"toolSpec": {"name": "a", "inputSchema": {"json": {"properties": {"b": {"type": "NUMBER"}}}}}}],
         "a(b?: number)"),
        ([{"name": "a", "parameters": {"properties": {"b": {"const": "c"},
         "d": {"additionalProperties": {"type": "null"}}}}}],
         "a(b?: c, d?: {any key: null})"),
    ],
)  # fmt: skip
def test_tools_of_providers_keep_their_settings(tools: object, expected: str) -> None:
    assert catalogue(tools) == expected


def test_what_only_a_validator_needs_is_left_out() -> None:
    code = {"type": "string", "minLength": 2, "maxLength": 9, "pattern": "^[A-Z]+$", "format": "code", "default": "X"}
    days = {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 7}, "minItems": 1, "maxItems": 7,
            "uniqueItems": True, "additionalProperties": False}  # fmt: skip
    assert catalogue(_declared({"code": code, "days": days})) == "find(code?: string, days?: [integer])"


def test_a_nested_parameter_is_named_by_the_end_of_its_path() -> None:
    item = {"type": "object", "properties": {"value": {"type": "string", "description": "Value of the item"}}}
    page = {"type": "object", "properties": {"items": {"type": "array", "items": item}}}
    lines = catalogue(_declared({"pages": {"type": "array", "items": page}})).split("\n")
    assert lines[1:] == ["  value: Value of the item"]


def test_parameters_that_end_alike_are_told_apart() -> None:
    name = {"type": "string", "description": "Its name"}
    author = {"type": "object", "properties": {"name": name}}
    book = {"type": "object", "properties": {"author": author, "editor": author}}
    lines = catalogue(_declared({"name": name, "book": book})).split("\n")
    assert lines[1:] == ["  name: Its name", "  author.name: Its name", "  editor.name: Its name"]


def test_any_value_of_an_object_is_named_with_it() -> None:
    prices = {"type": "object", "additionalProperties": {"type": "number", "description": "In EUR"}}
    assert catalogue(_declared({"prices": prices})).split("\n")[1:] == ["  prices.*: In EUR"]

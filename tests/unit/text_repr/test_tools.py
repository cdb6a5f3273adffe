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

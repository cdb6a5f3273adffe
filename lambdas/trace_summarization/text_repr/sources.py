"""Where an answer comes from: citations, annotations, search results and grounding as short lines."""

from trace_summarization.text_repr.entries import TECHNICAL_KEYS, is_hollow, name_of
from trace_summarization.text_repr.plain_text import compact_json

_NESTED_KEYS = (
    "url_citation", "file_citation", "web", "retrievedContext", "retrieved_context", "maps", "document", "location",
    "sourceContent",
)  # fmt: skip
_TITLE_KEYS = ("title", "document_title", "documentTitle", "filename", "file_name", "document_name", "name", "snippet")
_PLACE_KEYS = ("url", "uri", "source", "file_path", "page_age", "date", "published_date", "last_updated")
_TEXT_KEYS = ("cited_text", "citedText", "quote", "text", "content", "description")
# Where in the answer or in the source a citation stands: of use to a page that shows it, not to a reader.
_POSITION_KEYS = frozenset({
    "start", "end", "start_index", "end_index", "startIndex", "endIndex", "start_char_index", "end_char_index",
    "start_block_index", "end_block_index", "start_page_number", "end_page_number", "document_index", "documentIndex",
    "search_result_index", "file_id", "domain", "citation_type", "score",
})  # fmt: skip


def sources_text(sources: object) -> str:
    """One line per source: `title, url: quoted text`. What has none of these is printed as JSON. Each source once."""
    items = sources if isinstance(sources, list) else [sources]
    lines = (source_line(item) for item in items if not is_hollow(item))
    return "\n".join(dict.fromkeys(line for line in lines if line))


def source_line(source: object) -> str:
    """One source on one line of `title, url: quoted text`."""
    if not isinstance(source, dict):
        return source if isinstance(source, str) else compact_json(source)
    facts = dict(source)
    for key in _NESTED_KEYS:
        nested = facts.get(key)
        if isinstance(nested, dict):
            facts = {**nested, **{name: value for name, value in facts.items() if name != key}}
    where = [str(facts[key]) for key in (*_TITLE_KEYS, *_PLACE_KEYS) if isinstance(facts.get(key), str) and facts[key]]
    quoted = [str(facts[key]) for key in _TEXT_KEYS if isinstance(facts.get(key), str) and facts[key]]
    read = {*_TITLE_KEYS, *_PLACE_KEYS, *_TEXT_KEYS}
    rest = {
        key: value
        for key, value in facts.items()
        if key not in _POSITION_KEYS
        and key not in TECHNICAL_KEYS
        and not (key in read and isinstance(value, str))
        and not is_hollow(value)
    }
    head = ", ".join(dict.fromkeys(where))
    parts = [head, *dict.fromkeys(quoted), *([compact_json(rest)] if rest else [])]
    return ": ".join(part for part in parts if part)


def grounding_text(grounding: object) -> str:
    """Gemini's `groundingMetadata`: what was searched for and the pages found."""
    if not isinstance(grounding, dict):
        return compact_json(grounding)
    lines: list[str] = []
    rest: dict[str, object] = {}
    for key, value in grounding.items():
        plain = str(key).replace("_", "").lower()
        if plain in ("websearchqueries", "imagesearchqueries", "retrievalqueries") and isinstance(value, list):
            lines.append("searched: " + "; ".join(name_of(query) or compact_json(query) for query in value))
        elif plain == "groundingchunks":
            lines.append(sources_text(value))
        elif plain not in ("searchentrypoint", "groundingsupports", "retrievalmetadata") and not is_hollow(value):
            rest[str(key)] = value
    return "\n".join(line for line in (*lines, compact_json(rest) if rest else "") if line)

"""What a trace says, each line of it once, and how much of that a rendering still shows."""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from trace_summarization.models import TraceEvent

ERROR_KEY = "$ai_error"
TOOLS_KEY = "$ai_tools"
CONTENT_KEYS = (
    "$ai_input",
    "$ai_output_choices",
    "$ai_output",
    "$ai_input_state",
    "$ai_output_state",
    ERROR_KEY,
)

# Strings directly under these keys, or in a list under them, are a protocol's own: a reader of the trace misses nothing
# without them. An object under such a key (a tool's parameter called `type`) is looked into nevertheless.
PROTOCOL_KEYS = frozenset(
    {
        # identifiers
        "id",
        "uuid",
        "call_id",
        "container_id",
        "file_id",
        "invocation_id",
        "item_id",
        "message_id",
        "previous_response_id",
        "prompt_cache_key",
        "request_id",
        "response_id",
        "run_id",
        "session_id",
        "tool_call_id",
        "tool_use_id",
        "toolCallId",
        "toolUseId",
        # kinds, roles, settings and outcomes of a protocol
        "__type",
        "event.name",
        "finish_reason",
        "finishReason",
        "gen_ai.system",
        "model",
        "object",
        "role",
        "service_tier",
        "stop_reason",
        "stopReason",
        "system_fingerprint",
        "type",
        # forms of binary content
        "detail",
        "format",
        "media_type",
        "mediaType",
        "mime_type",
        "mimeType",
        # signed or encrypted content
        "encrypted_content",
        "encrypted_index",
        "signature",
        "thought_signature",
        "thoughtSignature",
    }
)
# The same in a block, a message or an item of a protocol: in an object that has one of `_MARKS_OF_PROTOCOL`.
PROTOCOL_KEYS_OF_MARKED = frozenset({"execution", "phase", "status"})
_MARKS_OF_PROTOCOL = ("type", "role", "tool_call_id", "tool_use_id", "toolCallId", "toolUseId")
# Nothing below these keys is looked at.
PROTOCOL_OBJECTS = frozenset(
    {
        "cache_control",
        "caller",
        "logprobs",
        "prompt_cache_breakpoint",
        "response_metadata",
        "safety_ratings",
        "usage",
        "usage_metadata",
        "usageMetadata",
    }
)
# Schemas of tools, where an answer repeats which tools there were. The tools' descriptions count.
SCHEMA_KEYS = frozenset({"input_schema", "inputSchema", "output_schema", "parameters"})
ENCODED_KEYS = frozenset({"bytes", "data"})  # hold base64 of any length: strings without a blank do not count

_KEYS_OF_MARKED = PROTOCOL_KEYS | PROTOCOL_KEYS_OF_MARKED
_CHUNK_LENGTH = 64  # characters; of a line that is not found whole, what is found of such pieces counts
_BLOB = re.compile(
    r"data:[\w.+-]+/[\w.+-]+(?:;[\w=.+-]+)*;base64,[A-Za-z0-9+/_=-]*"
    r"|(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{400,}={0,2}"
    r"|\[blob of \d+ characters cut\]"  # what the recordings hold in a blob's place
)
_ESCAPE = re.compile(r"\\+(?:([nrtbf])|u([0-9a-fA-F]{4}))?")
_TERMINAL_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_LINE_END = re.compile(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffd]")
_MARGIN = " \"',"
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True)
class DistinctContent:
    """Lines of a trace's content, normalized, each once, in order; `error_lines` are those of its errors."""

    lines: tuple[str, ...]
    error_lines: tuple[str, ...]

    @property
    def length(self) -> int:
        """Characters of all lines."""
        return sum(map(len, self.lines))


def distinct_content(events: Sequence[TraceEvent]) -> DistinctContent:
    """Everything that the events' inputs, outputs, states and errors say, and their tools' descriptions."""
    lines: dict[str, None] = {}
    errors: dict[str, None] = {}
    seen: set[str] = set()
    for event in events:
        for key in (TOOLS_KEY, *CONTENT_KEYS):
            value = event.properties.get(key)
            for text in _descriptions(value) if key == TOOLS_KEY else _strings(value):
                if text not in seen or key == ERROR_KEY:
                    seen.add(text)
                    found = dict.fromkeys(normalized_lines(_BLOB.sub("\n", text)))
                    lines |= found
                    if key == ERROR_KEY:
                        errors |= found
    return DistinctContent(tuple(lines), tuple(errors))


class Shown:
    """A rendering's text, ready for many questions whether a line is in it."""

    def __init__(self, text: str) -> None:
        lines = normalized_lines(text)
        self._lines = frozenset(lines)
        self._text = " ".join(lines)

    def share(self, lines: Iterable[str]) -> float:
        """Characters of the lines that are shown, over all their characters; 1 when there are none."""
        total = shown = 0
        for line in lines:
            total += len(line)
            shown += len(line) if line in self._lines or line in self._text else self._partly(line)
        return shown / total if total else 1.0

    def _partly(self, line: str) -> int:
        if len(line) <= _CHUNK_LENGTH:
            return 0
        chunks = (line[start : start + _CHUNK_LENGTH] for start in range(0, len(line), _CHUNK_LENGTH))
        return sum(len(chunk) for chunk in chunks if chunk in self._text)


def normalized_lines(text: str) -> list[str]:
    r"""The text's lines with single blanks, without empty ones, control characters or backslashes.

    A line break escaped once or many times (`\n`, `\\n`) ends a line, so that a text is the same within JSON; nor do
    quotes and commas around a line count.
    """
    if "\\" in text:
        text = _ESCAPE.sub(_unescaped, text)
    text = _LINE_END.sub("\n", _TERMINAL_SEQUENCE.sub("", text))
    if _UNPRINTABLE.search(text):
        if _SURROGATE.search(text):  # two escapes of one character
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        text = _UNPRINTABLE.sub("", text)
    return [line for each in text.split("\n") if (line := " ".join(each.split()).strip(_MARGIN))]


def _unescaped(match: re.Match[str]) -> str:
    control, code = match.groups()
    if control:
        return "\n" if control in "nr" else " "
    return chr(int(code, 16)) if code else ""


def _strings(value: object) -> Iterator[str]:
    """String leaves in order, also of objects and lists that a string holds as JSON. Needs no recursion."""
    stack: list[object] = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            parsed = _parsed(item)
            if parsed is None:
                yield item
            else:
                stack.append(parsed)
        elif isinstance(item, list):
            stack.extend(reversed(item))
        elif isinstance(item, dict):
            protocol = _KEYS_OF_MARKED if any(key in item for key in _MARKS_OF_PROTOCOL) else PROTOCOL_KEYS
            stack.extend(reversed([member for key, member in item.items() if _is_content(key, member, protocol)]))


def _descriptions(tools: object) -> Iterator[str]:
    """What a tool catalogue says in words: of its tools and of their parameters, at any depth."""
    stack: list[object] = [tools]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            stack.append(_parsed(item))
        elif isinstance(item, list):
            stack.extend(reversed(item))
        elif isinstance(item, dict):
            described = item.get("description")
            if isinstance(described, str):
                yield described
            stack.extend(reversed([member for member in item.values() if isinstance(member, dict | list)]))


def _is_content(key: str, value: object, protocol: Collection[str]) -> bool:
    if key in PROTOCOL_OBJECTS:
        return False
    if key in SCHEMA_KEYS and isinstance(value, dict) and "properties" in value:
        return False
    if key in ENCODED_KEYS and isinstance(value, str) and len(value.split(maxsplit=1)) == 1:
        return False
    if key not in protocol:
        return True
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict) for item in value))


def _parsed(text: str) -> object:
    """The object or list that a string is the JSON of, else None."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None

"""Any JSON value as clean text: valid UTF-8, no control characters, binary content as a short note."""

import json
import marshal
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_REPLACEMENT = "\ufffd"
_SUSPECT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ASCII_CONTROLS = bytes(code for code in range(128) if _SUSPECT.match(chr(code)))
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_LINE_END = re.compile(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_TERMINAL_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

_MARSHAL_WITHOUT_REFERENCES = 2  # later versions write an object that is used twice in another way
_ENCODE = json.JSONEncoder(ensure_ascii=False, default=str).encode

_SHORTEST_DATA_URL = 29  # characters of "data:;base64," and a short run
_SHORTEST_BINARY = 400  # characters; shorter runs are ids, hashes and signatures
_DATA_URL = re.compile(
    r"data:([\w.+-]{1,60}/[\w.+-]{1,60})?(?:;[\w=.+-]{1,60}){0,4};base64,([A-Za-z0-9+/_-]{16,}={0,2})"
)
# Starts only where a run starts: otherwise each character of a long run would be tried as a start.
_BASE64_RUN = re.compile(rf"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{{{_SHORTEST_BINARY},}}={{0,2}}")
_BASE64_SAMPLE = 4_000  # characters looked at to tell base64 from a long word
_MEDIA_TYPE_BY_BASE64_PREFIX = {
    "iVBORw0KGgo": "image/png",
    "/9j/": "image/jpeg",
    "R0lGOD": "image/gif",
    "UklGR": "image/webp",
    "JVBERi0": "application/pdf",
    "UEsDB": "application/zip",
    "SUQz": "audio/mpeg",
    "T2dnUw": "audio/ogg",
    "AAAAIGZ0eXA": "video/mp4",
    "AAAAHGZ0eXA": "video/mp4",
    "H4sI": "application/gzip",
}


def clean_text(text: str) -> str:
    """Text that is valid UTF-8 and whose only control characters are newline and tab; binary content as a note."""
    if text.isprintable() and len(text) < _SHORTEST_DATA_URL:
        return text  # nearly every name and label
    if "base64," in text:
        text = _DATA_URL.sub(_note_of_data_url, text)
    if len(text) >= _SHORTEST_BINARY and _has_long_word(text):
        text = _BASE64_RUN.sub(_note_of_run, text)
    if _is_clean(text):
        return text
    if _SURROGATE.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    text = _LINE_END.sub("\n", _TERMINAL_SEQUENCE.sub("", text))
    return _CONTROL.sub(_REPLACEMENT, text)


def _is_clean(text: str) -> bool:
    if text.isascii():  # told ten times as fast
        encoded = text.encode("ascii")
        return len(encoded.translate(None, _ASCII_CONTROLS)) == len(encoded)
    return not _SUSPECT.search(text)


def _has_long_word(text: str) -> bool:
    """Whether so many characters follow each other without a space; looks at few characters of most texts."""
    start, last_start = 0, len(text) - _SHORTEST_BINARY
    while start <= last_start:
        space = text.rfind(" ", start, start + _SHORTEST_BINARY)
        if space < 0:
            return max(map(len, text.split()), default=0) >= _SHORTEST_BINARY  # other white space parts words too
        start = space + 1
    return False


def one_line(text: str, longest: int) -> str:
    """Clean text on one line, cut at `longest` characters."""
    if len(text) <= longest and text.isprintable() and text.isascii() and "base64," not in text:
        return text.strip() if "  " not in text else " ".join(text.split())
    line = " ".join(clean_text(text[: longest * 4]).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def compact_json(value: object) -> str:
    """A value as JSON on one line, whatever its keys, depth or numbers. Not cleaned: it may hold surrogates."""
    try:
        return _ENCODE(value)
    except (RecursionError, TypeError, ValueError):  # too deep, odd keys, circular
        return "".join(_json_pieces(value))


def equality_key(value: Any) -> bytes | None:
    """Bytes that are equal for equal JSON values, several times faster to make than JSON; None for what has none."""
    try:
        return marshal.dumps(value, _MARSHAL_WITHOUT_REFERENCES)
    except ValueError:  # too deep, or of a type that no JSON has
        return None


def binary_note(media_type: str, encoded: str) -> str:
    """`[image/png, 34 kB]` for base64 content."""
    return f"[{media_type or media_type_of(encoded)}, {byte_size(len(encoded) * 3 // 4)}]"


def media_type_of(encoded: str) -> str:
    """The media type that base64 content starts like; `binary` when it is none of the known."""
    return next((kind for prefix, kind in _MEDIA_TYPE_BY_BASE64_PREFIX.items() if encoded.startswith(prefix)), "binary")


def byte_size(count: int) -> str:
    """`512 B`, `34 kB`, `1.2 MB`."""
    if count < 1_000:
        return f"{count} B"
    return f"{count // 1_000} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def _note_of_run(match: re.Match[str]) -> str:
    run = match.group()
    sample = run[:_BASE64_SAMPLE]
    mixed = all(any(test(char) for char in sample) for test in (str.isupper, str.islower, str.isdigit))
    return binary_note("", run) if mixed else run


def _note_of_data_url(match: re.Match[str]) -> str:
    return binary_note(match.group(1) or "", match.group(2))


def _json_pieces(value: object) -> Iterator[str]:
    """JSON by an explicit stack: depth costs memory, not recursion. A circular reference is named once."""
    open_containers: set[int] = set()
    stack: list[tuple[str, object]] = [("value", value)]
    while stack:
        kind, item = stack.pop()
        if kind == "text":
            yield str(item)
        elif kind == "close":
            open_containers.discard(id(item))
        elif not isinstance(item, Mapping | list | tuple):
            yield json.dumps(item, ensure_ascii=False, default=str)
        elif id(item) in open_containers:
            yield '"[circular]"'
        else:
            open_containers.add(id(item))
            stack.extend(reversed(_container_parts(item)))


def _container_parts(container: Mapping[object, object] | Sequence[object]) -> list[tuple[str, object]]:
    is_object = isinstance(container, Mapping)
    parts: list[tuple[str, object]] = [("text", "{" if is_object else "[")]
    members = container.items() if isinstance(container, Mapping) else ((None, item) for item in container)
    for position, (key, item) in enumerate(members):
        separator = ", " if position else ""
        name = f"{json.dumps(str(key), ensure_ascii=False)}: " if is_object else ""
        parts += [("text", separator + name), ("value", item)]
    parts += [("text", "}" if is_object else "]"), ("close", container)]
    return parts

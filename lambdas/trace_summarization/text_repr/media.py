"""Images, audio, video and documents as one short note: what it is, how large, where it lies."""

import re

from trace_summarization.text_repr.entries import first_of, name_of, texts_of, type_of
from trace_summarization.text_repr.plain_text import binary_note, one_line

_LONGEST_ADDRESS = 300
_ENCODED = re.compile(r"[A-Za-z0-9+/_-]{16}")  # how encoded content starts, and text or a note hardly ever
_SHORTEST_ENCODED = 100  # characters; shorter strings are more likely text

_MEDIA_BY_TYPE = {
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "output_image": "image",
    "image_file": "image",
    "audio": "audio",
    "audio_url": "audio",
    "input_audio": "audio",
    "output_audio": "audio",
    "video": "video",
    "video_url": "video",
    "input_video": "video",
    "document": "document",
    "document_url": "document",
    "file": "file",
    "file_url": "file",
    "input_file": "file",
    "blob": "binary",
    "uri": "file",
    "media": "file",
}
# Blocks that are named by a key instead of a `type`: Gemini parts and Bedrock content blocks.
_MEDIA_BY_KEY = {
    "inlineData": "binary",
    "inline_data": "binary",
    "fileData": "file",
    "file_data": "file",
    "image": "image",
    "video": "video",
    "audio": "audio",
    "document": "document",
}
_KEYS_BESIDE_MEDIA = frozenset({"type", "thoughtSignature", "videoMetadata", "video_metadata", "cache_control", "text"})
_ENCODED_KEYS = ("data", "bytes", "file_data", "base64", "b64_json", "content")
_ADDRESS_KEYS = ("url", "uri", "fileUri", "file_uri", "file_url", "image_url", "file_id", "fileId", "id")
_TYPE_KEYS = ("media_type", "mime_type", "mimeType", "mediaType", "modality", "format")
_NAME_KEYS = ("filename", "file_name", "name", "title", "displayName", "display_name")
_NESTED_KEYS = (
    "image_url",
    "input_audio",
    "audio",
    "image",
    "video",
    "video_url",
    "file",
    "source",
    "s3Location",
    "blob",
)
_KEYS_BY_FACT = {"type": _TYPE_KEYS, "name": _NAME_KEYS, "address": _ADDRESS_KEYS, "encoded": _ENCODED_KEYS}
# Keys that a note covers.
MEDIA_KEYS = frozenset(
    {*_MEDIA_BY_KEY, *_ENCODED_KEYS, *_ADDRESS_KEYS, *_TYPE_KEYS, *_NAME_KEYS, *_NESTED_KEYS, "detail", "citations"}
)


def media_of(block: dict[str, object]) -> str | None:
    """A note for a media block, such as `[image/png, 34 kB]`; None when the block is none.

    Text that a document block carries is not media: the note then says only what surrounds it, and
    `document_text` has the text.
    """
    kind = _MEDIA_BY_TYPE.get(type_of(block))
    body: object = block
    if kind is None:
        key = next((key for key in _MEDIA_BY_KEY if isinstance(block.get(key), dict)), None)
        if key is None or not block.keys() <= _KEYS_BESIDE_MEDIA | {key}:
            return None  # data that happens to have an image among its fields
        kind, body = _MEDIA_BY_KEY[key], block[key]
    facts = _facts(body, depth=0)
    return _note(kind, facts)


def document_text(block: dict[str, object]) -> str:
    """The plain text that a document or file block carries, or an empty string."""
    body = next((inner for key in ("document", "file") if isinstance(inner := block.get(key), dict)), block)
    source = body.get("source")
    texts: list[object] = [body.get("content"), body.get("text")]
    if isinstance(source, dict):
        texts += [
            source.get("text"),
            source.get("content"),
            source.get("data") if source.get("type") == "text" else None,
        ]
    return "\n".join(filter(None, map(texts_of, texts)))


def _facts(body: object, depth: int) -> dict[str, str]:
    """Media type, name, address and encoded content, found at most three levels deep."""
    if isinstance(body, str):
        return {"address" if "://" in body[:40] or body.startswith("data:") else "encoded": body}
    if not isinstance(body, dict) or depth > 3:
        return {}
    facts: dict[str, str] = {}
    for key in _NESTED_KEYS:
        facts = {**_facts(body.get(key), depth + 1), **facts}
    for fact, keys in _KEYS_BY_FACT.items():
        value = first_of(body, *keys)
        if isinstance(value, str) and value:
            facts.setdefault(fact, value)
    return facts


def _note(kind: str, facts: dict[str, str]) -> str:
    media_type = name_of(facts.get("type")) or ("" if kind == "binary" else kind)
    encoded = facts.get("encoded", "")
    address = facts.get("address", "")
    if address.startswith("data:"):
        return f"[{_data_url(address, media_type)}]"
    if encoded.startswith("data:"):
        return f"[{_join(facts, _data_url(encoded, media_type))}]"
    if len(encoded) >= _SHORTEST_ENCODED and _ENCODED.match(encoded):
        known = media_type if "/" in media_type else ""
        return f"[{_join(facts, binary_note(known, encoded)[1:-1])}]"
    place = address or ("" if any(char.isspace() for char in encoded[:_LONGEST_ADDRESS]) else encoded)
    return f"[{_join(facts, media_type or kind, one_line(place, _LONGEST_ADDRESS))}]"


def _data_url(url: str, media_type: str) -> str:
    head, _, encoded = url.partition(",")
    declared = name_of(head.removeprefix("data:").partition(";")[0]) or media_type
    return binary_note(declared, encoded)[1:-1] if _ENCODED.match(encoded) else declared


def _join(facts: dict[str, str], *parts: str) -> str:
    return ", ".join(part for part in (parts[0], name_of(facts.get("name")), *parts[1:]) if part)

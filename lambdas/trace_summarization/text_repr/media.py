"""Images, audio, video and documents as one short note: what it is, how large, where it lies."""

import re

from trace_summarization.text_repr.entries import first_of, name_of, texts_of, type_of
from trace_summarization.text_repr.plain_text import binary_note, byte_size, compact_json, media_type_of, one_line

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
    "image-url": "image",
    "audio-url": "audio",
    "video-url": "video",
    "document-url": "document",
    "text-plain": "document",
    "computer_screenshot": "image",
    "container_upload": "file",
    "imagecontent": "image",
    "binary": "binary",
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
_KEYS_BESIDE_MEDIA = frozenset({
    "type", "thoughtSignature", "thought_signature", "videoMetadata", "video_metadata", "cache_control", "text",
    "mediaResolution", "media_resolution",
})  # fmt: skip
_ENCODED_KEYS = ("data", "bytes", "file_data", "base64", "b64_json", "base64_image", "content")
_ADDRESS_KEYS = (
    "url", "uri", "fileUri", "file_uri", "file_url", "image_url", "document_url", "data_uri", "path", "file_id",
    "fileId", "id",
)  # fmt: skip
_TYPE_KEYS = ("media_type", "mime_type", "mimeType", "mediaType", "image_mimetype", "modality", "format")
_NAME_KEYS = ("filename", "file_name", "name", "title", "displayName", "display_name", "document_name")
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
    {
        *_MEDIA_BY_KEY,
        *_ENCODED_KEYS,
        *_ADDRESS_KEYS,
        *_TYPE_KEYS,
        *_NAME_KEYS,
        *_NESTED_KEYS,
        "annotations",
        "citations",
        "detail",
        "force_download",
        "identifier",
        "kind",
        "providerMetadata",
        "source_type",
        "text",
    }
)
# Keys by which a block of a media type is told from data that happens to name such a type.
_TELLING_KEYS = frozenset({
    "source", "media_type", "mime_type", "mimeType", "mediaType", "image_url", "input_audio", "audio_url", "video_url",
    "document_url", "file_id", "file_data", "inlineData", "inline_data", "fileData", "detail", "modality",
    "force_download",
})  # fmt: skip


def media_of(block: dict[str, object]) -> str | None:
    """A note for a media block, such as `[image/png, 34 kB]`; None when the block is none.

    Text that a document block carries is not media: the note then says only what surrounds it, and
    `document_text` has the text.
    """
    stated = type_of(block) or block.get("kind")
    kind = _MEDIA_BY_TYPE.get(stated) or _MEDIA_BY_TYPE.get(stated.lower()) if isinstance(stated, str) else None
    body: object = block
    if kind is None:
        key = next((key for key in _MEDIA_BY_KEY if isinstance(block.get(key), dict)), None)
        if key is None or not block.keys() <= _KEYS_BESIDE_MEDIA | {key}:
            return None  # data that happens to have an image among its fields
        kind, body = _MEDIA_BY_KEY[key], block[key]
    facts = _facts(body, depth=0)
    return _note(kind, facts)


def is_media(value: dict[str, object]) -> bool:
    """Whether an object is a media block for certain, rather than data of a like form."""
    return not _TELLING_KEYS.isdisjoint(value) and media_of(value) is not None


def document_text(block: dict[str, object]) -> str:
    """The plain text that a document or file block carries, or an empty string."""
    body = next((inner for key in ("document", "file") if isinstance(inner := block.get(key), dict)), block)
    texts = [texts_of(body.get("content")), texts_of(body.get("text"))]
    texts += [_prose(body.get(key)) for key in ("data", "file_data", "bytes")]
    if body is not block and isinstance(body.get("data"), dict):
        texts.append(compact_json(body["data"]))  # Cohere's documents are text or fields
    source = body.get("source")
    if isinstance(source, dict):
        texts += [texts_of(source.get("text")), texts_of(source.get("content"))]
        texts.append(texts_of(source.get("data")) if source.get("type") == "text" else _prose(source.get("data")))
    return "\n".join(dict.fromkeys(text for text in texts if text and not _is_encoded(text)))


def _prose(value: object) -> str:
    """The text that stands where encoded content is expected."""
    if not isinstance(value, str) or value.startswith("data:") or "://" in value[:40]:
        return ""
    return value if any(char.isspace() for char in value[:_LONGEST_ADDRESS]) else ""


def _is_encoded(text: str) -> bool:
    if text.startswith("data:"):
        return True
    return len(text) >= _SHORTEST_ENCODED and bool(_ENCODED.match(text)) and not any(map(str.isspace, text[:200]))


def _facts(body: object, depth: int) -> dict[str, str]:
    """Media type, name, address and encoded content, found at most three levels deep."""
    if isinstance(body, str):
        return {"address" if "://" in body[:40] or body.startswith("data:") else "encoded": body} if body else {}
    if not isinstance(body, dict) or depth > 3:
        return {}
    facts: dict[str, str] = {}
    for key in _NESTED_KEYS:
        facts = {**_facts(body.get(key), depth + 1), **facts}
    for fact, keys in _KEYS_BY_FACT.items():
        value = next((found for key in keys if isinstance(found := body.get(key), str) and found), None)
        if value is not None:
            facts.setdefault(fact, value)
    data = first_of(body, "data", "bytes")
    if isinstance(data, list) and data and isinstance(data[0], int):  # Node's Buffer
        facts.setdefault("size", byte_size(len(data)))
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
        known = media_type if "/" in media_type else _recognized(kind, encoded)
        return f"[{_join(facts, binary_note(known, encoded)[1:-1])}]"
    if "size" in facts:
        return f"[{_join(facts, media_type or kind, facts['size'])}]"
    place = address or ("" if any(char.isspace() for char in encoded[:_LONGEST_ADDRESS]) else encoded)
    return f"[{_join(facts, media_type or kind, one_line(place, _LONGEST_ADDRESS))}]"


def _recognized(kind: str, encoded: str) -> str:
    """The media type that content starts like, where it fits what the block calls it; else what the block calls it."""
    found = media_type_of(encoded)
    fits = kind not in ("image", "audio", "video") or found.startswith(kind)
    return found if found != "binary" and fits else kind


def _data_url(url: str, media_type: str) -> str:
    head, _, encoded = url.partition(",")
    declared = name_of(head.removeprefix("data:").partition(";")[0]) or media_type
    return binary_note(declared, encoded)[1:-1] if _ENCODED.match(encoded) else declared


def _join(facts: dict[str, str], *parts: str) -> str:
    return ", ".join(part for part in (parts[0], name_of(facts.get("name")), *parts[1:]) if part)

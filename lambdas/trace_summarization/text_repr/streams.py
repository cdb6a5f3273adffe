"""Recorded streams as the answers they add up to: lists of chunks and of events of every provider."""

from collections.abc import Callable, Container

from trace_summarization.text_repr.entries import is_empty, type_of

Chunk = dict[str, object]

_ANTHROPIC_EVENTS = frozenset({
    "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
    "message_stop", "ping",
})  # fmt: skip
_BEDROCK_EVENTS = frozenset({
    "messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata",
})  # fmt: skip
_COHERE_EVENTS = frozenset({
    "message-start", "content-start", "content-delta", "content-end", "message-end", "tool-plan-delta",
    "tool-call-start", "tool-call-delta", "tool-call-end", "citation-start", "citation-end",
})  # fmt: skip
_VERCEL_EVENTS = frozenset({
    "text-start", "text-delta", "text-end", "reasoning-start", "reasoning-delta", "reasoning-end", "start", "finish",
    "start-step", "finish-step", "step-start", "step-finish", "response-metadata", "stream-start",
    "tool-input-start", "tool-input-delta", "tool-input-end", "tool-call-delta", "tool-call-streaming-start",
    "tool-call", "tool-result", "tool-input-available", "tool-output-available", "source", "file", "error", "raw",
})  # fmt: skip

# What the tests of `_STREAMS` ask for, at least.
_CHUNK_KEYS = frozenset({"choices", "delta", "candidates", "done"}) | _BEDROCK_EVENTS
_EVENT_TYPES = _ANTHROPIC_EVENTS | _COHERE_EVENTS | _VERCEL_EVENTS | {"AIMessageChunk"}

_SPEAKERS = frozenset({"user", "system", "developer"})  # how a history begins, and no answer does


_RESPONSES_KEYS = frozenset({
    "type", "response", "item", "delta", "text", "part", "output_index", "content_index", "summary_index", "item_id",
    "sequence_number", "obfuscation", "logprobs", "annotation", "annotation_index", "arguments", "name", "input",
    "code", "transcript",
    "refusal",
})  # fmt: skip
_MESSAGE_CHUNK_KEYS = frozenset({
    "type", "content", "additional_kwargs", "tool_call_chunks", "tool_calls", "invalid_tool_calls", "id", "name",
    "example",
    "response_metadata", "usage_metadata", "chunk_position",
})  # fmt: skip
_VERCEL_KEYS = frozenset({
    "type", "id", "text", "textDelta", "delta", "finishReason", "toolCallId", "toolName", "input", "args", "output",
    "result", "usage", "totalUsage", "providerMetadata", "source", "file", "error", "errorText", "inputTextDelta",
    "messageId",
    "argsTextDelta", "sourceType", "url", "title", "mediaType", "filename", "request", "warnings", "response",
    "messageMetadata",
    "dynamic", "providerExecuted", "rawFinishReason", "modelId", "timestamp", "isContinued", "rawValue", "data",
})  # fmt: skip


def accumulated(items: list[object]) -> object:
    """What a list of stream chunks adds up to, in its provider's form; None when the list is no stream."""
    first = items[0] if items else None
    if not isinstance(first, dict) or not _may_be_chunk(first) or str(first.get("role")) in _SPEAKERS:
        return None
    for is_chunk, add_up, known in _STREAMS:
        if is_chunk(first):
            chunks = [item for item in items if isinstance(item, dict) and (is_chunk(item) or _is_bookkeeping(item))]
            if len(chunks) != len(items):
                return None  # something else is in between: nothing may be lost
            whole = add_up(chunks)
            unread = {key: value for chunk in chunks for key, value in chunk.items() if key not in known}
            return whole if whole is None or not unread else [whole, {"role": "", "text": "", **unread}]
    return None


def _may_be_chunk(item: Chunk) -> bool:
    """Whether it is worth asking provider by provider: the first items of nearly all lists have no such key or type."""
    if not _CHUNK_KEYS.isdisjoint(item):
        return True
    kind = type_of(item)
    return kind in _EVENT_TYPES or kind.startswith("response.")


def _is_openai_chunk(item: Chunk) -> bool:
    choices = item.get("choices")
    if isinstance(choices, list) and (item.get("object") == "chat.completion.chunk" or choices):
        return all(isinstance(choice, dict) and isinstance(choice.get("delta"), dict) for choice in choices)
    return isinstance(item.get("delta"), dict) and "type" not in item


def _openai(chunks: list[Chunk]) -> object:
    by_index: dict[object, Chunk] = {}
    rest: Chunk = {}
    for chunk in chunks:
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else [chunk] if "delta" in chunk else []:
            index = choice.get("index")
            whole = by_index.setdefault(index if isinstance(index, int | str) else 0, {"message": _Merged()})
            message = whole["message"]
            if isinstance(message, _Merged) and isinstance(choice["delta"], dict):
                message.add(choice["delta"])
            whole.update({k: v for k, v in choice.items() if k != "delta" and not is_empty(v)})
        rest.update({k: v for k, v in chunk.items() if k not in ("choices", "delta") and not is_empty(v)})
    answers = [{**whole, "message": {"role": "assistant", **_whole(whole["message"])}} for whole in by_index.values()]
    return {**rest, "choices": answers} if "choices" in chunks[0] else answers


def _is_anthropic_event(item: Chunk) -> bool:
    return item.get("type") in _ANTHROPIC_EVENTS if isinstance(item.get("type"), str) else False


def _anthropic(chunks: list[Chunk]) -> object:
    message: Chunk = {"role": "assistant"}
    blocks: dict[object, _Merged] = {}
    for chunk in chunks:
        kind = chunk["type"]
        started, block, delta = (chunk.get(key) for key in ("message", "content_block", "delta"))
        index = chunk.get("index") if isinstance(chunk.get("index"), int) else len(blocks)
        if kind == "message_start" and isinstance(started, dict):
            message.update({key: value for key, value in started.items() if not is_empty(value)})
        elif kind == "content_block_start" and isinstance(block, dict):
            blocks.setdefault(index, _Merged()).add({k: v for k, v in block.items() if k != "input" or v})
        elif kind == "content_block_delta" and isinstance(delta, dict):
            parts = {key: value for key, value in delta.items() if key != "type"}
            if isinstance(parts.get("citation"), dict):
                parts = {"citations": [{**parts["citation"], "index": None}]}
            blocks.setdefault(index, _Merged()).add(parts)
        elif kind == "message_delta" and isinstance(delta, dict):
            message.update({key: value for key, value in delta.items() if not is_empty(value)})
    listed = [{"type": "text", **_whole(block)} for block in blocks.values()]
    return {**message, "content": listed} if listed else message


def _is_responses_event(item: Chunk) -> bool:
    kind = type_of(item)
    return kind.startswith("response.") and kind.count(".") <= 4


def _responses(chunks: list[Chunk]) -> object:
    states = [state for chunk in chunks if isinstance(state := chunk.get("response"), dict)]
    last: Chunk = states[-1] if states else {}
    if not is_empty(last.get("output")):
        return last
    items: dict[object, _ResponseItem] = {}
    place_by_id: dict[object, object] = {}
    for chunk in chunks:
        piece, _, step = type_of(chunk).removeprefix("response.").rpartition(".")
        item = chunk.get("item")
        if piece not in ("output_item", "output_text.annotation") and piece not in _RESPONSE_PIECES:
            continue
        index, item_id = chunk.get("output_index"), chunk.get("item_id")
        item_id = item.get("id") if isinstance(item, dict) else item_id
        if isinstance(index, int):
            place: object = index
        elif isinstance(item_id, str):
            place = place_by_id.get(item_id, item_id)
        else:
            place = (piece, len(items)) if isinstance(item, dict) else piece
        if isinstance(item_id, str):
            place_by_id.setdefault(item_id, place)
        items.setdefault(place, _ResponseItem()).add(chunk, piece, step)
    return {**last, "object": "response", "output": [item.whole() for item in items.values()]}


# What the pieces of an item that is still being written belong to: the item's type, its field, the type of a part.
_RESPONSE_PIECES = {
    "output_text": ("message", "content", "output_text"),
    "text": ("message", "content", "output_text"),
    "refusal": ("message", "content", "refusal"),
    "audio_transcript": ("message", "content", "output_text"),
    "output_audio_transcript": ("message", "content", "output_text"),
    "reasoning_summary_text": ("reasoning", "summary", "summary_text"),
    "reasoning_text": ("reasoning", "content", "reasoning_text"),
    "function_call_arguments": ("function_call", "arguments", ""),
    "mcp_call_arguments": ("mcp_call", "arguments", ""),
    "custom_tool_call_input": ("custom_tool_call", "input", ""),
    "code_interpreter_call_code": ("code_interpreter_call", "code", ""),
}


class _ResponseItem:
    """One item of a Responses stream: as it was sent when done, else what was said of it so far."""

    def __init__(self) -> None:
        self._sent: Chunk = {}
        self._is_done = False
        self._annotations: list[object] = []
        self._pieces: dict[tuple[str, object], list[str]] = {}  # by kind of piece and index of the part

    def add(self, chunk: Chunk, piece: str, step: str) -> None:
        item = chunk.get("item")
        if piece == "output_item":
            if isinstance(item, dict):
                self._sent, self._is_done = item, step == "done"
            return
        if piece == "output_text.annotation":
            self._annotations.append(chunk.get("annotation"))
            return
        index = next((i for key in ("content_index", "summary_index") if isinstance(i := chunk.get(key), int)), 0)
        texts = self._pieces.setdefault((piece, index), [])
        field = _RESPONSE_PIECES[piece][1]
        said = next(
            (
                said
                for key in ("delta", "text", "transcript", "refusal", field)
                if isinstance(said := chunk.get(key), str)
            ),
            "",
        )
        if step == "done" and said:
            texts.clear()
        texts.append(said)

    def whole(self) -> Chunk:
        if self._is_done or not self._pieces:
            return self._sent
        said: Chunk = {}
        parts: dict[str, list[Chunk]] = {}
        for (piece, _), texts in self._pieces.items():
            kind, field, part = _RESPONSE_PIECES[piece]
            said["type"], text = kind, "".join(texts)
            if part:
                made: Chunk = {"type": part, "refusal" if part == "refusal" else "text": text}
                parts.setdefault(field, []).append(made)
            else:
                said[field] = text
        said |= parts
        if said["type"] == "message":
            said |= {"role": "assistant", "annotations": self._annotations}
        return {**said, **{key: value for key, value in self._sent.items() if not is_empty(value)}}


def _is_bedrock_event(item: Chunk) -> bool:
    return len(item) == 1 and next(iter(item)) in _BEDROCK_EVENTS and isinstance(next(iter(item.values())), dict)


def _bedrock(chunks: list[Chunk]) -> object:
    message: Chunk = {"role": "assistant"}
    blocks: dict[object, _Merged] = {}
    for chunk in chunks:
        kind, body = next(iter(chunk.items()))
        if not isinstance(body, dict):
            continue
        if not kind.startswith("contentBlock"):
            message.update({key: value for key, value in body.items() if key not in ("usage", "metrics")})
            continue
        index = body.get("contentBlockIndex")
        block = blocks.setdefault(index if isinstance(index, int) else 0, _Merged())
        start, delta = body.get("start"), body.get("delta")
        if isinstance(start, dict):
            block.add(start)
        if isinstance(delta, dict):
            thought = delta.get("reasoningContent")
            block.add({"reasoningContent": {"reasoningText": thought}} if isinstance(thought, dict) else delta)
    return {**message, "content": [whole for block in blocks.values() if (whole := block.whole())]}


def _is_gemini_chunk(item: Chunk) -> bool:
    return isinstance(item.get("candidates"), list)


def _gemini(chunks: list[Chunk]) -> object:
    by_index: dict[object, Chunk] = {}
    texts: dict[int, list[str]] = {}  # pieces of a part's text by the part's identity
    rest: Chunk = {}
    for chunk in chunks:
        rest.update({key: value for key, value in chunk.items() if key != "candidates" and not is_empty(value)})
        listed = chunk["candidates"]
        for candidate in listed if isinstance(listed, list) else []:
            if not isinstance(candidate, dict):
                return None
            index = candidate.get("index")
            whole = by_index.setdefault(index if isinstance(index, int) else 0, {"parts": []})
            content = candidate.get("content")
            parts = content.get("parts") if isinstance(content, dict) else None
            for part in parts if isinstance(parts, list) else []:
                _add_part(whole["parts"], part, texts)
            whole.update({k: v for k, v in candidate.items() if k != "content" and not is_empty(v)})
    for whole in by_index.values():
        for part in whole["parts"] if isinstance(whole["parts"], list) else []:
            if id(part) in texts:
                part["text"] = "".join(texts[id(part)])
    candidates = [
        {**{k: v for k, v in whole.items() if k != "parts"}, "content": {"role": "model", "parts": whole["parts"]}}
        for whole in by_index.values()
    ]
    return {**rest, "candidates": candidates}


def _add_part(parts: object, part: object, texts: dict[int, list[str]]) -> None:
    """Append a part, or the text of a part to the text before it; `texts` has the pieces by position."""
    if not isinstance(parts, list):
        return
    before = parts[-1] if parts else None
    if not isinstance(part, dict) or not isinstance(text := part.get("text"), str):
        parts.append(part)
    elif isinstance(before, dict) and id(before) in texts and bool(part.get("thought")) == bool(before.get("thought")):
        texts[id(before)].append(text)
        before.update({key: value for key, value in part.items() if key != "text"})
    else:
        parts.append({**part})
        texts[id(parts[-1])] = [text]


def _is_ollama_chunk(item: Chunk) -> bool:
    says = isinstance(item.get("message"), dict) or isinstance(item.get("response"), str)
    return says and isinstance(item.get("done"), bool)


def _ollama(chunks: list[Chunk]) -> object:
    message = _Merged()
    for chunk in chunks:
        body = chunk.get("message")
        message.add(body if isinstance(body, dict) else {"content": chunk.get("response")})
    return {"role": "assistant", **_whole(message), "finish_reason": chunks[-1].get("done_reason")}


def _is_cohere_event(item: Chunk) -> bool:
    return type_of(item) in _COHERE_EVENTS


def _cohere(chunks: list[Chunk]) -> object:
    message = _Merged()
    reason: object = None
    for chunk in chunks:
        delta = chunk.get("delta")
        body = delta.get("message") if isinstance(delta, dict) else None
        reason = delta.get("finish_reason") or reason if isinstance(delta, dict) else reason
        if not isinstance(body, dict):
            continue
        content, calls = body.get("content"), body.get("tool_calls")
        added = {k: v for k, v in body.items() if k not in ("content", "tool_calls", "citations", "role")}
        if isinstance(content, dict):
            added |= {k: v for k, v in content.items() if k in ("text", "thinking")}
        if isinstance(calls, dict):
            added["tool_calls"] = [{"index": chunk.get("index"), **calls}]
        if isinstance(body.get("citations"), dict):
            added["citations"] = [body["citations"]]
        message.add(added)
    return {"role": "assistant", **_whole(message), "finish_reason": reason}


def _is_vercel_event(item: Chunk) -> bool:
    return type_of(item) in _VERCEL_EVENTS and "content" not in item


def _vercel(chunks: list[Chunk]) -> object:
    if not any(type_of(chunk).endswith("-delta") for chunk in chunks):
        return None  # parts of a message, which are no stream
    parts: list[object] = []
    reason: object = None
    inputs: dict[object, _Merged] = {}  # what was written so far of a call's input, by the call's id
    for chunk in chunks:
        kind = type_of(chunk)
        call_id = str(chunk.get("toolCallId") or chunk.get("id"))
        delta = next((v for k in ("text", "textDelta", "delta") if isinstance(v := chunk.get(k), str)), "")
        if kind in ("text-delta", "reasoning-delta"):
            last = parts[-1] if parts else None
            if not (isinstance(last, _Merged) and last.kind == kind):
                last = _Merged(kind)
                parts.append(last)
            last.add({"text": delta})
        elif kind in ("tool-call", "tool-result", "tool-input-available", "tool-output-available", "source", "file"):
            alias = {"tool-input-available": "tool-call", "tool-output-available": "tool-result"}
            parts.append({**chunk, "type": alias.get(kind, kind)})
            inputs.pop(call_id, None)
        elif kind in ("tool-input-start", "tool-call-streaming-start"):
            inputs[call_id] = _Merged(call_id)
            inputs[call_id].add({"type": "tool-call", "id": call_id, "toolName": chunk.get("toolName")})
        elif kind in ("tool-input-delta", "tool-call-delta"):
            piece = next(
                (v for k in ("inputTextDelta", "argsTextDelta", "delta") if isinstance(v := chunk.get(k), str)), ""
            )
            inputs.setdefault(call_id, _Merged(call_id)).add({"type": "tool-call", "input": piece})
        elif kind == "error":
            parts.append(chunk)
        reason = chunk.get("finishReason") or reason
    types = {"text-delta": "text", "reasoning-delta": "reasoning"}
    said = [{"type": types[part.kind], **_whole(part)} if isinstance(part, _Merged) else part for part in parts]
    said += [call.whole() for call in inputs.values()]  # the stream was cut off before it was called
    return {"role": "assistant", "parts": said, "finish_reason": reason}


def _is_message_chunk(item: Chunk) -> bool:
    return type_of(item) == "AIMessageChunk" and "content" in item


def _message_chunks(chunks: list[Chunk]) -> object:
    if len(chunks) < 2 or len({str(chunk.get("id")) for chunk in chunks}) > 1:
        return None  # answers, each of them whole
    message = _Merged()
    for chunk in chunks:
        pieces = chunk.get("tool_call_chunks")
        said = {k: v for k, v in chunk.items() if k in ("content", "additional_kwargs") and not is_empty(v)}
        message.add({**said, **({"tool_calls": pieces} if pieces else {})})
    told = [told for chunk in chunks if not is_empty(told := chunk.get("response_metadata"))]
    return {"type": "ai", "content": "", **_whole(message), **({"response_metadata": told[-1]} if told else {})}


def _is_bookkeeping(item: Chunk) -> bool:
    """Pings and usage reports, which stand between the chunks of a stream."""
    return item.get("type") == "ping" or (item.get("choices") == [] and "usage" in item)


class _AllKeys:
    """The keys of chunks that are carried over whole."""

    def __contains__(self, key: object) -> bool:
        return True


class _Merged:
    """Deltas put together: strings joined, lists merged by index, objects merged by key. Linear in what is added."""

    def __init__(self, kind: str = "") -> None:
        self.kind = kind
        self._strings: dict[str, list[str]] = {}
        self._lists: dict[str, dict[object, _Merged]] = {}
        self._objects: dict[str, _Merged] = {}
        self._others: dict[str, object] = {}
        self._order: dict[str, None] = {}

    def add(self, delta: Chunk, depth: int = 0) -> None:
        for key, value in delta.items():
            if value is None:
                continue
            self._order[key] = None
            if isinstance(value, str) and key in ("role", "type", "id", "name", "index", "tool_call_id", "call_id"):
                if value or key not in self._others:
                    self._others[key] = value
            elif isinstance(value, str):
                self._strings.setdefault(key, []).append(value)
            elif isinstance(value, list) and depth < 5:
                merged = self._lists.setdefault(key, {})
                for item in value:
                    index = item.get("index") if isinstance(item, dict) else None
                    place: object = index if isinstance(index, int) else ("appended", len(merged))
                    merged.setdefault(place, _Merged()).add(item if isinstance(item, dict) else {"": item}, depth + 1)
            elif isinstance(value, dict) and depth < 5:
                self._objects.setdefault(key, _Merged()).add(value, depth + 1)
            else:
                self._others[key] = value

    def whole(self) -> Chunk:
        joined: Chunk = {}
        for key in self._order:
            if key in self._lists:
                items = [item.whole() for item in self._lists[key].values()]
                joined[key] = [item[""] if item.keys() == {""} else item for item in items]
            elif key in self._objects:
                joined[key] = self._objects[key].whole()
            elif key in self._strings:
                joined[key] = "".join(self._strings[key])
            else:
                joined[key] = self._others[key]
        return joined


def _whole(merged: object) -> Chunk:
    return merged.whole() if isinstance(merged, _Merged) else {}


# How to tell a provider's chunks, how to add them up, and which of their keys that reads.
_STREAMS: tuple[tuple[Callable[[Chunk], bool], Callable[[list[Chunk]], object], Container[str]], ...] = (
    (_is_openai_chunk, _openai, _AllKeys()),
    (_is_anthropic_event, _anthropic, {"type", "message", "index", "content_block", "delta", "usage", "stop_details"}),
    (_is_responses_event, _responses, _RESPONSES_KEYS),
    (_is_bedrock_event, _bedrock, _AllKeys()),
    (_is_gemini_chunk, _gemini, _AllKeys()),
    (_is_ollama_chunk, _ollama, {"message", "response", "done", "done_reason", "context", "model", "created_at"}),
    (_is_cohere_event, _cohere, {"type", "delta", "index", "id"}),
    (_is_message_chunk, _message_chunks, _MESSAGE_CHUNK_KEYS),
    (_is_vercel_event, _vercel, _VERCEL_KEYS),
)

"""What is said of an answer: why it ended, whether it was found harmful, what it is grounded on."""

from trace_summarization.text_repr.entries import Entry, first_of, is_empty, is_hollow, name_of
from trace_summarization.text_repr.plain_text import compact_json
from trace_summarization.text_repr.sources import grounding_text

FINISH_KEYS = ("finish_reason", "finishReason", "stop_reason", "stopReason", "done_reason")
SAFETY_KEYS = ("safetyRatings", "safety_ratings")
GROUNDING_KEYS = (
    "groundingMetadata", "grounding_metadata", "citationMetadata", "citation_metadata", "urlContextMetadata",
    "url_context_metadata",
)  # fmt: skip
_METADATA_KEYS = ("response_metadata", "generation_info", "meta", "_meta")
_FINISH_OR_METADATA_KEYS = frozenset({*FINISH_KEYS, *_METADATA_KEYS})
_VERDICT_KEYS = frozenset({*SAFETY_KEYS, *GROUNDING_KEYS})
FEEDBACK_KEYS = ("promptFeedback", "prompt_feedback")
_UNREMARKABLE_FINISHES = frozenset({
    "complete", "completed", "done", "end_turn", "endoftext", "eos", "eos_token", "finish", "finished",
    "finish_reason_unspecified", "function_call", "stop", "stop_sequence", "tool_call", "tool_calls", "tool_use",
    "1", "0",
})  # fmt: skip
_PROTOBUF_FINISHES = {
    2: "MAX_TOKENS",
    3: "SAFETY",
    4: "RECITATION",
    5: "OTHER",
    6: "BLOCKLIST",
    7: "PROHIBITED_CONTENT",
}
_HARMLESS = frozenset({"NEGLIGIBLE", "LOW", "HARM_PROBABILITY_UNSPECIFIED", "1", "2", "0"})


def finish(value: dict[str, object], role: str) -> list[Entry]:
    """Why an answer ended, where it did not simply end."""
    if _FINISH_OR_METADATA_KEYS.isdisjoint(value):
        return []
    reason = first_of(value, *FINISH_KEYS)
    for key in _METADATA_KEYS:
        if reason is None and isinstance(metadata := value.get(key), dict):
            reason = first_of(metadata, *FINISH_KEYS)
    if reason is None or isinstance(reason, bool):
        return []
    if isinstance(reason, dict):  # Vercel's {"unified": "stop", "raw": "end_turn"}
        reason = first_of(reason, "unified", "reason", "type") or compact_json(reason)
    if isinstance(reason, int):
        reason = _PROTOBUF_FINISHES.get(reason, str(reason))
    if not isinstance(reason, str) or not reason:
        return []
    reason = name_of(reason)
    plain = reason.lower().rpartition("finishreason.")[2].replace("-", "_")
    return [] if plain in _UNREMARKABLE_FINISHES else [Entry(f"{role or 'assistant'} stopped", reason)]


def verdicts(value: dict[str, object], role: str) -> list[Entry]:
    """Gemini's safety ratings where they are cause for concern, and what an answer is grounded on."""
    entries: list[Entry] = []
    if _VERDICT_KEYS.isdisjoint(value):
        return entries
    for key in SAFETY_KEYS:
        if key in value:
            text = _harms(value[key])
            entries += [Entry(f"{role} safety".strip(), text)] if text else []
    for key in GROUNDING_KEYS:
        if not is_hollow(value.get(key)):
            text = grounding_text(value[key])
            entries += [Entry(f"{role} sources".strip(), text)] if text else []
    return entries


def _harms(ratings: object) -> str:
    if not isinstance(ratings, list):
        return "" if is_empty(ratings) else compact_json(ratings)
    harms = []
    for rating in ratings:
        if not isinstance(rating, dict):
            harms.append(compact_json(rating))
        elif rating.get("blocked") is True or name_of(rating.get("probability")).upper() not in (*_HARMLESS, ""):
            blocked = " (blocked)" if rating.get("blocked") is True else ""
            harms.append(f"{name_of(rating.get('category'))} {name_of(rating.get('probability'))}".strip() + blocked)
    return ", ".join(harms)


def feedback(value: dict[str, object]) -> list[Entry]:
    """Why a prompt was turned down."""
    entries: list[Entry] = []
    for key in FEEDBACK_KEYS:
        feedback = value.get(key)
        if isinstance(feedback, dict):
            said = [
                feedback.get(name)
                for name in ("blockReason", "block_reason", "blockReasonMessage", "block_reason_message")
            ]
            said.append(_harms(feedback.get("safetyRatings") or feedback.get("safety_ratings")))
            text = ": ".join(name_of(part) for part in said if name_of(part))
            entries += [Entry("prompt blocked", text)] if text else []
    return entries

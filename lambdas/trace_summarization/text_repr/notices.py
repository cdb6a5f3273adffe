"""Blocks that say something about the conversation: refusals, approvals, references, errors."""

from trace_summarization.text_repr.entries import Entry, first_of, leftovers, name_of
from trace_summarization.text_repr.plain_text import compact_json


def notice_entries(block: dict[str, object], stated: str, role: str) -> list[Entry] | None:
    """What a block of such a type says; None for a block of any other type."""
    rule = _RULES.get(stated)
    return rule(block, role) if rule is not None else None


def is_notice(stated: str) -> bool:
    """Whether a stated type is one of these, and no other data is likely to state it."""
    return stated in _RULES and stated != "error"


def _refusal(block: dict[str, object], role: str) -> list[Entry]:
    refused = first_of(block, "refusal", "text", "content")
    text = refused if isinstance(refused, str) else compact_json(refused)
    return [Entry(f"{role} refuses".strip(), text), *leftovers(block, ("refusal", "text", "content"), role)]


def _reference(block: dict[str, object], role: str) -> list[Entry]:
    return [Entry(role, f"[as in item {name_of(block.get('id'))}]"), *leftovers(block, (), role)]


def _approval_response(block: dict[str, object], _: str) -> list[Entry]:
    given = first_of(block, "approve", "approved")
    reason = block.get("reason")
    verdict = "approved" if given is True else "denied" if given is False else compact_json(given)
    text = f"{verdict}: {reason}" if isinstance(reason, str) and reason else verdict
    return [Entry("user approval", text), *leftovers(block, ("approve", "approved", "reason"), "user approval")]


def _tool_reference(block: dict[str, object], role: str) -> list[Entry]:
    return reference_entries([block], role)


def reference_entries(references: object, label: str) -> list[Entry]:
    """Tools that a search for tools has found."""
    listed = references if isinstance(references, list) else [references]
    names = [name_of(item.get("tool_name")) if isinstance(item, dict) else "" for item in listed]
    text = ", ".join(name or compact_json(item) for name, item in zip(names, listed, strict=True))
    return [Entry(label, f"[tools found: {text}]")]


def _error(block: dict[str, object], role: str) -> list[Entry]:
    said = first_of(block, "error", "errorText", "message", "content")
    if said is None:
        return [Entry(role, compact_json(block))]
    label = f"{role} error".strip()
    text = said if isinstance(said, str) else compact_json(said)
    return [Entry(label, text), *leftovers(block, ("error", "errorText", "message", "content"), label)]


_RULES = {
    "refusal": _refusal,
    "item_reference": _reference,
    "mcp_approval_response": _approval_response,
    "tool_reference": _tool_reference,
    "error": _error,
}

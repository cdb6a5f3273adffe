"""What tools give back: shells around their output, exit codes, signs of failure."""

import json

from trace_summarization.text_repr.entries import Entry, first_of, leftovers
from trace_summarization.text_repr.plain_text import compact_json

_DEEPEST_STRUCT = 20  # objects in objects of protobuf's `Struct`
_FAILURES = frozenset(
    {
        "failed",
        "incomplete",
        "error",
        "output-error",
        "output-denied",
        "cancelled",
        "outcome_failed",
        "outcome_deadline_exceeded",
    }
)
_WRAPPED_OUTPUTS = frozenset({"text", "content", "error-text", "execution-denied"})
_SHELL_KEYS = frozenset({"type", "value", "providerOptions", "providerMetadata"})
_EXECUTION_KEYS = frozenset({
    "stdout", "stderr", "return_code", "returnCode", "exit_code", "exitCode", "stdOut", "stdErr", "outcome", "isError",
    "abort_reason", "content", "type", "interrupted", "isImage", "created_by",
})  # fmt: skip


def is_failure(value: dict[str, object]) -> bool:
    """Whether a call or result says that it failed."""
    for key in ("is_error", "isError", "tool_call_error"):
        if value.get(key) is True:
            return True
    for key in ("status", "state", "outcome"):
        state = value.get(key)
        if isinstance(state, str) and state.lower() in _FAILURES:
            return True
    output = first_of(value, "output", "content")
    if isinstance(output, dict):
        kind = output.get("type")
        return isinstance(kind, str) and (
            kind in ("error-text", "error-json", "execution-denied") or kind.endswith("_tool_result_error")
        )
    return False


def is_stated_json(output: dict[str, object]) -> bool:
    """Whether Vercel's shell says that it holds JSON: data of the tool's own, whatever its keys are."""
    return output.get("type") in ("json", "error-json") and "value" in output and output.keys() <= _SHELL_KEYS


def unwrapped_output(output: dict[str, object]) -> object:
    """What Vercel's `{"type": "text", "value": ...}` holds; an Anthropic error's code and message."""
    stated = output.get("type")
    if stated in _WRAPPED_OUTPUTS if isinstance(stated, str) else False:
        if "value" in output and output.keys() <= _SHELL_KEYS:
            return output["value"]
        if stated == "execution-denied":
            reason = output.get("reason")
            return f"denied: {reason}" if isinstance(reason, str) and reason else "denied"
    if isinstance(stated, str) and stated.endswith("_tool_result_error"):
        said = [output.get("error_code"), output.get("error_message")]
        return ": ".join(part for part in said if isinstance(part, str) and part) or output
    if (
        isinstance(stated, str)
        and stated.endswith("_search_result")
        and isinstance(output.get("tool_references"), list)
    ):
        return output["tool_references"]
    return output


def says_same(text: str, data: object) -> bool:
    """Whether a text is the JSON of a value, or the value is the text in a shell."""
    if isinstance(data, dict) and list(data.values()) == [text]:
        return True
    try:
        parsed = json.loads(text)
        return bool(parsed == data or (isinstance(data, dict) and list(data.values()) == [parsed]))
    except (ValueError, RecursionError):
        return False


def execution_text(block: dict[str, object]) -> tuple[str, list[Entry]] | None:
    """What a command printed and how it ended; None when the block is no such record."""
    out, err = first_of(block, "stdout", "stdOut"), first_of(block, "stderr", "stdErr")
    if (
        not isinstance(out, str)
        or (err is not None and not isinstance(err, str))
        or not block.keys() <= _EXECUTION_KEYS
    ):
        return None
    outcome = block.get("outcome")
    code = first_of(block, "return_code", "returnCode", "exit_code", "exitCode")
    code = first_of(outcome, "exit_code", "type") if isinstance(outcome, dict) and code is None else code
    lines = [out.rstrip("\n"), f"stderr: {err.rstrip()}" if isinstance(err, str) and err.strip() else ""]
    lines.append(
        "" if code in (0, None) else f"exit code {code if isinstance(code, int | str) else compact_json(code)}"
    )
    text = "\n".join(line for line in lines if line)
    return text or ("" if block.get("content") else "[no output]"), leftovers(
        {key: block[key] for key in block if key in ("abort_reason", "interrupted") and block[key]}, (), ""
    )


def from_protobuf(value: object, depth: int = 0) -> object:
    """A value of protobuf's `Struct` as the plain value it stands for."""
    if not isinstance(value, dict) or len(value) != 1 or depth > _DEEPEST_STRUCT:
        return value
    key, inner = next(iter(value.items()))
    plain = str(key).replace("_", "").lower()
    if plain in ("stringvalue", "numbervalue", "boolvalue"):
        return inner
    if plain == "nullvalue":
        return None
    if plain == "structvalue" and isinstance(inner, dict) and isinstance(inner.get("fields"), dict):
        return {name: from_protobuf(member, depth + 1) for name, member in inner["fields"].items()}
    if plain == "listvalue" and isinstance(inner, dict) and isinstance(inner.get("values"), list):
        return [from_protobuf(member, depth + 1) for member in inner["values"]]
    return value

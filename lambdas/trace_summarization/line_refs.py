"""References to lines of a rendered trace: `L10`, `L1-5`, `L1-L5`, lists of them."""

import re

from trace_summarization import constants as c

_REFERENCE = re.compile(r"L(\d{1,7})(?:\s?[-–]\s?L?(\d{1,7}))?", re.ASCII)


def normalized_refs(refs: str, line_count: int) -> str:
    """The references that name existing lines, as `L10, L1-5`: each once, in the order given.

    What is malformed, runs backwards or leaves the text is left out, and what does not fit `MAX_LINE_REFS_LENGTH`.
    """
    kept: list[str] = []
    length = 0
    for piece in re.split(r"[,;]", refs[: c.MAX_LINE_REFS_LENGTH * 10]):
        match = _REFERENCE.fullmatch(piece.strip())
        if match is None:
            continue
        first, last = int(match[1]), int(match[2] or match[1])
        if not 1 <= first <= last <= line_count:
            continue
        reference = f"L{first}" if first == last else f"L{first}-{last}"
        if reference not in kept and length + len(reference) + 2 <= c.MAX_LINE_REFS_LENGTH + 2:
            kept.append(reference)
            length += len(reference) + 2
    return ", ".join(kept)

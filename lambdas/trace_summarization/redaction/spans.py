"""Spans of text that a finder marks, and how those of several finders become one list."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["private-key", "secret", "password", "email", "card", "phone"]


@dataclass(frozen=True, slots=True)
class Span:
    """`text[start:end]` is a value of this kind."""

    start: int
    end: int
    kind: Kind


def united(spans: Iterable[Span]) -> list[Span]:
    """The spans in order, overlapping ones as one (the longest names the kind), so that no rest of a value is left."""
    result: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if result and span.start < result[-1].end:
            last = result[-1]
            if span.end > last.end:
                result[-1] = Span(last.start, span.end, last.kind)
        else:
            result.append(span)
    return result


def outside(spans: Iterable[Span], taken: list[Span]) -> list[Span]:
    """Those of the spans that overlap none of the taken ones (both in order)."""
    result: list[Span] = []
    at = 0
    for span in spans:
        while at < len(taken) and taken[at].end <= span.start:
            at += 1
        if at == len(taken) or taken[at].start >= span.end:
            result.append(span)
    return result

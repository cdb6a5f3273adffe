"""A trace's summary: asked of a model, checked, and stripped of everything that must not be stored."""

import functools
import json
import operator
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trace_summarization import constants as c
from trace_summarization.diagram import safe_diagram
from trace_summarization.errors import InvalidModelOutput, ModelOutputCutOff, TraceSummarizationError
from trace_summarization.line_refs import GivenRefs, fitting_refs, parse_refs, written_refs
from trace_summarization.models import Mode, ModelUsage, SummaryItem, TraceSummary
from trace_summarization.ports import ModelAnswer, ModelRequest, Spending, SummaryModel
from trace_summarization.prompts import SUMMARY_SIZES
from trace_summarization.requests import repair_request, summary_request
from trace_summarization.safe_text import safe_text
from trace_summarization.text_repr import TextRepr
from trace_summarization.verification import LineEvidence

_QUOTES = tuple("\"'“”‘’")
_CUT_OFF_TITLE_ENDS = " ,;:-–—"


@dataclass(frozen=True)
class SummarizedTrace:
    """A checked summary and what each answered call for it took, in order."""

    summary: TraceSummary
    usages: tuple[ModelUsage, ...]

    @property
    def usage(self) -> ModelUsage:
        """What all calls took together."""
        return functools.reduce(operator.add, self.usages)


def summarize(
    rendered: TextRepr, mode: Mode, model_name: str, model: SummaryModel, timeout_seconds: float, spending: Spending
) -> SummarizedTrace:
    """Ask the model for a summary of the rendered trace, and once more if its answer cannot be used.

    `timeout_seconds` bounds all of it. The second request shows the model its answer and names what is wrong; it is
    made only while there is time and money for it. Whatever prevents or ends it, the first answer's error is raised,
    which another attempt can help; only after two answers that were cut off it is ModelOutputCutOff.
    Raises the `Model*` errors, InvalidModelOutput, and BudgetExhausted or SpendingUnavailable while nothing was paid.
    """
    began = time.monotonic()
    request = summary_request(rendered.text, mode, model_name)
    answer = model.answer(request, timeout_seconds, spending)
    try:
        return SummarizedTrace(_summary_in(answer, request, rendered, mode), (answer.usage,))
    except InvalidModelOutput as error:
        seconds_left = timeout_seconds - (time.monotonic() - began)
        if seconds_left < c.MODEL_SHORTEST_ANSWER_SECONDS:
            raise
        repair = repair_request(request, answer, str(error))
        try:
            repaired = model.answer(repair, seconds_left, spending)
        except TraceSummarizationError as repair_error:
            raise error from repair_error
        if answer.is_cut_off and repaired.is_cut_off:
            raise ModelOutputCutOff(f"{_cut_off_at(repair)}, and so was the one before it") from error
        try:
            summary = _summary_in(repaired, repair, rendered, mode)
        except InvalidModelOutput as repair_error:
            raise error from repair_error
        return SummarizedTrace(summary, (answer.usage, repaired.usage))


def _summary_in(answer: ModelAnswer, request: ModelRequest, rendered: TextRepr, mode: Mode) -> TraceSummary:
    if answer.is_cut_off:
        raise InvalidModelOutput(_cut_off_at(request))
    return parse_summary(answer.content, rendered, mode)


def _cut_off_at(request: ModelRequest) -> str:
    return f"the answer was cut off at {request.max_output_tokens} tokens or the model's own limit"


@dataclass(frozen=True)
class _GivenItem:
    """A bullet or note as the model gave it, its text made safe."""

    text: str
    refs: GivenRefs


@dataclass(frozen=True)
class _CheckedItem:
    """A bullet or note to store, with how many references the model gave for it and how many of them were kept."""

    item: SummaryItem
    refs_valid: int
    refs_total: int


def parse_summary(content: str, rendered: TextRepr, mode: Mode = c.DEFAULT_MODE) -> TraceSummary:
    """The summary that the model's answer holds.

    Cut silently: titles, items and lists beyond their sizes, fields that were not asked for. Cut and counted:
    references to lines that were not shown or do not show what the item says. Replaced: a diagram outside the grammar,
    by the bullets in a row. Everything else outside the schema raises InvalidModelOutput, whose message names the field
    and never quotes the answer.
    """
    fields = _object(content)
    size = SUMMARY_SIZES[mode]
    title = _title(_string(fields, "title"))
    evidence = LineEvidence(rendered.lines, rendered.pointers)
    bullets = [_checked(item, evidence) for item in _items(fields, "summary_bullets", size.most_bullets)]
    notes = [_checked(item, evidence) for item in _items(fields, "interesting_notes", size.most_notes)]
    if not title:
        raise InvalidModelOutput("title: holds no text")
    if not bullets:
        raise InvalidModelOutput("summary_bullets: no item holds text")
    diagram = safe_diagram(_string(fields, "flow_diagram"), [bullet.item.text for bullet in bullets])
    return TraceSummary(
        title=title,
        flow_diagram=diagram,
        bullets=tuple(each.item for each in bullets),
        interesting_notes=tuple(each.item for each in notes),
        line_refs_valid=sum(each.refs_valid for each in (*bullets, *notes)),
        line_refs_total=sum(each.refs_total for each in (*bullets, *notes)),
    )


def _object(content: str) -> Mapping[str, Any]:
    # Models without strict schema support like to wrap their JSON into a code fence.
    text = content.strip().removeprefix("```json").removeprefix("```").removesuffix("```").strip()
    if not text:
        raise InvalidModelOutput("the answer is empty")
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        # The decoder's error carries the answer, which quotes the trace: it must not reach a log.
        raise InvalidModelOutput(f"the answer is not JSON ({len(content)} characters)") from None
    if not isinstance(fields, dict):
        raise InvalidModelOutput(f"the answer is a JSON {type(fields).__name__}, not an object")
    return fields


def _string(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise InvalidModelOutput(f"{name}: is {_kind(fields, name)}, not a string")
    return value


def _items(fields: Mapping[str, Any], name: str, most: int) -> list[_GivenItem]:
    value = fields.get(name)
    if not isinstance(value, list):
        raise InvalidModelOutput(f"{name}: is {_kind(fields, name)}, not a list")
    items = [_item(item, f"{name}[{position}]") for position, item in enumerate(value)]
    return [item for item in items if item.text][:most]


def _item(value: object, place: str) -> _GivenItem:
    if not isinstance(value, dict):
        raise InvalidModelOutput(f"{place}: is {type(value).__name__}, not an object with text and line_refs")
    for name in ("text", "line_refs"):
        if not isinstance(value.get(name), str):
            raise InvalidModelOutput(f"{place}.{name}: is {_kind(value, name)}, not a string")
    return _GivenItem(safe_text(value["text"], c.MAX_ITEM_LENGTH), parse_refs(value["line_refs"]))


def _checked(given: _GivenItem, evidence: LineEvidence) -> _CheckedItem:
    kept = fitting_refs(evidence.supporting(given.text, given.refs.ranges))
    item = SummaryItem(given.text, written_refs(kept), verified=bool(kept))
    return _CheckedItem(item, len(kept), len(given.refs.ranges) + given.refs.malformed)


def _title(text: str) -> str:
    line = safe_text(text, c.MAX_TITLE_LENGTH).strip(" .")
    if line[:1] in _QUOTES and line[-1:] in _QUOTES:
        # What stood behind a quotation mark now begins the title.
        line = safe_text(line[1:-1], c.MAX_TITLE_LENGTH)
    words = line.split()
    kept = " ".join(words[: c.MAX_TITLE_WORDS])
    return kept.rstrip(_CUT_OFF_TITLE_ENDS) if len(words) > c.MAX_TITLE_WORDS else kept


def _kind(fields: Mapping[str, Any], name: str) -> str:
    return type(fields[name]).__name__ if name in fields else "missing"

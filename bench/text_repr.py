"""`text_repr`: what a rendered trace still says, and at what length and cost, beside a plain rendering of the same."""

import importlib
import importlib.util
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.baseline_rendering import render_baseline, sampled_to_tokens, without_line_numbers
from bench.content_share import DistinctContent, Shown, distinct_content
from bench.event_files import RecordedTrace, read_traces
from trace_summarization.models import TraceEvent
from trace_summarization.text_repr import TextRepr, fit, render_trace
from trace_summarization.tokens import count_tokens

MIN_CONTENT_SHARE = 0.95
MIN_MEAN_CONTENT_SHARE = 0.99
MAX_REPETITIVE_TOKEN_RATIO = 0.25
MAX_REPETITIVE_RATIO = 1.15
MIN_SPEED_RATIO = 1.0
MAX_LAYOUT_SHARE = 0.15
MAX_SECONDS = {"render_seconds": 1.0, "count_seconds": 1.0, "redact_seconds": 2.0}  # of 2,000,000 characters

_REPETITIVE = 4  # a trace is repetitive when the baseline needs more than so many times its distinct content's tokens
_RUNS = 3
_WORST = 10
_LONG_TRACE_CHARACTERS = 2_000_000
_LONG_TRACE_MESSAGE_CHARACTERS = 4_000


@dataclass(frozen=True)
class Measured:
    """One trace in both renderings. Shares are of characters of distinct content, between 0 and 1."""

    trace: RecordedTrace
    content: DistinctContent
    distinct_tokens: int
    rendered: TextRepr
    tokens: int
    content_tokens: int  # of the text without its lines' numbers
    content_share: float
    baseline: str
    baseline_tokens: int
    baseline_content_tokens: int
    baseline_content_share: float

    @property
    def token_ratio(self) -> float:
        """Our tokens over the baseline's."""
        return self.tokens / self.baseline_tokens

    @property
    def is_repetitive(self) -> bool:
        """Whether the baseline says most things several times."""
        return self.baseline_tokens > _REPETITIVE * self.distinct_tokens > 0


@dataclass(frozen=True)
class Capped:
    """One trace, both renderings cut to half of our tokens."""

    measured: Measured
    cap: int  # tokens
    tokens: int
    content_share: float
    baseline_content_share: float
    errors_share: float | None  # None: there are none, or they alone are longer than half the cap


def run(events: Path) -> dict[str, Any]:
    """All figures over the traces of a folder of event files, and the speed on one long trace made of their lines."""
    traces = read_traces(events)
    speed = _speed(traces)
    measured = [_measure(trace) for trace in traces]
    capped = [_cap(each) for each in measured if each.content.lines]
    long_trace = _long_trace(measured)
    return {
        "traces": len(traces),
        "input_mb": round(sum(trace.property_bytes for trace in traces) / 1e6, 2),
        **_figures(measured),
        **speed,
        **_capped_figures(capped),
        "speed": _long_trace_speed(long_trace),
        "worst": _worst(measured, capped),
    }


def passes(result: dict[str, Any]) -> bool:
    """Whether every limit is kept; one that no trace of the folder can break is."""
    repetitive = result["repetitive"]
    capped = result["capped_content_share"]
    return bool(
        result["content_share"]["min"] >= MIN_CONTENT_SHARE
        and result["content_share"]["mean"] >= MIN_MEAN_CONTENT_SHARE
        and repetitive["token_ratio"] <= MAX_REPETITIVE_TOKEN_RATIO
        and repetitive["max_ratio"] <= MAX_REPETITIVE_RATIO
        and result["traces_without_text"] == 0
        and result["speed_ratio"] >= MIN_SPEED_RATIO
        and result["layout_share"]["ours"] <= MAX_LAYOUT_SHARE
        and capped["ours"]["mean"] >= capped["baseline"]["mean"]
        and result["capped_over_budget"] == 0
        and result["capped_errors_kept"] == 1.0
        and all(
            isinstance(result["speed"][name], float) and result["speed"][name] <= limit
            for name, limit in MAX_SECONDS.items()
        )
    )


def report(result: dict[str, Any]) -> str:
    """The figures as lines, without the single traces."""
    return "\n".join(f"{name:28} {value}" for name, value in result.items() if name != "worst")


def shown_text(rendered: TextRepr) -> str:
    """A rendering's text without its lines' numbers and the blanks behind them."""
    return "\n".join(line.text for line in rendered.parts)


def _measure(trace: RecordedTrace) -> Measured:
    content = distinct_content(trace.events)
    rendered = render_trace(trace.trace_id, trace.events)
    text = shown_text(rendered)
    baseline = render_baseline(trace.events)
    baseline_text = without_line_numbers(baseline)
    return Measured(
        trace=trace,
        content=content,
        distinct_tokens=count_tokens("\n".join(content.lines)),
        rendered=rendered,
        tokens=count_tokens(rendered.text),
        content_tokens=count_tokens(text),
        content_share=Shown(text).share(content.lines),
        baseline=baseline,
        baseline_tokens=count_tokens(baseline),
        baseline_content_tokens=count_tokens(baseline_text),
        baseline_content_share=Shown(baseline_text).share(content.lines),
    )


def _figures(measured: Sequence[Measured]) -> dict[str, Any]:
    with_content = [each for each in measured if each.content.lines]
    tokens = sum(each.tokens for each in measured)
    baseline_tokens = sum(each.baseline_tokens for each in measured)
    return {
        "tokens": {
            "ours": tokens,
            "baseline": baseline_tokens,
            "distinct": sum(each.distinct_tokens for each in measured),
        },
        "token_ratio": round(tokens / baseline_tokens, 4),
        "content_share": _min_and_mean([each.content_share for each in with_content]),
        "baseline_content_share": _min_and_mean([each.baseline_content_share for each in with_content]),
        "traces_without_text": sum(each.content_share == 0 for each in with_content),
        "baseline_traces_without_text": sum(each.baseline_content_share == 0 for each in with_content),
        "layout_share": {
            "ours": round(1 - sum(each.content_tokens for each in measured) / tokens, 4),
            "baseline": round(1 - sum(each.baseline_content_tokens for each in measured) / baseline_tokens, 4),
        },
        "repetitive": _repetitive_figures([each for each in measured if each.is_repetitive]),
    }


def _repetitive_figures(measured: Sequence[Measured]) -> dict[str, Any]:
    """`max_ratio` is the worst trace's; `distinct_ratio` is our tokens over those of the distinct content, in sum."""
    if not measured:
        return {"traces": 0, "token_ratio": 0.0, "max_ratio": 0.0, "distinct_ratio": 0.0, "max_distinct_ratio": 0.0}
    tokens = sum(each.tokens for each in measured)
    return {
        "traces": len(measured),
        "token_ratio": round(tokens / sum(each.baseline_tokens for each in measured), 4),
        "max_ratio": round(max(each.token_ratio for each in measured), 4),
        "distinct_ratio": round(tokens / sum(each.distinct_tokens for each in measured), 4),
        "max_distinct_ratio": round(max(each.tokens / each.distinct_tokens for each in measured), 4),
    }


def _speed(traces: Sequence[RecordedTrace]) -> dict[str, Any]:
    """Processor seconds per MB of property JSON, rendering only, the best of several runs over all traces."""
    megabytes = sum(trace.property_bytes for trace in traces) / 1e6
    # Taken in turns: what slows the machine down for a while slows both.
    seconds = [
        (
            _seconds(lambda: [render_trace(trace.trace_id, trace.events).text for trace in traces]),
            _seconds(lambda: [render_baseline(trace.events) for trace in traces]),
        )
        for _ in range(_RUNS)
    ]
    ours, baseline = (min(each) for each in zip(*seconds, strict=True))
    return {
        "seconds_per_mb": {"ours": round(ours / megabytes, 5), "baseline": round(baseline / megabytes, 5)},
        "speed_ratio": round(baseline / ours, 3),
    }


def _cap(measured: Measured) -> Capped:
    cap = measured.tokens // 2
    fitted = fit(measured.rendered, cap)
    shown = Shown(shown_text(fitted))
    baseline = without_line_numbers(sampled_to_tokens(measured.baseline, cap, count_tokens))
    errors = measured.content.error_lines
    return Capped(
        measured=measured,
        cap=cap,
        tokens=count_tokens(fitted.text),
        content_share=shown.share(measured.content.lines),
        baseline_content_share=Shown(baseline).share(measured.content.lines),
        errors_share=shown.share(errors) if errors and 2 * count_tokens("\n".join(errors)) <= cap else None,
    )


def _capped_figures(capped: Sequence[Capped]) -> dict[str, Any]:
    kept = [
        (each.errors_share, sum(map(len, each.measured.content.error_lines)))
        for each in capped
        if each.errors_share is not None
    ]
    length = sum(size for _, size in kept)
    return {
        "capped_content_share": {
            "ours": _min_and_mean([each.content_share for each in capped]),
            "baseline": _min_and_mean([each.baseline_content_share for each in capped]),
        },
        "capped_over_budget": sum(each.tokens > each.cap for each in capped),
        "capped_errors_kept": round(sum(share * size for share, size in kept) / length, 6) if length else 1.0,
    }


def _long_trace(measured: Sequence[Measured]) -> list[TraceEvent]:
    """One trace of generations and tool calls with 2,000,000 characters of the corpus's lines in no order."""
    pool = list(dict.fromkeys(line for each in measured for line in each.content.lines))
    random.Random(20250115).shuffle(pool)
    texts: list[str] = []
    lines: list[str] = []
    length = total = position = 0
    while total < _LONG_TRACE_CHARACTERS:
        turn, index = divmod(position, len(pool))
        lines.append(f"{turn} {pool[index]}" if turn else pool[index])
        length += len(lines[-1]) + 1
        position += 1
        if length >= _LONG_TRACE_MESSAGE_CHARACTERS:
            texts.append("\n".join(lines)[: _LONG_TRACE_CHARACTERS - total])
            total += len(texts[-1])
            lines, length = [], 0
    return [_long_trace_event(number, text) for number, text in enumerate(texts)]


def _long_trace_event(number: int, text: str) -> TraceEvent:
    moment = datetime(2025, 1, 15, 12, tzinfo=UTC) + timedelta(seconds=number)
    if number % 3 == 2:
        properties: dict[str, object] = {"$ai_span_name": "search", "$ai_output_state": {"found": text}}
        return TraceEvent(f"event-{number}", "$ai_span", moment, properties)
    half = len(text) // 2
    properties = {
        "$ai_model": "gpt-4.1-mini",
        "$ai_input": [{"role": "user", "content": text[:half]}],
        "$ai_output_choices": [{"role": "assistant", "content": text[half:]}],
    }
    return TraceEvent(f"event-{number}", "$ai_generation", moment, properties)


def _long_trace_speed(events: Sequence[TraceEvent]) -> dict[str, Any]:
    """Processor seconds to render one long trace, to count and to redact its text; the best of several runs each."""
    text = render_trace("long", events).text
    redact = _redact()
    return {
        "characters": len(text),
        "render_seconds": _best_seconds(lambda: render_trace("long", events).text),
        "baseline_render_seconds": _best_seconds(lambda: render_baseline(events)),
        "count_seconds": _best_seconds(lambda: count_tokens(text)),
        "redact_seconds": _best_seconds(lambda: redact(text)) if redact else "not measured: there is no redaction",
    }


def _worst(measured: Sequence[Measured], capped: Sequence[Capped]) -> dict[str, list[dict[str, Any]]]:
    """The traces that each figure is worst on, worst first."""
    with_content = [each for each in measured if each.content.lines]
    repetitive = [each for each in measured if each.is_repetitive]
    worst = {
        "content_share": _first((each.content_share, each) for each in with_content),
        "characters_lost": _first((-(1 - each.content_share) * each.content.length, each) for each in with_content),
        "token_ratio": _first((-each.token_ratio, each) for each in measured),
        "repetitive_ratio": _first((-each.token_ratio, each) for each in repetitive),
        "repetitive_distinct_ratio": _first((-each.tokens / each.distinct_tokens, each) for each in repetitive),
        "layout_share": _first((each.content_tokens / each.tokens - 1, each) for each in measured),
    }
    over = [each for each in capped if each.tokens > each.cap]
    errors = [(each.errors_share, each.measured) for each in capped if each.errors_share is not None]
    worst["capped_content_share"] = _first((each.content_share, each.measured) for each in capped)
    worst["capped_over_budget"] = _first((-(each.tokens - each.cap), each.measured) for each in over)
    worst["capped_errors_kept"] = _first(each for each in errors if each[0] < 1)
    return worst


def _first(valued: Iterable[tuple[float, Measured]]) -> list[dict[str, Any]]:
    ordered = sorted(valued, key=lambda pair: (pair[0], pair[1].trace.team_id, pair[1].trace.trace_id))
    return [
        {
            "team_id": each.trace.team_id,
            "trace_id": each.trace.trace_id,
            "value": round(abs(value), 4),
            "tokens": each.tokens,
            "baseline_tokens": each.baseline_tokens,
            "distinct_tokens": each.distinct_tokens,
        }
        for value, each in ordered[:_WORST]
    ]


def _min_and_mean(values: Sequence[float]) -> dict[str, float]:
    return {"min": round(min(values), 4), "mean": round(sum(values) / len(values), 4)}


def _best_seconds(action: Callable[[], object]) -> float:
    return round(min(_seconds(action) for _ in range(_RUNS)), 4)


def _seconds(action: Callable[[], object]) -> float:
    began = time.process_time()
    action()
    return time.process_time() - began


def _redact() -> Callable[[str], str] | None:
    """How secrets are taken out of a text; None while the project has no such part."""
    if importlib.util.find_spec("trace_summarization.redaction") is None:
        return None
    redact: Callable[[str], str] = importlib.import_module("trace_summarization.redaction").Redactor().redact
    return redact

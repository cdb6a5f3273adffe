"""The benchmark of the text representation: which figures it gives and which limits it holds them to."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from bench import text_repr

GOOD: dict[str, Any] = {
    "content_share": {"min": 0.95, "mean": 0.99},
    "repetitive": {"traces": 3, "token_ratio": 0.25, "max_ratio": 1.15},
    "traces_without_text": 0,
    "speed_ratio": 1.0,
    "layout_share": {"ours": 0.15, "baseline": 0.3},
    "capped_content_share": {"ours": {"mean": 0.5}, "baseline": {"mean": 0.5}},
    "capped_over_budget": 0,
    "capped_errors_kept": 1.0,
    "speed": {"render_seconds": 1.0, "count_seconds": 1.0, "redact_seconds": 2.0},
}


def test_figures_at_their_limits_pass() -> None:
    assert text_repr.passes(GOOD)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("content_share", "min"), 0.9499),
        (("content_share", "mean"), 0.9899),
        (("repetitive", "token_ratio"), 0.2501),
        (("repetitive", "max_ratio"), 1.1501),
        (("traces_without_text",), 1),
        (("speed_ratio",), 0.999),
        (("layout_share", "ours"), 0.1501),
        (("capped_content_share", "ours", "mean"), 0.49),
        (("capped_over_budget",), 1),
        (("capped_errors_kept",), 0.9999),
        (("capped_over_budget",), "not measured"),
        (("capped_errors_kept",), "not measured"),
        (("speed", "render_seconds"), 1.01),
        (("speed", "count_seconds"), 1.01),
        (("speed", "redact_seconds"), 2.01),
        (("speed", "redact_seconds"), "not measured"),
    ],
)
def test_each_figure_beyond_its_limit_fails(path: tuple[str, ...], value: object) -> None:
    result = copy.deepcopy(GOOD)
    *outer, name = path
    place = result
    for key in outer:
        place = place[key]
    place[name] = value
    assert not text_repr.passes(result)


@pytest.mark.slow
def test_a_folder_of_traces_is_measured(tmp_path: Path) -> None:
    policy = {
        "role": "system",
        "content": "\n".join(f"Rule {number}: be kind to customer {number}." for number in range(20)),
    }
    calls: list[dict[str, object]] = [
        {"$ai_input": [policy, *({"role": "user", "content": f"Question {n}"} for n in range(count + 1))]}
        for count in range(8)
    ]
    unknown = " ".join(f"Sentence {number} in a form that the baseline does not know." for number in range(20))
    gemini: dict[str, object] = {"$ai_input": [{"role": "user", "parts": [{"text": unknown}]}]}
    rows = [
        {
            "uuid": f"{trace_id}-{number}",
            "event": "$ai_generation",
            "team_id": 1,
            "timestamp": f"2025-01-15T12:00:0{number}Z",
            "properties": {"$ai_trace_id": trace_id, **properties},
        }
        for trace_id, events in (("repetitive", calls), ("gemini", [gemini]))
        for number, properties in enumerate(events)
    ]
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    result = text_repr.run(tmp_path)
    assert result["traces"] == 2
    assert result["content_share"] == {"min": 1.0, "mean": 1.0}
    assert result["baseline_content_share"]["min"] == 0.0
    assert result["traces_without_text"] == 0
    assert result["baseline_traces_without_text"] == 1
    assert result["repetitive"]["traces"] == 1
    assert result["repetitive"]["token_ratio"] < 0.25
    assert result["speed_ratio"] > 0
    assert 0 < result["layout_share"]["ours"] < 1
    assert [each["trace_id"] for each in result["worst"]["repetitive_ratio"]] == ["repetitive"]
    assert result["speed"]["render_seconds"] > 0
    assert result["capped_over_budget"] == 0
    assert result["capped_errors_kept"] == 1.0
    assert "worst" not in text_repr.report(result)

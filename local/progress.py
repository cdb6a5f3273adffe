"""Tell people how an execution gets on, and why traces failed."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from local.executions import Progress

_FAILED_TRACE = "Failed to generate summary for trace"


class ProgressReport:
    """Turns what the functions log into lines; keeps the last error of each trace that has not succeeded."""

    def __init__(self) -> None:
        self._done: Counter[int] = Counter()
        self._sampled: dict[int, int] = {}
        self._errors: dict[tuple[int, str], str] = {}

    def lines(self, progress: Iterator[Progress]) -> Iterator[str]:
        """One line for each team's beginning and end, and for each trace."""
        for step in progress:
            if "team_id" in step.fields:
                line = self._line(step.message, step.fields["team_id"], step.fields)
                if line:
                    yield line

    def failures(self) -> list[str]:
        """Why traces failed, the most frequent first: `3 traces: ModelUnavailable: connection failed`."""
        counted = Counter(self._errors.values()).most_common()
        return [f"{count} trace{'s' if count > 1 else ''}: {reason}" for reason, count in counted]

    def _line(self, message: str, team: int, fields: Mapping[str, Any]) -> str | None:
        if message == "Processing batch":
            self._sampled[team] = fields["traces"]
            return f"team {team}: {fields['traces']} to summarize"
        if message == "Trace processed":
            self._done[team] += 1
            self._errors.pop((team, fields["trace_id"]), None)
            done = f"{self._done[team]}/{self._sampled.get(team, '?')}"
            return f"team {team}: {done} {_outcome(fields)} {fields['trace_id']}"
        if message == _FAILED_TRACE:
            reason = f"{fields.get('error')}: {fields.get('detail', 'see the log')}"
            self._errors[team, fields["trace_id"]] = reason
            return f"team {team}: attempt failed ({reason}) {fields['trace_id']}"
        if message == "Batch trace summarization completed":
            return f"team {team}: {_totals(fields)}"
        if fields.get("level") == "ERROR":
            return f"team {team}: {message}: {fields.get('error')}: {fields.get('detail', '')}"
        return None


def _outcome(fields: Mapping[str, Any]) -> str:
    if fields["outcome"] == "skipped":
        return f"skipped ({fields.get('reason')})"
    if fields["outcome"] == "estimated" and not fields.get("reused"):
        return f"would send {fields['input_tokens']} tokens"
    return "reused" if fields.get("reused") else "summarized"


def _totals(fields: Mapping[str, Any]) -> str:
    if fields["traces_estimated"]:
        usd = fields.get("estimated_cost_usd")  # the log leaves out what is null
        cost = "unknown cost" if usd is None else f"about {usd:.4f} USD"
        return f"{fields['traces_estimated']} traces, {fields['estimated_input_tokens']} input tokens, {cost}"
    generated, reused = fields["summaries_generated"], fields["summaries_reused"]
    return (
        f"{generated} summaries ({generated - reused} new, {reused} reused), {fields['summaries_skipped']} skipped, "
        f"{fields['summaries_failed']} failed, in {fields['duration_seconds']:.1f} s"
    )

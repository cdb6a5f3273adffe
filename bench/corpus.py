"""`corpus`: every hour of a folder of event files, through the real state machines, and what came of each trace."""

import os
import re
import tempfile
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

from adapters.clickhouse import ClickHouseConnection, ClickHouseTraceStore
from local.executions import Execution, describe, start
from local.load_events import load_events
from local.queries import BusyHour, busy_hours, trace_ids, window_of_trace
from local.session import own_stack, write_allowlist
from local.stack_info import StackInfo
from local.stack_options import StackOptions
from trace_summarization.text_repr import render_trace
from trace_summarization.timestamps import format_rfc3339

_MAX_TRACES = 1_000
_BATCH_SIZE = 8


def run(events: Path) -> dict[str, Any]:
    """Load `*.jsonl` and `*.jsonl.gz` of the folder and run the coordinator over every hour that has traces."""
    files = sorted([*events.glob("*.jsonl"), *events.glob("*.jsonl.gz")])
    files = [path for path in files if not path.name.startswith("labels")]
    if not files:
        raise SystemExit(f"{events}: no *.jsonl or *.jsonl.gz file in this folder")
    with (
        tempfile.TemporaryDirectory(prefix="corpus-") as folder,
        own_stack(
            StackOptions(Path(folder), workers=max(2, os.cpu_count() or 2), poller=False), lambda _: None
        ) as info,
    ):
        with info.clickhouse() as client:
            report = load_events(client, info.clickhouse_events_table, files)
        teams = list(report.teams)
        write_allowlist(info, teams)
        began = time.monotonic()
        result = _summed(info, teams, busy_hours(info, teams))
        result["seconds"] = round(time.monotonic() - began, 1)
        result["empty_renderings"] = _empty_renderings(info, teams)
        return {"files": len(files), "events": report.loaded, "rejected_lines": report.rejected_count, **result}


def _summed(info: StackInfo, teams: list[int], hours: list[BusyHour]) -> dict[str, Any]:
    """Run each hour's window and add up results and metrics."""
    totals: Counter[str] = Counter()
    skips: Counter[str] = Counter()
    for busy in hours:
        execution = run_hour(info, busy)
        if execution.output is None:
            totals["runs_failed"] += 1
            continue
        totals.update({name: execution.output[name] for name in ("teams_failed", "total_traces", "total_summaries")})
    with info.clickhouse() as client:
        for team_id in teams:
            rows = client.query(
                "SELECT summaries_failed, embedding_requests_failed, summaries_skipped_by_reason"
                " FROM {database:Identifier}.batch_runs FINAL WHERE team_id = {team_id:Int64}",
                parameters={"database": info.clickhouse_database, "team_id": team_id},
            ).result_rows
            for failed, embeddings_failed, by_reason in rows:
                totals.update({"summaries_failed": failed, "embedding_requests_failed": embeddings_failed})
                skips.update(by_reason)
    return {
        "hours": len(hours),
        "teams": len(teams),
        "traces": totals["total_traces"],
        "summaries": totals["total_summaries"],
        "runs_failed": totals["runs_failed"],
        "teams_failed": totals["teams_failed"],
        "summaries_failed": totals["summaries_failed"],
        "embedding_requests_failed": totals["embedding_requests_failed"],
        "skipped_by_reason": dict(sorted(skips.items())),
    }


def run_hour(info: StackInfo, busy: BusyHour) -> Execution:
    """The coordinator's run over the hour, over all teams on the allowlist, when it has ended."""
    inputs = {
        "window_start": format_rfc3339(busy.hour),
        "window_end": format_rfc3339(busy.hour + timedelta(hours=1)),
        "max_traces": _MAX_TRACES,
        "batch_size": _BATCH_SIZE,
        "max_concurrent_teams": 2,
    }
    arn = start(info, info.coordinator_arn, inputs)
    while (execution := describe(info, arn)).status == "RUNNING":
        time.sleep(0.1)
    return execution


def _empty_renderings(info: StackInfo, teams: list[int]) -> int:
    """Traces of which the text shows none of their content."""
    store = ClickHouseTraceStore(ClickHouseConnection(info.clickhouse), info.clickhouse_database)
    empty = 0
    for team_id in teams:
        for trace_id in trace_ids(info, team_id):
            window = window_of_trace(info, team_id, trace_id)
            extent = window and store.extent(team_id, trace_id, window)
            if not extent or _is_empty(render_trace(trace_id, store.events(team_id, trace_id, extent)).text):
                empty += 1
    return empty


def _is_empty(text: str) -> bool:
    """Whether all lines only name the trace (the first) and its events (`L2: #1 span ...`): no content at all."""
    return all(re.match(r"L\d+: #\d+ ", line) for line in text.splitlines()[1:])


def report(result: dict[str, Any]) -> str:
    """The result as lines."""
    return "\n".join(f"{name:28} {value}" for name, value in result.items())


def passes(result: dict[str, Any]) -> bool:
    """No failure of any kind, and no trace without its text."""
    names = ("runs_failed", "teams_failed", "summaries_failed", "embedding_requests_failed", "empty_renderings")
    return not any(result[name] for name in names)

"""Reads which windows of a team are done."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from adapters.clickhouse_client import ClickHouseConnection, clickhouse_time
from trace_summarization.models import Mode, Window

_RUNS_SQL: Final = """
SELECT window_start, window_end, summaries_skipped_by_reason, summaries_failed
FROM {database}.batch_runs FINAL
WHERE team_id = {{team_id:Int64}}
    AND window_start < {{end:DateTime64(6, 'UTC')}} AND window_end > {{start:DateTime64(6, 'UTC')}}
    AND mode = {{mode:String}}
ORDER BY window_start, window_end
"""


@dataclass(frozen=True)
class RecordedRun:
    """A window that a run of a team went over: how many traces it skipped by reason, and how many failed."""

    window: Window
    skipped: dict[str, int]
    failed: int


@dataclass(frozen=True)
class ClickHouseBatchRuns:
    """What `batch_runs` holds."""

    connection: ClickHouseConnection
    database: str

    def recorded(self, team_id: int, mode: Mode, span: Window) -> Sequence[RecordedRun]:
        """The team's recorded runs in this mode whose windows reach into the span, by time; of each window the last."""
        parameters = {
            "team_id": team_id,
            "mode": mode,
            "start": clickhouse_time(span.start),
            "end": clickhouse_time(span.end),
        }
        with self.connection.client("reading the recorded windows") as client:
            rows = client.query(_RUNS_SQL.format(database=self.database), parameters=parameters).result_rows
        return [RecordedRun(Window(start, end), dict(skipped), failed) for start, end, skipped, failed in rows]

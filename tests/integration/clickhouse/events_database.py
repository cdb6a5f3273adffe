"""A database of its own for one test: the schema, and a way to put events into `events`."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from clickhouse_connect.driver.client import Client

from adapters.clickhouse import ClickHouseConnection, ClickHouseSummaryStore, ClickHouseTraceStore
from trace_summarization.models import Window

COLUMNS = ("uuid", "event", "properties", "timestamp", "team_id", "distinct_id", "created_at")


def at(clock: str, day: int = 15) -> datetime:
    """A time of that day in January 2025, such as `at("14:30")` or `at("14:30:00.5")`."""
    return datetime.fromisoformat(f"2025-01-{day:02}T{clock}").replace(tzinfo=UTC)


def window(start: str, end: str, day: int = 15) -> Window:
    """A window on that day in January 2025."""
    return Window(at(start, day), at(end, day))


@dataclass
class EventsDatabase:
    """The tables of one test."""

    client: Client
    name: str
    _uuids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def events_table(self) -> str:
        return f"{self.name}.events"

    @property
    def connection(self) -> ClickHouseConnection:
        return ClickHouseConnection(lambda: self.client)

    @property
    def traces(self) -> ClickHouseTraceStore:
        return ClickHouseTraceStore(self.connection, self.name)

    @property
    def summaries(self) -> ClickHouseSummaryStore:
        return ClickHouseSummaryStore(self.connection, self.name, self.events_table)

    def event(
        self,
        trace_id: object,
        timestamp: datetime,
        *,
        team_id: int = 1,
        event: str = "$ai_generation",
        uuid: UUID | None = None,
        **properties: Any,
    ) -> tuple[Any, ...]:
        """A row of `events`; without `uuid` it has one of its own."""
        text = json.dumps({"$ai_trace_id": trace_id, **properties})
        return self.raw_event(text, timestamp, team_id=team_id, event=event, uuid=uuid)

    def raw_event(
        self,
        properties: str | bytes,
        timestamp: datetime,
        *,
        team_id: int = 1,
        event: str = "$ai_generation",
        uuid: UUID | None = None,
    ) -> tuple[Any, ...]:
        """A row of `events` with these very properties."""
        stored = properties.encode() if isinstance(properties, str) else properties
        created_at = datetime(2025, 1, 20, tzinfo=UTC)
        return (uuid or UUID(int=next(self._uuids)), event, stored, timestamp, team_id, "someone", created_at)

    def insert(self, *rows: tuple[Any, ...]) -> None:
        """Insert the rows in one statement, as the user's own pipeline would."""
        self.client.insert(self.events_table, rows, column_names=COLUMNS)

    def rows(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Result of a query; `{db}` stands for the test's database."""
        result = self.client.query(sql.replace("{db}", self.name), parameters=parameters)
        return [tuple(row) for row in result.result_rows]

    def value(self, sql: str, **parameters: Any) -> Any:
        """The one value that a query returns."""
        ((value,),) = self.rows(sql, **parameters)
        return value

    def selected_rows(self, run: Any) -> int:
        """Rows that the engine reads from tables while `run` is called."""
        sql = "SELECT sum(value) FROM system.events WHERE event = 'SelectedRows'"
        self.value(sql)
        before = self.value(sql)
        own = self.value(sql) - before
        run()
        return int(self.value(sql) - before - 2 * own)

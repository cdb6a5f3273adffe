"""Applies `lambdas/schema/*.sql`, in the order of their numbers."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clickhouse_connect.driver.client import Client

from adapters.clickhouse_client import connect
from adapters.clickhouse_errors import typed_errors
from trace_summarization.errors import InvalidConfiguration

__all__ = ["SchemaFile", "apply_files", "apply_schema", "connect", "schema_files", "set_retention"]

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STATEMENT_END: Final = re.compile(r";[ \t]*\n")
_EXPIRING_TABLES: Final = ("ai_events", "trace_index", "document_embeddings", "batch_runs")

_APPLIED_FILES_SQL: Final = """
CREATE TABLE IF NOT EXISTS {database}.schema_files
(
    name String,
    content_hash String,
    applied_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
ENGINE = MergeTree
ORDER BY (name, applied_at)
"""
_APPLIED_HASHES_SQL: Final = "SELECT name, argMin(content_hash, applied_at) FROM {database}.schema_files GROUP BY name"
_ENGINE_SQL: Final = (
    "SELECT engine_full FROM system.tables WHERE database = {database:String} AND name = {table:String}"
)


@dataclass(frozen=True)
class SchemaFile:
    """One numbered step: `{database}` and `{events_table}` stand for names that are given when it is applied."""

    name: str
    text: str

    @property
    def content_hash(self) -> str:
        """SHA-256 of the text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def statements(self, database: str, events_table: str) -> list[str]:
        """The file's statements, with the names put in."""
        text = self.text.replace("{database}", database).replace("{events_table}", events_table)
        return [statement for statement in map(str.strip, _STATEMENT_END.split(text)) if statement]


def apply_schema(client: Client, database: str, events_table: str) -> list[str]:
    """Apply the files that this database has not seen; return their names, none when it is up to date.

    `events_table` is `database.table`; both databases are made when missing. Every statement can run again, so that
    applying twice, at the same time or after a failure in mid file, ends in the same schema.

    Raises InvalidConfiguration when a name is malformed or a file was changed after it was applied, and the
    `ClickHouse*` errors.
    """
    return apply_files(client, database, events_table, schema_files())


def apply_files(client: Client, database: str, events_table: str, steps: list[SchemaFile]) -> list[str]:
    """Apply the given files as `apply_schema` applies the project's own."""
    events_database, _, table = events_table.partition(".")
    for value, meaning in ((database, "database"), (events_database, "events table"), (table, "events table")):
        if not _IDENTIFIER.fullmatch(value):
            raise InvalidConfiguration(f"{meaning}: {value!r}; allowed are letters, digits and _, and database.table")
    with typed_errors("applying the schema"):
        for name in dict.fromkeys((database, events_database)):
            _create_database(client, name)
        client.command(_APPLIED_FILES_SQL.format(database=database))
        rows = client.query(_APPLIED_HASHES_SQL.format(database=database)).result_rows
    applied: dict[str, str] = {str(name): str(content_hash) for name, content_hash in rows}
    _check_unchanged(steps, applied)
    pending = [step for step in steps if step.name not in applied]
    for step in pending:
        with typed_errors(f"applying the schema file {step.name}"):
            for statement in step.statements(database, events_table):
                client.command(statement)
            client.insert(
                f"{database}.schema_files",
                [(step.name, step.content_hash)],
                column_names=["name", "content_hash"],
                column_type_names=["String", "String"],
            )
    return [step.name for step in pending]


def set_retention(client: Client, database: str, days: int | None) -> None:
    """Let our tables drop rows `days` after they were inserted; None keeps them for ever. Never touches `events`."""
    if not _IDENTIFIER.fullmatch(database) or (days is not None and days < 1):
        raise InvalidConfiguration(f"retention of {database!r}: {days!r} days; allowed is 1 or more, or none")
    with typed_errors("setting the retention"):
        for table in _EXPIRING_TABLES:
            engine = client.query(_ENGINE_SQL, parameters={"database": database, "table": table}).result_rows[0][0]
            if days is not None:
                client.command(
                    f"ALTER TABLE {database}.{table} MODIFY TTL toDateTime(inserted_at) + INTERVAL {days} DAY"
                )
            elif " TTL " in engine:
                client.command(f"ALTER TABLE {database}.{table} REMOVE TTL")


def schema_files() -> list[SchemaFile]:
    """The project's schema files, by number."""
    folder = Path(__file__).parent.parent / "schema"
    return [SchemaFile(path.name, path.read_text("utf-8")) for path in sorted(folder.glob("*.sql"))]


def _create_database(client: Client, name: str) -> None:
    # A user with rights on just this database may not be allowed to say CREATE DATABASE, even when it is there.
    if not client.query(
        "SELECT 1 FROM system.databases WHERE name = {name:String}", parameters={"name": name}
    ).result_rows:
        client.command(f"CREATE DATABASE IF NOT EXISTS {name}")


def _check_unchanged(steps: list[SchemaFile], applied: dict[str, str]) -> None:
    for step in steps:
        if applied.get(step.name, step.content_hash) != step.content_hash:
            raise InvalidConfiguration(
                f"schema file {step.name}: changed after it was applied to this database; "
                "restore it and put the change into a new file"
            )

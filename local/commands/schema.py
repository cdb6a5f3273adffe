"""`schema apply`: create the tables and views in any ClickHouse."""

import click

from adapters.schema import apply_schema, connect
from adapters.settings import ClickHouseSettings
from local.output import Output, json_option


@click.group()
def schema() -> None:
    """The ClickHouse schema: numbered SQL files, safe to apply again."""


@schema.command(
    epilog="""\b
Example:
  python -m local schema apply --dsn 'https://user:password@host:8443'"""
)
@click.option(
    "--dsn", required=True, envvar="CLICKHOUSE_DSN", help="http(s)://user:password@host:port; or CLICKHOUSE_DSN."
)
@click.option(
    "--database",
    default=ClickHouseSettings.model_fields["clickhouse_database"].default,
    show_default=True,
    help="Database of our own tables; created when absent.",
)
@click.option(
    "--events-table",
    default=ClickHouseSettings.model_fields["clickhouse_events_table"].default,
    show_default=True,
    help="Your events table, as database.table; created when absent.",
)
@json_option
def apply(dsn: str, database: str, events_table: str, output: Output) -> None:
    """Apply what is not applied yet, to a local, self-hosted or Cloud ClickHouse."""
    with connect(dsn) as client:
        applied = apply_schema(client, database, events_table)
    output.say(f"Applied {', '.join(applied)}." if applied else "Nothing to apply: the schema is up to date.")
    output.result({"applied": applied})

"""The numbered files: applied once, in order, checked; and views that let every row of the user's through."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from clickhouse_connect.driver.client import Client

from adapters.clickhouse import connect
from adapters.schema import SchemaFile, apply_files, apply_schema, schema_files, set_retention
from tests.integration.clickhouse.events_database import EventsDatabase, at, window
from trace_summarization import constants as c
from trace_summarization.errors import ClickHouseQueryFailed, InvalidConfiguration


def tables(database: EventsDatabase) -> list[str]:
    names = "SELECT name FROM system.tables WHERE database = {database:String} ORDER BY name"
    return [name for (name,) in database.rows(names, database=database.name)]


def test_applying_twice_applies_once(empty_database: EventsDatabase) -> None:
    database = empty_database
    first = apply_schema(database.client, database.name, database.events_table)
    before = tables(database)
    assert first == [step.name for step in schema_files()]
    assert apply_schema(database.client, database.name, database.events_table) == []
    assert tables(database) == before
    assert {"ai_events", "trace_index", "document_embeddings", "batch_runs", "trace_summaries", "events"} <= {*before}


def test_files_are_numbered_without_gaps() -> None:
    assert [step.name[:4] for step in schema_files()] == [
        f"{number:04}" for number in range(1, len(schema_files()) + 1)
    ]


def test_every_statement_can_run_again(database: EventsDatabase) -> None:
    before = tables(database)
    for step in schema_files():
        for statement in step.statements(database.name, database.events_table):
            database.client.command(statement)
    assert tables(database) == before


def test_two_at_once_end_in_the_same_schema(empty_database: EventsDatabase, clickhouse_url: str) -> None:
    database = empty_database

    def apply(_: int) -> list[str]:
        with connect(clickhouse_url) as client:
            return apply_schema(client, database.name, database.events_table)

    with ThreadPoolExecutor(4) as threads:
        applied = list(threads.map(apply, range(4)))
    assert {name for names in applied for name in names} == {step.name for step in schema_files()}
    assert apply_schema(database.client, database.name, database.events_table) == []
    database.insert(database.event("t", at("14:10")))
    assert database.value("SELECT count() FROM {db}.ai_events") == 1


def test_a_file_that_was_changed_after_it_was_applied_is_refused(empty_database: EventsDatabase) -> None:
    database = empty_database
    step = SchemaFile("0001_one.sql", "CREATE TABLE IF NOT EXISTS {database}.one (a Int8) ENGINE = Memory;\n")
    assert apply_files(database.client, database.name, database.events_table, [step]) == [step.name]
    changed = SchemaFile(step.name, step.text.replace("Int8", "Int16"))
    following = SchemaFile("0002_two.sql", "CREATE TABLE IF NOT EXISTS {database}.two (a Int8) ENGINE = Memory;\n")
    with pytest.raises(InvalidConfiguration, match=r"0001_one\.sql: changed after it was applied"):
        apply_files(database.client, database.name, database.events_table, [changed, following])
    assert "two" not in tables(database)
    assert apply_files(database.client, database.name, database.events_table, [step, following]) == [following.name]


def test_a_file_that_fails_is_named_and_not_recorded(empty_database: EventsDatabase) -> None:
    database = empty_database
    broken = SchemaFile("0001_broken.sql", "CREATE TABLE {database}.one (a Nonsense) ENGINE = Memory;\n")
    with pytest.raises(ClickHouseQueryFailed, match=r"50 \(UNKNOWN_TYPE\) while applying the schema file 0001_broken"):
        apply_files(database.client, database.name, database.events_table, [broken])
    assert database.value("SELECT count() FROM {db}.schema_files") == 0


@pytest.mark.parametrize(
    ("database_name", "events_table"),
    [("a-b", "x.events"), ("", "x.events"), ("a", "events"), ("a", "x.y.z"), ("a", "x."), ("a", "x.e; DROP TABLE y")],
)
def test_malformed_names_are_refused(client: Client, database_name: str, events_table: str) -> None:
    with pytest.raises(InvalidConfiguration, match="allowed are letters, digits and _"):
        apply_schema(client, database_name, events_table)


def test_a_users_own_events_table_is_left_as_it_is(empty_database: EventsDatabase) -> None:
    """Another engine, another key, more columns, no defaults: all that counts are the columns that we name."""
    database = empty_database
    database.client.command(f"CREATE DATABASE {database.name}")
    database.client.command(
        f"CREATE TABLE {database.events_table} (team_id Int64, uuid UUID, event String, properties String, "
        "timestamp DateTime64(6, 'UTC'), distinct_id String, created_at DateTime64(6, 'UTC'), person_id UUID, "
        "elements_chain String) ENGINE = MergeTree ORDER BY timestamp"
    )
    before = database.value(f"SHOW CREATE TABLE {database.events_table}")
    apply_schema(database.client, database.name, database.events_table)
    database.insert(database.event("t", at("14:10")))
    assert database.value(f"SHOW CREATE TABLE {database.events_table}") == before
    assert database.traces.sample(1, window("14:00", "15:00"), 10) == ["t"]


def test_events_and_our_tables_can_be_in_two_databases(empty_database: EventsDatabase) -> None:
    database = empty_database
    apply_schema(database.client, database.name, f"{database.name}_users.posthog_events")
    assert "events" not in tables(database)
    assert database.value(f"SELECT count() FROM {database.name}_users.posthog_events") == 0
    database.client.command(f"DROP DATABASE {database.name}_users SYNC")


def test_the_views_let_the_ai_events_pass_that_the_constants_name() -> None:
    text = next(step.text for step in schema_files() if step.name == "0004_trace_activity.sql")
    listed = re.search(r"event IN \((.*?)\)", text, re.DOTALL)
    assert listed is not None
    assert tuple(re.findall(r"'([^']*)'", listed[1])) == c.AI_EVENT_NAMES


def test_the_views_cut_ids_at_the_length_that_the_constants_allow() -> None:
    text = next(step.text for step in schema_files() if step.name == "0004_trace_activity.sql")
    assert f"lengthUTF8(trace_id) <= {c.MAX_TRACE_ID_LENGTH}" in text
    assert text.count(f"substringUTF8(activity.trace_id, 1, {c.MAX_TRACE_ID_LENGTH + 1})") == 2


def test_retention_is_off_and_can_be_set_and_taken_back(database: EventsDatabase) -> None:
    engines = (
        "SELECT engine_full FROM system.tables WHERE database = {database:String} "
        "AND name IN ('ai_events', 'trace_index', 'document_embeddings', 'batch_runs', 'events')"
    )

    def with_ttl() -> int:
        return sum(
            "TTL toDateTime(inserted_at) + toIntervalDay(30)" in engine
            for (engine,) in database.rows(engines, database=database.name)
        )

    assert with_ttl() == 0
    set_retention(database.client, database.name, 30)
    set_retention(database.client, database.name, 30)
    assert with_ttl() == 4
    set_retention(database.client, database.name, None)
    set_retention(database.client, database.name, None)
    assert with_ttl() == 0
    with pytest.raises(InvalidConfiguration, match="0 days; allowed is 1 or more"):
        set_retention(database.client, database.name, 0)


def test_rows_that_arrived_before_the_retention_go(database: EventsDatabase) -> None:
    set_retention(database.client, database.name, 30)
    old = datetime.now(UTC) - timedelta(days=31)
    for index, inserted_at in enumerate((old, datetime.now(UTC))):
        database.client.insert(
            f"{database.name}.trace_index",
            [(1, at("14:00"), index, f"t{index}", at("14:10"), at("14:10"), inserted_at)],
            column_names=["team_id", "hour", "trace_hash", "trace_id", "first_event", "last_event", "inserted_at"],
        )
    database.client.command(f"OPTIMIZE TABLE {database.name}.trace_index FINAL")
    assert database.rows("SELECT trace_id FROM {db}.trace_index") == [("t1",)]


def test_older_events_reach_both_tables_through_the_trace_activity(empty_database: EventsDatabase) -> None:
    """What a user does who has events already: the views see only what is inserted after them."""
    database = empty_database
    apply_files(database.client, database.name, database.events_table, schema_files()[:1])
    database.insert(database.event("t", at("14:10")), database.event("t", at("14:20")))
    apply_schema(database.client, database.name, database.events_table)
    assert database.traces.sample(1, window("14:00", "15:00"), 10) == []
    database.client.command(
        f"INSERT INTO {database.name}.trace_activity SELECT team_id, JSONExtractString(properties, '$ai_trace_id'), "
        f"timestamp, uuid, event, properties FROM {database.events_table}"
    )
    assert database.traces.sample(1, window("14:00", "15:00"), 10) == ["t"]
    extent = database.traces.extent(1, "t", window("14:00", "15:00"))
    assert extent is not None
    assert extent.event_count == 2


# Properties, and the id under which the event is found; None: it stays in `events` only.
HOSTILE: list[tuple[str | bytes, str | None]] = [
    ("", None),
    ("not JSON", None),
    ("null", None),
    ("5", None),
    ('"$ai_trace_id"', None),
    ("[]", None),
    ('[{"$ai_trace_id":"in an array"}]', None),
    ("{}", None),
    ('{"$ai_trace_id":', None),
    ('{"$ai_trace_id":"cut', None),
    ('{"$ai_trace_id":""}', None),
    ('{"$ai_trace_id":null}', None),
    ('{"$ai_trace_id":true}', None),
    ('{"$ai_trace_id":{"id":"x"}}', None),
    ('{"$ai_trace_id":["x"]}', None),
    ('{"outer":{"$ai_trace_id":"nested"}}', None),
    ('{"ai_trace_id":"other key"}', None),
    ('{"$ai_trace_id":"\\ud800"}', None),
    (b'{"$ai_trace_id":"\xff\xfe"}', None),
    (b"\xff\xfe\x00\x01" * 100, None),
    ("\x00" * 1_000, None),
    ('{"a":"\\"$ai_trace_id\\":\\"said in a text\\"","b":NaN}', None),
    ('{"$ai_trace_id":123}', "123"),
    ('{"$ai_trace_id":-7}', "-7"),
    ('{"$ai_trace_id":18446744073709551615}', "18446744073709551615"),
    ('{"$ai_trace_id":340282366920938463463374607431768211456}', "340282366920938463463374607431768211456"),
    ('{"$ai_trace_id":1.5}', "1.5"),
    ('{"$ai_trace_id":"first","$ai_trace_id":"second"}', "first"),
    ('\ufeff{"$ai_trace_id":"after a byte order mark"}', "after a byte order mark"),
    (' {\t"$ai_trace_id"\n:\r"spaced" } ', "spaced"),
    ('{"\\u0024ai_trace_id":"escaped key"}', "escaped key"),
    ('{"$ai_trace_id":"nul\\u0000inside"}', "nul\x00inside"),
    ('{"$ai_trace_id":"q\\"\\\\\\n\\u00e9\\ud83d\\ude00"}', 'q"\\\né😀'),
    ('{"a":NaN,"$ai_trace_id":"beside NaN"}', "beside NaN"),
    ('{"a":1e400,"$ai_trace_id":"beside 1e400"}', "beside 1e400"),
    ('{"a":NaN,"$ai_trace_id": 42}', "42"),
    ('{"a":NaN,"$ai_trace_id":"q\\"\\\\\\n"}', 'q"\\\n'),
    ('{"a":"\\ud800","$ai_trace_id":"beside half a pair"}', "beside half a pair"),
    (b'{"a":"\xff","$ai_trace_id":"beside bytes"}', "beside bytes"),
    ('{"a":"\n","$ai_trace_id":"beside a raw newline"}', "beside a raw newline"),
    ('{"$ai_trace_id":"deep","a":' + "[" * 5_000 + "]" * 5_000 + "}", "deep"),
    ('{"$ai_trace_id":"' + "z" * 1_000_000 + '"}', "z" * 129),
    ('{"a":NaN,"$ai_trace_id":"' + "z" * 1_000_000 + '"}', "z" * 129),
]
DATES = (
    datetime(1900, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    at("14:10"),
    datetime(2106, 2, 7, 6, 28, 16, tzinfo=UTC),
    datetime(2299, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
)


@pytest.fixture(scope="module")
def hostile_database(client: Client) -> Iterator[EventsDatabase]:
    """One for all the hostile rows: each has a team of its own."""
    database = EventsDatabase(client, "hostile")
    apply_schema(client, database.name, database.events_table)
    yield database
    client.command(f"DROP DATABASE {database.name} SYNC")


@pytest.mark.parametrize(("team_id", "properties", "trace_id"), [(n, *row) for n, row in enumerate(HOSTILE, 1)])
def test_no_properties_can_stop_an_insert_into_events(
    hostile_database: EventsDatabase, team_id: int, properties: str | bytes, trace_id: str | None
) -> None:
    database = hostile_database
    database.insert(
        database.raw_event(properties, at("14:10"), team_id=team_id),
        database.raw_event(properties, at("14:10"), team_id=team_id, event="$pageview"),
        database.event("beside it", at("14:10"), team_id=team_id),
    )
    assert database.value("SELECT count() FROM {db}.events WHERE team_id = {team_id:Int64}", team_id=team_id) == 3
    expected = sorted([trace_id, "beside it"] if trace_id else ["beside it"])
    assert sorted(database.traces.sample(team_id, window("14:00", "15:00"), 10)) == expected
    ids = "SELECT DISTINCT trace_id FROM {db}.ai_events WHERE team_id = {team_id:Int64} ORDER BY trace_id"
    stored = [name for (name,) in database.rows(ids, team_id=team_id)]
    assert stored == [name for name in expected if len(name) <= c.MAX_TRACE_ID_LENGTH]


def test_no_date_can_stop_an_insert_into_events(database: EventsDatabase) -> None:
    database.insert(*(database.event(f"t{number}", moment) for number, moment in enumerate(DATES)))
    assert database.rows("SELECT trace_id, first_event FROM {db}.trace_index ORDER BY trace_id") == [
        (f"t{number}", moment) for number, moment in enumerate(DATES)
    ]
    assert database.traces.sample(1, window("14:00", "15:00"), 10) == ["t3"]


def test_dates_over_more_months_than_partitions_allowed_do_not_stop_an_insert(empty_database: EventsDatabase) -> None:
    """A user's table that is not partitioned by month takes such a block; ours must not refuse it."""
    database = empty_database
    database.client.command(f"CREATE DATABASE {database.name}")
    database.client.command(
        f"CREATE TABLE {database.events_table} (uuid UUID, event String, properties String, "
        "timestamp DateTime64(6, 'UTC'), team_id Int64, distinct_id String, created_at DateTime64(6, 'UTC')) "
        "ENGINE = MergeTree ORDER BY team_id"
    )
    apply_schema(database.client, database.name, database.events_table)
    start = datetime(1980, 1, 1, tzinfo=UTC)
    database.insert(*(database.event(f"t{month}", start + timedelta(days=31 * month)) for month in range(300)))
    assert database.value("SELECT count() FROM {db}.ai_events") == 300
    assert database.value("SELECT uniqExact(trace_id) FROM {db}.trace_index") == 300


def test_the_views_do_not_throw_under_a_users_own_settings(database: EventsDatabase, clickhouse_url: str) -> None:
    settings = {"short_circuit_function_evaluation": "disable", "allow_simdjson": 0, "optimize_on_insert": 0}
    with connect(clickhouse_url) as client:
        for name, value in settings.items():
            client.set_client_setting(name, value)
        strict = EventsDatabase(client, database.name)
        rows = [
            strict.raw_event(properties, moment)
            for properties, _ in HOSTILE
            for moment in (DATES[0], at("14:10"), DATES[-1])
        ]
        strict.insert(*rows)
    assert database.value("SELECT count() FROM {db}.events") == len(rows)


def test_the_schema_and_its_queries_use_nothing_newer_than_24_8(
    empty_database: EventsDatabase, clickhouse_url: str
) -> None:
    """As far as this engine can tell: with that version's settings, the old behaviour of each is asked for."""
    with connect(clickhouse_url) as client:
        client.set_client_setting("compatibility", "24.8")
        database = EventsDatabase(client, empty_database.name)
        apply_schema(client, database.name, database.events_table)
        database.insert(database.event("t", at("14:10")), database.event("early", at("13:59")))
        database.insert(database.event("early", at("14:10")))
        span = window("14:00", "15:00")
        assert database.traces.sample(1, span, 10) == ["t"]
        extent = database.traces.extent(1, "t", span)
        assert extent is not None
        assert len(database.traces.events(1, "t", extent)) == 1
        assert database.rows("SELECT * FROM {db}.trace_summaries WHERE team_id = 1") == []

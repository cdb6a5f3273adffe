"""The worker's table: what is saved is found, the newest version stays, and looking reads little."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from adapters.clickhouse import ClickHouseConnection
from adapters.clickhouse_embeddings import ClickHouseEmbeddingStore
from embedding.ports import Document, EmbeddedVersion
from embedding.requests import content_hash
from tests.embedding_documents import MODEL, document
from tests.integration.clickhouse.events_database import EventsDatabase, at
from trace_summarization.errors import ClickHouseTimeout

VECTOR = [0.5, -0.25, 1.0, 0.0]
HOSTILE_ID = "it's [1] \"a\" trace,\\ \n\t\0 {x:String} 😀 %s ') --"


@pytest.fixture
def store(database: EventsDatabase) -> ClickHouseEmbeddingStore:
    return ClickHouseEmbeddingStore(database.connection, database.name)


def versions(store: ClickHouseEmbeddingStore, *documents: Document) -> list[datetime | None]:
    stored = store.find(documents[0].team_id, documents, in_time).versions
    return [stored[one.key].summarized_at if one.key in stored else None for one in documents]


def in_time() -> float:
    return 60.0


def newer(**changes: Any) -> Document:
    """The usual document, summarized anew an hour later: what is stored of it is outdated."""
    return document(summarized_at=at("16:00"), **changes)


def test_every_column_is_saved(database: EventsDatabase, store: ClickHouseEmbeddingStore) -> None:
    saved = document(HOSTILE_ID, "Ünïcode 😀", metadata='{"a":"\\u0000"}')
    store.save([(saved, VECTOR)])
    columns = [*(f for f in Document.__dataclass_fields__), "embedding"]
    (row,) = database.rows(f"SELECT {', '.join(columns)} FROM {{db}}.document_embeddings")
    assert row == (*(getattr(saved, name) for name in columns[:-1]), VECTOR)
    inserted_at = database.value("SELECT inserted_at FROM {db}.document_embeddings")
    assert abs(inserted_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_nothing_is_looked_for_without_time(store: ClickHouseEmbeddingStore) -> None:
    moments = iter([1.0, 0.0])
    with pytest.raises(ClickHouseTimeout):
        store.find(1, [document()], lambda: next(moments))


@pytest.mark.parametrize("document_id", [HOSTILE_ID, "x" * 128, "😀" * 128, "\\", "'", "NULL", ""])
def test_a_saved_document_is_found_by_any_id(store: ClickHouseEmbeddingStore, document_id: str) -> None:
    store.save([(document(document_id), VECTOR)])
    assert versions(store, document(document_id), document("another")) == [at("15:00"), None]


@pytest.mark.parametrize(
    "changes",
    [
        {"team_id": 2},
        {"document_id": "other"},
        {"rendering": "llma_trace_minimal"},
        {"timestamp": at("14:10", day=16)},
        {"product": "another"},
        {"document_type": "another"},
        {"model_name": "another-4"},
    ],
)
def test_another_document_is_no_version_of_it(store: ClickHouseEmbeddingStore, changes: dict[str, Any]) -> None:
    store.save([(document(**changes), VECTOR)])
    assert versions(store, document()) == [None]


def test_of_documents_with_one_id_on_two_days_each_has_its_version(store: ClickHouseEmbeddingStore) -> None:
    today, tomorrow = document(), document(timestamp=at("00:00", day=16), summarized_at=at("09:00", day=16))
    store.save([(today, VECTOR), (tomorrow, VECTOR)])
    assert versions(store, today, tomorrow) == [at("15:00"), at("09:00", day=16)]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_newest_version_stays_in_any_order_of_arrival(
    database: EventsDatabase, store: ClickHouseEmbeddingStore, order: tuple[int, ...]
) -> None:
    for hour in order:
        one = document(content=f"version {hour}", summarized_at=at("15:00") + timedelta(hours=hour))
        store.save([(one, [float(hour), 1, 1, 1])])
    newest = "SELECT content, embedding[1], summarized_at FROM {db}.document_embeddings FINAL"
    for _ in range(2):
        assert database.rows(newest) == [("version 2", 2.0, at("17:00"))]
        assert versions(store, document()) == [at("17:00")]
        database.client.command(f"OPTIMIZE TABLE {database.name}.document_embeddings FINAL")
    assert database.value("SELECT count() FROM {db}.document_embeddings") == 1


@pytest.mark.parametrize("order", list(permutations(["one", "another", "a third"])))
def test_of_equal_versions_the_one_that_was_inserted_last_is_found_and_stays(
    database: EventsDatabase, store: ClickHouseEmbeddingStore, order: tuple[str, ...]
) -> None:
    for content in order:
        store.save([(document(content=content), VECTOR)])
    last = document(content=order[-1])
    for _ in range(2):
        assert store.find(1, [last], in_time).versions == {last.key: EmbeddedVersion(at("15:00"), last.content_hash)}
        assert database.rows("SELECT content FROM {db}.document_embeddings FINAL") == [(order[-1],)]
        database.client.command(f"OPTIMIZE TABLE {database.name}.document_embeddings FINAL")


def test_the_vector_of_an_equal_version_with_another_content_is_looked_for(store: ClickHouseEmbeddingStore) -> None:
    store.save([(document(content="as before"), VECTOR), (document("another", content="as now"), VECTOR)])
    wanted = document(content="as now")
    assert dict(store.find(1, [wanted], in_time).vectors) == {(MODEL, wanted.content_hash): VECTOR}


def test_a_row_that_is_saved_again_is_one_row(database: EventsDatabase, store: ClickHouseEmbeddingStore) -> None:
    for _ in range(3):
        store.save([(document(), VECTOR)])
    assert database.value("SELECT count() FROM {db}.document_embeddings FINAL") == 1


@pytest.mark.parametrize(("days", "found"), [(0, True), (-30, True), (-31, False), (30, True), (31, False)])
def test_content_that_was_embedded_within_30_days_is_found_with_its_vector(
    store: ClickHouseEmbeddingStore, days: int, found: bool
) -> None:
    store.save([(document("another", timestamp=at("00:00") + timedelta(days=days)), VECTOR)])
    wanted = newer()
    vectors = store.find(1, [wanted], in_time).vectors
    assert dict(vectors) == ({(MODEL, wanted.content_hash): VECTOR} if found else {})


@pytest.mark.parametrize("changes", [{"team_id": 2}, {"model_name": "another-4"}, {"content": "Another"}])
def test_a_vector_is_only_reused_within_team_model_and_content(
    store: ClickHouseEmbeddingStore, changes: dict[str, Any]
) -> None:
    store.save([(document("another", **changes), VECTOR)])
    assert not store.find(1, [newer()], in_time).vectors


def test_no_vector_is_read_for_what_is_stored_already(store: ClickHouseEmbeddingStore) -> None:
    store.save([(document(), VECTOR)])
    assert not store.find(1, [document(), document(summarized_at=at("14:59"))], in_time).vectors
    assert store.find(1, [newer()], in_time).vectors


def test_five_hundred_documents_of_many_days_are_found_in_one_call(store: ClickHouseEmbeddingStore) -> None:
    documents = [
        document(f"{number:03}" + "\\'" * 62, f"content {number}", timestamp=at("14:10") + timedelta(days=40 * number))
        for number in range(500)
    ]
    store.save([(one, VECTOR) for one in documents])
    asked = [document(one.document_id, one.content, timestamp=one.timestamp) for one in documents]
    assert versions(store, *asked) == [at("15:00")] * 500
    again = [
        document("new", one.content, timestamp=one.timestamp - timedelta(days=7), summarized_at=at("16:00"))
        for one in documents
    ]
    assert len(store.find(1, again, in_time).vectors) == 500


def test_a_batch_of_hostile_timestamps_is_saved(database: EventsDatabase, store: ClickHouseEmbeddingStore) -> None:
    """ClickHouse refuses an insert of more than 100 months."""
    documents = [
        document(f"{year}", timestamp=datetime(year, month, 28, 23, 59, 59, 999_999, tzinfo=UTC))
        for year in range(1970, 2149)
        for month in (1, 12)
    ]
    store.save([(one, VECTOR) for one in documents])
    assert database.value("SELECT count() FROM {db}.document_embeddings") == len(documents)
    assert versions(store, *documents) == [at("15:00")] * len(documents)


@pytest.fixture
def crowded(database: EventsDatabase) -> EventsDatabase:
    """200 teams, 61 days, two models: 122,000 rows, of which the document's team has 20,000 more."""
    for teams, count in (("number % 200 + 1", 122_000), ("1", 20_000)):
        database.client.command(
            f"INSERT INTO {database.name}.document_embeddings "
            "(team_id, product, document_type, model_name, rendering, document_id, timestamp, summarized_at, "
            f"content_hash, content, words, metadata, embedding) SELECT {teams}, "
            "'llm-analytics', 'llm-trace-summary', if(number % 2 = 0, 'test-embedding-4', 'another-4'), "
            "'llma_trace_detailed', concat('trace-', toString(rand64(1))), "
            "toDateTime64('2024-12-16 00:00:00', 6, 'UTC') + rand(2) % (61 * 86400), "
            "toDateTime64('2025-03-01 00:00:00', 6, 'UTC'), lower(hex(SHA256(toString(rand64(3))))), 'text', "
            f"' text ', '{{}}', [1, 2, 3, 4] FROM numbers({count})"
        )
    database.client.command(f"OPTIMIZE TABLE {database.name}.document_embeddings FINAL")
    return database


def rows_read(database: EventsDatabase, run: Callable[[], Any]) -> int:
    database.client.command("SYSTEM DROP QUERY CONDITION CACHE")
    return database.selected_rows(run)


def test_looking_for_a_version_reads_the_marks_of_its_documents(
    crowded: EventsDatabase, store: ClickHouseEmbeddingStore
) -> None:
    documents = [document(), document(timestamp=at("14:10", day=17)), document(model_name="another-4")]
    store.save([(one, VECTOR) for one in documents])
    crowded.client.command(f"OPTIMIZE TABLE {crowded.name}.document_embeddings FINAL")
    read = rows_read(crowded, lambda: store.find(1, documents, in_time))
    assert read <= len(documents) * 2 * 1_024 + len(documents)


def test_looking_for_content_reads_a_part_of_the_teams_own_rows(
    crowded: EventsDatabase, store: ClickHouseEmbeddingStore
) -> None:
    store.save([(document("another", "embedded before"), VECTOR)])
    crowded.client.command(f"OPTIMIZE TABLE {crowded.name}.document_embeddings FINAL")
    wanted = newer(content="embedded before")
    assert store.find(1, [wanted], in_time).vectors
    assert rows_read(crowded, lambda: store.find(1, [wanted], in_time)) <= 8 * 1_024


def test_a_lost_connection_is_a_typed_error(database: EventsDatabase) -> None:
    from adapters.clickhouse import connect
    from trace_summarization.errors import ClickHouseUnavailable

    gone = ClickHouseEmbeddingStore(ClickHouseConnection(lambda: connect("http://127.0.0.1:1")), database.name)
    with pytest.raises(ClickHouseUnavailable):
        gone.save([(document(content=content_hash("x")), VECTOR)])

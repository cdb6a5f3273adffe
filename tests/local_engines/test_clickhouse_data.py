"""What a ClickHouse client writes comes back as it was, whatever its form."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from typing import Any

import clickhouse_connect
import lz4.frame
import pytest
from backports import zstd

from local.clickhouse_server import ClickHouseServer
from tests.local_engines.clickhouse_requests import request

HOSTILE = [
    "",
    "'",
    "'; DROP TABLE t; --",
    "back\\slash \\N \\' \\\\",
    'double " quote',
    "tab\tnewline\nreturn\rnul\0bell\a",
    "{x:String} %s %(x)s $1 ? ; /* */ #",
    "Grüße 日本 🎉 \u202e \ufeff",
    "[1, 'a']",
    "x" * 10_000,
]


def lz4_frame(data: bytes) -> bytes:
    compressor = lz4.frame.LZ4FrameCompressor()
    return bytes(compressor.begin() + compressor.compress(data) + compressor.flush())


def test_a_parameter_may_have_any_characters(clickhouse: Any) -> None:
    for value in HOSTILE:
        assert clickhouse.query("SELECT {x:String}", parameters={"x": value}).result_rows == [(value,)]
        assert clickhouse.query("SELECT %(x)s", parameters={"x": value}).result_rows == [(value,)]


def test_a_list_of_parameters_may_have_any_characters(clickhouse: Any) -> None:
    rows = clickhouse.query("SELECT {x:Array(String)}", parameters={"x": HOSTILE}).result_rows
    assert list(rows[0][0]) == HOSTILE


def test_parameters_in_a_form(clickhouse_server: ClickHouseServer) -> None:
    with clickhouse_connect.get_client(
        host="127.0.0.1", port=clickhouse_server.port, form_encode_query_params=True
    ) as client:
        rows = client.query("SELECT {x:Array(String)}", parameters={"x": HOSTILE}).result_rows
    assert list(rows[0][0]) == HOSTILE


def test_a_thousand_long_parameters_fit(clickhouse: Any) -> None:
    ids = [f"{number:0128}" for number in range(1000)]
    assert clickhouse.query("SELECT length({x:Array(String)})", parameters={"x": ids}).result_rows == [(1000,)]


@pytest.mark.parametrize("compression", [False, "gzip", "lz4", "zstd"])
def test_rows_come_back_as_inserted(
    clickhouse: Any, clickhouse_server: ClickHouseServer, compression: str | bool
) -> None:
    clickhouse.command("CREATE TABLE t (id Int64, text String) ENGINE = MergeTree ORDER BY id")
    rows = [(number, HOSTILE[number % len(HOSTILE)]) for number in range(500)]
    with clickhouse_connect.get_client(
        host="127.0.0.1", port=clickhouse_server.port, database=clickhouse.database, compress=compression
    ) as client:
        summary = client.insert("t", rows, column_names=["id", "text"])
        assert summary.written_rows == 500
        assert client.query("SELECT id, text FROM t ORDER BY id").result_rows == rows


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("lz4", lz4_frame), ("zstd", zstd.compress)],
)
def test_a_body_may_have_many_compressed_parts(
    clickhouse: Any, clickhouse_server: ClickHouseServer, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    clickhouse.command("CREATE TABLE t (id Int64) ENGINE = Memory")
    parts = [b"INSERT INTO t FORMAT CSV\n", *(b"%d\n" % number for number in range(50))]
    body = b"".join(compress(part) for part in parts)
    arguments = {"database": clickhouse.database}
    assert request(clickhouse_server, body, headers={"Content-Encoding": encoding}, arguments=arguments)[0] == 200
    assert clickhouse.query("SELECT count(), sum(id) FROM t").result_rows == [(50, sum(range(50)))]
    assert request(clickhouse_server, body[:-3], headers={"Content-Encoding": encoding}, arguments=arguments)[0] == 400


@pytest.mark.parametrize(
    ("statement", "data_format", "data"),
    [
        ("INSERT INTO t (id, text)", "JSONEachRow", b'{"id": 1, "text": "a;b"}\n{"id": 2, "text": "FORMAT CSV"}'),
        ("insert into `t`(`id`, text)", "CSV", b'1,"a;b"\n2,"FORMAT CSV"\n'),
        ("INSERT INTO TABLE t SETTINGS max_insert_threads=1", "Values", b"(1, 'a;b'), (2, 'FORMAT CSV')"),
        ("  INSERT\nINTO t\n(id,\n text)\n", "TSV", b"1\ta;b\n2\tFORMAT CSV\n"),
    ],
)
def test_inserts_in_any_format(
    clickhouse: Any, clickhouse_server: ClickHouseServer, statement: str, data_format: str, data: bytes
) -> None:
    clickhouse.command("CREATE TABLE t (id Int64, text String) ENGINE = MergeTree ORDER BY id")
    database = clickhouse.database
    body = f"{statement} FORMAT {data_format}\n".encode() + data
    assert request(clickhouse_server, body, arguments={"database": database})[0] == 200
    split = {"query": f"{statement} FORMAT {data_format}", "database": database}
    assert request(clickhouse_server, data, arguments=split)[0] == 200
    assert clickhouse.query("SELECT count(), uniq(text), min(text) FROM t").result_rows == [(4, 2, "FORMAT CSV")]


def test_a_column_name_may_have_any_characters(clickhouse: Any) -> None:
    name = "a) FORMAT `b\"' $x"
    clickhouse.command("CREATE TABLE t (`a) FORMAT \\`b\"' $x` Int64) ENGINE = Memory")
    clickhouse.insert("t", [(1,)], column_names=[name])
    assert clickhouse.query("SELECT * FROM t").column_names == (name,)


def test_an_insert_of_values_with_many_columns_is_read_at_once(clickhouse: Any) -> None:
    columns = ", ".join(f"a_long_column_name_{number} Int64" for number in range(500))
    names = ", ".join(f"a_long_column_name_{number}" for number in range(500))
    clickhouse.command(f"CREATE TABLE t ({columns}) ENGINE = Memory")
    started = time.monotonic()
    clickhouse.command(f"INSERT INTO t ({names}) VALUES ({', '.join(['1'] * 500)})")
    assert time.monotonic() - started < 5
    assert clickhouse.query("SELECT count() FROM t").result_rows == [(1,)]


def test_an_insert_with_a_used_token_adds_nothing(clickhouse: Any) -> None:
    clickhouse.command(
        "CREATE TABLE t (id Int64) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 10"
    )
    for _ in range(2):
        clickhouse.insert("t", [(1,)], column_names=["id"], settings={"insert_deduplication_token": "a"})
    clickhouse.insert("t", [(1,)], column_names=["id"], settings={"insert_deduplication_token": "b"})
    assert clickhouse.query("SELECT count() FROM t").result_rows == [(2,)]


def test_an_acknowledged_insert_is_visible(clickhouse: Any) -> None:
    clickhouse.command("CREATE TABLE t (id Int64) ENGINE = MergeTree ORDER BY id")
    settings = {"async_insert": 1, "wait_for_async_insert": 1}
    for number in range(5):
        clickhouse.insert("t", [(number,)], column_names=["id"], settings=settings)
        assert clickhouse.query("SELECT count() FROM t").result_rows == [(number + 1,)]


def test_the_summary_counts_the_rows_read(clickhouse: Any) -> None:
    clickhouse.command("CREATE TABLE t (team Int64, id Int64) ENGINE = MergeTree ORDER BY (team, id)")
    clickhouse.command("INSERT INTO t SELECT number % 10, number FROM numbers(1000000)")
    result = clickhouse.query("SELECT id FROM t WHERE team = 3 AND id = 33")
    assert result.result_rows == [(33,)]
    assert result.summary["read_rows"] == "8192"  # one granule
    assert result.summary["result_rows"] == "1"


def test_a_result_without_rows_is_still_a_result(clickhouse: Any) -> None:
    clickhouse.command("CREATE TABLE t (id Int64) ENGINE = Memory")
    assert clickhouse.query("SELECT id FROM t").result_rows == []
    assert clickhouse.command("SELECT id FROM t") == ""
    assert clickhouse.command("SELECT count() FROM t") == 0
    assert clickhouse.query_np("SELECT number FROM numbers(3)").tolist() == [[0], [1], [2]]

"""An unmodified ClickHouse client works against the engine, and meets ClickHouse's own errors."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from local.clickhouse_server import ClickHouseServer
from local.errors import EngineStartError
from local.ports import PortInUseError
from tests.local_engines.clickhouse_requests import request
from tests.local_engines.processes import PROJECT_ROOT


def run_python(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_url_above_a_mebibyte_is_refused(clickhouse_server: ClickHouseServer) -> None:
    assert request(clickhouse_server, b"SELECT 1", arguments={"param_x": "x" * 1024 * 1024})[0] == 414


def changed_settings(client: Any) -> list[tuple[str]]:
    names = ("max_execution_time", "max_result_rows", "readonly")
    return list(
        client.query(
            "SELECT name FROM system.settings WHERE changed AND name IN {x:Array(String)}",
            parameters={"x": list(names)},
        ).result_rows
    )


def test_settings_end_with_their_query(clickhouse: Any) -> None:
    before = changed_settings(clickhouse)
    shown = clickhouse.query("SELECT getSetting('max_execution_time')", settings={"max_execution_time": 77})
    assert shown.result_rows == [(77,)]
    with pytest.raises(DatabaseError, match="TOO_MANY_ROWS_OR_BYTES"):
        clickhouse.query("SELECT number FROM numbers(10)", settings={"max_result_rows": 1})
    with pytest.raises(DatabaseError, match="SYNTAX_ERROR|UNKNOWN_IDENTIFIER"):
        clickhouse.query("SELECT FROM WHERE", settings={"readonly": 1})
    clickhouse.command("SET max_result_rows = 1")
    assert changed_settings(clickhouse) == before
    clickhouse.command("CREATE TABLE t (id Int64) ENGINE = Memory")


def test_a_setting_cannot_smuggle_sql(clickhouse_server: ClickHouseServer) -> None:
    status, headers, body = request(clickhouse_server, b"SELECT 1", arguments={"max_threads=1, readonly": "1"})
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (400, "36")
    assert b"is not the name of a setting" in body
    assert request(clickhouse_server, b"SELECT 1", arguments={"max_threads": "1', readonly='1"})[0] == 400


@pytest.mark.parametrize(
    ("sql", "status", "code"),
    [
        ("SELEC 1", 400, 62),
        ("SELECT * FROM no_such_table", 404, 60),
        ("SELECT * FROM no_such_database.t", 404, 81),
        ("SELECT no_such_column", 404, 47),
        ("SELECT no_such_function(1)", 404, 46),
        ("SELECT 1 SETTINGS no_such_setting = 1", 404, 115),
        ("SELECT throwIf(1)", 500, 395),
        ("SELECT toDate('x')", 400, 38),
        ("SELECT sleepEachRow(0.3) FROM numbers(20) SETTINGS max_execution_time = 1, max_block_size = 1", 408, 159),
        ("INSERT INTO no_such_table (a) FORMAT JSONEachRow {}", 404, 60),
    ],
)
def test_an_error_has_clickhouses_code_and_status(
    clickhouse_server: ClickHouseServer, sql: str, status: int, code: int
) -> None:
    seen, headers, body = request(clickhouse_server, sql.encode())
    assert (seen, headers["X-ClickHouse-Exception-Code"]) == (status, str(code))
    assert body.startswith(f"Code: {code}. DB::Exception: ".encode())
    assert request(clickhouse_server, b"SELECT 1")[2] == b"1\n"


def test_a_client_reads_the_error(clickhouse: Any) -> None:
    with pytest.raises(DatabaseError) as raised:
        clickhouse.query("SELECT * FROM no_such_table")
    assert (raised.value.code, raised.value.name) == (60, "UNKNOWN_TABLE")


@pytest.mark.parametrize(
    ("body", "headers", "arguments", "status", "message"),
    [
        (b"no gzip", {"Content-Encoding": "gzip"}, {}, 400, b"not valid gzip"),
        (b"SELECT 1", {"Content-Encoding": "snappy"}, {}, 501, b"expected gzip, deflate, lz4 or zstd"),
        (b"SELECT '\xff'", {}, {}, 400, b"the query is not UTF-8"),
        (b"x", {}, {"decompress": "1"}, 501, b"decompress=1"),
        (b"SELECT 1", {}, {"database": "no_such"}, 404, b"UNKNOWN_DATABASE"),
    ],
)
def test_a_request_that_cannot_be_read(
    clickhouse_server: ClickHouseServer,
    body: bytes,
    headers: dict[str, str],
    arguments: dict[str, str],
    status: int,
    message: bytes,
) -> None:
    seen, _, answer = request(clickhouse_server, body, headers=headers, arguments=arguments)
    assert seen == status
    assert message in answer


def test_a_get_may_read_only(clickhouse_server: ClickHouseServer) -> None:
    assert request(clickhouse_server, method="GET", arguments={"query": "SELECT 1"})[2] == b"1\n"
    status, headers, _ = request(
        clickhouse_server, method="GET", arguments={"query": "CREATE TABLE default.t (a Int8) ENGINE=Memory"}
    )
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (500, "164")
    assert request(clickhouse_server, method="GET")[2] == b"Ok.\n"
    assert request(clickhouse_server, method="DELETE")[0] == 501


def test_many_threads_read_and_write_at_once(clickhouse: Any, clickhouse_server: ClickHouseServer) -> None:
    clickhouse.command("CREATE TABLE t (thread Int64, id Int64) ENGINE = MergeTree ORDER BY (thread, id)")

    def work(thread: int) -> int:
        with clickhouse_connect.get_client(
            host="127.0.0.1", port=clickhouse_server.port, database=clickhouse.database
        ) as client:
            for number in range(15):
                client.insert("t", [(thread, number)], column_names=["thread", "id"])
                with pytest.raises(DatabaseError):
                    client.query("SELECT throwIf(1)", settings={"max_threads": 1})
            rows = client.query("SELECT count() FROM t WHERE thread = {x:Int64}", parameters={"x": thread}).result_rows
            return int(rows[0][0])

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(8))) == [15] * 8


def test_processes_share_the_data(clickhouse: Any, clickhouse_server: ClickHouseServer) -> None:
    clickhouse.command("CREATE TABLE t (id Int64) ENGINE = MergeTree ORDER BY id")
    script = """
        import sys, urllib.request
        urllib.request.urlopen(sys.argv[1], data=b"INSERT INTO t VALUES (" + sys.argv[2].encode() + b")")
    """
    url = f"{clickhouse_server.url}/?database={clickhouse.database}"
    with ThreadPoolExecutor(3) as threads:
        done = list(threads.map(lambda number: run_python(script, url, str(number)), range(3)))
    assert [process.stderr for process in done] == [""] * 3
    assert clickhouse.query("SELECT id FROM t ORDER BY id").result_rows == [(0,), (1,), (2,)]


def test_it_can_be_down_for_a_while_and_keep_its_data(clickhouse: Any, clickhouse_server: ClickHouseServer) -> None:
    clickhouse.command("CREATE TABLE t (id Int64) ENGINE = Memory")
    clickhouse.insert("t", [(1,)], column_names=["id"])
    port = clickhouse_server.port
    clickhouse_server.pause()
    try:
        with pytest.raises(OperationalError):  # also on a connection that was open
            clickhouse.query("SELECT id FROM t")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=1)
    finally:
        clickhouse_server.resume()
    clickhouse_server.resume()  # once more does nothing
    assert clickhouse_server.port == port
    assert clickhouse.query("SELECT id FROM t").result_rows == [(1,)]


def test_a_second_engine_in_the_process_is_refused(clickhouse_server: ClickHouseServer, tmp_path: Path) -> None:
    port = clickhouse_server.port
    with pytest.raises(EngineStartError, match=rf"this process has a ClickHouse engine already .*port {port}"):
        ClickHouseServer(tmp_path).start()


def test_a_port_in_use_is_named(clickhouse_server: ClickHouseServer) -> None:
    with pytest.raises(PortInUseError, match=f"port {clickhouse_server.port} on 127.0.0.1 is in use"):
        ClickHouseServer(None, port=clickhouse_server.port).start()


def test_a_stopped_server_is_started_not_resumed() -> None:
    with pytest.raises(RuntimeError, match="call start, not resume"):
        ClickHouseServer(None).resume()


FOLDER_SCRIPT = """
    import subprocess, sys, threading, time
    from pathlib import Path
    import clickhouse_connect
    from local.clickhouse_server import ClickHouseServer
    from local.errors import EngineStartError

    folder = Path(sys.argv[1])
    server = ClickHouseServer(folder)
    server.start()
    port = server.port
    with clickhouse_connect.get_client(host="127.0.0.1", port=port) as client:
        client.command("CREATE TABLE IF NOT EXISTS t (id Int64) ENGINE = MergeTree ORDER BY id")
        client.insert("t", [(1,)], column_names=["id"])
    if len(sys.argv) == 2:
        second = subprocess.run([sys.executable, "-c", CODE, sys.argv[1], "second"], capture_output=True, text=True)
        print("second:", second.stderr.strip().splitlines()[-1])
    server.stop()
    server.stop()
    server.start()
    assert server.port == port
    with clickhouse_connect.get_client(host="127.0.0.1", port=port) as client:
        print("rows:", client.command("SELECT count() FROM t"))

        def count():
            try:
                client.query("SELECT count() FROM numbers(20000000000) WHERE sipHash64(number) % 7 = 0")
            except Exception as error:
                print("query:", type(error).__name__)

        slow = threading.Thread(target=count)
        slow.start()
        time.sleep(0.5)
        started = time.monotonic()
        server.stop()
        print("stopped:", time.monotonic() - started < 5)
        slow.join()
"""


def test_a_data_folder_outlives_the_server_and_has_one_owner(tmp_path: Path) -> None:
    script = textwrap.dedent(FOLDER_SCRIPT)
    done = run_python(f"CODE = {script!r}\n{script}", str(tmp_path / "data"))
    assert done.returncode == 0, done.stderr
    second, *rest = done.stdout.splitlines()
    assert "EngineStartError: cannot open the ClickHouse data folder" in second
    assert "does another process use it?" in second
    assert sorted(rest) == ["query: OperationalError", "rows: 1", "stopped: True"]

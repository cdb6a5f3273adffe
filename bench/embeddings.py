"""`embeddings`: documents through the worker, and what a search costs as the table grows.

The worker's side: requests on a real broker to rows in ClickHouse, the model a server that answers at once (its
vectors, of a real size, mean nothing). The baseline, in the same run, is a worker that takes one document at a time:
one request to the same model, one insert. The search's side: one team of 100, whose share of 1,000, 100,000 and
1,000,000 rows is a hundredth, and one team that has 100,000 rows alone.
"""

import itertools
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from clickhouse_connect.driver.client import Client
from kafka import KafkaProducer

from adapters.clickhouse import ClickHouseConnection, connect
from adapters.clickhouse_embeddings import ClickHouseEmbeddingStore
from adapters.clickhouse_search import ClickHouseSearchStore
from adapters.embedding_model import OpenAiEmbeddingModel
from adapters.schema import apply_schema
from adapters.secrets import ModelSecret
from bench.embedding_faults import Delivery
from embedding.messages import parse_message
from embedding.models import EmbeddingModelName
from embedding.requests import content_hash, encode, message_key
from embedding.search import QueryModel, SearchRequest, parse_search_request, search
from local.clickhouse_server import ClickHouseServer
from local.model_process import ModelProcess
from local.stack import Stack
from local.stack_info import OFFLINE_PROVIDER
from local.stack_options import ModelEndpoint, StackOptions
from trace_summarization import constants as c
from trace_summarization.timestamps import format_microseconds

LARGEST_REQUEST_SHARE: Final = 0.05  # requests to the model per document
SMALLEST_SPEED_RATIO: Final = 3.0
LARGEST_ROWS_SHARE: Final = 3.0  # rows that one ranking reads, of those the team has; small tables read a whole granule

_MODEL: Final = EmbeddingModelName.parse(c.DEFAULT_EMBEDDING_MODELS[0])
_DOCUMENTS: Final = 10_000
_BASELINE_DOCUMENTS: Final = 300
_WORDS: Final = 150  # of a document: about 1,000 characters
_VOCABULARY: Final = tuple(
    "".join(letters)
    for letters in itertools.islice(itertools.product("bdklmnrst", "aeiou", "bdgklmnprst", "aeio", "nrst"), 7_900)
)
_START: Final = datetime(2025, 1, 1, tzinfo=UTC)
_DRAIN_SECONDS: Final = 600.0

_DATABASE: Final = "bench"
_EVENTS_TABLE: Final = f"{_DATABASE}.events"
_SIZES: Final = (1_000, 100_000, 1_000_000)
_TEAMS: Final = 100
_LARGE_TEAM: Final = _TEAMS + 1
_LARGE_TEAM_ROWS: Final = 100_000
_SEARCHES: Final = 5
_GRANULE_ROWS: Final = 1_024

# Documents of the 100 teams in turn, spread over 30 days, with words by chance from the vocabulary.
_FILL_SQL: Final = """
INSERT INTO {database}.document_embeddings (team_id, product, document_type, model_name, rendering, document_id,
    timestamp, summarized_at, content_hash, content, words, metadata, embedding)
WITH {vocabulary} AS vocabulary,
    arrayMap(i -> vocabulary[1 + cityHash64(number, i) % length(vocabulary)], range({words})) AS chosen,
    arrayStringConcat(chosen, ' ') AS said
SELECT {team}, '{product}', '{document_type}', '{model}', 'llma_trace_detailed', concat('trace-', toString(number)),
    toDateTime64('2025-01-01 00:00:00', 6, 'UTC') + cityHash64(number) % 2592000, now64(6), hex(SHA256(said)), said,
    concat(' ', said, ' '), '{{}}',
    arrayMap(i -> toFloat32(cityHash64(number, i) % 2001 / 1000. - 1), range({dimensions}))
FROM numbers({first}, {count})
SETTINGS max_partitions_per_insert_block = 0
"""


def run(scale: float = 1.0) -> dict[str, Any]:
    """Measure both sides; `scale` shrinks them. Some minutes and 8 GB of disk at scale 1."""
    with tempfile.TemporaryDirectory(prefix="embeddings-") as folder:
        worker = _worker(Path(folder), round(_DOCUMENTS * scale), max(10, round(_BASELINE_DOCUMENTS * scale)))
        return {"worker": worker, "search": _search(Path(folder), scale)}


# --- through the worker -----------------------------------------------------------------------------------------------


def _worker(folder: Path, documents: int, baseline_documents: int) -> dict[str, Any]:
    model = ModelProcess(0, folder / "model_requests.jsonl", embedding_dimensions={_MODEL.model: _MODEL.dimensions})
    model.start()
    endpoint = ModelEndpoint(model.base_url, "offline", OFFLINE_PROVIDER)
    try:
        with Stack(StackOptions(folder, persistent=False, model=endpoint)) as stack:
            info = stack.start()
            delivery = Delivery.of(stack, info, stack.poller, range(1, 11))
            delivery.runtime.warm(info.embed_function, 1)  # how long it starts is another benchmark's
            messages = list(_messages(documents))
            began = time.perf_counter()
            _send(info.kafka_bootstrap_servers, info.kafka_topic, messages)
            sent = time.perf_counter()
            counts = delivery.poller.wait_until_drained(_DRAIN_SECONDS)
            seconds = time.perf_counter() - began
            requests = delivery.model("GET", "/_requests")["count"]
            problems = delivery.problems(messages)
            with info.clickhouse() as client:
                store = ClickHouseEmbeddingStore(ClickHouseConnection(lambda: client), info.clickhouse_database)
                one_by_one = _one_by_one(store, model.base_url, baseline_documents)
    finally:
        model.stop()
    return {
        "documents": documents,
        "documents_per_second": round(documents / seconds, 1),
        "of_it_seconds_of_producing": round(sent - began, 1),
        "invocations": counts.invocations,
        "requests_per_document": round(requests / documents, 4),
        "one_by_one_documents_per_second": round(one_by_one, 1),
        "speed_ratio": round(documents / seconds / one_by_one, 2),
        **problems,
    }


def _messages(count: int) -> Iterator[dict[str, Any]]:
    chance = random.Random(1)
    for number in range(count):
        content = " ".join(chance.choices(_VOCABULARY, k=_WORDS))
        yield {
            "version": c.EMBEDDING_MESSAGE_VERSION,
            "team_id": 1 + number % 10,
            "product": c.EMBEDDING_PRODUCT,
            "document_type": c.EMBEDDING_DOCUMENT_TYPE,
            "rendering": "llma_trace_detailed",
            "document_id": f"trace-{number}",
            "timestamp": format_microseconds(_START + timedelta(seconds=number)),
            "summarized_at": format_microseconds(_START + timedelta(days=1)),
            "content_hash": content_hash(content),
            "content": content,
            "metadata": {},
            "models": [str(_MODEL)],
        }


def _send(bootstrap_servers: str, topic: str, messages: Sequence[dict[str, Any]]) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers, linger_ms=50, batch_size=256 * 1024)
    futures = [producer.send(topic, key=message_key(each).encode(), value=encode(each)) for each in messages]
    for future in futures:
        future.get(timeout=60)
    producer.close()


def _one_by_one(store: ClickHouseEmbeddingStore, base_url: str, count: int) -> float:
    """Documents per second when each is asked for and saved alone."""
    model = OpenAiEmbeddingModel(ModelSecret(api_key="offline", base_url=base_url))
    documents = [document for each in _messages(count) for document in parse_message(encode(each)).documents()]
    began = time.perf_counter()
    for document in documents:
        [vector] = model.embed(_MODEL, [document.content], lambda: 60.0).vectors
        store.save([(document, vector)])
    return count / (time.perf_counter() - began)


# --- search -----------------------------------------------------------------------------------------------------------


def _search(folder: Path, scale: float) -> list[dict[str, Any]]:
    model = ModelProcess(0, folder / "queries.jsonl", embedding_dimensions={_MODEL.model: _MODEL.dimensions})
    model.start()
    try:
        with ClickHouseServer(folder / "clickhouse") as server, connect(server.url) as client:
            client.set_client_setting("use_query_condition_cache", 0)
            client.set_client_setting("max_execution_time", 0)
            apply_schema(client, _DATABASE, _EVENTS_TABLE)
            results = []
            already = 0
            for total in (round(size * scale) for size in _SIZES):
                seconds = _fill(client, f"1 + number % {_TEAMS}", already, total)
                already = total
                results.append({"rows": total, "team_rows": total // _TEAMS, "fill_seconds": seconds})
                results[-1] |= _measured(client, model.base_url, 1)
            rows = round(_LARGE_TEAM_ROWS * scale)
            seconds = _fill(client, str(_LARGE_TEAM), already, already + rows)
            results.append({"rows": already + rows, "team_rows": rows, "fill_seconds": seconds})
            results[-1] |= _measured(client, model.base_url, _LARGE_TEAM)
            return results
    finally:
        model.stop()


def _fill(client: Client, team: str, already: int, total: int) -> float:
    began = time.perf_counter()
    for first in range(already, total, 50_000):  # a part at a time: all of it would be in memory
        client.command(
            _FILL_SQL.format(
                database=_DATABASE,
                vocabulary=list(_VOCABULARY),
                words=_WORDS,
                team=team,
                product=c.EMBEDDING_PRODUCT,
                document_type=c.EMBEDDING_DOCUMENT_TYPE,
                model=_MODEL,
                dimensions=_MODEL.dimensions,
                first=first,
                count=min(50_000, total - first),
            )
        )
    return round(time.perf_counter() - began, 1)


def _measured(client: Client, base_url: str, team_id: int) -> dict[str, Any]:
    """Milliseconds and rows read of a team's search over all its rows, by method."""
    store = ClickHouseSearchStore(ClickHouseConnection(lambda: client), _DATABASE, _EVENTS_TABLE)
    embedding_model = OpenAiEmbeddingModel(ModelSecret(api_key="offline", base_url=base_url))
    model = QueryModel(names=[str(_MODEL)], open=lambda: embedding_model, seconds_left=lambda: 60.0)
    figures: dict[str, Any] = {}
    for method in ("vector", "words", "hybrid"):
        requests = [_request(team_id, method, number) for number in range(_SEARCHES)]
        rows = _rows_read(client, partial(search, requests[0], store, model))
        times = [_milliseconds(partial(search, request, store, model)) for request in requests]
        figures[method] = {"milliseconds": round(statistics.median(times), 1), "rows_read": rows}
    return figures


def _request(team_id: int, method: str, number: int) -> SearchRequest:
    text = " ".join(random.Random(number).choices(_VOCABULARY, k=6))
    return parse_search_request({"team_id": team_id, "text": text, "method": method})


def _rows_read(client: Client, action: Callable[[], object]) -> int:
    """Rows that the engine reads from tables, less those of asking for that number."""

    def selected() -> int:
        sql = "SELECT sum(value) FROM system.events WHERE event = 'SelectedRows'"
        return int(client.query(sql).result_rows[0][0])

    first, second = selected(), selected()
    action()
    return selected() - second - (second - first)


def _milliseconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return 1_000 * (time.perf_counter() - began)


def report(result: dict[str, Any]) -> str:
    """The result as lines and a table."""
    lines = [f"{name:34} {value}" for name, value in result["worker"].items()]
    lines.append(f"\n{'rows':>12}{'of the team':>14}{'vector':>26}{'words':>26}{'hybrid':>26}")
    for size in result["search"]:
        cells = (
            f"{size[m]['rows_read']:>12,} rows {size[m]['milliseconds']:>6.0f} ms"
            for m in ("vector", "words", "hybrid")
        )
        lines.append(f"{size['rows']:>12,}{size['team_rows']:>14,}  {'  '.join(cells)}")
    return "\n".join(lines)


def passes(result: dict[str, Any]) -> bool:
    """Many texts per request, faster than one by one, nothing lost; a ranking reads little but its team's rows."""
    worker = result["worker"]
    return bool(
        worker["requests_per_document"] <= LARGEST_REQUEST_SHARE
        and worker["speed_ratio"] >= SMALLEST_SPEED_RATIO
        and not any(worker[name] for name in ("missing", "doubled", "of_other_content", "of_wrong_size", "unasked"))
        and all(
            size[method]["rows_read"] <= LARGEST_ROWS_SHARE * size["team_rows"] + 64 * _GRANULE_ROWS
            for size in result["search"]
            for method in ("vector", "words")
        )
    )

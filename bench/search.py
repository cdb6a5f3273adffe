"""`search`: whether people find the traces they look for: by meaning, by words, and by both.

All hours of the samples run through the local stack as they would in AWS: summaries, embedding requests, the worker.
Then each query of `bench/search_queries.json` (`bench.search_queries` tells how it was made) is put to the search
function by every method. What should be found was told from labels and recorded events, never from summaries.

Figures are means over queries: how many of the first ten are relevant, as a share of what could be; the inverse rank
of the first relevant one within the first ten; nDCG at ten.
"""

import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from bench.corpus import run_hour
from bench.search_queries import SAMPLES, Query, read_queries
from local.load_events import load_events
from local.queries import busy_hours, embedded_summaries
from local.session import own_stack, write_allowlist
from local.stack_info import StackInfo
from local.stack_options import StackOptions

METHODS: Final = ("vector", "words", "hybrid")
METRICS: Final = ("hits_at_10", "mrr", "ndcg_at_10")
EXACT_KINDS: Final = ("exact", "question", "trace id", "tool", "error")  # strings of the trace itself
SMALLEST_EXACT_HITS: Final = 0.8

_FIRST: Final = 10
_EMBEDDING_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.5

Figures = tuple[float, float, float]  # in the order of METRICS


def run() -> dict[str, Any]:
    """Summarize and embed the samples, put every query, compare with what should be found."""
    began = time.monotonic()
    queries = read_queries()
    workers = max(2, os.cpu_count() or 2)
    with (
        tempfile.TemporaryDirectory(prefix="search-") as folder,
        own_stack(StackOptions(Path(folder), workers=workers), lambda _: None) as info,
        ThreadPoolExecutor(workers) as threads,
    ):
        documents = _embed_samples(info)
        asked = [(query, method) for query in queries for method in METHODS]
        searching = time.monotonic()
        found = list(threads.map(lambda each: _found(info, *each), asked))
        search_seconds = time.monotonic() - searching
        model = info.embedding_models[0]
    judged = [(query, method, figures(ids, query.relevant)) for (query, method), ids in zip(asked, found, strict=True)]
    return {
        "queries": len(queries),
        "documents": documents,
        "embedding_model": model,
        **_means(judged),
        "exact_strings": _means([each for each in judged if each[0].kind in EXACT_KINDS]),
        "kinds": _means_by(judged, lambda query: query.kind),
        "halves": _means_by(judged, lambda query: query.half),
        "search_seconds": round(search_seconds, 1),
        "seconds": round(time.monotonic() - began, 1),
    }


def report(result: dict[str, Any]) -> str:
    """The result as a table."""
    lines = [
        f"{result['queries']} queries over {result['documents']} summaries, {result['embedding_model']}, "
        f"{result['seconds']} s; hits@10, MRR, nDCG@10",
        f"{'':>22}" + "".join(f"{method:>22}" for method in METHODS),
    ]
    parts = {"all": result, "exact strings": result["exact_strings"], **result["kinds"], **result["halves"]}
    for name, means in parts.items():
        cells = ("  ".join(f"{means[method][metric]:.3f}" for metric in METRICS) for method in METHODS)
        lines.append(f"{name:>15} {means['queries']:>6}" + "".join(f"{cell:>22}" for cell in cells))
    lines.append(
        f"hybrid is to be at least the better of the others in each metric, and to find {SMALLEST_EXACT_HITS:.0%} of "
        "what each kind of exact string should find"
    )
    return "\n".join(lines)


def passes(result: dict[str, Any]) -> bool:
    """Whether nothing is lost by looking in both ways, and exact strings are found."""
    return all(
        result["hybrid"][metric] >= max(result[method][metric] for method in ("vector", "words")) for metric in METRICS
    ) and all(result["kinds"][kind]["hybrid"]["hits_at_10"] >= SMALLEST_EXACT_HITS for kind in EXACT_KINDS)


def figures(found: Sequence[str], relevant: Sequence[str]) -> Figures:
    """What a list of trace ids, the best first, is worth: see METRICS. Only the first ten count."""
    hits = [trace_id in relevant for trace_id in found[:_FIRST]]
    possible = min(_FIRST, len(relevant))
    return (
        sum(hits) / possible,
        next((1 / rank for rank, hit in enumerate(hits, 1) if hit), 0.0),
        _gain(hits) / _gain([True] * possible),
    )


def _gain(hits: Sequence[bool]) -> float:
    """Discounted cumulative gain (Järvelin, Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002)."""
    return sum(1 / math.log2(rank + 1) for rank, hit in enumerate(hits, 1) if hit)


def _embed_samples(info: StackInfo) -> int:
    """Run every hour, and wait until each summary has its vector; how many there are."""
    with info.clickhouse() as client:
        report = load_events(client, info.clickhouse_events_table, sorted(SAMPLES.glob("*.jsonl.gz")))
    teams = list(report.teams)
    write_allowlist(info, teams)
    executions = [run_hour(info, busy) for busy in busy_hours(info, teams)]
    summaries = sum(execution.output["total_summaries"] for execution in executions if execution.output)
    if summaries != report.traces:
        raise RuntimeError(f"{summaries} of {report.traces} traces were summarized: {executions}")
    waiting = time.monotonic()
    while (embedded := sum(sum(embedded_summaries(info, team).values()) for team in teams)) < summaries:
        if time.monotonic() - waiting > _EMBEDDING_SECONDS:
            raise RuntimeError(f"{embedded} of {summaries} summaries are embedded after {_EMBEDDING_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)
    return embedded


def _found(info: StackInfo, query: Query, method: str) -> list[str]:
    """Ids of the traces that the search function finds."""
    request = {"team_id": query.team_id, "text": query.text, "method": method, "limit": _FIRST}
    answer = info.aws("lambda").invoke(FunctionName=info.search_function, Payload=json.dumps(request))
    page = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise RuntimeError(f"{request}: {page}")
    return [result["trace_id"] for result in page["results"]]


_Judged = Sequence[tuple[Query, str, Figures]]


def _means(judged: _Judged) -> dict[str, Any]:
    """Each method's figures, and over how many queries."""
    means: dict[str, Any] = {}
    for method in METHODS:
        chosen = [each for _, by, each in judged if by == method]
        columns = zip(*chosen, strict=True)
        means[method] = {
            name: round(math.fsum(column) / len(chosen), 4) for name, column in zip(METRICS, columns, strict=True)
        }
    return {"queries": len(chosen), **means}


def _means_by(judged: _Judged, part_of: Callable[[Query], str]) -> Mapping[str, Any]:
    parts = dict.fromkeys(part_of(query) for query, _, _ in judged)
    return {part: _means([each for each in judged if part_of(each[0]) == part]) for part in parts}

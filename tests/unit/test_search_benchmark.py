"""The benchmark of search: what it asks is answerable from the samples, and its figures are what they are called."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from bench import search
from bench.event_files import read_traces
from bench.search_queries import SAMPLES, Query, made_queries, read_queries, said_in

QUERIES = read_queries()
_LONGEST_COMMON = (
    4  # words that a request in other words may share with its trace in a row: names of cities, of products
)


@pytest.fixture(scope="module")
def said_evenly(said: Mapping[int, Mapping[str, str]]) -> Mapping[int, Mapping[str, str]]:
    """The same with single blanks, without case."""
    return {team: {i: " ".join(text.split()).casefold() for i, text in texts.items()} for team, texts in said.items()}


@pytest.fixture(scope="module")
def said() -> Mapping[int, Mapping[str, str]]:
    """What the samples' events hold, by team and trace."""
    teams: dict[int, dict[str, str]] = {}
    for trace in read_traces(SAMPLES):
        teams.setdefault(trace.team_id, {})[trace.trace_id] = said_in(trace)
    return teams


def test_there_are_queries_enough_of_every_kind_in_both_halves() -> None:
    counts = Counter((query.kind, query.half) for query in QUERIES)
    assert {kind for kind, _ in counts} == {"exact", "question", "trace id", "tool", "error", "task", "paraphrase"}
    assert min(counts.values()) >= 10
    assert {query.team_id for query in QUERIES} == {1, 2, 3, 4, 5}


def test_the_list_is_made_from_the_repository_alone() -> None:
    assert made_queries() == QUERIES


def test_no_query_is_asked_twice() -> None:
    assert max(Counter((query.team_id, query.text.casefold()) for query in QUERIES).values()) == 1


def test_what_should_be_found_is_a_trace_of_the_team(said: Mapping[int, Mapping[str, str]]) -> None:
    for query in QUERIES:
        assert query.relevant
        assert set(query.relevant) <= said[query.team_id].keys(), query


def test_an_exact_string_stands_in_just_the_traces_that_should_be_found(
    said: Mapping[int, Mapping[str, str]],
) -> None:
    for query in QUERIES:
        if query.kind == "exact":
            whole = re.compile(rf"(?<![\w-]){re.escape(query.text)}(?![\w-])")
            holding = {
                trace_id for trace_id, text in said[query.team_id].items() if query.text in text and whole.search(text)
            }
            assert holding == set(query.relevant), query


def test_an_error_stands_in_just_the_traces_that_should_be_found(
    said_evenly: Mapping[int, Mapping[str, str]],
) -> None:
    for query in QUERIES:
        if query.kind == "error":
            wanted = " ".join(query.text.split()).casefold()
            holding = {trace_id for trace_id, text in said_evenly[query.team_id].items() if wanted in text}
            assert holding == set(query.relevant), query


def test_a_request_in_other_words_is_not_written_so_in_any_trace_of_its_team(
    said_evenly: Mapping[int, Mapping[str, str]],
) -> None:
    for query in QUERIES:
        if query.kind == "paraphrase":
            words = query.text.casefold().split()
            runs = [" ".join(words[at : at + _LONGEST_COMMON + 1]) for at in range(len(words) - _LONGEST_COMMON)]
            texts = said_evenly[query.team_id].values()
            assert not [run for run in runs if any(run in text for text in texts)], query


def test_all_relevant_ones_in_front_are_the_best_that_there_is() -> None:
    assert search.figures(["a", "b", "x"], ["a", "b"]) == (1.0, 1.0, 1.0)


def test_nothing_relevant_is_worth_nothing() -> None:
    assert search.figures(["x", "y"], ["a"]) == (0.0, 0.0, 0.0)
    assert search.figures([], ["a"]) == (0.0, 0.0, 0.0)


def test_the_second_place_counts_less_than_the_first() -> None:
    assert search.figures(["x", "a"], ["a"]) == pytest.approx((1.0, 0.5, 0.6309), abs=1e-4)


def test_more_relevant_traces_than_places_do_not_count_against_a_ranking() -> None:
    many = [str(number) for number in range(30)]
    assert search.figures(many, many) == (1.0, 1.0, 1.0)


def test_only_the_first_ten_count() -> None:
    assert search.figures([*"bcdefghijk", "a"], ["a"]) == (0.0, 0.0, 0.0)


def result(**changes: float) -> dict[str, Any]:
    """What the benchmark may find: `hybrid_mrr` and the like, and hits of `exact`, `tool`, `error` by hybrid."""
    values = {"vector": 0.7, "words": 0.8, "hybrid": 0.8}
    told: dict[str, Any] = {
        method: {name: changes.get(f"{method}_{name}", value) for name in search.METRICS}
        for method, value in values.items()
    }
    told["kinds"] = {kind: {"hybrid": {"hits_at_10": changes.get(kind, 0.8)}} for kind in search.EXACT_KINDS}
    return told


def test_what_is_at_least_as_good_as_each_alone_passes() -> None:
    assert search.passes(result())


@pytest.mark.parametrize(
    "change",
    [
        {"hybrid_mrr": 0.79},
        {"vector_ndcg_at_10": 0.81},
        {"words_hits_at_10": 0.81},
        {"exact": 0.79},
        {"question": 0.79},
        {"trace id": 0.79},
        {"tool": 0.79},
        {"error": 0.79},
    ],
)
def test_a_missed_limit_fails_it(change: dict[str, float]) -> None:
    assert not search.passes(result(**change))


def test_a_query_belongs_to_the_same_half_in_every_run() -> None:
    assert Query("HAT139", "exact", 1, ("t",)).half == Query("HAT139", "error", 2, ("u",)).half

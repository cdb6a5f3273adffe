"""Search on the real engine: who sees what, what counts as newest, what words find, and in which order."""

import hashlib
import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from adapters.clickhouse_search import ClickHouseSearchStore
from embedding.models import EmbeddingModelName
from embedding.ports import EmbeddingAnswer, Vector
from embedding.rankings import SummaryRef
from embedding.requests import document_content, rendering
from embedding.search import QueryModel, SearchPage, parse_search_request, search
from embedding.words import searchable, words_of
from tests.integration.clickhouse.events_database import EventsDatabase, at
from trace_summarization import constants as c
from trace_summarization.errors import ClickHouseTimeout, InvalidInput
from trace_summarization.events import summary_distinct_id, summary_event_id
from trace_summarization.models import Mode, SummaryItem, TraceSummary

MODEL = "toy-4"
OTHER_MODEL = "other-4"
EAST, NORTH, WEST = (1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (-1.0, 0.0, 0.0, 0.0)


def between(degrees: float) -> Vector:
    """A vector that many degrees north of EAST."""
    return (math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), 0.0, 0.0)


@dataclass
class Toy:
    """An embedding model that knows its texts' vectors, and counts how often it is asked."""

    vectors: dict[str, Vector] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def embed(
        self, model: EmbeddingModelName, texts: Sequence[str], seconds_left: Callable[[], float]
    ) -> EmbeddingAnswer:
        self.asked += [(str(model), text) for text in texts]
        return EmbeddingAnswer([self.vectors.get(text, EAST) for text in texts], None)


@dataclass
class Summaries:
    """The team's stored summaries and their vectors, and a search of them."""

    database: EventsDatabase
    toy: Toy = field(default_factory=Toy)

    @property
    def store(self) -> ClickHouseSearchStore:
        return ClickHouseSearchStore(self.database.connection, self.database.name, self.database.events_table)

    def add(
        self,
        trace_id: str,
        vector: Vector = NORTH,
        title: str = "A trace",
        *,
        team_id: int = 1,
        mode: Mode = "detailed",
        timestamp: datetime | None = None,
        models: Sequence[str] = (MODEL,),
        batch_run_id: str = "team_1_2025-01-15T15:00:00Z",
        keywords: str = "",
        version: int = 0,
        with_event: bool = True,
    ) -> None:
        moment = timestamp or at("14:10")
        summarized_at = at("15:00") + timedelta(seconds=version)
        bullets = (SummaryItem("It has a bullet.", "L1", True),)
        summary = TraceSummary(title, "flowchart TD\n  A --> B", bullets, (), 1, 1)
        if with_event:
            properties = {
                "$ai_trace_id": trace_id,
                "$ai_summary_mode": mode,
                "$ai_summary_title": title,
                "$ai_summary_flow_diagram": summary.flow_diagram,
                "$ai_summary_bullets": json.dumps([item.as_dict() for item in bullets]),
                "$ai_summary_interesting_notes": "[]",
                "$ai_batch_run_id": batch_run_id,
                "$ai_summarized_at": summarized_at.isoformat().replace("+00:00", "Z"),
            }
            uuid, event = UUID(summary_event_id(team_id, trace_id, mode)), c.EVENT_NAME_TRACE_SUMMARY
            distinct_id = summary_distinct_id(team_id)
            self.database.insert((uuid, event, json.dumps(properties), moment, team_id, distinct_id, summarized_at))
        content = document_content(summary)
        for model in models:
            self.row(
                team_id=team_id,
                model_name=model,
                rendering=rendering(mode),
                document_id=trace_id,
                timestamp=moment,
                summarized_at=summarized_at,
                content=content,
                words=searchable(f"{content}\n{keywords}"),
                metadata=json.dumps({"batch_run_id": batch_run_id}),
                embedding=list(vector),
            )

    def row(self, **columns: Any) -> None:
        """A row of `document_embeddings`, in a part of its own."""
        row = {
            "product": c.EMBEDDING_PRODUCT,
            "document_type": c.EMBEDDING_DOCUMENT_TYPE,
            "content_hash": hashlib.sha256(columns["content"].encode()).hexdigest(),
            **columns,
        }
        self.database.client.insert(
            f"{self.database.name}.document_embeddings", [list(row.values())], column_names=list(row)
        )

    def page(self, text: str | None = "query", **request: Any) -> SearchPage:
        given = {"team_id": 1, **({"text": text} if text is not None else {}), **request}
        model = QueryModel((MODEL, OTHER_MODEL), lambda: self.toy, lambda: 60.0)
        return search(parse_search_request(given), self.store, model)

    def found(self, text: str | None = "query", **request: Any) -> list[str]:
        return [result.trace_id for result in self.page(text, **request).results]


@pytest.fixture
def stored(database: EventsDatabase) -> Summaries:
    database.client.command(f"SYSTEM STOP MERGES {database.name}.document_embeddings")
    return Summaries(database)


# --- by meaning ------------------------------------------------------------------------------------------------------


def test_the_nearest_vector_comes_first(stored: Summaries) -> None:
    for trace_id, degrees in (("far", 80), ("near", 10), ("opposite", 180), ("middle", 45)):
        stored.add(trace_id, between(degrees))
    page = stored.page(method="vector")
    assert [result.trace_id for result in page.results] == ["near", "middle", "far", "opposite"]
    assert page.results[0].matched.similarity == pytest.approx(math.cos(math.radians(10)), abs=1e-6)
    assert [result.matched.meaning_rank for result in page.results] == [1, 2, 3, 4]


def test_a_result_shows_the_stored_summary(stored: Summaries) -> None:
    stored.add("trace", EAST, "A title", timestamp=at("14:10:00.123456"), batch_run_id="run")
    [result] = stored.page(method="vector").results
    assert (result.title, result.mode, result.batch_run_id) == ("A title", "detailed", "run")
    assert (result.timestamp, result.summarized_at) == (at("14:10:00.123456"), at("15:00"))
    assert result.bullets == (SummaryItem("It has a bullet.", "L1", True),)


def test_equally_near_ones_come_by_their_id(stored: Summaries) -> None:
    for trace_id in ("b", "c", "a"):
        stored.add(trace_id, NORTH)
    assert stored.found(method="vector") == ["a", "b", "c"]


@pytest.mark.parametrize("dimensions", [3_072, 16_384])
def test_vectors_of_any_length_reach_clickhouse(stored: Summaries, dimensions: int) -> None:
    vectors = {"same": [0.123456789] * dimensions, "other": [0.1] * (dimensions - 1) + [-3e-11 + 50]}
    for trace_id, vector in vectors.items():
        stored.add(trace_id, vector, models=(f"long-{dimensions}",))
    model = QueryModel((f"long-{dimensions}",), lambda: stored.toy, lambda: 60.0)
    stored.toy.vectors["query"] = vectors["same"]
    page = search(parse_search_request({"team_id": 1, "text": "query", "method": "vector"}), stored.store, model)
    assert [result.trace_id for result in page.results] == ["same", "other"]
    assert page.results[0].matched.similarity == pytest.approx(1)


@pytest.mark.parametrize("broken", [(1.0,), (0.0, 0.0, 0.0, 0.0), (math.nan, 1.0, 0.0, 0.0)], ids=str)
def test_a_row_with_a_broken_vector_is_left_out(stored: Summaries, broken: Vector) -> None:
    stored.add("broken", broken)
    stored.add("sound", NORTH)
    assert stored.found(method="vector") == ["sound"]


# --- scope -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["hybrid", "vector", "words"])
def test_no_other_teams_summaries_are_found(stored: Summaries, method: str) -> None:
    stored.add("ours", NORTH, "A query")
    stored.add("theirs", EAST, "A query", team_id=2)
    assert stored.found(method=method) == ["ours"]
    assert stored.found(method=method, team_id=2) == ["theirs"]
    assert stored.found(method=method, team_id=3) == []


@pytest.mark.parametrize("method", ["hybrid", "vector", "words"])
def test_models_are_never_mixed(stored: Summaries, method: str) -> None:
    stored.add("both", NORTH, "A query", models=(MODEL, OTHER_MODEL))
    stored.add("other", EAST, "A query", models=(OTHER_MODEL,))
    assert stored.found(method=method) == ["both"]
    assert sorted(stored.found(method=method, model=OTHER_MODEL)) == ["both", "other"]
    assert {model for model, _ in stored.toy.asked} <= {MODEL, OTHER_MODEL}


@pytest.mark.parametrize("method", ["hybrid", "vector", "words"])
def test_a_window_holds_its_start_and_not_its_end(stored: Summaries, method: str) -> None:
    for clock in ("13:59:59.999999", "14:00", "14:59:59.999999", "15:00"):
        stored.add(clock, title="A query", timestamp=at(clock))
    window = {"window_start": "2025-01-15T14:00:00Z", "window_end": "2025-01-15T15:00:00Z"}
    assert sorted(stored.found(method=method, **window)) == ["14:00", "14:59:59.999999"]


@pytest.mark.parametrize("method", ["vector", "words"])
@pytest.mark.parametrize("year", [1900, 1969, 1970, 2025, 2149, 2150, 2299])
def test_without_a_window_every_time_is_found(stored: Summaries, year: int, method: str) -> None:
    moment = at("14:00").replace(year=year, month=6, day=15)
    stored.add("trace", EAST, "A query", timestamp=moment)
    assert [result.timestamp for result in stored.page(method=method).results] == [moment]


def test_filters_apply_before_ranking(stored: Summaries) -> None:
    stored.add("detailed", EAST, "A query", batch_run_id="one")
    stored.add("minimal", NORTH, "A query", mode="minimal", batch_run_id="two")
    assert stored.found(filters={"mode": "minimal"}) == ["minimal"]
    assert stored.found(filters={"batch_run_id": "two"}) == ["minimal"]
    assert stored.found(filters={"batch_run_id": "two", "mode": "detailed"}) == []


# --- versions, modes, days -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_the_newest_version_counts_before_parts_are_merged(stored: Summaries, order: Sequence[int]) -> None:
    stored.add("same", between(45), "A query")
    for version in order:
        vector = between(10) if version == 2 else WEST
        stored.add("changed", vector, "A newer one" if version == 2 else "A query", version=version)
    assert stored.database.value("SELECT count() FROM {db}.document_embeddings") == 4
    assert stored.found(method="vector") == ["changed", "same"]
    assert stored.found(method="words") == ["same"]


def test_a_trace_in_both_modes_is_one_result_with_the_better_one(stored: Summaries) -> None:
    stored.add("trace", between(60), "In detail", mode="detailed")
    stored.add("trace", between(10), "In short", mode="minimal")
    stored.add("other", between(30))
    page = stored.page(method="vector")
    assert [(r.trace_id, r.mode, r.title) for r in page.results] == [
        ("trace", "minimal", "In short"),
        ("other", "detailed", "A trace"),
    ]


def test_an_id_that_comes_again_on_another_day_is_another_trace(stored: Summaries) -> None:
    stored.add("trace", EAST, "The first", timestamp=at("14:00", 15))
    stored.add("trace", NORTH, "The second", timestamp=at("14:00", 17))
    assert [r.title for r in stored.page(method="vector").results] == ["The first", "The second"]


def test_a_summary_that_is_gone_is_left_out_and_counted(stored: Summaries) -> None:
    stored.add("gone", EAST, with_event=False)
    stored.add("kept", NORTH)
    page = stored.page(method="vector", limit=1)
    assert [result.trace_id for result in page.results] == ["kept"]
    assert page.summaries_gone == 1
    assert page.notes == ("1 found, but not stored any more: left out",)


# --- by words --------------------------------------------------------------------------------------------------------

ERROR = "TypeError: Cannot read properties of undefined (reading 'total')"


@pytest.mark.parametrize(
    ("text", "stored_words"),
    [
        ("update_reservation_flights", "update_reservation_flights"),
        ("update reservation flights", "update_reservation_flights"),
        ("getUserDetails", "get_user_details"),
        ("get_user_details", "getUserDetails"),
        ("call getUserDetails now", "call getUserDetails now"),
        ("req_7f3Ka9", "req_7f3Ka9"),
        ("550e8400-e29b-41d4-a716-446655440000", "550E8400-E29B-41D4-A716-446655440000"),
        (ERROR, ERROR),
        ("a`b\\c'd", "a`b\\c'd"),
        ("100%", "100%"),
        ("ＦＵＬＬ width", "full width"),
        ("STRASSE", "Straße"),
        ("退款", "退款"),
    ],
)
def test_exact_names_are_found_by_words(stored: Summaries, text: str, stored_words: str) -> None:
    stored.add("other", title="Something else about flights and reading")
    stored.add("trace", title="A trace", keywords=stored_words)
    first = stored.page(text, method="words").results[0]
    assert first.trace_id == "trace"
    assert bool(first.matched.phrases) == (len(words_of(text, wholes=False)) > 1)


def test_words_are_whole_words(stored: Summaries) -> None:
    stored.add("trace", title="Reimbursements")
    assert stored.found("reimburse", method="words") == []


def test_words_in_a_row_count_more_than_apart(stored: Summaries) -> None:
    stored.add("apart", title="Card of a gift")
    stored.add("row", title="Gift card here")
    page = stored.page('"gift card"', method="words")
    assert [result.trace_id for result in page.results] == ["row", "apart"]
    assert [(r.matched.words, r.matched.phrases) for r in page.results] == [
        (("gift", "card"), ("gift card",)),
        (("gift", "card"), ()),
    ]


def test_rare_words_count_more_than_frequent_ones(stored: Summaries) -> None:
    for number in range(5):
        stored.add(f"refund-{number}", title="Refund asked")
    stored.add("seat", title="Seat asked")
    assert stored.found("refund or seat", method="words")[0] == "seat"


def test_rarity_is_that_within_the_scope(stored: Summaries) -> None:
    for number in range(5):
        stored.add(f"elsewhere-{number}", title="Order", team_id=2)
    stored.add("a", title="Order asked")
    stored.add("b", title="Refund asked")
    stored.add("c", title="Refund asked")
    stored.add("d", title="Orders asked")
    found = stored.found("order refund", method="words")
    assert found[0] == "a"


def test_words_alone_need_no_model(stored: Summaries) -> None:
    stored.add("trace", title="A query")
    assert stored.found(method="words") == ["trace"]
    assert stored.toy.asked == []


@pytest.mark.parametrize(
    "text",
    ["' OR 1=1 --", "%", "\\", "\\'", "{team_id:Int64}", "'); DROP TABLE x; --", "a\tb\nc", '"', "`", "_", "* AND 1"],
)
def test_no_text_is_taken_for_sql(stored: Summaries, text: str) -> None:
    stored.add("ours", EAST, "A trace")
    stored.add("theirs", EAST, "A trace", team_id=2)
    assert stored.found(text) == ["ours"]
    assert stored.database.value("SELECT count() FROM {db}.document_embeddings") == 2


@pytest.mark.parametrize("trace_id", ["' OR 1=1 --", "\\", "a\nb", '"', "😀", "{team_id:Int64}"])
def test_no_id_is_taken_for_sql(stored: Summaries, trace_id: str) -> None:
    stored.add(trace_id, EAST)
    stored.add("other", NORTH)
    assert stored.found(None, trace_id=trace_id) == ["other"]
    assert trace_id in stored.found()
    with pytest.raises(InvalidInput):
        stored.page(None, trace_id=f"{trace_id}x")


# --- by a trace's id --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["{}", " {}\n", "what happened in {}?", '"{}"', "trace_id={} or `{}`"])
@pytest.mark.parametrize("method", ["hybrid", "words"])
def test_the_trace_whose_id_is_pasted_comes_first(stored: Summaries, text: str, method: str) -> None:
    trace_id = "2c799297-4216-5aba-9d2a-697ce9426fb3"
    stored.add(trace_id, WEST)
    stored.add("near", EAST, keywords=trace_id)
    stored.add("theirs", EAST, team_id=2)
    first = stored.page(text.format(trace_id, trace_id), method=method).results[0]
    assert (first.trace_id, first.matched.trace_id) == (trace_id, True)


def test_by_meaning_alone_an_id_is_text(stored: Summaries) -> None:
    stored.add("trace-1234", WEST)
    stored.add("near", EAST)
    assert stored.found("trace-1234", method="vector") == ["near", "trace-1234"]


# --- by both ---------------------------------------------------------------------------------------------------------


def test_the_score_of_both_is_how_far_it_stands_out_and_nine_times_what_it_covers(stored: Summaries) -> None:
    angles = {"a": 10, "b": 40, "c": 90, "d": 160}
    for trace_id, degrees in angles.items():
        stored.add(trace_id, between(degrees), "Refund asked" if trace_id in "bc" else "Seat asked")
    similarities = {trace_id: math.cos(math.radians(degrees)) for trace_id, degrees in angles.items()}
    mean, deviation = statistics.mean(similarities.values()), statistics.pstdev(similarities.values())
    # Two of four documents hold the one word, two the other, and none both in a row.
    coverage = dict.fromkeys(angles, 0.5)
    page = stored.page("refund seat", limit=100)
    for result in page.results:
        trace_id = result.trace_id
        expected = (similarities[trace_id] - mean) / deviation + 9 * coverage[trace_id]
        assert result.score == pytest.approx(expected, abs=1e-4)
        assert result.matched.coverage == pytest.approx(coverage[trace_id], abs=1e-6)
    assert [result.trace_id for result in page.results] == ["a", "b", "c", "d"]


def test_a_name_that_stands_there_beats_what_is_near_in_meaning(stored: Summaries) -> None:
    for number in range(20):
        stored.add(f"near-{number}", between(number))
    stored.add("named", between(170), keywords="req_7f3Ka9")
    assert stored.found("req_7f3Ka9")[0] == "named"


def test_a_name_within_a_question_is_found_though_no_summary_holds_the_other_words(stored: Summaries) -> None:
    for number in range(20):
        stored.add(f"near-{number}", between(number))
    stored.add("named", between(170), keywords="req_7f3Ka9")
    first = stored.page("find whichever conversation mentioned req_7f3Ka9 yesterday involving grandmother").results[0]
    assert (first.trace_id, first.matched.coverage) == ("named", 1)


def test_one_that_is_unlike_many_alike_does_not_come_before_the_one_that_holds_the_name(stored: Summaries) -> None:
    for number in range(300):
        stored.row(
            team_id=1,
            model_name=MODEL,
            rendering=rendering("detailed"),
            document_id=f"alike-{number}",
            timestamp=at("14:10"),
            summarized_at=at("15:00"),
            content="Alike",
            words=searchable("Alike"),
            embedding=list(NORTH),
        )
    stored.add("named", NORTH, keywords="req_7f3Ka9")
    stored.add("unlike", EAST)
    assert stored.found("req_7f3Ka9", limit=1) == ["named"]


def test_among_equally_near_ones_words_decide_and_without_words_the_id(stored: Summaries) -> None:
    stored.add("a", EAST)
    stored.add("b", EAST, "A query")
    stored.add("c", EAST)
    assert stored.found("query") == ["b", "a", "c"]


def test_emoji_alone_are_ranked_by_meaning(stored: Summaries) -> None:
    stored.add("trace", EAST)
    page = stored.page("😀👍🏽")
    assert [result.trace_id for result in page.results] == ["trace"]
    assert (page.results[0].matched.words, page.results[0].matched.phrases) == (None, None)
    assert page.method == "vector"
    assert page.notes == ("the text holds no word: ranked by meaning alone",)


# --- traces like this one --------------------------------------------------------------------------------------------


def test_traces_like_one_are_found_without_asking_the_model_and_without_itself(stored: Summaries) -> None:
    stored.add("this", EAST)
    stored.add("near", between(10))
    stored.add("far", between(90))
    assert stored.found(None, trace_id="this") == ["near", "far"]
    assert stored.toy.asked == []


def test_the_asked_mode_says_which_vector_of_the_trace(stored: Summaries) -> None:
    stored.add("this", EAST, mode="detailed")
    stored.add("this", WEST, mode="minimal")
    for mode in ("detailed", "minimal"):
        stored.add("east", EAST, mode=mode)
        stored.add("west", WEST, mode=mode)
    assert stored.found(None, trace_id="this") == ["east", "west"]
    assert stored.found(None, trace_id="this", filters={"mode": "minimal"}) == ["west", "east"]


def test_the_trace_may_lie_outside_the_window(stored: Summaries) -> None:
    stored.add("this", EAST, timestamp=at("10:00", 10))
    stored.add("other", NORTH, timestamp=at("14:10"))
    window = {"window_start": "2025-01-15T14:00:00Z", "window_end": "2025-01-15T15:00:00Z"}
    assert stored.found(None, trace_id="this", **window) == ["other"]


@pytest.mark.parametrize(
    "elsewhere", [{"team_id": 2}, {"models": (OTHER_MODEL,)}], ids=["another team's", "another model's"]
)
def test_a_trace_without_a_vector_is_an_error_that_names_it(stored: Summaries, elsewhere: dict[str, Any]) -> None:
    stored.add("this", EAST, **elsewhere)
    with pytest.raises(
        InvalidInput, match=f'^trace_id: team 1 has no summary of trace "this" with a vector of {MODEL}'
    ):
        stored.page(None, trace_id="this")


# --- time ------------------------------------------------------------------------------------------------------------


def test_a_query_ends_when_no_time_is_left(stored: Summaries) -> None:
    database = stored.database
    slow = f"(SELECT *, sleepEachRow(1.5) AS pause FROM {database.events_table} WHERE pause = 0)"
    for trace_id in "ab":
        stored.add(trace_id)
    wanted = [SummaryRef(trace_id, "detailed", at("14:10")) for trace_id in "ab"]
    hurried = ClickHouseSearchStore(database.connection, database.name, slow, lambda: -3.0)
    with pytest.raises(ClickHouseTimeout):
        hurried.summaries(1, wanted)


# --- paging ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["hybrid", "vector", "words"])
def test_pages_together_are_the_ranking(stored: Summaries, method: str) -> None:
    for number in range(13):
        stored.add(f"trace-{number:02}", between(number % 4 * 20), "A query" if number % 3 else "Else", version=number)
    whole = stored.found(method=method, limit=100)
    assert len(whole) == (8 if method == "words" else 13)
    paged, cursor = [], None
    while True:
        page = stored.page(method=method, limit=4, cursor=cursor)
        paged += [result.trace_id for result in page.results]
        if (cursor := page.next_cursor) is None:
            break
    assert paged == whole


def test_a_search_reads_the_teams_rows_alone(stored: Summaries) -> None:
    stored.add("ours", EAST, "A query")
    rows = [
        (
            2,
            c.EMBEDDING_PRODUCT,
            c.EMBEDDING_DOCUMENT_TYPE,
            MODEL,
            rendering("detailed"),
            f"t{n}",
            at("14:10"),
            list(EAST),
        )
        for n in range(20_000)
    ]
    names = ["team_id", "product", "document_type", "model_name", "rendering", "document_id", "timestamp", "embedding"]
    stored.database.client.insert(f"{stored.database.name}.document_embeddings", rows, column_names=names)
    assert stored.database.selected_rows(lambda: stored.page()) < 5_000

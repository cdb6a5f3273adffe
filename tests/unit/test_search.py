"""Search: what is refused and how, what of a text is looked for, and how pages follow."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedding.cursors import cursor_at
from embedding.models import EmbeddingModelName
from embedding.needles import MAX_NEEDLES, Needle, ids_of, needles_of
from embedding.ports import EmbeddingAnswer, Vector
from embedding.rankings import Hit, Method, Scope, SummaryRef
from embedding.remembered import RememberedEmbeddings
from embedding.search import MAX_RESULTS, QueryModel, SearchPage, SearchRequest, parse_search_request, search
from embedding.words import words_of
from trace_summarization.errors import InvalidInput, InvalidModelOutput, ModelUnavailable
from trace_summarization.models import Mode, StoredSummary

MOMENT = datetime(2025, 1, 15, 14, tzinfo=UTC)
WINDOW: dict[str, Any] = {"window_start": "2025-01-15T14:00:00Z", "window_end": "2025-01-15T15:00:00Z"}
MODEL = "toy-3"


def ref(trace_id: str, mode: Mode = "detailed", moment: datetime = MOMENT) -> SummaryRef:
    return SummaryRef(trace_id, mode, moment)


@dataclass
class Store:
    """A store that ranks these traces in this order; `gone` are traces whose summary was deleted."""

    traces: Sequence[str] = ()
    gone: frozenset[str] = frozenset()
    asked: list[tuple[Scope, Method, Vector | None, int]] = field(default_factory=list)

    def ranked(
        self,
        scope: Scope,
        method: Method,
        vector: Vector | None,
        needles: Sequence[Needle],
        trace_ids: Sequence[str],
        limit: int,
    ) -> Sequence[Hit]:
        self.asked.append((scope, method, vector, len(needles)))
        found = (0,) if needles else ()
        similarity = None if vector is None else 0.5
        return [Hit(ref(trace_id), 2.5, similarity, 0.25, 1.5, found) for trace_id in self.traces[:limit]]

    def vector_of(self, team_id: int, model_name: str, trace_id: str, mode: Mode | None) -> Vector | None:
        return (1.0, 0.0, 0.0) if trace_id == "known" else None

    def summaries(self, team_id: int, wanted: Sequence[SummaryRef]) -> Mapping[SummaryRef, StoredSummary]:
        properties = {
            "$ai_summary_title": "A title",
            "$ai_summary_flow_diagram": "",
            "$ai_summary_bullets": "[]",
            "$ai_summary_interesting_notes": "[]",
            "$ai_summarized_at": "2025-01-15T15:00:00.123456Z",
        }
        return {one: StoredSummary(MOMENT, properties) for one in wanted if one.trace_id not in self.gone}


@dataclass
class Endpoint:
    """An embedding endpoint that answers every text with one vector, or with an error."""

    answer: Sequence[float] | Exception = (0.0, 1.0, 0.0)
    texts: list[str] = field(default_factory=list)

    def embed(
        self, model: EmbeddingModelName, texts: Sequence[str], seconds_left: Callable[[], float]
    ) -> EmbeddingAnswer:
        self.texts += texts
        if isinstance(self.answer, Exception):
            raise self.answer
        return EmbeddingAnswer([self.answer for _ in texts], len(texts))


def page(store: Store, endpoint: Endpoint | None = None, window: int = 8_191, **request: Any) -> SearchPage:
    asked = parse_search_request({"team_id": 1, **({} if "trace_id" in request else {"text": "refund"}), **request})
    embeddings = endpoint or Endpoint()
    return search(asked, store, QueryModel((MODEL, "other-3"), lambda: embeddings, lambda: 60.0, window))


def refusal(**given: Any) -> str:
    with pytest.raises(InvalidInput) as raised:
        parse_search_request(given)
    return str(raised.value)


# --- requests --------------------------------------------------------------------------------------------------------


def test_defaults_are_the_contract() -> None:
    assert parse_search_request({"team_id": 7, "text": "refund"}).model_dump() == {
        "team_id": 7,
        "text": "refund",
        "trace_id": None,
        "window_start": None,
        "window_end": None,
        "filters": {"mode": None, "batch_run_id": None},
        "limit": 10,
        "cursor": None,
        "method": "hybrid",
        "model": None,
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", '""'),
        ("  \n\t ", '"  \\n\\t "'),
        ("\u200b\u2800\u3164", '"\\u200b\\u2800\\u3164"'),
        ("\x1b[31m\x00", '"\\u001b[31m\\u0000"'),
        ("x" * 2_001, f'"{"x" * 79}... (2003 characters)'),
        ("x" * 100_000, f'"{"x" * 79}... (100002 characters)'),
    ],
    ids=["empty", "blank", "invisible", "control characters", "just too long", "100 kB"],
)
def test_a_text_that_cannot_be_looked_for_is_refused(text: str, shown: str) -> None:
    assert refusal(team_id=1, text=text) == (
        f"text: {shown} is not allowed; allowed are 1 to 2000 characters, at least one of them visible"
    )


@pytest.mark.parametrize("text", ["x", "x" * 2_000, f"  {'x' * 2_000}\n", "😀", "?", "退款"])
def test_a_text_of_up_to_2000_characters_is_taken(text: str) -> None:
    assert parse_search_request({"team_id": 1, "text": text}).text == text.strip()


def test_what_nobody_sees_of_a_text_is_not_looked_for() -> None:
    assert parse_search_request({"team_id": 1, "text": " re\u200bfund\x00 "}).text == "refund"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"text": "x"}, "team_id: required, an integer from 1 to 9007199254740991"),
        (
            {"team_id": True, "text": "x"},
            "team_id: true is not allowed; allowed is an integer from 1 to 9007199254740991",
        ),
        ({"team_id": 1}, "text, trace_id: give exactly one of them"),
        ({"team_id": 1, "text": "x", "trace_id": "y"}, "text, trace_id: give exactly one of them"),
        (
            {"team_id": 1, "text": 7},
            "text: 7 is not allowed; allowed is a string of 1 to 2000 characters",
        ),
        (
            {"team_id": 1, "trace_id": ""},
            'trace_id: "" is not allowed; allowed is a string of 1 to 128 characters',
        ),
        (
            {"team_id": 1, "text": "x", "limit": 0},
            "limit: 0 is not allowed; allowed is an integer from 1 to 100",
        ),
        (
            {"team_id": 1, "text": "x", "limit": 101},
            "limit: 101 is not allowed; allowed is an integer from 1 to 100",
        ),
        (
            {"team_id": 1, "text": "x", "method": "magic"},
            'method: "magic" is not allowed; allowed is hybrid | vector | words',
        ),
        (
            {"team_id": 1, "trace_id": "x", "method": "words"},
            'method: "words" needs text; with trace_id, hybrid and vector are allowed',
        ),
        (
            {"team_id": 1, "text": "x", "filters": {"mode": "short"}},
            'filters.mode: "short" is not allowed; allowed is detailed | minimal',
        ),
        (
            {"team_id": 1, "text": "x", "filters": {"model": "gpt"}},
            "filters.model: unknown key; allowed are batch_run_id, mode",
        ),
        (
            {"team_id": 1, "text": "x", "filters": "detailed"},
            'filters: "detailed" is not allowed; allowed is a JSON object',
        ),
        (
            {"team_id": 1, "text": "x", "top": 3},
            "top: unknown key; allowed are cursor, filters, limit, method, model, team_id, text, trace_id, window_end, "
            "window_start",
        ),
        (
            {"team_id": 1, "text": "x", "window_start": "2025-01-15T14:00:00Z"},
            "window_end: required when window_start is given; give both or neither",
        ),
        (
            {"team_id": 1, "text": "x", "window_end": "2025-01-15T14:00:00Z"},
            "window_start: required when window_end is given; give both or neither",
        ),
        (
            {"team_id": 1, "text": "x", "window_start": WINDOW["window_end"], "window_end": WINDOW["window_end"]},
            "window_start: 2025-01-15T15:00:00Z is not before window_end 2025-01-15T15:00:00Z; it must be earlier",
        ),
        (
            {"team_id": 1, "text": "x", "window_start": "yesterday", "window_end": WINDOW["window_end"]},
            'window_start: "yesterday" is not an RFC 3339 time with offset, such as 2025-01-15T12:00:00Z',
        ),
    ],
)
def test_a_refusal_names_field_value_and_what_is_allowed(given: dict[str, Any], message: str) -> None:
    assert refusal(**given) == message


def test_half_a_surrogate_pair_is_refused() -> None:
    assert refusal(team_id=1, text="\ud800").startswith('text: "\\ud800" is not allowed')


def test_half_a_surrogate_pair_is_no_traces_id() -> None:
    assert refusal(team_id=1, trace_id="\ud800") == (
        'trace_id: "\\ud800" is not allowed; allowed is a string of 1 to 128 characters'
    )


@pytest.mark.parametrize("raw", [None, [], "text", 7])
def test_what_is_no_object_is_refused(raw: object) -> None:
    with pytest.raises(InvalidInput, match="is not a JSON object$"):
        parse_search_request(raw)


def test_without_a_window_the_scope_is_all_that_a_time_can_be() -> None:
    store = Store(["a"])
    page(store)
    [(scope, *_)] = store.asked
    assert (scope.start.year, scope.end.year) == (1900, 2299)


def test_a_window_beyond_what_is_stored_is_all_that_a_time_can_be() -> None:
    store = Store(["a"])
    page(store, window_start="0001-01-01T00:00:00Z", window_end="9999-12-31T00:00:00Z")
    page(store)
    [(scope, *_), (without_window, *_)] = store.asked
    assert scope == without_window


def test_window_filters_and_model_make_the_scope() -> None:
    store = Store(["a"])
    page(store, **WINDOW, filters={"mode": "minimal", "batch_run_id": "run"}, model="other-3")
    [(scope, *_)] = store.asked
    assert scope == Scope(1, "other-3", MOMENT, MOMENT.replace(hour=15), "minimal", "run", None)


# --- models ----------------------------------------------------------------------------------------------------------


def test_a_model_that_is_not_configured_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r'^model: "ada" is not configured; allowed is toy-3 \| other-3$'):
        page(Store(), model="ada")


def test_the_query_is_embedded_once() -> None:
    endpoint = Endpoint()
    page(Store(["a"] * 3), endpoint, text="  refund me ")
    assert endpoint.texts == ["refund me"]


def test_a_text_longer_than_the_models_window_is_cut_and_this_is_said() -> None:
    endpoint = Endpoint()
    told = page(Store(["a"]), endpoint, window=16, text="word " * 100)
    assert told.notes == ("the text is longer than what toy-3 reads: by meaning, only its beginning was looked for",)
    assert endpoint.texts[0].startswith("word word")
    assert len(endpoint.texts[0]) < 100


@pytest.mark.parametrize("answer", [(1.0, 2.0), (1.0, float("nan"), 0.0), (0.0, 0.0, 0.0), (float("inf"), 1.0, 1.0)])
def test_an_answer_that_is_no_vector_is_refused(answer: Sequence[float]) -> None:
    with pytest.raises(InvalidModelOutput, match="^toy-3 answered with no vector of 3 finite numbers$"):
        page(Store(), Endpoint(answer))


def test_a_failing_endpoint_fails_the_search_but_not_one_by_words() -> None:
    endpoint = Endpoint(ModelUnavailable("refused"))
    with pytest.raises(ModelUnavailable):
        page(Store(["a"]), endpoint)
    assert len(page(Store(["a"]), endpoint, method="words").results) == 1
    assert len(page(Store(["a"]), endpoint, trace_id="known").results) == 1


@pytest.mark.parametrize(
    ("request_", "method", "vector", "needles"),
    [
        ({}, "hybrid", (0.0, 1.0, 0.0), 1),
        ({"method": "vector"}, "vector", (0.0, 1.0, 0.0), 0),
        ({"method": "words"}, "words", None, 1),
        ({"text": "😀"}, "vector", (0.0, 1.0, 0.0), 0),
        ({"trace_id": "known"}, "vector", (1.0, 0.0, 0.0), 0),
    ],
    ids=str,
)
def test_each_way_of_asking_ranks_by_what_it_has(
    request_: dict[str, Any], method: str, vector: Vector | None, needles: int
) -> None:
    store = Store(["a"])
    told = page(store, **request_)
    [(_, *asked)] = store.asked
    assert asked == [method, vector, needles]
    assert told.method == method
    why = told.results[0].matched
    assert (why.similarity is None, why.meaning_rank is None) == (vector is None, vector is None)
    assert [why.words is None, why.phrases is None, why.coverage is None] == [needles == 0] * 3


def test_that_no_word_is_held_is_said() -> None:
    class Wordless(Store):
        def ranked(self, *_: object) -> Sequence[Hit]:
            return [Hit(ref("a"), 2.5, 0.5, 0.0, 0.0, ())]

    note = "none of these words is in the summaries found: ranked by meaning alone"
    assert page(Wordless()).notes == (note,)
    assert page(Store(["a"])).notes == ()


def test_a_text_without_a_word_cannot_be_looked_for_by_words() -> None:
    with pytest.raises(InvalidInput, match="^text: .* holds no word; with method words, a text with at least one "):
        page(Store(), method="words", text="😀")


def test_a_remembered_text_gets_the_same_vector_and_is_not_paid_again() -> None:
    endpoint = Endpoint()
    model = RememberedEmbeddings(endpoint)
    name = EmbeddingModelName("toy", 3)
    first = model.embed(name, ["a"], lambda: 1.0)
    endpoint.answer = (1.0, 1.0, 1.0)
    assert model.embed(name, ["a"], lambda: 1.0).vectors == first.vectors
    assert model.embed(EmbeddingModelName("other", 3), ["a"], lambda: 1.0).vectors == [(1.0, 1.0, 1.0)]
    for number in range(200):
        model.embed(name, [str(number)], lambda: 1.0)
    assert endpoint.texts.count("a") == 2
    model.embed(name, ["a"], lambda: 1.0)
    assert endpoint.texts.count("a") == 3


def test_an_answer_that_is_no_vector_is_not_remembered() -> None:
    endpoint = Endpoint((1.0, 2.0))
    model = RememberedEmbeddings(endpoint)
    asked = QueryModel((MODEL,), lambda: model, lambda: 60.0)
    with pytest.raises(InvalidModelOutput):
        asked.vector(EmbeddingModelName("toy", 3), "a")
    endpoint.answer = (0.0, 1.0, 0.0)
    assert asked.vector(EmbeddingModelName("toy", 3), "a") == (0.0, 1.0, 0.0)


# --- what is looked for ----------------------------------------------------------------------------------------------


def looked_for(text: str) -> tuple[list[str], list[str]]:
    """Phrases and words."""
    needles = needles_of(text)
    return [n.text for n in needles if n.is_phrase], [n.text for n in needles if not n.is_phrase]


@pytest.mark.parametrize(
    ("text", "phrases", "words"),
    [
        ("refund", [], ["refund"]),
        ("Gift card balance", ["gift card balance"], ["gift", "card", "balance"]),
        ("update_flights", ["update flights"], ["update", "flights"]),
        (
            "why did update_flights fail?",
            ["why did update flights fail", "update flights"],
            ["update", "flights", "fail"],
        ),
        ('say "gift card" twice', ["say gift card twice", "gift card"], ["say", "gift", "card", "twice"]),
        ("“gift card” or „gute Reise“", ["gift card or gute reise", "gift card", "gute reise"], None),
        ("open GitHub", ["open git hub", "git hub"], ["open", "git", "hub", "github"]),
        ("the of and", ["the of and"], ["the", "of", "and"]),
        ("refund Refund REFUND", ["refund refund refund"], ["refund"]),
        ("😀 !? --", [], []),
    ],
)
def test_words_and_phrases_of_a_text(text: str, phrases: list[str], words: list[str] | None) -> None:
    assert looked_for(text)[0] == phrases
    assert words is None or looked_for(text)[1] == words


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        (" refund ", ["refund"]),
        ("show 2c799297-4216, please", ["show 2c799297-4216, please", "2c799297-4216,", "2c799297-4216"]),
        ('like "run 1 of a"?', ['like "run 1 of a"?', "run 1 of a"]),
        ("2 and 2 is four", ["2 and 2 is four"]),
        ("x" * 50, []),
    ],
)
def test_what_may_be_a_traces_id(text: str, ids: list[str]) -> None:
    assert list(ids_of(text, longest=40)) == ids


def test_a_phrase_weighs_more_than_a_word() -> None:
    phrase, *words = needles_of("gift card")
    assert all(phrase.weight > word.weight for word in words)


def test_a_long_text_is_looked_for_by_its_words_and_not_as_a_whole() -> None:
    phrases, words = looked_for(" ".join(f"word{number}" for number in range(200)))
    assert phrases == []
    assert words == [f"word{number}" for number in range(MAX_NEEDLES)]


@given(st.text(max_size=2_000))
def test_any_text_gives_few_enough_distinct_needles_of_its_own_words(text: str) -> None:
    needles = needles_of(text)
    assert len(needles) <= MAX_NEEDLES
    assert len({needle.text for needle in needles}) == len(needles)
    assert bool(needles) == bool(words_of(text))


# --- why -------------------------------------------------------------------------------------------------------------


def test_ranks_are_those_among_all_results_also_on_a_later_page() -> None:
    class Ranked(Store):
        def ranked(self, *_: object) -> Sequence[Hit]:
            return [
                Hit(ref("a"), 3.0, 0.2, 1.0, 4.0, (0, 1)),
                Hit(ref("b"), 2.0, 0.9, 0.0, 0.0, ()),
                Hit(ref("c"), 1.0, 0.5, 0.5, 5.0, (2,)),
            ]

    first = page(Ranked(), text="gift card", limit=2)
    last = page(Ranked(), text="gift card", limit=2, cursor=first.next_cursor)
    results = [*first.results, *last.results]
    assert [(r.matched.meaning_rank, r.matched.words_rank) for r in results] == [(3, 2), (1, None), (2, 1)]
    assert [(r.matched.words, r.matched.phrases) for r in results] == [
        (("gift",), ("gift card",)),
        ((), ()),
        (("card",), ()),
    ]


# --- pages -----------------------------------------------------------------------------------------------------------


def test_a_page_says_where_the_next_begins_until_there_is_none() -> None:
    store = Store(["a", "b", "c"])
    first = page(store, limit=2)
    second = page(store, limit=2, cursor=first.next_cursor)
    assert [[r.trace_id for r in told.results] for told in (first, second)] == [["a", "b"], ["c"]]
    assert second.next_cursor is None


@pytest.mark.parametrize(
    "other",
    [
        {"team_id": 2},
        {"text": "refunds"},
        {"method": "vector"},
        {"model": "other-3"},
        {"filters": {"mode": "detailed"}},
        WINDOW,
    ],
    ids=str,
)
def test_a_cursor_of_another_search_is_refused(other: dict[str, Any]) -> None:
    store = Store(["a", "b", "c"])
    cursor = page(store, limit=1).next_cursor
    with pytest.raises(InvalidInput, match='^cursor: "[^"]+" is that of another search; allowed is the next_cursor of'):
        page(store, limit=1, cursor=cursor, **other)


def test_the_page_size_may_change_from_page_to_page() -> None:
    store = Store(["a", "b", "c"])
    cursor = page(store, limit=1).next_cursor
    assert [r.trace_id for r in page(store, limit=5, cursor=cursor).results] == ["b", "c"]


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "é", "MTA", "!!!!", "x" * 65, "\n", cursor_at(-1, "0" * 16), cursor_at(1, "0" * 15), "None"],
    ids=repr,
)
def test_a_malformed_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInput, match="^cursor: .* is none; allowed is the next_cursor of the same search"):
        page(Store(["a"]), cursor=cursor)


def test_a_position_beyond_the_end_gives_an_empty_page() -> None:
    store = Store([f"t{number}" for number in range(3)])
    cursor = page(store, limit=2).next_cursor
    store.traces = store.traces[:1]
    assert page(store, limit=2, cursor=cursor).results == ()


def test_at_most_so_many_results_are_ranked() -> None:
    store = Store([f"t{number:04}" for number in range(800)])
    pages, cursor = [], None
    while True:
        told = page(store, limit=100, cursor=cursor)
        pages.append(len(told.results))
        if (cursor := told.next_cursor) is None:
            break
    assert sum(pages) == MAX_RESULTS


_IDS = st.lists(st.text("abcdefgh", min_size=1, max_size=2), unique=True, max_size=40)


@given(_IDS, st.sets(st.text("abcdefgh", min_size=1, max_size=2)), st.lists(st.integers(1, 7), min_size=1))
def test_pages_neither_overlap_nor_leave_out(traces: list[str], gone: set[str], limits: list[int]) -> None:
    store = Store(traces, frozenset(gone))
    expected = [trace_id for trace_id in traces if trace_id not in gone]
    shown: list[str] = []
    cursor, number = None, 0
    while True:
        limit = limits[number % len(limits)]
        told = page(store, limit=limit, cursor=cursor)
        shown += [result.trace_id for result in told.results]
        assert len(told.results) == limit or told.next_cursor is None
        number += 1
        if (cursor := told.next_cursor) is None:
            break
    assert shown == expected


def test_a_page_is_json_with_rfc_3339_times() -> None:
    told = json.loads(json.dumps(page(Store(["a", "b"]), limit=1).as_dict()))
    assert told == {
        "results": [
            {
                "trace_id": "a",
                "mode": "detailed",
                "title": "A title",
                "bullets": [],
                "score": 2.5,
                "timestamp": "2025-01-15T14:00:00.000000Z",
                "summarized_at": "2025-01-15T15:00:00.123456Z",
                "batch_run_id": "",
                "matched": {
                    "similarity": 0.5,
                    "meaning_rank": 1,
                    "words": ["refund"],
                    "phrases": [],
                    "coverage": 0.25,
                    "words_rank": 1,
                    "trace_id": False,
                },
            }
        ],
        "next_cursor": told["next_cursor"],
        "model": MODEL,
        "method": "hybrid",
        "summaries_gone": 0,
        "notes": [],
    }


def test_a_request_can_be_made_without_json() -> None:
    assert SearchRequest(team_id=1, text="x") == parse_search_request({"team_id": 1, "text": "x"})

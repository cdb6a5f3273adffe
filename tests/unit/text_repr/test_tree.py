import itertools
from datetime import datetime

from tests.unit.text_repr.traces import event
from trace_summarization.models import TraceEvent
from trace_summarization.text_repr.tree import reading_order


def _order(*events: TraceEvent) -> list[tuple[str, int | None]]:
    return [(str(node.event.properties.get("$ai_span_name")), node.parent) for node in reading_order("t1", events)]


def test_children_stand_under_their_parent_in_order_of_start() -> None:
    events = (
        event("span", 9, span_id="p", span_name="parent", parent_id="t1", latency=9),
        event("span", 8, span_id="b", span_name="second", parent_id="p", latency=1),
        event("span", 6, span_id="c", span_name="first", parent_id="p", latency=5),
        event("span", 5, span_id="d", span_name="grandchild", parent_id="c", latency=1),
    )
    expected = [("parent", None), ("first", 1), ("grandchild", 2), ("second", 1)]
    for shuffled in itertools.permutations(events):
        assert _order(*shuffled) == expected


def test_of_two_that_start_together_the_longer_comes_first() -> None:
    short, long = event("span", 1, span_name="short", latency=1), event("span", 5, span_name="long", latency=5)
    assert [name for name, _ in _order(short, long)] == ["long", "short"]


def test_of_two_at_one_moment_the_tool_call_comes_before_the_generation_that_reads_its_result() -> None:
    tool = event("span", 1, uuid="z", span_name="tool")
    reader = event("generation", 1, uuid="a", span_name="reader")
    assert [name for name, _ in _order(reader, tool)] == ["tool", "reader"]


def test_an_orphan_is_a_root() -> None:
    assert _order(event("span", 1, span_name="orphan", parent_id="gone")) == [("orphan", None)]


def test_a_cycle_survives_from_its_earliest_event_on() -> None:
    assert _order(
        event("span", 1, span_id="a", span_name="a", parent_id="b"),
        event("span", 2, span_id="b", span_name="b", parent_id="a"),
        event("span", 3, span_id="c", span_name="own parent", parent_id="c"),
    ) == [("own parent", None), ("a", None), ("b", 2)]


def test_duplicate_ids_are_all_shown_and_children_go_to_the_first() -> None:
    assert _order(
        event("span", 1, uuid="1", span_id="x", span_name="one"),
        event("span", 2, uuid="2", span_id="x", span_name="two"),
        event("span", 3, uuid="3", span_id="y", span_name="child", parent_id="x"),
    ) == [("one", None), ("child", 1), ("two", None)]


def test_a_generation_id_and_a_uuid_name_a_parent_as_well() -> None:
    assert _order(
        event("generation", 1, uuid="u", generation_id="g", span_name="g"),
        event("span", 2, span_name="by generation id", parent_id="g"),
        event("span", 3, span_name="by uuid", parent_id="u"),
    ) == [("g", None), ("by generation id", 1), ("by uuid", 1)]


def test_a_chain_of_5000_events_needs_no_recursion() -> None:
    chain = [event("span", number, span_id=str(number), parent_id=str(number - 1)) for number in range(5_000)]
    assert [node.parent for node in reading_order("t1", chain)] == [None, *range(1, 5_000)]


def test_odd_times_and_latencies_do_not_disturb() -> None:
    naive = TraceEvent("n", "$ai_span", datetime(2025, 1, 15, 11), {"$ai_span_name": "naive"})
    odd = [event("span", number, span_name=str(number), latency=value) for number, value in enumerate(
        ("2.5", "soon", float("nan"), float("inf"), -4, True, [1]))]  # fmt: skip
    assert len(_order(naive, *odd)) == 8


def test_opentelemetry_stamps_the_start_of_a_call() -> None:
    source = {"ingestion_source": "otel"}
    events = [
        event("span", 0, uuid="root", span_name="root", latency=9, span_id="r", **source),
        event("span", 1, uuid="tool", span_name="get_order", latency=0.2, parent_id="r", **source),
        event("generation", 2, uuid="answer", latency=5, parent_id="r", **source),
    ]
    assert [node.event.uuid for node in reading_order("t1", events)] == ["root", "tool", "answer"]

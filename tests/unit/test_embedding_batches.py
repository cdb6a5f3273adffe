"""One batch of the embedding queue: what is stored, paid for, kept as broken and left, whatever goes wrong."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from embedding.batches import QueueRecord
from embedding.models import EmbeddingModelName
from embedding.ports import EmbeddingModel
from tests.embedding_documents import MODEL, document
from tests.unit.embedding_world import Row, World, position, record, vector_of
from trace_summarization import constants as c
from trace_summarization.errors import (
    ClickHouseAtCapacity,
    ClickHouseQueryFailed,
    ClickHouseUnavailable,
    EmbeddingInputRejected,
    FailurePlaceUnavailable,
    InvalidConfiguration,
    ModelAnsweredNothing,
    ModelRateLimited,
    ModelRejectedRequest,
    ModelUnavailable,
    SecretUnavailable,
    TraceSummarizationError,
)

OTHER = "other-embedding-8"
NOON, LATER = "2025-01-15T12:00:00Z", "2025-01-15T12:00:00.000001Z"


@pytest.fixture
def world() -> World:
    return World()


def failing(error: TraceSummarizationError, times: int) -> Callable[..., None]:
    """Raises so many times, then no more."""
    remaining = iter([error] * times)

    def fail(*_: Any) -> None:
        if (fault := next(remaining, None)) is not None:
            raise fault

    return fail


def rejecting(*poison: str) -> Callable[..., None]:
    """Takes no request that holds one of these texts."""

    def reject(_: EmbeddingModelName, texts: Sequence[str], __: Callable[[], float]) -> None:
        if any(text in poison for text in texts):
            raise EmbeddingInputRejected("HTTP status 400")

    return reject


def unavailable_for(*poison: str) -> Callable[..., None]:
    """Answers requests that hold one of these texts with 5xx, until their time is up."""

    def refuse(_: EmbeddingModelName, texts: Sequence[str], __: Callable[[], float]) -> None:
        if any(text in poison for text in texts):
            raise ModelUnavailable("HTTP status 500")

    return refuse


def raising(error: TraceSummarizationError, model: str | None = None) -> Callable[..., None]:
    """Fails always, or for one model."""

    def fail(asked: Any = None, *_: Any) -> None:
        if model is None or str(asked) == model:
            raise error

    return fail


# --- what is stored and what is paid for ------------------------------------------------------------------------------


def test_every_document_is_embedded_in_one_request_and_one_insert(world: World) -> None:
    batch = world.deliver(*(record(offset) for offset in range(5)))
    assert world.stored_contents() == [f"content {offset}" for offset in range(5)]
    assert (len(world.model.asked), len(world.store.saves)) == (1, 1)
    assert (batch.documents_embedded, batch.model_requests, batch.input_tokens) == (5, 1, 50)
    assert (batch.left, batch.error) == ([], None)


def test_each_text_has_its_own_vector(world: World) -> None:
    world.deliver(*(record(offset) for offset in range(20)))
    for row, vector in world.store.rows:
        assert list(vector) == vector_of(row.content)


def test_an_empty_batch_is_done(world: World) -> None:
    assert world.deliver().error is None


def test_a_batch_that_is_delivered_again_is_not_paid_for_again(world: World) -> None:
    records = [record(offset) for offset in range(5)]
    world.deliver(*records)
    again = world.deliver(*records)
    assert (again.embeddings_unneeded, again.model_requests) == (5, 0)
    assert len(world.store.rows) == 5


def test_content_that_was_embedded_before_takes_the_stored_vector_and_the_new_version(world: World) -> None:
    world.store.rows.append((document("trace-0", "content 0", team_id=1), [4.0, 3.0, 2.0, 1.0]))
    batch = world.deliver(record(0, summarized_at="2025-01-15T15:00:00.000001Z"))
    assert (batch.embeddings_reused, batch.model_requests) == (1, 0)
    ((row, vector),) = world.store.newest().values()
    assert (row.summarized_at.microsecond, list(vector)) == (1, [4.0, 3.0, 2.0, 1.0])


def test_a_stored_vector_that_cannot_be_used_is_paid_for_anew(world: World) -> None:
    world.store.rows.append((document("another", "content 0"), [1.0, 2.0]))
    assert world.deliver(record(0)).documents_embedded == 1


def test_another_teams_content_is_paid_for_by_each(world: World) -> None:
    world.deliver(record(0))
    batch = world.deliver(record(1, content="content 0", team_id=2))
    assert (batch.documents_embedded, batch.embeddings_reused) == (1, 0)


def test_equal_contents_of_a_batch_are_paid_for_once(world: World) -> None:
    batch = world.deliver(*(record(offset, content="the same") for offset in range(4)))
    assert world.model.asked == [["the same"]]
    assert (batch.documents_embedded, batch.embeddings_reused, len(world.store.rows)) == (1, 3, 4)


@pytest.mark.parametrize("order", [(NOON, LATER), (LATER, NOON)])
def test_of_a_batchs_versions_only_the_newest_is_embedded(world: World, order: tuple[str, str]) -> None:
    batch = world.deliver(
        *(record(offset, document_id="a", content=at, summarized_at=at) for offset, at in enumerate(order))
    )
    assert world.model.asked == [[LATER]]
    assert (batch.documents_embedded, batch.embeddings_unneeded) == (1, 1)


def test_of_equal_versions_the_later_record_counts(world: World) -> None:
    world.deliver(record(0, document_id="a", content="first"), record(1, document_id="a", content="second"))
    assert world.stored_contents() == ["second"]


def test_an_older_message_after_a_newer_one_changes_nothing(world: World) -> None:
    world.deliver(record(0, document_id="a", content="newer", summarized_at=LATER))
    batch = world.deliver(record(1, document_id="a", content="older", summarized_at=NOON))
    assert (batch.embeddings_unneeded, batch.model_requests) == (1, 0)
    assert world.stored_contents() == ["newer"]


def test_an_equal_version_of_another_content_replaces_the_stored_one(world: World) -> None:
    world.deliver(record(0, document_id="a", content="as one release writes it", summarized_at=NOON))
    batch = world.deliver(record(1, document_id="a", content="as the next one does", summarized_at=NOON))
    assert (batch.documents_embedded, batch.embeddings_unneeded) == (1, 0)
    assert [row.content for row, _ in world.store.newest().values()] == ["as the next one does"]


def test_an_equal_version_with_other_keywords_changes_nothing(world: World) -> None:
    world.deliver(record(0, document_id="a", content="the summary", keywords="one"))
    batch = world.deliver(record(1, document_id="a", content="the summary", keywords="another"))
    assert (batch.documents_embedded, batch.embeddings_reused, batch.embeddings_unneeded) == (0, 0, 1)


def test_a_message_makes_one_row_for_each_of_its_models(world: World) -> None:
    batch = world.deliver(record(0, models=[MODEL, OTHER, MODEL]))
    assert [(row.model_name, len(vector)) for row, vector in world.store.rows] == [(MODEL, 4), (OTHER, 8)]
    assert (batch.documents_embedded, batch.model_requests) == (2, 2)


# --- requests ---------------------------------------------------------------------------------------------------------


def test_requests_keep_to_the_endpoints_limits_and_each_is_saved_before_the_next(world: World) -> None:
    contents = [f"{offset} " + "word " * 5_000 for offset in range(100)]
    saved_before: list[int] = []
    world.model.on_ask = lambda *_: saved_before.append(len(world.store.rows))
    world.deliver(*(record(offset, content=content) for offset, content in enumerate(contents)))
    assert [text for texts in world.model.asked for text in texts] == contents
    assert len(world.model.asked) == 2
    assert saved_before == [0, len(world.model.asked[0])]


def test_no_request_holds_more_texts_than_allowed(world: World) -> None:
    world.deliver(*(record(offset) for offset in range(c.MAX_EMBEDDING_INPUTS + 1)))
    assert [len(texts) for texts in world.model.asked] == [c.MAX_EMBEDDING_INPUTS, 1]


def test_a_long_text_is_cut_and_that_is_said(world: World) -> None:
    world.max_input_tokens = 100
    batch = world.deliver(record(0, content="word " * 1_000), record(1))
    assert batch.cut == {position(0)}
    assert len(world.model.asked[0][0]) < 600
    assert world.store.rows[0][0].content == "word " * 1_000


# --- broken records ---------------------------------------------------------------------------------------------------


def test_broken_messages_are_kept_and_hold_nothing_up(world: World) -> None:
    values: list[bytes | None] = [b"no JSON", b"x" * 5_000_000, b'{"version": 2}', None]
    broken = [QueueRecord(position(offset), value) for offset, value in enumerate(values)]
    batch = world.deliver(*broken[:2], record(10), *broken[2:], record(11))
    assert {kept.value for kept in world.failures.records.values()} == set(values)
    assert batch.broken.keys() == world.failures.positions() == {one.position for one in broken}
    assert batch.broken[position(2)] == "version: should be 1"
    assert world.stored_contents() == ["content 10", "content 11"]
    assert (batch.left, batch.error) == ([], None)


def test_a_broken_message_that_cannot_be_kept_is_left_and_its_neighbours_are_not(world: World) -> None:
    world.failures.on_keep = raising(FailurePlaceUnavailable("bucket"))
    batch = world.deliver(record(0, b"broken"), record(1), record(2, b"broken"))
    assert batch.left == [position(0), position(2)]
    assert isinstance(batch.error, FailurePlaceUnavailable)
    assert (world.stored_contents(), batch.broken) == (["content 1"], {})
    assert world.failures.attempts == 1, "a place that is away is not waited for by each record"


@pytest.mark.parametrize("places", [(0,), (7,), (15,), (3, 4), (0, 5, 15), tuple(range(15))])
def test_texts_that_are_rejected_are_kept_and_their_neighbours_embedded(world: World, places: tuple[int, ...]) -> None:
    world.model.on_ask = rejecting(*(f"content {place}" for place in places))
    batch = world.deliver(*(record(offset) for offset in range(16)))
    assert world.failures.positions() == {position(place) for place in places}
    assert len(world.store.rows) == 16 - len(places)
    assert (batch.left, batch.error) == ([], None)
    paid = [text for _, text in world.model.answered if text.startswith("content")]
    assert len(paid) == len(set(paid)) == 16 - len(places), "no neighbour is paid for twice"


def test_a_text_that_is_alone_in_its_batch_is_told_from_a_model_that_takes_none(world: World) -> None:
    world.model.on_ask = rejecting("content 0")
    assert world.deliver(record(0)).broken.keys() == {position(0)}


def test_a_configured_model_that_takes_no_text_at_all_leaves_the_queue_as_it_is(world: World) -> None:
    world.model.on_ask = raising(EmbeddingInputRejected("HTTP status 400"))
    batch = world.deliver(*(record(offset) for offset in range(100)))
    assert isinstance(batch.error, InvalidConfiguration)
    assert (len(batch.left), batch.broken) == (100, {})
    assert batch.model_requests == 2


@pytest.mark.parametrize(
    "error", [EmbeddingInputRejected("400"), ModelRejectedRequest("404"), ModelRejectedRequest("403")], ids=repr
)
def test_a_model_that_only_a_message_names_is_its_own_fault(world: World, error: TraceSummarizationError) -> None:
    world.model.on_ask = raising(error, OTHER)
    batch = world.deliver(record(0, models=[OTHER]), record(1), record(2, models=[MODEL, OTHER]))
    assert batch.broken.keys() == {position(0), position(2)}
    assert batch.broken[position(0)].startswith(f"models: {OTHER}")
    assert world.stored_contents() == ["content 1", "content 2"]
    assert (batch.left, batch.error) == ([], None)


def test_models_that_only_messages_name_are_asked_last(world: World) -> None:
    world.deliver(record(0, models=[OTHER]), record(1))
    assert world.model.asked == [["content 1"], ["content 0"]]


def test_where_no_model_answers_the_one_that_a_message_names_is_not_blamed(world: World) -> None:
    world.model.on_ask = raising(ModelRejectedRequest("HTTP status 401"))
    batch = world.deliver(record(0, models=[OTHER]))
    assert (batch.left, batch.broken) == ([position(0)], {})
    assert isinstance(batch.error, ModelRejectedRequest)


UNUSABLE = [[], [1.0] * 3, [1.0] * 5, [float("nan"), 1, 1, 1], [1, float("inf"), 1, 1], [1e39, 1, 1, 1], [0.0] * 4]


@pytest.mark.parametrize("vector", [*UNUSABLE, [1e-60] * 4, [1, None, 1, 1], ["1", 1, 1, 1]], ids=str)
def test_a_vector_that_cannot_be_used_twice_while_the_model_works_is_kept(world: World, vector: list[Any]) -> None:
    world.model.answer = lambda text, size: vector if text == "content 1" else vector_of(text, size)
    batch = world.deliver(*(record(offset) for offset in range(3)))
    probe = ["Does this model answer?"]
    assert world.model.asked == [["content 0", "content 1", "content 2"], probe, ["content 1"], probe]
    assert batch.broken.keys() == {position(1)}
    assert world.stored_contents() == ["content 0", "content 2"]
    assert batch.error is None


def test_a_vector_that_is_right_the_second_time_is_stored(world: World) -> None:
    answers = iter([[0.0] * 4])
    world.model.answer = lambda text, size: next(answers, vector_of(text, size))
    batch = world.deliver(record(0))
    assert (batch.documents_embedded, batch.broken) == (1, {})


def test_answers_that_hold_no_vectors_are_traced_to_the_text(world: World) -> None:
    def nothing_for_3(_: Any, texts: Sequence[str], __: Any) -> None:
        if "content 3" in texts:
            raise ModelAnsweredNothing("the answer does not hold one vector for each text")

    world.model.on_ask = nothing_for_3
    batch = world.deliver(*(record(offset) for offset in range(8)))
    assert batch.broken.keys() == {position(3)}
    assert (len(world.store.rows), batch.error) == (7, None)


def test_all_records_of_a_broken_content_are_kept(world: World) -> None:
    world.model.on_ask = rejecting("the same")
    batch = world.deliver(record(0, content="the same"), record(1), record(2, content="the same"))
    assert batch.broken.keys() == world.failures.positions() == {position(0), position(2)}


# --- faults that pass -------------------------------------------------------------------------------------------------


def test_a_team_that_cannot_be_looked_up_holds_no_other_up(world: World) -> None:
    def away_for_team_2(team_id: int) -> None:
        if team_id == 2:
            raise ClickHouseUnavailable("no connection")

    world.store.on_find = away_for_team_2
    batch = world.deliver(record(0, team_id=2), record(1, team_id=1), record(2, team_id=3))
    assert (batch.left, type(batch.error)) == ([position(0)], ClickHouseUnavailable)
    assert world.stored_contents() == ["content 1", "content 2"]


@pytest.mark.parametrize("error", [ClickHouseUnavailable("reset"), ClickHouseAtCapacity("252")], ids=repr)
def test_what_was_paid_for_is_saved_again_until_it_is_stored(world: World, error: TraceSummarizationError) -> None:
    world.store.on_save = failing(error, 5)
    batch = world.deliver(record(0))
    assert (batch.error, batch.documents_embedded, world.model.asked) == (None, 1, [["content 0"]])


@pytest.mark.parametrize("error", [ClickHouseUnavailable("reset"), ClickHouseQueryFailed("60")], ids=repr)
def test_a_batch_that_cannot_be_saved_is_left_and_no_more_is_paid_for(
    world: World, error: TraceSummarizationError
) -> None:
    world.store.on_save = raising(error)
    contents = [f"{offset} " + "word " * 5_000 for offset in range(100)]
    batch = world.deliver(*(record(offset, content=content) for offset, content in enumerate(contents)))
    assert (len(batch.left), batch.error) == (100, error)
    assert len(world.model.asked) == 1
    assert world.clock.left > 0


@pytest.mark.parametrize(
    "error", [ModelRateLimited("429"), ModelRejectedRequest("401"), SecretUnavailable("x")], ids=repr
)
def test_what_a_model_is_not_asked_for_is_left_and_other_models_go_on(
    world: World, error: TraceSummarizationError
) -> None:
    world.configured_models = (MODEL, OTHER)
    world.model.on_ask = raising(error, OTHER)
    batch = world.deliver(record(0, models=[OTHER]), record(1), record(2, models=[MODEL, OTHER]))
    assert (batch.left, batch.error) == ([position(0), position(2)], error)
    assert world.stored_contents() == ["content 1", "content 2"]


def test_a_secret_that_cannot_be_read_leaves_what_has_to_be_embedded(world: World) -> None:
    def no_secret() -> EmbeddingModel:
        raise SecretUnavailable("secret")

    world.store.rows.append((document("trace-0", "content 0"), vector_of("content 0")))
    world.open_model = no_secret
    batch = world.deliver(record(0), record(1))
    assert (batch.left, type(batch.error)) == ([position(1)], SecretUnavailable)


@pytest.mark.parametrize("places", [(0,), (9,), (31,), (0, 31)])
def test_a_text_that_the_endpoint_breaks_on_is_kept_alone(world: World, places: tuple[int, ...]) -> None:
    world.model.on_ask = unavailable_for(*(f"content {place}" for place in places))
    batch = world.deliver(*(record(offset) for offset in range(32)))
    assert world.failures.positions() == {position(place) for place in places}
    assert (batch.left, batch.error, len(world.store.rows)) == ([], None, 32 - len(places))


def test_an_endpoint_that_is_down_is_not_asked_for_each_text(world: World) -> None:
    world.model.on_ask = raising(ModelUnavailable("refused"))
    batch = world.deliver(*(record(offset) for offset in range(500)))
    assert (len(batch.left), batch.model_requests) == (500, 2)


def test_models_are_given_the_time_that_saving_does_not_need(world: World) -> None:
    given: list[float] = []
    world.model.on_ask = lambda _, __, seconds_left: given.append(seconds_left())
    world.deliver(record(0))
    world.deliver(record(1), record(2))
    assert given == [pytest.approx(205), pytest.approx(205)]
    assert c.EMBED_LAMBDA_TIMEOUT_SECONDS - given[0] > c.CLICKHOUSE_CLIENT_TIMEOUT_SECONDS


# --- why a batch that is delivered again comes to an end --------------------------------------------------------------


def deliver_until_done(world: World, records: list[QueueRecord], most: int) -> int:
    """Deliver the whole batch again as long as it leaves something, as Lambda does without partial responses."""
    for number in range(1, most + 1):
        if world.deliver(*records).error is None:
            return number
    pytest.fail(f"not done after {most} deliveries")


def test_a_batch_of_rejected_texts_ends_although_no_delivery_has_time_for_all(world: World) -> None:
    """Each rejection takes 3 s: an invocation has time for about 70 of the 600 that 300 such texts need."""

    def slowly(_: Any, texts: Sequence[str], __: Any) -> None:
        world.clock.pass_seconds(3)
        if any(text.startswith("content") for text in texts):
            raise EmbeddingInputRejected("HTTP status 400")

    world.model.on_ask = slowly
    records = [record(offset) for offset in range(300)]
    deliveries = deliver_until_done(world, records, most=40)
    assert deliveries > 2
    assert len(world.failures.positions()) == 300


def test_good_texts_among_slowly_rejected_ones_are_all_stored(world: World) -> None:
    def slowly(_: Any, texts: Sequence[str], __: Any) -> None:
        world.clock.pass_seconds(5)
        if any(text.startswith("poison") for text in texts):
            raise EmbeddingInputRejected("HTTP status 400")

    world.model.on_ask = slowly
    records = [record(offset, content=f"{'good' if offset % 3 else 'poison'} {offset}") for offset in range(120)]
    deliver_until_done(world, records, most=40)
    assert len(world.store.rows) == 80
    assert len(world.failures.positions()) == 40
    paid = [text for _, text in world.model.answered if text.startswith("good")]
    assert len(paid) == len(set(paid)) == 80


def test_a_failure_place_that_cannot_say_what_it_holds_holds_nothing_up(world: World) -> None:
    world.failures.on_kept = raising(InvalidConfiguration("bucket: AccessDenied"))
    world.model.on_ask = rejecting("content 1")
    batch = world.deliver(*(record(offset) for offset in range(4)))
    assert batch.broken.keys() == {position(1)}
    assert (batch.error, type(batch.unlisted)) == (None, InvalidConfiguration)


def test_a_text_without_a_usable_vector_is_not_paid_for_twice_by_each_delivery(world: World) -> None:
    world.model.answer = lambda text, size: [] if text == "content 0" else vector_of(text, size)
    records = [record(0), record(1)]
    world.deliver(*records)
    asked = len(world.model.asked)
    world.deliver(*records)
    assert (asked, len(world.model.asked)) == (4, 5)


def test_a_record_that_two_models_refuse_is_kept_with_both_reasons(world: World) -> None:
    world.configured_models = (MODEL, OTHER)
    world.model.answer = lambda text, size: [] if text == "content 0" else vector_of(text, size)
    batch = world.deliver(record(0, models=[MODEL, OTHER]))
    assert MODEL in batch.broken[position(0)]
    assert OTHER in batch.broken[position(0)]


def test_rows_hold_what_the_message_said(world: World) -> None:
    world.deliver(record(0, keywords="update_flights", metadata={"batch_run_id": "b"}))
    rows: list[Row] = world.store.rows
    assert rows[0][0].words == " content 0 update flights "
    assert rows[0][0].metadata == '{"batch_run_id":"b"}'

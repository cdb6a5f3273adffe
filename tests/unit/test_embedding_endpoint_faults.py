"""An endpoint or a text at fault: no fault of the endpoint's condemns a text, and no text blocks the queue."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from embedding.batches import QueueRecord
from embedding.models import EmbeddingModelName
from embedding.ports import EmbeddingAnswer
from tests.embedding_documents import MODEL, document
from tests.unit.embedding_world import World, position, record, vector_of
from trace_summarization import constants as c
from trace_summarization.errors import (
    ClickHouseQueryFailed,
    EmbeddingInputRejected,
    FailurePlaceUnavailable,
    InvalidConfiguration,
    InvalidModelOutput,
    ModelAnsweredNothing,
    ModelRateLimited,
    ModelUnavailable,
    TraceSummarizationError,
)

SMALL_WINDOW, BIG_WINDOW, UNCONFIGURED = "small-window-4", "big-window-8", "nonsense-4"


@pytest.fixture
def world() -> World:
    return World()


def deliver_until_done(world: World, records: Sequence[QueueRecord], most: int) -> int:
    """Deliver the whole batch again as long as it leaves something, as Lambda does without partial responses."""
    for number in range(1, most + 1):
        if world.deliver(*records).error is None:
            return number
    pytest.fail(f"not done after {most} deliveries")


def failing_for(world: World, error: TraceSummarizationError, seconds: float, *poison: str) -> Callable[..., None]:
    """Answers nothing that holds one of these texts; failing takes so many seconds."""

    def fail(_: Any, texts: Sequence[str], seconds_left: Callable[[], float]) -> None:
        if any(text in poison for text in texts):
            world.clock.pass_seconds(min(seconds, seconds_left()))
            raise error

    return fail


# --- nothing is acknowledged that was not tried -----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_a_record_that_one_model_refuses_still_gets_its_row_of_the_other(world: World, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    count, slow = chance.randint(3, 12), chance.uniform(20, 100)
    bad = chance.randrange(1, count)
    world.configured_models = (SMALL_WINDOW, BIG_WINDOW)

    def ask(model: EmbeddingModelName, texts: Sequence[str], seconds_left: Callable[[], float]) -> None:
        if model.model == "small-window":
            world.clock.pass_seconds(1)
            if "long one" in texts:
                raise EmbeddingInputRejected("413")
        else:
            world.clock.pass_seconds(min(slow, seconds_left()))
            if "bad" in texts:
                raise EmbeddingInputRejected("400")

    world.model.on_ask = ask
    models = [SMALL_WINDOW, BIG_WINDOW]
    records = [record(0, content="long one", models=models)]
    records += [record(at, content="bad" if at == bad else f"good {at}", models=models) for at in range(1, count)]
    for _ in range(15):
        if world.deliver(*records).error is None:
            break
    else:
        return  # what is slower than an invocation is never acknowledged, and that is all that is asked here
    assert ("long one", BIG_WINDOW) in {(row.content, row.model_name) for row, _ in world.store.newest().values()}


def test_what_is_kept_of_another_record_at_the_same_offset_stands_for_nothing(world: World) -> None:
    """A topic that was made anew begins at the same offsets."""
    world.deliver(*(record(offset, f"broken {offset}".encode()) for offset in range(20)))
    world.model.on_ask = failing_for(world, EmbeddingInputRejected("400"), 50, "content 7")
    records = [record(offset) for offset in range(20)]
    deliver_until_done(world, records, most=8)
    assert len(world.store.rows) == 19


def test_a_text_that_is_kept_is_not_asked_for_again_by_the_next_delivery(world: World) -> None:
    world.model.on_ask = failing_for(world, EmbeddingInputRejected("400"), 0, "content 1")
    records = [record(offset) for offset in range(4)]
    world.deliver(*records)
    world.model.asked.clear()
    again = world.deliver(record(1), record(9))
    assert world.model.asked[0] == ["content 1", "content 9"]
    assert world.model.asked[-1] == ["content 9"]
    assert again.broken.keys() == {position(1)}
    assert sum("content 1" in texts for texts in world.model.asked) == 1


# --- a text that the endpoint always fails on -------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.2, 5, 60])
@pytest.mark.parametrize("places", [(0,), (99,), (10, 35, 60)], ids=str)
def test_texts_that_always_answer_5xx_are_kept_and_their_neighbours_embedded(
    world: World, seconds: float, places: tuple[int, ...]
) -> None:
    poison = {f"content {place}" for place in places}
    world.model.on_ask = failing_for(world, ModelUnavailable("500"), seconds, *poison)
    deliver_until_done(world, [record(offset) for offset in range(100)], most=12)
    assert {at.offset for at in world.failures.positions()} == set(places)
    assert len(world.store.newest()) == 100 - len(places)


def test_a_batch_of_texts_that_all_hang_ends(world: World) -> None:
    world.model.on_ask = failing_for(world, ModelUnavailable("hangs"), 60, *(f"content {at}" for at in range(5)))
    deliver_until_done(world, [record(offset) for offset in range(5)], most=8)
    assert len(world.failures.positions()) == 5


def test_a_text_that_fails_once_and_then_answers_is_embedded(world: World) -> None:
    faults = iter([ModelUnavailable("500")])

    def once(_: Any, texts: Sequence[str], __: Any) -> None:
        if "content 0" in texts and (fault := next(faults, None)):
            raise fault

    world.model.on_ask = once
    batch = world.deliver(record(0))
    assert (batch.error, batch.broken, world.stored_contents()) == (None, {}, ["content 0"])


# --- an endpoint or a configuration at fault --------------------------------------------------------------------------


def test_a_wrong_dimension_in_the_configuration_leaves_the_queue_and_is_told(world: World) -> None:
    world.configured_models = ("nomic-embed-text-1024",)
    world.model.answer = lambda text, _: vector_of(text, 768)
    batch = world.deliver(*(record(at, models=["nomic-embed-text-1024"]) for at in range(100)))
    assert (len(batch.left), world.failures.positions()) == (100, set())
    assert isinstance(batch.error, InvalidConfiguration)
    assert all(told in str(batch.error) for told in ("nomic-embed-text-1024", "768"))
    assert batch.model_requests == 2


ENDPOINT_FAULTS: list[TraceSummarizationError] = [
    ModelAnsweredNothing("HTML"),
    InvalidModelOutput("HTML"),
    EmbeddingInputRejected("bare 400"),
    ModelUnavailable("503"),
]


@pytest.mark.parametrize("first_good", range(6))
@pytest.mark.parametrize("error", ENDPOINT_FAULTS, ids=repr)
def test_an_endpoint_that_turns_bad_in_mid_batch_sends_no_good_record_to_the_bucket(
    world: World, error: TraceSummarizationError, first_good: int
) -> None:
    requests = 0

    def ask(_: Any, texts: Sequence[str], __: Any) -> None:
        nonlocal requests
        requests += 1
        if requests > first_good:
            raise error
        if "bad" in texts:
            raise EmbeddingInputRejected("400")

    world.model.on_ask = ask
    records = [record(at, content="bad" if at == 50 else f"good {at}") for at in range(100)]
    batch = world.deliver(*records)
    assert batch.error is not None
    assert world.failures.positions() <= {position(50)}
    assert requests <= first_good + 10


@pytest.mark.parametrize("error", ENDPOINT_FAULTS, ids=repr)
def test_an_endpoint_that_recovers_between_a_text_and_the_probe_condemns_nothing(
    world: World, error: TraceSummarizationError
) -> None:
    faults = iter([error, error])

    def ask(_: Any, texts: Sequence[str], __: Any) -> None:
        if "content 0" in texts and (fault := next(faults, None)):
            raise fault

    world.model.on_ask = ask
    batch = world.deliver(record(0), record(1))
    assert (batch.broken, len(world.store.rows)) == ({}, 2)


def test_a_model_without_room_for_the_probe_leaves_its_texts(world: World) -> None:
    asked = iter([EmbeddingInputRejected("400"), ModelRateLimited("429")])

    def ask(*_: Any) -> None:
        raise next(asked)

    world.model.on_ask = ask
    batch = world.deliver(record(0))
    assert (batch.left, type(batch.error), batch.broken) == ([position(0)], ModelRateLimited, {})


# --- a slow endpoint --------------------------------------------------------------------------------------------------


class SlowModel:
    """Takes its time for each text, and answers no request that takes more than the adapter gives it."""

    def __init__(self, world: World, seconds_per_text: float) -> None:
        self._world = world
        self._seconds = seconds_per_text

    def embed(
        self, model: EmbeddingModelName, texts: Sequence[str], seconds_left: Callable[[], float]
    ) -> EmbeddingAnswer:
        limit = min(c.EMBEDDING_REQUEST_SECONDS, seconds_left())
        self._world.clock.pass_seconds(min(limit, self._seconds * len(texts)))
        if self._seconds * len(texts) > limit:
            raise ModelUnavailable(f"no answer within {limit:.0f} s")
        return EmbeddingAnswer([vector_of(text, model.dimensions) for text in texts], None)


@pytest.mark.parametrize(("seconds_per_text", "deliveries"), [(0.5, 1), (1.6, 3), (5.0, 8), (20.0, 35)])
def test_a_slow_endpoint_makes_progress_with_each_delivery(
    world: World, seconds_per_text: float, deliveries: int
) -> None:
    world.open_model = lambda: SlowModel(world, seconds_per_text)
    deliver_until_done(world, [record(at) for at in range(100)], most=deliveries)
    assert len(world.store.rows) == 100
    assert world.failures.positions() == set()


# --- models that only messages name -----------------------------------------------------------------------------------


@pytest.mark.parametrize("error", ENDPOINT_FAULTS, ids=repr)
def test_an_unconfigured_model_without_vectors_is_the_messages_fault(
    world: World, error: TraceSummarizationError
) -> None:
    def ask(model: EmbeddingModelName, *_: Any) -> None:
        if model.model == "nonsense":
            raise error

    world.model.on_ask = ask
    batch = world.deliver(record(0, models=[UNCONFIGURED]), record(1))
    assert batch.broken.keys() == {position(0)}
    assert batch.broken[position(0)].startswith(f"models: {UNCONFIGURED}")
    assert (batch.error, world.stored_contents()) == (None, ["content 1"])


def test_an_unconfigured_model_of_another_size_is_the_messages_fault(world: World) -> None:
    world.model.answer = lambda text, _: vector_of(text, 4)
    batch = world.deliver(record(0, models=["test-embedding-5"]))
    assert batch.broken.keys() == {position(0)}
    assert batch.error is None


def test_an_unconfigured_model_that_is_rate_limited_is_waited_for(world: World) -> None:
    def ask(model: EmbeddingModelName, *_: Any) -> None:
        if model.model == "nonsense":
            raise ModelRateLimited("429")

    world.model.on_ask = ask
    batch = world.deliver(record(0, models=[UNCONFIGURED]))
    assert (batch.left, batch.broken) == ([position(0)], {})


# --- what was paid and could not be saved -----------------------------------------------------------------------------


def test_a_warm_process_does_not_pay_again_for_what_could_not_be_saved(world: World) -> None:
    def refuse(_: Any) -> None:
        raise ClickHouseQueryFailed("readonly")

    world.store.on_save = refuse
    records = [record(at) for at in range(5)]
    for _ in range(4):
        assert isinstance(world.deliver(*records).error, ClickHouseQueryFailed)
    assert len(world.model.asked) == 1
    world.store.on_save = lambda _: None
    assert world.deliver(*records).error is None
    assert (len(world.model.asked), len(world.store.rows)) == (1, 5)


def test_a_bucket_that_is_away_acknowledges_no_condemned_text(world: World) -> None:
    def away() -> None:
        raise FailurePlaceUnavailable("503")

    world.failures.on_keep = away
    world.model.on_ask = failing_for(world, EmbeddingInputRejected("400"), 0, "content 1")
    batch = world.deliver(record(0), record(1))
    assert (batch.left, type(batch.error)) == ([position(1)], FailurePlaceUnavailable)


def test_many_texts_that_are_long_in_bytes_and_short_in_tokens_share_a_request(world: World) -> None:
    contents = [f"{at} " + "word " * 1_600 for at in range(100)]  # 800,000 bytes, 160,000 tokens
    world.configured_models = ("text-embedding-3-small-4",)
    world.deliver(*(record(at, content=text, models=["text-embedding-3-small-4"]) for at, text in enumerate(contents)))
    assert [len(texts) for texts in world.model.asked] == [100]


def test_a_stored_vector_is_reused_for_an_equal_version_with_another_content(world: World) -> None:
    world.store.rows.append((document("another", "new form", team_id=1, model_name=MODEL), [1.0, 2.0, 3.0, 4.0]))
    world.deliver(record(0, document_id="d", content="old form"))
    batch = world.deliver(record(1, document_id="d", content="new form"))
    assert (batch.embeddings_reused, batch.model_requests) == (1, 0)

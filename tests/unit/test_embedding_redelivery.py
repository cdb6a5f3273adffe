"""Any arrivals, with duplicates, old versions after new ones, faults, kills and redeliveries, end the same way."""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from embedding.batches import QueueRecord
from embedding.messages import EmbeddingRequest, parse_message
from embedding.vectors import UnsavedVectors
from tests.embedding_documents import MODEL
from tests.unit.embedding_world import Row, World, record
from trace_summarization.errors import (
    ClickHouseUnavailable,
    EmbeddingInputRejected,
    FailurePlaceUnavailable,
    InvalidModelOutput,
    ModelAnsweredNothing,
    ModelRateLimited,
    ModelUnavailable,
    TraceSummarizationError,
)

MODELS = (MODEL, "other-embedding-8")
BROKEN = b"broken"
POISON = ("content 0", "content 1")  # one is rejected, on the other the endpoint breaks
OUTAGES = (
    ModelUnavailable("503"),
    ModelAnsweredNothing("HTML"),
    InvalidModelOutput("HTML"),
    EmbeddingInputRejected("bare 400"),
)
_FAULTY_DELIVERIES = 8  # of a batch; then nothing fails any more
_SAVE_FAULTS_IN_A_ROW = 4  # what a save is repeated for within one invocation


class Killed(BaseException):
    """The process is gone: nobody handles that, and nothing of its memory is left."""


@st.composite
def arrivals(draw: st.DrawFn) -> list[QueueRecord]:
    """Messages of few documents, in few versions and contents, so that they meet; some are broken."""
    fields: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
        {
            "team_id": st.integers(1, 3),
            "document_id": st.sampled_from("abc"),
            "summarized_at": st.sampled_from([f"2025-01-15T12:00:0{second}Z" for second in range(5)]),
            "models": st.lists(st.sampled_from(MODELS), min_size=1, max_size=2),
        }
    )
    records = []
    for offset, chosen in enumerate(draw(st.lists(st.one_of(st.none(), fields, fields, fields), max_size=25))):
        if chosen is None:
            records.append(record(offset, BROKEN))
        else:
            # One version of a document has one content; versions, documents and teams share contents.
            version = (chosen["team_id"], chosen["document_id"], chosen["summarized_at"])
            content = f"content {random.Random(str(version)).randrange(8)}"  # noqa: S311 - no secret
            records.append(record(offset, content=content, **chosen))
    return records


class Faults:
    """Faults at every port, each call with the same chance, and texts that the model never embeds.

    Whatever fails takes time. An outage of the endpoint, of whichever form, is longer than one call.
    """

    def __init__(self, world: World, chance: random.Random, poison: frozenset[str], kills_saves: bool) -> None:
        self.share = 0.0
        self._world = world
        self._chance = chance
        self._poison = poison
        self._kills_saves = kills_saves
        self._save_faults = 0
        self._outage: list[TraceSummarizationError] = []
        world.store.on_find = lambda _: self._fail(ClickHouseUnavailable("reset"), Killed())
        world.store.on_save = self._save
        world.model.on_ask = self._ask
        world.failures.on_keep = lambda: self._fail(FailurePlaceUnavailable("503"), Killed())
        world.failures.on_kept = lambda: self._fail(FailurePlaceUnavailable("503"))

    def _fail(self, *errors: BaseException) -> None:
        if self._chance.random() < self.share:
            raise self._chance.choice(errors)

    def _ask(self, _: Any, texts: Sequence[str], __: Any) -> None:
        self._fail(ModelRateLimited("429"), Killed())
        if not self._outage and self._chance.random() < self.share:
            self._outage = [self._chance.choice(OUTAGES)] * self._chance.randint(2, 6)
        if self._outage:
            self._world.clock.pass_seconds(self._chance.choice([0, 5, 20]))
            raise self._outage.pop()
        self._world.clock.pass_seconds(self._chance.choice([0, 1]))
        for text, error in zip(POISON, (EmbeddingInputRejected("400"), ModelUnavailable("500")), strict=True):
            if text in texts and text in self._poison:
                self._world.clock.pass_seconds(10)
                raise error

    def _save(self, rows: Sequence[Row]) -> None:
        if self._kills_saves:
            self._fail(Killed())
        if self._save_faults < _SAVE_FAULTS_IN_A_ROW and self._chance.random() < self.share:
            self._save_faults += 1
            if self._chance.random() < 0.5:
                self._world.store.rows.extend(rows)  # written, and the answer lost
            raise ClickHouseUnavailable("reset")
        self._save_faults = 0


def requests_of(records: Sequence[QueueRecord]) -> list[EmbeddingRequest]:
    return [parse_message(one.value) for one in records if one.value != BROKEN]


def deliver_until_acknowledged(
    world: World, faults: Faults, batch: list[QueueRecord], share: float, partial: bool
) -> None:
    for delivery in range(2 * _FAULTY_DELIVERIES):
        faults.share = share if delivery < _FAULTY_DELIVERIES else 0.0
        try:
            result = world.deliver(*batch)
        except Killed:
            world.unsaved = UnsavedVectors()
            continue
        if result.error is None:
            assert not result.left
            return
        if partial:
            batch = [one for one in batch if one.position in result.left]
        assert batch, "what raises leaves records"
    raise AssertionError("the batch was never acknowledged")


@given(
    records=arrivals(),
    chance=st.randoms(use_true_random=False),
    share=st.sampled_from([0.0, 0.1, 0.4]),
    poison=st.frozensets(st.sampled_from(POISON)),
    batch_size=st.integers(1, 25),
    partial=st.booleans(),
    kills_saves=st.booleans(),
)
@settings(max_examples=400, deadline=None)
def test_every_document_ends_with_one_newest_row_and_nothing_is_paid_for_twice(
    records: list[QueueRecord],
    chance: random.Random,
    share: float,
    poison: frozenset[str],
    batch_size: int,
    partial: bool,
    kills_saves: bool,
) -> None:
    world = World(configured_models=MODELS)
    faults = Faults(world, chance, poison, kills_saves)
    batches = [records[first : first + batch_size] for first in range(0, len(records), batch_size)]
    batches += [chance.choice(batches) for _ in batches[:2]]  # delivered twice
    chance.shuffle(batches)
    for batch in batches:
        deliver_until_acknowledged(world, faults, batch, share, partial)

    rows = world.store.newest()
    newest: dict[Any, tuple[datetime, str]] = {}
    contents: dict[tuple[str, str], set[int]] = defaultdict(set)
    for request in requests_of(records):
        for document in request.documents():
            key = (document.team_id, document.key)
            version = (document.summarized_at, document.content)
            newest[key] = max(newest.get(key, version), version)
            contents[document.model_name, document.content].add(document.team_id)
    for key, (summarized_at, content) in newest.items():
        if content not in poison:
            assert (rows[key][0].summarized_at, rows[key][0].content) == (summarized_at, content)
    assert rows.keys() <= newest.keys()
    assert not poison.intersection(document.content for document, _ in rows.values())

    kept = world.failures.positions()
    assert kept >= {one.position for one in records if one.value == BROKEN}
    assert kept <= {one.position for one in records if one.value == BROKEN or is_poison(one, poison)}

    if not kills_saves:
        for paid, times in Counter(world.model.answered).items():
            assert paid not in contents or times <= len(contents[paid]), "each team pays for a content once"


def is_poison(one: QueueRecord, poison: frozenset[str]) -> bool:
    return parse_message(one.value).content in poison

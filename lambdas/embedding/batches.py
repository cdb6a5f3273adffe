"""One batch of the embedding queue: from its records to rows of `document_embeddings`, whatever part of it is broken.

Why a batch that is delivered again comes to an end, although the records of it that are done are delivered with it:

* A text that was embedded is stored before the next one is asked for. It is found then, and never asked for again.
* A text that can never be embedded is kept in the failure place as soon as that is known, under its record's place and
  content and the model. With the first fault of a delivery the failure place is asked what it holds of the batch: that
  was tried already, and is not asked for again. What was never tried is never acknowledged.

So each delivery of a batch stores a text or finds a broken one, until there are none left, or it ends early for a
reason that does not lie in the batch: then nothing but time, or a person, can help.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

from embedding.asking import Asking, Probes
from embedding.models import EmbeddingModelName
from embedding.outcome import RESERVED_SECONDS, BatchParts, BatchResult, Outcome
from embedding.ports import Vector
from embedding.records import QueueRecord, Source, newest_documents
from embedding.vectors import sound
from trace_summarization.errors import ClickHouseTimeout, TraceSummarizationError

__all__ = ["BatchParts", "BatchResult", "QueueRecord", "embed_batch"]


def embed_batch(records: Sequence[QueueRecord], parts: BatchParts, seconds_left: Callable[[], float]) -> BatchResult:
    """Bring a batch as far as it can be brought within the time; raises none of our errors.

    What is broken is in the failure place, what was paid is stored; the records left are to be delivered again.
    """
    outcome = Outcome(parts, seconds_left)
    newest = newest_documents(records, outcome.keep)
    outcome.result.embeddings_unneeded += newest.outdated
    wanted = _without_stored(newest.sources, parts, outcome, seconds_left)
    probes = Probes(outcome, parts.configured_models, [source for each in wanted.values() for source in each])
    # Models that only messages name come last: they must not take the time of those that this deployment embeds with.
    for model_name in sorted(wanted, key=lambda name: name not in parts.configured_models):
        try:
            asking = Asking(outcome, probes, EmbeddingModelName.parse(model_name), wanted[model_name], parts)
        except TraceSummarizationError as error:
            outcome.leave(wanted[model_name], error)
        else:
            asking.run()
    return outcome.finished(records)


def _without_stored(
    sources: Sequence[Source], parts: BatchParts, outcome: Outcome, seconds_left: Callable[[], float]
) -> dict[str, list[Source]]:
    """By model, the documents that nothing stored stands for; those with known vectors are saved with them."""
    by_team: dict[int, list[Source]] = defaultdict(list)
    for source in sources:
        by_team[source.document.team_id].append(source)
    reused: list[tuple[Source, Vector]] = []
    wanted: dict[str, list[Source]] = defaultdict(list)
    for team_id, of_team in by_team.items():
        try:
            if seconds_left() < RESERVED_SECONDS:
                raise ClickHouseTimeout("no time left to look for stored embeddings")
            stored = parts.store.find(
                team_id, [source.document for source in of_team], lambda: seconds_left() - RESERVED_SECONDS
            )
        except TraceSummarizationError as error:
            outcome.leave(of_team, error)
            continue
        for source in of_team:
            document = source.document
            model = EmbeddingModelName.parse(document.model_name)
            known = stored.vectors.get((document.model_name, document.content_hash))
            vector = None if known is None else sound(known, model)
            version = stored.versions.get(document.key)
            if version is not None and version.stands_for(document):
                outcome.result.embeddings_unneeded += 1
            elif vector is not None:
                reused.append((source, vector))
            else:
                wanted[document.model_name].append(source)
    if reused and outcome.save(reused):
        outcome.result.embeddings_reused += len(reused)
    return wanted

"""From the records of a batch to the documents that it asks for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from embedding.messages import BrokenMessage, parse_message
from embedding.ports import Document, DocumentKey, RecordPosition


@dataclass(frozen=True)
class QueueRecord:
    """One record of the queue; a value of None is a tombstone."""

    position: RecordPosition
    value: bytes | None


@dataclass(frozen=True)
class Source:
    """A document with the record that asks for it."""

    document: Document
    record: QueueRecord


@dataclass(frozen=True)
class NewestDocuments:
    """Of each document of a batch its newest version, and how many others there were."""

    sources: Sequence[Source]
    outdated: int


def newest_documents(
    records: Sequence[QueueRecord], keep_broken: Callable[[QueueRecord, str], None]
) -> NewestDocuments:
    """The documents that the records ask for, of equal versions the later record's; told what is broken, and why."""
    newest: dict[tuple[int, DocumentKey], Source] = {}
    outdated = 0
    for record in records:
        try:
            documents = parse_message(record.value).documents()
        except BrokenMessage as error:
            keep_broken(record, str(error))
            continue
        for document in documents:
            known = newest.get((document.team_id, document.key))
            if known is not None:
                outdated += 1
            if known is None or known.document.summarized_at <= document.summarized_at:
                newest[document.team_id, document.key] = Source(document, record)
    return NewestDocuments(list(newest.values()), outdated)

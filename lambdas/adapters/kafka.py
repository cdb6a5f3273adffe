"""Embedding requests to Kafka, each delivery confirmed by its own future."""

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from kafka import KafkaProducer
from kafka.errors import (
    InvalidProducerEpochError,
    InvalidRecordError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumberError,
    RecordListTooLargeError,
    UnknownProducerIdError,
)
from kafka.producer.future import FutureRecordMetadata

from adapters.secrets import KafkaSecret, RootCertificateSecret
from adapters.settings import KafkaSettings
from trace_summarization import constants as c
from trace_summarization.errors import EmbeddingNotQueued, EmbeddingRequestRefused

_CONNECT_TIMEOUT_MS = 5_000
_OLDEST_BROKER = (2, 6)
# A broker that was started anew without its data, or that has forgotten a producer that was idle for days: what it says
# of a producer that numbers its records.
_UNKNOWN_PRODUCER = (InvalidProducerEpochError, OutOfOrderSequenceNumberError, UnknownProducerIdError)
# What the client, or a topic with a limit of its own, says of one record.
_OF_THE_RECORD = (InvalidRecordError, MessageSizeTooLargeError, RecordListTooLargeError)


class KafkaEmbeddingQueue:
    """Sends embedding requests to the configured topic. Connects on first use, and anew after a failure."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._producer: KafkaProducer | None = None

    def send(self, key: str, message: bytes) -> None:
        """Return when the broker confirmed the record. Raises EmbeddingNotQueued, or what reading the secret raises."""
        (error,) = self.send_all([(key, message)])
        if error is not None:
            raise error

    def send_all(self, records: Sequence[tuple[str, bytes]]) -> list[EmbeddingNotQueued | None]:
        """Send records of key and message together. Returns for each None once the broker confirmed it, or its error.

        One that is refused for its own sake (EmbeddingRequestRefused) costs the others nothing. All are confirmed or
        given up within one delivery's time; after any other fault nothing more is sent, so that a broker that is away
        costs that time once. A broker that does not know this producer (any more) is asked once more by
        another one. Raises what reading the secret raises.
        """
        deadline = time.monotonic() + c.KAFKA_DELIVERY_TIMEOUT_SECONDS
        errors = self._send_all(records, deadline)
        if any(error is not None and isinstance(error.__cause__, _UNKNOWN_PRODUCER) for error in errors):
            left = [position for position, error in enumerate(errors) if error is not None]
            again = self._send_all([records[position] for position in left], deadline)
            for position, error in zip(left, again, strict=True):
                errors[position] = error
        return errors

    def _send_all(self, records: Sequence[tuple[str, bytes]], deadline: float) -> list[EmbeddingNotQueued | None]:
        """One attempt. `flush()` may return although records failed, so only each record's own future counts."""
        errors: list[EmbeddingNotQueued | None] = [None] * len(records)
        sent: list[tuple[int, FutureRecordMetadata]] = []
        fault: EmbeddingNotQueued | None = None
        for position, (key, message) in enumerate(records):
            if len(message) > c.MAX_KAFKA_MESSAGE_BYTES:
                errors[position] = EmbeddingRequestRefused(
                    f"message of {len(message)} bytes; a Kafka message has at most {c.MAX_KAFKA_MESSAGE_BYTES}"
                )
            elif fault is not None:
                errors[position] = fault
            else:
                try:
                    sent.append((position, self._hand_over(key, message)))
                except _OF_THE_RECORD as error:
                    errors[position] = _not_confirmed(error, EmbeddingRequestRefused)
                except (KafkaError, OSError) as error:
                    errors[position] = fault = _not_confirmed(error)
                except EmbeddingNotQueued as error:
                    errors[position] = fault = error
        for position, future in sent:
            try:
                future.get(timeout=max(0.0, deadline - time.monotonic()))
            except _OF_THE_RECORD as error:
                errors[position] = _not_confirmed(error, EmbeddingRequestRefused)
            except (KafkaError, OSError) as error:
                errors[position] = fault = _not_confirmed(error)
        if fault is not None:
            # The next request starts with a new connection instead of waiting for this one's recovery.
            self.close()
        return errors

    def _hand_over(self, key: str, message: bytes) -> FutureRecordMetadata:
        if not self._settings.kafka_bootstrap_servers:
            raise EmbeddingNotQueued("no broker: KAFKA_BOOTSTRAP_SERVERS is empty")
        if self._producer is None:
            self._producer = KafkaProducer(**_producer_options(self._settings))
        future: FutureRecordMetadata = self._producer.send(self._settings.kafka_topic, key=key.encode(), value=message)
        return future

    def close(self) -> None:
        """Drop the connection, without waiting for what is still in it."""
        producer, self._producer = self._producer, None
        if producer is not None:
            # kafka-python 3.0 complains of what is still on its way; that expires by itself.
            with contextlib.suppress(KafkaTimeoutError):
                producer.close(timeout=0)


def _not_confirmed(error: Exception, kind: type[EmbeddingNotQueued] = EmbeddingNotQueued) -> EmbeddingNotQueued:
    told = kind(f"not confirmed by the broker: {type(error).__name__}")
    told.__cause__ = error
    return told


def _producer_options(settings: KafkaSettings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers.split(","),
        "security_protocol": settings.kafka_security_protocol,
        "client_id": c.SERVICE_NAME,
        "acks": "all",
        "compression_type": "gzip",
        # The limit is on our message; key, headers and batch framing come on top of it.
        "max_request_size": c.MAX_KAFKA_MESSAGE_BYTES + 65_536,
        # With the version given, connecting is left to the producer's own thread. Asking the broker for it would happen
        # here, and kafka-python 3.0 bounds that by no timeout while a TLS handshake hangs.
        "api_version": _OLDEST_BROKER,
        "bootstrap_timeout_ms": _CONNECT_TIMEOUT_MS,
        "request_timeout_ms": _CONNECT_TIMEOUT_MS,
        "max_block_ms": _CONNECT_TIMEOUT_MS,
        "delivery_timeout_ms": (c.KAFKA_DELIVERY_TIMEOUT_SECONDS - 1) * 1_000,
    }
    if settings.kafka_sasl_mechanism:
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
    if settings.kafka_secret_arn:
        secret = KafkaSecret.read(settings.kafka_secret_arn)
        options["sasl_plain_username"] = secret.username
        options["sasl_plain_password"] = secret.password
    if settings.kafka_root_certificate_secret_arn:
        options["ssl_context"] = RootCertificateSecret.read(settings.kafka_root_certificate_secret_arn).tls_context()
    return options

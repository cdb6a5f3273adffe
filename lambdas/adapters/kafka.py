"""Embedding requests to Kafka, each delivery confirmed by its own future."""

from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from adapters.secrets import KafkaSecret
from adapters.settings import KafkaSettings
from trace_summarization import constants as c
from trace_summarization.errors import EmbeddingNotQueued

_CONNECT_TIMEOUT_MS = 5_000
_OLDEST_BROKER = (2, 6)


class KafkaEmbeddingQueue:
    """Sends embedding requests to the configured topic. Connects on first use, and anew after a failure."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._producer: KafkaProducer | None = None

    def send(self, key: str, message: bytes) -> None:
        """Return when the broker confirmed the record. Raises EmbeddingNotQueued, or what reading the secret raises.

        `flush()` may return although records failed, so only the record's own future counts.
        """
        if len(message) > c.MAX_KAFKA_MESSAGE_BYTES:
            raise EmbeddingNotQueued(
                f"message of {len(message)} bytes; a Kafka message has at most {c.MAX_KAFKA_MESSAGE_BYTES}"
            )
        if not self._settings.kafka_bootstrap_servers:
            raise EmbeddingNotQueued("no broker: KAFKA_BOOTSTRAP_SERVERS is empty")
        try:
            if self._producer is None:
                self._producer = KafkaProducer(**_producer_options(self._settings))
            future = self._producer.send(self._settings.kafka_topic, key=key.encode(), value=message)
            future.get(timeout=c.KAFKA_DELIVERY_TIMEOUT_SECONDS)
        except (KafkaError, OSError) as error:
            # The next request starts with a new connection instead of waiting for this one's recovery.
            self.close()
            raise EmbeddingNotQueued(f"not confirmed by the broker: {type(error).__name__}") from error

    def close(self) -> None:
        """Drop the connection, without waiting for what is still in it."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.close(timeout=0)


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
    return options

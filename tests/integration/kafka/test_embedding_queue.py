"""The queue against a real broker, and against what goes wrong on the way to one."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from kafka import KafkaConsumer, TopicPartition

from adapters.kafka import KafkaEmbeddingQueue
from adapters.settings import KafkaSettings
from local.kafka_broker import KafkaBroker
from trace_summarization import constants as c
from trace_summarization.errors import EmbeddingNotQueued


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaBroker]:
    with KafkaBroker(topics=[c.EMBEDDING_TOPIC]) as running:
        yield running


def queue_to(bootstrap_servers: str, protocol: str = "PLAINTEXT") -> KafkaEmbeddingQueue:
    return KafkaEmbeddingQueue(
        KafkaSettings.from_environment(
            {"KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers, "KAFKA_SECURITY_PROTOCOL": protocol}
        )
    )


def records(broker: KafkaBroker) -> list[tuple[bytes, bytes]]:
    consumer = KafkaConsumer(
        bootstrap_servers=broker.bootstrap_servers, group_id=None, max_partition_fetch_bytes=4_000_000
    )
    partition = TopicPartition(c.EMBEDDING_TOPIC, 0)
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    found = []
    while batch := consumer.poll(timeout_ms=700):
        found += [(record.key, record.value) for part in batch.values() for record in part]
    consumer.close()
    return found


def test_a_confirmed_record_is_on_the_topic(broker: KafkaBroker) -> None:
    with closing(queue_to(broker.bootstrap_servers)) as queue:
        queue.send('[1, "é"]', json.dumps({"document_id": "é"}).encode())
    assert records(broker)[-1] == ('[1, "é"]'.encode(), b'{"document_id": "\\u00e9"}')


def test_a_message_of_one_mebibyte_is_taken_and_one_byte_more_is_not(broker: KafkaBroker) -> None:
    with closing(queue_to(broker.bootstrap_servers)) as queue:
        queue.send("largest", b"x" * c.MAX_KAFKA_MESSAGE_BYTES)
        with pytest.raises(EmbeddingNotQueued, match="message of 1048577 bytes; a Kafka message has at most 1048576"):
            queue.send("larger", b"x" * (c.MAX_KAFKA_MESSAGE_BYTES + 1))
    assert [key for key, _ in records(broker)][-1] == b"largest"


def test_many_records_are_sent_together_and_each_is_confirmed(broker: KafkaBroker) -> None:
    messages = [(f"key-{number}", b"x" * 5_000 + str(number).encode()) for number in range(300)]
    with closing(queue_to(broker.bootstrap_servers)) as queue:
        assert queue.send_all(messages) == [None] * 300
    assert records(broker)[-300:] == [(key.encode(), message) for key, message in messages]


def test_a_record_that_is_too_long_costs_its_neighbours_nothing(broker: KafkaBroker) -> None:
    with closing(queue_to(broker.bootstrap_servers)) as queue:
        errors = queue.send_all([("before", b"1"), ("larger", b"x" * (c.MAX_KAFKA_MESSAGE_BYTES + 1)), ("after", b"2")])
    assert [error is None for error in errors] == [True, False, True]
    assert [key for key, _ in records(broker)[-2:]] == [b"before", b"after"]


def test_a_broker_that_is_away_costs_many_records_the_time_of_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    began = time.monotonic()
    errors = queue_to(f"127.0.0.1:{port}").send_all([(str(number), b"{}") for number in range(100)])
    assert all(isinstance(error, EmbeddingNotQueued) for error in errors)
    assert time.monotonic() - began < c.KAFKA_DELIVERY_TIMEOUT_SECONDS + 5


def test_a_broker_that_goes_away_meanwhile_fails_what_it_did_not_confirm(broker: KafkaBroker) -> None:
    with closing(queue_to(broker.bootstrap_servers)) as queue:
        queue.send("connected", b"{}")
        broker.stop()
        began = time.monotonic()
        errors = queue.send_all([(str(number), b"{}") for number in range(50)])
        assert all(isinstance(error, EmbeddingNotQueued) for error in errors)
        assert time.monotonic() - began < c.KAFKA_DELIVERY_TIMEOUT_SECONDS + 5
        broker.start()
        assert queue.send_all([("after", b"{}")]) == [None]


def test_a_broker_that_was_started_anew_meanwhile_takes_the_next_records(broker: KafkaBroker) -> None:
    with closing(queue_to(broker.bootstrap_servers)) as queue:
        queue.send_all([(str(number), b"{}") for number in range(20)])
        broker.stop()
        broker.start()
        assert queue.send_all([("after", b"{}"), ("again", b"{}")]) == [None, None]
    assert [key for key, _ in records(broker)] == [b"after", b"again"]


def test_no_broker_configured_is_told() -> None:
    with pytest.raises(EmbeddingNotQueued, match="KAFKA_BOOTSTRAP_SERVERS is empty"):
        queue_to("").send("key", b"{}")


def costs_at_most(seconds: float, queue: KafkaEmbeddingQueue) -> None:
    began = time.monotonic()
    with pytest.raises(EmbeddingNotQueued):
        queue.send("key", b"{}")
    assert time.monotonic() - began < seconds


def test_a_broker_that_refuses_costs_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    costs_at_most(c.KAFKA_DELIVERY_TIMEOUT_SECONDS + 5, queue_to(f"127.0.0.1:{port}"))


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL"])
def test_a_broker_that_takes_the_connection_and_stays_silent_costs_seconds(protocol: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        taken: list[socket.socket] = []
        threading.Thread(target=_accept_all, args=(silent, taken), daemon=True).start()
        costs_at_most(c.KAFKA_DELIVERY_TIMEOUT_SECONDS + 5, queue_to(f"127.0.0.1:{silent.getsockname()[1]}", protocol))
        for connection in taken:
            connection.close()


def _accept_all(server: socket.socket, taken: list[socket.socket]) -> None:
    while True:
        try:
            taken.append(server.accept()[0])
        except OSError:
            return  # the test has closed the server


def test_after_a_failure_the_queue_connects_anew(broker: KafkaBroker) -> None:
    with closing(queue_to(broker.bootstrap_servers)) as queue:
        queue.send("before", b"{}")
        broker.stop()
        with pytest.raises(EmbeddingNotQueued):
            queue.send("during", b"{}")
        broker.start()
        queue.send("after", b"{}")
    assert [key for key, _ in records(broker)] == [b"after"]


# The garbage collector closes it once more, and is told the same.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <function KafkaProducer.__del__")
def test_a_queue_is_closed_without_complaint_while_records_are_on_their_way(broker: KafkaBroker) -> None:
    queue = queue_to(broker.bootstrap_servers)
    queue.send("connected", b"{}")
    with broker.hanging():
        sending = threading.Thread(target=queue.send_all, args=([("pending", b"{}")],))
        sending.start()
        time.sleep(0.5)
        queue.close()
    sending.join()

"""The broker speaks Kafka to an unmodified client, and goes away without a trace."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient

from local.errors import BrokerStartError
from local.kafka_broker import KafkaBroker
from local.ports import PortInUseError
from tests.local_engines.processes import is_running


@pytest.fixture
def broker() -> Iterator[KafkaBroker]:
    with KafkaBroker(topics=["first", "second"]) as running:
        yield running


def topics_of(broker: KafkaBroker) -> set[str]:
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    try:
        return set(admin.list_topics())
    finally:
        admin.close()


def produce(broker: KafkaBroker, value: bytes) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap_servers, compression_type="gzip")
    try:
        producer.send("first", value, key=b"k", headers=[("h", b"1")]).get(timeout=10)
    finally:
        producer.close()


def test_topics_exist_when_it_has_started(broker: KafkaBroker) -> None:
    assert {"first", "second"} <= topics_of(broker)


def test_a_message_comes_back(broker: KafkaBroker) -> None:
    produce(broker, b"hello")
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap_servers, auto_offset_reset="earliest")
    try:
        consumer.assign([TopicPartition("first", 0)])
        record = next(consumer)
    finally:
        consumer.close()
    assert (record.value, record.key, record.headers) == (b"hello", b"k", [("h", b"1")])


def test_it_restarts_on_its_port_without_its_messages(broker: KafkaBroker) -> None:
    address = broker.bootstrap_servers
    process = broker._process
    assert process is not None
    produce(broker, b"lost")
    broker.stop()
    assert not is_running(process.pid)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(address.split(":")[1])), timeout=1)
    broker.start()
    assert broker.bootstrap_servers == address
    assert {"first", "second"} <= topics_of(broker)
    consumer = KafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest", consumer_timeout_ms=300)
    try:
        consumer.assign([TopicPartition("first", 0)])
        assert list(consumer) == []
    finally:
        consumer.close()


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortInUseError, match=rf"port {port} on 127\.0\.0\.1 is in use"):
            KafkaBroker(port=port).start()


def test_a_broker_that_ends_at_once_shows_its_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.kafka_broker._broker_command", lambda *_: ["/bin/sh", "-c", "echo no storage; exit 3"])
    broker = KafkaBroker()
    with pytest.raises(BrokerStartError, match=r"ended with status 3: no storage"):
        broker.start()


def test_the_address_is_unknown_before_the_first_start() -> None:
    with pytest.raises(RuntimeError, match="start it first"):
        _ = KafkaBroker().bootstrap_servers


def test_it_starts_once(broker: KafkaBroker) -> None:
    with pytest.raises(RuntimeError, match="runs already"):
        broker.start()

"""Brokers with a certificate of a private authority: reached by its root certificate, and by nothing else."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from adapters import secrets
from adapters.kafka import KafkaEmbeddingQueue
from adapters.settings import KafkaSettings
from local.aws import LocalAws
from local.kafka_broker import KafkaBroker
from tests.integration.kafka.certificates import Authority
from tests.integration.kafka.tls_listener import TlsListener
from trace_summarization import constants as c
from trace_summarization.errors import EmbeddingNotQueued, InvalidConfiguration

OWN, FOREIGN = Authority("brokers"), Authority("others")
SecretOf = Callable[[object], str]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where a broker speaks TLS, as 127.0.0.1."""
    pem = tmp_path_factory.mktemp("tls") / "server.pem"
    pem.write_text(OWN.issue("127.0.0.1"), encoding="ascii")
    with TlsListener(pem) as listener, KafkaBroker(advertised_port=listener.port) as broker:
        listener.upstream_port = broker.port
        yield listener.port


@pytest.fixture(scope="module")
def secret_of() -> Iterator[SecretOf]:
    """Puts a value into the secret store; the ARN."""
    numbers = itertools.count(1)
    with LocalAws() as aws, pytest.MonkeyPatch.context() as environment:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "local")
        environment.setenv("AWS_ENDPOINT_URL", aws.endpoint_url)
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        store = aws.client("secretsmanager")

        def secret_of(value: object) -> str:
            created = store.create_secret(Name=f"certificate-{next(numbers)}", SecretString=json.dumps(value))
            return str(created["ARN"])

        secrets._secrets_provider.cache_clear()
        yield secret_of
        secrets._secrets_provider.cache_clear()


def queue_to(bootstrap_servers: str, root_certificate_secret_arn: str) -> KafkaEmbeddingQueue:
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "KAFKA_SECURITY_PROTOCOL": "SSL",
        "KAFKA_ROOT_CERTIFICATE_SECRET_ARN": root_certificate_secret_arn,
    }
    return KafkaEmbeddingQueue(KafkaSettings.from_environment(environment))


def test_a_broker_is_reached_by_the_certificate_of_its_authority(port: int, secret_of: SecretOf) -> None:
    with closing(queue_to(f"127.0.0.1:{port}", secret_of({"certificate": OWN.root_pem}))) as queue:
        assert queue.send_all([("key", b"{}")]) == [None]


def test_one_of_several_authorities_is_enough(port: int, secret_of: SecretOf) -> None:
    arn = secret_of({"certificate": f"{FOREIGN.root_pem}\n{OWN.root_pem}"})
    with closing(queue_to(f"127.0.0.1:{port}", arn)) as queue:
        assert queue.send_all([("key", b"{}")]) == [None]


def test_a_broker_that_the_certificate_does_not_vouch_for_is_refused_within_seconds(
    port: int, secret_of: SecretOf, caplog: pytest.LogCaptureFixture
) -> None:
    own, foreign = (secret_of({"certificate": authority.root_pem}) for authority in (OWN, FOREIGN))
    refused = {
        "public authorities only": queue_to(f"127.0.0.1:{port}", ""),
        "another authority": queue_to(f"127.0.0.1:{port}", foreign),
        "another name": queue_to(f"localhost:{port}", own),
    }
    began = time.monotonic()
    with ThreadPoolExecutor() as pool:
        errors = pool.map(lambda queue: queue.send_all([("key", b"{}")])[0], refused.values())
        told = {why: type(error) for why, error in zip(refused, errors, strict=True)}
    assert told == dict.fromkeys(refused, EmbeddingNotQueued)
    assert time.monotonic() - began < c.KAFKA_DELIVERY_TIMEOUT_SECONDS + 5
    for reason in ("unable to get local issuer certificate", "Hostname mismatch"):
        assert f"CERTIFICATE_VERIFY_FAILED] certificate verify failed: {reason}" in caplog.text


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"certificate": ""}, "certificate: Value error, should be root certificates in PEM"),
        ({"certificate": "canary"}, "certificate: Value error, should be root certificates in PEM"),
        ({"certificate": "canäry"}, "certificate: Value error, should be root certificates in PEM"),
        ({"certificate": OWN.root_pem.replace("\n", " ")}, "certificate: Value error, should be root"),
        ({"certificate": OWN.root_pem[:200]}, "certificate: Value error, should be root certificates in PEM"),
        ({"certificate": 5}, "certificate: Input should be a valid string"),
        ({"pem": "canary"}, "certificate: Field required"),
        (["canary"], "not a JSON object"),
    ],
)
def test_a_certificate_that_cannot_be_read_is_told_by_its_key_and_not_shown(
    value: object, problem: str, secret_of: SecretOf
) -> None:
    arn = secret_of(value)
    with pytest.raises(InvalidConfiguration) as caught:
        queue_to("127.0.0.1:9", arn).send("key", b"{}")
    assert str(caught.value).startswith(f"secret {arn}: ")
    assert problem in str(caught.value)
    assert not any(shown in str(caught.value) for shown in ("canary", "canäry", OWN.root_pem[40:60]))

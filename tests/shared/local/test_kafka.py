"""The embedded Kafka, the real one."""

from __future__ import annotations

import re
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from shared.errors import Failed
from shared.local.jars import cache_folder, kafka_version, read_lock
from shared.local.kafka import EmbeddedKafka, Secured

FIVE_MEBIBYTES = 5 << 20


async def make_topic(name: str, **client: Any) -> None:
    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1, topic_configs={"max.message.bytes": str(6 << 20)})])
    await admin.close()


async def send(topic: str, value: bytes, **client: Any) -> None:
    async with AIOKafkaProducer(max_request_size=6 << 20, enable_idempotence=True, **client) as producer:
        await producer.send_and_wait(topic, value)


async def first_of(topic: str, **client: Any) -> bytes:
    async with AIOKafkaConsumer(auto_offset_reset="earliest", **client) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        record = await consumer.getone()
        return bytes(record.value)


async def test_the_shared_broker_takes_large_records(kafka_bootstrap: str) -> None:
    """5 MB go in and come out."""
    value = b"x" * FIVE_MEBIBYTES
    await make_topic("local.large", bootstrap_servers=kafka_bootstrap)
    await send("local.large", value, bootstrap_servers=kafka_bootstrap)
    assert await first_of("local.large", bootstrap_servers=kafka_bootstrap) == value


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def secured(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A broker with a listener behind TLS and SCRAM, known as localhost."""
    issued = authority.issue_cert("localhost")
    key = load_pem_private_key(issued.private_key_pem.bytes(), None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain = b"".join(part.bytes() for part in issued.cert_chain_pems)
    doors = Secured(certificate=chain.decode(), key=key.decode(), users={"pursight": "open-sesame"})
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka") / "k", secured=doors) as broker:
        yield broker


def signed_in(broker: EmbeddedKafka, authority: trustme.CA, password: str) -> dict[str, Any]:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return {
        "bootstrap_servers": broker.secured_bootstrap,
        "security_protocol": "SASL_SSL",
        "ssl_context": context,
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "pursight",
        "sasl_plain_password": password,
    }


async def test_tls_and_scram(secured: EmbeddedKafka, authority: trustme.CA) -> None:
    """Who has the authority and the password gets in; who has another one does not."""
    client = signed_in(secured, authority, "open-sesame")
    await make_topic("local.secured", **client)
    await send("local.secured", b"hello", **client)
    assert await first_of("local.secured", **client) == b"hello"
    with pytest.raises(Exception, match=r"(?i)authentication|bootstrap"):
        await send("local.secured", b"no", **signed_in(secured, authority, "guess"))
    with pytest.raises(Exception, match=r"(?i)bootstrap|certificate"):
        await send("local.secured", b"no", **signed_in(secured, trustme.CA(), "open-sesame"))


async def test_what_was_acknowledged_survives_kill_9(secured: EmbeddedKafka) -> None:
    """An unclean end of the broker loses nothing, and it is back on its port."""
    await make_topic("local.kept", bootstrap_servers=secured.bootstrap)
    await send("local.kept", b"kept", bootstrap_servers=secured.bootstrap)
    before = secured.bootstrap
    secured.kill9()
    assert secured.start().bootstrap == before
    assert await first_of("local.kept", bootstrap_servers=before) == b"kept"


@pytest.mark.parametrize("version", ["99.0.0", "3.2.3"])
def test_data_of_another_broker(tmp_path: Path, version: str) -> None:
    """What is newer, or older than this Kafka reads, is not touched; one line says which version made it."""
    (tmp_path / "version").write_text(f"{version}\n")
    with pytest.raises(Failed, match=rf"of Kafka {re.escape(version)}, this is Kafka 4\.") as caught:
        EmbeddedKafka(tmp_path).start()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data").exists()


class OlderKafka(EmbeddedKafka):
    """Its data directory has the metadata that Kafka 3.9 wrote."""

    def _format(self) -> None:
        tool = [*self._java("-Xmx128m"), "kafka.tools.StorageTool", "format", "--release-version", "3.9-IV0"]
        subprocess.run([*tool, "-t", "AHVyc2lnaHQtb2xkZXItMQ", "-c", str(self._properties)], check=True, capture_output=True)


async def test_data_of_an_older_broker(tmp_path: Path) -> None:
    """What an older Kafka made is served as it is, and its version is noted."""
    broker = OlderKafka(tmp_path / "k")
    broker.directory.mkdir()
    (broker.directory / "version").write_text("3.9.0\n")
    with broker:
        await make_topic("local.older", bootstrap_servers=broker.bootstrap)
        await send("local.older", b"kept", bootstrap_servers=broker.bootstrap)
        assert await first_of("local.older", bootstrap_servers=broker.bootstrap) == b"kept"
    assert (broker.directory / "version").read_text() == f"{kafka_version()}\n"


def test_no_jar_is_used_unchecked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cached jar that somebody changed keeps the broker from starting where it cannot be fetched anew."""
    jars = tmp_path / "cache" / "pursight" / "jars"
    jars.mkdir(parents=True)
    for jar in read_lock():
        (jars / jar.file_name).symlink_to(cache_folder() / jar.file_name)
    changed = jars / "snakeyaml-2.5.jar"
    changed.unlink()
    changed.write_bytes(b"something else")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(Failed, match="cannot be fetched: snakeyaml"):
        EmbeddedKafka(tmp_path / "k").start()

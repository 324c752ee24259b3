"""A Kafka behind TLS and SCRAM works through the settings that operators set, on the real broker, through the whole runtime."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from shared.bus import topics
from shared.bus.edge import Publisher
from shared.bus.migrations import FOLDER
from shared.bus.received import Received
from shared.bus.runtime import Bus
from shared.bus.unit import unit
from shared.contracts.examples import BY_EVENT
from shared.contracts.source import SourceRejected, SourceSubmitted
from shared.db.migrate import migrate
from shared.db.pool import open_pool
from shared.errors import Transient
from shared.local.kafka import EmbeddedKafka, Secured
from shared.settings import BusSettings


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables for a broker that wants TLS and SCRAM-SHA-512."""
    folder = tmp_path_factory.mktemp("secured")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    issued = authority.issue_cert("localhost")
    key = load_pem_private_key(issued.private_key_pem.bytes(), None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain = b"".join(part.bytes() for part in issued.cert_chain_pems)
    doors = Secured(certificate=chain.decode(), key=key.decode(), users={"pursight": "open-sesame"})
    with EmbeddedKafka(folder / "k", secured=doors) as broker:
        yield {
            "KAFKA_BOOTSTRAP_SERVERS": broker.secured_bootstrap,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_SASL_USERNAME": "pursight",
            "KAFKA_SASL_PASSWORD": "open-sesame",
            "KAFKA_SSL_CAFILE": str(folder / "ca.pem"),
        }


def settings(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, **other: str) -> BusSettings:
    for name, value in {**environment, **other}.items():
        monkeypatch.setenv(name, value)
    return BusSettings()


async def test_events_go_in_and_out_behind_tls_and_scram(
    environment: dict[str, str], fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Topics are made, a request is published and heard, and the answer is acknowledged, all over the protected line."""
    monkeypatch.setenv("PURSIGHT_DEAD_LETTER_KEY", "a" * 43 + "=")
    on = settings(environment, monkeypatch)
    assert len(await topics.apply(on, ["registry"])) > 3
    pool = await open_pool(fresh_database_url, schema="registry", application_name="test")
    await migrate(pool, schema="registry", folders=[FOLDER])
    heard = asyncio.Event()

    async def answer(batch: Sequence[Received[SourceSubmitted]]) -> None:
        async with unit(pool, service="registry", batch=batch) as work:
            for received in batch:
                work.emit(BY_EVENT[SourceRejected], key=received.key, cause=received)
        heard.set()

    bus = Bus("registry", settings=on, pool=pool, schema="registry")
    bus.on(SourceSubmitted, answer)
    await bus.start()
    try:
        async with Publisher.open(on) as publisher:
            await publisher.publish(BY_EVENT[SourceSubmitted], key="acme/crm")
        await asyncio.wait_for(heard.wait(), 30)
        async with asyncio.timeout(30):
            while await pool.fetchval("select count(*) from outbox"):  # the relay deletes what Kafka has acknowledged
                await asyncio.sleep(0.1)
    finally:
        await bus.stop()
        await pool.close()


@pytest.mark.parametrize("wrong", ["KAFKA_SASL_PASSWORD", "KAFKA_SSL_CAFILE"])
async def test_a_wrong_password_or_authority_is_no_way_in(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, wrong: str, tmp_path: Path
) -> None:
    """Neither side talks to a stranger."""
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    value = {"KAFKA_SASL_PASSWORD": "guess", "KAFKA_SSL_CAFILE": str(tmp_path / "other.pem")}[wrong]
    with pytest.raises(Transient, match="Kafka does not answer"):
        async with Publisher.open(settings(environment, monkeypatch, **{wrong: value})):
            pass

"""What the registry touches outside: the local secret store, where a password that belongs to one source alone goes when the source goes;
and its own anchors on the broker."""

from __future__ import annotations

import asyncpg
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from shared.bus.edge import close
from shared.bus.jobs import Jobs
from shared.bus.kafka import client_options
from shared.contracts.audit import AuditAnchored
from shared.contracts.names import SourceName
from shared.contracts.source import DataSource
from shared.contracts.topics import BY_EVENT
from shared.errors import Transient
from shared.secrets.vault import LocalVault
from shared.settings import BusSettings

FORGET = "forget_secret"  # the kind of job; its key is the secret's name, its payload the mark of what was stored at the removal


class OwnSecrets:
    """Passwords that `pursight scan` stored for one source, by the name that only this source's has."""

    def __init__(self, vault: LocalVault, jobs: Jobs) -> None:
        self._vault, self._jobs = vault, jobs

    async def let_go(self, connection: asyncpg.Connection, removed: DataSource) -> None:
        """In the removal's transaction, plan that the source's own password is forgotten. One under another name stays."""
        name = SourceName(removed.tenant, removed.name).secret
        if mark := self._vault.mark(name):
            await self._jobs.enqueue(connection, FORGET, name, mark)

    def forget(self, name: str, mark: str) -> bool:
        """Forget it, unless another was stored under that name since."""
        return self._vault.remove(name, marked=mark)


def reference(name: str) -> str:
    """How a source refers to a secret of the local store."""
    return f"local:{name}"


class Anchors:
    """What was said of the ledgers, read from the broker each time: a copy here would be as open to changes as the ledger is."""

    def __init__(self, settings: BusSettings) -> None:
        self._settings = settings

    async def newest(self, tenant: str) -> AuditAnchored | None:
        """The furthest anchor of this tenant's ledger. Raises Transient where the broker does not answer."""
        consumer = AIOKafkaConsumer(
            BY_EVENT[AuditAnchored].name,
            **client_options(self._settings, "pursight-anchors"),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        try:
            await consumer.start()
            return await _furthest(consumer, tenant)
        except KafkaError as error:
            raise Transient("the ledger's anchors cannot be read", why=type(error).__name__, code="kafka_away") from error
        finally:
            await close(consumer)


async def _furthest(consumer: AIOKafkaConsumer, tenant: str) -> AuditAnchored | None:
    """Reads to where the topic ended when it began."""
    found: AuditAnchored | None = None
    ends = await consumer.end_offsets(consumer.assignment())
    while any([await consumer.position(place) < end for place, end in ends.items()]):
        for records in (await consumer.getmany(timeout_ms=1000)).values():
            for record in records:
                anchor = _anchor(record.value)
                if anchor and anchor.tenant == tenant and (found is None or anchor.number >= found.number):
                    found = anchor
    return found


def _anchor(body: bytes | None) -> AuditAnchored | None:
    try:
        return AuditAnchored.model_validate_json(body or b"")
    except ValidationError:
        return None

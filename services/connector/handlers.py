"""The connector's door for events: registered sources get a job that dials, removed ones are forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

from services.connector import endpoints
from services.connector.domain.plan import DIAL, PERSON, secondary, watched
from services.connector.store import Store
from shared.bus.jobs import Jobs
from shared.bus.received import Received
from shared.contracts.connection import SourceConnected
from shared.contracts.source import SourceRegistered, SourceRemoved


async def on_source_registered(batch: Sequence[Received[SourceRegistered]], *, store: Store, jobs: Jobs) -> None:
    """source.registered -> a job that dials. A tombstone is the removal's, which has its own topic."""
    async with store.unit(batch) as unit:
        for received in compress(batch, unit.bus.is_new):
            if not received.tombstone and await unit.register(received.event, received):
                spec = received.event.spec
                await endpoints.watch(unit.bus.connection, spec.key, secondary=secondary(spec) if watched(spec) else "")
                await jobs.enqueue(
                    unit.bus.connection, DIAL, received.event.source, "", unit.bus.now, PERSON, traceparent=received.traceparent
                )


async def on_source_removed(batch: Sequence[Received[SourceRemoved]], *, store: Store) -> None:
    """source.removed -> the source is forgotten, and a tombstone on source.connected."""
    async with store.unit(batch) as unit:
        for received in compress(batch, unit.bus.is_new):
            if await unit.forget(received.event.source, received.event.version):
                await endpoints.watch(unit.bus.connection, received.event.source, secondary="")
                unit.bus.tombstone(SourceConnected, key=received.event.source, cause=received)

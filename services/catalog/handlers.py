"""The catalog's door for events: one way for every topic. A batch becomes rows, the rows are written in one unit of work."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import chain, compress
from typing import Any

import asyncpg

from services.catalog.domain.absorb import WITNESSED, gone_of, rows_of, topics_heard
from services.catalog.store.write import forget, forget_sources, write
from shared.bus.received import Received
from shared.bus.runtime import Bus
from shared.bus.unit import unit

BATCH = 250  # some 30 ms of work: pages are answered in between


def listen(bus: Bus, pool: asyncpg.Pool) -> None:
    """Hear every topic that names the catalog among its readers."""
    for topic in topics_heard():  # of a request what its sender wrote is none of our business: it may hold what should not be there
        bus.on(topic.event, partial(absorb, pool=pool), batch=BATCH, witness=topic.name in WITNESSED)


async def absorb(batch: Sequence[Received[Any]], *, pool: asyncpg.Pool) -> None:
    """Any topic -> the read model. Safe to repeat and to reorder: the newest sequence of each producer wins."""
    prepared = [rows_of([received]) for received in batch]
    async with unit(pool, service="catalog", batch=batch) as work:
        fresh = list(compress(batch, work.is_new))
        if not fresh:
            return
        topic = fresh[0].topic
        if topic == "source.removed":
            await forget_sources(work.connection, [received.key for received in fresh])
        await write(work.connection, chain.from_iterable(compress(prepared, work.is_new)))
        await forget(work.connection, topic, gone_of(fresh))

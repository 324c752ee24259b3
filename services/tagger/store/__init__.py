"""The tagger's own tables. The only SQL of this service: assets and sources, resources, and reasons to look at them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from services.tagger.domain.resource import ResourceState
from services.tagger.store.assets import Assets
from services.tagger.store.declared import Declarations
from services.tagger.store.reasons import Reasons
from services.tagger.store.resources import Resources
from shared.bus.jobs import Jobs
from shared.bus.received import Received
from shared.bus.unit import Unit, unit
from shared.contracts.judging.contract import is_of

SERVICE = "tagger"
APPLY = "apply"  # the kind of job that brings a resource to its tags


class TaggerUnit:
    """One transaction of the tagger: what is read and written by its parts commits together with what is said."""

    def __init__(self, unit: Unit) -> None:
        self.bus = unit
        self.assets = Assets(unit.connection)
        self.resources = Resources(unit.connection)
        self.reasons = Reasons(unit.connection, SERVICE)
        self.declarations = Declarations(unit.connection, SERVICE)

    async def enqueue(self, jobs: Jobs, targets: Iterable[str]) -> None:
        """One job for each of these resources; one that waits already is enough."""
        for target in sorted(set(targets)):
            await jobs.enqueue(self.bus.connection, APPLY, target, "{}")

    async def state(self, target: str) -> ResourceState | None:
        """A resource with all that lives on it; None where there is nothing to say or to remove."""
        specs = await self.assets.behind(target)
        jobs = await self.declarations.jobs_on(target)
        stored = await self.declarations.contracts({spec.tenant for spec in specs}) if specs else ()
        contracts = [(each.normal, each.where) for each in stored if any(is_of(each.normal.contract, spec) for spec in specs)]
        return await self.resources.state(target, specs, await self.assets.facts([spec.key for spec in specs]), contracts, jobs)


class Store:
    """The tagger's state."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool

    @asynccontextmanager
    async def unit(self, batch: Sequence[Received[Any]] = (), *, keys: Iterable[str] = ()) -> AsyncIterator[TaggerUnit]:
        """A unit of work over the batch's keys and `keys`."""
        async with unit(self.pool, service=SERVICE, batch=batch, keys=keys) as work:
            yield TaggerUnit(work)

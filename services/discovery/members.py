"""Opens a line to the member of a source that is to be read from, and leaves none open to the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from time import perf_counter
from typing import NamedTuple

from services.discovery.domain.members import FROM_REPLICAS, Seen, best
from shared.contracts.connection import ConnectionPlan, Endpoint, SourceConnected
from shared.errors import PurSightError, Transient
from shared.sources.base import Member, SourceSession
from shared.sources.failures import failure_of


class Opened(NamedTuple):
    """A session with a member, and how to reach that member again."""

    session: SourceSession
    plan: ConnectionPlan
    stack: AsyncExitStack


Open = Callable[[ConnectionPlan, AsyncExitStack], Awaitable[SourceSession]]


class NoMember(Transient):
    """Only replicas may be read from, and none is close enough to its primary."""

    def __init__(self, most: float) -> None:
        super().__init__(
            "no replica can be read from",
            why=f"none answers and is at most {most:g} s behind",
            remedy="Look at replication, or set replica_config.read_preference to secondary_preferred.",
            code="no_member_in_limit",
        )


async def chosen(connected: SourceConnected, open_: Open, avoid: frozenset[str]) -> Opened:
    """By the source's read preference; where the active endpoint does not answer, one of the others.

    `avoid`: addresses that were no use just now. Raises PurSightError as `open_` does.
    """
    config, plan = connected.spec.replica_config, connected.plan
    others = [plan_at(plan, each) for each in plan.others if at(each) not in avoid]
    replicas = [each for each in others if each.role == "replica"]
    if config.read_preference in FROM_REPLICAS and replicas:
        nearest = config.read_preference == "nearest"
        if found := await _best([*replicas, plan] if nearest else replicas, open_, config.max_lag_seconds, nearest=nearest):
            return found
    if config.read_preference == "secondary" and replicas:
        raise NoMember(config.max_lag_seconds)
    try:
        return await _opened(plan, open_)
    except PurSightError as error:
        if failure_of(error).lasting or config.read_preference == "primary":
            raise
        if found := await _best(others, open_, config.max_lag_seconds, nearest=False):
            return found
        raise


def at(endpoint: Endpoint | ConnectionPlan) -> str:
    """An endpoint's address, as the connector writes it."""
    return f"[{endpoint.host}]:{endpoint.port}" if ":" in endpoint.host else f"{endpoint.host}:{endpoint.port}"


def plan_at(plan: ConnectionPlan, endpoint: Endpoint) -> ConnectionPlan:
    """The same plan for another member."""
    return plan.model_copy(update={"host": endpoint.host, "port": endpoint.port, "role": endpoint.role, "others": ()})


async def _best(plans: Sequence[ConnectionPlan], open_: Open, most: float, *, nearest: bool) -> Opened | None:
    """All are asked at once; those that are not taken are closed."""
    tasks = [asyncio.ensure_future(_asked(plan, open_)) for plan in plans]
    try:
        answered = [found for found in await asyncio.gather(*tasks) if found]
    except BaseException:
        await asyncio.wait(tasks)
        await _close([task.result() for task in tasks if not task.cancelled() and not task.exception()])
        raise
    which = best([seen for _, seen in answered], max_lag_seconds=most, nearest=nearest)
    await _close([each for number, each in enumerate(answered) if number != which])
    return None if which is None else answered[which][0]


async def _close(answered: Sequence[tuple[Opened, Seen] | None]) -> None:
    for each in filter(None, answered):
        with suppress(PurSightError):
            await each[0].stack.aclose()


async def _asked(plan: ConnectionPlan, open_: Open) -> tuple[Opened, Seen] | None:
    """None where it does not answer, or does not know what it is among the others."""
    try:
        opened = await _opened(plan, open_)
    except PurSightError:
        return None
    began = perf_counter()
    try:
        if isinstance(opened.session, Member):
            stands = await opened.session.standing()
            return opened, Seen(stands.is_replica, stands.lag_seconds, perf_counter() - began)
    except PurSightError:
        pass
    except BaseException:
        await opened.stack.aclose()
        raise
    with suppress(PurSightError):
        await opened.stack.aclose()
    return None


async def _opened(plan: ConnectionPlan, open_: Open) -> Opened:
    async with AsyncExitStack() as stack:
        session = await open_(plan, stack)
        return Opened(session, plan, stack.pop_all())

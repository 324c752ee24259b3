"""Seats at a source: one ceiling for all processes, here told apart by their connections."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import AsyncExitStack

import pytest
from prometheus_client import REGISTRY

from shared.db.seats import PoolExhausted, Seats


def told(service: str, source: str, state: str) -> float | None:
    """What the metric says."""
    return REGISTRY.get_sample_value("pursight_source_sessions", {"service": service, "source": source, "state": state})


async def test_one_ceiling_for_all(postgres_url: str) -> None:
    """Three seats are three, whoever takes them; a new limit holds at once; who ends, in whatever way, leaves none taken."""
    one, other, source = Seats(postgres_url, service="connector"), Seats(postgres_url, service="discovery"), secrets.token_hex(4)
    async with AsyncExitStack() as stack:
        for seats in (one, other, one):
            await stack.enter_async_context(seats.seat(source, "db:1", 3, patience=0.0))
        assert await other.taken(source, "db:1", 3) == 3
        assert (told("connector", source, "in_use"), told("discovery", source, "in_use")) == (2, 1)
        for seats in (one, other):
            with pytest.raises(PoolExhausted) as caught:
                async with seats.seat(source, "db:1", 3, patience=0.1):
                    pass
            assert (caught.value.code, "3 sessions" in caught.value.why) == ("pool_exhausted", True)
        async with other.seat(source, "db:1", 4, patience=0.0), one.seat(source, "db:2", 3, patience=0.0):
            pass
        assert one._connection
        one._connection.terminate()  # as its process's end would
        async with other.seat(source, "db:1", 3, patience=5.0):
            assert await other.taken(source, "db:1", 3) == 2
    assert await other.taken(source, "db:1", 3) == 0
    assert (told("connector", source, "in_use"), told("discovery", source, "waiting")) == (0, 0)
    await one.close()
    await other.close()


async def test_who_is_cancelled_while_asking_keeps_no_seat(postgres_url: str) -> None:
    """At whatever moment: otherwise every other process would have one seat less for as long as this one lives."""
    seats, other, source = Seats(postgres_url, service="discovery"), Seats(postgres_url, service="connector"), secrets.token_hex(4)

    async def client() -> None:
        async with seats.seat(source, "db:1", 1, patience=5.0):
            await asyncio.sleep(60)

    async with seats.seat(source, "db:1", 1, patience=5.0):
        pass  # the connection is there
    for moment in range(20):
        asking = asyncio.create_task(client())
        await asyncio.sleep(moment / 10_000)
        asking.cancel()
        await asyncio.wait({asking})
        assert await other.taken(source, "db:1", 1) == 0, moment
    await seats.close()
    await other.close()


async def test_waiting_in_order(postgres_url: str) -> None:
    """Twelve want two seats: never more than two have one, all get one in the order of asking, and nobody waits longer than allowed."""
    seats, source, now, most, served = Seats(postgres_url, service="discovery"), secrets.token_hex(4), 0, 0, list[int]()

    async def client(number: int) -> None:
        nonlocal now, most
        async with seats.seat(source, "db:1", 2, patience=30.0):
            served.append(number)
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.01)
            now -= 1

    clients = asyncio.gather(*(client(number) for number in range(12)))
    while told("discovery", source, "waiting") != 10:
        await asyncio.sleep(0)
    await clients
    assert REGISTRY.get_sample_value("pursight_source_wait_seconds_count", {"service": "discovery", "source": source}) == 12
    assert (most, served) == (2, list(range(12)))
    async with seats.seat(source, "db:1", 1, patience=0.0):
        began = time.monotonic()
        with pytest.raises(PoolExhausted):
            async with seats.seat(source, "db:1", 1, patience=0.2):
                pass
        assert 0.2 <= time.monotonic() - began < 5.0
    await seats.close()

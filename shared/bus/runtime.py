"""The bus of one service process: handlers in, relay out, health in between.

bus = Bus("classifier", settings=settings, pool=pool, schema="classifier")
bus.on(SchemaDiscovered, handler)
await bus.start()
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property, partial
from typing import Any, ParamSpec, TypeVar

import asyncpg
from faststream.kafka import KafkaBroker

from shared.bus import housekeeping, topics
from shared.bus.consume import Timing, Turn, subscribe
from shared.bus.deadletters import forget_source
from shared.bus.ear import Ear, Hop, HopEar
from shared.bus.hear import Believe, Hearing
from shared.bus.kafka import security
from shared.bus.received import Received
from shared.bus.relay import Relay
from shared.bus.reliable import Reliable, delay
from shared.bus.seal import Seal
from shared.bus.sender import Sender
from shared.contracts.base import Contract, E
from shared.contracts.source import SourceRemoved
from shared.contracts.topics import BY_EVENT, Topic, group_of, retry_topic_of
from shared.errors import Transient, UsageError
from shared.settings import BusSettings

BATCH = 1_000  # light work, a transaction or a send a batch; half of it where each event costs a millisecond
HOP_BATCH = 2_000  # no transaction waits for it, and requests to the broker are half as many
HEALTH_SECONDS, CLEAN_SECONDS, LAG_SECONDS, LEAVE_SECONDS = 5.0, 3600.0, 5.0, 10.0
P = ParamSpec("P")
R = TypeVar("R")
log = logging.getLogger(__name__)


def calm_collector() -> None:
    """Let the cycle collector look at what batches leave behind, seldom, and no more at what the start-up made.

    A batch makes thousands of objects that die by themselves; with the interpreter's defaults, a quarter to half of a hop's time went
    into looking through them and the imported modules. Memory stays bounded: young objects are still looked at every 200,000, which
    is more than two batches in flight are made of.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 50)


class Bus:
    """Everything a service has to do with Kafka. `settings` say where it is; `timing` is for tests."""

    def __init__(
        self,
        service: str,
        *,
        settings: BusSettings,
        pool: asyncpg.Pool,
        schema: str,
        timing: Timing | None = None,
        threads: int = 1,
        believe: Believe | None = None,
    ) -> None:
        self.service, self.schema = service, schema
        self._settings, self._pool, self._timing = settings, pool, timing or Timing()
        self._sender = Sender(settings, f"pursight-{service}")
        self._relay = Relay(pool, self._sender, service)
        self._ears: list[Ear] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._broker: KafkaBroker | None = None
        self._threads, self._believe = threads, believe
        self._state = "not started"
        self._away = ""

    def on(self, event: type[E], handler: Callable[[Sequence[Any]], Awaitable[None]], *, batch: int = BATCH, witness: bool = False) -> None:
        """Hear the topic of `event`, in batches of at most `batch`, one after another. To be called before `start`.

        A `witness` is told that something was said, and not what: its events are blank, and no body is poison to it.

        Raises UsageError where this service is not among the topic's readers, because then it has no retry topic.
        """
        topic = self._heard(event)
        if event is SourceRemoved:
            handler = partial(self._forgetting, handler)
        reliable = Reliable(self.service, topic, handler, self._pool, lambda: self._seal)
        self._ears.append(Ear(topic, reliable, Hearing(topic, witness=witness, believe=self._believe), batch, self._turn(topic)))

    def hop(self, event: type[E], step: Callable[[Received[E]], Iterable[tuple[str, Contract]]], *, batch: int = HOP_BATCH) -> None:
        """Answer each event of this topic by `step` alone, which returns what is to be said, each event with its key.

        For hops that keep no state and wait for nothing: at least once, in order per key, with ids that derive from what was heard. To
        be called before `start`. Raises UsageError where this service is not among the topic's readers.
        """
        topic, hop = self._heard(event), Hop(self.service, step, self._sender)
        reliable = Reliable(self.service, topic, hop, self._pool, lambda: self._seal)
        self._ears.append(HopEar(topic, reliable, Hearing(topic, believe=self._believe), batch, self._turn(topic), hop))

    def _heard(self, event: type[E]) -> Topic:
        topic = BY_EVENT[event]
        if self.service not in topic.readers:
            raise UsageError(
                f"{self.service} is not a reader of {topic.name}", remedy="Add it in contracts/topics.py.", code="not_a_reader"
            )
        return topic

    def _turn(self, topic: Topic) -> Turn:
        return Turn(group_of(self.service, topic.name), self.service, self._timing)

    async def _forgetting(self, handler: Callable[[Sequence[Any]], Awaitable[None]], batch: Sequence[Received[SourceRemoved]]) -> None:
        """A removed source's dead letters go with it, in every service."""
        await handler(batch)
        for received in batch:
            await forget_source(self._pool, received.key, received.time)

    @cached_property
    def _seal(self) -> Seal:
        return Seal.load()

    @cached_property
    def _executor(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._threads, thread_name_prefix=f"{self.service}-offload")

    async def offload(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `work` in a thread, so that polls and heartbeats go on, and return what it returns.

        A thread, not a process: the interpreter switches between threads every 5 ms, which heartbeats every 3 s do not notice, and
        nothing has to be copied; libraries that do the heavy work (regular expressions sets, models) let go of the interpreter meanwhile.
        One thread by default: more would not make Python faster, only the loop slower.
        """
        return await asyncio.get_running_loop().run_in_executor(self._executor, partial(work, *args, **kwargs))

    async def start(self, wait: float = 15.0) -> None:
        """Begin, and wait until all groups have joined, at most `wait` seconds; where Kafka is away, go on trying without end.

        Raises UsageError where the broker's topics would break a promise.
        """
        self._state = "starting"
        connected = asyncio.create_task(self._connect())
        self._tasks.append(connected)
        done, _ = await asyncio.wait({connected}, timeout=wait)
        if done:
            connected.result()

    async def stop(self) -> None:
        """Finish the batches in flight (bounded), commit, publish what is left, leave the groups."""
        self._state = "stopping"
        for ear in self._ears:
            ear.turn.stopping = True
        await self._hush()
        with suppress(Exception):
            async with asyncio.timeout(5.0):
                await self._relay.drain()
        while self._tasks:  # more than once, because a library may lose one that comes together with what it waited for
            for task in self._tasks:
                task.cancel()
            done, _ = await asyncio.wait(self._tasks, timeout=1.0)
            await asyncio.gather(*done, return_exceptions=True)
            self._tasks = [task for task in self._tasks if not task.done()]
        await self._sender.stop()
        if "_executor" in vars(self):
            self._executor.shutdown(wait=False, cancel_futures=True)
        self._state = "stopped"
        log.info("bus.stopped", extra={"service": self.service})

    def ready(self) -> list[str]:
        """What keeps this service from doing its work now; nothing means ready."""
        found = [self._state, self._away, self._relay.problem]
        for ear in self._ears:
            found += [ear.reliable.problem, "" if self._state else ear.turn.problem()]
        return [problem for problem in found if problem]

    def wake_relay(self) -> None:
        """Something was put into the outbox by other means than a unit of this process."""
        self._relay.bell.set()

    async def _connect(self) -> None:
        """Until everything is connected. Raises UsageError only."""
        for attempt in range(1 << 62):
            try:
                await self._sender.start()
                await self._check()
                calm_collector()
                await self._listen()
                break
            except UsageError as error:
                self._state = error.line()
                raise
            except Exception as error:
                why = error.line() if isinstance(error, Transient) else type(error).__name__
                self._state = f"Kafka is away: {why}"
                log.warning("bus.connect_failed", extra={"error_type": type(error).__name__, "why": why})
                await self._hush()
                await self._sender.stop(2.0)
                await asyncio.sleep(delay(attempt + 2))
        self._state = ""
        chores: list[Coroutine[Any, Any, None]] = [self._relay.run(), self._health(), self._lag(), self._clean()]
        self._tasks += [asyncio.create_task(chore) for chore in chores]
        log.info("bus.started", extra={"service": self.service, "topics": len(self._ears)})

    async def _check(self) -> None:
        for difference in await topics.check(self._settings, self.service):
            fields = {"topic": difference.topic, "setting": difference.setting, "wanted": difference.wanted, "found": difference.found}
            log.warning("topics.differ", extra=fields)

    async def _listen(self) -> None:
        """All groups join at once; one after another, each would wait for the broker's rebalance delay."""
        self._broker = broker = KafkaBroker(
            self._settings.bootstrap_servers.split(","),
            security=security(self._settings),
            client_id=f"pursight-{self.service}",
            consumer_only=True,
            allow_auto_create_topics=False,
            apply_types=False,
            graceful_timeout=1.0,  # the batches in flight were awaited before
            logger=None,
        )
        for ear in self._ears:
            names = [ear.topic.name, retry_topic_of(self.service, ear.topic.name)]
            subscribe(broker, names, ear.turn, ear, batch=ear.batch)
        await broker.connect()
        await asyncio.gather(*(subscriber.start() for subscriber in broker.subscribers))

    async def _hush(self) -> None:
        """End the batches in flight and leave the groups, both bounded: a group in a rebalance lets nobody go before all have answered."""
        broker, self._broker = self._broker, None
        if broker is None:
            return
        await asyncio.gather(*(ear.turn.leave() for ear in self._ears))
        leaving = [asyncio.create_task(subscriber.stop()) for subscriber in broker.subscribers]
        clients = [consumer._client for subscriber in broker.subscribers if (consumer := getattr(subscriber, "consumer", None))]
        _, late = await asyncio.wait(leaving, timeout=LEAVE_SECONDS)
        for task in late:
            task.cancel()
        if late:
            log.warning("bus.left_late", extra={"service": self.service, "groups": len(late)})
            await asyncio.gather(*(client.close() for client in clients), return_exceptions=True)
        with suppress(Exception):
            async with asyncio.timeout(LEAVE_SECONDS):
                await broker.stop()

    async def _health(self) -> None:
        while True:
            self._away = "" if await self._sender.answers() else "Kafka does not answer"
            await asyncio.sleep(HEALTH_SECONDS)

    async def _lag(self) -> None:
        while True:
            for ear in self._ears:
                await ear.turn.measure_lag()
            await self._chore(housekeeping.measure(self._pool, self.service))
            await asyncio.sleep(LAG_SECONDS)

    async def _clean(self) -> None:
        while True:
            await asyncio.sleep(CLEAN_SECONDS)
            await self._chore(housekeeping.clean_inbox(self._pool, self.service, [ear.topic.name for ear in self._ears]))
            await self._chore(housekeeping.clean_jobs(self._pool))

    async def _chore(self, work: Coroutine[Any, Any, object]) -> None:
        """Do it; where it fails, say so and go on, because the next turn tries again."""
        try:
            await work
        except Exception as error:
            log.warning("chore.failed", extra={"service": self.service, "error_type": type(error).__name__})

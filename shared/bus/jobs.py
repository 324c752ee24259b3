"""Long work: rows in PostgreSQL, claimed with a lease and a fencing number, gone on with from their cursor after a crash.

A worker that was stopped for longer than its lease finds its writes refused, because the next claim raised the number: so a job's
effects come from one worker at a time, whatever the clocks say. The lease is measured by the database's clock.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from time import monotonic, time_ns
from uuid import uuid4

import asyncpg

from shared.bus import failpoints, wakes
from shared.bus.received import Cause
from shared.bus.reliable import code_of, delay, transient
from shared.contracts.names import DEFAULT_TENANT
from shared.errors import PurSightError
from shared.observe import tracing
from shared.observe.names import counter, histogram
from shared.observe.otlp import encoded

LEASE_SECONDS, POLL_SECONDS = 30.0, 0.5
TRIES = 5  # of a job whose error is unknown; transient ones have no end
log = logging.getLogger(__name__)


class LostLease(PurSightError):
    """Another worker has this job now: stop, write nothing more."""

    def __init__(self) -> None:
        super().__init__("this job was taken over", code="lease_lost")


@dataclass(slots=True)
class Job:
    """A claimed job. `cursor` is what the last `save_cursor` stored; `fence` grows with each claim; `attempt` counts from 1."""

    id: int
    kind: str
    key: str
    payload: str
    fence: int
    cursor: str
    attempt: int
    traceparent: str = ""
    parent: str = ""
    lost: asyncio.Event = field(default_factory=asyncio.Event)

    def cause(self, chunk: str = "", *, tenant: str = DEFAULT_TENANT) -> Cause:
        """The cause of what this job says. Give each chunk its own name, such as the cursor before it: the ids derive from it."""
        return Cause(f"job/{self.kind}/{self.id}/{chunk}", self.traceparent, tenant)


_ENQUEUE = """insert into job (kind, key, payload, priority, run_after, trace, shares)
    values ($1, $2, $3, $4, coalesce($5, now()), $6, $7)
    on conflict (kind, key) where state = 'waiting' do update set payload = excluded.payload,
        priority = greatest(job.priority, excluded.priority), run_after = least(job.run_after, excluded.run_after),
        trace = excluded.trace, shares = excluded.shares, changed_at = now()
    returning id"""
_CLAIM = """update job set state = 'running', fence = fence + 1, attempts = attempts + 1, worker = $2, changed_at = now(),
        lease_until = clock_timestamp() + $3
    where id = (
        select id from job as due where kind = $1 and state in ('waiting', 'running') and run_after <= now() and priority >= $4
            and (state = 'waiting' or lease_until < clock_timestamp())
            and not exists (select from job as other where other.kind = due.kind and other.key = due.key and other.state = 'running'
                and other.id <> due.id)
        order by priority desc, {turns}run_after, id limit 1 for update skip locked)
    returning id, kind, key, payload, fence, cursor, attempts, trace, shares"""
_ANY = -(2**31)
# Fewest running jobs that share something with this one; then, share by share, who was served the longest ago.
_TURNS = """(select count(*) from job as other where other.kind = due.kind and other.state = 'running' and other.shares && due.shares),
            array(select coalesce(turn.served_at, '-infinity') from unnest(due.shares) with ordinality as share(name, place)
                left join job_turn as turn on turn.kind = due.kind and turn.share = share.name order by share.place), """
_SERVED = """insert into job_turn (kind, share, served_at) select $1, share, clock_timestamp()
    from unnest($2::text[]) as share order by share on conflict (kind, share) do update set served_at = excluded.served_at"""
_RENEW = "update job set lease_until = clock_timestamp() + $3 where id = $1 and fence = $2 and state = 'running' returning id"
_CURSOR = "update job set cursor = $3, changed_at = now() where id = $1 and fence = $2 and state = 'running' returning id"
_FINISH = """update job set state = 'done', lease_until = null, error_code = '', changed_at = now()
    where id = $1 and fence = $2 and state = 'running' returning id"""
_FAIL = """update job set error_code = $3, lease_until = null, worker = '', changed_at = now(),
        state = case when $4::interval is null or exists (select from job as other where other.kind = job.kind
            and other.key = job.key and other.state = 'waiting') then 'failed' else 'waiting' end,
        run_after = now() + coalesce($4::interval, interval '0')
    where id = $1 and fence = $2 and state = 'running' returning id"""


class Jobs:
    """The jobs of one service. `worker` names this process in the table."""

    def __init__(self, pool: asyncpg.Pool, *, service: str, lease: float = LEASE_SECONDS) -> None:
        self._pool, self._service, self._lease = pool, service, timedelta(seconds=lease)
        self.worker = f"{socket.gethostname()}/{os.getpid()}/{uuid4().hex[:8]}"

    async def enqueue(
        self,
        connection: asyncpg.Connection,
        kind: str,
        key: str,
        payload: str,
        run_after: datetime | None = None,
        priority: int = 0,
        *,
        traceparent: str = "",
        shares: Sequence[str] = (),
    ) -> int:
        """Store a job inside the caller's transaction; returns its id. `shares`: what it has in common with others, the weightiest first.

        At most one job waits per kind and key: a second one replaces its payload. While one of that kind and key runs, the next waits.
        """
        trace = traceparent or tracing.current.get()
        found: int = await connection.fetchval(_ENQUEUE, kind, key, payload, priority, run_after, trace, list(shares))
        return found

    async def claim(self, kind: str, *, fair: bool = False, at_least: int = _ANY) -> Job | None:
        """The most urgent due job, ours for the lease; one whose worker's lease has run out counts as due.

        `fair`: of equally urgent ones, those that share something with another take turns with it. `at_least`: none that is less urgent.
        """
        row = await self._pool.fetchrow(_CLAIM.format(turns=_TURNS if fair else ""), kind, self.worker, self._lease, at_least)
        if row is None:
            return None
        id, kind, key, payload, fence, cursor, attempts, trace, shares = row
        if fair and shares:
            await self._pool.execute(_SERVED, kind, shares)
        return Job(id, kind, key, payload, fence, cursor, attempts, tracing.child(trace), trace)

    async def renew(self, job: Job) -> None:
        """Begin the lease anew. Raises LostLease."""
        await _fenced(self._pool, job, _RENEW, self._lease)

    async def save_cursor(self, connection: asyncpg.Connection, job: Job, cursor: str) -> None:
        """Store how far the work has come, in the caller's transaction, which is refused by LostLease if the job was taken over."""
        await _fenced(connection, job, _CURSOR, cursor)
        job.cursor = cursor

    async def check(self, connection: asyncpg.Connection, job: Job) -> None:
        """Hold the job for the caller's transaction: nobody can take it over before its end. Raises LostLease."""
        await _fenced(connection, job, "select id from job where id = $1 and fence = $2 and state = 'running' for share")

    async def finish(self, connection: asyncpg.Connection, job: Job) -> None:
        """The work is done. Raises LostLease."""
        await _fenced(connection, job, _FINISH)

    async def fail(self, connection: asyncpg.Connection, job: Job, retry_in: float | None, *, code: str = "unknown") -> None:
        """Try again in `retry_in` seconds, or never where it is None or where a newer job of the same key waits. Raises LostLease."""
        await _fenced(connection, job, _FAIL, code, None if retry_in is None else timedelta(seconds=retry_in))

    async def waiting(self, kind: str) -> int:
        """How many jobs of this kind wait or run."""
        found: int = await self._pool.fetchval("select count(*) from job where kind = $1 and state in ('waiting', 'running')", kind)
        return found


async def _fenced(connection: asyncpg.Connection | asyncpg.Pool, job: Job, statement: str, *arguments: object) -> None:
    if await connection.fetchval(statement, job.id, job.fence, *arguments) is None:
        job.lost.set()
        raise LostLease


Handler = Callable[[Job], Awaitable[None]]


async def work(jobs: Jobs, kind: str, handler: Handler, *, concurrency: int, fair: bool = False, at_least: int = _ANY) -> None:
    """Claim and do jobs of this kind until cancelled, at most `concurrency` at once; `fair` and `at_least` as `Jobs.claim` has them.

    The handler's job is finished for it when it returns, unless it finished it itself in its own last transaction. Its lease is
    renewed while it runs; where that fails, the handler is cancelled. Cancelled from outside, running jobs go back to waiting.
    """
    bell, looking = wakes.listener(jobs._service), asyncio.Lock()
    claim = partial(jobs.claim, kind, fair=fair, at_least=at_least)
    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(_worker(jobs, claim, handler, bell, looking))


async def _worker(
    jobs: Jobs, claim: Callable[[], Awaitable[Job | None]], handler: Handler, bell: asyncio.Event, looking: asyncio.Lock
) -> None:
    while True:
        async with looking:  # of those without work one looks; the others would only find the same
            job = await _found(claim, bell)
        await _do(jobs, job, handler)


async def _found(claim: Callable[[], Awaitable[Job | None]], bell: asyncio.Event) -> Job:
    """Look when the bell rings and now and then, until there is a job."""
    failures = 0
    while True:
        try:
            job = await claim()
            failures = 0
        except Exception as error:
            if not transient(error):
                raise
            failures += 1
            await asyncio.sleep(delay(failures))
            continue
        if job is not None:
            return job
        if await wakes.rung(bell, random.uniform(POLL_SECONDS / 2, POLL_SECONDS)):
            await asyncio.sleep(0.02)  # many commits ring; one look per moment is enough


async def _do(jobs: Jobs, job: Job, handler: Handler) -> None:
    started, start_ns, result, code = monotonic(), time_ns(), "done", ""
    token = tracing.current.set(job.traceparent)
    task = asyncio.ensure_future(handler(job))
    lease = asyncio.create_task(_keep(jobs, job, task))
    try:
        await task
        failpoints.hit("job.before_finish", jobs._service)
        await _end(jobs, job)
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            task.cancel()
            await asyncio.wait({task}, timeout=5)
            await asyncio.shield(_give_back(jobs, job))
            raise
        result = "lost_lease"
    except LostLease:
        result = "lost_lease"
        log.warning("job.lease_lost", extra={"kind": job.kind, "job": job.id})
    except Exception as error:
        code = code_of(error)
        result = await _failed(jobs, job, error)
    finally:
        lease.cancel()
        tracing.current.reset(token)
        counter("pursight_jobs", jobs._service, job.kind, result).inc()
        histogram("pursight_job_duration_seconds", jobs._service, job.kind).observe(monotonic() - started)
        attributes = encoded({"pursight.job.id": job.id, "pursight.job.key": job.key, "pursight.job.attempt": job.attempt})
        tracing.record(
            f"job {job.kind}", job.traceparent, parent=job.parent, start_ns=start_ns, end_ns=time_ns(), attributes=attributes, error=code
        )


async def _keep(jobs: Jobs, job: Job, task: asyncio.Future[None]) -> None:
    """Renew the lease at a third of it; cancel the work where it is lost, or could not be renewed for the whole lease."""
    lease = jobs._lease.total_seconds()
    last = monotonic()
    while True:
        await asyncio.sleep(lease / 3)
        try:
            await jobs.renew(job)
            last = monotonic()
        except LostLease:
            if await jobs._pool.fetchval("select state from job where id = $1", job.id) == "running":
                task.cancel()
            return
        except Exception as error:
            if not transient(error) or monotonic() - last > lease:
                task.cancel()
                return


async def _end(jobs: Jobs, job: Job) -> None:
    state = await jobs._pool.fetchrow("select state, fence from job where id = $1", job.id)
    if state is not None and state["state"] == "running":
        await jobs.finish(jobs._pool, job)


async def _give_back(jobs: Jobs, job: Job) -> None:
    with suppress(Exception):
        await jobs.fail(jobs._pool, job, 0.0, code="stopped")


async def _failed(jobs: Jobs, job: Job, error: Exception) -> str:
    """Again later: without end where the world is away, a few times where the error is unknown."""
    again = transient(error) or job.attempt < TRIES
    retry_in = delay(job.attempt + 3) if again else None
    fields = {"kind": job.kind, "job": job.id, "error_code": code_of(error), "attempt": job.attempt}
    log.warning("job.failed", extra=fields, exc_info=not transient(error))
    try:
        await jobs.fail(jobs._pool, job, retry_in, code=code_of(error))
    except LostLease:
        return "lost_lease"
    except Exception as problem:
        if not transient(problem):
            raise
        return "retried"  # the lease runs out by itself
    return "retried" if again else "failed"

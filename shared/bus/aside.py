"""Puts records aside: the dead letter, its inbox marks and the fact that says so, all in one unit of work."""

from __future__ import annotations

from collections.abc import Sequence

from shared.bus.deadletters import Reject
from shared.bus.received import Cause
from shared.bus.seal import Seal
from shared.bus.unit import Unit, inbox_mark
from shared.contracts.names import DEFAULT_TENANT
from shared.contracts.scan import EventDeadLettered
from shared.contracts.topics import BY_NAME, group_of
from shared.observe.names import counter

_PUT = """insert into dead_letter (id, group_name, topic, partition, "offset", key_mark, shown_key, event_id, record, sealed, size,
        error_code, why, attempts, parks, trace, tenant)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::bigint[], $6::bytea[], $7::text[], $8::text[], $9::bytea[],
        $10::boolean[], $11::int[], $12::text[], $13::text[], $14::int[], $15::boolean[], $16::text[], $17::text[])
    on conflict (id) do update set error_code = excluded.error_code, why = excluded.why, parks = excluded.parks, state = 'open',
        attempts = greatest(dead_letter.attempts, excluded.attempts), changed_at = now()
    returning id"""
_MARK = "insert into inbox (mark, topic) select * from unnest($1::bytea[], $2::text[]) on conflict do nothing returning mark"


async def put_aside(work: Unit, rejects: Sequence[Reject], *, service: str, seal: Seal) -> None:
    """Write the rejects, their inbox marks and one `event.dead_lettered` each into this unit of work.

    A record that comes again because its offset was lost was put aside before, and may have been dropped since: it is left alone.
    """
    rejects = await _first_time(work, rejects)
    if not rejects:
        return
    rows = list({reject.id: _row(reject, service, seal) for reject in rejects}.values())
    await work.connection.execute(_PUT, *map(list, zip(*rows, strict=True)))
    await work.connection.execute(
        _MARK, [inbox_mark(reject.topic, reject.event_id) for reject in rejects], [reject.topic for reject in rejects]
    )
    for reject in rejects:
        counter("pursight_dead_letters", reject.topic, group_of(service, reject.topic), reject.code).inc()
        if reject.topic != "event.dead_lettered":
            _announce(work, reject, service)


async def _first_time(work: Unit, rejects: Sequence[Reject]) -> list[Reject]:
    """Those that were not put aside at this attempt before, by marks of their own: an event's id may have come with other bytes."""
    marks = {inbox_mark(reject.topic, f"{reject.id}#{reject.attempts}"): reject for reject in rejects}
    rows = await work.connection.fetch(_MARK, list(marks), [reject.topic for reject in marks.values()])
    return [marks[row["mark"]] for row in rows]


def _clean(text: str) -> str:
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _row(reject: Reject, service: str, seal: Seal) -> tuple[object, ...]:
    topic = BY_NAME[reject.topic]
    packed = reject.raw.pack()
    return (
        reject.id,
        group_of(service, reject.topic),
        reject.topic,
        reject.partition,
        reject.offset,
        reject.key_mark,
        "" if topic.request else _clean((reject.raw.key or b"").decode("utf-8", "replace")),
        _clean(reject.event_id),
        seal.close(packed, place=reject.id) if topic.request else packed,
        topic.request,
        len(reject.raw.body or b""),
        reject.code,
        _clean(reject.why),
        reject.attempts,
        reject.parks,
        _clean(reject.traceparent),
        _clean(reject.tenant),
    )


def _announce(work: Unit, reject: Reject, service: str) -> None:
    request = BY_NAME[reject.topic].request
    key = "" if request else _clean((reject.raw.key or b"").decode("utf-8", "replace"))
    fact = EventDeadLettered(
        service=service,
        dead_letter=reject.id,
        topic=reject.topic,
        error_code=reject.code,
        attempts=reject.attempts,
        asset=key,
        scan_id=reject.scan_id,
    )
    parts = key.split("/")
    about = "/".join(parts[:2]) if len(parts) > 1 else f"{reject.tenant or DEFAULT_TENANT}/{service}"
    cause = Cause(f"{reject.id}#{reject.attempts}", reject.traceparent, reject.tenant or DEFAULT_TENANT)
    work.emit(fact, key=about, cause=cause)

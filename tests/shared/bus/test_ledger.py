"""What an operator does with dead letters is in the ledger."""

from __future__ import annotations

from typing import Any

import orjson

from shared.bus.aside import put_aside
from shared.bus.deadletters import DeadLetters, Raw, Reject
from shared.bus.seal import Seal
from shared.bus.unit import unit


async def test_who_replays_and_who_drops_is_told(rig: Any) -> None:
    """For each record, in its tenant, together with the deed; of what is not there, nothing is told. No byte of the record is in it."""
    pool = await rig.pool("compliance")
    ids = [f"pursight.compliance.asset.classified/0/{rig.key(name)}" for name in "ab"]
    raw = Raw(b"acme/crm/a", (), b"body-canary")
    rejects = [
        Reject(id, "asset.classified", 0, number, raw, f"{id}-event", tenant, "", "bad_json", "no json")
        for number, (id, tenant) in enumerate(zip(ids, ("acme", ""), strict=True))
    ]
    async with unit(pool, service="compliance") as work:
        await put_aside(work, rejects, service="compliance", seal=Seal.load())
    letters = DeadLetters(pool, "compliance", actor="operator:jo")
    assert await letters.replay(ids) == 2
    assert await letters.drop([*ids, "nowhere"]) == 2
    assert await letters.drop(ids) == 0
    await letters.resolved(ids)
    rows = await pool.fetch("select key, body from outbox where topic = 'audit.recorded' order by id")
    assert b"canary" not in b"".join(row["body"] for row in rows)
    told = [orjson.loads(row["body"]) for row in rows]
    assert {each["actor"] for each in told} == {"operator:jo"}
    assert sorted((each["tenant"], each["action"], each["object"]) for each in told) == sorted(
        (tenant, action, id) for action in ("dlq.replay", "dlq.drop") for id, tenant in zip(ids, ("acme", "default"), strict=True)
    )

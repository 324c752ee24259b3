"""The audit ledger's chain: each entry's hash covers the one before, so an edit or a gap shows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

from shared.contracts.audit import AuditRecorded

GENESIS = "0" * 64


class Entry(NamedTuple):
    """One line of a tenant's ledger. `number` starts at 1 and has no gap; `at` is ISO 8601."""

    number: int
    at: str
    event_id: str
    body: AuditRecorded
    hash: str


def chain(previous: str, number: int, at: str, event_id: str, body: AuditRecorded) -> str:
    """sha256 over the previous hash and the entry in canonical JSON (sorted keys, no spaces)."""
    content = json.dumps([previous, number, at, event_id, body.model_dump()], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(content.encode()).hexdigest()


def first_fault(entries: Iterable[Entry]) -> int | None:
    """The number of the first entry that does not fit its predecessor; None where the ledger is whole."""
    previous, expected = GENESIS, 1
    for entry in entries:
        if entry.number != expected or entry.hash != chain(previous, entry.number, entry.at, entry.event_id, entry.body):
            return expected
        previous, expected = entry.hash, expected + 1
    return None

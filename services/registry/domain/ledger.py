"""The audit ledger's chain: each entry's hash covers the one before, so an edit, a gap or another order shows.

Whoever may write to the database can cut off the end, or make the whole chain anew. So the newest number and hash are also said as an event
(`audit.anchored`): the anchor. An end that was cut off behind it shows, and so does a chain made anew.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

from shared.contracts.audit import AuditAnchored, AuditRecorded

GENESIS = "0" * 64
CSV_FIELDS = ("number", "at", "tenant", "actor", "action", "object", "result", "detail", "service", "trace_id", "event_id", "hash")


class Entry(NamedTuple):
    """One line of a tenant's ledger. `number` starts at 1 and has no gap; `at` is ISO 8601."""

    number: int
    at: str
    event_id: str
    body: AuditRecorded
    hash: str
    trace_id: str = ""

    def document(self) -> dict[str, Any]:
        """As it is exported: everything that its hash covers."""
        own = {"number": self.number, "at": self.at, "event_id": self.event_id, "trace_id": self.trace_id, "hash": self.hash}
        return own | self.body.model_dump()

    @classmethod
    def read(cls, document: dict[str, Any]) -> Entry:
        """The inverse of `document`. Raises KeyError, ValueError where it is none."""
        body = AuditRecorded.model_validate(document)
        return cls(document["number"], document["at"], document["event_id"], body, document["hash"], document["trace_id"])


def storable(body: AuditRecorded) -> AuditRecorded:
    """The entry as PostgreSQL's JSON can hold it: without null characters, so that nobody stays off the ledger by one in a name."""
    return AuditRecorded.model_validate({name: text.replace("\x00", "\ufffd") for name, text in body.model_dump().items()})


def chain(previous: str, number: int, at: str, event_id: str, body: AuditRecorded, trace_id: str = "") -> str:
    """sha256 over the previous hash and the entry in canonical JSON (sorted keys, no spaces)."""
    covered = [previous, number, at, event_id, body.model_dump(), *([trace_id] if trace_id else [])]
    content = json.dumps(covered, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(slots=True)
class Verdict:
    """What is known of a chain after all entries that were `looked` at, in their order. `fault` is the first number that does not fit."""

    entries: int = 0
    fault: int | None = None
    why: str = ""
    head: str = GENESIS

    def look(self, entries: Iterable[Entry], anchor: AuditAnchored | None = None) -> None:
        """Go on with these. Nothing is looked at behind the first fault."""
        for entry in entries:
            if self.fault is not None:
                return
            self._next(entry, anchor)

    def _next(self, entry: Entry, anchor: AuditAnchored | None) -> None:
        expected = self.entries + 1
        if entry.number != expected:
            return self._stop(expected, "is not there, or not in its place")
        if entry.hash != chain(self.head, entry.number, entry.at, entry.event_id, entry.body, entry.trace_id):
            return self._stop(expected, "is not as it was written, or the one before it is not")
        if anchor and anchor.number == expected and anchor.hash != entry.hash:
            return self._stop(expected, "is not what was anchored: the chain was made anew")
        self.entries, self.head = expected, entry.hash

    def end(self, anchor: AuditAnchored | None) -> None:
        """There are no more entries."""
        if self.fault is None and anchor and anchor.number > self.entries:
            self._stop(self.entries + 1, f"was cut off: {anchor.number} were anchored")

    def _stop(self, number: int, why: str) -> None:
        self.fault, self.why = number, why


def first_fault(entries: Iterable[Entry]) -> int | None:
    """The number of the first entry that does not fit its predecessor; None where the chain is whole."""
    verdict = Verdict()
    verdict.look(entries)
    return verdict.fault


def csv_rows(entries: Iterable[Entry], *, head: bool) -> str:
    """Entries as lines of a table, for a spreadsheet: no cell is taken for a formula."""
    text = io.StringIO()
    rows = csv.writer(text)
    if head:
        rows.writerow(CSV_FIELDS)
    for entry in entries:
        document = entry.document()
        rows.writerow([_harmless(document[name]) for name in CSV_FIELDS])
    return text.getvalue()


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value

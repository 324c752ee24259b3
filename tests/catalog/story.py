"""A small scan as events: what a test says, in the words of the contracts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.bus.received import Received
from shared.contracts.asset import AssetClassified, AssetRemoved, Column, ColumnVerdict, Constraint, Index, Reason, SchemaDiscovered
from shared.contracts.base import Contract
from shared.contracts.compliance import ComplianceEvaluated, ControlResult, ViolationOpened, ViolationResolved
from shared.contracts.connection import SourceConnected
from shared.contracts.examples import BY_EVENT as EXAMPLE
from shared.contracts.examples import SPEC
from shared.contracts.names import AssetName
from shared.contracts.rules import PolicyControl, PolicyPublished
from shared.contracts.scan import ScanCompleted
from shared.contracts.source import SourceRegistered
from shared.contracts.tags import Tag, TagsDerived
from shared.contracts.topics import BY_EVENT

START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SOURCE = "acme/crm"
CONTROL = "gdpr:Art. 32"


def key_of(table: str) -> str:
    return AssetName("acme", "crm", "shop", "public", table).key


def heard(event: Contract, key: str, *, second: float = 0.0, id: str = "", cause: str = "", trace: str = TRACE) -> Received[Any]:
    """`event` as the bus hands it over."""
    topic = BY_EVENT[type(event)].name
    at = START + timedelta(seconds=second)
    return Received(event, id or f"{topic}:{key}:{second}", key, topic, 0, 0, at, "acme", cause, f"00-{trace}-00f067aa0ba902b7-01")


def tombstone(event: type[Contract], key: str, *, second: float = 0.0) -> Received[Any]:
    topic, at = BY_EVENT[event].name, START + timedelta(seconds=second)
    nothing: Any = None
    return Received(nothing, f"tombstone:{key}:{second}", key, topic, 0, 0, at, "acme", "", "", tombstone=True)


def registered() -> Received[Any]:
    return heard(EXAMPLE[SourceRegistered], SOURCE)


def connected(second: float = 1.0) -> Received[Any]:
    return heard(EXAMPLE[SourceConnected], SOURCE, second=second, cause=registered().id)


def discovered(
    table: str, columns: Iterable[str], *, sequence: int = 1, scan: str = "scan-1", second: float = 2.0, target: str = ""
) -> Received[Any]:
    keys = (Constraint(name="fk", kind="foreign_key", columns=("id",), target=key_of(target)),) if target else ()
    event = SchemaDiscovered(
        asset=key_of(table),
        source=SOURCE,
        sequence=sequence,
        scan_id=scan,
        database="shop",
        schema_name="public",
        table=table,
        columns=tuple(Column(name=name, position=place, type="text", indexed=place == 1) for place, name in enumerate(columns, 1)),
        constraints=keys,
        indexes=(Index(name=f"of {table}", columns=tuple(columns)[:1], predicate="(x = ?)"),),
        fingerprint="f",
        spec=SPEC,
    )
    return heard(event, event.asset, second=second, cause=connected().id)


def classified(table: str, classes: dict[str, str], *, sequence: int = 1, scan: str = "scan-1", second: float = 3.0) -> Received[Any]:
    verdicts = tuple(_verdict(name, label) for name, label in classes.items())
    event = AssetClassified(
        asset=key_of(table),
        source=SOURCE,
        sequence=sequence,
        based_on=1,
        scan_id=scan,
        database="shop",
        schema_name="public",
        table=table,
        columns=verdicts,
        spec=SPEC,
    )
    return heard(event, event.asset, second=second, cause=discovered(table, ()).id)


def _verdict(name: str, label: str) -> ColumnVerdict:
    why = (Reason(rule="evidence:email", text="198 of 200 values match", weight=1.0),)
    known = {"category": "contact", "sensitivity": "confidential", "confidence": 0.9, "tier": "rules", "state": "classified"}
    return ColumnVerdict(name=name, class_name=label, reasons=why, **known)


def evaluated(
    table: str, result: Any = "fail", *, sequence: int = 1, scan: str = "scan-1", second: float = 4.0, missing: Any = ()
) -> Received[Any]:
    control = ControlResult(
        control=CONTROL,
        framework="GDPR",
        result=result,
        severity="high",
        violation=f"{table}|{CONTROL}",
        message="Storage is not encrypted",
        columns=("email",),
        reads=("posture.encrypted_at_rest",),
    )
    event = ComplianceEvaluated(
        asset=key_of(table),
        source=SOURCE,
        sequence=sequence,
        based_on=1,
        scan_id=scan,
        database="shop",
        schema_name="public",
        table=table,
        controls=(control,),
        facts={"posture.encrypted_at_rest": "false"},
        missing=missing,
        risk=60,
        spec=SPEC,
    )
    return heard(event, event.asset, second=second, cause=classified(table, {}).id)


def opened(table: str, *, second: float = 4.1) -> Received[Any]:
    event = ViolationOpened(
        violation=f"{table}|{CONTROL}",
        asset=key_of(table),
        source=SOURCE,
        scan_id="scan-1",
        control=CONTROL,
        framework="GDPR",
        title="Personal data is encrypted",
        severity="high",
        message="Storage is not encrypted",
        remedy="Run `encrypt`.",
        columns=("email",),
    )
    return heard(event, event.asset, second=second)


def resolved(table: str, *, second: float = 9.0) -> Received[Any]:
    event = ViolationResolved(violation=f"{table}|{CONTROL}", asset=key_of(table), source=SOURCE, control=CONTROL)
    return heard(event, event.asset, second=second)


def tagged(table: str, value: str = "PII", *, sequence: int = 1, scan: str = "scan-1", second: float = 5.0) -> Received[Any]:
    target = "acme/asset:" + key_of(table).removeprefix("acme/")
    tag = Tag(key="DataClassification", value=value, origin="compliance.evaluated")
    event = TagsDerived(target=target, source=SOURCE, asset=key_of(table), sequence=sequence, scan_id=scan, tags=(tag,), digest="d")
    return heard(event, target, second=second)


def removed(table: str, *, sequence: int = 2, second: float = 8.0) -> Received[Any]:
    event = AssetRemoved(asset=key_of(table), source=SOURCE, sequence=sequence, scan_id="scan-2")
    return heard(event, event.asset, second=second)


def completed(changed: int, *, scan: str = "scan-1", second: float = 2.5, removed: int = 0) -> Received[Any]:
    event = ScanCompleted(
        source=SOURCE,
        scan_id=scan,
        complete=True,
        tables=changed,
        columns=2,
        changed=changed,
        removed=removed,
        seconds=1.0,
        digest="d",
        trace_id=TRACE,
    )
    return heard(event, SOURCE, second=second, cause=connected().id)


def line(table: str, columns: dict[str, str], **more: Any) -> list[Received[Any]]:
    """One table from discovery to its tags."""
    return [discovered(table, columns, **more), classified(table, columns), evaluated(table), opened(table), tagged(table)]


def policy() -> Received[Any]:
    """The pack that the control belongs to: its title and its remedy."""
    text = PolicyControl(control=CONTROL, title="Personal data is encrypted", severity="high", remedy="Run `encrypt`.")
    event = PolicyPublished(name="gdpr", version="1", digest="d", framework="GDPR", controls=(CONTROL,), texts=(text,))
    return heard(event, "gdpr", second=-1)


def scan() -> list[Received[Any]]:
    """A source with two tables, through the whole line."""
    customers = line("customers", {"id": "none", "email": "email"})
    orders = line("orders", {"id": "none", "contact_mail": "email"}, target="customers")
    return [policy(), registered(), connected(), *customers, *orders, completed(2)]

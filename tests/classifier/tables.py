"""Makers of tables, columns and evidence for the classifier's tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from shared.bus.received import Received
from shared.contracts.asset import Column, ColumnEvidence, Lengths, Match, SchemaDiscovered
from shared.contracts.base import Contract
from shared.contracts.names import AssetName
from shared.contracts.source import DataSource
from shared.contracts.topics import BY_EVENT

SPEC = DataSource(name="crm", tenant="acme", database="shop")


def column(text: str, evidence: ColumnEvidence | None = None, **more: Any) -> Column:
    """`name:type`, text where no type is given."""
    name, _, type = text.partition(":")
    return Column(name=name, position=1, type=type or "text", evidence=evidence, **more)


def seen(
    sampled: int = 200, *, mean: float | None = None, distinct: int | None = None, free_text: bool = False, **hits: Any
) -> ColumnEvidence:
    """Evidence: detector=matched, or detector=(matched, checked, valid)."""
    matches = [
        Match(detector=name, matched=hit[0], checked=hit[1], valid=hit[2]) if isinstance(hit, tuple) else Match(detector=name, matched=hit)
        for name, hit in hits.items()
    ]
    return ColumnEvidence(
        sampled=sampled,
        distinct=sampled if distinct is None else distinct,
        matches=tuple(matches),
        lengths=None if mean is None else Lengths(min=0, max=int(mean * 2) + 1, mean=mean),
        free_text=free_text,
    )


def table(
    name: str, columns: Sequence[Column | str], *, schema: str = "public", sequence: int = 1, source: str = "crm"
) -> SchemaDiscovered:
    """A table of source `source` of tenant acme."""
    made = [column(item) if isinstance(item, str) else item for item in columns]
    placed = tuple(item.model_copy(update={"position": place}) for place, item in enumerate(made, 1))
    asset = AssetName("acme", source, "shop", schema, name)
    return SchemaDiscovered(
        asset=asset.key,
        source=asset.source_key,
        sequence=sequence,
        scan_id="scan-1",
        database="shop",
        schema_name=schema,
        table=name,
        columns=placed,
        fingerprint="f",
        spec=SPEC,
    )


_offsets = iter(range(1_000_000))


def received(event: Contract, *, key: str, tombstone: bool = False, time: datetime | None = None) -> Received[Any]:
    """A delivery of its own of this event; of a tombstone, `event` only tells the topic."""
    offset = next(_offsets)
    return Received(
        event=None if tombstone else event,
        id=f"id-{offset}",
        key=key,
        topic=BY_EVENT[type(event)].name,
        partition=0,
        offset=offset,
        time=time or datetime(2026, 1, 1, tzinfo=UTC),
        tenant="acme",
        causation_id="",
        traceparent="",
        tombstone=tombstone,
    )

"""From verdicts to the event that says them, cut to the size that the bus carries."""

from __future__ import annotations

from collections.abc import Sequence

from shared.contracts.asset import AssetClassified, ColumnVerdict, Identifying, SchemaDiscovered
from shared.contracts.topics import MAX_EVENT_BYTES

_ROOM = 64 * 1024  # headers and framing
_PER_COLUMN, _PER_REASON = 400, 220  # bytes, a generous guess: only what may be too large is measured


def classified_from(
    table: SchemaDiscovered, verdicts: Sequence[ColumnVerdict], together: tuple[Identifying, ...], *, sequence: int, ruleset: str
) -> AssetClassified:
    """The event for one table. `sequence` is the classifier's own; facts that compliance needs travel along."""
    return AssetClassified.model_construct(
        asset=table.asset,
        source=table.source,
        sequence=sequence,
        based_on=table.sequence,
        scan_id=table.scan_id,
        database=table.database,
        schema_name=table.schema_name,
        table=table.table,
        kind=table.kind,
        owner=table.owner,
        rows_estimated=table.rows_estimated,
        comment=table.comment,
        row_security=table.row_security,
        sampling=table.sampling,
        columns=tuple(verdicts),
        identifying_together=tuple(dict.fromkeys(name for one in together for name in one.columns)),
        combinations=together,
        ruleset=ruleset,
        truncated=table.truncated,
        spec=table.spec,
        posture=table.posture,
    )


def fitted(event: AssetClassified, *, limit: int = MAX_EVENT_BYTES - _ROOM) -> AssetClassified:
    """The event in at most `limit` bytes. Cut in this order: all but the first reason, all reasons, comment, `also`; marked `truncated`."""
    if _guess(event) <= limit or len(event.to_json()) <= limit:
        return event
    for keep in (1, 0):
        event = event.model_copy(update={"columns": tuple(_cut(column, keep) for column in event.columns), "truncated": True})
        if len(event.to_json()) <= limit:
            return event
    columns = tuple(column.model_copy(update={"also": (), "type": column.type[:64]}) for column in event.columns)
    return event.model_copy(update={"columns": columns, "comment": "", "identifying_together": (), "combinations": ()})


def _guess(event: AssetClassified) -> int:
    reasons = sum(len(column.reasons) for column in event.columns)
    names = sum(len(column.name) + len(column.type) for column in event.columns)
    return 16_384 + 4 * len(event.comment) + 6 * names + _PER_COLUMN * len(event.columns) + _PER_REASON * reasons


def _cut(column: ColumnVerdict, keep: int) -> ColumnVerdict:
    return column.model_copy(update={"reasons": column.reasons[:keep]}) if len(column.reasons) > keep else column

"""One upsert statement per kind of row, built once from the row's own fields. Rows travel as one array per column."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.catalog.domain import rows

_COLUMN_TYPES: dict[str, str] = {
    **dict.fromkeys(("sequence", "rows_estimated"), "bigint"),
    **dict.fromkeys(("column_count", "review_count", "risk"), "integer"),
    "removed": "boolean",
    **dict.fromkeys(("at", "first_at", "completed_at", "failed_at", "opened_at", "resolved_at", "waived_at"), "timestamptz"),
    **dict.fromkeys(("discovered_at", "classified_at", "judged_at", "tagged_at"), "timestamptz"),
}
_JSON = frozenset({"class_counts", "results", "waiver", "failure"})
_ARRAYS = frozenset({"classes", "regulations", "frameworks", "failing", "waived", "undeclared", "columns", "target_columns"})

NEWER = "t.sequence < excluded.sequence"
NEWER_OR_REMOVED = "t.sequence < excluded.sequence OR (t.sequence = excluded.sequence AND excluded.removed)"


@dataclass(frozen=True, slots=True)
class Upsert:
    """How rows of one kind meet the rows that are there. `key`: what identifies one; `merge` overrides how a column is
    set. `json_document`: the document is small and looked into by SQL; all others are text, read whole."""

    table: str
    key: tuple[str, ...]
    when: str = ""
    merge: tuple[tuple[str, str], ...] = ()
    json_document: bool = False

    def sql(self, fields: Sequence[str]) -> str:
        """INSERT … ON CONFLICT over one array per field, returning the keys that were written."""
        arrays = ", ".join(f"${number}::{_wire_type(name)}[]" for number, name in enumerate(fields, 1))
        values = ", ".join(map(self._value, fields))
        names = ", ".join(fields)
        return (
            f"INSERT INTO {self.table} AS t ({names}) SELECT {values} FROM unnest({arrays}) AS u({names}) "
            f"ON CONFLICT ({', '.join(self.key)}) {self._action(fields)} RETURNING t.{self.key[0]}"
        )

    def _value(self, name: str) -> str:
        json = name in _JSON or (name == "doc" and self.json_document)
        cast = "jsonb" if json else "text[]" if name in _ARRAYS else "tsvector" if name == "words" else ""
        return f"u.{name}::{cast}" if cast else f"u.{name}"

    def _action(self, fields: Sequence[str]) -> str:
        merges = dict(self.merge)
        changed = [name for name in fields if name not in self.key]
        if not changed or self.when == "never":
            return "DO NOTHING"
        sets = ", ".join(f"{name} = {merges.get(name, f'excluded.{name}')}" for name in changed)
        return f"DO UPDATE SET {sets}" + (f" WHERE {self.when}" if self.when else "")


def _wire_type(name: str) -> str:
    return _COLUMN_TYPES.get(name, "text")


def _latest(name: str) -> tuple[str, str]:
    return (name, f"greatest(t.{name}, excluded.{name})")


_FIRST = ("first_at", "least(t.first_at, excluded.first_at)")

UPSERTS: dict[type[rows.Row], Upsert] = {
    rows.Fact: Upsert("fact", ("kind", "key"), NEWER, json_document=True),
    rows.Asset: Upsert("asset", ("asset",), NEWER_OR_REMOVED),
    rows.Verdict: Upsert("verdict", ("asset",), NEWER),
    rows.Judgement: Upsert("judgement", ("asset",), NEWER),
    rows.TagSet: Upsert("tag_set", ("target",), NEWER),
    rows.Failing: Upsert("violation", ("violation",), "t.sequence IS NULL OR t.sequence < excluded.sequence"),
    rows.Opened: Upsert("violation", ("violation",), "t.opened_at IS NULL OR t.opened_at < excluded.opened_at"),
    rows.Resolved: Upsert("violation", ("violation",), merge=(_latest("resolved_at"),)),
    rows.Waived: Upsert("violation", ("violation",), "t.waived_at IS NULL OR t.waived_at < excluded.waived_at"),
    rows.ScanSeen: Upsert("scan", ("scan_id",), "t.first_at > excluded.first_at", (_FIRST,)),
    rows.ScanEnd: Upsert("scan", ("scan_id",), merge=(_FIRST,), json_document=True),
    rows.ScanFailure: Upsert("scan", ("scan_id",), merge=(_FIRST,)),
    rows.Discovered: Upsert("step", ("scan_id", "asset"), "t.sequence IS NULL OR t.sequence < excluded.sequence"),
    rows.Classified: Upsert("step", ("scan_id", "asset"), merge=(_latest("classified_at"),)),
    rows.Judged: Upsert("step", ("scan_id", "asset"), merge=(_latest("judged_at"),)),
    rows.Tagged: Upsert("step", ("scan_id", "asset"), merge=(_latest("tagged_at"),)),
    rows.DeadLetter: Upsert("set_aside", ("dead_letter",), "never"),
    rows.Edge: Upsert("edge", ("asset", "kind", "target", "name"), "never"),
}
STATEMENTS: dict[type[rows.Row], str] = {kind: upsert.sql(kind._fields) for kind, upsert in UPSERTS.items()}


def newest(kind: type[rows.Row], batch: Iterable[rows.Row]) -> list[rows.Row]:
    """One row per key, in the order of the keys: what the store would keep if the rows came one by one.

    The order is the same in every batch, so that two batches that meet on the same rows wait for each other and never deadlock.
    """
    key = UPSERTS[kind].key
    kept: dict[tuple[str, ...], rows.Row] = {}
    for row in batch:
        identity = tuple(getattr(row, name) for name in key)
        before = kept.get(identity)
        kept[identity] = row if before is None else _later(before, row)
    return [kept[identity] for identity in sorted(kept)]


def _later(before: rows.Row, after: rows.Row) -> rows.Row:
    return after if _rank(after) >= _rank(before) else before


def _rank(row: rows.Row) -> tuple[object, ...]:
    """What grows from one row of a key to the next: its sequence, else its time."""
    match row:
        case rows.Asset():
            return (row.sequence, row.removed)
        case rows.Fact() | rows.Verdict() | rows.Judgement() | rows.TagSet() | rows.Discovered() | rows.Failing():
            return (row.sequence,)
        case rows.ScanSeen():
            return (-row.first_at.timestamp(),)
        case rows.Edge() | rows.DeadLetter():
            return ()
        case _:
            return tuple(value for name, value in zip(row._fields, row, strict=True) if name.endswith("_at"))

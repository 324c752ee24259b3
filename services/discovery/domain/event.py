"""One `schema.discovered` from a table's document, its statistics, its evidence and what is the same for the whole scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from services.discovery.domain.document import Document, Place, columns_json
from services.discovery.domain.grade import meet
from shared.contracts.asset import SchemaChange
from shared.contracts.topics import MAX_EVENT_BYTES


@dataclass(frozen=True, slots=True)
class ScanFrame:
    """What each event of a scan repeats. `tail` is source, posture and server as JSON members."""

    place: Place
    source_key: str
    scan_id: str
    tail: bytes


class Statistics(NamedTuple):
    """Sizes as the server estimates them; None where it does not know."""

    rows: int | None
    bytes: int | None
    partitions: int


def frame(place: Place, source_key: str, scan_id: str, *, spec: bytes, posture: bytes, server: bytes) -> ScanFrame:
    """`spec`, `posture` and `server` in their wire form."""
    tail = b'"spec":' + spec + (b',"posture":' + posture if posture != b"{}" else b"") + b',"server":' + server + b"}"
    return ScanFrame(place, source_key, scan_id, tail)


def body(
    scan: ScanFrame,
    found: Document,
    *,
    sequence: int,
    statistics: Statistics,
    change: Sequence[SchemaChange],
    sampling: str,
    evidence: Mapping[int, bytes],
    left_out: str = "",
    most_bytes: int = MAX_EVENT_BYTES,
) -> bytes:
    """The event's wire form, at most `most_bytes`: first the shapes go, then all evidence, then texts, and `truncated` says so."""
    head = _head(scan, found, sequence, statistics)
    last = _last(found, change, sampling, left_out, scan)
    whole = _joined(head, columns_json(found.pieces, evidence), found.constraints, last, scan.tail)
    if len(whole) <= most_bytes:
        return whole
    cut = b'"truncated":true,' + scan.tail
    for fewer in (_without_shapes(evidence), {}):
        whole = _joined(head, columns_json(found.pieces, fewer), found.constraints, last, cut)
        if len(whole) <= most_bytes:
            return whole
    return _joined(_without_texts(head), columns_json(_bare(found.pieces)), b"[]", last, cut)


def _head(scan: ScanFrame, found: Document, sequence: int, statistics: Statistics) -> dict[str, Any]:
    head: dict[str, Any] = {
        "asset": found.key,
        "source": scan.source_key,
        "sequence": sequence,
        "scan_id": scan.scan_id,
        "database": scan.place.database,
        "schema_name": found.schema,
        "table": found.table,
    }
    optional = {"rows_estimated": statistics.rows, "bytes_total": statistics.bytes, "partitions": statistics.partitions or None}
    head |= {name: value for name, value in optional.items() if value is not None}
    if found.kind != "table":
        head["kind"] = found.kind
    return head | dict(found.fixed)


def _last(found: Document, change: Sequence[SchemaChange], sampling: str, left_out: str, scan: ScanFrame) -> dict[str, Any]:
    last: dict[str, Any] = {"fingerprint": found.fingerprint, "change": [each.model_dump(exclude_defaults=True) for each in change]}
    if (graded := meet(each.compatibility for each in change)) != "full":
        last["compatibility"] = graded
    if sampling != "none":
        last["sampling"] = sampling
    if left_out:
        last["left_out"] = left_out
    last["aliases"] = [scan.place.alias(found.schema, found.table)]
    return last


def _joined(head: dict[str, Any], columns: bytes, constraints: bytes, last: dict[str, Any], tail: bytes) -> bytes:
    lists = b"".join(name + text for name, text in ((b',"columns":', columns), (b',"constraints":', constraints)) if text != b"[]")
    return orjson.dumps(head)[:-1] + lists + b"," + orjson.dumps(last)[1:-1] + b"," + tail


def _without_shapes(evidence: Mapping[int, bytes]) -> dict[int, bytes]:
    return {
        at: orjson.dumps({name: part for name, part in orjson.loads(text).items() if name != "shapes"}) for at, text in evidence.items()
    }


def _without_texts(head: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in head.items() if name not in ("view_definition", "comment", "depends_on", "indexes")}


def _bare(pieces: Sequence[str]) -> list[str]:
    kept = ("name", "position", "type", "nullable", "primary_key", "unique", "indexed")
    columns = (orjson.loads(piece + "}") for piece in pieces)
    return [orjson.dumps({name: column[name] for name in kept if name in column}).decode()[:-1] for column in columns]

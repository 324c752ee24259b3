"""What discovery makes of a recording: `python -m services.discovery.replay NOW [BEFORE]`, one JSON line for each table.

Without BEFORE each table is new; with it, what a scan would say of the change from one to the other.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from services.discovery.domain import drift, event
from services.discovery.domain.document import Place, document, outline
from services.discovery.recording import read
from shared.contracts.asset import SchemaChange
from shared.errors import PurSightError
from shared.sources.base import TableFacts

_PLACE = Place("default", "recorded", "recorded", "recorded://")
_FRAME = event.frame(_PLACE, "default/recorded", "replay", spec=b"{}", posture=b"{}", server=b"{}")


def said(now: Sequence[TableFacts], before: Sequence[TableFacts] | None = None) -> Iterator[dict[str, Any]]:
    """Bodies of `schema.discovered`, and what an `asset.removed` would be about; nothing of tables that are the same."""
    known = {_name(facts): facts for facts in before or ()}
    for facts in now:
        if change := _change(facts, known.pop(_name(facts), None)):
            yield _body(facts, change)
    yield from ({"removed": _PLACE.key(*name)} for name in sorted(known))


def _change(facts: TableFacts, before: TableFacts | None) -> tuple[SchemaChange, ...]:
    if before is None:
        return drift.CREATED
    return drift.between(outline(before.mark.kind, before), outline(facts.mark.kind, facts), facts)


def _body(facts: TableFacts, change: Sequence[SchemaChange]) -> dict[str, Any]:
    mark = facts.mark
    found = document(_PLACE, mark.schema, mark.table, mark.kind, facts)
    statistics, nothing = event.Statistics(mark.rows, mark.bytes, mark.partitions), dict[int, bytes]()
    body = event.body(_FRAME, found, sequence=1, statistics=statistics, change=change, sampling="none", evidence=nothing)
    told: Mapping[str, Any] = orjson.loads(body)
    return {name: each for name, each in told.items() if name not in ("spec", "server", "source", "scan_id", "sequence", "aliases")}


def _name(facts: TableFacts) -> tuple[str, str]:
    return facts.mark.schema, facts.mark.table


def main(paths: Sequence[str]) -> int:
    """Print it; 1 where a file is no recording."""
    try:
        files = [read(Path(path).read_bytes()) for path in paths[:2]]
    except PurSightError as error:
        print(error, file=sys.stderr)
        return 1
    if not files:
        print(__doc__, file=sys.stderr)
        return 2
    for head, _ in files:
        print(orjson.dumps(head).decode(), file=sys.stderr)
    for each in said(*(facts for _, facts in files)):
        print(orjson.dumps(each).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

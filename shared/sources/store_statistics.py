"""What the footers of Parquet files say of columns: shares and counts. The least and greatest values that stand beside them are left there.

CSV and JSON have no footer, so nothing is known of them without reading rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.errors import PurSightError
from shared.sources.base import Estimate
from shared.sources.documents import told
from shared.sources.store_assets import Asset
from shared.sources.store_files import with_parquet
from shared.sources.store_line import Store


@dataclass(slots=True)
class _Counts:
    """Of one column, over all its parts; None where a part does not tell."""

    rows: int = 0
    bytes: int = 0
    nulls: int | None = 0
    distinct: int | None = None
    parts: int = 0


async def estimates(store: Store, asset: Asset) -> Mapping[str, Estimate]:
    """By column name, of the files that are looked at; of a damaged one nothing. Raises Failed where the store itself does not answer."""
    counts: dict[str, _Counts] = {}
    for entry in asset.sample if asset.format == "parquet" else ():
        try:
            await with_parquet(store, entry, lambda file: _add(file, counts))
        except PurSightError as error:
            if error.code not in ("gone", "no_privilege", "unreadable_file", "archived"):
                raise
    return {name: _estimate(each) for name, each in counts.items() if each.rows}


def _add(file: Any, counts: dict[str, _Counts]) -> None:
    """Columns inside lists are left out: what is counted there is items, not rows."""
    about = file.metadata
    columns = [(at, told_) for at in range(about.num_columns) if (told_ := _path(file.schema.column(at)))]
    for group in range(about.num_row_groups):
        for at, name in columns:
            _add_part(about.row_group(group).column(at), counts.setdefault(name, _Counts()))


def _path(column: Any) -> str:
    """In the spelling of `documents`; empty where it is in a list, or is not told as it is."""
    parts = column.path.split(".")
    return column.path if not column.max_repetition_level and all(told(part) == part for part in parts) else ""


def _add_part(part: Any, counts: _Counts) -> None:
    said = part.statistics
    counts.rows += part.num_values
    counts.bytes += part.total_uncompressed_size
    counts.parts += 1
    known = said is not None and said.has_null_count and counts.nulls is not None
    counts.nulls = counts.nulls + said.null_count if known else None
    counts.distinct = said.distinct_count if said is not None and said.has_distinct_count and counts.parts == 1 else None


def _estimate(counts: _Counts) -> Estimate:
    return Estimate(None if counts.nulls is None else counts.nulls / counts.rows, counts.distinct, counts.bytes / counts.rows)

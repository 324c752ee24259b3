"""A framework's report as a table for people who work in spreadsheets."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from io import StringIO
from typing import Any

FIELDS = ("control", "title", "severity", "pass", "fail", "waived", "unknown", "missing", "tables")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_csv(controls: Iterable[Mapping[str, Any]]) -> str:
    """One line per control. A cell that a spreadsheet would take for a formula is quoted: names of tables are not ours."""
    out = StringIO()
    writer = csv.writer(out)
    writer.writerow(FIELDS)
    for control in controls:
        row = {**control, "missing": ", ".join(control["missing"]), "tables": "; ".join(table["asset"] for table in control["tables"])}
        writer.writerow([_safe(str(row[name])) for name in FIELDS])
    return out.getvalue()


def _safe(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell

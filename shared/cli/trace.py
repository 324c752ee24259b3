"""`pursight trace ID`: what happened in a trace, in the order it happened."""

from __future__ import annotations

import re
from typing import Any

from rich.text import Text

from shared.cli.connect import edge
from shared.cli.output import as_json, plain, spoken, stderr, stdout, table
from shared.errors import UsageError

MOST = 20_000  # events in one answer
_ID = re.compile("[0-9a-f]{32}")


def show(trace_id: str, *, json_output: bool) -> None:
    """Print the events of a trace. Raises UsageError where nothing is known of it."""
    if not _ID.fullmatch(trace_id := trace_id.strip().lower()):
        what = f"{spoken(trace_id)} is no trace's id" if trace_id else "the id of the trace is missing"
        raise UsageError(what, remedy="It has 32 hexadecimal digits: `pursight scan` and `pursight scans show` print it.", code="bad_trace")
    with edge() as line:
        found = line.get(f"/traces/{trace_id}", limit=MOST)
    if len(found["events"]) == MOST:
        stderr.print(f"Only the first {MOST:,} events are shown; `pursight show TABLE` and its page tell of one table.", style="dim")
    if json_output:
        return as_json(found)
    events = found["events"]
    table(f"Trace {trace_id}, {events[0]['at'][:10]}", ("when", "who", "said, after", "of what"), (_row(event) for event in events))
    if len(found.get("traces", [])) > 1:
        stdout.print(f"{len(found['traces'])} traces, linked to this one.", style="dim")
    return None


def _row(event: dict[str, Any]) -> tuple[str, str, Text, Text]:
    """Two lines: what was said of what, and after which event."""
    after = (event["after"] or {}).get("type", "")
    said = [plain(event["type"]), Text(f"after {after}", style="dim")] if after else [plain(event["type"])]
    return (
        event["at"][11:23],
        event["service"],
        Text("\n").join(said),
        Text("\n").join((plain(spoken(event["subject"])), plain(event["summary"]))),
    )

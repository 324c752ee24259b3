"""`make bench`: run every benchmark, one after the other, and keep the table in bench/results.md."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PARTS = (
    *("evidence", "classifier", "discovery", "discovery.mariadb", "discovery.beside"),
    *("bus", "tags", "tags.change", "health", "stack", "line"),
)
RESULTS = Path(__file__).with_name("results.md")


def main(chosen: list[str]) -> int:
    """Run the named parts, or all; 1 where one could not be measured. A bar that does not hold is a result, not an error."""
    rows: list[tuple[str, dict[str, Any]]] = []
    failed = []
    for part in chosen or PARTS:
        print(f"bench.{part} …", file=sys.stderr, flush=True)
        done = subprocess.run(
            [sys.executable, "-m", f"bench.{part}" if "." in part else f"bench.{part}.run"], stdout=subprocess.PIPE, text=True, check=False
        )
        documents = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        lines = [document for document in documents if "bar" in document]  # others tell of single runs
        rows += [(part, line) for line in lines]
        failed += [part] if done.returncode or not lines else []
        for line in lines:
            print(_row(part, line), flush=True)
        RESULTS.write_text(_page(rows, failed))
    return 1 if failed else 0


def _row(part: str, line: dict[str, Any]) -> str:
    mark = {True: "yes", False: "**no**"}.get(line.get("holds"), "not measured")
    on = line.get("on") or line.get("environment") or {}
    value = f"{line.get('value', '')} {line.get('unit', '')}".strip()
    against = str(line.get("against", ""))
    return f"| {part} | {line['bar']} | {value} | {line.get('target', '')} | {mark} | {against} | {on.get('load', '')} |"


def _page(rows: list[tuple[str, dict[str, Any]]], failed: list[str]) -> str:
    head = "| part | what | measured | bar | holds | against | load |\n|---|---|---|---|---|---|---|\n"
    table = "\n".join(_row(part, line) for part, line in rows)
    details = "\n".join(json.dumps(line, sort_keys=True) for _, line in rows)
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}"
    gone = f"\nNot measured, because the benchmark failed: {', '.join(failed)}.\n" if failed else ""
    return f"""# Results

{machine}. Written by `make bench`; ratios are measured side by side in one run; `load` is the machine's one-minute load
when the line was printed: above the number of cores, absolute figures are too low. On the bus each side has several runs in turn, of which
the least disturbed one counts (`rounds` has all of them): what else the machine does only ever adds to CPU time.

{head}{table}
{gone}
## Everything that was printed

```json
{details}
```
"""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

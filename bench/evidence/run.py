"""Value evidence: `count_column` against a loop over `re` with the same patterns, and against Presidio.

    python bench/evidence/run.py [--columns 300] [--rounds 5] [--presidio PYTHON]

Counts are compared before any time is told. CPU seconds of this thread, best of interleaved rounds; the load is told, since other work
on the machine makes CPU seconds longer. One JSON line a bar comes out.
`--presidio` names a Python that has presidio-analyzer; it runs there in a process of its own, with a blank English pipeline.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2]))

from make import columns

from shared.evidence.count import count_column
from shared.evidence.detectors import BY_NAME, DETECTORS

LOOP_ROUNDS = 2
Counts = list[dict[str, int]]
_FORMS = [(detector.name, re.compile(detector.pattern.encode()).fullmatch) for detector in DETECTORS if not detector.inside]


def ours(data: list[list[str]]) -> Counts:
    """Everything: patterns, checksums, search inside text, shapes, entropy, lengths, and the contract built."""
    evidence = [count_column(column) for column in data]
    return [{m.detector: m.matched for m in column.matches if not BY_NAME[m.detector].inside} for column in evidence]


def loop(data: list[list[bytes]]) -> Counts:
    """Patterns only, one value after the other: no checksum, no shape."""
    result = []
    for column in data:
        counts: dict[str, int] = {}
        for name, fits in _FORMS:
            if matched := sum(1 for value in column if fits(value)):
                counts[name] = matched
        result.append(counts)
    return result


def seconds(work: object, data: object) -> tuple[float, Counts]:
    """CPU time of one run, and its result."""
    start = time.thread_time()
    result = work(data)  # type: ignore[operator]
    return time.thread_time() - start, result


def presidio(python: str, data: list[list[str]]) -> float:
    """Values a second of Presidio's batch analyzer over the same columns."""
    script = Path(__file__).parent / "presidio_batch.py"
    done = subprocess.run([python, str(script)], input=json.dumps(data), capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    emails = sum(count_column(column).matches != () and _found(column, "email") for column in data)
    if abs(answer["emails"] - emails) > 0.02 * emails:
        raise SystemExit(f"counts differ: Presidio sees {answer['emails']} e-mail addresses, we see {emails}")
    return float(answer["values_per_second"])


def _found(column: list[str], detector: str) -> int:
    return sum(m.matched for m in count_column(column).matches if m.detector in (detector, f"text_{detector}"))


def line(bar: str, value: float | None, unit: str, target: float, **more: object) -> None:
    """One line of JSON a bar; None: not measured."""
    holds = None if value is None else value >= target
    on = {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    print(json.dumps({"bar": bar, "value": value, "unit": unit, "target": target, "holds": holds, **more, "on": on}), flush=True)


def timed(columns_: int, rows: int, rounds: int) -> tuple[float, float, list[list[str]]]:
    """Best CPU seconds of us and of the loop over the same columns, round by round in turn; the counts agreed before."""
    data = columns(columns_, rows)
    raw = [[value.encode() for value in column] for column in data]
    if ours(data) != loop(raw):
        raise SystemExit("counts differ: no time is told")
    fast = slow = 1e9
    for number in range(rounds):
        fast = min(fast, *(seconds(ours, data)[0] for _ in range(3)))
        slow = min(slow, seconds(loop, raw)[0]) if number < LOOP_ROUNDS else slow
    return fast, slow, data


def main() -> None:
    """Make, compare, time, report."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--columns", type=int, default=300)
    options.add_argument("--rows", type=int, default=200)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--presidio", default="")
    chosen = options.parse_args()
    start = time.process_time()
    count_column(["warm", "up 12 times"])
    first = time.process_time() - start
    fast, slow, data = timed(chosen.columns, chosen.rows, chosen.rounds)
    size = chosen.columns * chosen.rows
    checked = sum(detector.validator is not None for detector in DETECTORS)
    about = {"detectors": len(DETECTORS), "with_checksum": checked, "columns": chosen.columns, "rows": chosen.rows}
    line("evidence.values", round(size / fast), "values/s/core", 2_000_000, **about)
    line("evidence.times_re_loop", round(slow / fast, 1), "x", 8, re_loop=round(size / slow))
    if chosen.presidio:
        speed = presidio(chosen.presidio, data[:40])
        line("evidence.times_presidio", round(size / fast / speed), "x", 1000, presidio=round(speed))
    else:
        line("evidence.times_presidio", None, "x", 1000, note="not measured: --presidio names no interpreter")
    line("evidence.starts_per_second", round(1 / first, 1), "1/s", 1 / 1.5, cpu_seconds_to_first_evidence=round(first, 3))
    brief, _, _ = timed(chosen.columns, 75, 1)
    line("evidence.values_of_short_columns", round(chosen.columns * 75 / brief), "values/s/core", 0, rows=75, note="told, no bar")


if __name__ == "__main__":
    main()

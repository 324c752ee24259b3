"""Value evidence: `count_columns` against a loop over `re` with the same patterns, and against Presidio's batch analyzer.

    python -m bench.evidence.run [--columns 300] [--rows 200] [--rounds 5] [--presidio PYTHON]

Counts are compared before any time is told, and again after each timed round. CPU seconds of this thread, best of interleaved rounds;
the load is told, since other work on the machine makes CPU seconds longer. One JSON line a bar comes out.
`--presidio` names a Python that has presidio-analyzer; without it one is made in bench/.work, once.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from bench.bars import say
from bench.evidence.make import columns
from bench.venvs import python_of
from shared.contracts.asset import ColumnEvidence
from shared.evidence.count import count_columns
from shared.evidence.detectors import DETECTORS

LOOP_ROUNDS = 2
SHORT = 50
PRESIDIO_COLUMNS = 40
PRESIDIO = ("presidio-analyzer==2.2.366", "spacy==3.8.18")

Counts = list[dict[str, int]]
T = TypeVar("T")
_FORMS = [(d.name, re.compile(d.pattern.encode()).fullmatch) for d in DETECTORS if not (d.inside or d.least)]


def ours(data: list[list[str]]) -> list[ColumnEvidence]:
    """Everything: patterns, checksums, search inside text, shapes, entropy, lengths, and the contract built."""
    return list(count_columns(data, [0] * len(data)))


def told(evidence: Sequence[ColumnEvidence]) -> Counts:
    """How many whole values each detector of a form matched; lists of words are left out."""
    forms = {name for name, _ in _FORMS}
    return [{m.detector: m.matched for m in column.matches if m.detector in forms} for column in evidence]


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


def seconds(work: Callable[[T], object], data: T) -> tuple[float, object]:
    """CPU time of one run, and its result."""
    start = time.thread_time()
    result = work(data)
    return time.thread_time() - start, result


class Bench:
    """One set of columns; the counts of both ways were compared when it was made."""

    def __init__(self, count: int, rows: int) -> None:
        self.size = count * rows
        self._joined = ["\x1f".join(column) for column in columns(count, rows)]
        self._raw = [[value.encode() for value in column] for column in self.fresh()]
        self._wanted = ours(self.fresh())
        if told(self._wanted) != loop(self._raw):
            raise SystemExit("counts differ: no time is told")

    def fresh(self) -> list[list[str]]:
        """The values as a driver hands them over: texts that were just made, of which no hash is known."""
        return [column.split("\x1f") for column in self._joined]

    def our_seconds(self) -> float:
        """The best of three runs."""
        best = 1e9
        for _ in range(3):
            elapsed, evidence = seconds(ours, self.fresh())
            if evidence != self._wanted:
                raise SystemExit("counts differ from run to run: no time is told")
            best = min(best, elapsed)
        return best

    def loop_seconds(self) -> float:
        return seconds(loop, self._raw)[0]


def presidio(python: Path, data: list[list[str]]) -> float:
    """Values a second of Presidio's batch analyzer over `data`, a blank English pipeline, in a process of its own."""
    script = Path(__file__).parent / "presidio_batch.py"
    done = subprocess.run([python, str(script)], input=json.dumps(data), capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    emails = sum(m.matched for column in ours(data) for m in column.matches if m.detector in ("email", "text_email"))
    if abs(answer["emails"] - emails) > 0.02 * emails:
        raise SystemExit(f"counts differ: Presidio sees {answer['emails']} e-mail addresses, we see {emails}")
    return float(answer["values_per_second"])


def presidio_python() -> Path | None:
    """An environment with Presidio; None where it cannot be had."""
    return python_of("presidio", *PRESIDIO)


def against_presidio(bench: Bench, python: Path | None) -> None:
    """Our slower time, of one before and one after, against Presidio's."""
    bar, target = "value evidence / Presidio's batch analyzer, blank pipeline", ">= 1,000 x"
    if python is None:
        say(bar, None, "x", target, None, note="not measured: presidio-analyzer cannot be installed")
        return
    before = bench.our_seconds()
    speed = presidio(python, bench.fresh()[:PRESIDIO_COLUMNS])
    times = round(bench.size / max(before, bench.our_seconds()) / speed)
    say(bar, times, "x", target, times >= 1_000, presidio_values_per_second=round(speed))


def main() -> None:
    """Make, compare, time, report."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--columns", type=int, default=300)
    options.add_argument("--rows", type=int, default=200)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--presidio", type=Path)
    chosen = options.parse_args()
    first, _ = seconds(ours, [["warm", "up 12 times"]])
    bench = Bench(chosen.columns, chosen.rows)
    fast = slow = 1e9
    for number in range(chosen.rounds):
        fast = min(fast, bench.our_seconds())
        slow = min(slow, bench.loop_seconds()) if number < LOOP_ROUNDS else slow
    short = Bench(chosen.columns, SHORT)
    checked = sum(detector.validator is not None for detector in DETECTORS)
    speed, times = round(bench.size / fast), round(slow / fast, 1)
    say(
        f"value evidence, {len(DETECTORS)} detectors, {checked} with checksum",
        speed,
        "values/s/core",
        ">= 2,000,000",
        speed >= 2_000_000,
        columns=chosen.columns,
        rows=chosen.rows,
        values_per_second_of_short_columns=round(short.size / short.our_seconds()),
        rows_of_short_columns=SHORT,
        cpu_seconds_to_first_evidence=round(first, 3),
    )
    say("value evidence / a loop over re", times, "x", ">= 8 x", times >= 8, loop_values_per_second=round(bench.size / slow))
    against_presidio(bench, chosen.presidio or presidio_python())


if __name__ == "__main__":
    main()

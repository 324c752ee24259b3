"""Columns a second through tiers 1 and 2, on one core: on tables whose columns all went to tier 2, and on the quality set as it is.

    python -m bench.classifier.run [--tables 1500] [--rounds 4]

A new judge each round, so no name is known; 500 tables at once, as the service hears them. CPU seconds of the process, best of all rounds;
labels are compared from round to round before a time is told.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from bench.bars import say
from bench.quality.gold import gold, tables
from services.classifier.domain.tables import Judge
from services.classifier.domain.verdict import Thresholds
from services.classifier.gateway.packs import load_model, load_ruleset
from services.classifier.training.tables import examples
from shared.contracts.asset import SchemaDiscovered

TOGETHER = 500
NOWHERE = Path("/nonexistent")


def renamed(table: SchemaDiscovered) -> SchemaDiscovered:
    """The table with columns called c1 to cn."""
    columns = tuple(column.model_copy(update={"name": f"c{place}"}) for place, column in enumerate(table.columns, 1))
    return table.model_copy(update={"columns": columns})


def judged(found: Sequence[SchemaDiscovered]) -> tuple[float, str, float]:
    """CPU seconds, a digest of the labels, and the share of columns on which tier 2 spoke."""
    judge = Judge(load_ruleset(), Thresholds(), load_model(NOWHERE))
    start = time.process_time()
    verdicts = [verdict for at in range(0, len(found), TOGETHER) for verdict in judge.judge(found[at : at + TOGETHER])]
    elapsed = time.process_time() - start
    columns = [column for verdict in verdicts for column in verdict.columns]
    told = "\n".join(f"{column.class_name} {column.state}" for column in columns)
    return elapsed, sha256(told.encode()).hexdigest()[:16], sum(column.tier == "model" for column in columns) / len(columns)


def measure(what: str, found: Sequence[SchemaDiscovered], rounds: int, bar: bool) -> None:
    """The best of some rounds, told."""
    columns = sum(len(table.columns) for table in found)
    results = [judged(found) for _ in range(rounds)]
    if len({digest for _, digest, _ in results}) > 1:
        raise SystemExit("labels differ from round to round: no time is told")
    speed = round(columns / min(elapsed for elapsed, _, _ in results))
    target, share = ">= 5,000" if bar else "side figure", round(results[0][2], 3)
    say(f"tiers 1 and 2, {what}", speed, "columns/s/core", target, speed >= 5_000 if bar else None, columns=columns, tier_2_share=share)


def main() -> None:
    """Make, judge, compare, tell."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--tables", type=int, default=1_500)
    options.add_argument("--rounds", type=int, default=4)
    chosen = options.parse_args()
    worst = [renamed(example.table) for example in examples(chosen.tables, 77)]
    measure("columns without names", worst, chosen.rounds, bar=True)
    measure("the quality set as it is", tables(gold("schemas")), chosen.rounds, bar=False)


if __name__ == "__main__":
    main()

"""How right the rules are on columns that they were not written for: precision and recall over a hand-made set in five languages.

`python -m tests.classifier.test_evaluation` prints the figures per category and every miss.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from services.classifier.domain.tables import Judge
from services.classifier.domain.verdict import Thresholds
from services.classifier.gateway.packs import load_ruleset
from shared.contracts.asset import Column, ColumnVerdict, SchemaDiscovered
from shared.evidence.count import count_column
from tests.classifier.tables import table

FILE = Path(__file__).with_name("evaluation.yaml")
SAMPLE = 120  # rows that a few given values stand for


class Case(NamedTuple):
    """One column of the set and what came out. `wanted`: classes that are right."""

    table: str
    wanted: tuple[str, ...]
    verdict: ColumnVerdict

    @property
    def right(self) -> bool:
        return self.verdict.class_name in self.wanted


def column_of(line: str) -> tuple[Column, tuple[str, ...]]:
    """A column of the file, with evidence where values are given."""
    few = " ;; " in line
    head, _, sample = line.partition(" ;; " if few else " ; ")
    described, _, wanted = head.partition(" = ")
    name, _, type = described.partition(" ")
    values = [value.strip() for value in sample.split(", ")] if sample else []
    evidence = count_column((values * SAMPLE)[:SAMPLE]) if values else None
    if evidence and not few:
        evidence = evidence.model_copy(update={"distinct": SAMPLE})
    return Column(name=name, position=1, type=type, evidence=evidence), tuple(wanted.split("|"))


def tables_of(text: str) -> Iterator[tuple[SchemaDiscovered, list[tuple[str, ...]]]]:
    for entry in yaml.safe_load(text):
        schema, _, name = entry["table"].partition(".")
        columns, wanted = zip(*(column_of(line) for line in entry["columns"]), strict=True)
        yield table(name, columns, schema=schema), list(wanted)


def cases(judge: Judge) -> list[Case]:
    found = list(tables_of(FILE.read_text("utf-8")))
    verdicts = judge.judge([made for made, _ in found])
    return [
        Case(made.table, wanted, verdict)
        for (made, wants), judged in zip(found, verdicts, strict=True)
        for wanted, verdict in zip(wants, judged.columns, strict=True)
    ]


def precision_recall(found: list[Case]) -> tuple[float, float]:
    """Of the labels given, how many are right; of the columns that hold something, how many were found."""
    given = [case for case in found if case.verdict.class_name != "none"]
    holding = [case for case in found if "none" not in case.wanted]
    return sum(case.right for case in given) / len(given), sum(case.right for case in holding) / len(holding)


def test_the_rules_are_right_on_what_they_were_not_written_for(judge: Judge) -> None:
    """Of the labels given 93 % are right, and 85 % of what is there is found."""
    precision, recall = precision_recall(cases(judge))
    assert precision >= 0.93
    assert recall >= 0.85


def test_the_set_is_large_enough_and_its_names_are_not_the_rules(judge: Judge) -> None:
    """At least 150 columns, of which nine in ten are no words of the lexicon."""
    names = [case.verdict.name for case in cases(judge)]
    assert len(names) >= 150
    assert sum(name in judge.ruleset.lexicon.words for name in names) < 0.1 * len(names)


def main() -> None:
    judge = Judge(load_ruleset(), Thresholds())
    found = cases(judge)
    by_category: dict[str, list[Case]] = {}
    for case in found:
        known = judge.ruleset.taxonomy.get(case.wanted[0])
        by_category.setdefault(known.category if known else "none", []).append(case)
    for category, some in sorted(by_category.items()):
        print(f"{category:14} {len(some):4} columns, right {sum(case.right for case in some):4}")
    precision, recall = precision_recall(found)
    print(f"precision {precision:.3f}  recall {recall:.3f}  columns {len(found)}")
    print(Counter(case.verdict.state for case in found))
    for case in found:
        if not case.right:
            verdict, told = case.verdict, [f"{reason.rule} {reason.weight:+}" for reason in case.verdict.reasons]
            print(case.table, verdict.name, "wanted", *case.wanted, "got", verdict.class_name, verdict.state, verdict.runner_up, told)


if __name__ == "__main__":
    main()

"""`make quality`: how right the shipped rules and model are on the quality set, as it is, with columns renamed, and on empty tables.

Others judge the same values beside them. `python -m bench.quality.run --alone` leaves these out, `--dataprofiler` adds DataProfiler (2 GB),
`--datahub` DataHub's classifier, `--rules` leaves tier 2 out, `--meaning` puts tier 3 in (its weights in .venv/extended or installed),
without examples.
`--misses` prints every wrong answer of `schemas`, with `--renamed` or `--empty` those of that way of looking;
those of `blind` are never shown.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from bench.bars import say
from bench.evidence.run import presidio_python
from bench.quality.beside import DATAHUB, DATAPROFILER, LABELS, answers_of
from bench.quality.figures import Answer, Figures, figures
from bench.quality.gold import Gold, gold, tables
from bench.venvs import python_of
from services.classifier.domain.meaning import Near
from services.classifier.domain.tables import Judge
from services.classifier.domain.verdict import Thresholds
from services.classifier.gateway import sentences
from services.classifier.gateway.packs import load_descriptions, load_model, load_ruleset
from shared.contracts.asset import UNCLASSIFIED, ColumnVerdict

HERE = Path(__file__).parent  # no rules of one's own
PARTS = ("schemas", "blind")
WAYS = {"as they are": (True, True), "renamed c1 to cn": (False, True), "empty tables": (True, False)}
BARS = (("sensitive or not, F1", 0.95), ("exact class, macro F1", 0.85), ("expected calibration error", 0.05))


def verdicts_of(judge: Judge, columns: list[Gold], named: bool, sampled: bool) -> list[ColumnVerdict]:
    """One verdict per column, in the order of the columns."""
    made = tables(columns, named=named, sampled=sampled)
    found = judge.judge(made)
    if asked := sorted({text for table in found for text in table.asked}):
        share = sum(len(table.asked) for table in found) / len(columns)
        print(f"tier 3 is asked for {share:.1%} of {len(columns)} columns", file=sys.stderr)
        found = judge.judge(made, None, [near(judge, asked)] * len(made))
    return [verdict for table in found for verdict in table.columns]


def near(judge: Judge, texts: list[str]) -> dict[str, tuple[Near, ...]]:
    """What each text comes close to, as pgvector would tell it."""
    folder = sentences.installed() or HERE.parents[1] / f".venv/extended/minilm/{sentences.PACKAGE}/model"
    if why := sentences.missing(folder):
        raise SystemExit(f"tier 3 cannot be measured: {why}. Install it: {sentences.REMEDY}")
    read = sentences.Sentences(folder, HERE.parent / ".work")
    told = np.array(read([text for _, text in judge.descriptions]))
    found: dict[str, tuple[Near, ...]] = {}
    for text, vector in zip(texts, np.array(read(texts)), strict=True):
        best: dict[str, float] = {}
        for (name, _), nearness in zip(judge.descriptions, told @ vector, strict=True):
            best[name] = max(best.get(name, -1.0), float(nearness))
        found[text] = tuple(Near(name, best[name], False) for name in sorted(best, key=lambda name: -best[name])[:2])
    return found


def answer(one: Gold, verdict: ColumnVerdict) -> Answer:
    """The confidence of a verdict is that of its class; where none is given, of the best one: what it leaves is for there being none."""
    named = verdict.class_name != UNCLASSIFIED
    return Answer(one.wanted, verdict.class_name, verdict.confidence if named else 1.0 - verdict.confidence)


def sensitive_classes(judge: Judge) -> frozenset[str]:
    return frozenset(name for name, entry in judge.ruleset.taxonomy.items() if entry.category != "organisation")


def measure(judge: Judge) -> dict[tuple[str, str], Figures]:
    """The figures of each part and of both, in each way of looking."""
    sensitive = sensitive_classes(judge)
    found: dict[tuple[str, str], Figures] = {}
    columns = {part: gold(part) for part in PARTS}
    for way, (named, sampled) in WAYS.items():
        every: list[Answer] = []
        for part in PARTS:
            verdicts = verdicts_of(judge, columns[part], named, sampled)
            answers = [answer(one, verdict) for one, verdict in zip(columns[part], verdicts, strict=True)]
            found[way, part] = figures(answers, sensitive)
            every += answers
        found[way, "both"] = figures(every, sensitive)
    return found


def beside(judge: Judge, arguments: list[str]) -> dict[tuple[str, str], Figures]:
    """Others' figures on the same values; only DataHub's classifier looks at names of columns, too. Without those that cannot be
    installed."""
    presidio, datahub = (
        {theirs: name for name, several in judge.ruleset.elsewhere[whose].items() for theirs in several}
        for whose in ("presidio", "datahub")
    )
    others = [("Presidio", presidio_python(), "presidio_labels.py", presidio)]
    if "--datahub" in arguments:
        others.append(("DataHub", python_of("datahub", *DATAHUB), "datahub_labels.py", datahub))
    if "--dataprofiler" in arguments:
        others.append(("DataProfiler", python_of("dataprofiler", *DATAPROFILER), "dataprofiler_labels.py", LABELS))
    found: dict[tuple[str, str], Figures] = {}
    for name, python, script, ours in others:
        if python is not None:
            answers = {part: answers_of(python, script, gold(part), ours, named=name == "DataHub") for part in PARTS}
            answers["both"] = [answer for part in PARTS for answer in answers[part]]
            found |= {(name, part): figures(some, sensitive_classes(judge)) for part, some in answers.items()}
    return found


def show(found: dict[tuple[str, str], Figures]) -> None:
    print(f"{'':18} {'part':8} {'columns':>7} {'sensitive F1':>13} {'macro F1':>9} {'ECE':>6} {'ECE of labels':>14}")
    for (way, part), made in found.items():
        row = f"{made.sensitive_f1:13.3f} {made.macro_f1:9.3f} {made.calibration:6.3f} {made.calibration_given:14.3f}"
        print(f"{way:18} {part:8} {made.columns:7} {row}")


def show_misses(judge: Judge, named: bool, sampled: bool) -> None:
    columns = gold("schemas")
    for one, verdict in zip(columns, verdicts_of(judge, columns, named, sampled), strict=True):
        if verdict.class_name not in one.wanted:
            told = "; ".join(f"{reason.rule} {reason.weight:+.1f}" for reason in verdict.reasons)
            name = f"{one.table}.{one.column.name}"
            print(f"{name:45} {'|'.join(one.wanted):28} {verdict.class_name:18} {verdict.runner_up:18} {verdict.confidence:.2f} {told}")


def main(arguments: list[str]) -> int:
    ruleset = load_ruleset()
    descriptions = load_descriptions(ruleset) if "--meaning" in arguments else ()
    judge = Judge(ruleset, Thresholds(), None if "--rules" in arguments else load_model(HERE), descriptions)
    if "--misses" in arguments:
        show_misses(judge, "--renamed" not in arguments, "--empty" not in arguments)
    found = measure(judge)
    if "--alone" not in arguments:
        found |= beside(judge, arguments)
    show(found)
    both = found["as they are", "both"]
    values = (both.sensitive_f1, both.macro_f1, both.calibration)
    for (bar, target), value in zip(BARS, values, strict=True):
        least = "calibration" not in bar
        say(bar, round(value, 3), "", f"{'>=' if least else '<='} {target}", value >= target if least else value <= target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

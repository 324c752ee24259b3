"""How much surer than right tier 2 is on tables of kinds and languages that it did not learn from: the temperatures of `second.py`.

    python -m bench.classifier.evening [--tables 1500]

Two models, each fitted to tables of one half of the kinds in one half of the languages, are asked about tables of the other halves; their
answers are parted by how what was found in the values stands to the class. Takes two minutes; the quality set has no part in it.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from services.classifier.domain.model import Model, Numbers
from services.classifier.domain.second import Open, standing
from services.classifier.domain.tables import Judge
from services.classifier.domain.verdict import Thresholds
from services.classifier.gateway.packs import load_ruleset
from services.classifier.training import fit, tables, values

TEMPERATURES = np.geomspace(0.7, 5.0, 40)
_SEED = 99


def half(judge: Judge, number: int, count: int, seed: int) -> tuple[fit.Lesson, list[Open]]:
    """Tables of one half of the kinds of tables, in one half of the languages, as tier 1 leaves them."""
    dice, book = random.Random(_SEED), tables.read_book(tables.FILE.read_text("utf-8"))
    kinds, locales = list(book.tables), list(values.LOCALES)
    dice.shuffle(kinds)
    dice.shuffle(locales)
    some = tables.Book(book.blocks, kinds[number::2])
    with patch.object(tables, "LOCALES", tuple(locales[number::2])), patch.object(tables, "read_book", lambda _: some):
        made = list(tables.examples(count, seed))
    return fit.lesson(judge, made), [one for example in made for one in judge.by_rules(example.table).opens]


def least_loss(shares: list[Numbers], right: list[bool]) -> float:
    """The temperature at which the confidence in the best answer tells best how often it is right."""
    told, sure = np.log(np.maximum(np.array(shares), 1e-12)), np.array(right)
    losses = []
    for temperature in TEMPERATURES:
        powers = np.exp(told / temperature)
        best: NDArray[np.float64] = powers.max(axis=1) / powers.sum(axis=1)
        losses.append(-np.log(np.maximum(np.where(sure, best, 1.0 - best), 1e-6)).mean())
    return float(TEMPERATURES[int(np.argmin(losses))])


def parted(model: Model, lesson: fit.Lesson, opens: list[Open]) -> dict[str, list[tuple[Numbers, bool]]]:
    """The model's shares for each column, and whether its best is right, by standing."""
    found: dict[str, list[tuple[Numbers, bool]]] = defaultdict(list)
    for row, one, wanted in zip(model.judge(lesson.tables), opens, lesson.labels, strict=True):
        best = model.labels[int(row.argmax())]
        found[standing(one, best)].append((row, best == wanted))
    return found


def main() -> None:
    """Fit, ask, part, tell."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--tables", type=int, default=1_500)
    count = options.parse_args().tables
    judge = Judge(load_ruleset(), Thresholds())
    losses: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
    for number in (0, 1):
        learnt, tune = half(judge, number, count, 11)[0], half(judge, number, count // 7, 13)[0]
        model = fit.fitted(learnt, tune, "halves")
        for name, answers in parted(model, *half(judge, 1 - number, count // 3, 12)).items():
            shares, right = [row for row, _ in answers], [good for _, good in answers]
            losses[name].append((least_loss(shares, right), float(np.mean(right)), len(right)))
    for name, several in sorted(losses.items()):
        temperature = float(np.mean([value for value, _, _ in several]))
        right = float(np.mean([value for _, value, _ in several]))
        print(f"{name:8} temperature {temperature:.1f}  right {right:.2f}  columns {sum(size for _, _, size in several)}")


if __name__ == "__main__":
    main()

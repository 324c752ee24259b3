"""Presidio on the same columns: what it finds in most values, told by our names for it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from bench.quality.figures import Answer
from bench.quality.gold import Gold
from services.classifier.domain.rulesets import Ruleset
from shared.contracts.asset import UNCLASSIFIED

VALUES = 30  # of each column: it reads a thousand values a second
LEAST_SHARE = 0.5


def presidio_answers(python: Path, columns: list[Gold], ruleset: Ruleset) -> list[Answer]:
    """One answer per column; its confidence is the share of values in which the entity was found."""
    ours = {theirs: name for name, several in ruleset.elsewhere["presidio"].items() for theirs in several}
    values = [[value for value in one.values if value][:VALUES] for one in columns]
    script = Path(__file__).with_name("presidio_labels.py")
    done = subprocess.run([python, str(script)], input=json.dumps(values), capture_output=True, text=True, check=True)
    return [_answer(one, found, ours) for one, found in zip(columns, json.loads(done.stdout), strict=True)]


def _answer(one: Gold, found: dict[str, float], ours: dict[str, str]) -> Answer:
    known = sorted(((share, entity) for entity, share in found.items() if entity in ours), reverse=True)
    share, entity = known[0] if known else (0.0, "")
    return Answer(one.wanted, ours[entity], share) if share >= LEAST_SHARE else Answer(one.wanted, UNCLASSIFIED, 1.0 - share)

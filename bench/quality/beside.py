"""Others on the same columns: what they find in most values, told by our names for it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.quality.figures import Answer
from bench.quality.gold import Gold
from shared.contracts.asset import UNCLASSIFIED

VALUES = 30  # of each column: one of them reads a thousand values a second
LEAST_SHARE = 0.5
DATAHUB = ("acryl-datahub-classify==0.0.12", "click")  # its spaCy does not name all that it needs
DATAPROFILER = ("DataProfiler[ml]==0.14.0", "tensorflow-cpu==2.21.0", "rapidfuzz", "scikit-learn")
LABELS = {  # of DataProfiler's 24 those that are no mere form
    "ADDRESS": "postal_address", "BAN": "bank_account", "CREDIT_CARD": "card_pan", "SSN": "national_id",
    "DRIVERS_LICENSE": "driving_licence", "EMAIL_ADDRESS": "email", "HASH_OR_KEY": "api_key", "IPV4": "ip_address",
    "IPV6": "ip_address", "MAC_ADDRESS": "mac_address", "PERSON": "full_name", "PHONE_NUMBER": "phone", "US_STATE": "region",
}  # fmt: skip


def answers_of(python: Path, script: str, columns: list[Gold], ours: Mapping[str, str], *, named: bool = False) -> list[Answer]:
    """One answer per column; its confidence is the share of values in which the entity was found, or what they say of it. `ours`: their
    names to our classes. `named`: who looks at names, too, is told them."""
    values: list[Any] = [[value for value in one.values if value][:VALUES] for one in columns]
    if named:
        values = [[one.column.name, one.column.type, some] for one, some in zip(columns, values, strict=True)]
    path = Path(__file__).with_name(script)
    done = subprocess.run([python, str(path)], input=json.dumps(values), capture_output=True, text=True, check=True)
    return [_answer(one, found, ours) for one, found in zip(columns, json.loads(done.stdout), strict=True)]


def _answer(one: Gold, found: Mapping[str, float], ours: Mapping[str, str]) -> Answer:
    known = sorted(((share, entity) for entity, share in found.items() if entity in ours), reverse=True)
    share, entity = known[0] if known else (0.0, "")
    return Answer(one.wanted, ours[entity], share) if share >= LEAST_SHARE else Answer(one.wanted, UNCLASSIFIED, 1.0 - share)

"""Every checksum against an independent judge, over random values of the right shape."""

from __future__ import annotations

import re

import numpy as np
import pytest

from shared.evidence.detector import Found
from shared.evidence.detectors import BY_NAME, DETECTORS
from tests.shared.evidence.examples import ORACLES, search


@pytest.mark.parametrize("name", sorted(ORACLES))
def test_a_checksum_says_what_an_independent_judge_says(name: str) -> None:
    """Over values of the right shape both give the same verdict, valid ones among them."""
    make, judge = ORACLES[name]
    values = [make() for _ in range(300)] + [search(make, judge) for _ in range(2)]
    validator = BY_NAME[name].validator
    assert validator is not None
    mask = validator(Found([value.encode() for value in values]))
    assert [value for value, valid in zip(values, mask, strict=True) if bool(valid) != judge(value)] == []


@pytest.mark.parametrize("name", sorted(ORACLES))
def test_a_validator_judges_each_value_by_itself(name: str) -> None:
    """Values of one pattern, judged together or alone, get the same verdict."""
    items = [ORACLES[name][0]().encode() for _ in range(20)]
    validator = BY_NAME[name].validator
    assert validator is not None
    assert list(validator(Found(items))) == [validator(Found([item]))[0] for item in items]


PLAIN = [d.name for d in DETECTORS if d.validator and not d.most and any(re.fullmatch(r"\\d\{\d+\}", pattern) for pattern in d.patterns)]


@pytest.mark.parametrize("name", sorted(set(PLAIN) - {"isbn_13"}))
def test_the_stated_chance_is_how_often_noise_passes(name: str) -> None:
    """Random digits pass a checksum about as often as the detector says, so that a judge can tell signal from noise."""
    detector = BY_NAME[name]
    plain = next(int(found[1]) for pattern in detector.patterns if (found := re.fullmatch(r"\\d\{(\d+)\}", pattern)))
    dice = np.random.default_rng(3)
    noise = dice.integers(48, 58, (50_000, plain), dtype=np.uint8)
    items = [row.tobytes() for row in noise]
    assert detector.validator is not None
    share = float(detector.validator(Found(items)).mean())
    assert detector.chance * 0.6 <= share <= detector.chance * 1.6, share

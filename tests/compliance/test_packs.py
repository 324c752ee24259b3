"""The shipped packs: each control has a case that passes, one that fails and one that is not known, and each case holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from services.compliance.app import PACKS
from services.compliance.domain.cases import RESULTS, cases_of, outcome
from services.compliance.domain.policy import Control, Given, Policy
from tests.compliance.examples import rules

CASES = [
    pytest.param(policy, control, part, given, id=f"{control.id} {part} {number}")
    for policy in rules().policies
    for control in policy.controls
    for part, number, given in cases_of(control)
]
ALL = [control for policy in rules().policies for control in policy.controls]


@pytest.mark.parametrize(("policy", "control", "part", "given"), CASES)
def test_inline_case(policy: Policy, control: Control, part: str, given: Given) -> None:
    """A control says of its own cases what its author expects."""
    assert outcome(rules(), policy, control, given) == RESULTS[part]


@pytest.mark.parametrize("policy", rules().policies, ids=lambda policy: policy.label)
def test_each_framework_has_at_least_seven_controls(policy: Policy) -> None:
    """SOC 2, GDPR, HIPAA, PCI DSS and CCPA are five, with seven controls or more each."""
    assert len(rules().policies) == 5
    assert len(policy.controls) >= 7


OFFICIAL = {
    "soc2": r"(CC\d|A1|C1|PI1|P\d)\.\d{1,2}",
    "gdpr": r"\d{1,2}(\(\d\))?(\([a-z]\))?",
    "hipaa": r"164\.\d{3}(\([a-z]\))(\(\d\))?(\([ivx]+\))?(\([A-Z]\))?",
    "pci-dss": r"\d{1,2}(\.\d{1,2}){2,3}",
    "ccpa": r"1798\.\d{3}(\([a-z]{1,2}\))?(\(\d\))?",
}


@pytest.mark.parametrize("control", ALL, ids=lambda control: control.id)
def test_a_control_is_named_by_its_official_number(control: Control) -> None:
    """The number is the framework's own, so that an auditor finds it."""
    pack, _, number = control.id.partition(":")
    assert re.fullmatch(OFFICIAL[pack], number)


@pytest.mark.parametrize("control", ALL, ids=lambda control: control.id)
def test_a_control_reads_well(control: Control) -> None:
    """Sentences end, titles do not, and every message names its table."""
    text = control.text
    assert not text.title.endswith(".")
    assert text.title[0].isupper() or text.title[0].isdigit()
    assert "{table}" in text.message
    for sentence in (text.message, text.remedy, *(because.say for because in text.because)):
        assert sentence.endswith(".")
        assert "  " not in sentence


def test_no_rule_asks_which_cloud_it_is() -> None:
    """One policy for every provider and for on premises: no such fact exists."""
    assert not [name for name in rules().schema if "provider" in name or "location" in name or "engine" in name]


def test_the_vocabulary_knows_every_class_of_the_classifier() -> None:
    """Classes and categories have the classifier's names, so that a new class is not silently nobody's business."""
    taxonomy = Path(PACKS).parents[2] / "classifier" / "domain" / "packs" / "taxonomy.yaml"
    classes = {name: fields["category"] for name, fields in yaml.safe_load(taxonomy.read_text())["classes"].items()}
    assert classes == dict(rules().vocabulary.category_of)


def test_the_vocabulary_knows_the_detectors_it_names() -> None:
    """What says that values are protected or unclear is a detector of the classifier's."""
    known = Path(PACKS).parents[2] / "classifier" / "domain" / "packs" / "detectors.yaml"
    values = rules().vocabulary.values
    assert values.protected | values.unclear <= yaml.safe_load(known.read_text())["detectors"].keys()

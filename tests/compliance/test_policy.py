"""A pack with a fault is refused whole, with file and line."""

from __future__ import annotations

import pytest

from services.compliance.domain.document import InvalidPack
from services.compliance.domain.rules import tried
from tests.compliance.examples import rules

PACK = """\
name: house
framework: House rules
regulation: HOUSE
version: 1.0.0
about: Rules of our own.
scope: holds.personal
controls:
  - id: H1
    title: Every table with people has a comment
    severity: low
    check: asset.documented
    message: "{table} has no comment."
    remedy: Write one sentence about it.
    tests:
      given: {holds.personal: true}
      passes: [{asset.documented: true}]
      fails: [{asset.documented: false}]
      unknown: [{asset.documented: null}]
"""


def faults(text: str) -> list[str]:
    with pytest.raises(InvalidPack) as caught:
        tried(rules(), text, "house.yaml")
    return [str(fault) for fault in caught.value.faults]


def test_a_good_pack_joins_the_others() -> None:
    """A pack of one's own stands beside the shipped ones."""
    assert tried(rules(), PACK, "house.yaml").policies[-1].label == "house@1.0.0"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param("check: asset.documented", "check: asset.documentd", "house.yaml:11: asset.documentd is not a fact", id="fact"),
        pytest.param("severity: low", "severity: awful", "house.yaml:10: controls.0.severity", id="unknown severity"),
        pytest.param("severity: low", "severty: low", "house.yaml:8: controls.0.severity: Field required", id="misspelt field"),
        pytest.param("{table} has", "{tabel} has", "house.yaml:12: tabel is not a fact", id="place"),
        pytest.param("{asset.documented: false}", "{asset.documented: 0}", "house.yaml:17: asset.documented has", id="wrong type"),
        pytest.param("{asset.documented: false}", "{asset.documented: true}", "house.yaml:17: house:H1: expected fail", id="case"),
        pytest.param("remedy: Write", "remedy: [Write", "not valid YAML", id="no YAML"),
        pytest.param("name: house", "name: &a house", "anchors are not allowed", id="anchors"),
    ],
)
def test_a_fault_is_named_with_its_line(old: str, new: str, said: str) -> None:
    """The author is told where to look."""
    assert any(said in fault for fault in faults(PACK.replace(old, new)))


def test_a_control_without_an_unknown_case_is_refused() -> None:
    """Every control has to say when it does not know."""
    assert any("tests.unknown" in fault for fault in faults(PACK.replace("      unknown: [{asset.documented: null}]\n", "")))

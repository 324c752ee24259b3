"""Runs the tests that stand inside a pack: every control must pass, fail and not know where its author says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from services.compliance.domain.document import Document, Fault
from services.compliance.domain.evaluate import Judge
from services.compliance.domain.expression import sections_of
from services.compliance.domain.facts import Facts, Value
from services.compliance.domain.policy import Control, Given, Policy, Rules

RESULTS = {"passes": "pass", "fails": "fail", "unknown": "unknown", "not_applicable": "not_applicable"}


def cases_of(control: Control) -> Iterator[tuple[str, int, Given]]:
    """Each case: the part of `tests` it stands in, its number, its facts over the shared ones."""
    tests = control.text.tests
    for part in RESULTS:
        for number, given in enumerate(getattr(tests, part)):
            yield part, number, {**tests.given, **given}


def outcome(rules: Rules, policy: Policy, control: Control, given: Mapping[str, Value | None]) -> str:
    """What the control says of an asset with these facts; every fact not given is false, 0 or empty. Not about other controls."""
    base: dict[str, Value | None] = {name: fact.type() for name, fact in rules.schema.items()}
    facts = Facts(sections_of({**base, **given}), table="public.example")
    alone = Rules(rules.vocabulary, rules.residency, (policy,), rules.schema, rules.digest)
    results = {result.control: result.result for result in Judge(alone).judge(facts).results}
    return results.get(control.id, "not_applicable")


def failed_cases(rules: Rules, policy: Policy, document: Document) -> list[Fault]:
    """Every inline test whose result is not what its author expects."""
    faults = []
    for index, control in enumerate(policy.controls):
        for part, number, given in cases_of(control):
            got = outcome(rules, policy, control, given)
            if got != RESULTS[part]:
                place = ("controls", index, "tests", part, number)
                faults.append(document.fault(place, f"{control.id}: expected {RESULTS[part]}, the rule says {got}"))
    return faults

"""Facts in, results out: which controls apply to an asset, and which hold. Pure; equal facts give equal results."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import cel

from services.compliance.domain.facts import Fact, Facts, Value
from services.compliance.domain.policy import PLACEHOLDER, Control, Level, Rules
from shared.contracts.compliance import FactRead, MissingFact

SEVERITIES: tuple[Level, ...] = ("low", "medium", "high", "critical")
SHARED_SECTIONS = ("source", "posture")
SHOWN_COLUMNS = 4


class Finding(NamedTuple):
    """What one control says of one asset. `message`, `remedy`, `facts` and `columns` are for people and filled where it fails;
    `missing` are the facts behind an unknown."""

    control: str
    framework: str
    title: str
    result: Literal["pass", "fail", "unknown", "waived"]
    severity: str
    message: str = ""
    remedy: str = ""
    facts: tuple[FactRead, ...] = ()
    columns: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the rules say of one asset. Controls that do not apply are not listed.

    `facts` are all that the listed controls read; `missing` tells, of each that is not known, what that means and who could tell.
    """

    results: tuple[Finding, ...]
    facts: dict[str, str]
    missing: tuple[MissingFact, ...]
    regulations: tuple[str, ...]
    obligations: tuple[str, ...]


class Judge:
    """Judges assets by one set of rules. Keeps the context of the last source, because its facts are shared by all its assets."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._shared: tuple[object, object] = (None, None)
        self._context = cel.Context()

    def judge(self, facts: Facts) -> Judgement:
        """Every control that applies, or of which that is not known, in the order of the packs."""
        context = self._context_for(facts)
        results: list[Finding] = []
        read: dict[str, None] = {}
        regulations: list[str] = []
        obligations: set[str] = set()
        for policy in self._rules.policies:
            in_scope = policy.scope.value(context)
            touched = bool(in_scope)
            for control in policy.controls:
                scope = control.scope.value(context) if control.text.scope else in_scope
                applies = scope if scope is False else _both(scope, control.applies.value(context))
                if applies is not False:
                    results.append(self._result(control, facts, context, applies))
                    read |= control.read_once
                if applies:
                    touched = True
                    obligations.update(control.text.obligations)
            if touched:
                regulations.append(policy.text.regulation)
                obligations.update(policy.text.obligations)
        told = {name: spoken(facts.get(name)) for name in read}
        return Judgement(tuple(results), told, self._missing(facts, results), tuple(regulations), tuple(sorted(obligations)))

    def _missing(self, facts: Facts, results: Iterable[Finding]) -> tuple[MissingFact, ...]:
        names = dict.fromkeys(name for result in results for name in result.missing)
        return tuple(_told(name, self._rules.schema[name], facts.asked(name)) for name in names)

    def _context_for(self, facts: Facts) -> cel.Context:
        shared = tuple(facts.sections.get(name) for name in SHARED_SECTIONS)
        if any(mine is not theirs for mine, theirs in zip(self._shared, shared, strict=True)):
            self._shared = (shared[0], shared[1])
            self._context = cel.Context({name: facts.sections.get(name, {}) for name in SHARED_SECTIONS})
        for name, section in facts.sections.items():
            if name not in SHARED_SECTIONS:
                self._context.add_variable(name, section)
        return self._context

    def _result(self, control: Control, facts: Facts, context: cel.Context, applies: bool | None) -> Finding:
        holds = control.check.value(context)
        if applies and holds:
            return _passed(control)
        if applies is None or holds is None:
            asked = (*control.scope.facts, *control.applies.facts) if applies is None else control.check.facts
            return _not_known(control, tuple(dict.fromkeys(name for name in asked if facts.get(name) is None)))
        return _failed(control, facts, context)


def _both(left: bool | None, right: bool | None) -> bool | None:
    """Kleene's and, where the left is not false."""
    return False if right is False else left and right


@lru_cache(maxsize=4096)
def fact_read(name: str, value: Value | None) -> FactRead:
    """The fact as a result quotes it. Shared, since most assets have the same few."""
    return FactRead(name=name, value=spoken(value))


def spoken(value: Value | None) -> str:
    """A fact's value as events quote it."""
    return "unknown" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _columns(control: Control, facts: Facts) -> tuple[str, ...]:
    found = (facts.columns.get(group, ()) for group in control.shows)
    return tuple(dict.fromkeys(name for names in found for name in names))


@lru_cache(maxsize=1024)
def _passed(control: Control) -> Finding:
    return Finding(control.id, control.framework, control.text.title, "pass", control.text.severity)


@lru_cache(maxsize=8192)
def _not_known(control: Control, missing: tuple[str, ...]) -> Finding:
    return Finding(control.id, control.framework, control.text.title, "unknown", control.text.severity, missing=missing)


@lru_cache(maxsize=8192)
def _told(name: str, fact: Fact, columns: tuple[str, ...]) -> MissingFact:
    says = fact.says.replace("{columns}", listed(columns) or "other columns")
    return MissingFact(name=name, says=says, remedy=fact.settle, declare=fact.declare)


def _failed(control: Control, facts: Facts, context: cel.Context) -> Finding:
    reasons = [say for when, say in control.because if when.value(context)]
    columns = _columns(control, facts)
    message = " ".join((control.text.message, *reasons))
    return Finding(
        control.id,
        control.framework,
        control.text.title,
        "fail",
        _worse(control.text.severity) if control.worse_when.value(context) else control.text.severity,
        _filled(message, facts, columns),
        control.text.remedy,
        tuple(fact_read(name, facts.get(name)) for name in control.read_once),
        columns,
    )


def _worse(severity: Level) -> Level:
    return SEVERITIES[min(SEVERITIES.index(severity) + 1, len(SEVERITIES) - 1)]


def listed(names: tuple[str, ...]) -> str:
    """Names for a sentence: the first few, and how many more."""
    rest = len(names) - SHOWN_COLUMNS
    return ", ".join(names[:SHOWN_COLUMNS]) + (f" and {rest} more" if rest > 0 else "")


def _filled(message: str, facts: Facts, columns: tuple[str, ...]) -> str:
    own = {"table": facts.table, "columns": listed(columns)}

    def word(name: str) -> str:
        if name in own:
            return own[name]
        value = facts.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return f"{value:,}"
        return "an unknown number of" if value is None else str(value)

    return PLACEHOLDER.sub(lambda found: word(found[1]), message)

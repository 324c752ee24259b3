"""Facts in, results out: which controls apply to an asset, and which hold. Pure; equal facts give equal results."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cel

from services.compliance.domain.facts import Fact, Facts, Value
from services.compliance.domain.policy import PLACEHOLDER, Control, Level, Rules
from shared.contracts.compliance import ControlResult, FactRead

SEVERITIES: tuple[Level, ...] = ("low", "medium", "high", "critical")
SHARED_SECTIONS = ("source", "posture")
SHOWN_COLUMNS = 4


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the rules say of one asset. Controls that do not apply are not listed."""

    results: tuple[ControlResult, ...]
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
        results: list[ControlResult] = []
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
                if applies:
                    touched = True
                    obligations.update(control.text.obligations)
            if touched:
                regulations.append(policy.text.regulation)
                obligations.update(policy.text.obligations)
        return Judgement(tuple(results), tuple(regulations), tuple(sorted(obligations)))

    def _context_for(self, facts: Facts) -> cel.Context:
        shared = tuple(facts.sections.get(name) for name in SHARED_SECTIONS)
        if any(mine is not theirs for mine, theirs in zip(self._shared, shared, strict=True)):
            self._shared = (shared[0], shared[1])
            self._context = cel.Context({name: facts.sections.get(name, {}) for name in SHARED_SECTIONS})
        for name, section in facts.sections.items():
            if name not in SHARED_SECTIONS:
                self._context.add_variable(name, section)
        return self._context

    def _result(self, control: Control, facts: Facts, context: cel.Context, applies: bool | None) -> ControlResult:
        holds = control.check.value(context)
        if applies and holds:
            return _passed(control, _values(control, facts))
        if applies is None or holds is None:
            return self._unknown(control, facts, applies)
        return _failed(control, facts, context)

    def _unknown(self, control: Control, facts: Facts, applies: bool | None) -> ControlResult:
        asked = (*control.scope.facts, *control.applies.facts) if applies is None else control.check.facts
        missing = tuple(dict.fromkeys(name for name in asked if facts.get(name) is None))
        undecided = dict.fromkeys(column for name in missing for column in facts.asked(name))
        parts = tuple((name, self._rules.schema[name]) for name in missing)
        return _not_known(control, _values(control, facts), parts, tuple(undecided))


def _both(left: bool | None, right: bool | None) -> bool | None:
    """Kleene's and, where the left is not false."""
    return False if right is False else left and right


@lru_cache(maxsize=4096)
def fact_read(name: str, value: Value | None) -> FactRead:
    """The fact as a result quotes it. Shared, since most assets have the same few."""
    return FactRead(name=name, value="unknown" if value is None else str(value).lower() if isinstance(value, bool) else str(value))


def _values(control: Control, facts: Facts) -> tuple[Value | None, ...]:
    sections = facts.sections
    return tuple(sections[section].get(fact) if section in sections else None for section, fact in control.places)


def _facts_read(control: Control, values: tuple[Value | None, ...]) -> tuple[FactRead, ...]:
    return tuple(map(fact_read, control.reads, values))


def _columns(control: Control, facts: Facts) -> tuple[str, ...]:
    found = (facts.columns.get(group, ()) for group in control.shows)
    return tuple(dict.fromkeys(name for names in found for name in names))


@lru_cache(maxsize=8192)
def _passed(control: Control, values: tuple[Value | None, ...]) -> ControlResult:
    return ControlResult(
        control=control.id,
        framework=control.framework,
        title=control.text.title,
        result="pass",
        severity=control.text.severity,
        facts=_facts_read(control, values),
    )


@lru_cache(maxsize=8192)
def _not_known(
    control: Control, values: tuple[Value | None, ...], missing: tuple[tuple[str, Fact], ...], columns: tuple[str, ...]
) -> ControlResult:
    says = (fact.says.replace("{columns}", listed(columns) or "other columns") for _, fact in missing)
    settle = dict.fromkeys(fact.settle for _, fact in missing if fact.settle)
    return ControlResult(
        control=control.id,
        framework=control.framework,
        title=control.text.title,
        result="unknown",
        severity=control.text.severity,
        message=f"Not known: {'; '.join(says)}.",
        remedy=" ".join(settle),
        facts=_facts_read(control, values),
        columns=columns,
        missing=tuple(name for name, _ in missing),
    )


def _failed(control: Control, facts: Facts, context: cel.Context) -> ControlResult:
    reasons = [say for when, say in control.because if when.value(context)]
    columns = _columns(control, facts)
    message = " ".join((control.text.message, *reasons))
    return ControlResult(
        control=control.id,
        framework=control.framework,
        title=control.text.title,
        result="fail",
        severity=_worse(control.text.severity) if control.worse_when.value(context) else control.text.severity,
        message=_filled(message, facts, columns),
        remedy=control.text.remedy,
        facts=_facts_read(control, _values(control, facts)),
        columns=columns,
        missing=(),
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

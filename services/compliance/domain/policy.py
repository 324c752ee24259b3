"""Packs of controls: one file per framework, checked whole before the first asset is judged by it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.compliance.domain import expression
from services.compliance.domain.document import Document, Fault, InvalidPack, Place
from services.compliance.domain.expression import Expression
from services.compliance.domain.facts import COMBINATION, GROUP_SECTIONS, Fact, Value
from services.compliance.domain.residency import Residency
from services.compliance.domain.vocabulary import Vocabulary

Level = Literal["low", "medium", "high", "critical"]
Given = dict[str, bool | int | str | None]
PLACEHOLDER = re.compile(r"\{([a-z_.]+)\}")
OWN_PLACEHOLDERS = frozenset({"table", "columns"})


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Because(_Strict):
    """A sentence added to the message where its condition holds."""

    when: str
    say: str


class Cases(_Strict):
    """Inline tests: facts under which the control must pass, fail, and not know. Facts not given are false, 0 or empty."""

    given: Given = Field(default_factory=dict, description="shared by all cases")
    passes: tuple[Given, ...] = Field(min_length=1)
    fails: tuple[Given, ...] = Field(min_length=1)
    unknown: tuple[Given, ...] = Field(min_length=1)
    not_applicable: tuple[Given, ...] = ()


class ControlText(_Strict):
    """One control as it is written in a pack."""

    id: str = Field(min_length=1, max_length=40, description="the framework's own number")
    title: str = Field(min_length=5, max_length=90)
    severity: Level
    worse_when: str = Field(default="false", description="one step more severe where this holds")
    scope: str = Field(default="", description="instead of the pack's, where this control is about other assets too")
    applies: str = "true"
    check: str
    message: str = Field(min_length=10, max_length=240)
    because: tuple[Because, ...] = ()
    remedy: str = Field(min_length=10, max_length=300)
    columns: tuple[str, ...] = Field(default=(), description="groups whose columns are shown; by default those that the check reads")
    obligations: tuple[str, ...] = ()
    tests: Cases


class PackText(_Strict):
    """One framework's controls. `regulation` is the short name that tags carry; `scope` says which assets it is about."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=40)
    framework: str
    regulation: str = Field(pattern=r"^[A-Z0-9-]+$")
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    about: str
    scope: str
    obligations: tuple[str, ...] = ()
    controls: tuple[ControlText, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True, eq=False)
class Control:
    """A control ready to judge, equal to itself only. `shows` are groups whose columns a result lists, `read_once` the facts
    that it quotes, as keys."""

    id: str
    framework: str
    text: ControlText
    scope: Expression
    applies: Expression
    check: Expression
    worse_when: Expression
    because: tuple[tuple[Expression, str], ...]
    shows: tuple[str, ...]
    read_once: Mapping[str, None]


@dataclass(frozen=True, slots=True)
class Policy:
    """One pack ready to judge. `digest` is the sha256 of its text."""

    text: PackText
    digest: str
    scope: Expression
    controls: tuple[Control, ...]

    @property
    def label(self) -> str:
        return f"{self.text.name}@{self.text.version}"


@dataclass(frozen=True, slots=True)
class Rules:
    """All that a judgement needs: words, places, packs. `digest` changes with any of them."""

    vocabulary: Vocabulary
    residency: Residency
    policies: tuple[Policy, ...]
    schema: Mapping[str, Fact]
    digest: str

    @property
    def needed(self) -> frozenset[str]:
        """Every fact that some rule reads."""
        return frozenset(name for policy in self.policies for name in _needed(policy))

    def policy(self, name: str) -> Policy | None:
        return next((policy for policy in self.policies if policy.text.name == name), None)


def _needed(policy: Policy) -> Iterator[str]:
    yield from policy.scope.facts
    for control in policy.controls:
        for condition in (control.scope, control.applies, control.check, control.worse_when, *(when for when, _ in control.because)):
            yield from condition.facts
        for text in (control.text.message, *(say for _, say in control.because)):
            yield from (name for name in PLACEHOLDER.findall(text) if name not in OWN_PLACEHOLDERS)


def policy_from(document: Document, schema: Mapping[str, Fact], digest: str) -> Policy:
    """Raises InvalidPack with every fault of the file: fields, facts, types, placeholders, ids that repeat."""
    try:
        text = PackText.model_validate(document.value)
    except ValidationError as error:
        raise InvalidPack(
            [document.fault(tuple(item["loc"]), f"{_dotted(item['loc'])}: {item['msg']}") for item in error.errors()]
        ) from None
    if faults := [*_faults(document, text, schema)]:
        raise InvalidPack(faults)
    controls = tuple(_control(text, control, schema) for control in text.controls)
    return Policy(text, digest, expression.parse(text.scope, schema), controls)


def digest_of(*texts: str) -> str:
    """sha256 over texts, hexadecimal."""
    return sha256("\x1f".join(texts).encode("utf-8", "surrogatepass")).hexdigest()


def _dotted(place: tuple[str | int, ...]) -> str:
    return ".".join(map(str, place))


def _faults(document: Document, text: PackText, schema: Mapping[str, Fact]) -> Iterator[Fault]:
    for place, condition in _conditions(text):
        yield from (document.fault(place, problem) for problem in expression.problems(condition, schema))
    seen: set[str] = set()
    for number, control in enumerate(text.controls):
        here: Place = ("controls", number)
        if control.id in seen:
            yield document.fault((*here, "id"), f"{control.id} stands twice")
        seen.add(control.id)
        for place, name in _named(control):
            if name not in schema:
                yield document.fault((*here, *place), expression.unknown_fact(name, schema))
        for group in control.columns:
            if f"holds.{group}" not in schema and group != COMBINATION:
                yield document.fault((*here, "columns"), f"{group} is not a group")
        for place, name, value in _given(control.tests):
            if name in schema and value is not None and type(value) is not schema[name].type:
                yield document.fault((*here, *place), f"{name} has the wrong type")


def _conditions(text: PackText) -> Iterator[tuple[Place, str]]:
    yield ("scope",), text.scope
    for number, control in enumerate(text.controls):
        here: Place = ("controls", number)
        for name in ("scope", "applies", "check", "worse_when"):
            if source := getattr(control, name):
                yield (*here, name), source
        for index, because in enumerate(control.because):
            yield (*here, "because", index, "when"), because.when


def _given(cases: Cases) -> Iterator[tuple[Place, str, Value | None]]:
    groups = {"given": (cases.given,), "passes": cases.passes, "fails": cases.fails}
    groups |= {"unknown": cases.unknown, "not_applicable": cases.not_applicable}
    for part, facts in groups.items():
        for number, given in enumerate(facts):
            for name, value in given.items():
                yield ("tests", part, *(() if part == "given" else (number,)), name), name, value


def _named(control: ControlText) -> Iterator[tuple[Place, str]]:
    texts: list[tuple[Place, str]] = [(("message",), control.message)]
    texts += [(("because", number, "say"), because.say) for number, because in enumerate(control.because)]
    for place, text in texts:
        yield from ((place, name) for name in PLACEHOLDER.findall(text) if name not in OWN_PLACEHOLDERS)
    yield from ((place, name) for place, name, _ in _given(control.tests))


def _control(pack: PackText, text: ControlText, schema: Mapping[str, Fact]) -> Control:
    applies, check, worse = (expression.parse(source, schema) for source in (text.applies, text.check, text.worse_when))
    scope = expression.parse(text.scope or pack.scope, schema)
    shows = text.columns or _groups(check.facts) or _groups(applies.facts) or _groups(scope.facts)
    because = tuple((expression.parse(item.when, schema), item.say) for item in text.because)
    reads = dict.fromkeys((*check.facts, *applies.facts))
    return Control(f"{pack.name}:{text.id}", pack.framework, text, scope, applies, check, worse, because, shows, reads)


def _groups(facts: tuple[str, ...]) -> tuple[str, ...]:
    named = [name.partition(".") for name in facts]
    return tuple(dict.fromkeys([fact for section, _, fact in named if section in GROUP_SECTIONS] + _combination(facts)))


def _combination(facts: tuple[str, ...]) -> list[str]:
    return [COMBINATION] if "asset.combination" in facts else []

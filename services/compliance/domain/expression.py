"""Conditions in CEL over facts, with a third answer: not known.

An unknown fact is absent from the context, reading it is an error, and CEL lets `||` and `&&` swallow an error when the other side
settles the matter. That is Kleene's three-valued logic: `false && unknown` is false, `true || unknown` is true, the rest is unknown.

The language is cut down at load so that a rule can be checked and costs little: facts, literals, operators and a few string
functions; no macros, no indexing, no `has` (it would turn "not known" into "no").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from itertools import product

import cel

from services.compliance.domain.facts import Fact, Value

MAX_LENGTH, MAX_DEPTH, MAX_FACTS = 400, 6, 8
FUNCTIONS = frozenset({"size", "startsWith", "endsWith", "contains"})
OPERATORS = frozenset(
    {"_&&_", "_||_", "!_", "_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "@in", "_in_", "in", "_?_:_", "_+_", "_-_", "-_"}
)
_TEXT = re.compile(r"'[^'\\]*'|\"[^\"\\]*\"")
_CHAIN = re.compile(r"[A-Za-z_]\w*(?:\s*\.\s*[A-Za-z_]\w*)*")
_COMPARED = re.compile(r"([a-z_]+\.[a-z_]+)\s*(?:==|!=|<=|>=|<|>)\s*(true\b|false\b|-?\d+|'|\")")
_WORDS = frozenset({"true", "false", "in"})
_NAMES = {bool: "true or false", int: "a number", str: "a text"}


class Expression:
    """One compiled condition. `facts` are all it may read, sorted."""

    __slots__ = ("_program", "facts", "source")

    def __init__(self, source: str, facts: tuple[str, ...]) -> None:
        self.source, self.facts = source, facts
        self._program = cel.compile(source)

    def value(self, context: cel.Context) -> bool | None:
        """True, false, or None where a fact that matters is not known."""
        try:
            return self._program.execute(context) is True
        except KeyError:
            return None


def problems(source: str, schema: Mapping[str, Fact]) -> list[str]:
    """Everything that keeps `source` from being a condition over these facts; none means `parse` will succeed."""
    if len(source) > MAX_LENGTH:
        return [f"longer than {MAX_LENGTH} characters"]
    plain = _TEXT.sub("''", source)
    if _depth(plain) > MAX_DEPTH:
        return [f"nested deeper than {MAX_DEPTH} brackets"]
    try:
        program = cel.compile(source)
    except ValueError:
        return ["not a CEL expression"]
    found = _names(plain, schema) + _functions(plain, program) + _types(source, schema)
    return found or _trial(program, facts_in(source), schema)


def parse(source: str, schema: Mapping[str, Fact]) -> Expression:
    """Compile a condition. Raises ValueError with every problem."""
    if found := problems(source, schema):
        raise ValueError("; ".join(found))
    return Expression(source, facts_in(source))


def facts_in(source: str) -> tuple[str, ...]:
    """The facts a condition names, sorted: `a.b.startsWith('x')` names `a.b`."""
    chains = ("".join(found.split()).split(".") for found in _CHAIN.findall(_TEXT.sub("''", source)))
    return tuple(sorted({f"{chain[0]}.{chain[1]}" for chain in chains if len(chain) > 1}))


def _depth(plain: str) -> int:
    depth = deepest = 0
    for sign in plain:
        depth += (sign in "([{") - (sign in ")]}")
        deepest = max(deepest, depth)
    return deepest


def _names(plain: str, schema: Mapping[str, Fact]) -> list[str]:
    found = []
    for chain in _CHAIN.findall(plain):
        parts = "".join(chain.split()).split(".")
        name = ".".join(parts[:2])
        if len(parts) == 1 and parts[0] not in _WORDS | FUNCTIONS:
            found.append(unknown_fact(parts[0], schema))
        elif len(parts) > 1 and name not in schema:
            found.append(unknown_fact(name, schema))
    if len(facts_in(plain)) > MAX_FACTS:
        found.append(f"reads more than {MAX_FACTS} facts")
    return found


def unknown_fact(name: str, schema: Mapping[str, Fact]) -> str:
    """Says that there is no such fact, and which one may have been meant."""
    near = get_close_matches(name, schema, n=1, cutoff=0.5)
    return f"{name} is not a fact" + (f"; did you mean {near[0]}?" if near else "")


def _functions(plain: str, program: cel.Program) -> list[str]:
    used = {name for name in program.functions() if name not in OPERATORS | FUNCTIONS}
    used |= {name for name in ("has", "matches") if re.search(rf"\b{name}\s*\(", plain)}
    return [f"{name} may not be used in a rule" for name in sorted(used)]


def _types(source: str, schema: Mapping[str, Fact]) -> list[str]:
    kinds = {"t": bool, "f": bool, "'": str, '"': str}
    return [
        f"{name} is {_NAMES[schema[name].type]}, and is compared with {_NAMES[kinds.get(literal[0], int)]}"
        for name, literal in _COMPARED.findall(source)
        if name in schema and schema[name].type is not kinds.get(literal[0], int)
    ]


def _trial(program: cel.Program, facts: tuple[str, ...], schema: Mapping[str, Fact]) -> list[str]:
    """Evaluate once for every mix of small and large facts: the answer must always be true or false."""
    choices: list[tuple[Value, Value]] = [_EXTREMES[schema[name].type] for name in facts]
    for values in product(*choices):
        try:
            answer = program.execute(context_of(dict(zip(facts, values, strict=True))))
        except (TypeError, ValueError, ArithmeticError, RuntimeError):
            return ["mixes types that do not go together"]
        if not isinstance(answer, bool):
            return ["does not answer true or false"]
    return []


_EXTREMES: dict[type, tuple[Value, Value]] = {bool: (False, True), int: (0, 1_000_000), str: ("", "x")}


def sections_of(facts: Mapping[str, Value | None]) -> dict[str, dict[str, Value]]:
    """Facts by full name, as sections; None means not known and is left out."""
    sections: dict[str, dict[str, Value]] = {}
    for name, value in facts.items():
        section, _, fact = name.partition(".")
        known = sections.setdefault(section, {})
        if value is not None:
            known[fact] = value
    return sections


def context_of(facts: Mapping[str, Value | None]) -> cel.Context:
    return cel.Context(dict(sections_of(facts)))

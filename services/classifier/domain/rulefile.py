"""A rule set of one's own: one YAML file laid over the shipped packs, with tests of its own inside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from services.classifier.domain.rulesets import Ruleset
from services.classifier.domain.tables import Judge
from services.classifier.domain.verdict import Thresholds
from shared.contracts.asset import Column, Match, SchemaDiscovered
from shared.contracts.names import AssetName
from shared.contracts.source import DataSource
from shared.evidence.lines import Column as Text
from shared.evidence.lines import lines_of
from shared.evidence.own import patterns_of

_TENANT, _SOURCE = "rules", "test"


class Example(BaseModel):
    """A table as it should be judged: `columns` from name, and type where it is no text, to the class wanted; `none` is one."""

    model_config = ConfigDict(extra="forbid")

    table: str = Field(examples=["crm.people"])
    columns: dict[str, str] = Field(min_length=1)


class Limits(BaseModel):
    """What holds only for sources of one provider."""

    model_config = ConfigDict(extra="forbid")

    thresholds: dict[str, float] = Field(default={}, description="classify and abstain")
    without: list[str] = Field(default=[], description="classes that are not looked for there")


class Pattern(BaseModel):
    """A form of values of one's own: literals, classes, groups, alternatives and counts; it is matched against whole values."""

    model_config = ConfigDict(extra="forbid")

    pattern: str = Field(examples=["LC-[0-9]{8}"])
    class_name: str = Field(alias="class", description="the class that it stands for")
    strength: Literal["certain", "strong", "medium", "weak"] = "strong"
    rare: bool = Field(default=False, description="a single hit in a thousand values is worth telling")
    fits: list[str] = Field(default=[], description="a test: made-up values that it must fit")
    fits_not: list[str] = Field(default=[], description="a test: made-up values that it must not fit")


class RuleFile(BaseModel):
    """What a file may say. Words and phrases win over the shipped ones; a column on a list is judged by nothing else."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=63)
    version: str
    classes: dict[str, dict[str, Any]] = Field(default={}, description="as in taxonomy.yaml")
    words: dict[str, list[str]] = Field(default={}, description="concepts to words, as in lexicon.yaml under terms")
    things: list[str] = Field(default=[], description="words whose names are nobody's")
    names: dict[str, dict[str, list[str]]] = Field(default={}, description="classes to phrases by grade, as in names.yaml")
    detectors: dict[str, dict[str, Any]] = Field(default={}, description="as in detectors.yaml")
    patterns: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=63)], Pattern] = Field(
        default={}, description="forms of values that discovery looks for from its next look on"
    )
    allow: list[str] = Field(default=[], description="schema.table.column, * for any: holds nothing, whatever it looks like")
    deny: dict[str, str] = Field(default={}, description="schema.table.column, * for any, to the class that it holds")
    thresholds: dict[str, float] = Field(default={}, description="classify and abstain")
    providers: dict[str, Limits] = Field(default={}, description="engines, such as mongodb or s3, to what holds for their sources only")
    tests: list[Example] = []


def laid_over(documents: Mapping[str, Any], file: RuleFile) -> dict[str, Any]:
    """The packs with this file over them; what it was given stays as it was."""
    taxonomy, lexicon = dict(documents["taxonomy"]), dict(documents["lexicon"])
    taxonomy["classes"] = {**taxonomy["classes"], **file.classes}
    lists = taxonomy.get("columns", {})
    taxonomy["columns"] = {"allow": [*lists.get("allow", ()), *file.allow], "deny": {**lists.get("deny", {}), **file.deny}}
    taxonomy["thresholds"] = {**taxonomy.get("thresholds", {}), **file.thresholds}
    taxonomy["providers"] = {**taxonomy.get("providers", {}), **{name: limits.model_dump() for name, limits in file.providers.items()}}
    shipped = lexicon["terms"]
    first = {concept: [*words, *shipped.get(concept, ())] for concept, words in file.words.items()}
    lexicon["terms"] = {**first, **{concept: words for concept, words in shipped.items() if concept not in first}}
    lexicon["things"] = [*lexicon["things"], *file.things]
    taxonomy["patterns"] = {**taxonomy.get("patterns", {}), **{f"own_{name}": own.pattern for name, own in file.patterns.items()}}
    own = {f"own_{name}": {"class": own.class_name, "strength": own.strength, "rare": own.rare} for name, own in file.patterns.items()}
    detectors = {**documents["detectors"], "detectors": {**documents["detectors"]["detectors"], **file.detectors, **own}}
    return {"taxonomy": taxonomy, "lexicon": lexicon, "names": _names(documents["names"], file), "detectors": detectors}


def _names(shipped: Mapping[str, Any], file: RuleFile) -> dict[str, Any]:
    merged = {**shipped, "version": file.version}
    for name, grades in file.names.items():
        old = merged.get(name, {})
        merged[name] = {**old, **{grade: [*old.get(grade, ()), *phrases] for grade, phrases in grades.items()}}
    return merged


def pattern_failures(file: RuleFile) -> Iterator[Failure]:
    """Values of the file's own tests that its patterns take otherwise."""
    for name, own in file.patterns.items():
        for values, wanted in ((own.fits, "fits"), (own.fits_not, "fits not")):
            for value in values:
                got = "fits" if any(match.detector == f"own_{name}" for match in _fitting(file, value)) else "fits not"
                if got != wanted:
                    yield Failure(f"patterns.{name}: {value}", wanted, got, own.pattern)


def _fitting(file: RuleFile, value: str) -> list[Match]:
    patterns = patterns_of({f"own_{name}": own.pattern for name, own in file.patterns.items()})
    return patterns.matches(lines_of([Text([value])], len(value) + 1))[0] if patterns and value else []


class Failure(NamedTuple):
    """A column that its example wants judged otherwise."""

    column: str
    wanted: str
    got: str
    why: str


def failures(examples: Sequence[Example], ruleset: Ruleset, thresholds: Thresholds) -> Iterator[Failure]:
    """What does not come out as the examples say. Raises ValueError where one wants a class that does not exist."""
    judge = Judge(ruleset, thresholds)
    for example in examples:
        if unknown := [name for name in example.columns.values() if not ruleset.knows(name)]:
            raise ValueError(f"a test of {example.table} wants the unknown class {unknown[0]}")
        verdicts = judge.judge([_table(example)])[0].columns
        for verdict, wanted in zip(verdicts, example.columns.values(), strict=True):
            if verdict.class_name != wanted:
                why = "; ".join(f"{reason.text} ({reason.weight:+.1f})" for reason in verdict.reasons[:3])
                yield Failure(f"{example.table}.{verdict.name}", wanted, verdict.class_name, why)


def _table(example: Example) -> SchemaDiscovered:
    schema, _, name = example.table.rpartition(".")
    columns = []
    for place, text in enumerate(example.columns, 1):
        column, _, type = text.partition(" ")
        columns.append(Column(name=column, position=place, type=type or "text"))
    asset = AssetName(_TENANT, _SOURCE, "db", schema or "public", name)
    spec = DataSource(name=_SOURCE, tenant=_TENANT, database="db")
    return SchemaDiscovered(
        asset=asset.key, source=asset.source_key, sequence=1, scan_id="test", database="db", schema_name=schema or "public",
        table=name, columns=tuple(columns), fingerprint="test", spec=spec,
    )  # fmt: skip


class Change(NamedTuple):
    """One column that other rules judge otherwise."""

    asset: str
    column: str
    before: str
    after: str


def changes(old: Judge, new: Judge, tables: Sequence[SchemaDiscovered]) -> Iterator[Change]:
    """What would be said of these tables by `new` that `old` does not say."""
    for table, before, after in zip(tables, old.judge(tables), new.judge(tables), strict=True):
        for one, other in zip(before.columns, after.columns, strict=True):
            if one.class_name != other.class_name:
                yield Change(table.asset, one.name, one.class_name, other.class_name)

"""The whole decision on one asset: facts, controls, waivers, roll-up. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from services.compliance.domain.evaluate import SEVERITIES, Finding, Judge
from services.compliance.domain.facts import Section, source_facts
from services.compliance.domain.policy import Rules, digest_of
from services.compliance.domain.reading import EVIDENCE, FactReader, worst_sensitivity
from services.compliance.domain.rollup import classes, risk
from services.compliance.domain.violations import Settled, Standing, settle, violation_id
from shared.contracts.asset import AssetClassified, Reason
from shared.contracts.compliance import ComplianceEvaluated, ControlResult
from shared.contracts.connection import Posture
from shared.contracts.source import DataSource

FIRST = ("fail", "waived", "unknown", "pass")
OPERATIONAL = frozenset(
    {
        "pool_size",
        "max_overflow",
        "pool_timeout",
        "sample_rows",
        "pace",
        "scan_budget",
        "schedule",
        "scope",
        "username",
        "password_secret",
        "ssl_config",
        "replica_config",
    }
)


@dataclass(frozen=True, slots=True)
class SourceView:
    """What is known of a source: its spec and posture, and the facts rules read from them.

    `spoken` is a digest of what later stages read of the spec, `digest` of that and the facts: whoever was judged with another is stale.
    """

    spec: DataSource
    posture: Posture
    sections: Mapping[str, Section]
    spoken: str
    digest: str


@dataclass(frozen=True, slots=True)
class Assessment:
    """The event to say, what opens and closes, and a digest that is equal where nothing changed but numbers and ids."""

    event: ComplianceEvaluated
    settled: Settled
    digest: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """An asset to judge, with what is known of its source, its violations so far by control, and the number of what will be said."""

    asset: AssetClassified
    view: SourceView
    standing: Mapping[str, Standing]
    sequence: int


class Assessor:
    """Assesses assets by one set of rules."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._reader = FactReader(rules.vocabulary, rules.needed)
        self._labels = tuple(policy.label for policy in rules.policies)

    def view(self, spec: DataSource, posture: Posture) -> SourceView:
        sections = source_facts(spec, posture, self.rules.residency)
        spoken = digest_of(spec.model_dump_json(exclude=set(OPERATIONAL)))
        facts = (f"{section}.{name}={value}" for section, known in sections.items() for name, value in known.items())
        return SourceView(spec, posture, sections, spoken, digest_of(spoken, *facts))

    def assess_all(self, wanted: Iterable[Wanted], *, now: datetime) -> list[Assessment]:
        """Judge several assets, in the order given. Safe to run in a thread: nothing is shared between calls."""
        judge = Judge(self.rules)
        return [self._assess(judge, each, now) for each in wanted]

    def _assess(self, judge: Judge, wanted: Wanted, now: datetime) -> Assessment:
        asset, view = wanted.asset, wanted.view
        judgement = judge.judge(self._reader.read(asset, view.sections))
        settled = settle(sorted(judgement.results, key=_worst_first), wanted.standing, now)
        sensitivity = worst_sensitivity(asset.columns)
        event = ComplianceEvaluated(
            asset=asset.asset,
            source=asset.source,
            sequence=wanted.sequence,
            based_on=asset.sequence,
            scan_id=asset.scan_id,
            database=asset.database,
            schema_name=asset.schema_name,
            table=asset.table,
            controls=tuple([said(result, asset.asset) for result in settled.results]),
            facts=judgement.facts,
            missing=judgement.missing,
            classes=classes(asset.columns),
            regulations=judgement.regulations,
            obligations=judgement.obligations,
            sensitivity=sensitivity,
            risk=risk(sensitivity, asset.rows_estimated, settled.results),
            policies=self._labels,
            truncated=asset.truncated,
            spec=view.spec,
        )
        return Assessment(event, settled, _digest(event, view))


def said(result: Finding, asset: str) -> ControlResult:
    """A finding as the event tells it."""
    if result.result in ("pass", "unknown"):
        return _quiet(result)
    return ControlResult(
        control=result.control,
        framework=result.framework,
        result=result.result,
        severity=result.severity,
        violation=violation_id(result.control, asset),
        message=result.message,
        columns=result.columns,
        reads=tuple([fact.name for fact in result.facts]),
    )


@lru_cache(maxsize=8192)
def _quiet(result: Finding) -> ControlResult:
    return ControlResult(
        control=result.control, framework=result.framework, result=result.result, severity=result.severity, missing=result.missing
    )


def _worst_first(result: Finding) -> tuple[int, int, str]:
    return FIRST.index(result.result), -SEVERITIES.index(result.severity), result.control


def _digest(event: ComplianceEvaluated, view: SourceView) -> str:
    """Over what a reader would act on; not over sequences, scans, versions of packs or the facts behind an unchanged result."""
    results = (f"{r.control}\x1f{r.result}\x1f{r.severity}\x1f{r.message}\x1f{r.columns}\x1f{r.missing}" for r in event.controls)
    missing = (f"{each.name}\x1f{each.says}" for each in event.missing)
    classes = (f"{c.class_name}\x1f{c.sensitivity}\x1f{c.columns}" for c in event.classes)
    rest = (view.spoken, event.sensitivity, str(event.risk), *event.regulations, *event.obligations)
    return digest_of(*results, *missing, *classes, *rest)


def slim(asset: AssetClassified) -> AssetClassified:
    """The asset without what no rule reads: reasons keep only what the values said, as a sign."""
    columns = tuple(
        column
        if not column.reasons
        else column.model_copy(
            update={"reasons": tuple(Reason(rule=r.rule, text="", weight=r.weight) for r in column.reasons if r.rule.startswith(EVIDENCE))}
        )
        for column in asset.columns
    )
    return asset.model_copy(update={"columns": columns})

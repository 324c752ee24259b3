"""Compliance's door for HTTP: policies, violations, waivers, reports."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.compliance.domain.assess import Assessor, Wanted
from services.compliance.domain.document import InvalidPack
from services.compliance.domain.evaluate import SEVERITIES
from services.compliance.domain.policy import Policy, Rules
from services.compliance.domain.report import to_csv
from services.compliance.domain.rules import tried
from services.compliance.domain.violations import STATES
from services.compliance.store import ComplianceUnit, ReportRow, Store, Views, ViolationFilter
from shared.bus.unit import Cause
from shared.contracts.asset import AssetClassified
from shared.contracts.names import SourceName, source_of
from shared.errors import UsageError
from shared.web.auth import actor_of
from shared.web.body import body_of
from shared.web.guard import check, hidden, narrowed
from shared.web.problems import problem

MAX_WAIVER = timedelta(days=400)
MOST = 1000
BEGINNING = re.compile("[0-9a-fA-F-]{0,36}")
LISTED = "`pursight violations list --state all` shows them."
DRY_RUN_ASSETS, DRY_RUN_SECONDS = 500, 10.0


def routes(store: Store, views: Views, assessor: Assessor) -> list[Route]:
    """Everything under /policies, /violations and /reports."""
    policies, violations = Policies(assessor, views), Violations(store, views, assessor)
    reports = Reports(assessor.rules, views)
    return [
        Route("/policies", policies.list, methods=["GET"]),
        Route("/policies/test", policies.test, methods=["POST"]),
        Route("/policies/{framework}", policies.show, methods=["GET"]),
        Route("/violations", violations.list, methods=["GET"]),
        Route("/violations/{id}", violations.show, methods=["GET"]),
        Route("/violations/{id}/waive", violations.waive, methods=["POST"]),
        Route("/violations/{id}/unwaive", violations.unwaive, methods=["POST"]),
        Route("/reports/{framework}", reports.show, methods=["GET"]),
    ]


class Policies:
    """The rules, and a dry run of new ones."""

    def __init__(self, assessor: Assessor, views: Views) -> None:
        self._assessor, self._views = assessor, views

    async def list(self, request: Request) -> Response:
        found = [summary(policy) for policy in self._assessor.rules.policies]
        return JSONResponse({"policies": found})

    async def show(self, request: Request) -> Response:
        policy = find(self._assessor.rules, request.path_params["framework"])
        return JSONResponse(described(policy)) if policy else no_such_framework(self._assessor.rules)

    async def test(self, request: Request) -> Response:
        """Check a pack, run the tests inside it, and say what it would find on what is stored. Nothing is kept or said."""
        document = await body_of(request)
        text = document.get("pack")
        if not isinstance(text, str):
            raise UsageError("no pack given", remedy='Send {"pack": "…the YAML text…"}.', code="pack_missing")
        assets = await self._views.sample(DRY_RUN_ASSETS)
        try:
            async with asyncio.timeout(DRY_RUN_SECONDS):
                found = await asyncio.to_thread(dry_run, self._assessor.rules, text, str(document.get("file", "pack.yaml")), assets)
        except InvalidPack as error:
            faults = [{"file": fault.file, "line": fault.line, "message": fault.message} for fault in error.faults]
            return problem(422, error.code, f"{len(faults)} fault(s) in this pack", error.remedy, faults=faults)
        except TimeoutError:
            return problem(422, "policy_slow", "The pack takes too long", "Make it smaller.")
        return JSONResponse(found)


def dry_run(rules: Rules, text: str, file: str, assets: list[AssetClassified]) -> dict[str, Any]:
    """What a pack would say of these assets. Raises InvalidPack."""
    together = tried(rules, text, file)
    policy = together.policies[-1]
    alone = Assessor(Rules(rules.vocabulary, rules.residency, (policy,), rules.schema, together.digest))
    wanted = [Wanted(asset, alone.view(asset.spec, asset.posture), {}, 1) for asset in assets]
    results = [(done.event.asset, result) for done in alone.assess_all(wanted, now=datetime.now(UTC)) for result in done.settled.results]
    fails = [
        {"asset": asset, "control": r.control, "severity": r.severity, "message": r.message} for asset, r in results if r.result == "fail"
    ]
    counts = {name: sum(r.result == name for _, r in results) for name in ("pass", "fail", "unknown")}
    return {"policy": policy.label, "controls": len(policy.controls), "assets": len(assets), **counts, "examples": fails[:20]}


class Violations:
    """What fails, worst first; and waivers."""

    def __init__(self, store: Store, views: Views, assessor: Assessor) -> None:
        self._store, self._views, self._assessor = store, views, assessor

    async def list(self, request: Request) -> Response:
        """Filters: framework, severity, source, asset, state (open, waived, resolved, all), id (the beginning of one).
        `group=control` sums up by control and source."""
        wanted = self._filter(request)
        read = self._views.grouped if request.query_params.get("group") == "control" else self._views.violations
        rows, total = await read(wanted)
        return JSONResponse({"violations": rows, "total": total})

    def _filter(self, request: Request) -> ViolationFilter:
        given = request.query_params
        framework = given.get("framework")
        policy = find(self._assessor.rules, framework) if framework else None
        if framework and policy is None:
            raise UsageError("no such framework", remedy=known_frameworks(self._assessor.rules), code="unknown_framework")
        state = one_of(given.get("state", "open"), (*STATES, "all"), "state")
        severity = given.get("severity")
        return ViolationFilter(
            pack=policy.text.name if policy else None,
            severity=one_of(severity, SEVERITIES, "severity") if severity else None,
            source=narrowed(request, "violation.read"),
            states=STATES if state == "all" else (state,),
            asset=given.get("asset"),
            begins=beginning(given.get("id", "")),
            limit=min(number(given.get("limit", "100"), "limit"), MOST),
            offset=number(given.get("offset", "0"), "offset"),
        )

    async def show(self, request: Request) -> Response:
        row = await self._views.violation(identity(request))
        return no_such_violation() if row is None or await hidden_from(request, row["asset"]) else JSONResponse(row)

    async def waive(self, request: Request) -> Response:
        """Accept a violation for a time: {"reason": …, "expires": ISO 8601 or "days": n, "owner": who answers}. Audited."""
        if (asset := await self._decidable(request, "violation.waive")) is None:
            return no_such_violation()
        document = await body_of(request)
        reason, until = waiver(document, datetime.now(UTC))
        owner = document.get("owner")
        actor = f"{actor_of(request)} for {owner}" if isinstance(owner, str) and owner else actor_of(request)
        async with self._judged_anew(asset) as (unit, cause):
            fact = await unit.waive(identity(request), actor, reason, until, cause)
        if fact is None:
            return problem(409, "violation_resolved", "This violation is resolved", "There is nothing to waive.")
        return JSONResponse({"violation": fact.violation, "state": "waived", "expires": until.isoformat(), "waived_by": actor})

    async def unwaive(self, request: Request) -> Response:
        """End a waiver before its time: {"reason": …}. What fails then is open at once. Audited."""
        if (asset := await self._decidable(request, "violation.unwaive")) is None:
            return no_such_violation()
        reason = reason_in(await body_of(request))
        async with self._judged_anew(asset) as (unit, cause):
            ended = await unit.unwaive(identity(request), actor_of(request), reason, cause)
        if not ended:
            return problem(409, "violation_not_waived", "This violation is not waived", "There is nothing to end.")
        return JSONResponse(await self._views.violation(identity(request)))

    async def _decidable(self, request: Request, action: str) -> str | None:
        """The asset of the violation, where who asks may see it. Raises Denied where they may not do this to it."""
        found = await self._views.violation(identity(request))
        if found is None or await hidden_from(request, found["asset"]):
            return None
        asset: str = found["asset"]
        check(request, action, SourceName.parse(source_of(asset)).tenant, asset)
        return asset

    @asynccontextmanager
    async def _judged_anew(self, asset: str) -> AsyncIterator[tuple[ComplianceUnit, Cause]]:
        """A unit at whose end the asset is judged with what was decided in it."""
        cause = Cause.new(tenant=SourceName.parse(source_of(asset)).tenant)
        async with self._store.unit(keys=[asset]) as unit:
            yield unit, cause
            await unit.judge([(event, cause) for event in await unit.bodies([asset])], self._assessor, only_changes=True)


def reason_in(document: dict[str, Any]) -> str:
    """Why a waiver is made or ended. Raises UsageError where that is not said."""
    reason = document.get("reason")
    if not isinstance(reason, str) or len(reason.strip()) < 10:
        raise UsageError("a waiver needs a reason of at least ten characters", remedy="Auditors read it.", code="waiver_reason")
    return reason.strip()[:1000]


def waiver(document: dict[str, Any], now: datetime) -> tuple[str, datetime]:
    """Reason and end of a waiver. Raises UsageError where one is missing, past or too far away."""
    reason, expires, days = reason_in(document), document.get("expires"), document.get("days")
    try:
        until = now + timedelta(days=days) if isinstance(days, int) else _end(str(expires))
    except (ValueError, OverflowError):
        raise UsageError("a waiver needs an end", remedy="Give a day (2026-12-31) or a number of days.", code="waiver_expiry") from None
    if not now < until <= now + MAX_WAIVER:
        raise UsageError("a waiver cannot end then", remedy=f"Let it end within the next {MAX_WAIVER.days} days.", code="waiver_expiry")
    return reason, until


def _end(text: str) -> datetime:
    """The moment that is meant, in UTC; a day is over at its end. Raises ValueError."""
    try:
        until = datetime.combine(date.fromisoformat(text), time(23, 59, 59))
    except ValueError:
        until = datetime.fromisoformat(text)
    return until.astimezone(UTC) if until.tzinfo else until.replace(tzinfo=UTC)


class Reports:
    """What an auditor asks for."""

    def __init__(self, rules: Rules, views: Views) -> None:
        self._rules, self._views = rules, views

    async def show(self, request: Request) -> Response:
        """Per control: how many assets pass, fail, are waived or not known; the failing tables with facts. `format=csv` for a table."""
        policy = find(self._rules, request.path_params["framework"])
        if policy is None:
            return no_such_framework(self._rules)
        given = request.query_params
        most = min(number(given.get("tables", "200"), "tables"), MOST)
        rows = await self._views.report(policy.text.name, narrowed(request, "report.read"), most)
        controls = [reported(policy, index, rows) for index in range(len(policy.controls))]
        if given.get("format") == "csv":
            name = f"{policy.text.name}-{policy.text.version}.csv"
            return Response(to_csv(controls), media_type="text/csv", headers={"Content-Disposition": f'attachment; filename="{name}"'})
        return JSONResponse({**summary(policy), "source": given.get("source"), "controls": controls})


def reported(policy: Policy, index: int, rows: dict[str, ReportRow]) -> dict[str, Any]:
    """One control of a report."""
    control = policy.controls[index]
    row = rows.get(control.id) or ReportRow({}, {}, ())
    counts = {name: row.outcomes.get(name, 0) for name in ("pass", "fail", "waived", "unknown")}
    return {
        "control": control.text.id,
        "title": control.text.title,
        "severity": control.text.severity,
        **counts,
        "missing": dict(row.missing),
        "tables": [dict(table) for table in row.tables],
    }


def summary(policy: Policy) -> dict[str, Any]:
    text = policy.text
    return {
        "name": text.name,
        "framework": text.framework,
        "regulation": text.regulation,
        "version": text.version,
        "digest": policy.digest,
        "about": text.about,
        "controls": len(policy.controls),
    }


def described(policy: Policy) -> dict[str, Any]:
    """A pack as its author wrote it, without the tests."""
    fields = {"id", "title", "severity", "applies", "check", "remedy", "obligations"}
    controls = [{**control.text.model_dump(include=fields, mode="json"), "facts": list(control.read_once)} for control in policy.controls]
    return {**summary(policy), "scope": policy.scope.source, "controls": controls}


def find(rules: Rules, wanted: str) -> Policy | None:
    """By name, framework or regulation, whatever the case."""
    key = wanted.casefold().replace(" ", "-")
    names = ((policy, policy.text.name, policy.text.framework, policy.text.regulation) for policy in rules.policies)
    return next((policy for policy, *known in names if key in [name.casefold().replace(" ", "-") for name in known]), None)


def one_of(value: str, known: tuple[str, ...], name: str) -> str:
    """`value` itself. Raises UsageError where it is not known."""
    if value not in known:
        raise UsageError(f"unknown {name}", remedy=f"Known are: {', '.join(known)}.", code=f"unknown_{name}")
    return value


def number(text: str, name: str) -> int:
    """A whole number from 0. Raises UsageError."""
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise UsageError(f"{name} is not a number", code="not_a_number")
    return int(text)


def identity(request: Request) -> UUID:
    """The violation's id in the path. Raises UsageError where it is none."""
    try:
        return UUID(request.path_params["id"])
    except ValueError:
        raise not_an_id() from None


def beginning(id: str) -> str:
    """What ids shall begin with. Raises UsageError where none can."""
    if not BEGINNING.fullmatch(id):
        raise not_an_id()
    return id.lower()


def not_an_id() -> UsageError:
    return UsageError("not a violation's id", remedy=LISTED, code="not_an_id")


async def hidden_from(request: Request, asset: str) -> bool:
    return await hidden(request, "violation.read", SourceName.parse(source_of(asset)).tenant, asset)


def known_frameworks(rules: Rules) -> str:
    return f"Known are: {', '.join(policy.text.framework for policy in rules.policies)}."


def no_such_framework(rules: Rules) -> Response:
    return problem(404, "unknown_framework", "no such framework", known_frameworks(rules))


def no_such_violation() -> Response:
    return problem(404, "unknown_violation", "No violation of this id", LISTED)

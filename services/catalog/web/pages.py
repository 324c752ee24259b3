"""The pages' door: what is asked for becomes a template's values. Every page has an address that says all of its state."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncpg
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from services.catalog.domain import shown
from services.catalog.domain.progress import is_unreachable
from services.catalog.domain.wanted import Wanted, clean, number, wanted
from services.catalog.store import progress as steps
from services.catalog.store import read, search
from services.catalog.web import words
from shared.contracts.names import SourceName
from shared.web.guard import narrowed, seen

FOLDER = Path(__file__).parent
ACTION, REVIEW = "catalog.read", "classification.review"
PAGE = 25
FIRST_CONTROLS = FEW_COLUMNS = 6
MANY_TABLES = 2000  # from here on the overview is asked for less often while a scan runs
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # without it a browser does not say where a form came from
    "Cache-Control": "no-store",
    "Vary": "Accept, Cookie, HX-Request",
}


def wants_page(request: Request) -> bool:
    """Does a browser ask, or the script of our own pages (which accepts anything)? Tools that do not name HTML get JSON."""
    return "text/html" in request.headers.get("accept", "") or "hx-request" in request.headers


def environment() -> Environment:
    """Templates with escaping on for everything, and an error for every name that is not given."""
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters.update(words.FILTERS)
    made.globals["query"] = words.query
    made.globals["static"] = _static_version()
    return made


def _static_version() -> str:
    """A mark of the files' content, so that a browser never mixes old styles with new pages."""
    seal = sha256()
    for file in sorted((FOLDER / "static").rglob("*.*")):
        seal.update(file.read_bytes())
    return seal.hexdigest()[:10]


class Static(StaticFiles):
    """Files that may be kept: their address changes with their content."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers.update({"Cache-Control": "private, max-age=86400", "X-Content-Type-Options": "nosniff"})
        return answer


def static_files() -> Mount:
    return Mount("/static", Static(directory=FOLDER / "static"))


class Pages:
    """The pages over one pool."""

    def __init__(self, pool: asyncpg.Pool, *, stuck_after_seconds: float) -> None:
        self._pool, self._stuck, self._templates = pool, stuck_after_seconds, environment()

    def _page(self, template: str, status: int = 200, **values: Any) -> Response:
        now = datetime.now(UTC)
        given = {"ago": partial(words.ago, now=now), "asked": Wanted(), **values}
        return HTMLResponse(self._templates.get_template(template).render(given), status, headers=HEADERS)

    def missing(self, what: str, key: str) -> Response:
        return self._page("missing.html", 404, what=what, key=key)

    async def overview(self, request: Request) -> Response:
        """`/`: sources, riskiest tables, worst violations, compliance by framework."""
        every = request.query_params.get("violations") == "all"
        scope = narrowed(request, ACTION)
        figures = await read.figures(self._pool, scope)
        controls = await read.open_controls(self._pool, scope)
        sources = [await self._card(source, figures) for source in await read.sources(self._pool, scope)]
        busy, totals = any(not card["progress"]["done"] and not card["progress"]["failed"] for card in sources), _totals(figures)
        return self._page(
            "overview.html",
            sources=sources,
            busy=busy,
            every_seconds=30 if not busy else 2 if totals["tables"] < MANY_TABLES else 6,
            riskiest=await read.riskiest(self._pool, scope, limit=8),
            violations=controls if every else controls[:FIRST_CONTROLS],
            more=0 if every else max(0, len(controls) - FIRST_CONTROLS),
            every=every,
            frameworks=_by_framework(figures["frameworks"]),
            totals=totals,
        )

    async def _card(self, source: dict[str, Any], figures: dict[str, Any]) -> dict[str, Any]:
        key = source["source"]
        return {
            **source,
            "progress": await self._progress(key),
            "unreachable_now": is_unreachable(source),
            "figures": next((one for one in figures["sources"] if one["source"] == key), None),
            "classes": [one for one in figures["classes"] if one["source"] == key],
        }

    async def _progress(self, subject: str) -> dict[str, Any]:
        return await steps.progress_of(self._pool, subject, now=datetime.now(UTC), stuck_after_seconds=self._stuck)

    async def search(self, request: Request) -> Response:
        """`/search`: one box, facets, tables with the columns that match."""
        asked = wanted(request.query_params, limit=PAGE)
        found = await search.search(self._pool, asked._replace(source=clean(narrowed(request, ACTION) or "")))
        for result in found["results"]:
            result["columns"] = shown.matching(result["columns"], asked.text, asked.class_name, review=asked.review)[:FEW_COLUMNS]
        part = "results.html" if request.headers.get("hx-target") == "results" else "search.html"
        return self._page(part, asked=asked, found=found, filters=_filters(asked))

    async def asset(self, request: Request) -> Response:
        """`/assets/{key}`: columns with class and why, violations, tags, lineage, timeline."""
        key = clean(request.path_params["key"])
        if (found := await read.asset(self._pool, key)) is None:
            return self.missing("table", key)
        columns = shown.columns(found["doc"], found["verdict"])
        texts, judgement = await read.texts(self._pool), found["judgement"] or {}
        controls = [control | texts.of(control["control"]) for control in judgement.get("controls", ())]
        only, reviewed = request.query_params.get("only") == "classified", clean(request.query_params.get("reviewed", ""))
        may_review = seen(request, REVIEW, SourceName.parse(found["source"]).tenant, key)
        known_classes = await read.classes(self._pool) if may_review else []
        return self._page(
            "asset.html",
            asset=found,
            all_columns=columns,
            columns=[one for one in columns if one["class"] != "none"] if only else columns,
            only=only,
            reviewed=reviewed if any(one["name"] == reviewed for one in columns) else "",
            refused=_refused(request, {one["name"] for one in columns}, known_classes),
            known_classes=known_classes,
            violations=await read.violations(self._pool, asset=key, states=("open", "waived")),
            controls=_controls(controls),
            missing=judgement.get("missing", []),
            tag_sets=await read.tags(self._pool, asset=key, source=found["source"]),
            compared=await read.beyond_contract(self._pool, key),
            edges=await read.lineage(self._pool, key),
            events=await self._events(read.subjects_of(key)),
        )

    async def source(self, request: Request) -> Response:
        """`/progress/{source}`: how far its scan is, how it is reached, what its resource carries."""
        subject = clean(request.path_params["subject"])
        progress = await self._progress(subject)
        source = next(iter(await read.sources(self._pool, progress["source"])), None)
        if source is None and progress["state"] == "unknown":
            return self.missing("source or scan", subject)
        figures = await read.figures(self._pool, progress["source"])
        return self._page(
            "source.html",
            progress=progress,
            source=source,
            unreachable_now=bool(source and is_unreachable(source)),
            figures=next(iter(figures["sources"]), None),
            classes=figures["classes"],
            frameworks=_by_framework(figures["frameworks"]),
            undeclared=await read.undeclared(self._pool, progress["source"]),
            tag_sets=await read.tags(self._pool, source=progress["source"]),
            events=await self._events([progress["source"]]),
        )

    async def timeline(self, request: Request) -> Response:
        """`/timeline/{subject}`: which service said what, when, after which event, in which trace."""
        subject = clean(request.path_params["subject"])
        limit = number(request.query_params, "limit", 500, 5000)
        events = await self._events(read.subjects_of(subject), limit)
        if not events:
            return self.missing("timeline", subject)
        cut, tag_sets = "newest" if len(events) == limit else "", await read.tags(self._pool, job=subject)
        return self._page("timeline.html", title=subject, trace=None, events=events, cut=cut, tag_sets=tag_sets)

    async def trace(self, request: Request) -> Response:
        """`/traces/{trace_id}`: one trace from the first event to the last, with the traces linked to it."""
        trace_id = clean(request.path_params["trace_id"])
        limit = number(request.query_params, "limit", 1000, 5000)
        found = await read.trace(self._pool, trace_id, limit=limit)
        if not found["events"]:
            return self.missing("trace", trace_id)
        events, cut = shown.with_causes(found["events"]), "first" if len(found["events"]) == limit else ""
        return self._page("timeline.html", title=trace_id, trace=found, events=events, cut=cut, tag_sets=[])

    async def _events(self, subjects: list[str], limit: int = 200) -> list[dict[str, Any]]:
        return shown.with_causes(await read.timeline(self._pool, subjects, limit=limit))


def _refused(request: Request, columns: Collection[str], classes: Collection[str]) -> dict[str, str]:
    """The word on a column that was not taken, and why, as far as it can be told from what is known here; no column where none was."""
    column, class_name = (clean(request.query_params.get(name, "")) for name in ("refused", "class_name"))
    if column and column not in columns:
        why = "the table has no such column any more. Look for it below by another name."
    elif class_name and class_name not in classes:
        why = "there is no such class any more. Choose another one."
    else:
        why = "the classifier has not seen the table as it is shown here. Try again in a moment."
    return {"column": column, "class_name": class_name, "why": why}


def _by_framework(counts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per framework: how many results of each kind."""
    by_name: defaultdict[str, dict[str, int]] = defaultdict(lambda: {"pass": 0, "fail": 0, "unknown": 0, "waived": 0})
    for one in counts:
        if one["result"] in by_name[one["framework"]]:
            by_name[one["framework"]][one["result"]] = one["count"]
    return [{"name": name, "results": results} for name, results in sorted(by_name.items())]


def _totals(figures: dict[str, Any]) -> dict[str, int]:
    return {name: sum(one[name] for one in figures["sources"]) for name in ("tables", "columns", "open", "review")}


def _controls(controls: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Controls by what came out, those that need a person first."""
    by_result: dict[str, list[dict[str, Any]]] = {result: [] for result in ("fail", "unknown", "waived", "pass", "not_applicable")}
    for control in controls:
        by_result.setdefault(control["result"], []).append(control)
    return {result: of_result for result, of_result in by_result.items() if of_result and result != "fail"}


def _filters(asked: Wanted) -> dict[str, str]:
    """The filters that are set, as they stand in the address."""
    given = {
        "q": asked.text,
        "class": asked.class_name,
        "framework": asked.framework,
        "source": asked.source,
        "sensitivity": asked.sensitivity,
    }
    return {name: value for name, value in given.items() if value} | ({"review": "1"} if asked.review else {})

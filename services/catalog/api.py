"""The catalog's door for tools: everything the pages show, as JSON."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import asyncpg
import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from services.catalog.domain import shown
from services.catalog.domain.wanted import clean, moment, number, wanted
from services.catalog.store import export, read, search
from services.catalog.store import progress as steps
from shared.web.guard import narrowed
from shared.web.problems import problem

ACTION = "catalog.read"
_CHUNK_BYTES = 64 * 1024


def answer(document: object, status: int = 200) -> Response:
    """JSON; times as ISO 8601."""
    return Response(orjson.dumps(document), status, media_type="application/json")


class Api:
    """The routes' functions over one pool."""

    def __init__(self, pool: asyncpg.Pool, *, stuck_after_seconds: float) -> None:
        self._pool, self._stuck = pool, stuck_after_seconds

    async def search(self, request: Request) -> Response:
        """`GET /search?q=&class=&framework=&source=&sensitivity=&review=&named=&limit=&offset=`"""
        asked, scope = wanted(request.query_params), narrowed(request, ACTION)
        found = await search.search(self._pool, asked._replace(source=clean(scope or "")))
        for result in found["results"]:
            result["matching"] = [
                column["name"] for column in shown.matching(result["columns"], asked.text, asked.class_name, review=asked.review)
            ]
        return answer(found)

    async def sources(self, request: Request) -> Response:
        """`GET /sources-view`: sources with reachability and figures."""
        scope = narrowed(request, ACTION)
        return answer({"sources": await read.sources(self._pool, scope), **await read.figures(self._pool, scope)})

    async def asset(self, request: Request) -> Response:
        """`GET /assets/{key}`: columns with class and why, violations, tags, lineage."""
        key = clean(request.path_params["key"])
        if (found := await read.asset(self._pool, key)) is None:
            return problem(404, "asset_unknown", "No such asset", "`pursight search` finds tables by name.")
        described, verdict, judgement = found.pop("doc"), found.pop("verdict"), found.pop("judgement") or {}
        texts = await read.texts(self._pool)
        return answer(
            {
                **found,
                **{name: value for name, value in described.items() if name != "columns"},
                "columns": shown.columns(described, verdict),
                "identifying_together": (verdict or {}).get("identifying_together", []),
                "controls": [control | texts.of(control["control"]) for control in judgement.get("controls", ())],
                "missing": judgement.get("missing", []),
                "facts": judgement.get("facts", {}),
                "obligations": judgement.get("obligations", []),
                "violations": await read.violations(self._pool, asset=key, states=("open", "waived")),
                "tags": await read.tags(self._pool, asset=key),
                "contract": await read.beyond_contract(self._pool, key),
                "lineage": await read.lineage(self._pool, key),
            }
        )

    async def lineage(self, request: Request) -> Response:
        """`GET /lineage/{asset}?depth=`: edges by foreign keys and views."""
        key = clean(request.path_params["key"])
        edges = await read.lineage(self._pool, key, depth=max(1, number(request.query_params, "depth", 1, 10)))
        return answer({"asset": key, "edges": edges})

    async def timeline(self, request: Request) -> Response:
        """`GET /timeline/{subject}`: who said what, when, after which event, in which trace; an asset's with its source's."""
        subject = clean(request.path_params["subject"])
        events = await read.timeline(self._pool, read.subjects_of(subject), limit=number(request.query_params, "limit", 500, 5000))
        return answer({"subject": subject, "events": shown.with_causes(events)})

    async def trace(self, request: Request) -> Response:
        """`GET /traces/{trace_id}`: the same across a trace and the traces linked to it."""
        found = await read.trace(
            self._pool, clean(request.path_params["trace_id"]), limit=number(request.query_params, "limit", 1000, 20_000)
        )
        if not found["events"]:
            return problem(
                404,
                "trace_unknown",
                "No event of this trace is known",
                "`pursight scan` prints the id of its trace; old lines are dropped.",
            )
        return answer({**found, "events": shown.with_causes(found["events"])})

    async def progress(self, request: Request) -> Response:
        """`GET /progress/{source or scan_id}?since=`: how far the newest scan is, whether it is done, where it is stuck."""
        return answer(await self._progress(clean(request.path_params["subject"]), moment(request.query_params, "since")))

    async def _progress(self, subject: str, since: datetime | None = None) -> dict[str, Any]:
        return await steps.progress_of(self._pool, subject, now=datetime.now(UTC), stuck_after_seconds=self._stuck, since=since)

    async def stats(self, request: Request) -> Response:
        """`GET /stats?source=`: sources, classes, sensitivities, compliance by framework, riskiest tables, worst violations; of one source
        also what it does not declare."""
        source = clean(request.query_params.get("source", "")) or None
        scope = clean(narrowed(request, ACTION) or "") or None
        figures = await read.figures(self._pool, scope)
        return answer(
            {
                **figures,
                "riskiest": await read.riskiest(self._pool, scope),
                **({"undeclared": await read.undeclared(self._pool, source)} if source else {}),
                "violations": await read.violations(self._pool, source=scope, limit=20),
            }
        )

    async def digest(self, request: Request) -> Response:
        """`GET /digest?source=`: one hash over all facts, without times, ids and traces."""
        return answer(await export.digest(self._pool, clean(narrowed(request, ACTION) or "") or None))

    async def export_scan(self, request: Request) -> Response:
        """`GET /export/scan/{source}?printed=`: a source after its scan, streamed; `printed`, as `pursight scan --json` spells it."""
        source = clean(request.path_params["source"])
        if not await read.sources(self._pool, source):
            return problem(404, "source_unknown", "No such source", "See `pursight source list`.")
        printed = "printed" in request.query_params
        return StreamingResponse(self._scan_object(source, printed=printed), media_type="application/json")

    async def _scan_object(self, source: str, *, printed: bool) -> AsyncIterator[bytes]:
        told = await self._progress(source)
        head = {"source": source, "trace_id": told["trace_id"], "seconds": told.get("seconds", {})}
        lists = {
            "assets": self._exported_assets(source),
            "violations": export.violations(self._pool, source),
            "tags": self._exported_tags(source),
        }
        if not printed:
            head["scan_id"] = told["scan_id"]
            lists["undeclared"] = self._undeclared(source)
        spelled, comma = (shown.printed, b", ") if printed else (orjson.dumps, b",")
        yield spelled(head)[:-1]
        for name, documents in lists.items():
            yield comma + spelled({name: []})[1:-2]
            async with aclosing(_members(documents, spelled, comma)) as chunks:
                async for chunk in chunks:
                    yield chunk
            yield b"]"
        yield b"}"

    async def _exported_assets(self, source: str) -> AsyncIterator[dict[str, Any]]:
        async for one in export.assets(self._pool, source):
            described, verdict = orjson.loads(one["doc"]), orjson.loads(one["verdict"] or "null")
            told = shown.exported_asset(one["schema_name"], one["table_name"], one["kind"], described, verdict)
            yield {"asset": one["asset"], **told}

    async def _undeclared(self, source: str) -> AsyncIterator[dict[str, Any]]:
        for one in await read.undeclared(self._pool, source):
            yield one

    async def _exported_tags(self, source: str) -> AsyncIterator[dict[str, Any]]:
        async for tag_set in export.tags(self._pool, source):
            for tag in shown.exported_tags(tag_set):
                yield tag


async def _members(
    documents: AsyncIterator[dict[str, Any]], spelled: Callable[[object], bytes], comma: bytes
) -> AsyncGenerator[bytes, None]:
    """The members of a JSON array, in chunks: an object of ten thousand tables is never whole in memory."""
    chunk, first = bytearray(), True
    async for document in documents:
        chunk += spelled(document) if first else comma + spelled(document)
        first = False
        if len(chunk) > _CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    yield bytes(chunk)

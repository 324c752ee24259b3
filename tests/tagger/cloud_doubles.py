"""Doubles of the interfaces by which Google, Azure and Kubernetes take labels and tags, with their errors.

They keep what is written, refuse what the original would (characters, counts, stale versions and fingerprints, missing permission, wrong
token, throttling), and run operations that are not done at once. They prove that we speak as published, not that the clouds agree.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from shared.cloud.token import Token

LABEL_KEY, LABEL_VALUE = re.compile(r"[a-z][a-z0-9_-]{0,62}"), re.compile(r"[a-z0-9_-]{0,63}")
KUBERNETES_LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")


class Bearers:
    """Sign-in that numbers its tokens; the provider accepts the newest alone."""

    def __init__(self) -> None:
        self.given, self.owners = 0, set[str]()

    async def bearer(self, cloud: Any, scope: str, *, owner: str, again: bool = False) -> Token:
        self.owners.add(owner)
        if again or not self.given:
            self.given += 1
        return Token(f"token-{self.given}", 9e9)


@dataclass
class Kept:
    """One resource: what it carries, and how often that changed."""

    tags: dict[str, str] = field(default_factory=dict)
    version: int = 1


@dataclass
class Double:
    """One provider. `first` are answers given before anything else; `before_write` happens between somebody's look and his write."""

    address: str = ""
    resources: dict[str, Kept] = field(default_factory=dict)
    accepted: int = 1
    knows: Callable[[str], bool] | None = None  # whether a token is somebody's, in place of `accepted`
    denied: bool = False
    first: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    before_write: list[Callable[[Kept], None]] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    running: dict[str, int] = field(default_factory=dict)  # operations, and how often they are still told to run

    @web.middleware
    async def gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer" or not (self.knows(token) if self.knows else token == f"token-{self.accepted}"):
            return refusal(401, "UNAUTHENTICATED")
        if self.first:
            status, body = self.first.pop(0)
            return web.json_response(body, status=status, headers={"Retry-After": "0"})
        if self.denied:
            return refusal(403, "PERMISSION_DENIED")
        return await handler(request)  # type: ignore[no-any-return]

    def of(self, name: str) -> Kept:
        """Raises 404 where there is none."""
        if name not in self.resources:
            raise web.HTTPNotFound
        return self.resources[name]

    def write(self, name: str) -> Kept:
        """The resource, for a change; what others do meanwhile comes first."""
        kept = self.of(name)
        if self.before_write:
            self.before_write.pop(0)(kept)
            kept.version += 1
        self.writes.append(name)
        return kept

    def operation(self, name: str) -> web.Response:
        self.running[name] = 1
        return web.json_response({"name": name, "status": "RUNNING"})


def refusal(status: int, word: str) -> web.Response:
    return web.json_response({"error": {"code": status, "status": word, "message": "about anna@acme.com"}}, status=status)


def _labels_ok(labels: dict[str, str]) -> bool:
    return len(labels) <= 64 and all(LABEL_KEY.fullmatch(key) and LABEL_VALUE.fullmatch(value) for key, value in labels.items())


def _set(kept: Kept, tags: dict[str, Any], *, whole: bool) -> web.Response | None:
    """Take these labels, or refuse them."""
    new = {} if whole else dict(kept.tags)
    new.update(tags)
    new = {key: value for key, value in new.items() if value is not None}
    if not _labels_ok(new):
        return refusal(400, "INVALID_ARGUMENT")
    kept.tags, kept.version = new, kept.version + 1
    return None


class Google:
    """Cloud Storage, BigQuery, Cloud SQL, Compute, GKE and Dataproc at one address."""

    def __init__(self, double: Double) -> None:
        self._of = double

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/storage/v1/b/{name}", self.bucket),
            web.patch("/storage/v1/b/{name}", self.patch_bucket),
            web.get("/bigquery/v2/{name:.+}", self.dataset),
            web.patch("/bigquery/v2/{name:.+}", self.patch_dataset),
            web.get("/compute/v1/{home:.+}/operations/{name}", self.operation),
            web.get("/v1/{home:.+}/operations/{name}", self.operation),
            web.post("/compute/v1/{name:.+}/setLabels", self.set_compute),
            web.get("/compute/v1/{name:.+}", self.compute),
            web.post("/v1/{name:.+/clusters/[^/:]+}:setResourceLabels", self.set_cluster),
            web.patch("/v1/{name:.+/instances/[^/]+}", self.patch_sql),
            web.patch("/v1/{name:.+/regions/.+/clusters/[^/]+}", self.patch_dataproc),
            web.get("/v1/{name:.+}", self.described),
        ]

    async def bucket(self, request: web.Request) -> web.Response:
        kept = self._of.of(request.match_info["name"])
        return web.json_response({"labels": kept.tags, "metageneration": str(kept.version)})

    async def patch_bucket(self, request: web.Request) -> web.Response:
        kept = self._of.write(request.match_info["name"])
        if request.query.get("ifMetagenerationMatch") != str(kept.version):
            return refusal(412, "conditionNotMet")
        return _set(kept, (await request.json())["labels"], whole=False) or web.json_response({})

    async def dataset(self, request: web.Request) -> web.Response:
        kept = self._of.of(request.match_info["name"])
        return web.json_response({"labels": kept.tags, "etag": f"e{kept.version}"})

    async def patch_dataset(self, request: web.Request) -> web.Response:
        kept = self._of.write(request.match_info["name"])
        if request.headers.get("If-Match") != f"e{kept.version}":
            return refusal(412, "conditionNotMet")
        return _set(kept, (await request.json())["labels"], whole=False) or web.json_response({})

    async def compute(self, request: web.Request) -> web.Response:
        kept = self._of.of(request.match_info["name"])
        return web.json_response({"labels": kept.tags, "labelFingerprint": f"f{kept.version}"})

    async def set_compute(self, request: web.Request) -> web.Response:
        return await self._whole(request, "labels", "labelFingerprint")

    async def set_cluster(self, request: web.Request) -> web.Response:
        return await self._whole(request, "resourceLabels", "labelFingerprint")

    async def _whole(self, request: web.Request, labels: str, fingerprint: str) -> web.Response:
        kept, body = self._of.write(request.match_info["name"]), await request.json()
        if body.get(fingerprint) != f"f{kept.version}":
            return refusal(412, "conditionNotMet")
        return _set(kept, body[labels], whole=True) or self._of.operation(f"op-{len(self._of.writes)}")

    async def described(self, request: web.Request) -> web.Response:
        kept = self._of.of(request.match_info["name"])
        settings = {"userLabels": kept.tags, "settingsVersion": str(kept.version)}
        return web.json_response(
            {"settings": settings, "resourceLabels": kept.tags, "labelFingerprint": f"f{kept.version}", "labels": kept.tags}
        )

    async def patch_sql(self, request: web.Request) -> web.Response:
        kept, settings = self._of.write(request.match_info["name"]), (await request.json())["settings"]
        if settings["settingsVersion"] != str(kept.version):
            return refusal(412, "staleData")
        return _set(kept, settings["userLabels"], whole=False) or self._of.operation(f"op-{len(self._of.writes)}")

    async def patch_dataproc(self, request: web.Request) -> web.Response:
        kept = self._of.write(request.match_info["name"])
        assert request.query["updateMask"] == "labels"
        home = request.match_info["name"].rsplit("/", 2)[0]
        number = f"op-{len(self._of.writes)}"
        self._of.running[number] = 1
        return _set(kept, (await request.json())["labels"], whole=True) or web.json_response({"name": f"{home}/operations/{number}"})

    async def operation(self, request: web.Request) -> web.Response:
        left = self._of.running[request.match_info["name"]]
        self._of.running[request.match_info["name"]] = left - 1
        return web.json_response({"status": "RUNNING"} if left > 0 else {"status": "DONE", "done": True})


class Azure:
    """Resource Manager's tags at a scope: names are equal in any case, a change may run on."""

    def __init__(self, double: Double) -> None:
        self._of = double

    def routes(self) -> list[web.RouteDef]:
        path = "/{name:.+}/providers/Microsoft.Resources/tags/default"
        return [web.get(path, self.show), web.patch(path, self.patch), web.get("/operations/{name}", self.operation)]

    async def show(self, request: web.Request) -> web.Response:
        assert request.query["api-version"]
        return web.json_response({"properties": {"tags": self._of.of(request.match_info["name"]).tags}})

    async def patch(self, request: web.Request) -> web.Response:
        kept, body = self._of.write(request.match_info["name"]), await request.json()
        tags, there = body["properties"]["tags"], {key.casefold(): key for key in kept.tags}
        if body["operation"] == "Delete":
            gone = {there.get(key.casefold()) for key, value in tags.items() if kept.tags.get(there.get(key.casefold(), "")) == value}
            kept.tags = {key: value for key, value in kept.tags.items() if key not in gone}
        else:
            new = kept.tags | {there.get(key.casefold(), key): value for key, value in tags.items()}
            if len(new) > 50 or any(set(key) & set("<>%&\\?/") for key in new):
                return web.json_response({"error": {"code": "InvalidTagNameCharacters"}}, status=400)
            kept.tags = new
        self._of.running["op"] = 1
        return web.json_response({}, status=202, headers={"Location": f"{self._of.address}/operations/op?api-version=1"})

    async def operation(self, request: web.Request) -> web.Response:
        self._of.running["op"] -= 1
        return web.json_response({}, status=202 if self._of.running["op"] >= 0 else 200)


class Kubernetes:
    """Namespaces and workloads, by merge patch with a resource version."""

    def __init__(self, double: Double) -> None:
        self._of = double

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/{name:.+}", self.show), web.patch("/{name:.+}", self.patch)]

    async def show(self, request: web.Request) -> web.Response:
        return web.json_response({"metadata": self._metadata(self._of.of(request.match_info["name"]))})

    def _metadata(self, kept: Kept) -> dict[str, Any]:
        metadata: dict[str, Any] = {"resourceVersion": str(kept.version), "labels": {}, "annotations": {}}
        for name, value in kept.tags.items():
            kind, _, key = name.partition("/")
            metadata[kind][key] = value
        return metadata

    async def patch(self, request: web.Request) -> web.Response:
        assert request.content_type == "application/merge-patch+json"
        kept, metadata = self._of.write(request.match_info["name"]), json.loads(await request.text())["metadata"]
        if metadata.pop("resourceVersion") != str(kept.version):
            return web.json_response({"kind": "Status", "reason": "Conflict"}, status=409)
        given = {f"{kind}/{key}": value for kind, of_kind in metadata.items() for key, value in of_kind.items()}
        if any(name.startswith("labels/") and value is not None and not KUBERNETES_LABEL.fullmatch(value) for name, value in given.items()):
            return web.json_response({"kind": "Status", "reason": "Invalid"}, status=422)
        kept.tags = {key: value for key, value in (kept.tags | given).items() if value is not None}
        kept.version += 1
        return web.json_response({"metadata": self._metadata(kept)})


@asynccontextmanager
async def double_of(kind: type[Google] | type[Azure] | type[Kubernetes]) -> AsyncIterator[Double]:
    """One provider, listening on loopback."""
    double = Double()
    app = web.Application(middlewares=[double.gate])
    app.add_routes(kind(double).routes())
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    double.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield double
    finally:
        await runner.cleanup()

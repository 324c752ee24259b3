"""A double of Google Cloud Storage's JSON interface over TLS, as its reference describes it: pages, ranges, and its errors."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import unquote
from zlib import crc32

from aiohttp import web

from shared.local.ports import free_ports

CANARY = "canary7f31b"


class Gcs:
    """The bucket `lake` with these objects, for who brings a token that `takes` says yes to. It is busy twice at first."""

    def __init__(self, objects: Mapping[str, bytes], takes: Callable[[str], bool]) -> None:
        self.objects, self.takes, self.asked, self.busy = objects, takes, list[str](), 2

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.headers.get("Authorization", ""))
        if not self.takes(self.asked[-1].removeprefix("Bearer ")):
            return _refused(401, "authError")
        if self.busy:
            self.busy -= 1
            return _refused(429, "rateLimitExceeded")
        _, bucket, *rest = request.raw_path.partition("?")[0].removeprefix("/storage/v1").split("/")[1:]
        if bucket != "lake":
            return _refused(404, "notFound")
        if len(rest) == 1:
            return self._page(request)
        content = self.objects.get(unquote(rest[1]))
        first, _, last = request.headers["Range"].removeprefix("bytes=").partition("-")
        return web.Response(status=206, body=content[int(first) : int(last) + 1]) if content else _refused(404, "notFound")

    def _page(self, request: web.Request) -> web.Response:
        names = sorted(name for name in self.objects if name.startswith(request.query["prefix"]))
        at = int(request.query.get("pageToken", 0))
        told = {
            "items": [
                {"name": name, "size": str(len(self.objects[name])), "generation": str(crc32(self.objects[name]))}
                for name in names[at : at + 1]
            ]
        }
        return web.json_response({**told, **({"nextPageToken": str(at + 1)} if at + 1 < len(names) else {})})


def _refused(status: int, reason: str) -> web.Response:
    return web.json_response({"error": {"code": status, "errors": [{"reason": reason, "message": CANARY}]}}, status=status)


@asynccontextmanager
async def serving(double: Gcs, papers: Path) -> AsyncIterator[int]:
    """The port on 127.0.0.1 at which it answers, with the certificate `server.crt` of this folder."""
    app, context = web.Application(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(papers / "server.crt", papers / "server.key")
    app.router.add_get("/{rest:.*}", double.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    port = free_ports(1)[0]
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
    try:
        yield port
    finally:
        await runner.cleanup()

"""A line whose parts die: sources registered and scanned with patience, what each service still has to do, and its facts."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx

from shared.cli.target import parse
from shared.contracts.topics import SERVICES
from tests.journeys.stack import PATIENCE_SECONDS, Line

Answer = dict[str, Any]


@dataclass
class Frail:
    """`folder` arms fail points."""

    line: Line
    folder: Path
    began: float = field(default_factory=time.monotonic)

    def arm(self, service: str, place: str, times: int = 1) -> None:
        """The service dies the `times`-th time it comes to this place."""
        (self.folder / f"{service}.{place}").write_text(str(times))

    def waiting(self) -> list[str]:
        """Places that are armed and where nobody has died yet."""
        return sorted(file.name for file in self.folder.iterdir() if file.suffix != ".fallen")

    def fallen(self) -> list[str]:
        """Places where somebody died, the first first."""
        files = sorted(self.folder.glob("*.fallen"), key=lambda file: file.stat().st_ctime)
        return [file.name.removesuffix(".fallen") for file in files]

    def alive(self, part: str) -> bool:
        """Whether the part's process is there to be killed."""
        process = json.loads((self.line.home / "state.json").read_text())["parts"][part]["process"]
        return bool(process) and Path(f"/proc/{process['pid']}").exists()

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """One request; None where the service is away just now."""
        try:
            with self.line.http() as client:
                answer = client.request(method, path, timeout=30, **more)
        except httpx.TransportError:
            return None
        return None if answer.status_code >= 500 else answer.json()

    async def insist(self, method: str, path: str, seconds: float = PATIENCE_SECONDS, **more: Any) -> Any:
        """The same request until it is answered."""
        deadline = time.monotonic() + seconds
        while (answer := await asyncio.to_thread(self.ask, method, path, **more)) is None:
            assert time.monotonic() < deadline, f"{method} {path} was not answered"
            await asyncio.sleep(0.2)
        return answer

    async def register(self, name: str, url: str) -> str:
        """Register a database as a source; returns its key."""
        target = parse(url, name=name)
        reference = (await self.insist("PUT", f"/secrets/{name}", json={"value": target.password}))["reference"]
        answer = await self.insist("POST", "/sources", json={**target.document, "password_secret": reference})
        return str(answer["source"])

    async def rescan(self, source: str) -> bool:
        """Ask for a full scan, once: False where nobody answered."""
        return await asyncio.to_thread(self.ask, "POST", "/scans", json={"source": source, "mode": "full"}) is not None

    async def remove(self, source: str) -> None:
        tenant, name = source.split("/")
        await self.insist("DELETE", f"/sources/{tenant}/{name}")

    async def progress(self, source: str, since: datetime | None = None) -> Answer | None:
        """How far the source, or what was asked of it since then, is. None where the catalog is away."""
        query = {"since": since.isoformat()} if since else {}
        found: Answer | None = await asyncio.to_thread(self.ask, "GET", f"/progress/{quote(source, safe='')}", params=query)
        return found

    async def digest(self, source: str) -> Answer:
        return dict(await self.insist("GET", "/digest", params={"source": source}))

    async def digests(self, sources: Sequence[str]) -> dict[str, Answer]:
        return {source: await self.digest(source) for source in sources}

    async def settled(self, sources: Sequence[str], *, seconds: float = 2 * PATIENCE_SECONDS) -> None:
        """Wait until every scan is done and no service has anything left to do. Fails with what is still open."""
        deadline, quiet = time.monotonic() + seconds, 0
        while quiet < 3:
            left = await self.left(sources)
            quiet = 0 if left else quiet + 1
            assert time.monotonic() < deadline, f"still open after {seconds:.0f} s: {left}"
            await asyncio.sleep(0.3)

    async def left(self, sources: Sequence[str]) -> list[str]:
        """What is not done: scans, outboxes, jobs that are due."""
        found = []
        for source in sources:
            now = await self.progress(source)
            if not now or not now["done"]:
                found.append(f"{source}: {state(now)}")
        return found or await self.open_work()

    async def open_work(self) -> list[str]:
        """Rows in outboxes, jobs that are due or running, scans asked for."""
        connection = await asyncpg.connect(self.line.running.database_url)
        try:
            counts = {
                f"{service} {what}": await connection.fetchval(f"select count(*) from {service}.{where}")
                for service in SERVICES
                for what, where in (
                    ("outbox", "outbox"),
                    ("job", "job where state = 'running' or (state = 'waiting' and run_after <= now())"),
                    ("failed job", "job where state = 'failed'"),
                )
            }
            counts["scans"] = await connection.fetchval("select count(*) from discovery.scan where state in ('waiting', 'running')")
        finally:
            await connection.close()
        return [f"{what}: {count}" for what, count in counts.items() if count]

    async def gone(self, sources: Sequence[str], seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until nothing of these sources is left in the catalog's facts."""
        deadline = time.monotonic() + seconds
        while (left := {source: found for source in sources if len(found := await self.digest(source)) > 1}) or await self.open_work():
            assert time.monotonic() < deadline, f"still there after {seconds:.0f} s: {left} {await self.open_work()}"
            await asyncio.sleep(0.3)

    def letters(self) -> list[Answer]:
        """`pursight dlq list --json`."""
        told = self.line.shell("dlq", "list", "--json")
        assert told.returncode == 0, told.stderr
        return list(json.loads(told.stdout)["dead_letters"])


def state(now: Answer | None) -> str:
    """Progress in one line."""
    if now is None:
        return "catalog away"
    steps = " ".join(f"{step}={now[step]}" for step in ("found", "classified", "judged", "tagged"))
    return f"{now['state']} {steps} of {now['total']}"

"""A tenant's people see the tenant's part of the catalog: overview, search and figures, and nothing of another's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from hashlib import sha256

import asyncpg
import httpx
import pytest

from services.catalog.app import routes
from shared.settings import Machine
from shared.web.auth import SignIns
from shared.web.server import edge_app
from tests.catalog import story
from tests.catalog.story import SOURCE, TRACE, key_of
from tests.catalog.test_store import hear

LISTS = ("/", "/search", "/assets", "/sources-view", "/stats")


@pytest.fixture
async def ask(pool: asyncpg.Pool) -> AsyncIterator[httpx.AsyncClient]:
    """The story is tenant acme's; `acme`, `acm` and `other` are tokens of viewers of these tenants, `all` of one of all."""
    await hear(pool, story.scan())
    machines = {
        name: Machine(sha256=sha256(name.encode()).hexdigest(), roles=("viewer",), tenant="*" if name == "all" else name)
        for name in ("acme", "acm", "other", "all")
    }
    app = edge_app(routes(pool, stuck_after_seconds=60.0), token="t", signs=SignIns("t", machines=machines))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://catalog") as opened:
        yield opened


def by(who: str, accept: str = "text/html") -> dict[str, str]:
    return {"Authorization": f"Bearer {who}", "Accept": accept}


@pytest.mark.parametrize("accept", ["text/html", "*/*"])
@pytest.mark.parametrize("path", LISTS)
async def test_lists_hold_what_is_the_tenants(ask: httpx.AsyncClient, path: str, accept: str) -> None:
    """As for who sees all, where it is all theirs; empty, not closed, for another; one whose name begins alike is another."""
    seen = {who: await ask.get(path, headers=by(who, accept)) for who in ("acme", "all", "acm", "other")}
    assert {answer.status_code for answer in seen.values()} == {200}
    assert SOURCE in seen["acme"].text
    assert ("customers" in seen["acme"].text) is ("customers" in seen["all"].text)
    for stranger in ("acm", "other"):
        assert SOURCE not in seen[stranger].text
        assert "customers" not in seen[stranger].text


@pytest.mark.parametrize("path", [*LISTS, "/digest"])
async def test_another_tenants_source_cannot_be_asked_for(ask: httpx.AsyncClient, path: str) -> None:
    """Nor all of its sources at once."""
    for source, expected in ((SOURCE, (200, 403)), ("acme/", (200, 403)), ("*", (403, 403)), ("/", (403, 403))):
        found = tuple([(await ask.get(path, params={"source": source}, headers=by(who))).status_code for who in ("acme", "other")])
        assert found == expected, source


async def test_one_object_is_there_for_its_tenant_alone(ask: httpx.AsyncClient) -> None:
    """By each of its addresses; traces run across sources, so only who sees all follows them."""
    asset = key_of("customers")
    for path in (f"/assets/{asset}", f"/timeline/{asset}", f"/progress/{SOURCE}", f"/lineage/{asset}", f"/export/scan/{SOURCE}"):
        assert (await ask.get(path, headers=by("acme", "*/*"))).status_code == 200, path
        refused = [(await ask.get(each, headers=by("other", "*/*"))) for each in (path, path.replace("customers", "nothing"))]
        assert [answer.status_code for answer in refused] == [403, 403]
    assert [(await ask.get(f"/traces/{TRACE}", headers=by(who, "*/*"))).status_code for who in ("all", "acme")] == [200, 403]

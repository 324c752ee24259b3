"""Who may come in, and where the front door forwards to."""

from __future__ import annotations

import os
import time
from pathlib import Path

import httpx
import pytest
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from shared.web import auth
from shared.web.auth import Login
from shared.web.door import Forward
from shared.web.seals import CLOCK_SECONDS, LINK_SECONDS, Spent, login_link, opens, sealed
from shared.web.server import edge_app

TOKEN = "t"


def test_a_seal_opens_for_its_purpose_only() -> None:
    """A link is no session, and another token's seal is nothing."""
    seal = sealed(TOKEN, "session", seconds=60)
    assert opens(TOKEN, "session", seal)
    assert not opens(TOKEN, "link", seal)
    assert not opens("other", "session", seal)
    assert not opens(TOKEN, "session", sealed(TOKEN, "session", seconds=-1))
    assert opens(TOKEN, "link", login_link("http://door", TOKEN).partition("code=")[2])


@pytest.mark.parametrize("seal", ["", "x", "..", "n.9999999999.\u00e9", "n.\u00b2.a", "n." + "9" * 5000 + ".a", "n.-1.a"])
def test_a_made_up_seal_is_refused(seal: str) -> None:
    """Whatever stands in a cookie is an answer of no, never a failure."""
    assert not opens(TOKEN, "session", seal)


async def test_a_link_opens_the_pages_once_also_after_a_restart(tmp_path: Path) -> None:
    """The second use is refused by the same door, and by one that was started anew; the next link opens again."""

    def door() -> httpx.AsyncClient:
        routes = [Route("/login", Login(TOKEN, Spent(tmp_path / "spent")).spend)]
        return httpx.AsyncClient(transport=httpx.ASGITransport(Starlette(routes=routes)), base_url="http://door")

    link = login_link("http://door", TOKEN)
    async with door() as first:
        assert [(await first.get(link)).status_code for _ in range(2)] == [303, 403]
        assert "session" in (await first.get(login_link("http://door", TOKEN))).headers["set-cookie"]
    async with door() as second:
        assert (await second.get(link)).status_code == 403
        assert (await second.get(login_link("http://door", TOKEN))).status_code == 303
    assert not [file for file in (tmp_path / "spent").iterdir() if file.stat().st_mode & 0o077]


def test_spent_links_are_forgotten_when_they_are_too_old_to_open(tmp_path: Path) -> None:
    """The folder does not grow for ever."""
    spent, old = Spent(tmp_path), time.time() - LINK_SECONDS - CLOCK_SECONDS - 1
    assert spent.first("a")
    for file in tmp_path.iterdir():
        os.utime(file, (old, old))
    assert spent.first("b")
    assert len(list(tmp_path.iterdir())) == 1


async def test_a_wrong_token_is_counted_and_told_without_it(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Each is counted; however many come, the log has a line at first and one when the time is over. Who offers nothing is no news."""

    def counted() -> float:
        return REGISTRY.get_sample_value("pursight_tokens_refused_total", {"code": "token_unknown"}) or 0.0

    before, clock = counted(), time.monotonic()
    monkeypatch.setattr("shared.web.auth.time.monotonic", lambda: clock)
    app = edge_app([], token=TOKEN)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://door") as client:
        for n in range(50):
            answer = await client.get("/x", headers={"Authorization": f"Bearer guess-canary-{n}"})
            assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")
        assert (await client.get("/x")).status_code == 401
        clock += auth.REFUSAL_SECONDS
        await client.get("/x", headers={"Authorization": "Bearer guess-canary-50"})
    assert counted() - before == 51
    told = [record for record in caplog.records if record.message == "http.token_refused"]
    assert [record.__dict__["count"] for record in told] == [1, 50]
    assert "canary" not in repr([record.__dict__ for record in caplog.records])


async def test_who_is_not_signed_in_is_told_in_words_of_his_own() -> None:
    """A person at a browser how to get in, a program a problem document."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(edge_app([], token=TOKEN)), base_url="http://door") as client:
        page, machine = [await client.get("/", headers={"accept": kind}) for kind in ("text/html,*/*", "application/json")]
    assert (page.status_code, "`pursight status`" in page.text) == (401, True)
    assert (machine.status_code, machine.json()["code"]) == (401, "not_signed_in")


async def test_the_door_forwards_to_its_edges_only() -> None:
    """A request line that would name another host behind the edge's address is refused."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/@elsewhere.example/",
        "raw_path": b"%2f@elsewhere.example/",
        "query_string": b"",
        "headers": [],
    }
    answer = await Forward({"catalog": "http://127.0.0.1:1"}).forward(Request(scope))
    assert answer.status_code == 400

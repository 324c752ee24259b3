"""Signing in to the pages at an issuer: authorization code with PKCE, once, for who began it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared.settings import ServiceSettings
from shared.web.auth import Login, SignedIn, actor_of
from shared.web.seals import Spent
from shared.web.sign_in import BACK, Pages, oidc_of, signs_of
from tests.shared.access.issuer import AUDIENCE, CLIENT, SECRET, Issuer, issuing

DOOR = "http://127.0.0.1:7"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as made:
        made.new_key("one")
        yield made


def door(issuer: Issuer, home: Path) -> httpx.AsyncClient:
    """A front door that tells who came in, and a browser in front of it."""
    settings = ServiceSettings(
        token=SecretStr("t"),
        home=home,
        oidc_issuer=issuer.url,
        oidc_audience=AUDIENCE,
        oidc_client_id=CLIENT,
        oidc_client_secret=SecretStr(SECRET),
        public_url=DOOR,
    )

    async def who(request: Request) -> Response:
        return JSONResponse(actor_of(request))

    oidc = oidc_of(settings)
    pages = Pages(settings, oidc, Login("t", Spent(home / "spent")))
    app = Starlette(routes=[Route("/login", pages.login), Route(BACK, pages.back), Route("/", who)])
    inside = SignedIn(app, signs_of(settings, oidc), open_paths=frozenset({"/login", BACK}), sign_in_page="/login")
    return httpx.AsyncClient(transport=httpx.ASGITransport(inside), base_url=DOOR, headers={"Accept": "text/html"})


async def to_the_issuer_and_back(browser: httpx.AsyncClient) -> str:
    """The address on which the issuer sends the browser back."""
    assert (await browser.get("/")).headers["location"] == "/login"
    away = (await browser.get("/login")).headers["location"]
    async with httpx.AsyncClient(trust_env=False) as outside:
        back = (await outside.get(away)).headers["location"]
    assert back.startswith(f"{DOOR}{BACK}?")
    return back.removeprefix(DOOR)


async def test_a_person_signs_in_at_the_issuer(issuer: Issuer, tmp_path: Path) -> None:
    """The session is that person's, for this site alone; the code opens nothing twice."""
    async with door(issuer, tmp_path) as browser:
        back = await to_the_issuer_and_back(browser)
        entered = await browser.get(back)
        assert entered.status_code == 200
        cookie = next(each for each in entered.headers.get_list("set-cookie") if each.startswith("pursight_session="))
        assert {"HttpOnly", "SameSite=strict"} <= set(cookie.split("; "))
        assert (await browser.get("/")).json() == "person:7f3a (eva)"
        assert (await browser.get(back)).status_code == 403


async def test_a_way_back_that_was_not_begun_here_is_refused(issuer: Issuer, tmp_path: Path) -> None:
    """Another browser's, another state's, or none at all."""
    async with door(issuer, tmp_path) as browser, door(issuer, tmp_path) as other:
        back = await to_the_issuer_and_back(browser)
        assert (await other.get(back)).status_code == 403
        await to_the_issuer_and_back(other)
        assert (await other.get(back)).status_code == 403
        assert (await browser.get(back.replace("code=", "code=x"))).json()["code"] == "sign_in_refused"
        assert (await browser.get(f"{BACK}?error=access_denied&state=x")).status_code == 403
        assert "pursight_session" not in {**browser.cookies, **other.cookies}


async def test_a_token_of_another_sign_in_is_refused(issuer: Issuer, tmp_path: Path) -> None:
    """An identity token with another nonce, or for another client, does not open a session."""
    for change in ({"nonce": "another"}, {"aud": "another"}):
        issuer.keys[:] = issuer.keys[:1]
        async with door(issuer, tmp_path) as browser:
            back = await to_the_issuer_and_back(browser)
            made = issuer.token
            issuer.token = lambda made=made, change=change, **claims: made(**{**claims, **change})  # type: ignore[method-assign]
            refused = await browser.get(back)
            issuer.token = made  # type: ignore[method-assign]
        assert refused.json()["code"] in ("token_nonce", "token_audience")


async def test_a_bearer_token_of_the_issuer_comes_in(issuer: Issuer, tmp_path: Path) -> None:
    """As PURSIGHT_TOKEN of the shell; a wrong one is told why."""
    async with door(issuer, tmp_path) as tool:
        headers = {"Accept": "*/*", "Authorization": f"Bearer {issuer.token()}"}
        assert (await tool.get("/", headers=headers)).json() == "person:7f3a (eva)"
        headers["Authorization"] = f"Bearer {issuer.token(aud='other')}"
        refused = await tool.get("/", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (401, "token_audience")
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert urlsplit(str(refused.url)).path == "/"

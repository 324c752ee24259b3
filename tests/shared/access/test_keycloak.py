"""The real Keycloak: people and machines by their tokens, the pages by its login form."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared.access.oidc import BadToken, Oidc, Trust
from shared.settings import ServiceSettings
from shared.web.auth import Login, SignedIn, actor_of
from shared.web.seals import Spent
from shared.web.sign_in import BACK, Pages, oidc_of, signs_of

CLIENT = {"client_id": "pursight", "client_secret": "s3cret"}
DOOR = "http://127.0.0.1:28000"
pytestmark = [pytest.mark.extended, pytest.mark.timeout(900)]


def tokens(realm: str, **form: str) -> dict[str, Any]:
    answer = httpx.post(f"{realm}/protocol/openid-connect/token", data={**CLIENT, **form}, trust_env=False, timeout=60)
    answer.raise_for_status()
    return dict(answer.json())


def oidc(realm: str, **more: Any) -> Oidc:
    return Oidc(Trust(**{"issuer": realm, "audience": "pursight-api", "roles_claim": "realm_access.roles", **more}))


async def test_a_person_and_a_machine(keycloak: str) -> None:
    """By password and by the client's own secret."""
    eva = await oidc(keycloak).actor(tokens(keycloak, grant_type="password", username="eva", password="pw", scope="openid")["access_token"])
    assert (eva.kind, eva.id.rpartition(" ")[2], eva.tenant, eva.roles) == ("person", "(eva)", "acme", {"steward"})
    machine = await oidc(keycloak, roles={"default-roles-pur": "service"}).actor(
        tokens(keycloak, grant_type="client_credentials")["access_token"]
    )
    assert (machine.kind, machine.id.rpartition(" ")[2], machine.roles) == ("machine", "(pursight)", {"service"})


async def test_its_other_tokens_let_nobody_in(keycloak: str) -> None:
    """Identity and refresh tokens, and those for another application."""
    given = tokens(keycloak, grant_type="password", username="eva", password="pw", scope="openid")
    for token, more, code in (
        (given["id_token"], {"audience": "pursight"}, "token_kind"),
        (given["id_token"], {}, "token_audience"),
        (given["refresh_token"], {}, "token_algorithm"),
        (given["access_token"], {"audience": "other"}, "token_audience"),
        (given["access_token"][:-4] + "AAAA", {}, "token_signature"),
    ):
        with pytest.raises(BadToken) as refused:
            await oidc(keycloak, **more).actor(token)
        assert refused.value.code == code


async def test_the_pages_through_its_login_form(keycloak: str, tmp_path: Path) -> None:
    """Authorization code with PKCE; the same way back opens nothing a second time."""
    settings = ServiceSettings(
        token=SecretStr("t"),
        home=tmp_path,
        oidc_issuer=keycloak,
        oidc_audience="pursight-api",
        oidc_roles_claim="realm_access.roles",
        oidc_client_id=CLIENT["client_id"],
        oidc_client_secret=SecretStr(CLIENT["client_secret"]),
        public_url=DOOR,
    )

    async def who(request: Request) -> Response:
        return JSONResponse([actor_of(request), sorted(request.scope["actor"].roles)])

    reader = oidc_of(settings)
    pages = Pages(settings, reader, Login("t", Spent(tmp_path / "spent")))
    app = Starlette(routes=[Route("/login", pages.login), Route(BACK, pages.back), Route("/", who)])
    inside = SignedIn(app, signs_of(settings, reader), open_paths=frozenset({"/login", BACK}), sign_in_page="/login")
    async with (
        httpx.AsyncClient(transport=httpx.ASGITransport(inside), base_url=DOOR, headers={"Accept": "text/html"}) as browser,
        httpx.AsyncClient(trust_env=False) as outside,
    ):
        form = await outside.get((await browser.get("/login")).headers["location"])
        action = re.search(r'action="([^"]+)"', form.text)
        assert action
        kept = "; ".join(f"{each.name}={each.value}" for each in outside.cookies.jar)  # a browser trusts loopback with secure ones
        form_data = {"username": "eva", "password": "pw"}
        done = await outside.post(html.unescape(action[1]), data=form_data, headers={"Cookie": kept})
        back = done.headers["location"].removeprefix(DOOR)
        assert (await browser.get(back)).status_code == 200
        name, roles = (await browser.get("/")).json()
        assert (name.rpartition(" ")[2], roles) == ("(eva)", ["steward"])
        assert (await browser.get(back)).status_code == 403

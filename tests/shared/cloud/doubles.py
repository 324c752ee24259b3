"""Token and metadata servers that behave like Entra ID, Azure's and Google's metadata servers and Google's token servers, errors too.

They check what they are sent (client, secret, assertion and its signature, scope, headers), number the tokens they give, and can be
told to answer with a status first, or slowly. They prove that we speak the protocols as published, not that the clouds agree.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import RSAKey

TENANT, CLIENT, SECRET = "11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-000000000000", "entra-canary-8d1f"
ACCOUNT, OTHER_ACCOUNT = "scan@shop.iam.gserviceaccount.com", "reader@shop.iam.gserviceaccount.com"


@dataclass
class Double:
    """One server. `first` are statuses that it answers before anything else; `requests` what it was asked."""

    address: str = ""
    life_seconds: int = 3600
    slow_seconds: float = 0.0
    first: list[int] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    scopes: dict[str, str] = field(default_factory=dict)  # of each token that was given, what for
    ledger: Path | None = None  # where a database looks up which tokens live until when
    clock: Callable[[], float] = time.time

    def token(self, whose: str, scope: str = "") -> str:
        self.given.append(f"token-canary-{whose}-{len(self.given) + 1}")
        self.scopes[self.given[-1]] = scope
        if self.ledger:
            with self.ledger.open("a") as file:
                file.write(f"{self.given[-1]} {self.clock() + self.life_seconds:.0f}\n")
        return self.given[-1]

    @web.middleware
    async def gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path}")
        await asyncio.sleep(self.slow_seconds)
        if self.first:
            return web.json_response({"error": "temporarily_unavailable", "error_description": SECRET}, status=self.first.pop(0))
        return await handler(request)


@asynccontextmanager
async def served(double: Double, routes: list[Any], context: ssl.SSLContext | None = None) -> AsyncIterator[None]:
    app = web.Application(middlewares=[double.gate])
    app.add_routes(routes)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    double.address = f"https://localhost:{port}" if context else f"http://127.0.0.1:{port}"
    try:
        yield
    finally:
        await runner.cleanup()


class Entra(Double):
    """login.microsoftonline.com: client secret and federated assertion."""

    secret = SECRET
    assertion = "federated-canary-1"

    @asynccontextmanager
    async def up(self, folder: Path) -> AsyncIterator[Entra]:
        ca = trustme.CA()
        ca.cert_pem.write_to_path(folder / "entra.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("localhost").configure_cert(context)
        async with served(self, [web.post("/{tenant}/oauth2/v2.0/token", self.give)], context):
            yield self

    async def give(self, request: web.Request) -> web.Response:
        form = await request.post()
        if request.match_info["tenant"] != TENANT:
            return self._refuse("invalid_request", 90002, "Tenant was not found.")
        if form.get("client_id") != CLIENT:
            return self._refuse("unauthorized_client", 700016, "Application was not found in the directory.")
        if form.get("client_assertion"):
            if form["client_assertion"] != self.assertion:
                return self._refuse("invalid_client", 70021, f"No matching federated identity record for {form['client_assertion']}.")
        elif form.get("client_secret") != self.secret:
            return self._refuse("invalid_client", 7000215, f"Invalid client secret provided: {form.get('client_secret')}.", 401)
        scope = next(each for each in str(form["scope"]).split() if each.endswith("/.default"))
        return web.json_response({"token_type": "Bearer", "expires_in": self.life_seconds, "access_token": self.token("entra", scope)})

    def _refuse(self, error: str, number: int, text: str, status: int = 400) -> web.Response:
        body = {"error": error, "error_description": f"AADSTS{number}: {text}", "error_codes": [number], "trace_id": "t"}
        return web.json_response(body, status=status)


class AzureMetadata(Double):
    """169.254.169.254 of a virtual machine with a system assigned identity and the user assigned one `CLIENT`."""

    @asynccontextmanager
    async def up(self) -> AsyncIterator[AzureMetadata]:
        async with served(self, [web.get("/metadata/identity/oauth2/token", self.give)]):
            yield self

    async def give(self, request: web.Request) -> web.Response:
        if request.headers.get("Metadata") != "true" or request.query.get("api-version") != "2018-02-01":
            return web.json_response(
                {"error": "bad_request_102", "error_description": "Required metadata header not specified"}, status=400
            )
        client = request.query.get("client_id", "system")
        if client not in ("system", CLIENT):
            return web.json_response({"error": "invalid_request", "error_description": "Identity not found"}, status=400)
        assert not request.query["resource"].endswith("/.default")
        token = self.token("system" if client == "system" else "user")
        until = str(int(time.time()) + self.life_seconds)
        return web.json_response(
            {"access_token": token, "expires_on": until, "resource": request.query["resource"], "token_type": "Bearer"}
        )


@dataclass
class Google(Double):
    """oauth2, sts and iamcredentials under one roof, and the metadata server of a machine whose account is `ACCOUNT`."""

    subject: str = "federated-canary-2"
    may_impersonate: bool = True

    def __post_init__(self) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        self._public = RSAKey.import_key(self.pem)

    @asynccontextmanager
    async def up(self) -> AsyncIterator[Google]:
        metadata = "/computeMetadata/v1/instance/service-accounts/{account}"
        routes = [
            web.post("/token", self.oauth),
            web.post("/v1/token", self.sts),
            web.post("/impersonate/{account}", self.impersonate),
            web.route("*", "/besides", self.besides),
            web.get("/", self.flavour),
            web.get("/computeMetadata/v1/project/project-id", self.flavour),
            web.get(metadata + "/", self.account),
            web.get(metadata + "/token", self.metadata_token),
        ]
        async with served(self, routes):
            yield self

    def key(self, **more: str) -> str:
        """A service account's key as Google hands it out."""
        parts = {
            "type": "service_account",
            "project_id": "shop",
            "private_key_id": "k1",
            "private_key": self.pem,
            "client_email": ACCOUNT,
            "client_id": "1",
            "token_uri": "https://oauth2.googleapis.com/token",
            "universe_domain": "googleapis.com",
        }
        return json.dumps(parts | more)

    async def oauth(self, request: web.Request) -> web.Response:
        form = await request.post()
        try:
            claims = jwt.decode(str(form["assertion"]), self._public, algorithms=["RS256"]).claims
        except Exception:
            return web.json_response({"error": "invalid_grant", "error_description": f"Invalid JWT: {form.get('assertion')}"}, status=400)
        if claims["iss"] != ACCOUNT or claims["aud"] != "https://oauth2.googleapis.com/token":
            return web.json_response({"error": "invalid_grant", "error_description": "account not found"}, status=400)
        return self._bearer("key", claims.get("scope", ""))

    async def sts(self, request: web.Request) -> web.Response:
        form = await request.post()
        if form["subject_token"] != self.subject:
            return web.json_response({"error": "invalid_grant", "error_description": f"bad {form['subject_token']}"}, status=400)
        return self._bearer("federated", issued_token_type="urn:ietf:params:oauth:token-type:access_token")

    async def impersonate(self, request: web.Request) -> web.Response:
        if not self.may_impersonate or request.headers["Authorization"].removeprefix("Bearer ") not in self.given:
            error = {"code": 403, "message": "Permission iam.serviceAccounts.getAccessToken denied", "status": "PERMISSION_DENIED"}
            return web.json_response({"error": error}, status=403)
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.life_seconds))
        return web.json_response({"accessToken": self.token("impersonated"), "expireTime": until})

    async def besides(self, request: web.Request) -> web.Response:
        return web.json_response({"error": {"code": 403, "status": "PERMISSION_DENIED"}}, status=403)

    async def flavour(self, request: web.Request) -> web.Response:
        return web.Response(text="shop", headers={"Metadata-Flavor": "Google"})

    async def account(self, request: web.Request) -> web.Response:
        body = {"aliases": ["default"], "email": ACCOUNT, "scopes": ["https://www.googleapis.com/auth/cloud-platform"]}
        return web.json_response(body, headers={"Metadata-Flavor": "Google"})

    async def metadata_token(self, request: web.Request) -> web.Response:
        assert request.headers["Metadata-Flavor"] == "Google"
        body = {"access_token": self.token("metadata"), "expires_in": self.life_seconds, "token_type": "Bearer"}
        return web.json_response(body, headers={"Metadata-Flavor": "Google"})

    def _bearer(self, whose: str, scope: str = "", **more: str) -> web.Response:
        body = {"access_token": self.token(whose, scope), "expires_in": self.life_seconds, "token_type": "Bearer"}
        return web.json_response(body | more)


def redirect(monkeypatch: pytest.MonkeyPatch, google: Google) -> None:
    """The double answers where Google's own addresses would be asked; what is signed still names Google's."""
    from google.auth.compute_engine import _metadata
    from google.auth.transport import requests

    monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", google.address.removeprefix("http://"))  # read once, at import
    wait = time.sleep
    monkeypatch.setattr("google.auth._exponential_backoff.time.sleep", lambda seconds: wait(seconds / 20))

    class Redirected(requests.Request):
        def __call__(self, url: str, **more: Any) -> Any:
            url = url.replace("https://oauth2.googleapis.com", google.address).replace("https://sts.googleapis.com", google.address)
            if url.startswith("https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"):
                url = f"{google.address}/impersonate/{url.rpartition('/')[2].partition(':')[0]}"
            elif not url.startswith("http://127.0.0.1:"):  # what the library looks up besides
                url = f"{google.address}/besides"
            return super().__call__(url=url, **more)

    monkeypatch.setattr(requests, "Request", Redirected)

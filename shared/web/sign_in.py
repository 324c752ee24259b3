"""Signing in to the pages at the OIDC issuer: authorization code with PKCE. And what the settings say about who comes in at all."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from urllib.parse import urlencode

import httpx
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from shared.access.actor import Actor
from shared.access.oidc import BadToken, Oidc, Trust, actor_of, claim
from shared.errors import Transient
from shared.settings import ServiceSettings
from shared.web.auth import COOKIE, PERSON_SECONDS, Login, SignIns, session_of
from shared.web.problems import problem
from shared.web.seals import opens, sealed

BACK = "/signed-in"
ATTEMPT, ATTEMPT_SECONDS = "pursight_sign_in", 600
CALL_SECONDS = 10.0
# A page, not a redirect: a cookie for this site alone does not travel along a redirect that began at another one.
ENTER = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/"><title>PurSight</title><a href="/">Go on</a>'


def oidc_of(settings: ServiceSettings) -> Oidc | None:
    """The reader of bearer tokens; None where no issuer is set. Raises UsageError where the settings cannot work."""
    if not settings.oidc_issuer:
        return None
    trust = Trust(
        issuer=settings.oidc_issuer,
        audience=settings.oidc_audience,
        tenant=settings.oidc_tenant,
        tenant_claim=settings.oidc_tenant_claim,
        roles_claim=settings.oidc_roles_claim,
        roles=settings.oidc_roles,
        ca_file=settings.oidc_ca_file,
    )
    return Oidc(trust)


def signs_of(settings: ServiceSettings, oidc: Oidc | None) -> SignIns:
    """Whom the settings let in."""
    return SignIns(settings.token.get_secret_value(), machines=settings.service_tokens, oidc=oidc)


class Pages:
    """`/login` and the way back from the issuer. With a one-time code, `/login` is the local link's."""

    def __init__(self, settings: ServiceSettings, oidc: Oidc | None, link: Login) -> None:
        self._settings, self._oidc, self._link, self._token = settings, oidc, link, settings.token.get_secret_value()

    @property
    def offered(self) -> bool:
        """Is there an issuer at which people sign in?"""
        return self._oidc is not None and bool(self._settings.oidc_client_id and self._settings.public_url)

    async def login(self, request: Request) -> Response:
        """To the issuer, with a fresh attempt in a sealed cookie."""
        if "code" in request.query_params or not self.offered:
            return await self._link.spend(request)
        assert self._oidc
        try:
            told = await self._oidc.issuer.document()
        except Transient as error:
            return problem(503, error.code, f"{error.what}: {error.why}", error.remedy)
        attempt = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
        challenge = base64.urlsafe_b64encode(hashlib.sha256(attempt["verifier"].encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self._settings.oidc_client_id,
            "redirect_uri": self._back,
            "scope": "openid profile email",
            "state": attempt["state"],
            "nonce": attempt["nonce"],
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        answer = RedirectResponse(f"{told['authorization_endpoint']}?{urlencode(asked)}", status_code=303)
        packed = base64.urlsafe_b64encode(json.dumps(attempt).encode()).decode()
        seal = sealed(self._token, "attempt", seconds=ATTEMPT_SECONDS, nonce=packed)
        answer.set_cookie(ATTEMPT, seal, max_age=ATTEMPT_SECONDS, httponly=True, samesite="lax", secure=self._secure, path=BACK)
        return answer

    async def back(self, request: Request) -> Response:
        """From the issuer: the code becomes tokens, and the tokens a session."""
        attempt = self._attempt(request)
        code = request.query_params.get("code", "")
        if not self._oidc or not attempt or not code or not secrets.compare_digest(request.query_params.get("state", ""), attempt["state"]):
            return problem(403, "sign_in_broken", "This sign-in was not begun here, or took too long", "Open /login again.")
        try:
            actor = await self._actor(self._oidc, code, attempt)
        except (BadToken, Transient) as error:
            return problem(403 if isinstance(error, BadToken) else 503, error.code, f"{error.what}: {error.why}", error.remedy)
        answer = HTMLResponse(ENTER, headers={"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'"})
        answer.set_cookie(
            COOKIE,
            session_of(actor, self._token),
            max_age=PERSON_SECONDS,
            httponly=True,
            samesite="strict",
            secure=self._secure,
            path="/",
        )
        answer.delete_cookie(ATTEMPT, path=BACK)
        return answer

    async def _actor(self, oidc: Oidc, code: str, attempt: dict[str, str]) -> Actor:
        tokens = await self._exchange(oidc, code, attempt["verifier"])
        claims = await oidc.claims(str(tokens.get("id_token", "")), self._settings.oidc_client_id)
        if not secrets.compare_digest(str(claims.get("nonce", "")), attempt["nonce"]):
            raise BadToken("the sign-in cannot be used", why="its nonce is another's", remedy="Open /login again.", code="token_nonce")
        if claim(claims, oidc.trust.roles_claim) is not None:
            return actor_of(claims, oidc.trust)
        return await oidc.actor(str(tokens.get("access_token", "")))

    async def _exchange(self, oidc: Oidc, code: str, verifier: str) -> dict[str, object]:
        told = await oidc.issuer.document()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._back,
            "client_id": self._settings.oidc_client_id,
            "code_verifier": verifier,
        }
        if secret := self._settings.oidc_client_secret.get_secret_value():
            form["client_secret"] = secret
        try:
            async with oidc.issuer.line(CALL_SECONDS) as http:
                answer = await http.post(str(told["token_endpoint"]), data=form)
            found = answer.json() if answer.status_code == 200 else None
        except (httpx.HTTPError, OSError):
            raise Transient("the sign-in cannot be finished", why="the issuer does not answer", code="issuer_away") from None
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise BadToken(
                "the sign-in cannot be finished", why="the issuer refused it", remedy="Open /login again.", code="sign_in_refused"
            )
        return found

    def _attempt(self, request: Request) -> dict[str, str] | None:
        cookie = request.cookies.get(ATTEMPT, "")
        if not opens(self._token, "attempt", cookie):
            return None
        return dict(json.loads(base64.urlsafe_b64decode(cookie.split(".")[0])))

    @property
    def _back(self) -> str:
        return self._settings.public_url.rstrip("/") + BACK

    @property
    def _secure(self) -> bool:
        return self._settings.public_url.startswith("https:")

"""OpenID Connect: is this bearer token one that our issuer made for us, now, and who is it?

Keys come from the issuer's discovery document. They are asked for anew every ten minutes, and when a token names a key that is not
known, though not more often than every thirty seconds, so that made-up keys cost the issuer nothing. While the issuer is away, known keys
serve for an hour. Only signatures by public keys are taken: no `none`, and no shared secret that could be a public key in disguise.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet

from shared.access.actor import ROLES, Actor
from shared.errors import PurSightError, Transient, UsageError

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519")
KINDS = ("", "jwt", "at+jwt", "application/at+jwt")  # what a header's `typ` may say: no logout, no proof of possession
NOT_FOR_US = ("id", "refresh", "offline", "logout")  # Keycloak's claim `typ`: kinds of tokens that are no access tokens
LEEWAY_SECONDS = 30
FRESH_SECONDS, KEPT_SECONDS, ASK_SECONDS, AWAY_SECONDS, CALL_SECONDS = 600.0, 3600.0, 30.0, 1.0, 5.0
log = logging.getLogger(__name__)
MAX_TOKEN, MAX_ANSWER, MAX_NAME = 16 * 1024, 256 * 1024, 128
ENDPOINTS = ("jwks_uri", "authorization_endpoint", "token_endpoint")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class BadToken(PurSightError):
    """This token lets nobody in. `code` says why."""


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom we believe, and what their claims mean.

    `tenant` is the one of everybody who signs in; where it is empty, the claim `tenant_claim` tells. A dotted name goes down into objects.
    `roles` maps their words to our roles; empty: they use ours.
    """

    issuer: str
    audience: str
    tenant: str = ""
    tenant_claim: str = "tenant"
    roles_claim: str = "roles"
    roles: Mapping[str, str] = field(default_factory=dict)
    ca_file: str = ""

    def __post_init__(self) -> None:
        place = urlsplit(self.issuer)
        if place.scheme != "https" and place.hostname not in LOOPBACK:
            raise UsageError("the OIDC issuer is not an https address", remedy="Correct PURSIGHT_OIDC_ISSUER.", code="settings_wrong")
        if not self.audience:
            raise UsageError(
                "PURSIGHT_OIDC_AUDIENCE is not set",
                why="without it, tokens for any other application would do",
                remedy="Set it to what `aud` in your tokens says.",
                code="settings_missing",
            )
        if wrong := sorted(set(self.roles.values()) - set(ROLES)):
            raise UsageError(
                f"PURSIGHT_OIDC_ROLES names roles that are none: {', '.join(wrong)}",
                remedy=f"Roles are {', '.join(ROLES)}.",
                code="settings_wrong",
            )


class Issuer:
    """The issuer's own words: its discovery document and its keys. Used within one event loop."""

    def __init__(self, trust: Trust, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._trust, self._clock, self._lock = trust, clock, asyncio.Lock()
        self._keys: tuple[Key, ...] = ()
        self._told: dict[str, Any] = {}
        self._at = self._asked = float("-inf")

    async def document(self) -> dict[str, Any]:
        """The discovery document. Raises Transient (`issuer_away`)."""
        await self._current("")
        return self._told

    def line(self, seconds: float) -> httpx.AsyncClient:
        """A client for the issuer's addresses."""
        trusted = ssl.create_default_context(cafile=self._trust.ca_file) if self._trust.ca_file else True
        return httpx.AsyncClient(timeout=seconds, trust_env=False, verify=trusted)

    async def key(self, kid: str) -> Key | None:
        """The key of this id; where a token names none, the only one there is. Raises Transient (`issuer_away`)."""
        await self._current(kid)
        return self._find(kid)

    def _find(self, kid: str) -> Key | None:
        found = [key for key in self._keys if key.kid == kid] if kid else list(self._keys)
        return found[0] if len(found) == 1 else None

    async def _current(self, kid: str) -> None:
        if self._due(kid):
            async with self._lock:
                if self._due(kid):
                    await self._ask()
                    self._asked = self._clock()
        if self._clock() - self._at > KEPT_SECONDS:
            raise Transient(
                "who signs in cannot be checked", why="the OIDC issuer does not answer", remedy="Try again later.", code="issuer_away"
            )

    def _due(self, kid: str) -> bool:
        age, asked = self._clock() - self._at, self._clock() - self._asked
        if age > KEPT_SECONDS:
            return asked >= AWAY_SECONDS
        return asked >= ASK_SECONDS and (age > FRESH_SECONDS or (bool(kid) and self._find(kid) is None))

    async def _ask(self) -> None:
        """Read both documents anew; where that fails, what was known stays."""
        try:
            async with self.line(CALL_SECONDS) as http:
                told = await _json(http, f"{self._trust.issuer.rstrip('/')}/.well-known/openid-configuration")
                if told.get("issuer") != self._trust.issuer:
                    raise ValueError("another issuer's document")
                for name in ENDPOINTS:
                    _safe(str(told.get(name, "")), self._trust.issuer)
                keys = await _json(http, str(told["jwks_uri"]))
            self._keys, self._told, self._at = _usable(keys), told, self._clock()
        except (httpx.HTTPError, OSError, ValueError) as error:
            log.warning("oidc.issuer_away", extra={"error_type": type(error).__name__})


async def _json(http: httpx.AsyncClient, address: str) -> dict[str, Any]:
    """The JSON object there. Raises httpx.HTTPError, ValueError."""
    raw = bytearray()
    async with http.stream("GET", address) as answer:
        answer.raise_for_status()
        async for part in answer.aiter_bytes():
            raw += part
            if len(raw) > MAX_ANSWER:
                raise ValueError("too long")
    found = json.loads(raw)
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found


def _safe(address: str, issuer: str) -> None:
    """Raises ValueError where the address is less safe than the issuer's."""
    scheme = urlsplit(address).scheme
    if scheme != "https" and not (urlsplit(issuer).scheme == "http" and urlsplit(address).hostname in LOOPBACK):
        raise ValueError("not https")


def _usable(document: dict[str, Any]) -> tuple[Key, ...]:
    """Public keys for signatures; one that cannot be read does not take the others along."""
    usable: list[Key] = []
    for one in document.get("keys", ()):
        if not isinstance(one, dict) or one.get("kty") not in ("RSA", "EC", "OKP") or one.get("use", "sig") != "sig":
            continue
        try:
            usable += KeySet.import_key_set({"keys": [{name: value for name, value in one.items() if name != "d"}]}).keys
        except (JoseError, ValueError, KeyError, TypeError):
            continue
    return tuple(usable)


class Oidc:
    """Reads bearer tokens. Used within one event loop."""

    def __init__(self, trust: Trust, *, issuer: Issuer | None = None, clock: Callable[[], float] = time.time) -> None:
        self.trust, self.issuer, self._clock = trust, issuer or Issuer(trust), clock

    async def actor(self, token: str) -> Actor:
        """Who this access token is. Raises BadToken with a code, Transient where the issuer is away."""
        claims = await self.claims(token, self.trust.audience)
        if str(claims.get("typ", "")).casefold() in NOT_FOR_US or "nonce" in claims or "at_hash" in claims:
            raise bad("token_kind", "it is no access token")
        return actor_of(claims, self.trust)

    async def claims(self, token: str, audience: str) -> dict[str, Any]:
        """The claims of a token that the issuer signed for `audience`. Raises BadToken, Transient."""
        header = _header(token)
        key = await self.issuer.key(str(header.get("kid", "")))
        if key is None:
            raise bad("token_key", "its key is none of the issuer's")
        if key.alg and key.alg != header["alg"]:
            raise bad("token_algorithm", "its key is for another algorithm")
        try:
            payload = jws.deserialize_compact(token, key, algorithms=list(ALGORITHMS)).payload
        except (JoseError, ValueError, TypeError):
            raise bad("token_signature", "its signature is not the issuer's") from None
        claims = _object(payload)
        self._hold(claims, audience)
        return claims

    def _hold(self, claims: dict[str, Any], audience: str) -> None:
        """Raises BadToken where one of the registered claims does not hold."""
        if claims.get("iss") != self.trust.issuer:
            raise bad("token_issuer", "another issuer made it")
        given = claims.get("aud")
        if audience not in (given if isinstance(given, list) else [given]):
            raise bad("token_audience", "it is for another application")
        if not isinstance(claims.get("sub"), str) or not claims["sub"]:
            raise bad("token_claims", "it does not say whose it is")
        now, expires = self._clock(), claims.get("exp")
        if not _number(expires):
            raise bad("token_claims", "it does not say when it ends")
        if now >= expires + LEEWAY_SECONDS:  # type: ignore[operator]
            raise bad("token_expired", "its time is over")
        if any(name in claims and (not _number(claims[name]) or claims[name] > now + LEEWAY_SECONDS) for name in ("nbf", "iat")):
            raise bad("token_early", "its time has not come")
        if "cnf" in claims:
            raise bad("token_bound", "it is bound to a key, which a bearer does not prove to have")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _header(token: str) -> dict[str, Any]:
    """The token's header. Raises BadToken where nothing with such a header is taken."""
    parts = token.split(".")
    if len(token) > MAX_TOKEN or len(parts) != 3:
        raise bad("token_malformed", "it is no signed token")
    try:
        header = _object(base64.urlsafe_b64decode(parts[0] + "=="))
    except ValueError:
        raise bad("token_malformed", "its header cannot be read") from None
    if header.get("alg") not in ALGORITHMS:
        raise bad("token_algorithm", "its algorithm is not taken")
    if "crit" in header or str(header.get("typ", "")).casefold() not in KINDS:
        raise bad("token_kind", "it is no access token")
    return header


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise bad("token_malformed", "it holds no claims")
    return found


def actor_of(claims: Mapping[str, Any], trust: Trust) -> Actor:
    """The actor that the claims describe. Raises BadToken (`token_tenant`) where they do not say of which tenant."""
    tenant = trust.tenant or claim(claims, trust.tenant_claim)
    if not isinstance(tenant, str) or not 0 < len(tenant) <= MAX_NAME or not tenant.isprintable():
        raise bad("token_tenant", f"its claim {trust.tenant_claim} names no tenant")
    given = claim(claims, trust.roles_claim)
    words = given if isinstance(given, list) else str(given).split() if given else []
    roles = {trust.roles.get(word, "") if trust.roles else word for word in words if isinstance(word, str)}
    return Actor(_name(claims), tenant, frozenset(roles & set(ROLES)))


def claim(claims: Mapping[str, Any], name: str) -> Any:
    """The claim of this name, or, where there is none, what the dots lead to; None where they lead nowhere."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _name(claims: Mapping[str, Any]) -> str:
    """The subject, which never changes, and what people call it."""
    client = claims.get("client_id") or claims.get("azp")
    called = str(claims.get("preferred_username") or claims.get("email") or claims.get("name") or "")
    machine = claims.get("idtyp") == "app" or claims["sub"] == client or called == f"service-account-{client}"
    shown = str(client) if machine and client else called
    subject, shown = (
        "".join(mark if mark.isprintable() and mark not in "()" else "?" for mark in text)[:MAX_NAME] for text in (claims["sub"], shown)
    )
    return f"{'machine' if machine else 'person'}:{subject}" + (f" ({shown})" if shown and shown != subject else "")


def bad(code: str, why: str) -> BadToken:
    return BadToken("this token lets nobody in", why=why, remedy="Get a new one from your sign-in.", code=code)

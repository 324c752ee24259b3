"""Tokens of an issuer: each kind of wrong one is refused with its code; keys are rotated, kept, and not asked for too often."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from joserfc.jwk import ECKey

from shared.access.oidc import ASK_SECONDS, FRESH_SECONDS, KEPT_SECONDS, BadToken, Oidc, Trust, actor_of
from shared.access.oidc import Issuer as Reader
from shared.errors import Transient, UsageError
from tests.shared.access.issuer import AUDIENCE, Issuer, rsa


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def reading(issuer: Issuer, clock: Clock | None = None, **more: Any) -> Oidc:
    trust = Trust(issuer=issuer.url, audience=AUDIENCE, **more)
    return Oidc(trust, issuer=Reader(trust, clock=clock or Clock()))


async def test_a_person_and_a_machine(issuer: Issuer) -> None:
    """Name, tenant and roles as the claims say; roles that are none are nothing."""
    oidc = reading(issuer)
    eva = await oidc.actor(issuer.token(roles=["steward", "viewer", "root"]))
    assert (eva.id, eva.tenant, eva.roles) == ("person:7f3a (eva)", "acme", {"steward", "viewer"})
    machine = await oidc.actor(issuer.token(sub="9c", azp="ci", preferred_username="service-account-ci", roles="service"))
    assert (machine.id, machine.kind, machine.roles) == ("machine:9c (ci)", "machine", {"service"})
    ec = issuer.new_key("ec", "EC")
    assert (await reading(issuer).actor(issuer.token(key=ec, aud=["other", AUDIENCE]))).tenant == "acme"


async def test_claims_are_mapped_as_the_operator_says(issuer: Issuer) -> None:
    """Their words for roles, nested claims, one tenant for everybody."""
    oidc = reading(issuer, roles_claim="realm_access.roles", roles={"PurSight Admins": "admin"}, tenant="house")
    actor = await oidc.actor(issuer.token(realm_access={"roles": ["PurSight Admins", "steward"]}, tenant=None))
    assert (actor.tenant, actor.roles) == ("house", {"admin"})
    odd = actor_of({"sub": "x\ny(z)", "tenant": "acme", "name": "\u202e"}, Trust(issuer=issuer.url, audience="a"))
    assert odd.id == "person:x?y?z? (?)"


def forged(issuer: Issuer, **how: Any) -> str:
    """A token whose header says one thing and whose signature is another's."""
    now = int(time.time())
    claims = {"iss": issuer.url, "aud": AUDIENCE, "sub": "x", "exp": now + 60, "tenant": "acme", "roles": ["admin"]}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (how["header"], claims)]
    public = issuer.keys[0].as_pem(private=False)
    made = hmac.new(public, b".".join(parts), hashlib.sha256).digest() if how.get("hmac") else how.get("signature", b"")
    return b".".join([*parts, base64.urlsafe_b64encode(made).rstrip(b"=")]).decode()


WRONG: dict[str, Any] = {
    "no token at all": ("token_malformed", lambda issuer: "a.b"),
    "a header that is no JSON": ("token_malformed", lambda issuer: "e30.b.c".replace("e30", "8J-")),
    "too long": ("token_malformed", lambda issuer: issuer.token(pad="x" * 20_000)),
    "without a signature": ("token_algorithm", lambda issuer: forged(issuer, header={"alg": "none", "kid": "one"})),
    "None in another case": ("token_algorithm", lambda issuer: forged(issuer, header={"alg": "nOnE"})),
    "the public key as a shared secret": (
        "token_algorithm",
        lambda issuer: forged(issuer, header={"alg": "HS256", "kid": "one"}, hmac=True),
    ),
    "an RSA header with that signature": (
        "token_signature",
        lambda issuer: forged(issuer, header={"alg": "RS256", "kid": "one"}, hmac=True),
    ),
    "an empty signature": ("token_signature", lambda issuer: forged(issuer, header={"alg": "RS256", "kid": "one"})),
    "another kind of key": ("token_signature", lambda issuer: forged(issuer, header={"alg": "ES256", "kid": "one"})),
    "somebody else's key under our id": (
        "token_signature",
        lambda issuer: issuer.token(key=rsa("one", "somebody else")),
    ),
    "a key that comes along": (
        "token_key",
        lambda issuer: issuer.token(key=(own := ECKey.generate_key("P-256", {"kid": "mine"})), header={"jwk": own.as_dict(private=False)}),
    ),
    "a changed claim": (
        "token_signature",
        lambda issuer: ".".join([issuer.token().split(".")[0], issuer.token(tenant="other").split(".")[1], issuer.token().split(".")[2]]),
    ),
    "another issuer": ("token_issuer", lambda issuer: issuer.token(iss=issuer.url + "/other")),
    "another application": ("token_audience", lambda issuer: issuer.token(aud="other")),
    "no audience": ("token_audience", lambda issuer: issuer.token(aud=None)),
    "over": ("token_expired", lambda issuer: issuer.token(exp=int(time.time()) - 31)),
    "without an end": ("token_claims", lambda issuer: issuer.token(exp=None)),
    "an end that is no number": ("token_claims", lambda issuer: issuer.token(exp="never")),
    "of nobody": ("token_claims", lambda issuer: issuer.token(sub=None)),
    "not yet": ("token_early", lambda issuer: issuer.token(nbf=int(time.time()) + 40)),
    "made tomorrow": ("token_early", lambda issuer: issuer.token(iat=int(time.time()) + 86_400)),
    "for signing in to the pages": ("token_kind", lambda issuer: issuer.token(nonce="n")),
    "Keycloak's identity token": ("token_kind", lambda issuer: issuer.token(typ="ID")),
    "for a sign-out": ("token_kind", lambda issuer: issuer.token(header={"typ": "logout+jwt"})),
    "with a condition that we do not know": ("token_kind", lambda issuer: forged(issuer, header={"alg": "RS256", "crit": ["x"]})),
    "bound to a key": ("token_bound", lambda issuer: issuer.token(cnf={"jkt": "x"})),
    "of no tenant": ("token_tenant", lambda issuer: issuer.token(tenant=None)),
}


@pytest.mark.parametrize("kind", WRONG)
async def test_a_wrong_token_lets_nobody_in(issuer: Issuer, kind: str) -> None:
    """Each kind with a code of its own; nothing of the token is repeated."""
    code, make = WRONG[kind]
    token = make(issuer)
    with pytest.raises(BadToken) as refused:
        await reading(issuer).actor(token)
    assert refused.value.code == code
    assert token not in str(refused.value)


async def test_a_clock_that_goes_a_little_wrong_is_forgiven(issuer: Issuer) -> None:
    """Half a minute, on both ends."""
    now = int(time.time())
    assert await reading(issuer).actor(issuer.token(exp=now - 25, nbf=now + 25, iat=now + 25))


async def test_a_new_key_is_found_and_a_retired_one_forgotten(issuer: Issuer) -> None:
    """Without a restart: the new one when a token names it, the old one when the keys are read again."""
    clock = Clock()
    oidc, old = reading(issuer, clock), issuer.token()
    assert await oidc.actor(old)
    new = issuer.token(key=issuer.new_key("two"))
    clock.now += ASK_SECONDS
    assert await oidc.actor(new)
    del issuer.keys[0]
    clock.now += FRESH_SECONDS + 1
    with pytest.raises(BadToken) as refused:
        await oidc.actor(old)
    assert refused.value.code == "token_key"
    assert await oidc.actor(new)


async def test_made_up_keys_cost_the_issuer_nothing(issuer: Issuer) -> None:
    """A hundred unknown ones within half a minute are one question."""
    oidc = reading(issuer)
    await oidc.actor(issuer.token())
    before = issuer.asked
    for number in range(100):
        with pytest.raises(BadToken):
            await oidc.actor(forged(issuer, header={"alg": "RS256", "kid": str(number)}))
    assert issuer.asked <= before + 1


async def test_an_issuer_that_is_away_for_an_hour_is_missed(issuer: Issuer) -> None:
    """Until then its keys serve; then nobody comes in, until it is back."""
    clock = Clock()
    oidc, token = reading(issuer, clock), issuer.token()
    assert await oidc.actor(token)
    issuer.broken = True
    clock.now += KEPT_SECONDS
    assert await oidc.actor(token)
    clock.now += 1
    with pytest.raises(Transient) as away:
        await oidc.actor(token)
    assert away.value.code == "issuer_away"
    issuer.broken = False
    clock.now += 2
    assert await oidc.actor(token)


@pytest.mark.parametrize(
    "told", [{"issuer": "http://127.0.0.1:1"}, {"jwks_uri": "http://keys.example/"}, {"jwks_uri": "file:///etc/passwd"}]
)
async def test_a_discovery_document_that_leads_astray_is_not_followed(issuer: Issuer, told: dict[str, str]) -> None:
    """Another issuer's, or keys over an open line from elsewhere."""
    issuer.discovery = told
    with pytest.raises(Transient):
        await reading(issuer).actor(issuer.token())


@pytest.mark.parametrize(
    "wrong", [{"issuer": "http://login.example"}, {"audience": ""}, {"roles": {"x": "root"}}], ids=["open line", "no audience", "no role"]
)
def test_settings_that_cannot_be_safe_are_refused(wrong: dict[str, Any]) -> None:
    """At the start, in one line."""
    with pytest.raises(UsageError):
        Trust(**{"issuer": "https://login.example", "audience": "a", **wrong})

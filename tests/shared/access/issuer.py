"""An OpenID Connect issuer on loopback, with keys that can be changed, for tests. It knows one client, and whoever comes is signed in."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

AUDIENCE, CLIENT, SECRET = "pursight-api", "pursight-pages", "s3cret"


@lru_cache
def rsa(kid: str, owner: str = "issuer") -> Any:
    """Slow to make, so each is made once."""
    return RSAKey.generate_key(2048, {"kid": kid})


@dataclass
class Issuer:
    """`keys` are published; `asked` counts how often. What `person` says goes into the tokens of who signs in."""

    url: str = ""
    keys: list[Any] = field(default_factory=list)
    asked: int = 0
    broken: bool = False
    discovery: dict[str, Any] = field(default_factory=dict)
    person: dict[str, Any] = field(
        default_factory=lambda: {"sub": "7f3a", "preferred_username": "eva", "tenant": "acme", "roles": ["steward"]}
    )
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def new_key(self, kid: str, kind: str = "RSA") -> Any:
        key = rsa(kid) if kind == "RSA" else ECKey.generate_key("P-256", {"kid": kid})
        self.keys.append(key)
        return key

    def claims(self, **more: Any) -> dict[str, Any]:
        now = int(time.time())
        told = {"iss": self.url, "aud": AUDIENCE, "iat": now, "exp": now + 300, **self.person, **more}
        return {name: value for name, value in told.items() if value is not None}

    def token(self, *, key: Any = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        key = key or self.keys[0]
        head = {"alg": "RS256" if key.key_type == "RSA" else "ES256", "kid": key.kid, **(header or {})}
        return jws.serialize_compact(head, json.dumps(self.claims(**claims)).encode(), key, algorithms=[head["alg"]])

    def documents(self) -> dict[str, Any]:
        told = {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            **self.discovery,
        }
        return {
            "/.well-known/openid-configuration": told,
            "/keys": {"keys": [key.as_dict(private=False) | {"use": "sig"} for key in self.keys]},
        }

    def sign_in(self, query: dict[str, str]) -> str:
        """Where the browser is sent back to."""
        code = secrets.token_urlsafe(8)
        self.codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def exchange(self, form: dict[str, str]) -> dict[str, Any] | None:
        """Tokens for a code, once, for who began."""
        began = self.codes.pop(form.get("code", ""), {})
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).rstrip(b"=").decode()
        if began.get("code_challenge") != challenge or form.get("client_secret") != SECRET or form["redirect_uri"] != began["redirect_uri"]:
            return None
        return {"access_token": self.token(), "id_token": self.token(aud=CLIENT, nonce=began["nonce"])}


@contextmanager
def issuing() -> Iterator[Issuer]:
    """Until the end of the block."""
    told = Issuer()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            place = urlsplit(self.path)
            told.asked += place.path == "/keys"
            if place.path == "/authorize":
                self.send_response(303)
                self.send_header("Location", told.sign_in({name: each[0] for name, each in parse_qs(place.query).items()}))
                self.end_headers()
                return
            self._say(None if told.broken else told.documents().get(place.path), 503 if told.broken else 404)

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self._say(told.exchange({name: each[0] for name, each in form.items()}), 400)

        def _say(self, document: Any, otherwise: int) -> None:
            body = json.dumps(document).encode()
            self.send_response(200 if document is not None else otherwise)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    told.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

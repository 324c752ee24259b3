"""From the URL that a person types to the source that is registered; the password goes its own way."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from shared.cli import places
from shared.cli.places import bad_url
from shared.contracts.engines import ENGINES, engine_of
from shared.errors import UsageError

SCHEMES = {"postgresql": "postgresql", "postgres": "postgresql", "mysql": "mysql", "mariadb": "mariadb"}
KNOWN = "postgresql://, mysql://, mariadb:// or mongodb://USER@HOST:PORT/DATABASE, s3://, gs:// or az://… for a bucket, file:///FOLDER"
RDS = re.compile(r"[\w.-]+\.(?P<region>[a-z]{2}-[a-z-]+-\d)\.rds\.amazonaws\.com")
QUERY_FIELDS = {
    "sslmode": ("ssl_config", "mode"),
    "sslrootcert": ("ssl_config", "ca"),
    "sslcert": ("ssl_config", "cert"),
    "sslkey": ("ssl_config", "key"),
}
TLS_OF_MONGO = (("mode to require or verify-full", "tls=true"), ("mode to verify-full", "tls=true"), ("mode to disable", "tls=false"))


@dataclass(frozen=True, slots=True)
class Target:
    """A source to register, and its password, which is never part of the document. `repr` hides it. `chosen`: a person gave the name."""

    document: dict[str, Any]
    password: str | None
    chosen: bool = True

    def __repr__(self) -> str:
        return f"Target({self.document['name']!r})"


def parse(url: str, *, name: str = "", tenant: str = "") -> Target:
    """Read a database URL. Raises UsageError, without the password, where it cannot be one."""
    if not _is_utf8(url):
        raise bad_url("it is not UTF-8")
    try:
        return replace(_parsed(url, name, tenant), chosen=bool(name))
    except ValueError:
        raise bad_url("the address or the port cannot be read") from None


def _parsed(url: str, name: str, tenant: str) -> Target:
    parts = urlsplit(url)
    if parts.scheme in ("mongodb", "mongodb+srv"):
        _one_piece(parts)
        document, password = places.mongo(url)
        return Target(_named(document, name, tenant), password if password is None else _utf8(password, "the URL"))
    if parts.scheme in places.STORES:
        return Target(_named(places.store(url), name, tenant), None)
    if parts.scheme not in SCHEMES:
        raise UsageError(
            f"{parts.scheme or 'this'} is not a kind of source that can be scanned yet",
            remedy=f"Write {KNOWN}.",
            code="unknown_scheme",
        )
    return _of_server(parts, name, tenant)


def in_words_of_a_url(text: str, engine: str) -> str:
    """What is told of a document's TLS, for who typed a URL; what no URL of the engine can say stays as it is.

    >>> in_words_of_a_url("Set ssl_config.mode to require.", "mysql"), in_words_of_a_url("Set ssl_config.mode to disable.", "mongodb")
    ('Set ?sslmode= to require.', 'Set ?tls=false.')
    """
    names = {"mode": "tls", "ca": "tlsCAFile"} if engine == "mongodb" else {"ca": "sslrootcert"}
    if engine in SCHEMES.values():
        names = {field: name for name, (_, field) in QUERY_FIELDS.items()}
    for said, parameter in TLS_OF_MONGO if engine == "mongodb" else ():
        text = text.replace(f"ssl_config.{said}", f"?{parameter}")
    for field, name in names.items():
        text = text.replace(f"ssl_config.{field}", f"?{name}=")
    return text.replace("?sslmode= verify", "?sslmode=verify")


def _named(document: dict[str, Any], name: str, tenant: str) -> dict[str, Any]:
    """With a name of its own where none is given: short for what is on this machine, or has a name that is unique in the world."""
    engine, host = ENGINES[document["engine"]], str(document.get("host", ""))
    usual = name or _name(host or "localhost", document.get("port", engine.port), _place_name(document), engine.port)
    return {"name": usual, **({"tenant": tenant} if tenant else {}), "location": "on_prem", **document}


def _plain(name: str) -> str:
    """With nothing in it that a name may not hold.

    >>> _plain("my data (2024)")
    'my-data-2024'
    """
    return re.sub(r"[^\w.:+@-]+", "-", name).strip(".-") or "source"


def _place_name(document: dict[str, Any]) -> str:
    inner = str(document.get("path", "")).strip("/") if document["engine"] != "folder" else ""
    return "-".join(part for part in (str(document["database"]), *inner.split("/")) if part)


def _one_piece(parts: SplitResult) -> None:
    if "@" in parts.path or parts.fragment or ("@" in parts.query and "@" not in parts.netloc):
        raise bad_url("a /, ? or # in the user or the password is written %2F, %3F or %23")  # else a piece of it becomes a name


def _of_server(parts: SplitResult, name: str, tenant: str) -> Target:
    _one_piece(parts)
    port = parts.port or engine_of(SCHEMES[parts.scheme]).port
    database = unquote(parts.path.lstrip("/"))
    if not database:
        raise bad_url("the database is missing after the host", f"Write {parts.scheme}://USER@HOST:PORT/DATABASE.")
    host, engine = unquote(parts.hostname or "") or "localhost", SCHEMES[parts.scheme]
    document = {
        "name": name or _name(host, port, database, ENGINES[engine].port),
        **({"tenant": tenant} if tenant else {}),
        "engine": engine,
        "host": host,
        "port": port,
        "database": database,
        "username": unquote(parts.username or "") or (os.environ.get("PGUSER", "") if engine == "postgresql" else ""),
        **_place(host),
    }
    document.update(_query(parts.query))
    return Target(document, _password(parts.password, document))


def _name(host: str, port: int, database: str, usual_port: int) -> str:
    """Short for this machine's usual port, unambiguous otherwise."""
    place = "" if host in ("localhost", "127.0.0.1", "::1") else f"{host}-"
    return _plain(f"{place}{database}" + ("" if port == usual_port else f"-{port}"))


def _place(host: str) -> dict[str, Any]:
    """A managed host's name says its cloud and region."""
    if found := RDS.fullmatch(host):
        return {"location": "cloud", "cloud_config": {"provider": "aws", "region": found["region"]}}
    return {"location": "on_prem"}


def _query(query: str) -> dict[str, Any]:
    """libpq's parameters that we know, into our blocks. Raises UsageError on others: silently ignoring one could weaken TLS."""
    blocks: dict[str, Any] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in QUERY_FIELDS:
            raise UsageError(f"the URL parameter {key} is not understood", remedy=f"Known are {', '.join(QUERY_FIELDS)}.", code="bad_url")
        block, field = QUERY_FIELDS[key]
        blocks.setdefault(block, {})[field] = value
    return blocks


def _password(given: str | None, document: dict[str, Any]) -> str | None:
    """As the engine's own shell looks for it: the URL, PGPASSWORD or MYSQL_PWD, PostgreSQL's password file. Raises UsageError where it
    is not UTF-8."""
    if given is not None:
        return _utf8(unquote(given, errors="surrogateescape"), "the URL")
    place = ENGINES[document["engine"]].password_variable
    if password := os.environ.get(place):
        return _utf8(password, place)
    password = _from_pgpass(document) if document["engine"] == "postgresql" else None
    return password and _utf8(password, "the password file")


def _utf8(password: str, place: str) -> str:
    if _is_utf8(password):
        return password
    raise UsageError(
        f"the password in {place} is not UTF-8", remedy="Write it in UTF-8, or let the role have another.", code="bad_password"
    )


def _is_utf8(text: str) -> bool:
    """Bytes that are none came to us as lone surrogates, which nothing can be made of."""
    return not any("\ud800" <= mark <= "\udfff" for mark in text)


def _from_pgpass(document: dict[str, Any]) -> str | None:
    path = Path(os.environ.get("PGPASSFILE") or Path.home() / ".pgpass")
    try:
        if path.stat().st_mode & 0o077:
            return None  # libpq ignores a file that others may read, and so do we
        lines = path.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return None
    wanted = [str(document[field]) for field in ("host", "port", "database", "username")]
    for line in lines:
        fields = [part.replace("\\:", ":").replace("\\\\", "\\") for part in re.split(r"(?<!\\):", line)]
        if len(fields) == 5 and all(field in ("*", want) for field, want in zip(fields, wanted, strict=False)):
            return fields[4]
    return None

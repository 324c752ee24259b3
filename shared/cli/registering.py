"""From what a person typed after `pursight scan` to a source that is registered and dialled: nothing is kept that does not open."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import typer

from shared.cli.connect import Edge, elsewhere, named_as, path_of
from shared.cli.output import spoken, stderr
from shared.cli.target import KNOWN, Target, in_words_of_a_url
from shared.contracts.engines import ENGINES
from shared.contracts.judging.source import judge
from shared.contracts.names import DEFAULT_TENANT, SourceName
from shared.contracts.source import DataSource
from shared.errors import Failed, UsageError, did_you_mean

PLACE = ("engine", "host", "port", "database", "path")  # what makes two sources different ones
REACHED_BY = (*PLACE, "username", "ssl_config", "replica_config", "auth_database", "srv")  # what a URL says; the rest was declared
OF_THE_SHELL = {  # what signs in to a cloud on a laptop
    "aws": "AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "azure": "AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET",
    "gcp": "GOOGLE_APPLICATION_CREDENTIALS, or sign in with `gcloud auth application-default login`",
}
POLL_SECONDS, DIAL_SECONDS = 0.2, 60.0
NOTHING_MORE: Mapping[str, Any] = {}


def known(line: Edge, name: str, asked: Mapping[str, Any]) -> str:
    """Scan a registered source, by NAME or TENANT/NAME; `asked`: which part of it, and how. Returns its key. Raises PurSightError."""
    named = named_as(name)
    if registered(line, named) is None:
        folder = f"A folder is written file://{quote(str(Path(name).absolute()))}." if Path(name).is_dir() else ""
        near = did_you_mean(name, (spoken(each["source"]) for each in line.get("/sources")["sources"]))
        raise UsageError(
            f"there is no source {spoken(named.key)}",
            remedy=folder or near or f"See `pursight source list`. Write {KNOWN} for a new one.",
            code="unknown_source",
        )
    _again(line, named.key, asked=asked)
    return named.key


def register(line: Edge, target: Target) -> str:
    """Register the source and its password; one that is known already is dialled and scanned again. Returns the source's key.

    Where no password is given, the one that is stored for this source and user counts. Raises PurSightError. What is new has to open
    first: a document that is refused, a typing error, or a password that does not open the source leave everything as it was.
    """
    named = SourceName(target.document.get("tenant", DEFAULT_TENANT), target.document["name"])
    before = registered(line, named)
    _same_place(before, named, target)
    document, own = _beside_what_is_known(before, target), f"local:{named.secret}"
    if not before and named.secret in line.get("/secrets")["secrets"]:
        document["password_secret"] = own
    password = _password(target, document, own)
    if password:
        document["password_secret"] = own
    if before is None or password or judge(document).spec != DataSource.model_validate(before["spec"]):
        _try(line, named, document, password, before)
    if password:
        line.send("PUT", f"/secrets/{quote(named.secret, safe='')}", {"value": password})
    answer = line.send("POST", "/sources", document, version=before["version"] if before else None)
    source = str(answer["source"])
    if not answer["changed"]:
        _again(line, source, typed=document)
    return source


def registered(line: Edge, named: SourceName) -> dict[str, Any] | None:
    """The source of this name as the registry has it."""
    try:
        return dict(line.get(path_of(named)))
    except UsageError as error:
        if error.code != "unknown_source":
            raise
        return None


def _same_place(before: dict[str, Any] | None, named: SourceName, target: Target) -> None:
    """Raises UsageError where a name that nobody chose is that of a source at another place."""
    if before is None or target.chosen:
        return
    known = DataSource.model_validate(before["spec"])
    if any(getattr(known, field) != target.document[field] for field in PLACE if field in target.document):
        raise UsageError(
            f"{named.name} is the name of another source already",
            why=f"that one is {known.engine} at {known.host or 'this machine'}, {known.path or known.database}",
            remedy="Give this one a name of its own with --name.",
            code="name_taken",
        )


def _beside_what_is_known(before: dict[str, Any] | None, target: Target) -> dict[str, Any]:
    """What was declared on a source of this name stays; the URL changes how it is reached, and no more. Another user's password goes."""
    if before is None:
        return dict(target.document)
    spec, reached = dict(before["spec"]), {field: target.document[field] for field in REACHED_BY if target.document.get(field)}
    if reached.get("username", spec.get("username")) != spec.get("username"):
        spec.pop("password_secret", None)
    return spec | {field: spec.get(field, {}) | value if isinstance(value, dict) else value for field, value in reached.items()}


def _password(target: Target, document: dict[str, Any], own: str) -> str | None:
    """What was given, else what a person says where none is known. One that the source takes from elsewhere is not replaced."""
    known = document.get("password_secret", "")
    if known not in ("", own):
        if target.password:
            stderr.print(f"The password is the one of {known}, as the source says; what was given is not used.", style="dim", markup=False)
        return None
    return target.password or (None if known else _asked(document))


def _asked(document: dict[str, Any]) -> str | None:
    """Ask a person for the password where somebody is there to answer. Raises KeyboardInterrupt where they leave instead."""
    signs_in = "username" in document and not document.get("cloud_config", {}).get("use_iam_auth")
    if not (signs_in and sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    try:
        given = typer.prompt(
            f"Password for {document['username'] or 'the database'} (empty for none)",
            default="",
            hide_input=True,
            show_default=False,
            err=True,
        )
    except typer.Abort:
        raise KeyboardInterrupt from None
    return given or None


def _try(line: Edge, named: SourceName, document: dict[str, Any], password: str | None, before: dict[str, Any] | None) -> None:
    """Dial before anything is kept. Raises PurSightError: the document is refused, or, with the diagnosis, the source cannot be reached."""
    found = line.send("POST", "/preflight", {"source": document, **({"password": password} if password else {})})
    if found["reachable"]:
        return
    stored = (before or {"spec": {}})["spec"].get("password_secret")
    if before is None:
        kept = "nothing was registered"
    elif stored and password:
        kept = "the password that was stored before is kept"
    elif stored and stored != document.get("password_secret"):
        kept = f"the password that is stored is of {before['spec'].get('username') or 'no user'}, and no other was given"
    else:
        kept = "the source stays as it was"
    raise could_not(named.key, _for_a_url(found["diagnosis"], document), kept)


def _for_a_url(diagnosis: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """The same, where it is about TLS or signing in, in words for who typed a URL and wrote no file."""
    cloud, engine = document.get("cloud_config", {}).get("provider", ""), document.get("engine", "postgresql")
    diagnosis = diagnosis | {name: in_words_of_a_url(diagnosis.get(name, ""), engine) for name in ("cause", "remedy")}
    if diagnosis["code"] in ("own_identity_denied", "no_credentials") and cloud and not elsewhere():
        remedy = (
            f"Set {OF_THE_SHELL[cloud]}; then `pursight down`, and scan again: the stack signs in with what the shell had that started it."
        )
        return diagnosis | {"cause": f"nothing here says who you are at {cloud}", "remedy": remedy}
    if diagnosis["code"] not in ("wrong_password", "password_missing"):
        return diagnosis
    variable = ENGINES[engine].password_variable
    file = " or ~/.pgpass" if variable == "PGPASSWORD" else ""
    return diagnosis | {"remedy": f"Check the user, and the password in {f'{variable}{file}, or in ' if variable else ''}the URL."}


def _again(line: Edge, source: str, *, typed: dict[str, Any] | None = None, asked: Mapping[str, Any] = NOTHING_MORE) -> None:
    """Dial now, because a password or a server may have been mended; then ask for a scan, unless the new connection asks by itself.

    Raises Failed with the diagnosis where the source is still out of reach; `typed` is what a URL, if there was one, made of it.
    """
    path = f"/health{path_of(SourceName.parse(source))}"
    try:
        before = line.send("POST", f"{path}/check")
    except UsageError:
        return  # registered this very moment: the first dial is still to come
    now, deadline = before, time.monotonic() + DIAL_SECONDS
    while now["checked_at"] == before["checked_at"]:
        if time.monotonic() > deadline:
            raise Failed(
                f"{spoken(source)} was not dialled", why="the connector is busy or away", remedy="See `pursight status`.", code="stuck"
            )
        time.sleep(POLL_SECONDS)
        now = line.get(path)
    if now["state"] == "unreachable":
        found = now["diagnosis"] or line.get(f"/progress/{quote(source, safe='')}")["diagnosis"]
        raise could_not(source, _for_a_url(found, typed) if typed and found else found)
    if before["state"] == "connected" or asked:
        line.send("POST", "/scans", {"source": source, **asked})


def could_not(source: str, diagnosis: dict[str, Any] | None, besides: str = "") -> Failed:
    """The diagnosis of a source as an error for people; `besides` says what became of it here."""
    told = diagnosis or {}
    return Failed(
        f"{spoken(source)} could not be scanned",
        why="; ".join(part for part in (told.get("cause", ""), besides) if part),
        remedy=told.get("remedy", ""),
        code=told.get("code", "scan_failed"),
    )

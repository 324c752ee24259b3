"""Ten thousand errors that hold secrets, in every place and spelling that drivers and clouds use: none comes out, wherever it is told."""

from __future__ import annotations

import base64
import json
import logging
import random
import socket
import ssl
import string
import sys
import traceback
from collections.abc import Callable
from types import SimpleNamespace
from urllib.parse import quote, quote_plus

import asyncmy.errors
import asyncpg
import azure.core.exceptions
import botocore.exceptions
import google.auth.exceptions
import httpx
import orjson
import pymongo.errors

from shared.cloud import azure as our_azure
from shared.cloud import gcp as our_google
from shared.cloud.failures import diagnose
from shared.cloud.posture import untold
from shared.contracts.cloud import GcpConfig
from shared.contracts.connection import SourceUnreachable
from shared.contracts.source import AwsConfig, DataSource
from shared.errors import PurSightError
from shared.observe.setup import JsonLines
from shared.sources.failures import failed, failure_of
from shared.sources.mongo_failures import mongo_failed
from shared.sources.mysql_failures import mysql_failed, mysql_failure
from shared.web.problems import on_named_error

MESSAGES = 10_000
SPEC = DataSource(name="x", database="d", cloud_config=AwsConfig(provider="aws"))
GCP = GcpConfig(provider="gcp")
SQLSTATES = [each for each in vars(asyncpg.exceptions).values() if isinstance(each, type) and issubclass(each, asyncpg.PostgresError)]
NUMBERS = (1040, 1044, 1045, 1049, 1129, 1142, 1205, 1226, 1317, 1820, 1969, 2003, 2013, 3024, 3118, 9001, 4711)
OURS = (ConnectionResetError, OSError, TimeoutError, ValueError, RuntimeError, KeyError, LookupError, AssertionError)
LINES = JsonLines("connector")


def a_secret(dice: random.Random) -> str:
    """A password, a key, a token or a certificate's key, as people and clouds make them."""
    letters = string.ascii_letters + string.digits
    word = "".join(dice.choices(letters, k=dice.randint(14, 40)))
    odd = "".join(dice.choices(letters + "!$%&/()=?'\"\\;:#@ äß€", k=dice.randint(14, 30)))
    return dice.choice((word, odd, f"eyJ{word}.eyJ{word}.{word}", f"-----BEGIN PRIVATE KEY-----\n{word}{word}", f"AKIA{word.upper()}"))


def spelt(secret: str, dice: random.Random) -> str:
    """The secret as a message may spell it."""
    raw = secret.encode()
    spellings: tuple[Callable[[], str], ...] = (
        lambda: secret,
        lambda: quote(secret, safe=""),
        lambda: quote_plus(secret),
        lambda: repr(secret),
        lambda: repr(raw),
        lambda: json.dumps(secret),
        lambda: base64.b64encode(raw).decode(),
        lambda: base64.urlsafe_b64encode(raw).decode(),
        raw.hex,
        lambda: raw.decode("latin-1"),
    )
    return dice.choice(spellings)()


def a_message(secret: str, dice: random.Random) -> str:
    """What drivers and servers write around it; also the words that we look for ourselves."""
    word = spelt(secret, dice)
    return dice.choice(
        (
            f'password authentication failed for user "scan" with password "{word}"',
            f"could not connect to postgresql://scan:{word}@db.example:5432/shop?sslmode=require",
            f"invalid dsn: host=db user=scan password={word} connect_timeout=3",
            f"Access denied for user 'scan'@'10.0.0.1' (using password: {word})",
            f"Authorization: Bearer {word}",
            f"https://db.example:5432/?Action=connect&X-Amz-Signature={word}&X-Amz-Security-Token={word}",
            f"no pg_hba.conf entry for host, user {word}, no encryption",
            f'role "{word}" does not exist',
            f"AADSTS7000215: Invalid client secret provided: {word}. Trace ID: 1",
            f"canceling statement due to conflict with recovery {word}",
            f"{word}",
            f"SSL certificate {word} verify failed: self-signed certificate",
        )
    )


def an_error(secret: str, dice: random.Random) -> BaseException:
    """Some exception of some library with the secret in it, maybe behind others."""
    made = dice.choice(MAKERS)(secret, dice)
    if dice.random() < 0.3:
        made.__cause__ = dice.choice(MAKERS)(secret, dice)
    if dice.random() < 0.2:
        made.add_note(a_message(secret, dice))
    if dice.random() < 0.1 and isinstance(made, Exception):
        made = ExceptionGroup(a_message(secret, dice), [made])
    return made


def _postgres(secret: str, dice: random.Random) -> BaseException:
    error = dice.choice(SQLSTATES)(a_message(secret, dice))
    for name in ("detail", "hint", "query", "schema_name", "constraint_name"):
        setattr(error, name, a_message(secret, dice))
    return error  # type: ignore[no-any-return]


def _os(secret: str, dice: random.Random) -> BaseException:
    return OSError(dice.choice((0, 2, 13, 104, 110, 111, 113)), a_message(secret, dice), spelt(secret, dice))


def _tls(secret: str, dice: random.Random) -> BaseException:
    error = ssl.SSLCertVerificationError(1, a_message(secret, dice))
    error.verify_code, error.verify_message = dice.choice((9, 10, 18, 19, 62, 7)), spelt(secret, dice)
    return error


def _text(secret: str, dice: random.Random) -> BaseException:
    return UnicodeDecodeError("utf-8", secret.encode(), 0, 1, a_message(secret, dice))


def _mysql(secret: str, dice: random.Random) -> BaseException:
    kind = dice.choice((asyncmy.errors.OperationalError, asyncmy.errors.ProgrammingError, asyncmy.errors.InternalError))
    return kind(dice.choice(NUMBERS), a_message(secret, dice))  # type: ignore[no-any-return]


def _aws(secret: str, dice: random.Random) -> BaseException:
    code = dice.choice(("AccessDenied", "ExpiredToken", "Odd.Code", "Throttling", "InvalidClientTokenId"))
    answer = {"Error": {"Code": code, "Message": a_message(secret, dice)}, "ResponseMetadata": {"HTTPStatusCode": 403, "HTTPHeaders": {}}}
    return botocore.exceptions.ClientError(answer, spelt(secret, dice))  # type: ignore[no-any-return]


def _azure(secret: str, dice: random.Random) -> BaseException:
    error = azure.core.exceptions.ClientAuthenticationError(a_message(secret, dice))
    error.response = SimpleNamespace(status_code=dice.choice((400, 401, 403, 429, 500)), text=lambda: spelt(secret, dice))  # type: ignore[assignment]
    return error


def _google(secret: str, dice: random.Random) -> BaseException:
    answer = {"error": dice.choice(("invalid_grant", spelt(secret, dice))), "error_description": a_message(secret, dice)}
    return google.auth.exceptions.RefreshError(a_message(secret, dice), answer)  # type: ignore[no-any-return, no-untyped-call]


def _http(secret: str, dice: random.Random) -> BaseException:
    request = httpx.Request("GET", "https://x.example", headers={"authorization": f"Bearer {quote(secret)}"})
    return dice.choice((httpx.ConnectError, httpx.ReadTimeout))(a_message(secret, dice), request=request)


def _mongo(secret: str, dice: random.Random) -> BaseException:
    details = {"code": dice.choice((13, 18, 11600, 50)), "errmsg": a_message(secret, dice)}
    return pymongo.errors.OperationFailure(a_message(secret, dice), details["code"], details)  # type: ignore[arg-type]


MAKERS: tuple[Callable[[str, random.Random], BaseException], ...] = (
    _postgres,
    _postgres,
    _mysql,
    _mongo,
    _os,
    _tls,
    _text,
    _aws,
    _azure,
    _google,
    _http,
    lambda secret, dice: dice.choice(OURS)(a_message(secret, dice)),
    lambda secret, dice: asyncpg.InternalClientError(a_message(secret, dice)),
    lambda secret, dice: asyncpg.InterfaceError(a_message(secret, dice)),
    lambda secret, dice: socket.gaierror(-2, a_message(secret, dice)),
    lambda secret, dice: TimeoutError(a_message(secret, dice)),
)


def ours_of(error: BaseException) -> list[PurSightError]:
    """What each of our doors makes of it: the drivers', and the clouds' for exceptions that they may raise."""
    found: list[BaseException] = [failed(error), mysql_failed(error), mongo_failed(error)]
    if isinstance(error, Exception):
        found += [diagnose(error), our_azure._told(error), our_google._told(our_google._library(), GCP, error)]
    return [each for each in found if isinstance(each, PurSightError)]


async def told(error: BaseException, ours: PurSightError) -> str:
    """Every way in which an error leaves a process: line, repr, event, finding, problem document, traceback, log."""
    said = SourceUnreachable(source="default/x", sequence=1, based_on=1, diagnosis=failure_of(ours).diagnosis())
    answer = await on_named_error(None, ours)  # type: ignore[arg-type]
    try:
        try:
            raise error
        except BaseException:
            raise ours from None
    except PurSightError:
        record = logging.LogRecord("x", logging.WARNING, __file__, 1, "job.failed", None, sys.exc_info())
        shown = LINES.format(record) + traceback.format_exc()
    parts = [ours.line(), repr(ours), repr(ours.args), ours.code, said.to_json().decode(), untold(SPEC, ours).to_json().decode()]
    return "\n".join([*parts, bytes(answer.body).decode(), shown, repr(mysql_failure(error)), repr(failure_of(error))])


def traces(secret: str) -> set[str]:
    """Pieces by which the secret would be known in any of the spellings."""
    raw = secret.encode()
    whole = {secret, quote(secret, safe=""), repr(secret)[1:-1], json.dumps(secret)[1:-1], raw.hex(), raw.decode("latin-1")}
    whole |= {base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode(), orjson.dumps(secret).decode()[1:-1]}
    return {piece for each in whole for piece in (each[:10], each[-10:], each[len(each) // 2 :][:10]) if piece not in _HARMLESS}


_HARMLESS = {"-----BEGIN ", "-----BEGIN", "IVATE KEY-"}


async def test_no_secret_in_ten_thousand_messages() -> None:
    """Seeded, so that what fails once fails again."""
    dice = random.Random(20261121)
    codes = set[str]()
    for number in range(MESSAGES):
        secret = a_secret(dice)
        error = an_error(secret, dice)
        doors = ours_of(error)
        text = "\n".join(f"{ours.line()}{ours!r}{ours.args}{ours.code}" for ours in doors) + await told(error, dice.choice(doors))
        assert not [piece for piece in traces(secret) if piece in text], (number, type(error), text)
        codes |= {ours.code for ours in doors}
    assert len(codes) > 40, "the messages reach many doors"


async def test_the_search_would_find_one() -> None:
    """The same search over what the libraries themselves would say finds nearly every secret."""
    dice = random.Random(7)
    seen = 0
    for _ in range(300):
        secret = a_secret(dice)
        error = an_error(secret, dice)
        text = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
        seen += any(piece in text for piece in traces(secret))
    assert seen > 285

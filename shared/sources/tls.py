"""TLS to a data source: libpq's six meanings as what the standard library and the drivers understand.

Only `verify-full` proves whom we talk to. `require` and `prefer` encrypt to whoever answers.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import NamedTuple

from cryptography import x509
from cryptography.x509.oid import NameOID

from shared.egress import reached
from shared.errors import Failed
from shared.sources.base import Dial, TlsMode

_PEM = "-----BEGIN "
_MOST_NAME = 200  # characters of an issuer


def verified(mode: TlsMode) -> bool:
    """True only where the server's name is proven."""
    return mode == "verify-full"


def context_for(dial: Dial) -> ssl.SSLContext | None:
    """None for `disable`. Raises Failed with `tls_file_unreadable` where a file of the settings cannot be used."""
    if dial.tls_mode == "disable":
        return None
    try:
        return _context(dial)
    except (OSError, ssl.SSLError) as error:
        raise Failed(
            "a TLS file of this source cannot be used",
            why="it is missing, unreadable or not PEM",
            remedy="Check ssl_config.ca, ssl_config.cert and ssl_config.key.",
            code="tls_file_unreadable",
        ) from error


class _Told(ssl.SSLObject):
    """Says when the handshake is over."""

    def do_handshake(self) -> None:
        super().do_handshake()
        reached("tls")


def _context(dial: Dial) -> ssl.SSLContext:
    context = _plain_context(dial)
    context.sslobject_class = _Told
    return context


def _plain_context(dial: Dial) -> ssl.SSLContext:
    if _PEM in dial.ca:
        context = ssl.create_default_context(cadata=dial.ca)
    else:
        context = ssl.create_default_context(cafile=dial.ca or None)
        if dial.ca and not Path(dial.ca).is_file():
            raise FileNotFoundError(dial.ca)
    context.check_hostname = dial.tls_mode == "verify-full"
    if dial.tls_mode in ("prefer", "require"):
        context.verify_mode = ssl.CERT_NONE
    if dial.cert:
        with _as_file(dial.cert) as cert, _as_file(dial.key) as key:
            context.load_cert_chain(cert, key or None)
    return context


@contextmanager
def _as_file(given: str) -> Iterator[str]:
    """A path as it is; PEM text as a file that only this user can read, for as long as the library needs to load it."""
    if _PEM not in given:
        yield given
        return
    with NamedTemporaryFile("w", prefix="pursight-", suffix=".pem") as file:  # made with mode 0600
        file.write(given)
        file.flush()
        yield file.name


class LineFacts(NamedTuple):
    """An encrypted line: protocol, and issuer and end (ISO 8601) of the certificate that the server showed, whether or not it was
    verified; both empty where it cannot be read."""

    version: str = ""
    issuer: str = ""
    expires: str = ""


def line_facts(line: ssl.SSLObject | None) -> LineFacts:
    """From our own end of the line; None is a line that is not encrypted."""
    if line is None:
        return LineFacts()
    version, shown = line.version() or "", line.getpeercert(binary_form=True)
    try:
        found = x509.load_der_x509_certificate(shown or b"")
        return LineFacts(version, _name(found.issuer), found.not_valid_after_utc.isoformat())
    except ValueError:  # nobody verified it: it may be anything
        return LineFacts(version)


def _name(issuer: x509.Name) -> str:
    """The organisation, else the common name; cleaned, because whoever answered wrote it."""
    found = [*issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME), *issuer.get_attributes_for_oid(NameOID.COMMON_NAME)]
    text = str(found[0].value) if found else ""
    return "".join(each for each in text if each.isprintable())[:_MOST_NAME]

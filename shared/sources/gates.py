"""A dial of a source, gate by gate: where the first one stays shut, why, what opens it, and how long each took.

The gates are the same for every engine. What happens at the first ones is heard from the connection that the driver itself makes, so
nothing is dialled twice; those for reading run discovery's own statements, on the first few tables.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from time import perf_counter
from typing import Literal, NamedTuple

from shared.cloud.failures import TOKENS
from shared.contracts.cautions import caution, ending
from shared.contracts.connection import Diagnosis
from shared.contracts.engines import engine_of
from shared.contracts.source import DataSource
from shared.egress import reached, told
from shared.errors import PurSightError
from shared.sources.base import Dial, Probe, SampleTask, Snapshot, SourceDriver, SourceSession, TableFacts, TableMark, task_of
from shared.sources.failures import BY_CODE, Failure, failure_of
from shared.sources.tls import verified

Result = Literal["passed", "failed", "warning", "skipped"]
# In their order, with what each asks.
GATES: dict[str, str] = {
    "name": "the host's name has an address",
    "port": "something listens at host and port, and speaks the engine's protocol",
    "tls": "the line is encrypted and the server proves who it is",
    "identity": "the server takes us for who we say we are",
    "database": "the database is there and lets us in",
    "read_only": "the server itself says that our transaction only reads",
    "no_write": "the role could not write, even outside such a transaction",
    "catalogue": "discovery's list of tables can be read",
    "structure": "columns, keys, comments and views can be read",
    "sample": "rows can be read",
    "replica_lag": "a replica is close enough behind its primary",
    "clock": "the server's clock and ours agree",
    "pooler": "what stands between us and the server is known",
}
_ORDER = tuple(GATES)
_AT: dict[str, str] = {
    **dict.fromkeys(("host_unknown", "seed_list_missing", "seed_list_refused"), "name"),
    **dict.fromkeys(("refused", "unreachable", "egress_denied", "not_postgresql", "not_mysql", "not_mongodb", "not_a_store"), "port"),
    **dict.fromkeys((code for code in BY_CODE if code.startswith("tls_")), "tls"),
    **dict.fromkeys(("tls_file_unreadable", "token_needs_proof"), "tls"),
    **dict.fromkeys(TOKENS, "identity"),
    **dict.fromkeys(("wrong_password", "password_missing", "no_such_user", "not_allowed_from_here", "token_not_accepted"), "identity"),
    **dict.fromkeys(("missing_extra", "no_credentials", "profile_missing", "region_missing", "clear_text_refused"), "identity"),
    **dict.fromkeys(("credentials_invalid", "credentials_expired"), "identity"),
    **dict.fromkeys(("no_such_database", "may_not_connect", "wrong_replica_set", "no_member"), "database"),
    **dict.fromkeys(("no_such_bucket", "wrong_region", "no_such_folder", "folder_refused"), "database"),
    **dict.fromkeys(("not_read_only", "too_old"), "read_only"),
}
_WARNINGS: dict[str, tuple[str, ...]] = {
    "tls": ("no_tls", "tls_unverified"),
    "no_write": ("superuser", "can_write"),
    "catalogue": ("empty",),
    "sample": ("tables_unreadable",),
    "clock": ("clock_skew",),
}
_FEW = 5  # tables whose structure is read
_ADDRESSES = 8


class Gate(NamedTuple):
    """One gate. `code`, `cause` and `remedy` are empty where it stands open; `seconds` is 0 where an earlier answer told it already."""

    name: str
    result: Result
    seconds: float = 0.0
    code: str = ""
    cause: str = ""
    remedy: str = ""


class Address(NamedTuple):
    """What the host's name means here. `kind`: public, private, loopback, link_local or other; `dialled`: the one that was taken."""

    address: str
    kind: str
    dialled: bool = False


@dataclass(slots=True)
class Report:
    """What a preflight found, in the order of the gates."""

    gates: list[Gate] = field(default_factory=list)
    addresses: list[Address] = field(default_factory=list)
    probe: Probe | None = None

    @property
    def failure(self) -> Gate | None:
        """The first gate that stayed shut."""
        return next((gate for gate in self.gates if gate.result == "failed"), None)

    @property
    def reachable(self) -> bool:
        """Signed in, and only reading: what else failed concerns single statements."""
        return self.probe is not None


async def preflight(spec: DataSource, dial: Dial, driver: SourceDriver, *, max_lag_seconds: float, patience: float) -> Report:
    """Go through the gates of one endpoint, for at most `patience` seconds. Raises nothing that the source does."""
    walk = _Walk(spec, dial, driver, max_lag_seconds)
    try:
        async with asyncio.timeout(patience):
            await walk.all()
    except TimeoutError:
        walk.stop(BY_CODE["timeout"])
    except PurSightError as error:
        walk.stop(failure_of(error))
    return walk.finished()


def refused(error: PurSightError) -> Report:
    """There was no dial to make at all: a secret is missing, a driver, or the address may not be dialled."""
    found = failure_of(error)
    at = _gate_of(found.code) or "identity"
    gates = [Gate(name, "failed", 0.0, found.code, found.cause, found.remedy) if name == at else Gate(name, "skipped") for name in GATES]
    return Report(gates)


def kind_of(address: str) -> str:
    """Is this address public, private or what else?

    >>> kind_of("10.1.2.3"), kind_of("8.8.8.8"), kind_of("::1"), kind_of("100.64.0.1")
    ('private', 'public', 'loopback', 'private')
    """
    ip = ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_loopback:
        return "loopback"
    if ip.is_link_local:
        return "link_local"
    if ip.is_multicast or ip.is_unspecified or ip.is_reserved:
        return "other"
    return "public" if ip.is_global else "private"


class _Walk:
    """One walk through the gates. `at` is the gate that we stand before."""

    def __init__(self, spec: DataSource, dial: Dial, driver: SourceDriver, max_lag_seconds: float) -> None:
        self._spec, self._dial, self._driver, self._max_lag = spec, dial, driver, max_lag_seconds
        self._report, self._done = Report(), dict[str, Gate]()
        self._since = perf_counter()
        self._heard: dict[str, float] = {}
        self.at = "name"

    async def all(self) -> None:
        await self._name()
        async with AsyncExitStack() as stack:
            self.at = "port"
            session = await stack.enter_async_context(self._opened())
            await self._inside(session)

    def stop(self, found: Failure) -> None:
        """A failure; where it belongs is told by its code, else by where we stand."""
        gate = _gate_of(found.code) or self.at
        self._open_before(gate)
        for name in _ORDER[_ORDER.index(gate) :]:
            self._done.pop(name, None)
        self._put(gate, "failed", found.code, found.cause, found.remedy)

    def finished(self) -> Report:
        """Gates nobody came to are skipped."""
        why = "an earlier gate stayed shut"
        self._report.gates = [self._done.get(name) or Gate(name, "skipped", cause=why) for name in GATES]
        return self._report

    async def _name(self) -> None:
        host = self._dial.host
        if self._spec.srv:
            return self._put("name", "skipped", cause="the DNS seed list names the members; what follows is of those that answered")
        if engine_of(self._spec.engine).kind != "server" or not host or host.startswith("/"):
            return self._put("name", "skipped", cause="no name to resolve here: the driver knows the place")
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, self._dial.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            known = BY_CODE["host_unknown"]
            raise PurSightError("the data source", why=known.cause, remedy=known.remedy, code=known.code) from None
        texts = dict.fromkeys(str(each[4][0]) for each in found)
        self._report.addresses = [Address(text, kind_of(text)) for text in list(texts)[:_ADDRESSES]]
        self._put("name", "passed")

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[SourceSession]:
        with told(self._hear):
            try:
                session = self._driver.open(self._dial)
                opened = await session.__aenter__()
            except PurSightError as error:
                await self._knock(error)
                raise
        self._open_before("no_write")
        try:
            yield opened
        finally:
            await session.__aexit__(None, None, None)

    async def _knock(self, error: PurSightError) -> None:
        """Something stopped us before anybody dialled (a missing secret, say): is there somebody at all?"""
        if "port" in self._heard or not self._report.addresses or _gate_of(error.code) in ("name", "port") or error.code == "timeout":
            return
        try:
            async with asyncio.timeout(self._dial.connect_seconds):
                _, writer = await asyncio.open_connection(self._dial.host, self._dial.port)
        except (OSError, TimeoutError) as shut:
            found = failure_of(shut)
            raise PurSightError("the data source", why=found.cause, remedy=found.remedy, code=found.code) from None
        writer.close()
        reached("port")
        self._put("tls", "skipped", cause="nobody signed in")

    def _hear(self, step: str, address: str) -> None:
        """The driver has come so far; steps that it repeats, for a second try, count from the last one."""
        self._heard[step] = perf_counter()
        after = {"port": "tls" if self._dial.tls_mode != "disable" else "identity", "tls": "identity", "identity": "read_only"}
        if step == "port":
            self._dialled(address)
        if step in after and _ORDER.index(after[step]) > _ORDER.index(self.at):
            self._open_before(after[step])
            self.at = after[step]

    def _dialled(self, address: str) -> None:
        """Also where only the driver knows the place: a store's public name, the members of a set."""
        known = [each for each in self._report.addresses if each.address != address]
        if address and len(known) < _ADDRESSES:
            self._report.addresses = [*(each._replace(dialled=False) for each in known), Address(address, kind_of(address), dialled=True)]

    async def _inside(self, session: SourceSession) -> None:
        self.at = "no_write"
        probe = self._report.probe = await session.probe()
        self._put("no_write", "passed")
        await self._reading(session)
        self._judge(probe)

    async def _reading(self, session: SourceSession) -> None:
        """Discovery's own statements. What fails here does not end the walk: the rest can be told all the same."""
        sampled: list[TableFacts] = []
        self.at = "catalogue"
        try:
            async with session.snapshot() as snapshot:
                marks = await snapshot.marks(self._driver.whole(self._dial.database, self._spec.scope), compare=False)
                self._put("catalogue", "passed")
                self.at = "structure"
                sampled = await _structures(snapshot, marks)
                self._put("structure", "passed")
            self.at = "sample"
            await self._sample(session, sampled, marks)
        except PurSightError as error:
            found = failure_of(error)
            self._put(self.at, "failed", found.code, found.cause, found.remedy)

    async def _sample(self, session: SourceSession, sampled: list[TableFacts], marks: list[TableMark]) -> None:
        if self._spec.sampling != "sample":
            return self._put("sample", "skipped", cause="the source does not allow to look at values")
        task = next((task for facts in sampled if (task := _task(facts))), None)
        if task is None:
            if any(not mark.readable for mark in marks):
                found = BY_CODE["no_privilege"]
                return self._put("sample", "failed", found.code, found.cause, found.remedy)
            return self._put("sample", "skipped", cause="there is no table to read from")
        sample = (await session.sample([task]))[0]  # the values themselves are dropped here
        if failure := sample.failure:
            result: Result = "warning" if sample.rows else "failed"
            return self._put("sample", result, failure.code, failure.cause, failure.remedy)
        self._put("sample", "passed")

    def _judge(self, probe: Probe) -> None:
        """What the server said of itself and of us, as gates."""
        lag, server = probe.server.replica_lag_seconds, probe.server
        if lag is not None and lag > self._max_lag:
            found = caution("replica_behind", f"the replica is more than {self._max_lag:g} s behind its primary")
            self._put("replica_lag", "warning", found.code, found.cause, found.remedy)
        else:
            self._put("replica_lag", "passed", cause="" if server.is_replica else "this is no replica")
        self._put("clock", "passed")
        self._put("pooler", "passed", cause=" ".join((server.pooler, server.pooler_mode)).strip() or "none was seen")
        for name, codes in _WARNINGS.items():
            self._warn(name, [each for each in probe.warnings if each.code in codes])
        self._warn("tls", ending(server.tls_expires, datetime.now(UTC)))

    def _warn(self, name: str, found: Iterable[Diagnosis]) -> None:
        """The first warning becomes the gate's word, unless something worse did already."""
        gate, warning = self._done.get(name), next(iter(found), None)
        if warning and (gate is None or gate.result != "failed"):
            seconds = gate.seconds if gate else 0.0
            self._done[name] = Gate(name, "warning", seconds, warning.code, warning.cause, warning.remedy)

    def _open_before(self, gate: str) -> None:
        """We came as far as this gate: the ones before it stand open; a server that takes us in has shown the database, too."""
        for name in _ORDER[: _ORDER.index(gate)]:
            if name == "tls" and name not in self._done:
                self._tls()
            elif name not in self._done:
                self._put(name, "passed")

    def _tls(self) -> None:
        if self._dial.tls_mode == "disable":
            return self._put("tls", "skipped", cause="ssl_config.mode is disable")
        if verified(self._dial.tls_mode):
            return self._put("tls", "passed")
        found = caution("tls_unverified", f"with ssl_config.mode {self._dial.tls_mode} nobody proves who answers")
        self._put("tls", "warning", found.code, found.cause, found.remedy)

    def _put(self, name: str, result: Result, code: str = "", cause: str = "", remedy: str = "") -> None:
        now = perf_counter()
        self._done[name] = Gate(name, result, round(now - self._since, 6), code, cause, remedy)
        self._since = now


def _gate_of(code: str) -> str:
    """The gate that this code belongs to; empty where that depends on how far we came."""
    return "identity" if code.startswith("secret_") else _AT.get(code, "")


async def _structures(snapshot: Snapshot, marks: list[TableMark]) -> list[TableFacts]:
    """The smallest tables that hold something first: reading them is cheap."""
    readable = sorted((mark for mark in marks if mark.readable), key=lambda mark: (mark.kind == "view", not mark.bytes, mark.bytes))
    return [facts async for some in snapshot.describe((readable or marks)[:_FEW]) for facts in some]


def _task(facts: TableFacts) -> SampleTask | None:
    """One row of this table; None where it has no column that can be looked at, or may not be read."""
    if not any(facts.sampled) or not facts.mark.readable:
        return None
    return task_of(facts, rows=1, seed=0, place=facts.sample_from)

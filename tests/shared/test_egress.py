"""Where a tenant's source may be: decided at the moment of connecting."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import nullcontext
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from shared.cloud.aws import AwsSessions, AwsSignIn
from shared.cloud.tokens import Endpoint, Tokens
from shared.contracts.source import AwsConfig, AzureConfig, DataSource, GcpConfig
from shared.egress import (
    EgressPolicy,
    GuardedLoop,
    Surroundings,
    _policy,
    as_this_machine,
    cloud_policy,
    guarded,
    refusal,
    surroundings,
)
from shared.errors import PurSightError
from shared.sources.base import Dial
from shared.sources.dialling import policy_for, signed_in

CLOUD, HOUSE, LAPTOP = EgressPolicy("cloud"), EgressPolicy("on_prem"), EgressPolicy("on_prem", local=True)


@pytest.mark.parametrize(
    ("address", "policy", "allowed"),
    [
        ("169.254.169.254", LAPTOP, False),
        ("fe80::1%eth0", LAPTOP, False),
        ("::ffff:169.254.169.254", LAPTOP, False),
        ("64:ff9b::a9fe:a9fe", LAPTOP, False),
        ("2002:a9fe:a9fe::1", LAPTOP, False),
        ("fd00:ec2::254", HOUSE, False),
        ("fd20:ce::254", HOUSE, False),
        ("64:ff9b::7f00:1", HOUSE, False),
        ("100.100.100.200", HOUSE, False),
        ("224.0.0.1", HOUSE, False),
        ("0.0.0.0", LAPTOP, False),
        ("127.0.0.1", HOUSE, False),
        ("::1", HOUSE, False),
        ("127.0.0.1", LAPTOP, True),
        ("::ffff:127.0.0.1", HOUSE, False),
        ("10.1.2.3", HOUSE, True),
        ("10.1.2.3", CLOUD, False),
        ("10.1.2.3", EgressPolicy("on_prem", private=(ip_network("192.168.0.0/16"),)), False),
        ("192.168.3.4", EgressPolicy("cloud", private=(ip_network("192.168.0.0/16"),)), True),
        ("93.184.216.34", CLOUD, True),
    ],
)
def test_addresses(address: str, policy: EgressPolicy, allowed: bool) -> None:
    """Link-local, metadata and multicast never; loopback on a laptop; private ranges in the house."""
    assert (not refusal(address, 5432, policy)) is allowed


def test_own_ports_are_never_dialled() -> None:
    """A source cannot be PurSight's own broker."""
    assert refusal("127.0.0.1", 9092, EgressPolicy(local=True, own_ports=frozenset({9092})))


def test_own_state_is_never_a_source() -> None:
    """PurSight's own database is refused by name; another database of the same server is not."""
    around = surroundings(mode="local", private="", database_url="postgresql://p@127.0.0.1:5433/pursight", bootstrap="", http_port=0)
    spec = DataSource(name="x", host="localhost", port=5433, database="pursight")
    for address in ("127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1"):
        assert refusal(address, 5433, policy_for(spec, around))
    assert not refusal("127.0.0.1", 5433, policy_for(spec.model_copy(update={"database": "demo"}), around))


def test_own_parts_are_known_by_any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator names them; a source names an address, or another name of it. What is beside them may be dialled."""
    around = surroundings(
        mode="server",
        private="",
        database_url="postgresql://p@state.corp/pursight",
        bootstrap="gone.corp:9092,kafka.corp:9092",
        http_port=0,
    )
    addresses = {"state.corp": "10.0.0.5", "alias.corp": "10.0.0.5", "kafka.corp": "10.0.0.9"}
    connected = []

    def named(host: str, port: int, *_: object, **__: object) -> list[Any]:
        if host.endswith(".corp") and host not in addresses:
            raise socket.gaierror("no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (addresses.get(host, host), port))]

    class Unplugged(asyncio.SelectorEventLoop):
        async def sock_connect(self, sock: socket.socket, address: Any) -> None:
            connected.append(address)
            raise OSError("not plugged in")

    class Loop(GuardedLoop, Unplugged):
        """The guard over a loop that reaches nothing."""

    async def dial(database: str, host: str, port: int) -> str:
        spec = DataSource(name="x", host=host, port=port, database=database)
        with guarded(policy_for(spec, around)):
            try:
                await asyncio.open_connection(host, port)
            except PurSightError as error:
                return error.code
            except OSError:
                return "dialled"
        return ""

    async def work() -> list[str]:
        return [
            await dial(*each)
            for each in (
                ("pursight", "10.0.0.5", 5432),
                ("pursight", "alias.corp", 5432),
                ("orders", "10.0.0.9", 9092),
                ("orders", "alias.corp", 5432),
                ("pursight", "10.0.0.6", 5432),
            )
        ]

    monkeypatch.setattr(socket, "getaddrinfo", named)
    with asyncio.Runner(loop_factory=Loop) as runner:
        assert runner.run(work()) == ["egress_denied", "egress_denied", "egress_denied", "dialled", "dialled"]
    assert connected == [("10.0.0.5", 5432), ("10.0.0.6", 5432)]


def test_a_cloud_is_reached_anywhere_but_at_home() -> None:
    """Its API may answer from a private range; our own broker and state are not its API, nor is the metadata address."""
    around = surroundings(
        mode="local", private="", database_url="postgresql://p@127.0.0.1:5433/pursight", bootstrap="10.0.0.9:9092", http_port=0
    )
    policy = cloud_policy(around)
    assert not refusal("10.1.2.3", 443, policy)
    assert not refusal("127.0.0.1", 5000, policy)
    assert refusal("127.0.0.1", 5433, policy)
    assert refusal("10.0.0.9", 9092, policy)
    assert refusal("169.254.169.254", 80, policy)
    assert refusal("127.0.0.1", 5000, cloud_policy(Surroundings()))


def test_a_refused_connect_never_leaves() -> None:
    """The loop refuses before the socket connects, by name and by number alike."""

    async def work() -> list[str]:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            listener.setblocking(False)
            codes = []
            with guarded(HOUSE):
                for host in ("127.0.0.1", "localhost"):
                    try:
                        await asyncio.open_connection(host, listener.getsockname()[1])
                    except PurSightError as error:
                        codes.append(error.code)
            with pytest.raises(BlockingIOError):
                listener.accept()
            return codes

    with asyncio.Runner(loop_factory=GuardedLoop) as runner:
        assert runner.run(work()) == ["egress_denied", "egress_denied"]


def test_a_name_that_is_bound_anew_between_two_looks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """First it names a public address, as who checks names beforehand would see; when it is dialled, it names this machine."""
    answers = ["93.184.216.34", "127.0.0.1"]

    def rebinding(host: str, port: int, *_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers.pop(0), port))]

    async def work() -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            listener.setblocking(False)
            port, loop = listener.getsockname()[1], asyncio.get_running_loop()
            (looked,) = await loop.getaddrinfo("db.example", port)
            assert not refusal(looked[4][0], port, HOUSE)
            with guarded(HOUSE), pytest.raises(PurSightError) as refused:
                await asyncio.open_connection("db.example", port)
            assert refused.value.code == "egress_denied"
            with pytest.raises(BlockingIOError):
                listener.accept()

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with asyncio.Runner(loop_factory=GuardedLoop) as runner:
        runner.run(work())


def test_the_metadata_address_is_open_only_to_who_signs_in_where_the_operator_allows_it() -> None:
    """A source at that address is refused in both cases."""

    async def dialled(policy: EgressPolicy, *, sign_in: bool) -> str:
        with guarded(policy), as_this_machine() if sign_in else nullcontext():
            current = _policy.get()
            assert current
            return refusal("169.254.169.254", 80, current)

    allowed, denied = EgressPolicy("cloud", own_identity=True), EgressPolicy("cloud", local=True)
    with asyncio.Runner(loop_factory=GuardedLoop) as runner:
        assert runner.run(dialled(allowed, sign_in=True)) == ""
        for policy, sign_in in ((allowed, False), (denied, True), (denied, False)):
            assert "metadata" in runner.run(dialled(policy, sign_in=sign_in))


@pytest.mark.parametrize(
    "cloud",
    [
        AwsConfig(provider="aws", region="eu-central-1"),
        AzureConfig(provider="azure", use_managed_identity=True),
        AzureConfig(provider="azure"),
        GcpConfig(provider="gcp", use_workload_identity=True),
        GcpConfig(provider="gcp"),
    ],
    ids=["aws", "azure", "azure by its surroundings", "gcp", "gcp by its surroundings"],
)
def test_no_cloud_gives_a_source_this_machines_identity_unasked(cloud: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each library's way to the metadata address is cut, and the refusal says what would allow it."""
    for name in [each for each in os.environ if each.startswith(("AWS_", "AZURE_", "GOOGLE_", "GCE_"))]:
        monkeypatch.delenv(name)
    for name, value in {"HOME": str(tmp_path), "CLOUDSDK_CONFIG": str(tmp_path), "AWS_SHARED_CREDENTIALS_FILE": "/nowhere"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GCE_METADATA_HOST", "169.254.169.254")  # no name server answers for its name here

    async def resolve(reference: str) -> str:
        raise AssertionError(reference)

    async def work() -> None:
        with guarded(CLOUD):
            await Tokens(resolve).database(cloud, Endpoint("acme/crm", "postgresql", "db.example", 5432, "reader"))

    with asyncio.Runner(loop_factory=GuardedLoop) as runner, pytest.raises(PurSightError) as refused:
        runner.run(work())
    assert refused.value.code == "own_identity_denied"


THE_PROCESS = {
    "AWS_ACCESS_KEY_ID": "AKIAPROCESS",
    "AWS_SECRET_ACCESS_KEY": "canary",
    "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/pursight",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AZURE_TENANT_ID": "00000000-0000-0000-0000-000000000000",
    "AZURE_CLIENT_ID": "00000000-0000-0000-0000-000000000001",
    "AZURE_CLIENT_SECRET": "canary",
}


@pytest.mark.parametrize(
    "cloud",
    [
        AwsConfig(provider="aws", region="eu-central-1"),
        AwsConfig(provider="aws", region="eu-central-1", profile="data"),
        AwsConfig(provider="aws", region="eu-central-1", role_arn="arn:aws:iam::123456789012:role/crm"),
        AzureConfig(provider="azure"),
        AzureConfig(provider="azure", use_workload_identity=True, client_id="c", tenant_id="t"),
        AzureConfig(provider="azure", use_managed_identity=True, client_id="c", client_secret_ref="env:S"),
        GcpConfig(provider="gcp"),
        GcpConfig(provider="gcp", impersonate_service_account="crm@shop.iam.gserviceaccount.com"),
    ],
    ids=str,
)
@pytest.mark.parametrize("engine", ["postgresql", "s3"])
def test_what_the_process_signs_in_with_serves_no_source(cloud: Any, engine: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keys, profiles, token and key files of its own variables; through the door that drivers use."""
    for name in (
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AZURE_FEDERATED_TOKEN_FILE",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "AWS_SHARED_CREDENTIALS_FILE",
    ):
        (tmp_path / name).write_text("[data]\naws_access_key_id=AKIAPROCESS\naws_secret_access_key=canary\n")
        monkeypatch.setenv(name, str(tmp_path / name))
    for name, value in THE_PROCESS.items():
        monkeypatch.setenv(name, value)

    async def resolve(reference: str) -> str:
        raise AssertionError(reference)

    async def lookup(host: str, port: int, again: bool) -> tuple[str, str]:
        token = await Tokens(resolve).database(cloud, Endpoint("acme/crm", engine, host, port, "reader"))
        return "reader", token.value

    async def connect(dial: Dial) -> str:
        return dial.password

    async def work() -> str:
        with guarded(CLOUD):
            return await signed_in(Dial("db.example", 5432, "d", "", lookup=lookup), connect)

    with asyncio.Runner(loop_factory=GuardedLoop) as runner, pytest.raises(PurSightError) as refused:
        runner.run(work())
    assert refused.value.code == "own_identity_denied"


@pytest.mark.parametrize("lent", [EgressPolicy("cloud", own_identity=True), EgressPolicy("cloud", local=True)], ids=["operator", "laptop"])
def test_where_it_is_lent_it_serves(lent: EgressPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator said so, or it is one person's stack."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, THE_PROCESS[name])

    async def resolve(reference: str) -> str:
        raise AssertionError(reference)

    async def lookup(host: str, port: int, again: bool) -> tuple[str, str]:
        aws = AwsConfig(provider="aws", region="eu-central-1")
        return "reader", (await Tokens(resolve).database(aws, Endpoint("acme/crm", "postgresql", host, port, "reader"))).value

    async def connect(dial: Dial) -> str:
        return dial.password

    async def work() -> str:
        with guarded(lent):
            return await signed_in(Dial("db.example", 5432, "d", "", lookup=lookup), connect)

    with asyncio.Runner(loop_factory=GuardedLoop) as runner:
        assert "AKIAPROCESS" in runner.run(work())


def test_secret_stores_are_asked_as_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on behalf of a source that may borrow nothing: which of their secrets it may name is decided elsewhere."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, THE_PROCESS[name])

    async def work() -> str:
        with guarded(CLOUD):
            return (await AwsSessions().keys(AwsSignIn(ours=True))).account

    with asyncio.Runner(loop_factory=GuardedLoop) as runner:
        assert runner.run(work()) == "AKIAPROCESS"


def test_a_dial_signs_in_as_this_machine_only_where_the_operator_allows_it() -> None:
    """Through the door that drivers use: the operator's servers are not under the source's policy, the machine's identity is."""
    met: list[str] = []

    async def lookup(host: str, port: int, again: bool) -> tuple[str, str]:
        for address in ("169.254.169.254", "127.0.0.1", "10.0.0.1"):
            with as_this_machine():
                policy = _policy.get()
                assert policy
                met.append(refusal(address, 80, policy))
        return "reader", "token"

    async def connect(dial: Dial) -> str:
        return dial.password

    async def work(policy: EgressPolicy) -> str:
        with guarded(policy):
            return await signed_in(Dial("db.example", 5432, "d", "", lookup=lookup), connect)

    for own in (False, True):
        with asyncio.Runner(loop_factory=GuardedLoop) as runner:
            assert runner.run(work(EgressPolicy("cloud", own_identity=own))) == "token"
    assert [bool(each) for each in met] == [True, False, False, False, False, False]


async def test_an_unguarded_loop_is_refused() -> None:
    """Where the loop cannot guard, nothing is dialled."""
    with pytest.raises(PurSightError, match="not guarded"), guarded(HOUSE):
        pass

"""The whole line on MariaDB and on MySQL 8.0: from a URL to tags."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.journeys.stack import Line
from tests.mysql_server import PASSWORD, MysqlServer

ROWS = ", ".join(f"({n}, 'user{n}@example.com', 'DE89370400440532013000', '2024-05-0{1 + n % 9}')" for n in range(1, 41))


@pytest.fixture(params=["mariadb", "mysql"])
def server(request: pytest.FixtureRequest) -> MysqlServer:
    found: MysqlServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def shop(server: MysqlServer) -> Iterator[str]:
    """A database with a table of people, a table without anything of theirs, and a view, read by a user of its own."""
    name = f"shop_{secrets.token_hex(4)}"
    server.run(
        f"create database {name} character set utf8mb4",
        f"use {name}",
        "create table customer (id int auto_increment primary key, email varchar(80), iban varchar(40), joined date)",
        "create table reading (id int primary key, sensor varchar(20), degrees decimal(6, 2), foreign key (id) references customer (id))",
        "create view loyal as select id, email from customer where joined < '2020-01-01'",
        f"insert into customer values {ROWS}",
        "analyze table customer, reading",
        f"grant select, show view on {name}.* to reader",
    )
    yield name
    server.run(f"revoke select, show view on {name}.* from reader", f"drop database {name}")


def test_a_database_is_scanned_to_its_tags(line: Line, server: MysqlServer, shop: str) -> None:
    """`pursight scan mariadb://…` or `mysql://…` finds the classes by their values and tags the tables; a second scan finds what is new."""
    url = f"{server.url('reader', shop)}?sslmode=verify-full&sslrootcert={server.ca}"
    found = line.scan(url, MYSQL_PWD=PASSWORD)
    tables = {asset["table"]: {column["name"]: column["class"] for column in asset["columns"]} for asset in found["assets"]}
    assert set(tables) == {"customer", "reading", "loyal"}
    assert (tables["customer"]["email"], tables["customer"]["iban"]) == ("email", "iban")
    assert {asset["schema"] for asset in found["assets"]} == {shop}
    assert any("customer" in tag["target"] for tag in found["tags"]), found["tags"][:5]
    assert "example.com" not in str(found)
    server.run(f"alter table {shop}.reading add column phone varchar(30)")
    again = line.scan(url, MYSQL_PWD=PASSWORD)
    columns = {asset["table"]: [column["name"] for column in asset["columns"]] for asset in again["assets"]}
    assert columns["reading"] == ["id", "sensor", "degrees", "phone"]
    assert server.sessions("reader") <= 1  # the line that the connector looks on

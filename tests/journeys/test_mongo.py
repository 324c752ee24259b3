"""The whole line on what speaks MongoDB's wire: from a URL to tags."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.journeys.stack import Line
from tests.mongo_server import PASSWORD, READS, MongoServer


@pytest.fixture
def shop(mongo: MongoServer) -> Iterator[str]:
    """A database with nested documents of people, one without anything of theirs, and a view, read by a user of its own."""
    name = f"shop_{secrets.token_hex(4)}"
    database = mongo.admin[name]
    account = {"iban": "DE89370400440532013000"}
    people = [{"_id": n, "contact": {"email": f"user{n}@example.com"}, "accounts": [account] * (1 + n % 2), "joined": n} for n in range(60)]
    database.customer.insert_many(people)
    database.reading.insert_many([{"_id": n, "degrees": n / 7} for n in range(10)])
    database.create_collection("loyal", viewOn="customer", pipeline=[{"$match": {"joined": 7}}])
    mongo.user(f"r_{name}", database=name, actions=(*READS, "listCollections", "dbStats", "insert"))  # who may write is told about
    yield name
    mongo.test("forget", user=f"r_{name}")
    mongo.admin.drop_database(name)


def test_a_set_of_mongodb_is_scanned_to_its_tags(line: Line, mongo: MongoServer, shop: str) -> None:
    """`pursight scan mongodb://…` finds the classes by their values, nested or in lists; a second scan says what changed."""
    url = mongo.url(f"r_{shop}", shop).replace("@", f":{PASSWORD.replace(' ', '%20')}@")
    found = line.scan(url, "--name", shop)
    tables = {asset["table"]: {column["name"]: column["class"] for column in asset["columns"]} for asset in found["assets"]}
    assert set(tables) == {"customer", "reading", "loyal"}
    assert (tables["customer"]["contact.email"], tables["customer"]["accounts[].iban"]) == ("email", "iban")
    assert found["violations"]
    assert any("customer" in tag["target"] for tag in found["tags"]), found["tags"][:5]
    assert "example.com" not in str(found)
    mongo.admin[shop].reading.update_many({}, {"$set": {"phone": "+49 431 1234567"}})
    again = line.scan(url, "--name", shop)
    columns = {asset["table"]: [column["name"] for column in asset["columns"]] for asset in again["assets"]}
    assert columns["reading"] == ["_id", "degrees", "phone"]
    assert mongo.lines(f"r_{shop}") <= 2  # the line that the connector keeps to look at its health

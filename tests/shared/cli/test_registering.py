"""What a scan by URL makes of a source that is known: it is reached as the URL says, and stays what people made of it."""

from __future__ import annotations

import pytest

from shared.cli import registering
from shared.cli.target import parse
from shared.contracts.names import SourceName
from shared.errors import UsageError

KNOWN = {
    "version": 3,
    "spec": {
        "name": "shop",
        "host": "localhost",
        "database": "shop",
        "username": "jo",
        "password_secret": "local:default.shop",
        "ssl_config": {"ca": "/ca.pem"},
        "location": "hybrid",
        "owner": "team-shop",
        "labels": {"country": "DE"},
        "schedule": "24h",
    },
}


def test_what_people_declared_stays() -> None:
    """The URL says how it is reached, within a block, too; another user takes the password of the one before away."""
    target = parse("postgresql://jo@localhost/shop?sslmode=require")
    target.document.update(owner="", labels={}, schedule="1h", description="usual")
    found = registering._beside_what_is_known(KNOWN, target)
    assert found == KNOWN["spec"] | {"engine": "postgresql", "port": 5432, "ssl_config": {"ca": "/ca.pem", "mode": "require"}}
    assert "password_secret" not in registering._beside_what_is_known(KNOWN, parse("postgresql://al@localhost/shop"))
    assert registering._beside_what_is_known(None, target) == target.document


def test_a_password_from_elsewhere_is_not_replaced() -> None:
    """Where the source names a store of its own, a variable that happens to be set changes nothing."""
    target = parse("postgresql://jo:given@localhost/shop")
    own = "local:default.shop"
    assert registering._password(target, {"password_secret": own}, own) == "given"
    assert registering._password(target, {}, own) == "given"
    assert registering._password(target, {"password_secret": "vault:kv/shop"}, own) is None


def test_a_name_that_nobody_chose_is_not_another_places() -> None:
    """Else a URL would turn one source into another."""
    named = SourceName("default", "shop")
    registering._same_place(KNOWN, named, parse("postgresql://jo@localhost/shop"))
    registering._same_place(KNOWN, named, parse("mysql://jo@localhost/shop", name="shop"))
    with pytest.raises(UsageError, match="that one is postgresql at localhost, shop"):
        registering._same_place(KNOWN, named, parse("mysql://jo@localhost/shop"))

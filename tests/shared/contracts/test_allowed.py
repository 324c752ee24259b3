"""Which secrets a source may name: those of its tenant's places, however they are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shared.contracts.connection import ConnectionPlan
from shared.contracts.judging.allowed import ANY, SAFE, Allowed
from shared.contracts.judging.source import judge
from shared.contracts.source import DataSource
from shared.errors import Failed
from shared.secrets.sign_in import SignIn

MINE = Allowed((*SAFE, "vault:secret/{tenant}/*", "env:CRM_PASSWORD"))


@pytest.mark.parametrize(
    ("reference", "permitted"),
    [
        ("local:acme.crm", True),
        ("local:acme.", False),
        ("local:other.crm", False),
        ("local:acmeother.crm", False),
        ("file:/run/secrets/pursight/acme/crm", True),
        ("file:/run/secrets/pursight/acme/", False),
        ("file:/run/secrets/pursight/acme/../other/crm", False),
        ("file:/run/secrets/pursight/acme/./../other/crm", False),
        ("file:/run/secrets/pursight/acme//../other", False),
        ("file:/etc/shadow", False),
        ("env:CRM_PASSWORD", True),
        ("env:CRM_PASSWORD_2", False),
        ("env:PATH", False),
        ("vault:secret/acme/crm?version=3#password", True),
        ("vault:secret/acme/%2e%2e/other/crm#password", False),
        ("vault:secret/other/crm#password", False),
        ("aws-sm:prod/crm", False),
        ("local:acme.crm | env:CRM_PASSWORD", True),
        ("local:acme.crm | env:PATH", False),
    ],
)
def test_a_reference_is_held_to_the_operators_list(reference: str, permitted: bool) -> None:
    """Each of a chain; no step upwards, plain or escaped."""
    assert MINE.permits("acme", reference) is permitted
    assert ANY.permits("acme", reference)


@pytest.mark.parametrize("tenant", ["..", ".", "a/../b", "*"])
def test_a_tenants_name_opens_no_other_place(tenant: str) -> None:
    """It stands in the pattern as it stands in keys."""
    assert not MINE.permits(tenant, "file:/run/secrets/pursight/acme/crm")
    assert not MINE.permits(tenant, "vault:secret/acme/crm#password")
    assert not Allowed(("file:/s/{tenant}/*",)).permits("..", "file:/s/../x")


def test_what_holds_where_nothing_is_said() -> None:
    """All on a laptop; the tenant's own places in a served installation; what the operator says, said so in both."""
    assert Allowed.by("local", None).patterns == ANY.patterns
    assert Allowed.by("server", None).patterns == SAFE
    assert Allowed.by("local", ()).patterns == ()
    assert not Allowed.by("local", ()).permits("acme", "local:acme.crm")


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"password_secret": "env:DATABASE_URL"}, "password_secret"),
        ({"password_secret": "local:acme.crm | file:/home/somebody/.pgpass"}, "password_secret"),
        ({"ssl_config": {"key": "/etc/pursight/tls.key", "cert": "/run/secrets/pursight/acme/tls.crt"}}, "ssl_config.key"),
        ({"ssl_config": {"ca": "local:other.crm"}}, "ssl_config.ca"),
        (
            {"cloud_config": {"provider": "aws", "access_key_id": "A", "secret_access_key_ref": "env:X"}},
            "cloud_config.secret_access_key_ref",
        ),
        (
            {"cloud_config": {"provider": "aws", "role_arn": "arn:aws:iam::1:role/r", "web_identity_token_file": "/t"}},
            "cloud_config.web_identity_token_file",
        ),
        ({"cloud_config": {"provider": "gcp", "service_account_ref": "file:/home/somebody/key.json"}}, "cloud_config.service_account_ref"),
    ],
)
def test_a_source_that_names_another_secret_is_refused_by_field(more: dict[str, Any], field: str) -> None:
    """At the field as it was spelled; the same document is fine on a laptop, and authorities of TLS may lie anywhere."""
    document = {"name": "crm", "tenant": "acme", "host": "db.example", "database": "shop", "location": "cloud", **more}
    found = judge(document, Allowed(SAFE))
    assert [(problem.field, problem.code) for problem in found.problems] == [(field, "secret_not_allowed")]
    assert judge(document).spec
    fine = {**document, "cloud_config": None, "ssl_config": {"ca": "/etc/ssl/db.pem"}, "password_secret": "local:acme.crm"}
    assert judge({name: value for name, value in fine.items() if value is not None}, Allowed(SAFE)).spec


def test_it_is_held_again_where_references_become_values(tmp_path: Path) -> None:
    """Whatever way a source came: before anything is read or dialled."""
    spec = DataSource(name="crm", tenant="acme", host="db.example", database="shop", password_secret="env:DATABASE_URL")
    plan = ConnectionPlan(host="db.example", port=5432, database="shop", username="reader", secret="env:DATABASE_URL")
    with pytest.raises(Failed) as refused:
        SignIn(tmp_path, Allowed(SAFE)).lookup(spec, plan)
    assert (refused.value.code, "password_secret" in str(refused.value)) == ("secret_not_allowed", True)
    assert SignIn(tmp_path).lookup(spec, plan)

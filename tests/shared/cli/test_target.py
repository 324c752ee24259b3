"""From a URL to a source: what psql understands, we understand; a password never shows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shared.cli.target import in_words_of_a_url, parse
from shared.contracts.judging.source import judge
from shared.errors import UsageError
from shared.sources.failures import BY_CODE


@pytest.fixture(autouse=True)
def _no_ambient_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PGPASSWORD", "PGUSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))


def test_the_password_is_apart_and_hidden() -> None:
    """The document has no password and neither has the repr."""
    target = parse("postgresql://jo:s3cr%40t@db.example:5433/shop?sslmode=verify-full&sslrootcert=/ca.pem")
    assert target.password == "s3cr@t"
    assert "s3cr" not in repr(target) + str(target.document)
    assert target.document["ssl_config"] == {"mode": "verify-full", "ca": "/ca.pem"}
    assert target.document["name"] == "db.example-shop-5433"


@pytest.mark.parametrize("engine", ["postgresql", "mysql", "mariadb", "mongodb"])
def test_who_typed_a_url_is_told_of_tls_in_its_words(engine: str) -> None:
    """Of each failure; a client's certificate is the one thing that no URL of MongoDB names."""
    for code, failure in BY_CODE.items():
        told = in_words_of_a_url(f"{failure.cause} {failure.remedy}", engine)
        of_files = engine == "mongodb" and code in ("tls_client_certificate", "tls_file_unreadable")
        assert of_files or "ssl_config" not in told, told
    remedy = in_words_of_a_url(BY_CODE["tls_not_offered"].remedy, engine)
    assert remedy.endswith(" ?tls=false." if engine == "mongodb" else " set ?sslmode= to disable.")


def test_a_managed_host_says_its_cloud() -> None:
    """An RDS endpoint is a cloud source in its region."""
    document = parse("postgresql://jo@crm.abc.eu-central-1.rds.amazonaws.com/shop").document
    assert document["cloud_config"] == {"provider": "aws", "region": "eu-central-1"}
    assert document["location"] == "cloud"


def test_pgpass_is_read_like_libpq_does(tmp_path: Path) -> None:
    """Wildcards and escapes count; a file that others may read does not."""
    file = tmp_path / "pgpass"
    file.write_text("other:*:*:*:no\nlocalhost:5432:shop:jo:a\\:b\n")
    file.chmod(0o600)
    assert parse("postgresql://jo@localhost/shop").password == "a:b"
    file.chmod(0o644)
    assert parse("postgresql://jo@localhost/shop").password is None


def test_a_password_that_is_not_utf_8_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it is; and such bytes elsewhere in the password file disturb nobody."""
    file = tmp_path / "pgpass"
    file.write_bytes(b"# caf\xe9\nother:*:*:*:\xff\nlocalhost:5432:shop:jo:\xe9t\xe9\nlocalhost:5432:*:jo:plain\n")
    file.chmod(0o600)
    with pytest.raises(UsageError, match="the password in the password file is not UTF-8"):
        parse("postgresql://jo@localhost/shop")
    assert parse("postgresql://jo@localhost/else").password == "plain"
    monkeypatch.setenv("PGPASSWORD", os.fsdecode(b"\xe9t\xe9"))
    with pytest.raises(UsageError, match="the password in PGPASSWORD is not UTF-8"):
        parse("postgresql://jo@localhost/shop")
    with pytest.raises(UsageError, match="the password in the URL is not UTF-8"):
        parse("postgresql://jo:%e9t%e9@localhost/shop")
    with pytest.raises(UsageError, match="cannot be used: it is not UTF-8"):
        parse(os.fsdecode(b"postgresql://jo:\xe9t\xe9@localhost/shop"))


def test_a_mysql_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another engine has its own port and its own variable for the password."""
    monkeypatch.setenv("PGPASSWORD", "of another")
    monkeypatch.setenv("PGUSER", "another")
    target = parse("mysql://jo@localhost/shop")
    wanted = {"engine": "mysql", "port": 3306, "username": "jo", "name": "shop"}
    assert ({name: target.document[name] for name in wanted}, target.password) == (wanted, None)
    monkeypatch.setenv("MYSQL_PWD", "a b")
    target = parse("mariadb://localhost:3307/shop")
    assert (target.document["engine"], target.document["username"], target.document["name"]) == ("mariadb", "", "shop-3307")
    assert target.password == "a b"


@pytest.mark.parametrize(
    "url",
    [
        "oracle://h/d",
        "h/d",
        "",
        "postgresql://h",
        "postgresql://h:x/d",
        "postgresql://[::1/d",
        "postgresql://h/d?foo=1",
        "postgresql://u:pw@h:99999/d",
        "postgresql://u:12/pw@h/d",
        "postgresql://u:12#pw@h/d",
        "postgresql://u:12?pw@h/d",
        "postgresql://u:12/3?pw@h/d",
    ],
)
def test_what_cannot_be_scanned_is_one_line(url: str) -> None:
    """Wrong use says what to write and never repeats the password."""
    with pytest.raises(UsageError) as refused:
        parse(url)
    assert "\n" not in refused.value.line()
    assert "pw" not in refused.value.line()


@pytest.mark.parametrize(
    ("url", "wanted", "password"),
    [
        (
            "mongodb://jo:p%40w@h1:1,h2:2/shop?replicaSet=rs0&tls=true&tlsCAFile=/ca.pem&authSource=people&w=majority",
            {
                "name": "h1-shop-1",
                "host": "h1",
                "port": 1,
                "replica_config": {"replica_members": ["h2:2"], "replica_set": "rs0"},
                "ssl_config": {"mode": "verify-full", "ca": "/ca.pem"},
                "auth_database": "people",
            },
            "p@w",
        ),
        ("mongodb+srv://jo@c.example.net/shop", {"srv": True, "ssl_config": {"mode": "verify-full"}, "username": "jo"}, None),
        ("mongodb://h/shop?tls=true&tlsAllowInvalidCertificates=true", {"ssl_config": {"mode": "require"}}, None),
        (
            "s3://lake/a/b?region=eu-central-1",
            {
                "engine": "s3",
                "name": "lake-a-b",
                "path": "a/b",
                "location": "cloud",
                "cloud_config": {"provider": "aws", "region": "eu-central-1"},
            },
            None,
        ),
        (
            "s3://lake?endpoint=http://127.0.0.1:9000",
            {"host": "127.0.0.1", "port": 9000, "location": "on_prem", "ssl_config": {"mode": "disable"}},
            None,
        ),
        ("gs://lake/x", {"engine": "gcs", "database": "lake", "cloud_config": {"provider": "gcp"}}, None),
        ("az://acc/cont/x", {"engine": "azure_blob", "database": "cont", "path": "x"}, None),
        ("file:///srv/drop", {"engine": "folder", "path": "/srv/drop", "database": "drop"}, None),
    ],
)
def test_a_url_of_documents_or_files(url: str, wanted: dict[str, object], password: str | None) -> None:
    """Sets of MongoDB, buckets of three clouds, a folder: each has the spelling that its own tools know."""
    target = parse(url)
    assert ({name: target.document.get(name) for name in wanted}, target.password) == (wanted, password)


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://h",
        "mongodb:///d",
        "mongodb://h/d?tlsPinned=1",
        "mongodb://u:12/pw@h/d",
        "s3:///a",
        "az://acc",
        "file://far/a",
        "file:///?a=1",
    ],
)
def test_what_is_no_such_url_is_one_line(url: str) -> None:
    """A parameter that we do not know could weaken TLS, so it is refused."""
    with pytest.raises(UsageError) as refused:
        parse(url)
    assert "pw" not in refused.value.line()


def test_a_name_that_nobody_chose_is_plain() -> None:
    """Whatever the database or folder is called, its source has a name that can be registered."""
    for url in ("postgresql://h/odd.d%2Fb%20%F0%9F%A6%8A", "file:///srv/my%20data%20(x)", "mongodb://h/..", "s3://lake/a%20b/$c"):
        document = parse(url).document
        assert not [problem for problem in judge(document).problems if problem.field == "name"], document["name"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """Whose folder is told."""
    (file := tmp_path / "customers.csv").touch()
    with pytest.raises(UsageError, match=rf"customers\.csv is a file\. Give its folder: file://{tmp_path}\."):
        parse(f"file://{file}")

"""The local secret store: nothing readable on disk, nothing lost by rotation."""

from __future__ import annotations

import json
import threading
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from typer.testing import CliRunner

from shared.cli.secrets import secrets
from shared.errors import Failed, UsageError
from shared.secrets.reference import SecretRef
from shared.secrets.resolvers import Secrets
from shared.secrets.vault import LocalVault

SECRET = "c0rrect-h0rse battery \N{SNOWMAN}"


def test_what_is_put_comes_back_and_is_not_readable_on_disk(tmp_path: Path) -> None:
    """A stored secret opens again and none of the files shows it."""
    vault = LocalVault(tmp_path / "s")
    vault.put("crm", SECRET)
    assert vault.get("crm") == SECRET
    assert all(SECRET.encode() not in file.read_bytes() for file in (tmp_path / "s").iterdir())
    assert {file.stat().st_mode & 0o077 for file in (tmp_path / "s").iterdir()} == {0}


def test_rotation_drops_the_old_key_and_keeps_every_secret(tmp_path: Path) -> None:
    """After rotation the old key is gone and all secrets open."""
    vault = LocalVault(tmp_path)
    vault.put("a", "1")
    vault.put("b", "2")
    before = (tmp_path / "keys.json").read_text()
    assert vault.rotate() == 2
    assert (vault.get("a"), vault.get("b")) == ("1", "2")
    assert set(json.loads(before)).isdisjoint(json.loads((tmp_path / "keys.json").read_text()))


def test_a_row_moved_to_another_name_does_not_open(tmp_path: Path) -> None:
    """The name is bound to the ciphertext."""
    vault = LocalVault(tmp_path)
    vault.put("a", "1")
    rows = json.loads((tmp_path / "secrets.json").read_text())
    (tmp_path / "secrets.json").write_text(json.dumps({"b": rows["a"]}))
    with pytest.raises(Failed, match="cannot be opened"):
        vault.get("b")


def test_a_literal_password_is_refused_without_being_repeated() -> None:
    """What is not a reference may be the secret: the error does not quote it."""
    with pytest.raises(UsageError) as refused:
        SecretRef.parse("hunter2")
    assert "hunter2" not in refused.value.line()


@pytest.mark.parametrize(
    ("reference", "code"),
    [("env:PURSIGHT_NO_SUCH", "secret_missing"), ("local:none", "secret_missing"), ("vault:x", "secret_reference_wrong")],
)
async def test_a_miss_names_the_store_it_looked_in(tmp_path: Path, reference: str, code: str) -> None:
    """Each miss has a code and says where it looked."""
    with pytest.raises(Failed) as missed:
        await Secrets(tmp_path).resolve(reference)
    assert missed.value.code == code


def test_every_row_names_its_key(tmp_path: Path) -> None:
    """A key id beside each wrapped data key; after rotation all rows name the newest."""
    vault = LocalVault(tmp_path)
    vault.put("a", "1")
    vault.rotate()
    vault.put("b", "2")
    rows = json.loads((tmp_path / "secrets.json").read_text())
    assert {row["key"] for row in rows.values()} == set(json.loads((tmp_path / "keys.json").read_text())) == {"2"}
    assert rows["a"]["data_key"] != rows["b"]["data_key"]


def test_rotation_disturbs_no_reader(tmp_path: Path) -> None:
    """A reader between the two files of a rotation still gets the secret."""
    vault, stop = LocalVault(tmp_path), threading.Event()
    vault.put("a", "1")

    def rotate() -> None:
        while not stop.is_set():
            LocalVault(tmp_path).rotate()

    turning = threading.Thread(target=rotate)
    turning.start()
    try:
        assert {vault.get("a") for _ in range(300)} == {"1"}
    finally:
        stop.set()
        turning.join()


@pytest.mark.parametrize("held", ["key", "secret", "older"])
def test_fernet_tokens_are_read_and_upgraded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: str) -> None:
    """Tokens under a Fernet key, or a key derived from an application secret, open; rotation makes them rows that need neither."""
    secret = "app secret of old"
    derived = urlsafe_b64encode(sha256(secret.encode()).digest()).decode()
    monkeypatch.setenv(
        "PURSIGHT_FERNET_KEYS", {"key": derived, "secret": secret, "older": f"{Fernet.generate_key().decode()}, {derived}"}[held]
    )
    vault = LocalVault(tmp_path)
    vault.put("mine", "1")
    assert vault.adopt({"crm": Fernet(derived).encrypt(SECRET.encode()).decode()}) == 1
    assert vault.get("crm") == SECRET
    assert vault.rotate() == 2
    monkeypatch.delenv("PURSIGHT_FERNET_KEYS")
    assert (vault.get("crm"), vault.get("mine")) == (SECRET, "1")
    assert "fernet" not in (tmp_path / "secrets.json").read_text()


def test_a_fernet_token_without_its_key_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All or none are adopted, and the error names which secret, not what it is."""
    key = Fernet.generate_key().decode()
    token = Fernet(key).encrypt(SECRET.encode()).decode()
    vault = LocalVault(tmp_path)
    for keys in ("", Fernet.generate_key().decode()):
        monkeypatch.setenv("PURSIGHT_FERNET_KEYS", keys)
        with pytest.raises(Failed, match="crm cannot be opened") as caught:
            vault.adopt({"crm": token})
        assert token not in caught.value.line()
    assert vault.names() == []


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`secrets import` takes tokens over, `rotate` upgrades them; no value is printed."""
    monkeypatch.setenv("PURSIGHT_HOME", str(tmp_path))
    key = Fernet.generate_key()
    monkeypatch.setenv("PURSIGHT_FERNET_KEYS", key.decode())
    (tmp_path / "old.json").write_text(json.dumps({"crm": Fernet(key).encrypt(SECRET.encode()).decode()}))
    run = CliRunner().invoke
    printed = [run(secrets, ["import", str(tmp_path / "old.json")]), run(secrets, ["rotate"]), run(secrets, ["list"])]
    assert [each.exit_code for each in printed] == [0, 0, 0]
    assert all(SECRET not in each.output for each in printed)
    assert LocalVault(tmp_path / "secrets").get("crm") == SECRET
    (tmp_path / "old.json").write_text('["no object"]')
    assert isinstance(run(secrets, ["import", str(tmp_path / "old.json")]).exception, UsageError)

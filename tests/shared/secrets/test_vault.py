"""The local secret store: nothing readable on disk, nothing lost by rotation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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

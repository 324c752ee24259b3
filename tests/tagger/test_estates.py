"""The operator's file of clouds: whose, as whom, and what is wrong with it by its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.tagger.gateway.estates import Estates
from shared.errors import UsageError

FILE = """
acme:
  aws: {role_arn: "arn:aws:iam::123456789012:role/tagging"}
  kubernetes:
    main: {server: "https://10.0.0.1:6443", token_ref: "env:TOKEN"}
"*":
  gcp: {service_account_ref: "file:/run/key.json"}
"""


def load(tmp_path: Path, text: str) -> Estates:
    path = tmp_path / "clouds.yaml"
    path.write_text(text)
    return Estates.load(str(path))


def test_a_tenants_own_go_before_everybodys(tmp_path: Path) -> None:
    """Acme has what it names and nothing of the others'; who is not named has everybody's."""
    estates = load(tmp_path, FILE)
    acme, other = estates.of("acme"), estates.of("other")
    assert acme.aws
    assert (acme.aws.role_arn, acme.gcp, acme.kubernetes["main"].sign_in) == ("arn:aws:iam::123456789012:role/tagging", None, "token")
    assert (other.aws, other.gcp is not None) == (None, True)


def test_without_a_file_only_a_local_stack_writes_for_jobs() -> None:
    """A served one writes nowhere until its operator says as whom."""
    assert Estates.load("", local=True).of("acme").aws is not None
    assert Estates.load("").of("acme").aws is None


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("acme: {aws: {rolearn: x}}", "aws"),
        ("acme: {oracle: {}}", "oracle"),
        ("acme: {kubernetes: {main: {server: 'http://10.0.0.1', token_ref: 'env:T'}}}", "kubernetes.main.server"),
        ("acme: {kubernetes: {main: {server: 'https://a', sign_in: gcp, token_ref: 'env:T'}}}", "kubernetes.main"),
        ("acme: {kubernetes: {main: {server: 'https://a'}}}", "kubernetes.main"),
        ("- acme", ""),
        ("acme: [", ""),
    ],
)
def test_what_is_wrong_has_its_place(tmp_path: Path, text: str, place: str) -> None:
    """The service does not start with a file that it would half obey."""
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text)
    assert place in caught.value.why
    assert caught.value.remedy


def test_a_wrong_file_is_not_quoted(tmp_path: Path) -> None:
    """What stands where it should not may be a secret."""
    with pytest.raises(UsageError) as caught:
        load(tmp_path, "acme: {kubernetes: {main: {server: 'https://a', token: 'hunter2-canary'}}}")
    assert "canary" not in f"{caught.value.what}{caught.value.why}{caught.value.remedy}"

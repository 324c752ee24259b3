"""What is generated is right by somebody else's judgement, and nothing in it says where it was made."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from shared.contracts.topics import SERVICES, TOPICS
from shared.docs import asyncapi, strimzi
from shared.docs.__main__ import ROOT, breaks, rendered

PARSER = """
import { Parser } from '@asyncapi/parser'; import fs from 'fs';
const answer = await new Parser().parse(fs.readFileSync(process.argv[2], 'utf8'));
const errors = answer.diagnostics.filter(d => d.severity === 0).map(d => d.message + ' @' + d.path.join('.'));
console.log(JSON.stringify({ version: answer.document?.version(), channels: answer.document?.channels().length, errors }));
"""


def test_every_generated_file_is_as_committed() -> None:
    """`make gen` would change nothing."""
    assert [path.name for path, text in rendered() if not path.exists() or path.read_text() != text] == []
    assert list(breaks()) == []


def test_the_asyncapi_document_passes_its_own_parser(tmp_path: Path) -> None:
    """@asyncapi/parser finds a channel per topic and no error."""
    modules = ROOT / ".venv" / "node" / "node_modules"
    if not shutil.which("node") or not (modules / "@asyncapi" / "parser").exists():
        pytest.skip("@asyncapi/parser is not installed (needs npm)")
    (modules.parent / "validate.mjs").write_text(PARSER)
    document = tmp_path / "asyncapi.yaml"
    document.write_text(asyncapi.document())
    done = subprocess.run(["node", modules.parent / "validate.mjs", document], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"version": "3.0.0", "channels": len(TOPICS), "errors": []}


def test_every_channel_has_a_key_headers_and_an_example() -> None:
    """A reader of the document finds what a message carries beside its body."""
    document = yaml.safe_load(asyncapi.document())
    for name, message in document["components"]["messages"].items():
        assert message["bindings"]["kafka"]["key"], name
        assert message["headers"], name
        assert message["examples"][0]["payload"], name


def test_a_service_may_write_only_what_it_says() -> None:
    """The manifests give each user just the table's rights."""
    users = {user["metadata"]["name"]: user for user in yaml.safe_load_all(strimzi.users())}
    assert set(users) == {f"pursight-{service}" for service in SERVICES}
    for service in SERVICES:
        acls = users[f"pursight-{service}"]["spec"]["authorization"]["acls"]
        writes = {
            acl["resource"]["name"] for acl in acls if "Write" in acl["operations"] and not acl["resource"]["name"].endswith(".retry")
        }
        assert writes == {topic.name for topic in TOPICS if service in topic.said_by}

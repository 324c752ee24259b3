"""A data directory that an older PurSight made comes up with this one, and everything in it is kept."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from shared.local.stack import Stack
from shared.local.state import VERSION
from tests.journeys.shop import statements
from tests.journeys.stack import Line


async def test_a_home_of_version_1_keeps_its_sources_results_and_secrets(resting: Path) -> None:
    """The same ports, token, sources and facts; the stored password still opens the source; files that were open are closed."""
    stack = Stack(resting)
    before = Line(resting, stack.up())
    url = await before.make_database("kept_shop", *statements(4))
    before.scan(url, "--name", "kept-shop")
    facts, sources = before.get("/digest", source="default/kept-shop"), before.get("/sources")
    assert facts["assets"] == 5
    assert stack.down()
    as_version_1(resting)

    up = before.shell("up")
    assert up.returncode == 0, up.stderr
    assert f"data: brought to version {VERSION}" in up.stderr
    after = Line(resting, stack.running())
    try:
        assert (after.running.services, after.running.token) == (before.running.services, before.running.token)
        assert (after.get("/digest", source="default/kept-shop"), after.get("/sources")) == (facts, sources)
        without_password = url.replace(f":{url.split('@')[0].rpartition(':')[2]}@", "@")
        assert len(after.scan(without_password, "--name", "kept-shop")["assets"]) == 5
        assert after.get("/digest", source="default/kept-shop")["assets"] == 5
        assert [path.name for path in (resting / "logs").iterdir() if stat.S_IMODE(path.stat().st_mode) != 0o600] == []
    finally:
        stack.down()


def as_version_1(home: Path) -> None:
    """What version 1 had otherwise: its number, and files that everybody could read."""
    state = json.loads((home / "state.json").read_text())
    (home / "state.json").write_text(json.dumps(state | {"version": 1}))
    for file in (home / "up.lock", *(home / "logs" / f"{part}.log" for part in ("kafka", "postgres", "supervisor"))):
        file.chmod(0o644)

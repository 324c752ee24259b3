"""Places where a test may kill the process, to prove that nothing is lost and nothing is done twice.

`PURSIGHT_FAILPOINTS="relay.sent,unit.committed:3"` kills at the first time the relay has sent and the third commit. Where services
are started again by a supervisor, it is the path of a folder (with a slash): the file `SERVICE.PLACE` there arms a place of one
service for one death, its number says at which time; the service renames it to `SERVICE.PLACE.fallen` before it dies. Unset, a
place costs one look at two empty names.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

NAMES: tuple[str, ...] = (
    "unit.before_commit",  # state, inbox and outbox written, not committed
    "unit.committed",  # committed, nothing sent, offsets not committed
    "deadletter.committed",  # record put aside, offsets not committed
    "offsets.before_commit",  # all handled, offsets not committed
    "offsets.committed",  # offsets committed
    "relay.before_send",  # rows read, nothing sent
    "relay.sent",  # acknowledged by Kafka, rows still there
    "relay.deleted",  # rows deleted
    "job.before_finish",  # the job's work is done, not marked
)


def _wanted(text: str) -> dict[str, int]:
    pairs = (part.partition(":") for part in text.split(",") if part.strip())
    wanted = {name.strip(): int(count or 1) for name, _, count in pairs}
    if unknown := wanted.keys() - set(NAMES):
        raise ValueError(f"no such fail point: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    return wanted


_text = os.environ.get("PURSIGHT_FAILPOINTS", "")
_folder = Path(_text) if "/" in _text else None
_left: dict[str, int] = {} if _folder else _wanted(_text)


def hit(name: str, service: str) -> None:
    """Kill this process (SIGKILL) if this place is wanted and its count has run down."""
    if _left and name in _left:
        _left[name] -= 1
        if _left[name] <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
    elif _folder is not None and _falls(_folder / f"{service}.{name}"):
        os.kill(os.getpid(), signal.SIGKILL)


def _falls(armed: Path) -> bool:
    """Count this time; at the last one the file is renamed, so that the next process does not fall there again."""
    try:
        left = int(armed.read_text()) - 1
    except FileNotFoundError:
        return False
    if left > 0:
        armed.write_text(str(left))
        return False
    armed.rename(armed.with_name(f"{armed.name}.fallen"))
    return True

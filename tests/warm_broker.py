"""Fetch the broker's jars and leave Java's ahead-of-time cache, so that no test waits for either: `python tests/warm_broker.py`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from shared.local.kafka import EmbeddedKafka


def main() -> None:
    """A first start and a clean stop; nothing where the cache is there."""
    with tempfile.TemporaryDirectory() as folder:
        broker = EmbeddedKafka(Path(folder) / "kafka")
        broker.directory.mkdir()
        if not broker.starts_fast():
            with broker:
                pass


if __name__ == "__main__":
    main()

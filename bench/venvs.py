"""Environments of other people's programs: each of its own in bench/.work, made at its first run, so that ours stays as it is."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

WORK = Path(__file__).with_name(".work")


def python_of(name: str, *packages: str) -> Path | None:
    """A Python that has these packages; None where they cannot be had."""
    folder = WORK / name
    python, ready = folder / "bin" / "python", folder / "ready"
    if ready.exists() and ready.read_text() == " ".join(packages):
        return python
    print(f"installing {packages[0]} into {folder}, once …", file=sys.stderr, flush=True)
    try:
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True, stdout=sys.stderr)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"{packages[0]} cannot be installed ({error}): it is not measured", file=sys.stderr, flush=True)
        return None
    ready.write_text(" ".join(packages))
    return python

"""`pursight`: everything that can be done from the shell.

Progress goes to stderr and results to stdout; `--json` prints one object. Exit codes: 0 done, 1 failed or stuck, 2 wrong use,
3 a threshold was met (`--fail-on`).
"""

from __future__ import annotations

import os
import sys

from shared.errors import PurSightError

sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # httpx's own command, a third of our start: its import fails softly


def main() -> None:
    """The console script. Errors are one line; PURSIGHT_DEBUG=1 shows where they came from."""
    try:
        from shared.cli.commands import app

        app(standalone_mode=True)
    except PurSightError as error:
        if os.environ.get("PURSIGHT_DEBUG"):
            raise
        print(f"pursight: {error.line()}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get("PURSIGHT_DEBUG"):
            raise
        print(f"pursight: unexpected {type(error).__name__}. PURSIGHT_DEBUG=1 shows where it came from.", file=sys.stderr)
        sys.exit(1)

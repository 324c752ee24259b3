"""`python -m services.catalog`: serve until told to stop; `python -m services.catalog rebuild`: hear everything again."""

from __future__ import annotations

import asyncio
import logging
import sys

from services.catalog.app import rebuild, service
from shared.errors import PurSightError


def main(arguments: list[str]) -> int:
    """Returns the exit code."""
    try:
        if arguments == ["rebuild"]:
            logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a refused commit is expected, and waited out
            asyncio.run(rebuild())
        else:
            service.run()
    except PurSightError as error:
        print(error.line(), file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""How a person comes to the pages from the shell."""

from __future__ import annotations

import sys

from shared.web.seals import login_link


def way_in(url: str, token: str, *, again: str = "pursight status") -> str:
    """At a terminal a link that signs in once. What goes into a pipe ends in a log, so there the command that makes one: `again`."""
    if not token or "." in token:  # an issuer's token seals no link; there, the page asks the person to sign in
        return url
    return login_link(url, token) if sys.stdout.isatty() else f"{url} (`{again}` at a terminal prints a link that signs you in)"

"""Who of a source's members is read from: the least behind of those that are close enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

FROM_REPLICAS = ("secondary", "secondary_preferred", "nearest")


class Seen(NamedTuple):
    """How a member stood just now. Lag None: it is not behind, or does not tell. `seconds`: how long it took to answer."""

    is_replica: bool
    lag_seconds: float | None
    seconds: float


def best(members: Sequence[Seen], *, max_lag_seconds: float, nearest: bool = False) -> int | None:
    """Which one, None where none is close enough. A replica that does not tell how far behind it is, is not.

    >>> best([Seen(True, 31.0, 0.1), Seen(True, 2.0, 0.3), Seen(True, 1.0, 0.5)], max_lag_seconds=30.0)
    2
    """
    fit = [at for at, member in enumerate(members) if _lag(member) is not None and (_lag(member) or 0.0) <= max_lag_seconds]
    return min(fit, key=lambda at: members[at].seconds if nearest else _lag(members[at]) or 0.0, default=None)


def _lag(member: Seen) -> float | None:
    return member.lag_seconds if member.is_replica else 0.0

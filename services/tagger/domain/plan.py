"""The tag set of one target: every key once, with where it came from, by one precedence (`claims.Strength`).

Lists are united over all who claim (a declaration cannot hide what the data shows, and the reverse), a flag is true
where anybody says so, the highest sensitivity and the longest retention win. For other keys the stronger claim wins;
equally strong ones (two sources on one resource) are listed together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from services.tagger.domain.claims import Claim
from services.tagger.domain.privacy import Scrub
from services.tagger.domain.vocabulary import (
    CATEGORIES,
    CODES,
    FLAGS,
    LIST_SEPARATOR,
    LISTS,
    SENSITIVITIES,
    VOLATILE,
    importance,
)
from shared.contracts.tags import Tag

MAX_KEY, MAX_VALUE = 512, 4096  # the contract's own limits, in characters
MAX_ORIGINS = 3


@dataclass(frozen=True, slots=True)
class Conflict:
    """A claim that did not become a tag, and why: outranked, personal, too_long, invalid."""

    key: str
    origin: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The tags of one target, most important first, without time stamps."""

    tags: tuple[Tag, ...]
    conflicts: tuple[Conflict, ...] = ()


@dataclass(frozen=True, slots=True)
class Declared:
    """What a source's own claims come to: the same for all its assets, so it is settled once."""

    claims: dict[str, list[Claim]]
    tags: dict[str, Tag]
    conflicts: tuple[Conflict, ...]


NOTHING = Declared({}, {}, ())


def declare(claims: Iterable[Claim], *, personal: Scrub) -> Declared:
    """Settle the claims that many plans have in common. `personal` tells which texts may not leave as a tag."""
    by_key, conflicts = _accepted(claims, personal)
    return Declared(by_key, {key: _settle(key, found, conflicts) for key, found in by_key.items()}, tuple(conflicts))


def plan(claims: Iterable[Claim], *, personal: Scrub, declared: Declared = NOTHING) -> Plan:
    """Settle these claims together with what is declared; the outcome is that of all claims at once."""
    by_key, conflicts = _accepted(claims, personal)
    conflicts += [one for one in declared.conflicts if one.reason != "outranked" or one.key not in by_key]
    tags = declared.tags | {key: _settle(key, [*declared.claims.get(key, ()), *added], conflicts) for key, added in by_key.items()}
    return Plan(tuple(tags[key] for key in sorted(tags, key=importance)), tuple(conflicts))


def _accepted(claims: Iterable[Claim], personal: Scrub) -> tuple[dict[str, list[Claim]], list[Conflict]]:
    by_key: dict[str, list[Claim]] = {}
    conflicts: list[Conflict] = []
    for claim in claims:
        if reason := _refusal(claim, personal):
            conflicts.append(Conflict("" if personal(claim.key) else claim.key[:MAX_KEY], _safe(claim.origin, personal), reason))
        else:
            by_key.setdefault(claim.key, []).append(claim)
    return by_key, conflicts


def _safe(origin: str, personal: Scrub) -> str:
    return origin.partition(".")[0] if personal(origin) else origin[:MAX_VALUE]


def _refusal(claim: Claim, personal: Scrub) -> str:
    if not claim.key or claim.key in VOLATILE:
        return "invalid"
    if len(claim.key) > MAX_KEY or len(claim.value) > MAX_VALUE:
        return "too_long"
    if claim.key in FLAGS and claim.value.lower() not in ("true", "false"):
        return "invalid"
    return "personal" if personal(claim.key) or (not _is_name(claim) and personal(claim.value)) else ""


def _is_name(claim: Claim) -> bool:
    """Names of tables, plain numbers where codes are usual, and what the operator cleared are what they are."""
    return claim.cleared or claim.key == "Asset" or (claim.key in CODES and claim.value.isdecimal() and len(claim.value) < 13)


def _settle(key: str, claims: Sequence[Claim], conflicts: list[Conflict]) -> Tag:
    if len(claims) == 1:  # the usual case, on its own because ten thousand assets have twenty tags each
        value = claims[0].value
        return Tag(key=key, value=value.lower() if key in FLAGS else value, origin=claims[0].origin)
    chosen = _choose(key, claims)
    values = dict.fromkeys(claim.value for claim in chosen)
    conflicts += [Conflict(key, claim.origin, "outranked") for claim in claims if claim.value not in values]
    return Tag(key=key, value=_joined(key, values)[:MAX_VALUE], origin=_origins(chosen))


def _choose(key: str, claims: Sequence[Claim]) -> Sequence[Claim]:
    if key in LISTS:
        return claims
    if key in FLAGS:
        wanted = "true" if any(claim.value.lower() == "true" for claim in claims) else "false"
        return [claim._replace(value=wanted) for claim in claims if claim.value.lower() == wanted]
    if key == "Sensitivity":
        return _highest(claims, lambda claim: SENSITIVITIES.index(claim.value) if claim.value in SENSITIVITIES else -1)
    strongest = [claim for claim in claims if claim.strength == min(each.strength for each in claims)]
    if key == "RetentionDays":
        return _highest(strongest, lambda claim: int(claim.value) if claim.value.isdecimal() else -1)
    return strongest


def _highest(claims: Sequence[Claim], height: Callable[[Claim], int]) -> Sequence[Claim]:
    top = max(map(height, claims))
    return [claim for claim in claims if height(claim) == top]


def _joined(key: str, values: Iterable[str]) -> str:
    if key == "DataClassification":
        return LIST_SEPARATOR.join(sorted(values, key=lambda value: (CATEGORIES.index(value) if value in CATEGORIES else 99, value)))
    return LIST_SEPARATOR.join(sorted(values))


def _origins(claims: Iterable[Claim]) -> str:
    origins = list(dict.fromkeys(claim.origin for claim in claims))
    more = len(origins) - MAX_ORIGINS
    return "; ".join(origins[:MAX_ORIGINS]) + (f"; and {more} more" if more > 0 else "")


def stamped(tags: Sequence[Tag], before: Sequence[Tag], *, now: datetime, trace_id: str, cause: str) -> tuple[Tag, ...]:
    """The tags with trace and time stamps, which change only when the content does.

    `before` are the stamped tags of the previous plan; CreatedAt is theirs where there was one.
    """
    old = {tag.key: tag for tag in before}
    if before and content_of(before) == content_of(tags):
        return (*tags, *(old[key] for key in sorted(VOLATILE & old.keys(), key=importance)))
    moment = _moment(now)
    fresh = [Tag(key="PurSightTrace", value=trace_id, origin=cause)] if trace_id else []
    fresh.append(Tag(key="LastModified", value=moment, origin=cause))
    fresh.append(old.get("CreatedAt") or Tag(key="CreatedAt", value=moment, origin=cause))
    return (*tags, *fresh)


@lru_cache(maxsize=8)
def _moment(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def content_of(tags: Iterable[Tag]) -> dict[str, str]:
    """Keys and values without trace and time stamps."""
    return {tag.key: tag.value for tag in tags if tag.key not in VOLATILE}


def digest(tags: Iterable[Tag]) -> str:
    """sha256 over the sorted keys and values, lengths told so that nothing can be shifted between them."""
    parts = sorted((tag.key, tag.value) for tag in tags)
    text = "".join(f"{len(key)}:{key}{len(value)}:{value}" for key, value in parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

"""THE table of who-may-what's what: every action with its group, and every route with its action and whose object it touches.

A route that is not here is refused. The Cedar schema that policies are checked against is made from it.
"""

from __future__ import annotations

from typing import NamedTuple

ACTIONS: dict[str, str] = {
    **dict.fromkeys(
        (
            "source.read",
            "health.read",
            "scan.read",
            "catalog.read",
            "ruleset.read",
            "review.read",
            "policy.read",
            "violation.read",
            "report.read",
            "tags.read",
        ),
        "read",
    ),
    **dict.fromkeys(("source.create", "source.update", "source.delete", "source.validate", "source.discover", "source.failover"), "manage"),
    **dict.fromkeys(("job.validate", "job.submit", "contract.validate", "contract.publish"), "manage"),
    **dict.fromkeys(
        (
            "scan.cancel",
            "scan.pause",
            "scan.resume",
            "classification.review",
            "violation.waive",
            "violation.unwaive",
            "policy.test",
            "tags.apply",
            "data.preview",
            "source.record",
        ),
        "decide",
    ),
    "audit.read": "audit",
    **dict.fromkeys(("secret.list", "secret.write", "secret.delete"), "secrets"),
}
"""Each action with the group that policies may name instead of it."""

SHARED = "shared"  # belongs to no tenant and tells nothing of one
ALL = "all"  # spans every tenant: for actors of all tenants only
PATH = "path"  # the tenant is the path's first variable, or the first part of the key that it is
RAW_PATH = "raw path"  # the same, of a key that the service reads as it is spelled in the address
INSIDE = "inside"  # known when the body is read or the object is found: the handler asks, or its answer is held back


class Guarded(NamedTuple):
    """What a route needs: any of `actions`, in the tenant that `place` tells."""

    actions: tuple[str, ...]
    place: str


def _g(place: str, *actions: str) -> Guarded:
    return Guarded(actions, place)


ROUTES: dict[tuple[str, str], Guarded] = {
    # registry
    ("GET", "/sources"): _g(INSIDE, "source.read"),
    ("POST", "/sources"): _g(INSIDE, "source.create", "source.update"),
    ("POST", "/sources/check"): _g(INSIDE, "source.validate"),
    ("POST", "/sources/explain"): _g(INSIDE, "source.validate"),
    ("GET", "/sources/schema"): _g(SHARED, "source.read"),
    ("GET", "/sources/{tenant}/{name:path}"): _g(PATH, "source.read"),
    ("DELETE", "/sources/{tenant}/{name:path}"): _g(PATH, "source.delete"),
    ("POST", "/scans"): _g(INSIDE, "source.discover"),
    ("GET", "/audit/{tenant}"): _g(PATH, "audit.read"),
    ("GET", "/audit/{tenant}/verify"): _g(PATH, "audit.read"),
    ("GET", "/audit/{tenant}/export"): _g(PATH, "audit.read"),
    ("GET", "/secrets"): _g(ALL, "secret.list"),
    ("PUT", "/secrets/{name:path}"): _g(ALL, "secret.write"),
    ("DELETE", "/secrets/{name:path}"): _g(ALL, "secret.delete"),
    # connector
    ("POST", "/preflight"): _g(INSIDE, "source.validate"),
    ("GET", "/health/sources"): _g(INSIDE, "health.read"),
    ("GET", "/health/sources/{tenant}/{name:path}"): _g(PATH, "health.read"),
    ("POST", "/health/sources/{tenant}/{name:path}/check"): _g(PATH, "source.validate"),
    ("GET", "/health/sources/{tenant}/{name:path}/endpoints"): _g(PATH, "health.read"),
    ("POST", "/health/sources/{tenant}/{name:path}/failover"): _g(PATH, "source.failover"),
    # discovery
    ("GET", "/scan-jobs"): _g(INSIDE, "scan.read"),
    ("GET", "/scan-jobs/{id}"): _g(INSIDE, "scan.read"),
    ("POST", "/scan-jobs/{id}/cancel"): _g(INSIDE, "scan.cancel"),
    ("POST", "/scan-jobs/{id}/pause"): _g(INSIDE, "scan.pause"),
    ("POST", "/scan-jobs/{id}/resume"): _g(INSIDE, "scan.resume"),
    ("POST", "/previews/{key:path}"): _g(PATH, "data.preview"),
    ("POST", "/recordings/{tenant}/{name:path}"): _g(PATH, "source.record"),
    # classifier
    ("GET", "/rulesets"): _g(SHARED, "ruleset.read"),
    ("GET", "/rulesets/{name}"): _g(SHARED, "ruleset.read"),
    ("GET", "/reviews"): _g(INSIDE, "review.read"),
    ("POST", "/reviews"): _g(INSIDE, "classification.review"),
    # compliance
    ("GET", "/policies"): _g(SHARED, "policy.read"),
    ("POST", "/policies/test"): _g(ALL, "policy.test"),
    ("GET", "/policies/{framework}"): _g(SHARED, "policy.read"),
    ("GET", "/violations"): _g(INSIDE, "violation.read"),
    ("GET", "/violations/{id}"): _g(INSIDE, "violation.read"),
    ("POST", "/violations/{id}/waive"): _g(INSIDE, "violation.waive"),
    ("POST", "/violations/{id}/unwaive"): _g(INSIDE, "violation.unwaive"),
    ("GET", "/reports/{framework}"): _g(INSIDE, "report.read"),
    # tagger
    ("GET", "/plans"): _g(INSIDE, "tags.read"),
    ("GET", "/plans/{target:path}"): _g(RAW_PATH, "tags.read"),
    ("GET", "/resources"): _g(INSIDE, "tags.read"),
    ("POST", "/resources/{target:path}/apply"): _g(RAW_PATH, "tags.apply"),
    ("GET", "/resources/{target:path}"): _g(RAW_PATH, "tags.read"),
    ("POST", "/jobs"): _g(INSIDE, "job.submit"),
    ("POST", "/jobs/check"): _g(INSIDE, "job.validate"),
    ("GET", "/jobs/schema"): _g(SHARED, "tags.read"),
    ("GET", "/jobs/{tenant}/{asset:path}"): _g(PATH, "tags.read"),
    ("DELETE", "/jobs/{tenant}/{asset:path}"): _g(PATH, "job.submit"),
    ("POST", "/contracts"): _g(INSIDE, "contract.publish"),
    ("POST", "/contracts/check"): _g(INSIDE, "contract.validate"),
    ("POST", "/contracts/compare"): _g(INSIDE, "tags.read"),
    ("GET", "/contracts/{tenant}/{name:path}/detected"): _g(PATH, "tags.read"),
    ("GET", "/contracts/{tenant}/{name:path}"): _g(PATH, "tags.read"),
    # catalog
    ("GET", "/"): _g(INSIDE, "catalog.read"),
    ("GET", "/search"): _g(INSIDE, "catalog.read"),
    ("GET", "/assets"): _g(INSIDE, "catalog.read"),
    ("GET", "/assets/{key:path}"): _g(PATH, "catalog.read"),
    ("GET", "/timeline/{subject:path}"): _g(PATH, "catalog.read"),
    ("GET", "/traces/{trace_id}"): _g(ALL, "catalog.read"),
    ("GET", "/progress/{subject:path}"): _g(PATH, "catalog.read"),
    ("GET", "/lineage/{key:path}"): _g(PATH, "catalog.read"),
    ("GET", "/sources-view"): _g(INSIDE, "catalog.read"),
    ("GET", "/stats"): _g(INSIDE, "catalog.read"),
    ("GET", "/digest"): _g(INSIDE, "catalog.read"),
    ("GET", "/export/scan/{source:path}"): _g(PATH, "catalog.read"),
    ("GET", "/static"): _g(SHARED, "catalog.read"),
}

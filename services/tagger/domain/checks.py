"""Is what a job runs on there, in the stated region, in one network, and may we tag it? What was looked at, and what each look came to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.contracts.job import JobConfig

PLACE = "infrastructure.runtime"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One thing that the job names. `kind`: cluster, bucket, network, subnet, group, role, namespace, workload; `place` is its field."""

    kind: str
    id: str
    place: str


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look came to; without a code, all is well. `sure` is False where we could not find out."""

    wanted: Wanted
    code: str = ""
    why: str = ""
    remedy: str = ""
    sure: bool = True


def wanted_of(job: JobConfig) -> Iterator[Wanted]:
    """Everything that the job says is there."""
    runtime = job.infrastructure.runtime
    if runtime is None:
        return
    one = (
        ("cluster", runtime.compute.cluster_id, "compute.cluster_id"),
        ("bucket", bucket_name(runtime.storage.bucket), "storage.bucket"),
        ("network", runtime.network.vpc_id, "network.vpc_id"),
        ("role", runtime.service_account, "service_account"),
        ("namespace", getattr(runtime, "namespace", ""), "namespace"),
    )
    yield from (Wanted(kind, name, f"{PLACE}.{place}") for kind, name, place in one if name)
    several = (
        ("subnet", runtime.network.subnet_ids, "network.subnet_ids"),
        ("group", runtime.network.security_group_ids, "network.security_group_ids"),
        ("workload", getattr(runtime, "workloads", ()), "workloads"),
    )
    yield from (Wanted(kind, name, f"{PLACE}.{place}.{number}") for kind, names, place in several for number, name in enumerate(names))


def bucket_name(bucket: str) -> str:
    """The name alone, without scheme and prefix.

    >>> bucket_name("s3://acme-data-lake/raw"), bucket_name("acme-data-lake")
    ('acme-data-lake', 'acme-data-lake')
    """
    return bucket.rpartition("://")[2].partition("/")[0]


def first(*looked: Looked) -> Looked:
    """What is wrong first; else that all is well."""
    return next((each for each in looked if each.code), looked[-1])


def missing(wanted: Wanted, where: str, also: str) -> Looked:
    """`also`: what may be wrong besides the name."""
    return Looked(wanted, f"{wanted.kind}_missing", f"there is none of this name{where}", f"Correct {wanted.place}, or {also}.")


def judge_cluster(wanted: Wanted, state: str) -> Looked:
    """By the state that its cloud gives it."""
    if state.upper().startswith(("TERMINAT", "STOP", "DELETING", "INACTIVE", "ERROR", "FAILED")):
        why = f"it is {state.lower().replace('_', ' ')}"
        return Looked(wanted, "cluster_ended", why, "Name one that runs, or let Terraform make one.")
    return Looked(wanted)


def judge_region(wanted: Wanted, stated: str, found: str) -> Looked:
    """Buckets answer from everywhere; a job's own should be where it runs."""
    if stated and found and stated != found:
        return Looked(wanted, "wrong_region", f"it is in {found}, the job says {stated}", f"Correct {PLACE}.region, or use another bucket.")
    return Looked(wanted)


def judge_network(wanted: Wanted, stated: str, found: str) -> Looked:
    """Subnets and groups belong to the job's network."""
    if stated and found != stated:
        return Looked(wanted, "other_network", f"it belongs to {found}, the job says {stated}", f"Name one of {stated}.")
    return Looked(wanted)


def judge_room(wanted: Wanted, carried: Mapping[str, str], ours: Mapping[str, Any], most: int) -> Looked:
    """Will all our tags find room beside those of others?"""
    others = [key for key in carried if key not in ours and not key.lower().startswith("aws:")]
    if (missing := len(others) + len(ours) - most) > 0:
        why = f"it carries {len(others)} tags of others, and {missing} of our {len(ours)} find no room"
        return Looked(wanted, "too_many_tags", why, "Remove tags that nobody needs; else our least important ones are left out.")
    return Looked(wanted)

"""A job's tags on what it runs on: fanned out, said, applied, skipped with the reason, taken back when the job goes."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from services.tagger import handlers
from services.tagger.domain.declared import Where
from services.tagger.domain.house import House as Rule
from services.tagger.domain.placed import placed
from services.tagger.domain.privacy import holds_personal
from services.tagger.domain.resource import DerivedResource, JobHere, ResourceState, derive_resource
from services.tagger.domain.targets import Resource
from services.tagger.gateway.estates import Estates
from services.tagger.store import APPLY
from shared.access.actor import Actor
from shared.contracts.job import JobConfig
from tests.tagger.conftest import estate
from tests.tagger.examples import make_evaluated, make_source
from tests.tagger.house import TRACE, House
from tests.tagger.moto_server import ACCOUNT, NAMES, REGION, Line
from tests.tagger.test_declarations import contract, http
from tests.tagger.test_worked_example import EXPECTED, JOB, NOW

__all__ = ["http"]  # a fixture

UPSTREAM = Actor("event:upstream", "acme", frozenset({"service"}))
AWS = {"platform": "emr", "region": REGION, "account_id": ACCOUNT}
KEY = "acme/postgres_orders"


def job(runtime: dict[str, Any], *, resources: dict[str, Any] | None = None, **block: Any) -> dict[str, Any]:
    """The worked example's job on this runtime."""
    infrastructure = {**JOB["infrastructure"], "runtime": {**AWS, **runtime}, "resources": resources or {}, **block}
    return {**JOB, "infrastructure": infrastructure}


def names(document: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
    resources, skipped = placed(JobConfig.model_validate(document))
    return [each.id for each in resources], {each.path: each.code for each in skipped}


ARN = f"arn:aws:{{}}:{REGION}:{ACCOUNT}:{{}}"
PLACES: list[tuple[str, dict[str, Any], list[str], dict[str, str]]] = [
    (
        "everything of EMR",
        job(
            {
                "compute": {"cluster_id": "j-2AX"},
                "storage": {"bucket": "s3://lake/raw", "volume_id": "vol-1"},
                "network": {"vpc_id": "vpc-1", "subnet_ids": ["subnet-1"], "security_group_ids": ["sg-1"]},
                "service_account": "EMR_Role",
            },
            resources={"database": {"instance_id": "orders"}, "queue": {"arn": ARN.format("sqs", "in")}},
        ),
        [
            ARN.format("elasticmapreduce", "cluster/j-2AX"),
            "arn:aws:s3:::lake",
            ARN.format("ec2", "volume/vol-1"),
            ARN.format("ec2", "vpc/vpc-1"),
            ARN.format("ec2", "subnet/subnet-1"),
            ARN.format("ec2", "security-group/sg-1"),
            f"arn:aws:iam::{ACCOUNT}:role/EMR_Role",
            ARN.format("rds", "db:orders"),
            ARN.format("sqs", "in"),
        ],
        {},
    ),
    (
        "nobody says which account",
        job({"account_id": "", "compute": {"cluster_id": "j-2AX"}, "storage": {"bucket": "lake"}}),
        ["arn:aws:s3:::lake"],
        {"runtime.compute.cluster_id": "account_missing"},
    ),
    (
        "the module makes the cluster",
        job({"compute": {"cluster_id": "j-2AX"}, "network": {"vpc_id": "vpc-1"}}, terraform={"module_source": "modules/aws-emr"}),
        [ARN.format("ec2", "vpc/vpc-1")],
        {"runtime.compute.cluster_id": "terraform_writes"},
    ),
    (
        "GKE",
        {
            **JOB,
            "infrastructure": {
                "runtime": {
                    "platform": "gke",
                    "region": "europe-west3",
                    "project_id": "shop-prod",
                    "namespace": "orders",
                    "workloads": ["deployments/api"],
                    "compute": {"cluster_id": "main"},
                    "storage": {"bucket": "gs://lake"},
                    "network": {"vpc_id": "default"},
                }
            },
        },
        [
            "//container.googleapis.com/projects/shop-prod/locations/europe-west3/clusters/main",
            "//storage.googleapis.com/lake",
            "kubernetes://main/namespaces/orders",
            "kubernetes://main/namespaces/orders/deployments/api",
        ],
        {"runtime.network.vpc_id": "not_taggable"},
    ),
    (
        "the module makes the namespace, too",
        {
            **JOB,
            "infrastructure": {
                "terraform": {"module_source": "modules/azure-aks"},
                "runtime": {"platform": "aks", "namespace": "orders", "workloads": ["cronjobs/load"], "compute": {"cluster_id": "main"}},
            },
        },
        ["kubernetes://main/namespaces/orders/cronjobs/load"],
        {"runtime.compute.cluster_id": "group_missing", "runtime.namespace": "terraform_writes"},
    ),
    (
        "AKS",
        {
            **JOB,
            "infrastructure": {
                "runtime": {
                    "platform": "aks",
                    "subscription_id": "s-1",
                    "resource_group": "g",
                    "compute": {"cluster_id": "main"},
                    "storage": {"bucket": "abfss://raw@lake.dfs.core.windows.net"},
                }
            },
        },
        [
            "/subscriptions/s-1/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/main",
            "/subscriptions/s-1/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/lake",
        ],
        {},
    ),
]


@pytest.mark.parametrize(("document", "ids", "skipped"), [pytest.param(*place[1:], id=place[0]) for place in PLACES])
def test_what_a_job_names_becomes_resources(document: dict[str, Any], ids: list[str], skipped: dict[str, str]) -> None:
    """Each by its provider's own name; what cannot carry tags has a code."""
    assert names(document) == (ids, skipped)


async def bucket(line: Line) -> str:
    """The ARN of a new bucket. Past our writer moto is spoken to plainly: it checks no signature, and a client costs more than the test."""
    name = f"tagger-jobs-{next(NAMES)}"
    await _moto("PUT", f"{line.behind}/{name}")
    return f"arn:aws:s3:::{name}"


async def others(line: Line, arn: str, *tags: tuple[str, str]) -> None:
    """Somebody else sets all tags of a bucket."""
    each = "".join(f"<Tag><Key>{key}</Key><Value>{value}</Value></Tag>" for key, value in tags)
    await _moto("PUT", f"{line.behind}/{arn[13:]}?tagging", f"<Tagging><TagSet>{each}</TagSet></Tagging>")


async def on_bucket(line: Line, arn: str) -> dict[str, str]:
    """The tags of a bucket as they are."""
    answer = await _moto("GET", f"{line.behind}/{arn[13:]}?tagging")
    if answer.status_code == 404:
        return {}
    found = ElementTree.fromstring(answer.text).iter("{http://s3.amazonaws.com/doc/2006-03-01/}Tag")
    return {str(tag[0].text): str(tag[1].text) for tag in found}


async def _moto(method: str, address: str, body: str = "") -> httpx.Response:
    async with httpx.AsyncClient(verify=False) as client:
        answer = await client.request(method, address, content=body.encode())
    assert answer.is_success or answer.status_code == 404, answer.text
    return answer


STAMPS = ("CreatedAt", "LastModified", "PurSightTrace")


async def test_the_worked_example_ends_on_its_bucket(house: House, line: Line) -> None:
    """Key for key the set of the worked example, with the trace that caused it; tags of others stay; each thing has its result."""
    arn = await bucket(line)
    await others(line, arn, ("Team", "other"))
    await house.published(contract(schema=[]), key=KEY)
    document = job({"storage": {"bucket": arn[13:]}, "compute": {"cluster_id": "j-2AX"}, "region": ""})
    await house.submitted(document, UPSTREAM)
    derived, skipped = [each for each in await house.said() if each["topic"].startswith("tags.")]
    assert (derived["key"], derived["job"], derived["sequence"]) == ("acme/job:postgres_orders", KEY, 1)
    assert (skipped["outcome"], skipped["code"], skipped["sequence"]) == ("skipped", "region_missing", 2)
    assert skipped["remedy"]
    await house.run_jobs()
    of_bucket, applied, _ = await house.said()
    assert (of_bucket["topic"], of_bucket["target"], of_bucket["job"]) == ("tags.derived", f"acme/resource:{arn}", KEY)
    assert (applied["outcome"], applied["kept"]) == ("applied", 1)
    tags = await on_bucket(line, arn)
    assert tags.pop("Team") == "other"
    assert tags.pop("PurSightTrace") == TRACE
    assert {key: value for key, value in tags.items() if key not in STAMPS} == {
        key: value for key, value in EXPECTED.items() if key not in STAMPS
    }


async def test_the_same_job_again_writes_nothing(house: House, line: Line) -> None:
    """Submitted twice: looked at, found right, and said so."""
    arn = await bucket(line)
    for _ in range(2):
        await house.submitted(job({"storage": {"bucket": arn[13:]}}), UPSTREAM)
        await house.said()
        line.requests.clear()
        await house.run_jobs()
    assert [one["outcome"] for one in await house.said("tags.applied")] == ["unchanged"]
    assert [action[:3] for action in line.requests] == ["GET"]


async def test_what_scans_find_reaches_the_jobs_resource(house: House, line: Line) -> None:
    """The asset that the job's contract describes is evaluated anew: the job's bucket says so, and the job's own tags."""
    arn = await bucket(line)
    source = make_source("orders", arn="", labels={}, owner="")
    await house.published(contract(compliance={}), key=KEY)
    await house.submitted(job({"storage": {"bucket": arn[13:]}}), UPSTREAM)
    await house.run_jobs()
    assert "ContainsPII" not in await on_bucket(line, arn)
    await house.said()
    await house.evaluated(make_evaluated(spec=source))
    assert {"acme/job:postgres_orders"} < {one["key"] for one in await house.said("tags.derived")}
    await house.run_jobs()
    assert (await on_bucket(line, arn))["ContainsPII"] == "true"
    await house.evaluated(make_evaluated(spec=source, sequence=2))
    assert await house.jobs.waiting(APPLY) == 0


async def test_a_job_that_moves_or_goes_takes_its_tags_along(house: House, line: Line) -> None:
    """A bucket that the job no longer names loses the job's tags and keeps those of others; so does the last one when the job goes."""
    first, second = await bucket(line), await bucket(line)
    await others(line, first, ("Team", "other"))
    for arn in (first, second):
        await house.submitted(job({"storage": {"bucket": arn[13:]}}), UPSTREAM)
        await house.run_jobs()
    assert await on_bucket(line, first) == {"Team": "other"}
    assert (await on_bucket(line, second))["Asset"] == "postgres_orders"
    await house.said()
    assert await house.gone(KEY)
    await house.run_jobs()
    assert await on_bucket(line, second) == {}
    assert [one["key"] for one in await house.said("tags.derived") if "tags" not in one] == [
        "acme/job:postgres_orders",
        f"acme/resource:{second}",
    ]


async def test_nobody_says_as_whom(house: House, line: Line) -> None:
    """A tenant without an estate: a failure that names the operator's file, nothing written."""
    document = {**job({"storage": {"bucket": "lake"}}), "tenant_id": "other"}
    await house.submitted(document, Actor("event:upstream", "other", frozenset({"service"})))
    await house.run_jobs()
    [failed] = await house.said("tags.failed")
    assert (failed["code"], failed.get("source", "")) == ("no_cloud", "")
    assert "PURSIGHT_JOB_CLOUDS" in failed["remedy"]


async def test_only_what_the_operator_lists(house: House, line: Line) -> None:
    """Where tenants share an account, a job cannot have another's bucket tagged."""
    arn = await bucket(line)
    house.clouds._estates = Estates({"acme": estate(line.address).model_copy(update={"only": ("arn:aws:s3:::acme-*",)})})
    await house.submitted(job({"storage": {"bucket": arn[13:]}}), UPSTREAM)
    await house.run_jobs()
    [failed] = await house.said("tags.failed")
    assert failed["code"] == "resource_not_allowed"
    assert await on_bucket(line, arn) == {}


async def test_a_look_for_drift_says_nothing_where_there_is_none(house: House, line: Line) -> None:
    """Looked at again after a while: restored and told where somebody changed it, silence where not."""
    arn = await bucket(line)
    await house.submitted(job({"storage": {"bucket": arn[13:]}}), UPSTREAM)
    await house.run_jobs()
    before = await on_bucket(line, arn)
    await house.said()

    async def look() -> list[dict[str, Any]]:
        await handlers.look_for_drift(store=house.store, jobs=house.jobs, after_seconds=0)
        assert await house.run_jobs() == 1
        return await house.said()

    assert await look() == []
    await others(line, arn, *{**before, "Environment": "dev"}.items())
    applied, audit = await look()
    assert (applied["written"], applied["drifted"], audit["topic"]) == (["Environment"], ["Environment"], "audit.recorded")
    assert await on_bucket(line, arn) == before


async def test_two_writers_do_not_quarrel_for_ever(house: House, line: Line) -> None:
    """The same other value each time: put back twice, then left alone and told once, until a person asks."""
    arn = await bucket(line)
    document = job({"storage": {"bucket": arn[13:]}})
    await house.submitted(document, UPSTREAM)
    await house.run_jobs()
    theirs = {**await on_bucket(line, arn), "Environment": "terraform"}
    said: list[dict[str, Any]] = []
    for _ in range(4):
        await others(line, arn, *theirs.items())
        await house.said()
        await handlers.look_for_drift(store=house.store, jobs=house.jobs, after_seconds=0)
        await house.run_jobs()
        said += [one for one in await house.said() if one["topic"].startswith("tags.")]
    assert [one["topic"] for one in said] == ["tags.applied", "tags.applied", "tags.failed"]
    assert (said[-1]["code"], said[-1]["drifted"]) == ("two_writers", ["Environment"])
    assert "ignore_changes" in said[-1]["remedy"]
    assert (await on_bucket(line, arn))["Environment"] == "terraform"
    await house.asked(f"acme/resource:{arn}")
    assert (await on_bucket(line, arn))["Environment"] == "prod"


async def test_drift_may_only_be_raised(house: House, line: Line) -> None:
    """By the operator's policy nothing is put back by itself; what is new is written all the same."""
    house.rule = type(house.rule)(house.rule.personal, drift="raise")
    arn = await bucket(line)
    await house.submitted(job({"storage": {"bucket": arn[13:]}}), UPSTREAM)
    await house.run_jobs()
    await others(line, arn, *{**await on_bucket(line, arn), "Environment": "dev"}.items())
    await house.said()
    await house.submitted({**job({"storage": {"bucket": arn[13:]}}), "finops": {"cost_center": "other"}}, UPSTREAM)
    await house.run_jobs()
    [failed] = await house.said("tags.failed")
    assert (failed["code"], failed["drifted"]) == ("tags_drifted", ["Environment"])
    tags = await on_bucket(line, arn)
    assert (tags["Environment"], tags["CostCenter"]) == ("dev", "other")


async def test_the_operators_prefix(house: House, line: Line) -> None:
    """All our keys begin as the operator wants; without memory of it, those are known for ours and stale ones go."""
    house.rule = type(house.rule)(house.rule.personal, prefix="gov")
    arn = await bucket(line)
    marks = ("gov:ManagedBy", "pursight"), ("gov:TenantId", "acme")
    await others(line, arn, ("Team", "other"), ("gov:Old", "x"), *marks)
    await house.submitted(job({"storage": {"bucket": arn[13:]}}), UPSTREAM)
    await house.run_jobs()
    tags = await on_bucket(line, arn)
    assert {key for key in tags if not key.startswith("gov:")} == {"Team"}
    assert tags["gov:CostCenter"] == "data-engineering"
    assert "gov:Old" not in tags


async def test_a_job_over_http(house: House, line: Line, http: httpx.AsyncClient) -> None:
    """Submitted: what it runs on and what is skipped; shown with the result of each; a dry run tells; withdrawn takes its tags along."""
    arn = await bucket(line)
    document = job({"region": "", "storage": {"bucket": arn[13:]}, "network": {"vpc_id": "vpc-1"}})
    dry = (await http.post("/jobs?dry_run=true", json=document)).json()
    assert (dry["resources"], dry["skipped"][0]["code"]) == ([f"acme/resource:{arn}"], "region_missing")
    assert await house.jobs.waiting(APPLY) == 0
    assert (await http.post("/jobs", json=document)).status_code == 201
    await house.run_jobs()
    shown = (await http.get(f"/jobs/{KEY}")).json()
    assert [(each["outcome"], each["jobs"]) for each in shown["resources"]] == [("applied", [KEY])]
    assert shown["skipped"][0]["remedy"]
    await others(line, arn, *{**await on_bucket(line, arn), "Environment": "dev"}.items())
    compared = (await http.post(f"/resources/acme/resource:{arn}/apply?dry_run=true")).json()
    assert (compared["drifted"], compared["write"]) == (["Environment"], {"Environment": "prod"})
    assert (await http.delete(f"/jobs/{KEY}")).status_code == 202
    await house.run_jobs()
    assert await on_bucket(line, arn) == {"Environment": "dev"}  # what somebody else set is not ours to take away
    assert (await http.delete(f"/jobs/{KEY}")).status_code == 404


def test_keys_that_would_collide_stay_apart() -> None:
    """Two keys that a cloud's form makes one: both are there, and each leads back."""
    found = derived_for("gcp", {"Squad": "a", "squad": "b", "sQUAD": "c,d"})
    ours = {key: pair for key, pair in found.mapping.items() if pair[0].lower() == "squad"}
    assert sorted(ours.values()) == [("Squad", "a"), ("sQUAD", "c,d"), ("squad", "b")]
    assert len(found.wish.desired) == len(found.tags)


def test_fifty_one_tags_on_a_resource_with_room_for_fifty() -> None:
    """The least important are left out, and told; ours to know it by are there."""
    found = derived_for("aws", {f"Custom{number}": "x" for number in range(50)})
    change = found.wish.diff({"Team": "other"})
    assert len(change.write) == 49
    assert change.left_out[-1].startswith("Custom")
    assert {"ManagedBy", "TenantId"} <= change.write.keys()


def test_personal_data_reaches_no_object() -> None:
    """Neither by tags nor by the labels and annotations that a job asks for."""
    metadata = {"labels": {"tier": "gold"}, "annotations": {"owner": "anna@acme.com", "docs": "free, text"}}
    found = derived_for("kubernetes", {"Contact": "anna@acme.com"}, **metadata)
    assert found.wish.desired.items() >= {"labels/tier": "gold", "annotations/docs": "free, text"}.items()
    assert not [value for value in found.wish.desired.values() if "anna" in value]


def derived_for(provider: Any, tags: dict[str, str], **metadata: Any) -> DerivedResource:
    """What a job with these tags of its own makes of one resource."""
    names = {"aws": "arn:aws:s3:::lake", "gcp": "//storage.googleapis.com/lake", "kubernetes": "kubernetes://main/namespaces/orders"}
    document = {**JOB, "infrastructure": {"metadata": {"tags": tags, **metadata}}}
    here = JobHere(KEY, JobConfig.model_validate(document), Where("job"))
    state = ResourceState(Resource("acme", provider, names[provider]), "", None, (), (), jobs=(here,))
    return derive_resource(state, now=NOW, trace_id=TRACE, cause="test", house=Rule(holds_personal))

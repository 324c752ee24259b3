"""From a completed scan to the tags on a real resource: one result each, a repeat writes nothing, a failure says what helps."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from services.tagger import worker
from services.tagger.store import APPLY, views
from shared.bus.jobs import LostLease
from shared.contracts.source import AzureConfig, DataSource
from shared.observe.names import counter
from tests.tagger.examples import make_evaluated, make_source
from tests.tagger.house import TRACE, House, tags_of
from tests.tagger.moto_server import Line, client_of, make

WRITES = ("AddTags", "RemoveTags", "PUT", "TagResources", "UntagResources")


class Cloud:
    """One database in the cloud and the source that lives on it."""

    def __init__(self, house: House, line: Line, arn: str) -> None:
        self.house, self.line, self.arn = house, line, arn
        self.target = f"acme/resource:{arn}"

    def spec(self, **changes: Any) -> DataSource:
        return make_source(arn=self.arn, endpoint_url=self.line.address, **changes)

    async def scan(self, number: int = 1, **changes: Any) -> list[dict[str, Any]]:
        """A scan of one table, and what the job for the resource says."""
        spec = changes.pop("spec", None) or self.spec()
        await self.house.evaluated(make_evaluated(spec=spec, sequence=number, scan_id=f"scan-{number}", **changes))
        await self.house.said()
        await self.house.scan_completed(spec.key, f"scan-{number}")
        await self.house.run_jobs()
        return await self.house.said()

    async def tags(self) -> dict[str, str]:
        async with client_of(self.line.behind, "rds") as rds:
            return {tag["Key"]: tag["Value"] for tag in (await rds.list_tags_for_resource(ResourceName=self.arn))["TagList"]}

    async def others_tag(self, **tags: str) -> None:
        async with client_of(self.line.behind, "rds") as rds:
            await rds.add_tags_to_resource(ResourceName=self.arn, Tags=[{"Key": key, "Value": value} for key, value in tags.items()])


@pytest.fixture
async def cloud(house: House, line: Line) -> Cloud:
    return Cloud(house, line, await make(line.behind, "database"))


async def test_a_scan_ends_in_tags_on_the_resource(cloud: Cloud) -> None:
    """Derived, applied, audited and counted, in one trace, numbered in order; what is on the resource is what was said."""
    counted = counter("pursight_infrastructure_tags_applied", "aws")
    before = counted._value.get()
    derived, applied, audit = await cloud.scan()
    assert counted._value.get() - before == len(tags_of(derived))
    assert (derived["topic"], applied["topic"], audit["topic"]) == ("tags.derived", "tags.applied", "audit.recorded")
    assert {one["key"] for one in (derived, applied)} == {cloud.target}
    assert (derived["sequence"], applied["sequence"], applied["scan_id"]) == (1, 2, "scan-1")
    assert applied["outcome"] == "applied"
    assert applied["digest"] == derived["digest"]
    assert await cloud.tags() == tags_of(derived)
    assert (await cloud.tags())["PurSightTrace"] == TRACE
    assert "Asset" not in tags_of(derived)
    assert (audit["action"], audit["result"]) == ("tags.apply", "allowed")


async def test_a_repeat_writes_nothing(cloud: Cloud) -> None:
    """The second scan finds everything as it should be: one result, unchanged, no write."""
    await cloud.scan()
    before = await cloud.tags()
    cloud.line.requests.clear()
    derived, applied = await cloud.scan(2)
    assert (applied["outcome"], applied.get("written")) == ("unchanged", None)
    assert (derived["scan_id"], applied["scan_id"]) == ("scan-2", "scan-2")
    assert not [action for action in cloud.line.requests if action.startswith(WRITES)]
    assert await cloud.tags() == before


async def test_what_is_no_longer_so_is_removed(cloud: Cloud) -> None:
    """When the last cause is gone, its tags are; those of others stay."""
    await cloud.others_tag(Team="other")
    await cloud.scan()
    applied = (await cloud.scan(2, classes=(), obligations=()))[1]
    assert {"DataClassification", "ContainsPII", "EncryptionRequired"} <= set(applied["removed"])
    tags = await cloud.tags()
    assert tags["Team"] == "other"
    assert "ContainsPII" not in tags
    assert applied["kept"] == 1


async def test_drift_is_restored(cloud: Cloud) -> None:
    """Somebody changed our tag by hand; the next scan puts it back and says so."""
    await cloud.scan()
    await cloud.others_tag(DataClassification="none")
    assert (await cloud.scan(2))[1]["written"] == ["DataClassification"]


async def test_two_sources_on_one_resource(cloud: Cloud) -> None:
    """One resource has one tag set: what both databases on it call for."""
    await cloud.scan(classes=())
    derived = (await cloud.scan(spec=cloud.spec(name="crm")))[0]
    assert tags_of(derived)["DataClassification"] == "PII+Financial"
    await cloud.house.source_removed("acme/crm")
    await cloud.house.run_jobs()
    assert "DataClassification" not in await cloud.tags()
    assert (await cloud.tags())["TenantId"] == "acme"


async def test_a_removed_source_leaves_no_tag_of_ours(cloud: Cloud) -> None:
    """The last source is removed: our keys go, the plan gets a tombstone, and numbers go on if it comes back."""
    await cloud.others_tag(Team="other")
    await cloud.scan()
    await cloud.house.source_removed(cloud.spec().key)
    await cloud.house.said()
    await cloud.house.run_jobs()
    applied, tombstone, _ = await cloud.house.said()
    assert await cloud.tags() == {"Team": "other"}
    assert (applied["topic"], applied["sequence"]) == ("tags.applied", 3)
    assert (tombstone["topic"], tombstone.get("tags")) == ("tags.derived", None)
    assert (await cloud.scan(2))[0]["sequence"] == 4


async def test_a_source_that_moves(cloud: Cloud) -> None:
    """The source's resource is another now: our tags leave the former and come to the new one."""
    await cloud.scan()
    new = await make(cloud.line.behind, "database")
    moved = make_source(arn=new, endpoint_url=cloud.line.address)
    await cloud.scan(2, spec=moved)
    assert await cloud.tags() == {}
    [row] = await views.resources(cloud.house.pool, target=f"acme/resource:{new}")
    assert row["outcome"] == "applied"


async def test_a_vanished_resource(cloud: Cloud) -> None:
    """What is gone is said with a remedy, not tried for ever, and audited."""
    cloud.line.refuse = lambda action: web.Response(
        status=404, content_type="text/xml", text="<ErrorResponse><Error><Code>DBInstanceNotFound</Code></Error></ErrorResponse>"
    )
    _, failed, audit = await cloud.scan()
    assert (failed["topic"], failed["code"], failed.get("will_retry", False)) == ("tags.failed", "not_found", False)
    assert failed["remedy"]
    assert audit["result"] == "failed"
    assert await cloud.house.jobs.waiting(APPLY) == 0


async def test_throttled_is_tried_again_until_it_works(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each failure is said with that it will be tried again; then the result of the same scan comes."""
    monkeypatch.setattr(worker, "FIRST_WAIT", 0.0)
    monkeypatch.setattr("shared.cloud.aws.CALL_ATTEMPTS", 1)
    left = iter([True, True])
    cloud.line.refuse = lambda action: (
        web.Response(status=400, content_type="text/xml", text="<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>")
        if action.startswith("AddTags") and next(left, False)
        else None
    )
    said = await cloud.scan()
    assert [one["topic"] for one in said] == ["tags.derived", "tags.failed", "tags.failed", "tags.applied", "audit.recorded"]
    assert [one["will_retry"] for one in said[1:3]] == [True, True]
    assert [one["sequence"] for one in said[:4]] == [1, 2, 3, 4]
    assert {one["scan_id"] for one in said[:4]} == {"scan-1"}


async def test_a_worker_that_was_taken_over_records_nothing(cloud: Cloud) -> None:
    """A stopped worker whose lease ran out may have written tags, but its result is the next one's to tell."""
    spec = cloud.spec()
    await cloud.house.evaluated(make_evaluated(spec=spec))
    await cloud.house.scan_completed(spec.key)
    job = await cloud.house.jobs.claim(APPLY)
    assert job
    await cloud.house.pool.execute("update job set fence = fence + 1 where id = $1", job.id)
    with pytest.raises(LostLease):
        await cloud.house.run(job)
    assert await cloud.house.said("tags.applied") == []


async def test_a_crash_between_write_and_record(cloud: Cloud) -> None:
    """The tags were written, the result was lost: the next worker finds them, knows them for ours and records."""
    spec, house = cloud.spec(), cloud.house
    await house.evaluated(make_evaluated(spec=spec))
    await house.scan_completed(spec.key)
    job = await house.jobs.claim(APPLY)
    assert job
    async with house.store.unit(keys=[job.key]) as unit:
        order = await worker._begin(unit, job, house.rule)
    assert order
    await house.clouds.apply(order.derived.wish)
    await house.evaluated(make_evaluated(spec=spec, sequence=2, classes=()))  # and meanwhile a cause is gone
    await house.run(job)
    applied = (await house.said("tags.applied"))[0]
    assert "DataClassification" in applied["removed"]
    assert "DataClassification" not in await cloud.tags()


async def test_a_resource_that_is_none(house: House) -> None:
    """The plan is said, the failure names what can be done."""
    spec = make_source(cloud_config=AzureConfig(provider="azure", resource_id="/subscriptions/1/x"))
    await house.evaluated(make_evaluated(spec=spec))
    await house.scan_completed(spec.key)
    await house.run_jobs()
    [failed] = await house.said("tags.failed")
    assert failed["code"] == "not_a_resource_id"
    assert "/subscriptions/" in failed["remedy"]
    assert failed["key"] == "acme/resource:/subscriptions/1/x"


async def test_fifty_tags(cloud: Cloud) -> None:
    """Where others left little room, the most important of ours are there and the rest is told."""
    await cloud.others_tag(**{f"theirs{number}": "x" for number in range(45)})
    await cloud.scan()
    tags = await cloud.tags()
    assert len(tags) == 50
    assert {"ManagedBy", "TenantId", "DataClassification", "Sensitivity", "ContainsPII"} <= tags.keys()
    [row] = await views.resources(cloud.house.pool)
    assert row["left_out"][-1] == "CustomTag"
    assert (await cloud.scan(2))[1]["outcome"] == "unchanged"


async def test_no_secret_anywhere(cloud: Cloud) -> None:
    """The access key's secret is in no event and no row."""
    said = await cloud.scan()
    dump = repr(said) + repr([dict(row) for row in await cloud.house.pool.fetch("select * from resource")])
    assert "a-planted-secret" not in dump


async def test_half_written_is_recorded_and_completed(cloud: Cloud) -> None:
    """New tags were written, old ones could not be taken away: told, with the intent kept; the next run completes it."""
    await cloud.scan()
    denied = "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"
    cloud.line.refuse = lambda action: (
        web.Response(status=403, content_type="text/xml", text=denied) if action.startswith("RemoveTags") else None
    )
    failed = (await cloud.scan(2, classes=(), sensitivity="public"))[1]
    assert (failed["code"], failed["scan_id"]) == ("access_denied", "scan-2")
    assert "ContainsPII" in await cloud.tags()
    [row] = await views.resources(cloud.house.pool)
    assert row["outcome"] == "failed"
    cloud.line.refuse = lambda action: None
    applied = (await cloud.scan(3, classes=(), sensitivity="public"))[1]
    assert "ContainsPII" in applied["removed"]
    assert "ContainsPII" not in await cloud.tags()


async def test_two_applies_at_once_are_one_after_the_other(cloud: Cloud) -> None:
    """While one resource is written, nobody else gets its job; who asked meanwhile is answered by the next."""
    spec, house = cloud.spec(), cloud.house
    await house.evaluated(make_evaluated(spec=spec))
    await house.scan_completed(spec.key)
    job = await house.jobs.claim(APPLY)
    assert job
    await house.scan_completed(spec.key, "scan-2", changed=0)
    assert await house.jobs.claim(APPLY) is None
    await house.run(job)
    assert await house.run_jobs() == 1

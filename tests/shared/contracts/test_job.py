"""What a job may say, on every platform, and how each mistake is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contracts.job import JobConfig, job_schema
from shared.contracts.judging.job import PLATFORMS, judge_job
from shared.contracts.judging.variables import replaced


def make_job(**changes: Any) -> dict[str, Any]:
    """The worked example of the requirement, on EMR."""
    return {
        "tenant_id": "acme",
        "environment": "prod",
        "source_connector": "postgres",
        "target_connector": "iceberg",
        "asset": "postgres_orders",
        "finops": {"cost_center": "data-engineering", "project": "customer-analytics", "business_tags": ["sales", "analytics"]},
        "infrastructure": {
            "provider": "terraform",
            "terraform": {"workspace": "prod"},
            "runtime": {"platform": "emr"},
            "metadata": {"tags": {"CustomTag": "custom-value"}},
        },
    } | changes


def on(platform: str, **runtime: Any) -> dict[str, Any]:
    return make_job(infrastructure={"runtime": {"platform": platform, **runtime}})


def codes(document: dict[str, Any], variables: dict[str, str] | None = None) -> dict[str, str]:
    return {problem.field: problem.code for problem in judge_job(document, variables).problems}


def test_the_worked_example_is_a_job() -> None:
    """The requirement's own example is taken as it stands."""
    judged = judge_job(make_job())
    assert judged.job
    assert (judged.problems, judged.key, judged.job.infrastructure.terraform.workspace) == ((), "acme/postgres_orders", "prod")


ANYWHERE = {
    "infrastructure": {
        "runtime": {
            "platform": "${CLOUD_PLATFORM}",
            "compute": {
                "cluster_id": "${CLUSTER_ID}",
                "instance_type": "${INSTANCE_TYPE}",
                "instance_count": "${COUNT}",
                "auto_scaling": {"enabled": "${SCALES}", "min_instances": 1, "max_instances": "${COUNT}"},
            },
            "storage": {"bucket": "${DATA_BUCKET}"},
        },
        "metadata": {"tags": {"CostCenter": "data-engineering"}},
    }
}
PLACES = {
    "emr": ("j-2ABC", "s3://acme-data-lake"),
    "ecs": ("arn:aws:ecs:eu-central-1:123456789012:cluster/etl", "s3://acme-data-lake"),
    "fargate": ("etl", "acme-data-lake"),
    "gke": ("acme-etl", "gs://acme-data-lake"),
    "dataproc": ("acme-etl", "gs://acme-data-lake"),
    "kubernetes": ("acme-etl", "acme-data-lake"),
    "aks": ("acme-etl", "abfss://lake@acme.dfs.core.windows.net/etl"),
}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_one_job_runs_on_every_platform(platform: str) -> None:
    """Only the variables differ; numbers and switches that come from them are numbers and switches."""
    cluster, bucket = PLACES[platform]
    given = {
        "CLOUD_PLATFORM": platform,
        "CLUSTER_ID": cluster,
        "INSTANCE_TYPE": "large",
        "COUNT": "8",
        "SCALES": "true",
        "DATA_BUCKET": bucket,
    }
    judged = judge_job(make_job(**ANYWHERE), given)
    assert judged.problems == ()
    assert judged.job
    assert judged.job.infrastructure.runtime
    runtime = judged.job.infrastructure.runtime
    assert (runtime.platform, runtime.compute.cluster_id, runtime.storage.bucket) == (platform, cluster, bucket)
    assert (runtime.compute.instance_count, runtime.compute.auto_scaling.enabled) == (8, True)


def test_an_undefined_variable_is_an_error_and_never_an_empty_text() -> None:
    """Each is told at its own field, and nothing else is said of that field."""
    told = codes(make_job(**ANYWHERE), {"CLOUD_PLATFORM": "emr", "CLUSTER_ID": "j-1", "DATA_BUCKET": ""})
    assert set(told.values()) == {"undefined_variable"}
    assert len(told) == 4


@pytest.mark.parametrize(
    ("document", "field", "code"),
    [
        pytest.param(make_job(assett="x"), "assett", "unknown_field", id="an unknown key"),
        pytest.param({"tenant_id": "acme"}, "asset", "missing", id="no asset"),
        pytest.param(make_job(asset=7), "asset", "invalid", id="a number where a name belongs"),
        pytest.param(
            on("emr", compute={"instance_count": True}), "infrastructure.runtime.compute.instance_count", "invalid", id="a switch"
        ),
        pytest.param(on("emr", compute={"instance_count": -1}), "infrastructure.runtime.compute.instance_count", "invalid", id="negative"),
        pytest.param(
            on("emr", compute={"auto_scaling": {"enabled": True, "min_instances": 9, "max_instances": 2}}),
            "infrastructure.runtime.compute.auto_scaling",
            "invalid",
            id="limits the wrong way round",
        ),
        pytest.param(on("databrick"), "infrastructure.runtime.platform", "invalid", id="an unknown platform"),
        pytest.param(on("emr", namespace="x"), "infrastructure.runtime.namespace", "unknown_field", id="a field of another platform"),
        pytest.param(
            on("emr", compute={"cluster_id": "gke-1"}), "infrastructure.runtime.compute.cluster_id", "wrong_platform", id="cluster"
        ),
        pytest.param(
            on("emr", network={"subnet_ids": ["x"]}), "infrastructure.runtime.network.subnet_ids.0", "wrong_platform", id="subnet"
        ),
        pytest.param(on("gke", storage={"bucket": "s3://x"}), "infrastructure.runtime.storage.bucket", "wrong_platform", id="bucket"),
        pytest.param(
            make_job(infrastructure={"metadata": {"variables": {"db_password": "hunter2"}}}),
            "infrastructure.metadata.variables.db_password",
            "secret_in_document",
            id="a secret among the variables",
        ),
        pytest.param(make_job(asset_path="${DB_PASSWORD}"), "asset_path", "secret_in_document", id="a variable named like a secret"),
        pytest.param(make_job(asset="a\x00b"), "asset", "control_character", id="a control character"),
        pytest.param(make_job(asset_path="${A B}"), "asset_path", "bad_variable", id="no name of a variable"),
    ],
)
def test_what_is_wrong_is_told_at_its_place(document: dict[str, Any], field: str, code: str) -> None:
    """Field, code and what helps; never the value."""
    problem = next(problem for problem in judge_job(document, {"DB_PASSWORD": "hunter2"}).problems if problem.field == field)
    assert problem.code == code
    assert "hunter2" not in repr(problem)
    assert problem.remedy or code in ("invalid", "control_character")


def test_the_nearest_name_is_suggested_also_deep_inside() -> None:
    """Inside the block of the chosen platform."""
    found = judge_job(on("emr", compute={"instance_cont": 3})).problems
    assert found[0].remedy == "Did you mean infrastructure.runtime.compute.instance_count?"


def test_what_is_replaced_is_not_looked_at_again() -> None:
    """A variable whose text holds a variable stays text; so does an escaped one."""
    assert replaced({"a": "$${X} ${X}"}, {"X": "${Y}"}) == ({"a": "${X} ${Y}"}, ())


@settings(max_examples=40)
@given(
    st.dictionaries(
        st.text(max_size=9), st.recursive(st.none() | st.booleans() | st.text(max_size=9) | st.integers(), st.lists), max_size=5
    )
)
def test_no_document_makes_the_judge_fall(document: dict[str, Any]) -> None:
    """Whatever comes in is answered."""
    assert judge_job(document).problems
    assert judge_job(make_job() | document).key


def test_the_schema_takes_what_the_judge_takes() -> None:
    """The published JSON Schema and the models are one."""
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(job_schema())
    assert not list(validator.iter_errors(make_job()))
    assert list(validator.iter_errors(make_job(assett="x")))
    judged = judge_job(make_job()).job
    assert judged
    assert judged == JobConfig.model_validate(json.loads(judged.model_dump_json(exclude_none=True)))

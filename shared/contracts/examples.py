"""One filled example of each event, of one and the same story: a table of customers in the source `crm` of tenant `acme`."""

from __future__ import annotations

from datetime import UTC, datetime

from shared.contracts import asset, audit, compliance, connection, rules, scan, source, tags
from shared.contracts.base import Contract
from shared.contracts.names import AssetName

SOURCE = "acme/crm"
ASSET = AssetName("acme", "crm", "shop", "public", "customer").key
ARN = "arn:aws:rds:eu-central-1:123456789012:db:crm"
SCAN = "6d0b7b0e-7f0c-5d3a-9a53-0a5f8b2f9c11"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

SPEC = source.DataSource(
    name="crm",
    tenant="acme",
    location="cloud",
    host="crm.abc123.eu-central-1.rds.amazonaws.com",
    database="shop",
    username="pursight",
    password_secret="env:CRM_PASSWORD",
    cloud_config=source.AwsConfig(provider="aws", region="eu-central-1", resource_arn=ARN),
    owner="team-crm",
    environment="prod",
    labels={"cost_center": "sales"},
)
POSTURE = connection.Posture(tls_in_transit=True, tls_verified=True, superuser_used=False, read_only_role=True, version_supported=True)
DIAGNOSIS = connection.Diagnosis(
    code="wrong_password", cause="the server refused the password", remedy="Store the right one, then check again."
)
EVIDENCE = asset.ColumnEvidence(
    sampled=200,
    distinct=200,
    matches=(asset.Match(detector="email", matched=198),),
    lengths=asset.Lengths(min=11, max=34, mean=21.4),
    entropy=3.1,
    words=1.0,
)
FACTS = (compliance.FactRead(name="posture.encrypted_at_rest", value="false"),)
CONTROL = "gdpr:Art. 32"

EXAMPLES: tuple[Contract, ...] = (
    source.SourceSubmitted.model_validate(
        {"tenant": "acme", "name": "crm", "engine": "postgresql", "host": "db.example", "database": "shop"}
    ),
    source.SourceWithdrawn.model_validate({"tenant": "acme", "name": "crm"}),
    source.SourceRegistered(source=SOURCE, version=1, change="created", spec=SPEC, actor="token:local"),
    source.SourceRejected(
        source=SOURCE,
        problems=(
            source.Problem(
                field="usernam", code="unknown_field", message="is not a field of a data source", remedy="Did you mean username?"
            ),
        ),
        request_id="0d5c3f5e-1111-5222-8333-444455556666",
    ),
    source.SourceRemoved(source=SOURCE, version=2, actor="token:local"),
    connection.SourceConnected(
        source=SOURCE,
        sequence=1,
        based_on=1,
        spec=SPEC,
        plan=connection.ConnectionPlan(
            host=SPEC.host, port=5432, database="shop", username="pursight", tls_mode="verify-full", secret="env:CRM_PASSWORD"
        ),
        server=connection.ServerFacts(version="17.2", version_number=170002, tls_version="TLSv1.3", encoding="UTF8"),
        privileges=connection.Privileges(role="pursight", schemas_visible=2, tables_visible=60, tables_readable=60),
        posture=POSTURE,
    ),
    connection.SourceUnreachable(source=SOURCE, sequence=2, based_on=1, diagnosis=DIAGNOSIS, attempts=3),
    connection.SourceFailedOver(source=SOURCE, sequence=3, active="secondary", cause=DIAGNOSIS),
    connection.SourceHealth(source=SOURCE, sequence=4, status="healthy", latency_p50_seconds=0.002, latency_p95_seconds=0.009),
    scan.ScanRequested(source=SOURCE, priority="person", reason="asked by a person"),
    asset.SchemaDiscovered(
        asset=ASSET,
        source=SOURCE,
        sequence=1,
        scan_id=SCAN,
        database="shop",
        schema_name="public",
        table="customer",
        rows_estimated=120000,
        columns=(asset.Column(name="email", position=1, type="character varying(255)", evidence=EVIDENCE),),
        fingerprint=DIGEST,
        change=(asset.SchemaChange(kind="created"),),
        sampling="sample",
        aliases=("postgres://crm.abc123.eu-central-1.rds.amazonaws.com:5432/shop.public.customer",),
        spec=SPEC,
        posture=POSTURE,
    ),
    asset.AssetRemoved(asset=ASSET, source=SOURCE, sequence=2, scan_id=SCAN),
    scan.ScanPaced(source=SOURCE, scan_id=SCAN, at_seconds=2.5, concurrency=1, batch=16, rest=0.5, cause="active_sessions", trace_id=TRACE),
    scan.ScanCompleted(source=SOURCE, scan_id=SCAN, complete=True, tables=60, columns=720, changed=60, digest=DIGEST, trace_id=TRACE),
    scan.ScanFailed(source=SOURCE, scan_id=SCAN, diagnosis=DIAGNOSIS, progress=0.5, trace_id=TRACE),
    rules.RulesetPublished(name="pursight", version="1", digest=DIGEST, rules=400, classes=("email",)),
    rules.PolicyPublished(
        name="gdpr",
        version="1",
        digest=DIGEST,
        framework="GDPR",
        controls=(CONTROL,),
        texts=(
            rules.PolicyControl(
                control=CONTROL,
                title="Personal data is encrypted",
                severity="high",
                remedy="Turn on storage encryption for the database.",
                facts=("posture.encrypted_at_rest",),
            ),
        ),
    ),
    asset.ClassificationReviewed(asset=ASSET, column="email", decision="confirm", class_name="email", reviewer="jo"),
    asset.AssetClassified(
        asset=ASSET,
        source=SOURCE,
        sequence=1,
        based_on=1,
        scan_id=SCAN,
        database="shop",
        schema_name="public",
        table="customer",
        columns=(
            asset.ColumnVerdict(
                name="email",
                type="character varying(255)",
                class_name="email",
                category="contact",
                sensitivity="confidential",
                confidence=0.98,
                tier="rules",
                state="classified",
                reasons=(asset.Reason(rule="evidence:email", text="198 of 200 values have the form of an e-mail address", weight=4.0),),
            ),
        ),
        ruleset="pursight@1",
        spec=SPEC,
        posture=POSTURE,
    ),
    rules.ContractPublished.model_validate(
        {"id": "orders", "tenant": "acme", "apiVersion": "v3.1.0", "kind": "DataContract", "version": "1", "status": "active"}
    ),
    rules.ContractRejected(
        contract="acme/orders",
        problems=(source.Problem(field="status", code="missing", message="is required", remedy="Give status."),),
        request_id="0d5c3f5e-1111-5222-8333-444455556666",
    ),
    rules.ContractCompared(
        asset=ASSET,
        source=SOURCE,
        contract="acme/orders",
        sequence=1,
        findings=(
            rules.ContractFinding(
                code="category_undeclared",
                column="email",
                detected="PII",
                path="schema.0.properties.3",
                remedy="Add the tag classification:PII to the column or the contract.",
            ),
        ),
    ),
    compliance.ComplianceEvaluated(
        asset=ASSET,
        source=SOURCE,
        sequence=1,
        based_on=1,
        scan_id=SCAN,
        database="shop",
        schema_name="public",
        table="customer",
        controls=(
            compliance.ControlResult(
                control=CONTROL,
                framework="GDPR",
                result="fail",
                severity="high",
                violation="5f1c1f0a-0000-5000-8000-000000000001",
                message="1 column with personal data lies on storage that is not encrypted",
                columns=("email",),
                reads=("posture.encrypted_at_rest",),
            ),
            compliance.ControlResult(control="gdpr:Art. 30", framework="GDPR", result="unknown", severity="low", missing=("source.owner",)),
        ),
        facts={"posture.encrypted_at_rest": "false", "source.owner": "unknown"},
        missing=(
            compliance.MissingFact(
                name="source.owner",
                says="who answers for this source",
                remedy="Declare it on the source (owner).",
                declare="owner",
            ),
        ),
        classes=(compliance.ClassCount(class_name="email", category="contact", sensitivity="confidential", columns=("email",)),),
        regulations=("GDPR", "CCPA"),
        obligations=("encrypt_at_rest",),
        sensitivity="confidential",
        risk=62,
        policies=("gdpr@1",),
        spec=SPEC,
    ),
    compliance.ViolationOpened(
        violation="5f1c1f0a-0000-5000-8000-000000000001",
        asset=ASSET,
        source=SOURCE,
        scan_id=SCAN,
        control=CONTROL,
        framework="GDPR",
        title="Personal data is encrypted",
        severity="high",
        message="1 column with personal data lies on storage that is not encrypted",
        remedy="Turn on storage encryption for the database.",
        facts=FACTS,
        columns=("email",),
    ),
    compliance.ViolationResolved(violation="5f1c1f0a-0000-5000-8000-000000000001", asset=ASSET, source=SOURCE, control=CONTROL),
    compliance.ViolationWaived(
        violation="5f1c1f0a-0000-5000-8000-000000000001",
        asset=ASSET,
        control=CONTROL,
        actor="jo",
        reason="moves to encrypted storage this quarter",
        expires=datetime(2027, 3, 31, tzinfo=UTC),
    ),
    tags.JobSubmitted.model_validate(
        {
            "tenant_id": "acme",
            "environment": "prod",
            "source_connector": "postgres",
            "target_connector": "iceberg",
            "asset": "orders",
            "finops": {"cost_center": "data-engineering"},
            "infrastructure": {"runtime": {"platform": "emr", "compute": {"cluster_id": "j-2AXXXXXXGAPLF"}}},
        }
    ),
    tags.JobRejected(
        job="acme/orders",
        problems=(source.Problem(field="asset", code="missing", message="is required", remedy="Give asset."),),
        request_id="0d5c3f5e-1111-5222-8333-444455556666",
    ),
    tags.TagsDerived(
        target="acme/asset:crm/shop.public.customer",
        source=SOURCE,
        asset=ASSET,
        sequence=1,
        based_on=1,
        scan_id=SCAN,
        tags=(tags.Tag(key="ContainsPII", value="true", origin="compliance.evaluated:customer#email"),),
        digest=DIGEST,
        trace_id=TRACE,
    ),
    tags.TagsApplied(
        target=f"acme/resource:{ARN}",
        source=SOURCE,
        resource=ARN,
        provider="aws",
        sequence=2,
        scan_id=SCAN,
        outcome="applied",
        written=("ContainsPII",),
    ),
    tags.TagsFailed(
        target=f"acme/resource:{ARN}",
        source=SOURCE,
        resource=ARN,
        provider="aws",
        sequence=3,
        code="access_denied",
        cause="the role may not tag this resource",
        remedy="Allow tag:TagResources and rds:AddTagsToResource.",
    ),
    scan.EventDeadLettered(
        service="classifier",
        dead_letter="pursight.classifier.schema.discovered/schema.discovered/3/42",
        topic="schema.discovered",
        error_code="not_json",
        attempts=1,
        asset=ASSET,
    ),
    audit.AuditRecorded(tenant="acme", actor="token:local", action="source.create", object=SOURCE, result="allowed", service="registry"),
    audit.AuditAnchored(tenant="acme", number=42, hash=DIGEST),
)
BY_EVENT: dict[type[Contract], Contract] = {type(example): example for example in EXAMPLES}

"""A job's configuration with its infrastructure block: closed models, one kind of runtime for each platform.

Numbers and switches may be written as text, because `${VAR}` always is.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from shared.contracts.base import Name

DEFAULT_ENVIRONMENT = "prod"


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("is not a number")
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else value


def _switch(value: object) -> object:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


Count = Annotated[int, BeforeValidator(_number), Field(strict=True, ge=0, le=100_000)]
Port = Annotated[int, BeforeValidator(_number), Field(strict=True, ge=1, le=65_535)]
Switch = Annotated[bool, BeforeValidator(_switch), Field(strict=True)]
Text = Annotated[str, Field(max_length=2048)]
Id = Annotated[str, Field(min_length=1, max_length=1024)]
Path = Annotated[str, Field(min_length=1, max_length=4096)]
Workload = Annotated[str, Field(pattern=r"^(deployments|statefulsets|daemonsets|jobs|cronjobs)/[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
Texts = dict[Annotated[str, Field(min_length=1, max_length=512)], Text]


class Block(BaseModel):
    """A part of a job. Unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FinOps(Block):
    """Who pays, and for what."""

    cost_center: Text = Field(default="", examples=["data-engineering"])
    project: Text = Field(default="", examples=["customer-analytics"])
    business_tags: tuple[Text, ...] = Field(default=(), max_length=50, examples=[["sales", "analytics"]])


class Terraform(Block):
    """Which module is applied, in which workspace, with its state where."""

    module_source: Text = Field(default="", examples=["deploy/terraform/modules/aws-emr"])
    module_version: Text = ""
    workspace: Text = Field(default="", pattern=r"^[A-Za-z0-9_.-]*$", examples=["prod"])
    backend_config: Texts = Field(default_factory=dict, description="settings of the state's backend; secrets by reference")


class AutoScaling(Block):
    """Limits within which instances come and go."""

    enabled: Switch = False
    min_instances: Count | None = None
    max_instances: Count | None = None

    @model_validator(mode="after")
    def _ordered(self) -> AutoScaling:
        if self.min_instances is not None and self.max_instances is not None and self.min_instances > self.max_instances:
            raise ValueError("min_instances is more than max_instances")
        if self.enabled and self.max_instances is None:
            raise ValueError("enabled needs max_instances")
        return self


class Compute(Block):
    """The cluster, and what it is made of."""

    cluster_id: Text = Field(default="", examples=["j-2AXXXXXXGAPLF"], description="as its cloud names it")
    instance_type: Text = Field(default="", examples=["r5.2xlarge", "n2-standard-4"])
    instance_count: Count | None = None
    auto_scaling: AutoScaling = AutoScaling()


class Storage(Block):
    """Where the job's data lies."""

    bucket: Text = Field(default="", examples=["acme-data-lake-prod", "s3://acme-data-lake", "gs://acme-data-lake"])
    volume_id: Text = ""
    mount_path: Text = ""


class Network(Block):
    """The network it runs in."""

    vpc_id: Text = ""
    subnet_ids: tuple[Id, ...] = Field(default=(), max_length=100)
    security_group_ids: tuple[Id, ...] = Field(default=(), max_length=100)


class Runtime(Block):
    """What all platforms have in common."""

    provider: ClassVar[Literal["aws", "gcp", "azure", "kubernetes"]]
    scheme: ClassVar[tuple[str, ...]] = ()  # how a bucket may begin
    ids: ClassVar[dict[str, tuple[str, str]]] = {}  # field to the pattern of this cloud's own ids, and an example

    platform: str
    compute: Compute = Compute()
    storage: Storage = Storage()
    network: Network = Network()
    service_account: Text = Field(default="", description="role or account that the job runs as")
    region: Text = Field(default="", pattern=r"^[a-z0-9-]*$", examples=["eu-central-1", "europe-west3", "westeurope"])


class _Aws(Runtime):
    provider = "aws"
    scheme = ("s3",)
    ids: ClassVar[dict[str, tuple[str, str]]] = {
        "network.vpc_id": (r"vpc-[0-9a-z]+", "vpc-0a1b2c3d"),
        "network.subnet_ids": (r"subnet-[0-9a-z]+", "subnet-0a1b2c3d"),
        "network.security_group_ids": (r"sg-[0-9a-z-]+", "sg-0a1b2c3d"),
        "service_account": (r"arn:aws[a-z-]*:iam::\d*:(role|instance-profile)/.+|[\w+=,.@-]{1,64}", "arn:aws:iam::123456789012:role/NAME"),
    }
    account_id: Text = Field(default="", pattern=r"^(\d{12})?$")


class EmrRuntime(_Aws):
    """A cluster of EMR on EC2."""

    platform: Literal["emr"]
    ids: ClassVar[dict[str, tuple[str, str]]] = {**_Aws.ids, "compute.cluster_id": (r"j-[0-9A-Za-z]+", "j-2AXXXXXXGAPLF")}


class EcsRuntime(_Aws):
    """Tasks of ECS on instances."""

    platform: Literal["ecs"]


class FargateRuntime(_Aws):
    """Tasks of ECS without instances of one's own."""

    platform: Literal["fargate"]


class _Gcp(Runtime):
    provider = "gcp"
    scheme = ("gs",)
    project_id: Text = Field(default="", pattern=r"^([a-z][a-z0-9-]{4,28}[a-z0-9])?$")


class _Pods(Block):
    """Where in a cluster of Kubernetes the job runs."""

    namespace: Text = Field(default="", pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?$")
    workloads: tuple[Workload, ...] = Field(default=(), max_length=100, examples=[["deployments/orders"]])


class GkeRuntime(_Gcp, _Pods):
    """A cluster of Google Kubernetes Engine."""

    platform: Literal["gke"]


class DataprocRuntime(_Gcp):
    """A cluster of Dataproc."""

    platform: Literal["dataproc"]


class KubernetesRuntime(Runtime, _Pods):
    """A cluster of Kubernetes, wherever it runs."""

    provider = "kubernetes"
    scheme = ("s3", "gs", "abfs", "abfss")
    platform: Literal["kubernetes"]


class AksRuntime(Runtime, _Pods):
    """A cluster of Azure Kubernetes Service."""

    provider = "azure"
    scheme = ("abfs", "abfss", "https")
    platform: Literal["aks"]
    subscription_id: Text = ""
    resource_group: Text = ""


RUNTIMES: tuple[type[Runtime], ...] = (
    EmrRuntime,
    EcsRuntime,
    FargateRuntime,
    GkeRuntime,
    DataprocRuntime,
    KubernetesRuntime,
    AksRuntime,
)
AnyRuntime = Annotated[
    EmrRuntime | EcsRuntime | FargateRuntime | GkeRuntime | DataprocRuntime | KubernetesRuntime | AksRuntime,
    Field(discriminator="platform"),
]


class Metadata(Block):
    """What is handed to the infrastructure besides: tags, labels and annotations of Kubernetes, variables of the module."""

    tags: Texts = Field(default_factory=dict, max_length=50)
    labels: Texts = Field(default_factory=dict, max_length=64)
    annotations: Texts = Field(default_factory=dict, max_length=64)
    variables: dict[str, Any] = Field(default_factory=dict, max_length=200, description="no secrets: they would stand in the state")


class Database(Block):
    """A database that the job uses."""

    endpoint: Text = ""
    port: Port | None = None
    database_name: Text = ""
    instance_id: Text = ""


class Cache(Block):
    """A cache that the job uses."""

    endpoint: Text = ""
    cluster_id: Text = ""


class Queue(Block):
    """A queue that the job uses."""

    url: Text = ""
    arn: Text = ""


class SecretStore(Block):
    """Where the job's secrets are, never the secrets."""

    secret_manager_arn: Text = ""
    kms_key_id: Text = ""


class Resources(Block):
    """What is there already and the job uses."""

    database: Database = Database()
    cache: Cache = Cache()
    queue: Queue = Queue()
    secrets: SecretStore = SecretStore()


class Infrastructure(Block):
    """What the job runs on, and how that comes to be."""

    provider: Literal["terraform", "cloudformation", "pulumi"] = "terraform"
    terraform: Terraform = Terraform()
    runtime: AnyRuntime | None = None
    metadata: Metadata = Metadata()
    resources: Resources = Resources()
    outputs: Texts = Field(default_factory=dict, description="name to the module's output that it takes")


class JobConfig(Block):
    """One job: what it moves from where to where, for whom, who pays, and what it runs on. Identity is tenant and asset."""

    tenant_id: Name = Field(examples=["acme"])
    environment: Annotated[str, Field(min_length=1, max_length=63)] = DEFAULT_ENVIRONMENT
    source_connector: Name = Field(examples=["postgres"])
    source_connector_path: Path | None = None
    target_connector: Name = Field(examples=["iceberg"])
    target_connector_path: Path | None = None
    asset: Name = Field(examples=["postgres_orders"])
    asset_path: Path | None = Field(default=None, description="the asset's contract; relative to the job's own file")
    source: dict[str, Any] = Field(default_factory=dict, description="what the connector is told besides; not looked into")
    target: dict[str, Any] = Field(default_factory=dict, description="likewise")
    finops: FinOps = FinOps()
    infrastructure: Infrastructure = Infrastructure()


def job_schema() -> dict[str, Any]:
    """The JSON Schema of a job, for editors; of a file whose `${VAR}` are replaced."""
    return JobConfig.model_json_schema()

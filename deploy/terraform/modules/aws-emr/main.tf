data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  # Names follow the rule for tags: what had to be changed or cut ends in digits of its hash, so two tenants never share one.
  wanted = "${var.tenant_id}-${var.environment}"
  plain  = trim(replace(lower(local.wanted), "/[^a-z0-9]+/", "-"), "-")
  fits   = local.plain == local.wanted && length(local.plain) <= 32
  name   = local.fits ? local.plain : trim("${substr(local.plain, 0, 21)}-${substr(sha256(local.wanted), 0, 10)}", "-")

  # The one place where tags come from.
  tags = merge(var.tags, {
    Name                                       = local.name
    "for-use-with-amazon-emr-managed-policies" = "true"
  })

  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.region

  bucket_path = trimsuffix(trimprefix(var.bucket, "s3://"), "/")
  bucket_name = split("/", local.bucket_path)[0]
  bucket_arn  = "arn:${local.partition}:s3:::${local.bucket_name}"
  data_prefix = trimprefix(trimprefix(local.bucket_path, local.bucket_name), "/")
  data_keys   = local.data_prefix == "" ? "*" : "${local.data_prefix}/*"

  additional_groups = length(var.security_group_ids) == 0 ? null : join(",", var.security_group_ids)

  fewest = coalesce(var.min_instances, var.instance_count)
  most   = coalesce(var.max_instances, local.fewest)
}

resource "aws_emr_security_configuration" "this" {
  name = local.name
  configuration = jsonencode({
    EncryptionConfiguration = {
      EnableAtRestEncryption    = true
      EnableInTransitEncryption = true
      AtRestEncryptionConfiguration = {
        S3EncryptionConfiguration = {
          EncryptionMode = "SSE-KMS"
          AwsKmsKey      = aws_kms_key.this.arn
        }
        LocalDiskEncryptionConfiguration = {
          EncryptionKeyProviderType = "AwsKms"
          AwsKmsKey                 = aws_kms_key.this.arn
          EnableEbsEncryption       = true
        }
      }
      InTransitEncryptionConfiguration = {
        TLSCertificateConfiguration = {
          CertificateProviderType = "PEM"
          S3Object                = var.in_transit_certificates
        }
      }
    }
    InstanceMetadataServiceConfiguration = {
      MinimumInstanceMetadataServiceVersion = 2
      HttpPutResponseHopLimit               = 1
    }
  })
}

resource "aws_emr_cluster" "this" {
  name                       = local.name
  release_label              = var.release_label
  applications               = ["Hadoop", "Hive", "Spark"]
  service_role               = aws_iam_role.service.arn
  security_configuration     = aws_emr_security_configuration.this.name
  log_uri                    = "s3://${aws_s3_bucket.logs.id}/emr/"
  log_encryption_kms_key_id  = aws_kms_key.this.arn
  termination_protection     = var.idle_timeout_seconds == 0
  unhealthy_node_replacement = true
  visible_to_all_users       = true
  tags                       = local.tags

  keep_job_flow_alive_when_no_steps = true

  ec2_attributes {
    instance_profile                  = aws_iam_instance_profile.instance.arn
    subnet_ids                        = local.subnet_ids
    emr_managed_master_security_group = aws_security_group.primary.id
    emr_managed_slave_security_group  = aws_security_group.core.id
    service_access_security_group     = aws_security_group.service.id
    additional_master_security_groups = local.additional_groups
    additional_slave_security_groups  = local.additional_groups
  }

  master_instance_fleet {
    name                      = "primary"
    target_on_demand_capacity = 1

    instance_type_configs {
      instance_type     = var.instance_type
      weighted_capacity = 1
    }
  }

  core_instance_fleet {
    name                      = "core"
    target_on_demand_capacity = local.fewest

    instance_type_configs {
      instance_type     = var.instance_type
      weighted_capacity = 1
    }
  }

  dynamic "auto_termination_policy" {
    for_each = var.idle_timeout_seconds == 0 ? [] : [var.idle_timeout_seconds]
    content {
      idle_timeout = auto_termination_policy.value
    }
  }

  lifecycle {
    # Managed scaling moves it; a change of it would make a new cluster.
    ignore_changes = [core_instance_fleet[0].target_on_demand_capacity]
  }

  depends_on = [
    aws_iam_role_policy.service,
    aws_iam_role_policy_attachment.service,
    aws_iam_role_policy.instance,
    aws_s3_bucket_policy.logs,
    aws_vpc_endpoint.s3,
    aws_vpc_endpoint.service,
    aws_vpc_security_group_ingress_rule.between,
    aws_vpc_security_group_egress_rule.between,
  ]
}

resource "aws_emr_instance_fleet" "task" {
  count = var.enable_spot_instances ? 1 : 0

  cluster_id           = aws_emr_cluster.this.id
  name                 = "task"
  target_spot_capacity = 1

  instance_type_configs {
    instance_type                              = var.instance_type
    weighted_capacity                          = 1
    bid_price_as_percentage_of_on_demand_price = 100
  }

  launch_specifications {
    spot_specification {
      allocation_strategy      = "capacity-optimized"
      timeout_action           = "SWITCH_TO_ON_DEMAND"
      timeout_duration_minutes = 30
    }
  }

  lifecycle {
    ignore_changes = [target_on_demand_capacity, target_spot_capacity]
  }
}

resource "aws_emr_managed_scaling_policy" "this" {
  cluster_id = aws_emr_cluster.this.id

  compute_limits {
    unit_type                       = "InstanceFleetUnits"
    minimum_capacity_units          = local.fewest
    maximum_capacity_units          = local.most
    maximum_core_capacity_units     = var.enable_spot_instances ? local.fewest : local.most
    maximum_ondemand_capacity_units = var.enable_spot_instances ? local.fewest : local.most
  }
}

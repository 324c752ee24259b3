locals {
  own_network = var.vpc_id == ""
  vpc_id      = local.own_network ? one(aws_vpc.this[*].id) : var.vpc_id
  subnet_ids  = local.own_network ? aws_subnet.private[*].id : var.subnet_ids
  cidr        = local.own_network ? var.vpc_cidr : one(data.aws_vpc.given[*].cidr_block)
}

data "aws_vpc" "given" {
  count = local.own_network ? 0 : 1

  id = var.vpc_id
}

# Zones of the region itself; local ones are opted into.
data "aws_availability_zones" "this" {
  #checkov:skip=CKV_AWS_394:A zone that comes up later moves no subnet, which keeps the one it was made in.
  state = "available"

  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

# A network of its own has no gateway to the internet in either direction: AWS's services are reached by endpoints.

resource "aws_vpc" "this" {
  count = local.own_network ? 1 : 0

  cidr_block           = var.vpc_cidr
  enable_dns_hostnames = true
  enable_dns_support   = true
  tags                 = local.tags
}

# The group that every network has: no rule, so nothing can use it by oversight.
resource "aws_default_security_group" "this" {
  count = local.own_network ? 1 : 0

  vpc_id = aws_vpc.this[0].id
  tags   = local.tags
}

resource "aws_subnet" "private" {
  count = local.own_network ? 2 : 0

  vpc_id                  = aws_vpc.this[0].id
  cidr_block              = cidrsubnet(var.vpc_cidr, 2, count.index)
  availability_zone       = data.aws_availability_zones.this.names[count.index]
  map_public_ip_on_launch = false
  tags                    = local.tags

  lifecycle {
    ignore_changes = [availability_zone]
  }
}

resource "aws_route_table" "private" {
  count = local.own_network ? 1 : 0

  vpc_id = aws_vpc.this[0].id
  tags   = local.tags
}

resource "aws_route_table_association" "private" {
  count = local.own_network ? 2 : 0

  subnet_id      = aws_subnet.private[count.index].id
  route_table_id = aws_route_table.private[0].id
}

resource "aws_vpc_endpoint" "s3" {
  count = local.own_network ? 1 : 0

  vpc_id            = aws_vpc.this[0].id
  service_name      = "com.amazonaws.${local.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.private[0].id]
  policy            = data.aws_iam_policy_document.s3_endpoint.json
  tags              = local.tags
}

data "aws_iam_policy_document" "s3_endpoint" {
  statement {
    sid     = "Own"
    actions = ["s3:*"]
    resources = [
      local.bucket_arn, "${local.bucket_arn}/*",
      aws_s3_bucket.logs.arn, "${aws_s3_bucket.logs.arn}/*",
      "arn:${local.partition}:s3:::${trimprefix(var.in_transit_certificates, "s3://")}",
    ]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:PrincipalAccount"
      values   = [local.account]
    }
  }

  # Packages of EMR and Amazon Linux, and where EMR keeps what its console shows.
  statement {
    sid     = "Amazon"
    actions = ["s3:GetObject"]
    resources = [
      "arn:${local.partition}:s3:::repo.${local.region}.emr.amazonaws.com/*",
      "arn:${local.partition}:s3:::${local.region}.elasticmapreduce/*",
      "arn:${local.partition}:s3:::prod.${local.region}.appinfo.src/*",
      "arn:${local.partition}:s3:::amazonlinux-2-repos-${local.region}/*",
      "arn:${local.partition}:s3:::al2023-repos-${local.region}-de612dc2/*",
    ]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
  }
}

locals {
  # Endpoint to the prefix of the actions that it takes.
  endpoints = { elasticmapreduce = "elasticmapreduce", kms = "kms", logs = "logs", monitoring = "cloudwatch", sts = "sts" }
}

resource "aws_vpc_endpoint" "service" {
  for_each = local.own_network ? local.endpoints : {}

  vpc_id              = aws_vpc.this[0].id
  service_name        = "com.amazonaws.${local.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = aws_subnet.private[*].id
  security_group_ids  = [aws_security_group.endpoints[0].id]
  policy              = data.aws_iam_policy_document.endpoint[each.key].json
  tags                = local.tags
}

# Whoever comes by the endpoint is of this account; what they may do is said by their own policies.
data "aws_iam_policy_document" "endpoint" {
  for_each = local.endpoints

  statement {
    actions   = ["${each.value}:*"]
    resources = ["*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:PrincipalAccount"
      values   = [local.account]
    }
  }
}

# Security groups: EMR adds what its own ports need, and takes it back with the group (revoke_rules_on_delete).

resource "aws_security_group" "primary" {
  name_prefix            = "${local.name}-primary-"
  description            = "Primary node of the EMR cluster"
  vpc_id                 = local.vpc_id
  revoke_rules_on_delete = true
  tags                   = local.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_security_group" "core" {
  name_prefix            = "${local.name}-core-"
  description            = "Core and task nodes of the EMR cluster"
  vpc_id                 = local.vpc_id
  revoke_rules_on_delete = true
  tags                   = local.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_security_group" "service" {
  name_prefix            = "${local.name}-service-"
  description            = "EMR itself, to the nodes"
  vpc_id                 = local.vpc_id
  revoke_rules_on_delete = true
  tags                   = local.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_security_group" "endpoints" {
  count = local.own_network ? 1 : 0

  name_prefix = "${local.name}-endpoints-"
  description = "Endpoints of AWS services"
  vpc_id      = local.vpc_id
  tags        = local.tags

  lifecycle {
    create_before_destroy = true
  }
}

locals {
  # Who may talk to whom: from, to, port (null: all).
  flows = {
    primary-primary = { from = aws_security_group.primary.id, to = aws_security_group.primary.id, port = null }
    primary-core    = { from = aws_security_group.primary.id, to = aws_security_group.core.id, port = null }
    core-primary    = { from = aws_security_group.core.id, to = aws_security_group.primary.id, port = null }
    core-core       = { from = aws_security_group.core.id, to = aws_security_group.core.id, port = null }
    service-primary = { from = aws_security_group.service.id, to = aws_security_group.primary.id, port = 8443 }
    service-core    = { from = aws_security_group.service.id, to = aws_security_group.core.id, port = 8443 }
    primary-service = { from = aws_security_group.primary.id, to = aws_security_group.service.id, port = 9443 }
  }
}

resource "aws_vpc_security_group_ingress_rule" "between" {
  for_each = local.flows

  description                  = each.key
  security_group_id            = each.value.to
  referenced_security_group_id = each.value.from
  ip_protocol                  = each.value.port == null ? "-1" : "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  tags                         = local.tags
}

resource "aws_vpc_security_group_egress_rule" "between" {
  for_each = local.flows

  description                  = each.key
  security_group_id            = each.value.from
  referenced_security_group_id = each.value.to
  ip_protocol                  = each.value.port == null ? "-1" : "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  tags                         = local.tags
}

data "aws_ec2_managed_prefix_list" "s3" {
  name = "com.amazonaws.${local.region}.s3"
}

resource "aws_vpc_security_group_egress_rule" "s3" {
  for_each = { primary = aws_security_group.primary.id, core = aws_security_group.core.id }

  description       = "S3"
  security_group_id = each.value
  prefix_list_id    = data.aws_ec2_managed_prefix_list.s3.id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = local.tags
}

resource "aws_vpc_security_group_egress_rule" "endpoints" {
  for_each = { primary = aws_security_group.primary.id, core = aws_security_group.core.id }

  description       = "Endpoints of AWS services within the network"
  security_group_id = each.value
  cidr_ipv4         = local.cidr
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = local.tags
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  for_each = local.own_network ? { primary = aws_security_group.primary.id, core = aws_security_group.core.id } : {}

  description                  = "Nodes"
  security_group_id            = aws_security_group.endpoints[0].id
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  tags                         = local.tags
}

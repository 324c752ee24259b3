# EMR itself: makes and ends the nodes.

resource "aws_iam_role" "service" {
  name_prefix        = "${substr(local.name, 0, 24)}-emr-"
  description        = "EMR, for the cluster ${local.name}"
  assume_role_policy = data.aws_iam_policy_document.service_trust.json
  tags               = local.tags
}

data "aws_iam_policy_document" "service_trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["elasticmapreduce.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["arn:${local.partition}:elasticmapreduce:${local.region}:${local.account}:*"]
    }
  }
}

# Reaches only what carries the tag for-use-with-amazon-emr-managed-policies.
resource "aws_iam_role_policy_attachment" "service" {
  role       = aws_iam_role.service.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonEMRServicePolicy_v2"
}

resource "aws_iam_role_policy" "service" {
  name   = "nodes"
  role   = aws_iam_role.service.id
  policy = data.aws_iam_policy_document.service.json
}

data "aws_iam_policy_document" "service" {
  statement {
    sid       = "GiveNodesTheirRole"
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.instance.arn]
    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ec2.amazonaws.com"]
    }
  }

  statement {
    sid       = "EncryptDisks"
    actions   = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptFrom", "kms:ReEncryptTo"]
    resources = [aws_kms_key.this.arn]
  }

  statement {
    sid       = "LetVolumesUseTheKey"
    actions   = ["kms:CreateGrant"]
    resources = [aws_kms_key.this.arn]
    condition {
      test     = "Bool"
      variable = "kms:GrantIsForAWSResource"
      values   = ["true"]
    }
  }
}

# The nodes: read and write the job's data, write logs, nothing else.

resource "aws_iam_role" "instance" {
  name_prefix        = "${substr(local.name, 0, 24)}-node-"
  description        = "Nodes of the EMR cluster ${local.name}"
  assume_role_policy = data.aws_iam_policy_document.instance_trust.json
  tags               = local.tags
}

data "aws_iam_policy_document" "instance_trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_instance_profile" "instance" {
  name_prefix = "${substr(local.name, 0, 24)}-node-"
  role        = aws_iam_role.instance.name
  tags        = local.tags
}

resource "aws_iam_role_policy" "instance" {
  name   = "job"
  role   = aws_iam_role.instance.id
  policy = data.aws_iam_policy_document.instance.json
}

resource "aws_iam_role_policy_attachment" "instance" {
  for_each = toset(var.instance_policy_arns)

  role       = aws_iam_role.instance.name
  policy_arn = each.value
}

data "aws_iam_policy_document" "instance" {
  statement {
    sid       = "FindBuckets"
    actions   = ["s3:GetBucketLocation"]
    resources = [local.bucket_arn, aws_s3_bucket.logs.arn]
  }

  statement {
    sid       = "ListData"
    actions   = ["s3:ListBucket", "s3:ListBucketMultipartUploads"]
    resources = [local.bucket_arn]
    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = local.data_prefix == "" ? ["*"] : [local.data_prefix, "${local.data_prefix}/*"]
    }
  }

  statement {
    sid       = "Data"
    actions   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
    resources = ["${local.bucket_arn}/${local.data_keys}"]
  }

  statement {
    sid       = "Certificates"
    actions   = ["s3:GetObject"]
    resources = ["arn:${local.partition}:s3:::${trimprefix(var.in_transit_certificates, "s3://")}"]
  }

  statement {
    sid       = "Logs"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.logs.arn}/emr/*"]
  }

  statement {
    sid       = "JobLogs"
    actions   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.jobs.arn}:*"]
  }

  statement {
    sid       = "Keys"
    actions   = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"]
    resources = concat([aws_kms_key.this.arn], var.data_kms_key_arns)
  }
}

# The network's own log.

resource "aws_iam_role" "flows" {
  count = local.own_network ? 1 : 0

  name_prefix        = "${substr(local.name, 0, 24)}-flow-"
  description        = "Flow logs of the network ${local.name}"
  assume_role_policy = data.aws_iam_policy_document.flows_trust.json
  tags               = local.tags
}

data "aws_iam_policy_document" "flows_trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["vpc-flow-logs.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_iam_role_policy" "flows" {
  count = local.own_network ? 1 : 0

  name   = "flows"
  role   = aws_iam_role.flows[0].id
  policy = data.aws_iam_policy_document.flows[0].json
}

data "aws_iam_policy_document" "flows" {
  count = local.own_network ? 1 : 0

  statement {
    actions   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.flows[0].arn}:*"]
  }
}

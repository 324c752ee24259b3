output "emr_cluster_id" {
  description = "The cluster, for `compute.cluster_id` of the job."
  value       = aws_emr_cluster.this.id
}

output "emr_cluster_arn" {
  description = "ARN of the cluster."
  value       = aws_emr_cluster.this.arn
}

output "log_bucket" {
  description = "Name of the bucket that EMR writes its logs to."
  value       = aws_s3_bucket.logs.id
}

output "log_groups" {
  description = "CloudWatch log groups: of the job's own steps, and of the network where it is the module's."
  value       = concat([aws_cloudwatch_log_group.jobs.name], aws_cloudwatch_log_group.flows[*].name)
}

output "kms_key_arn" {
  description = "The key that disks, logs and output are encrypted with."
  value       = aws_kms_key.this.arn
}

output "vpc_id" {
  description = "The network, given or made."
  value       = local.vpc_id
}

output "subnet_ids" {
  description = "Its private subnets."
  value       = local.subnet_ids
}

output "security_group_ids" {
  description = "Groups of the primary node, of core and task nodes, and of EMR itself."
  value = {
    primary = aws_security_group.primary.id
    core    = aws_security_group.core.id
    service = aws_security_group.service.id
  }
}

output "service_role_arn" {
  description = "The role that EMR acts as."
  value       = aws_iam_role.service.arn
}

output "instance_role_arn" {
  description = "The role that the nodes act as."
  value       = aws_iam_role.instance.arn
}

output "tags" {
  description = "What every resource carries."
  value       = local.tags
}

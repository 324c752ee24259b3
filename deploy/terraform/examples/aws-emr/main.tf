# A job's EMR cluster. The job's side comes from the `.auto.tfvars.json` that `pursight run --config JOB --mode plan` writes here;
# the operator's from terraform.tfvars (see terraform.tfvars.example).

terraform {
  required_version = ">= 1.9.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
  }
}

# No default_tags: the module says the whole set on each resource, so that one place decides it.
provider "aws" {
  region = var.region
}

module "emr" {
  source = "../../modules/aws-emr"

  tenant_id             = var.tenant_id
  environment           = var.environment
  tags                  = var.tags
  bucket                = var.bucket
  instance_type         = var.instance_type
  instance_count        = var.instance_count
  min_instances         = var.min_instances
  max_instances         = var.max_instances
  vpc_id                = var.vpc_id
  subnet_ids            = var.subnet_ids
  security_group_ids    = var.security_group_ids
  enable_spot_instances = var.enable_spot_instances

  in_transit_certificates = var.in_transit_certificates
}

output "emr_cluster_id" {
  description = "For `compute.cluster_id` of the job."
  value       = module.emr.emr_cluster_id
}

output "log_bucket" {
  description = "Where EMR writes its logs."
  value       = module.emr.log_bucket
}

output "tags" {
  description = "What every resource carries."
  value       = module.emr.tags
}

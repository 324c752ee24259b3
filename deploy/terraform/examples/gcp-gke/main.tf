# A job's GKE cluster and namespace. The job's side comes from the `.auto.tfvars.json` that `pursight run --config JOB --mode plan`
# writes here; the operator's from terraform.tfvars (see terraform.tfvars.example). Runs where one of admin_cidrs is: the control
# plane has no public address.

terraform {
  required_version = ">= 1.9.0"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
    }
    kubernetes = {
      source  = "hashicorp/kubernetes"
      version = "~> 2.38"
    }
  }
}

provider "google" {
  project = var.project_id
  region  = var.region
}

data "google_client_config" "current" {}

provider "kubernetes" {
  host                   = "https://${module.gke.endpoint}"
  cluster_ca_certificate = base64decode(module.gke.ca_certificate)
  token                  = data.google_client_config.current.access_token
}

module "gke" {
  source = "../../modules/gcp-gke"

  tenant_id              = var.tenant_id
  environment            = var.environment
  project_id             = var.project_id
  region                 = var.region
  labels                 = var.labels
  kubernetes_labels      = var.kubernetes_labels
  kubernetes_annotations = var.kubernetes_annotations
  bucket                 = var.bucket
  instance_type          = var.instance_type
  instance_count         = var.instance_count
  min_instances          = var.min_instances
  max_instances          = var.max_instances
  vpc_id                 = var.vpc_id
  subnet_ids             = var.subnet_ids
  namespace              = var.namespace
  enable_spot_instances  = var.enable_spot_instances

  admin_cidrs = var.admin_cidrs
}

output "gke_cluster_name" {
  description = "For `compute.cluster_id` of the job."
  value       = module.gke.gke_cluster_name
}

output "namespace" {
  description = "Where the job's pods run."
  value       = module.gke.namespace
}

output "service_account" {
  description = "As whom they run."
  value       = module.gke.service_account
}

output "labels" {
  description = "What every resource at Google carries."
  value       = module.gke.labels
}

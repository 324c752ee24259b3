# A job's AKS cluster and namespace. The job's side comes from the `.auto.tfvars.json` that `pursight run --config JOB --mode plan`
# writes here; the operator's from terraform.tfvars (see terraform.tfvars.example). Runs within the hub's network, with kubelogin:
# neither the control plane nor the vault has a public address.

terraform {
  required_version = ">= 1.9.0"

  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 4.55"
    }
    kubernetes = {
      source  = "hashicorp/kubernetes"
      version = "~> 2.38"
    }
  }
}

provider "azurerm" {
  subscription_id     = var.subscription_id
  storage_use_azuread = true

  # The account's queues and tables have no endpoint that Terraform could ask.
  features {
    storage {
      data_plane_available = false
    }
  }
}

# The application of AKS itself, the same in every tenant of Entra.
locals {
  aks_server = "6dae42f8-4368-4678-94ff-3960e28e3630"
}

provider "kubernetes" {
  host                   = "https://${module.aks.endpoint}"
  cluster_ca_certificate = base64decode(module.aks.ca_certificate)

  exec {
    api_version = "client.authentication.k8s.io/v1"
    command     = "kubelogin"
    args        = ["get-token", "--login", "azurecli", "--server-id", local.aks_server]
  }
}

module "aks" {
  source = "../../modules/azure-aks"

  tenant_id              = var.tenant_id
  environment            = var.environment
  region                 = var.region
  resource_group         = var.resource_group
  tags                   = var.tags
  kubernetes_labels      = var.kubernetes_labels
  kubernetes_annotations = var.kubernetes_annotations
  instance_type          = var.instance_type
  instance_count         = var.instance_count
  min_instances          = var.min_instances
  max_instances          = var.max_instances
  subnet_ids             = var.subnet_ids
  namespace              = var.namespace
  enable_spot_instances  = var.enable_spot_instances

  admin_group_ids      = var.admin_group_ids
  firewall_address     = var.firewall_address
  hub_network_id       = var.hub_network_id
  private_dns_zone_ids = var.private_dns_zone_ids
}

output "aks_cluster_name" {
  description = "For `compute.cluster_id` of the job."
  value       = module.aks.aks_cluster_name
}

output "namespace" {
  description = "Where the job's pods run."
  value       = module.aks.namespace
}

output "service_account" {
  description = "As whom they run."
  value       = module.aks.service_account
}

output "tags" {
  description = "What every resource at Azure carries."
  value       = module.aks.tags
}

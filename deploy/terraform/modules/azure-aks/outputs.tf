output "aks_cluster_name" {
  description = "The cluster, for `compute.cluster_id` of the job."
  value       = azurerm_kubernetes_cluster.this.name
}

output "aks_cluster_id" {
  description = "Resource id of the cluster."
  value       = azurerm_kubernetes_cluster.this.id
}

output "endpoint" {
  description = "Private name of the control plane."
  value       = azurerm_kubernetes_cluster.this.private_fqdn
}

output "ca_certificate" {
  description = "Certificate of the control plane's authority, in base64."
  value       = azurerm_kubernetes_cluster.this.kube_config[0].cluster_ca_certificate
  sensitive   = true
}

output "resource_group" {
  description = "Resource group of everything but the nodes."
  value       = azurerm_resource_group.this.name
}

output "node_resource_group" {
  description = "Resource group of the nodes, which AKS owns."
  value       = azurerm_kubernetes_cluster.this.node_resource_group
}

output "namespace" {
  description = "Namespace of the job."
  value       = module.namespace.namespace
}

output "service_account" {
  description = "The account that the job's pods run as: in Kubernetes, and the client id of its identity at Azure."
  value = {
    kubernetes = module.namespace.service_account
    azure      = azurerm_user_assigned_identity.job.client_id
  }
}

output "storage" {
  description = "Storage account and container that the job works in."
  value = {
    account   = azurerm_storage_account.work.name
    container = azurerm_storage_container.work.name
  }
}

output "key_id" {
  description = "The key that disks and storage are encrypted with."
  value       = azurerm_key_vault_key.this.versionless_id
}

output "subnet_id" {
  description = "The nodes' subnet, given or made."
  value       = local.subnet_id
}

output "log_workspace_id" {
  description = "Log Analytics workspace of the cluster, the vault and the storage."
  value       = azurerm_log_analytics_workspace.this.id
}

output "tags" {
  description = "What every resource at Azure carries."
  value       = local.tags
}

output "namespace" {
  description = "Name of the namespace."
  value       = local.namespace
}

output "service_account" {
  description = "Name of the account that the job's pods run as."
  value       = kubernetes_service_account_v1.job.metadata[0].name
}

output "labels" {
  description = "What every object carries as labels."
  value       = local.labels
}

output "annotations" {
  description = "What every object carries as annotations."
  value       = local.annotations
}

output "gke_cluster_name" {
  description = "The cluster, for `compute.cluster_id` of the job."
  value       = google_container_cluster.this.name
}

output "gke_cluster_id" {
  description = "Full name of the cluster."
  value       = google_container_cluster.this.id
}

output "endpoint" {
  description = "Private address of the control plane."
  value       = google_container_cluster.this.private_cluster_config[0].private_endpoint
}

output "ca_certificate" {
  description = "Certificate of the control plane's authority, in base64."
  value       = google_container_cluster.this.master_auth[0].cluster_ca_certificate
}

output "namespace" {
  description = "Namespace of the job."
  value       = module.namespace.namespace
}

output "service_account" {
  description = "The account that the job's pods run as: in Kubernetes, and at Google."
  value = {
    kubernetes = module.namespace.service_account
    google     = google_service_account.job.email
  }
}

output "node_service_account" {
  description = "The account that the nodes run as."
  value       = google_service_account.node.email
}

output "buckets" {
  description = "Names of the work bucket and of the bucket of its access logs."
  value = {
    work = google_storage_bucket.work.name
    logs = google_storage_bucket.logs.name
  }
}

output "kms_key" {
  description = "The key that disks, buckets and the cluster's database are encrypted with."
  value       = google_kms_crypto_key.this.id
}

output "network" {
  description = "Network and subnetwork, given or made."
  value = {
    network    = local.network
    subnetwork = local.subnetwork
  }
}

output "labels" {
  description = "What every resource at Google carries."
  value       = local.labels
}

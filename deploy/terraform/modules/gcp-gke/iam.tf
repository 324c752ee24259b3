# Service accounts and bindings take no labels at Google.

resource "google_service_account" "node" {
  account_id   = "${local.name}-node"
  project      = var.project_id
  display_name = "Nodes of ${local.name}"
}

resource "google_project_iam_member" "node" {
  for_each = toset(["roles/artifactregistry.reader", "roles/container.defaultNodeServiceAccount"])

  project = var.project_id
  role    = each.value
  member  = google_service_account.node.member
}

resource "google_service_account" "job" {
  account_id   = "${local.name}-job"
  project      = var.project_id
  display_name = "Jobs of ${local.name}"
}

# Objects of these two buckets, of the data's below its prefix, and nothing of the project. Listing is a right on the bucket as a whole.
resource "google_storage_bucket_iam_member" "job" {
  for_each = {
    data = { bucket = local.bucket_name, prefix = local.data_prefix }
    work = { bucket = google_storage_bucket.work.name, prefix = "" }
  }

  bucket = each.value.bucket
  role   = "roles/storage.objectUser"
  member = google_service_account.job.member

  dynamic "condition" {
    for_each = each.value.prefix == "" ? [] : [each.value.prefix]
    content {
      title      = "below-the-prefix"
      expression = <<-CEL
        resource.type != "storage.googleapis.com/Object" || resource.name.startsWith("projects/_/buckets/${each.value.bucket}/objects/${condition.value}/")
      CEL
    }
  }
}

# One account of Kubernetes may act as the job's, no other.
resource "google_service_account_iam_member" "job" {
  service_account_id = google_service_account.job.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.project_id}.svc.id.goog[${local.namespace}/job]"

  depends_on = [google_container_cluster.this]
}

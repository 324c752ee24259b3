# A key ring takes no labels, and neither it nor a key can be deleted: destroying the module leaves both behind.
resource "google_kms_key_ring" "this" {
  name     = local.name
  project  = var.project_id
  location = var.region
}

resource "google_kms_crypto_key" "this" {
  name            = "cluster"
  key_ring        = google_kms_key_ring.this.id
  purpose         = "ENCRYPT_DECRYPT"
  rotation_period = "7776000s"
  labels          = local.labels

  lifecycle {
    prevent_destroy = true
  }
}

data "google_storage_project_service_account" "this" {
  project = var.project_id
}

# Google's own agents, by what they encrypt: disks, the cluster's database, buckets.
resource "google_kms_crypto_key_iam_member" "agents" {
  for_each = {
    disks   = "serviceAccount:service-${data.google_project.this.number}@compute-system.iam.gserviceaccount.com"
    cluster = "serviceAccount:service-${data.google_project.this.number}@container-engine-robot.iam.gserviceaccount.com"
    buckets = data.google_storage_project_service_account.this.member
  }

  crypto_key_id = google_kms_crypto_key.this.id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = each.value
}

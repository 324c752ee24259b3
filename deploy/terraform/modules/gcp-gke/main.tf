data "google_project" "this" {
  project_id = var.project_id
}

locals {
  # Names follow the rule for tags: what had to be changed or cut ends in digits of its hash, so two tenants never share one.
  wanted = "${var.tenant_id}-${var.environment}"
  plain  = trim(replace(lower(local.wanted), "/[^a-z0-9]+/", "-"), "-")
  fits   = local.plain == local.wanted && length(local.plain) <= 20 && can(regex("^[a-z]", local.plain))
  name   = local.fits ? local.plain : "x${trim(substr(local.plain, 0, 8), "-")}-${substr(sha256(local.wanted), 0, 10)}"

  # The one place where labels come from.
  labels = var.labels

  namespace   = var.namespace == "" ? local.name : var.namespace
  bucket_path = trimsuffix(trimprefix(var.bucket, "gs://"), "/")
  bucket_name = split("/", local.bucket_path)[0]
  data_prefix = trimprefix(trimprefix(local.bucket_path, local.bucket_name), "/")
  fewest      = coalesce(var.min_instances, var.instance_count)
  most        = coalesce(var.max_instances, max(1, local.fewest))
}

resource "google_container_cluster" "this" {
  #checkov:skip=CKV_GCP_12:The advanced data path enforces network policies by itself and refuses the older switch.
  name                = local.name
  project             = var.project_id
  location            = var.region
  network             = local.network
  subnetwork          = local.subnetwork
  deletion_protection = var.deletion_protection
  resource_labels     = local.labels

  networking_mode              = "VPC_NATIVE"
  datapath_provider            = "ADVANCED_DATAPATH"
  in_transit_encryption_config = "IN_TRANSIT_ENCRYPTION_INTER_NODE_TRANSPARENT"
  enable_intranode_visibility  = true
  enable_shielded_nodes        = true
  enable_legacy_abac           = false

  # Pools are resources of their own; this one goes as soon as the cluster is there.
  remove_default_node_pool = true
  initial_node_count       = 1

  node_config {
    service_account   = google_service_account.node.email
    oauth_scopes      = ["https://www.googleapis.com/auth/cloud-platform"]
    boot_disk_kms_key = google_kms_crypto_key.this.id
    resource_labels   = local.labels

    shielded_instance_config {
      enable_integrity_monitoring = true
      enable_secure_boot          = true
    }
    workload_metadata_config {
      mode = "GKE_METADATA"
    }
  }

  release_channel {
    channel = "REGULAR"
  }

  private_cluster_config {
    enable_private_nodes    = true
    enable_private_endpoint = true
    master_ipv4_cidr_block  = var.control_plane_cidr
  }

  control_plane_endpoints_config {
    dns_endpoint_config {
      allow_external_traffic = false
    }
  }

  master_authorized_networks_config {
    gcp_public_cidrs_access_enabled = false

    dynamic "cidr_blocks" {
      for_each = var.admin_cidrs
      content {
        display_name = cidr_blocks.key
        cidr_block   = cidr_blocks.value
      }
    }
  }

  ip_allocation_policy {
    cluster_secondary_range_name  = local.own_network ? "pods" : null
    services_secondary_range_name = local.own_network ? "services" : null
  }

  database_encryption {
    state    = "ENCRYPTED"
    key_name = google_kms_crypto_key.this.id
  }

  workload_identity_config {
    workload_pool = "${var.project_id}.svc.id.goog"
  }

  master_auth {
    client_certificate_config {
      issue_client_certificate = false
    }
  }

  dynamic "authenticator_groups_config" {
    for_each = var.security_group == "" ? [] : [var.security_group]
    content {
      security_group = authenticator_groups_config.value
    }
  }

  binary_authorization {
    evaluation_mode = "PROJECT_SINGLETON_POLICY_ENFORCE"
  }

  security_posture_config {
    mode               = "BASIC"
    vulnerability_mode = "VULNERABILITY_BASIC"
  }

  # Costs by namespace and label in the billing export.
  cost_management_config {
    enabled = true
  }

  logging_config {
    enable_components = ["APISERVER", "CONTROLLER_MANAGER", "SCHEDULER", "SYSTEM_COMPONENTS", "WORKLOADS"]
  }

  monitoring_config {
    enable_components = ["SYSTEM_COMPONENTS"]

    managed_prometheus {
      enabled = true
    }
  }

  lifecycle {
    ignore_changes = [node_config]
  }

  depends_on = [google_kms_crypto_key_iam_member.agents]
}

resource "google_container_node_pool" "system" {
  name     = "system"
  project  = var.project_id
  location = var.region
  cluster  = google_container_cluster.this.name

  initial_node_count = 1

  autoscaling {
    total_min_node_count = 1
    total_max_node_count = 3
    location_policy      = "BALANCED"
  }

  management {
    auto_repair  = true
    auto_upgrade = true
  }

  node_config {
    machine_type      = "e2-standard-4"
    image_type        = "COS_CONTAINERD"
    service_account   = google_service_account.node.email
    oauth_scopes      = ["https://www.googleapis.com/auth/cloud-platform"]
    boot_disk_kms_key = google_kms_crypto_key.this.id
    labels            = var.kubernetes_labels
    resource_labels   = local.labels
    metadata          = { disable-legacy-endpoints = "true" }

    # What GKE itself runs tolerates this; jobs do not.
    taint {
      key    = "components.gke.io/gke-managed-components"
      value  = "true"
      effect = "NO_SCHEDULE"
    }
    shielded_instance_config {
      enable_integrity_monitoring = true
      enable_secure_boot          = true
    }
    workload_metadata_config {
      mode = "GKE_METADATA"
    }
  }
}

resource "google_container_node_pool" "jobs" {
  name     = "jobs"
  project  = var.project_id
  location = var.region
  cluster  = google_container_cluster.this.name

  autoscaling {
    total_min_node_count = local.fewest
    total_max_node_count = local.most
    location_policy      = var.enable_spot_instances ? "ANY" : "BALANCED"
  }

  management {
    auto_repair  = true
    auto_upgrade = true
  }

  node_config {
    machine_type      = var.instance_type
    image_type        = "COS_CONTAINERD"
    spot              = var.enable_spot_instances
    service_account   = google_service_account.node.email
    oauth_scopes      = ["https://www.googleapis.com/auth/cloud-platform"]
    boot_disk_kms_key = google_kms_crypto_key.this.id
    labels            = var.kubernetes_labels
    resource_labels   = local.labels
    metadata          = { disable-legacy-endpoints = "true" }

    shielded_instance_config {
      enable_integrity_monitoring = true
      enable_secure_boot          = true
    }
    workload_metadata_config {
      mode = "GKE_METADATA"
    }
  }
}

module "namespace" {
  source = "../kubernetes-namespace"

  namespace   = local.namespace
  labels      = var.kubernetes_labels
  annotations = var.kubernetes_annotations
  readers     = var.readers
  service_account = {
    name        = "job"
    annotations = { "iam.gke.io/gcp-service-account" = google_service_account.job.email }
  }

  depends_on = [google_container_node_pool.system]
}

locals {
  own_network = var.vpc_id == ""
  network     = local.own_network ? one(google_compute_network.this[*].id) : var.vpc_id
  subnetwork  = local.own_network ? one(google_compute_subnetwork.this[*].id) : var.subnet_ids[0]
}

# Networks, subnetworks and firewall rules take no labels at Google.

# No address translation and no router: nodes reach Google's services by Private Google Access, and nothing else.
resource "google_compute_network" "this" {
  count = local.own_network ? 1 : 0

  name                    = local.name
  project                 = var.project_id
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "this" {
  count = local.own_network ? 1 : 0

  name                     = local.name
  project                  = var.project_id
  region                   = var.region
  network                  = google_compute_network.this[0].id
  ip_cidr_range            = var.subnet_cidr
  private_ip_google_access = true

  secondary_ip_range {
    range_name    = "pods"
    ip_cidr_range = var.pods_cidr
  }
  secondary_ip_range {
    range_name    = "services"
    ip_cidr_range = var.services_cidr
  }

  log_config {
    aggregation_interval = "INTERVAL_5_SEC"
    flow_sampling        = 0.5
    metadata             = "INCLUDE_ALL_METADATA"
  }
}

# Below the rules that GKE makes for the cluster itself.
resource "google_compute_firewall" "nothing_in" {
  count = local.own_network ? 1 : 0

  name          = "${local.name}-nothing-in"
  project       = var.project_id
  network       = google_compute_network.this[0].id
  description   = "Nobody reaches a node but through the rules of GKE"
  direction     = "INGRESS"
  priority      = 65000
  source_ranges = ["0.0.0.0/0"]

  deny {
    protocol = "all"
  }

  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}

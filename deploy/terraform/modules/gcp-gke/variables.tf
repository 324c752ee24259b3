# What the job says: `pursight run --config JOB --mode plan` writes these under the same names.

variable "tenant_id" {
  description = "Tenant of the job. With the environment it names what is made."
  type        = string
  validation {
    condition     = can(regex("^\\S", var.tenant_id))
    error_message = "tenant_id must not be empty."
  }
}

variable "environment" {
  description = "Environment of the job, such as prod."
  type        = string
  validation {
    condition     = can(regex("^\\S", var.environment))
    error_message = "environment must not be empty."
  }
}

variable "project_id" {
  description = "Project that everything is made in."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project's id, of 6 to 30 lower-case letters, digits and dashes."
  }
}

variable "region" {
  description = "Region of the cluster, its disks and buckets, such as europe-west3."
  type        = string
  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be a region such as europe-west3, not a zone."
  }
}

variable "labels" {
  description = "The whole tag set of the job, as PurSight spells it for GCP. Every resource that takes labels carries all of it."
  type        = map(string)
  validation {
    # GCP has room for 64; the provider adds one of its own, and GKE up to two.
    condition     = length(var.labels) >= 1 && length(var.labels) <= 61
    error_message = "labels must have 1 to 61 entries: GCP takes 64, and Google adds up to three."
  }
  validation {
    condition = alltrue([
      for key, value in var.labels :
      can(regex("^[\\p{Ll}\\p{Lo}][\\p{Ll}\\p{Lo}\\p{N}_-]{0,62}$", key)) && can(regex("^[\\p{Ll}\\p{Lo}\\p{N}_-]{0,63}$", value)) && !startswith(key, "goog")
    ])
    error_message = "A label has a character or length that GCP refuses, or begins with goog. Keys begin with a letter; both hold up to 63 lower-case letters, digits, _ and -."
  }
}

variable "kubernetes_labels" {
  description = "The same set as PurSight spells it for labels of Kubernetes: every object in the cluster carries it."
  type        = map(string)
}

variable "kubernetes_annotations" {
  description = "The same set with its values at full length, as annotations of Kubernetes."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "bucket" {
  description = "The data bucket, which exists: its name, or gs://NAME/PREFIX. The job may read and write objects below the prefix, nothing else."
  type        = string
  validation {
    condition     = can(regex("^(gs://)?[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/[A-Za-z0-9._/=-]*)?$", var.bucket))
    error_message = "bucket must be a bucket's name or gs://NAME/PREFIX, the prefix of letters, digits and ._/=-."
  }
}

variable "instance_type" {
  description = "Machine type of the nodes that run jobs."
  type        = string
  default     = "n2-standard-4"
  nullable    = false
  validation {
    condition     = can(regex("^[a-z][a-z0-9]*-[a-z0-9-]+$", var.instance_type))
    error_message = "instance_type must be a machine type, such as n2-standard-4."
  }
}

variable "instance_count" {
  description = "Nodes that run jobs, in all zones together, where no range is given."
  type        = number
  default     = 2
  nullable    = false
  validation {
    condition     = var.instance_count >= 0 && floor(var.instance_count) == var.instance_count
    error_message = "instance_count must be a whole number from 0."
  }
}

variable "min_instances" {
  description = "Fewest nodes that run jobs, in all zones together. Null: instance_count."
  type        = number
  default     = null
  validation {
    condition     = var.min_instances == null ? true : var.min_instances >= 0
    error_message = "min_instances must not be negative."
  }
}

variable "max_instances" {
  description = "Most nodes that run jobs, in all zones together. Null: the fewest, at least 1."
  type        = number
  default     = null
  validation {
    condition     = var.max_instances == null ? true : var.max_instances >= max(1, coalesce(var.min_instances, var.instance_count))
    error_message = "max_instances must be at least 1 and not less than min_instances, or instance_count where that is not given."
  }
}

variable "vpc_id" {
  description = "A network that exists, by name or self link. Empty: one is made."
  type        = string
  default     = ""
  nullable    = false
}

variable "subnet_ids" {
  description = "A subnetwork of vpc_id with Private Google Access, by name or self link; the first is used. Given with vpc_id, or not at all."
  type        = list(string)
  default     = []
  nullable    = false
  validation {
    condition     = (length(var.subnet_ids) > 0) == (var.vpc_id != "")
    error_message = "subnet_ids must be given exactly where vpc_id is."
  }
}

variable "namespace" {
  description = "Namespace of the job. Empty: named like everything else."
  type        = string
  default     = ""
  nullable    = false
}

variable "enable_spot_instances" {
  description = "Whether jobs run on spot nodes."
  type        = bool
  default     = false
  nullable    = false
}

# What the operator says.

variable "admin_cidrs" {
  description = "Private ranges that may speak to the control plane, by name: where Terraform runs, and a bastion. Nothing else reaches it."
  type        = map(string)
  validation {
    condition = length(var.admin_cidrs) > 0 && alltrue([
      for cidr in values(var.admin_cidrs) :
      can(cidrnetmask(cidr)) && can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.|100\\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\\.)", cidr))
    ])
    error_message = "admin_cidrs must have at least one entry, and only private IPv4 ranges."
  }
}

variable "subnet_cidr" {
  description = "Addresses of the nodes in the network that is made."
  type        = string
  default     = "10.90.0.0/22"
  nullable    = false
  validation {
    condition     = can(cidrnetmask(var.subnet_cidr))
    error_message = "subnet_cidr must be an IPv4 range."
  }
}

variable "pods_cidr" {
  description = "Addresses of pods in the network that is made."
  type        = string
  default     = "10.92.0.0/16"
  nullable    = false
  validation {
    condition     = can(cidrnetmask(var.pods_cidr))
    error_message = "pods_cidr must be an IPv4 range."
  }
}

variable "services_cidr" {
  description = "Addresses of services in the network that is made."
  type        = string
  default     = "10.91.0.0/20"
  nullable    = false
  validation {
    condition     = can(cidrnetmask(var.services_cidr))
    error_message = "services_cidr must be an IPv4 range."
  }
}

variable "control_plane_cidr" {
  description = "Addresses of the control plane; a /28 that nothing else uses."
  type        = string
  default     = "10.91.240.0/28"
  nullable    = false
  validation {
    condition     = can(cidrnetmask(var.control_plane_cidr)) && endswith(var.control_plane_cidr, "/28")
    error_message = "control_plane_cidr must be an IPv4 range of /28."
  }
}

variable "security_group" {
  description = "Google group gke-security-groups@DOMAIN, whose member groups roles in the cluster may name. Empty: none."
  type        = string
  default     = ""
  nullable    = false
  validation {
    condition     = var.security_group == "" || startswith(var.security_group, "gke-security-groups@")
    error_message = "security_group must be gke-security-groups@DOMAIN."
  }
}

variable "readers" {
  description = "Groups that may look at the job's objects and logs in the cluster."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "log_retention_days" {
  description = "Days that access logs and superseded objects of the work bucket are kept."
  type        = number
  default     = 365
  nullable    = false
  validation {
    condition     = var.log_retention_days >= 30 && floor(var.log_retention_days) == var.log_retention_days
    error_message = "log_retention_days must be a whole number from 30."
  }
}

variable "deletion_protection" {
  description = "Whether the cluster is protected from being destroyed."
  type        = bool
  default     = true
  nullable    = false
}

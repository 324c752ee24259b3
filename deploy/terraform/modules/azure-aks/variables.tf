# What the job says: `pursight run --config JOB --mode plan` writes these under the same names.

variable "tenant_id" {
  description = "Tenant of the job, not of Entra. With the environment it names what is made."
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

variable "region" {
  description = "Region that everything is made in, such as westeurope."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9]+$", var.region))
    error_message = "region must be a region's short name, such as westeurope."
  }
}

variable "resource_group" {
  description = "Name of the resource group that is made. Empty: named like everything else."
  type        = string
  default     = ""
  nullable    = false
  validation {
    condition     = can(regex("^[\\p{L}\\p{N}_().-]{0,74}$", var.resource_group)) && !endswith(var.resource_group, ".")
    error_message = "resource_group may have 74 letters, digits and _().-, and no dot at the end: AKS adds -nodes for the nodes' own."
  }
}

variable "tags" {
  description = "The whole tag set of the job, as PurSight spells it for Azure. Every resource carries all of it; a key in the vault has room for 15."
  type        = map(string)
  validation {
    condition     = length(var.tags) >= 1 && length(var.tags) <= 50
    error_message = "tags must have 1 to 50 entries."
  }
  validation {
    # 128 is what storage accounts take of a name.
    condition = alltrue([
      for key, value in var.tags :
      can(regex("^[^<>%&\\\\?/[:cntrl:]]{1,128}$", key)) && length(value) <= 256 && !can(regex("^(?i)(microsoft|azure|windows)", key))
    ])
    error_message = "A tag is longer than Azure takes (names 128, values 256), has one of <>%&\\?/ in its name, or begins with microsoft, azure or windows."
  }
  validation {
    condition     = length(distinct([for key in keys(var.tags) : lower(key)])) == length(var.tags)
    error_message = "Two tags differ only in the case of their names, which Azure does not tell apart."
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

variable "instance_type" {
  description = "Size of the nodes that run jobs."
  type        = string
  default     = "Standard_D4ds_v5"
  nullable    = false
  validation {
    condition     = can(regex("^Standard_[A-Za-z0-9_-]+$", var.instance_type))
    error_message = "instance_type must be a size of virtual machines, such as Standard_D4ds_v5."
  }
}

variable "instance_count" {
  description = "Nodes that run jobs, where no range is given."
  type        = number
  default     = 2
  nullable    = false
  validation {
    condition     = var.instance_count >= 0 && floor(var.instance_count) == var.instance_count
    error_message = "instance_count must be a whole number from 0."
  }
}

variable "min_instances" {
  description = "Fewest nodes that run jobs. Null: instance_count."
  type        = number
  default     = null
  validation {
    condition     = var.min_instances == null ? true : var.min_instances >= 0
    error_message = "min_instances must not be negative."
  }
}

variable "max_instances" {
  description = "Most nodes that run jobs. Null: the fewest, at least 1."
  type        = number
  default     = null
  validation {
    condition     = var.max_instances == null ? true : var.max_instances >= max(1, coalesce(var.min_instances, var.instance_count))
    error_message = "max_instances must be at least 1 and not less than min_instances, or instance_count where that is not given."
  }
}

variable "subnet_ids" {
  description = "A subnet that exists, whose routes lead out through a firewall; the first is used. Empty: a network is made."
  type        = list(string)
  default     = []
  nullable    = false
  validation {
    condition     = alltrue([for id in var.subnet_ids : can(regex("^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft.Network/virtualNetworks/[^/]+/subnets/[^/]+$", id))])
    error_message = "subnet_ids must be full resource ids of subnets."
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

variable "admin_group_ids" {
  description = "Object ids of the Entra groups that administer the cluster. Local accounts are off, so without one nobody does."
  type        = list(string)
  validation {
    condition     = length(var.admin_group_ids) > 0 && alltrue([for id in var.admin_group_ids : can(regex("^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", id))])
    error_message = "admin_group_ids must have at least one object id."
  }
}

variable "firewall_address" {
  description = "Private address of the firewall that everything outbound passes, where a network is made."
  type        = string
  default     = ""
  nullable    = false
  validation {
    condition     = length(var.subnet_ids) > 0 || can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.)[0-9.]+$", var.firewall_address))
    error_message = "firewall_address must be a private IPv4 address, unless subnet_ids are given."
  }
}

variable "hub_network_id" {
  description = "The network that the firewall is in; the one that is made is peered with it. Its own side of the peering is its owner's. Empty: none."
  type        = string
  default     = ""
  nullable    = false
}

variable "network_cidr" {
  description = "Addresses of the network that is made."
  type        = string
  default     = "10.100.0.0/20"
  nullable    = false
  validation {
    condition     = can(cidrnetmask(var.network_cidr))
    error_message = "network_cidr must be an IPv4 range."
  }
}

variable "private_dns_zone_ids" {
  description = "Private zones, `vault` for privatelink.vaultcore.azure.net and `blob` for privatelink.blob.core.windows.net, that learn the endpoints' addresses."
  type        = map(string)
  default     = {}
  nullable    = false
  validation {
    condition     = length(setsubtract(keys(var.private_dns_zone_ids), ["blob", "vault"])) == 0
    error_message = "private_dns_zone_ids may have the keys vault and blob."
  }
}

variable "data_container_ids" {
  description = "Resource ids of the blob containers, or storage accounts, that exist and that the job may read and write."
  type        = list(string)
  default     = []
  nullable    = false
  validation {
    condition     = alltrue([for id in var.data_container_ids : can(regex("/providers/Microsoft.Storage/storageAccounts/[^/]+(/blobServices/default/containers/[^/]+)?$", id))])
    error_message = "data_container_ids must be full resource ids of containers or storage accounts."
  }
}

variable "readers" {
  description = "Object ids of Entra groups that may look at the job's objects and logs in the cluster."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "log_retention_days" {
  description = "Days that logs, and superseded objects of the work container, are kept."
  type        = number
  default     = 365
  nullable    = false
  validation {
    condition     = var.log_retention_days >= 30 && var.log_retention_days <= 730 && floor(var.log_retention_days) == var.log_retention_days
    error_message = "log_retention_days must be a whole number from 30 to 730."
  }
}

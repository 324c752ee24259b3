# What the job says. Null leaves it to the module.

variable "tenant_id" {
  description = "Tenant of the job."
  type        = string
}

variable "environment" {
  description = "Environment of the job."
  type        = string
}

variable "resource_group" {
  description = "Resource group that is made."
  type        = string
  default     = ""
}

variable "tags" {
  description = "The job's tag set."
  type        = map(string)
}

variable "kubernetes_labels" {
  description = "The job's tag set, as labels of Kubernetes."
  type        = map(string)
}

variable "kubernetes_annotations" {
  description = "The job's tag set, as annotations of Kubernetes."
  type        = map(string)
  default     = {}
}

variable "instance_type" {
  description = "Type of the nodes."
  type        = string
  default     = null
}

variable "instance_count" {
  description = "How many nodes, where no range is given."
  type        = number
  default     = null
}

variable "min_instances" {
  description = "Fewest nodes."
  type        = number
  default     = null
}

variable "max_instances" {
  description = "Most nodes."
  type        = number
  default     = null
}

variable "subnet_ids" {
  description = "Subnets that exist."
  type        = list(string)
  default     = []
}

variable "namespace" {
  description = "Namespace of the job."
  type        = string
  default     = ""
}

variable "enable_spot_instances" {
  description = "Whether spot instances are taken."
  type        = bool
  default     = false
}

# What the operator says, and the job may: its runtime's region, project or subscription wins.

variable "subscription_id" {
  description = "Subscription of everything."
  type        = string
}

variable "region" {
  description = "Region of everything."
  type        = string
}

variable "admin_group_ids" {
  description = "Entra groups that administer the cluster."
  type        = list(string)
}

variable "firewall_address" {
  description = "Private address that everything outbound passes."
  type        = string
  default     = ""
}

variable "hub_network_id" {
  description = "Network of the firewall."
  type        = string
  default     = ""
}

variable "private_dns_zone_ids" {
  description = "Private zones of vault and blob."
  type        = map(string)
  default     = {}
}

variable "namespace" {
  description = "Name of the namespace that is made."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.namespace)) && !startswith(var.namespace, "kube-") && var.namespace != "default"
    error_message = "namespace must be a DNS label of at most 63 characters, and none of Kubernetes' own."
  }
}

variable "labels" {
  description = "The whole tag set of the job, as PurSight spells it for labels of Kubernetes. Every object carries all of it."
  type        = map(string)
  validation {
    condition = length(var.labels) >= 1 && alltrue([
      for key, value in var.labels :
      can(regex("^([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$", key)) && can(regex("^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$", value))
    ])
    error_message = "labels must have at least one entry; names and values hold up to 63 letters, digits and _.- with a letter or digit at both ends."
  }
}

variable "annotations" {
  description = "The whole tag set of the job with its values at full length, as annotations of every object."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "service_account" {
  description = "The account that the job's pods run as, and the annotations by which its cloud knows it."
  type = object({
    name        = string
    annotations = map(string)
  })
  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.service_account.name))
    error_message = "service_account.name must be a DNS label of at most 63 characters."
  }
}

variable "readers" {
  description = "Groups, as the cluster knows them, that may look at the job's objects and logs."
  type        = list(string)
  default     = []
  nullable    = false
  validation {
    condition     = !contains(var.readers, "system:authenticated") && !contains(var.readers, "system:unauthenticated")
    error_message = "readers must not be everybody."
  }
}

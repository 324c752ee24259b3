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

variable "tags" {
  description = "The whole tag set of the job, as PurSight spells it for AWS. Every resource carries all of it."
  type        = map(string)
  validation {
    # AWS has room for 50; Name and the tag of EMR's managed policy are the module's own.
    condition     = length(var.tags) >= 1 && length(var.tags) <= 48
    error_message = "tags must have 1 to 48 entries: AWS takes 50, and two are the module's own."
  }
  validation {
    condition = alltrue([
      for key, value in var.tags :
      can(regex("^[\\p{L}\\p{N} _.:/=+@-]{1,128}$", key)) && can(regex("^[\\p{L}\\p{N} _.:/=+@-]{0,256}$", value)) && !startswith(lower(key), "aws:")
    ])
    error_message = "A tag has a character or length that EMR refuses, or begins with aws:. Keys hold 1 to 128, values up to 256 letters, digits, spaces and _.:/=+-@."
  }
}

variable "bucket" {
  description = "The data bucket, which exists: its name, or s3://NAME/PREFIX. The cluster may read and write below the prefix, nothing else."
  type        = string
  validation {
    condition     = can(regex("^(s3://)?[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^*?]*)?$", var.bucket))
    error_message = "bucket must be a bucket's name or s3://NAME/PREFIX, without wildcards."
  }
}

variable "instance_type" {
  description = "Instance type of primary, core and task nodes."
  type        = string
  default     = "m7g.2xlarge"
  nullable    = false
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]*\\.[a-z0-9-]+$", var.instance_type))
    error_message = "instance_type must be an EC2 instance type, such as r5.2xlarge."
  }
}

variable "instance_count" {
  description = "Core and task nodes where no range is given."
  type        = number
  default     = 2
  nullable    = false
  validation {
    condition     = var.instance_count >= 1 && floor(var.instance_count) == var.instance_count
    error_message = "instance_count must be a whole number from 1."
  }
}

variable "min_instances" {
  description = "Fewest core and task nodes that managed scaling goes down to. Null: instance_count."
  type        = number
  default     = null
  validation {
    condition     = var.min_instances == null ? true : var.min_instances >= 1
    error_message = "min_instances must be at least 1: EMR keeps one core node."
  }
}

variable "max_instances" {
  description = "Most core and task nodes that managed scaling goes up to. Null: the fewest."
  type        = number
  default     = null
  validation {
    condition     = var.max_instances == null ? true : var.max_instances >= coalesce(var.min_instances, var.instance_count)
    error_message = "max_instances must not be less than min_instances, or instance_count where that is not given."
  }
}

variable "vpc_id" {
  description = "A network that exists. Empty: one is made, with private subnets and endpoints only."
  type        = string
  default     = ""
  nullable    = false
  validation {
    condition     = var.vpc_id == "" || can(regex("^vpc-[0-9a-z]+$", var.vpc_id))
    error_message = "vpc_id must look like vpc-0a1b2c3d."
  }
}

variable "subnet_ids" {
  description = "Private subnets of vpc_id, which reach S3, EMR, KMS, CloudWatch Logs and STS. EMR chooses one. Given with vpc_id, or not at all."
  type        = list(string)
  default     = []
  nullable    = false
  validation {
    condition     = alltrue([for id in var.subnet_ids : can(regex("^subnet-[0-9a-z]+$", id))]) && (length(var.subnet_ids) > 0) == (var.vpc_id != "")
    error_message = "subnet_ids must look like subnet-0a1b2c3d, and be given exactly where vpc_id is."
  }
}

variable "security_group_ids" {
  description = "Security groups that the nodes join besides the module's own."
  type        = list(string)
  default     = []
  nullable    = false
  validation {
    condition     = alltrue([for id in var.security_group_ids : can(regex("^sg-[0-9a-z-]+$", id))])
    error_message = "security_group_ids must look like sg-0a1b2c3d."
  }
}

variable "enable_spot_instances" {
  description = "Whether scaling takes spot instances beyond the fewest nodes. Primary and core nodes are on demand always."
  type        = bool
  default     = false
  nullable    = false
}

# What the operator says.

variable "in_transit_certificates" {
  description = "s3:// address of the zip file of PEM certificates by which nodes encrypt what they send each other."
  type        = string
  validation {
    condition     = can(regex("^s3://[^/*?]+/[^*?]+\\.zip$", var.in_transit_certificates))
    error_message = "in_transit_certificates must be s3://BUCKET/KEY.zip."
  }
}

variable "release_label" {
  description = "EMR release. 7.0 and later have metadata of version 2 only."
  type        = string
  default     = "emr-7.10.0"
  nullable    = false
  validation {
    condition     = can(regex("^emr-([7-9]|[1-9][0-9])\\.[0-9]+\\.[0-9]+$", var.release_label))
    error_message = "release_label must be emr-7.0.0 or later."
  }
}

variable "vpc_cidr" {
  description = "Addresses of the network that is made; a private range from /16 to /24."
  type        = string
  default     = "10.80.0.0/20"
  nullable    = false
  validation {
    condition     = can(cidrnetmask(var.vpc_cidr)) && can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.).*/(1[6-9]|2[0-4])$", var.vpc_cidr))
    error_message = "vpc_cidr must be a private IPv4 range from /16 to /24."
  }
}

variable "data_kms_key_arns" {
  description = "Keys that the data bucket and the certificates are encrypted with, where they are not S3's own."
  type        = list(string)
  default     = []
  nullable    = false
  validation {
    condition     = alltrue([for arn in var.data_kms_key_arns : can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[0-9a-z-]+$", arn))])
    error_message = "data_kms_key_arns must be ARNs of keys, not aliases or wildcards."
  }
}

variable "instance_policy_arns" {
  description = "Policies that the nodes' role gets besides its own, such as for the Glue catalogue."
  type        = list(string)
  default     = []
  nullable    = false
  validation {
    condition     = alltrue([for arn in var.instance_policy_arns : can(regex("^arn:aws[a-z-]*:iam::", arn)) && !endswith(arn, "/AdministratorAccess")])
    error_message = "instance_policy_arns must be ARNs of IAM policies, and not AdministratorAccess."
  }
}

variable "log_retention_days" {
  description = "Days that logs are kept, in the bucket and in CloudWatch."
  type        = number
  default     = 365
  nullable    = false
  validation {
    condition     = contains([365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one that CloudWatch knows, from 365: 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653."
  }
}

variable "idle_timeout_seconds" {
  description = "Seconds without work after which the cluster ends itself; 0: never, and then it is protected from being ended by mistake."
  type        = number
  default     = 0
  nullable    = false
  validation {
    condition     = var.idle_timeout_seconds == 0 || (var.idle_timeout_seconds >= 60 && var.idle_timeout_seconds <= 604800)
    error_message = "idle_timeout_seconds must be 0 or from 60 to 604800."
  }
}

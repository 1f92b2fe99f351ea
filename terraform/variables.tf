variable "admin_cidr" {
  type        = string
  description = "Network from which the operator reaches ssh and the processor's API."

  validation {
    condition     = can(cidrnetmask(var.admin_cidr)) && !endswith(var.admin_cidr, "/0")
    error_message = "The admin_cidr must be an IPv4 network such as 203.0.113.7/32, and not the whole world."
  }
}

variable "ami_ids" {
  type = object({
    kafka     = string
    mongo     = string
    processor = string
    producers = string
  })
  description = "AMI per role, by id; written by a release."

  validation {
    condition     = alltrue([for id in values(var.ami_ids) : can(regex("^ami-[0-9a-f]{8,17}$", id))])
    error_message = "Each of ami_ids must be an AMI id such as ami-0123456789abcdef0."
  }
}

variable "data_volume_size_gb" {
  type        = number
  description = "Volume in GiB that kafka and mongo each keep their data on; it can grow, not shrink."
  default     = 8

  validation {
    condition     = var.data_volume_size_gb >= 1 && var.data_volume_size_gb <= 16384 && floor(var.data_volume_size_gb) == var.data_volume_size_gb
    error_message = "The data_volume_size_gb must be a whole number from 1 to 16384."
  }
}

variable "instance_types" {
  type = object({
    kafka     = optional(string, "t3.small")
    mongo     = optional(string, "t3.small")
    processor = optional(string, "t3.micro")
    producers = optional(string, "t3.micro")
  })
  description = "Instance type per role; x86-64."
  default     = {}
}

variable "metadata_hop_limit" {
  type        = number
  description = "How many hops a metadata token may travel; 1 keeps it from containers."
  default     = 1

  validation {
    condition     = var.metadata_hop_limit >= 1 && var.metadata_hop_limit <= 64
    error_message = "The metadata_hop_limit must be from 1 to 64."
  }
}

variable "processor_count" {
  type        = number
  description = "Processor machines; they share the partitions of both topics."
  default     = 1

  validation {
    condition     = var.processor_count >= 1 && var.processor_count <= 8 && floor(var.processor_count) == var.processor_count
    error_message = "The processor_count must be a whole number from 1 to 8."
  }

  # 4 is what is baked for topic_partitions.
  validation {
    condition     = var.processor_count <= 2 * coalesce(var.topic_partitions, 4)
    error_message = "The processor_count must not be more than the partitions of both topics (twice topic_partitions, which is 4 by default): one without a partition has nothing to do."
  }
}

variable "public_ip" {
  type        = bool
  description = "Give machines a public address and the subnet a way out; for trying things."
  default     = false
}

variable "release" {
  type        = string
  description = "Version of the release that ami_ids belong to."

  validation {
    condition     = can(regex("^[0-9]{4}\\.[0-9]{2}\\.[0-9]{2}(\\.[0-9]+)?$", var.release))
    error_message = "The release must be a calendar version such as 2026.11.24 or 2026.11.24.2."
  }
}

variable "ssh_public_key" {
  type        = string
  description = "The operator's public key, in OpenSSH's form."

  validation {
    condition     = can(regex("^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp256) ", var.ssh_public_key))
    error_message = "The ssh_public_key must begin with ssh-ed25519, ssh-rsa or ecdsa-sha2-nistp256."
  }
}

variable "stack" {
  type        = string
  description = "Name of this deployment; part of names and tags."
  default     = "bullion"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}$", var.stack))
    error_message = "The stack must be lower-case letters, digits and dashes, at most 31, a letter first."
  }
}

variable "volume_size_gb" {
  type        = number
  description = "Root volume of each machine in GiB."
  default     = 8

  validation {
    condition     = var.volume_size_gb >= 8 && var.volume_size_gb <= 16384
    error_message = "The volume_size_gb must be from 8 to 16384."
  }
}

variable "vpc_cidr" {
  type        = string
  description = "Network of the VPC; its second /24 holds the machines."
  default     = "10.20.0.0/16"

  validation {
    condition     = can(cidrsubnet(var.vpc_cidr, 8, 1)) && can(regex("/1[6-9]$|/20$", var.vpc_cidr))
    error_message = "The vpc_cidr must be an IPv4 network from /16 to /20, such as 10.20.0.0/16."
  }
}

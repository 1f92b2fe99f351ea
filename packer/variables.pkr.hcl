variable "ami_name" {
  type        = string
  description = "Name of the AMI; must not exist yet."
}

variable "instance_type" {
  type        = string
  description = "Type of the builder."
  default     = "t3.small"
}

variable "polling" {
  type        = object({ delay_seconds = number, max_attempts = number })
  description = "How to wait on EC2; null leaves the plugin's own pace."
  default     = null
}

variable "region" {
  type        = string
  description = "AWS region."
}

variable "role" {
  type        = string
  description = "What is baked: base, or one of the four roles on top of it."
  validation {
    condition     = contains(["base", "kafka", "mongo", "processor", "producers"], var.role)
    error_message = "The role must be one of: base, kafka, mongo, processor, producers."
  }
}

variable "run_tags" {
  type        = map(string)
  description = "Tags of everything that exists only while baking; the janitor goes by them."
}

variable "source_ami" {
  type        = string
  description = "The AMI to start from, by id: Debian 13 for base, base for the roles."
  validation {
    condition     = can(regex("^ami-[0-9a-f]{8,17}$", var.source_ami))
    error_message = "The source_ami must be an AMI id such as ami-0123456789abcdef0."
  }
}

variable "ssh_interface" {
  type        = string
  description = "Which address of the builder Packer logs in to."
  validation {
    condition     = contains(["public_ip", "private_ip"], var.ssh_interface)
    error_message = "The ssh_interface must be public_ip or private_ip."
  }
}

variable "ssh_source_cidrs" {
  type        = list(string)
  description = "Where ssh to the builder may come from; anywhere if empty."
  default     = []
}

variable "stage_dir" {
  type        = string
  description = "Local folder with rootfs/ (copied onto /) and images/ (docker archives)."
}

variable "subnet_id" {
  type        = string
  description = "Subnet with a way out to build in; null for the default VPC."
  default     = null
}

variable "tags" {
  type        = map(string)
  description = "Tags of the AMI and its snapshots."
}

variable "volume_size_gb" {
  type        = number
  description = "Root volume in GiB."
  default     = 8
}

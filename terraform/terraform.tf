terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }

  # Bucket, key and region come by -backend-config, on both targets.
  backend "s3" {
    use_lockfile = true
  }
}

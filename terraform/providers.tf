# Region, credentials and, in the lab, the endpoint come from the environment.
provider "aws" {
  default_tags {
    tags = {
      "bullion:stack" = var.stack
    }
  }
}

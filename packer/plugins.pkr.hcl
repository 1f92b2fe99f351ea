packer {
  required_version = ">= 1.11"
  required_plugins {
    amazon = {
      # Exactly: 1.8.1 relays output fifty times slower than its neighbours.
      version = "= 1.8.2"
      source  = "github.com/hashicorp/amazon"
    }
  }
}

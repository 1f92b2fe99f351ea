"""What bake, Terraform, machines and tests agree on; standard library and errors only."""

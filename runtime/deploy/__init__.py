"""Terraform: apply a release, look at it, take it away."""

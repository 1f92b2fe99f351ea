"""The EC2 actions that the lab carries out itself, beyond moto's records."""

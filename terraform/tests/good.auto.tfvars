# What every test here is planned with, unless it says otherwise.
admin_cidr     = "203.0.113.7/32"
release        = "2026.11.24"
ssh_public_key = "ssh-ed25519 AAAA operator"
ami_ids = {
  kafka     = "ami-00000001"
  mongo     = "ami-00000002"
  processor = "ami-00000003"
  producers = "ami-00000004"
}

source "amazon-ebs" "golden" {
  ami_name        = var.ami_name
  ami_description = "Bullion ${var.role}"
  instance_type   = var.instance_type
  region          = var.region
  source_ami      = var.source_ami
  subnet_id       = var.subnet_id

  # IMDSv2 on the builder, and on whatever is launched from the AMI.
  imds_support = "v2.0"
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  # Encrypted as it is launched: `encrypt_boot` would copy the whole AMI once more.
  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_size           = var.volume_size_gb
    volume_type           = "gp3"
    encrypted             = true
    delete_on_termination = true
  }
  # A builder that outlives Packer ends when it is shut down, and bills nothing.
  shutdown_behavior = "terminate"

  communicator                          = "ssh"
  ssh_interface                         = var.ssh_interface
  ssh_timeout                           = "5m"
  ssh_username                          = "admin"
  temporary_key_pair_type               = "ed25519"
  temporary_security_group_source_cidrs = var.ssh_source_cidrs

  dynamic "aws_polling" {
    for_each = var.polling == null ? [] : [var.polling]
    content {
      delay_seconds = aws_polling.value.delay_seconds
      max_attempts  = aws_polling.value.max_attempts
    }
  }

  run_tags        = var.run_tags
  run_volume_tags = var.run_tags
  tags            = var.tags
  snapshot_tags   = var.tags
}

resource "aws_key_pair" "operator" {
  key_name   = var.stack
  public_key = var.ssh_public_key
}

# An interface of its own keeps a machine's address over its replacement.
resource "aws_network_interface" "role" {
  for_each = local.machines

  subnet_id       = aws_subnet.machines.id
  description     = "${var.stack} ${each.key}"
  private_ips     = [local.addresses[each.key]]
  security_groups = [aws_security_group.role[each.value].id]

  tags = { Name = "${var.stack}-${each.key}" }
}

resource "aws_eip" "role" {
  for_each = { for name, role in local.machines : name => role if var.public_ip }

  domain            = "vpc"
  network_interface = aws_network_interface.role[each.key].id

  tags = { Name = "${var.stack}-${each.key}" }

  depends_on = [aws_internet_gateway.main]
}

resource "aws_instance" "role" {
  for_each = local.machines

  ami                         = var.ami_ids[each.value]
  instance_type               = var.instance_types[each.value]
  key_name                    = aws_key_pair.operator.key_name
  user_data                   = local.user_data[each.value]
  user_data_replace_on_change = true

  network_interface {
    network_interface_id = aws_network_interface.role[each.key].id
    device_index         = 0
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = var.metadata_hop_limit
    instance_metadata_tags      = "enabled"
  }

  root_block_device {
    encrypted             = true
    volume_type           = "gp3"
    volume_size           = var.volume_size_gb
    delete_on_termination = true
    tags                  = { Name = "${var.stack}-${each.key}", "bullion:stack" = var.stack }
  }

  tags = merge(local.parameter_tags[each.value], {
    Name              = "${var.stack}-${each.key}"
    "bullion:role"    = each.value
    "bullion:release" = var.release
  })
}

# Depends on nothing that a destroy takes away, so that it can stay.
resource "aws_ebs_volume" "data" {
  for_each = local.data_roles

  availability_zone = local.zone
  encrypted         = true
  size              = var.data_volume_size_gb
  type              = "gp3"

  tags = {
    Name           = "${var.stack}-${each.key}-data"
    "bullion:role" = each.key

    # Whoever wrote last, so that a release which can't read it is not launched on it.
    "bullion:release" = var.release
  }

  lifecycle {
    # `./invoke destroy --data` lifts this; nothing else does.
    prevent_destroy = true

    # Which zone is the first may change, and data can't move.
    ignore_changes = [availability_zone]
  }
}

resource "aws_volume_attachment" "data" {
  for_each = local.data_roles

  device_name = "/dev/sdf"
  instance_id = aws_instance.role[each.key].id
  volume_id   = aws_ebs_volume.data[each.key].id

  # A machine that is replaced shuts its store down before it gives the data away.
  stop_instance_before_detaching = true
}

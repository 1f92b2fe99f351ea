resource "aws_security_group" "role" {
  for_each = local.roles

  name        = "${var.stack}-${each.key}"
  description = "Machines of the role ${each.key}"
  vpc_id      = aws_vpc.main.id

  tags = { Name = "${var.stack}-${each.key}" }
}

resource "aws_vpc_security_group_ingress_rule" "flow" {
  for_each = local.flows

  security_group_id            = aws_security_group.role[each.value.to].id
  description                  = "${each.value.from} to ${each.value.to}"
  referenced_security_group_id = aws_security_group.role[each.value.from].id
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

resource "aws_vpc_security_group_egress_rule" "flow" {
  for_each = local.flows

  security_group_id            = aws_security_group.role[each.value.from].id
  description                  = "${each.value.from} to ${each.value.to}"
  referenced_security_group_id = aws_security_group.role[each.value.to].id
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

resource "aws_vpc_security_group_ingress_rule" "admin" {
  for_each = local.admin_flows

  security_group_id = aws_security_group.role[each.value.to].id
  description       = "Operator to ${each.value.to}"
  cidr_ipv4         = var.admin_cidr
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
}

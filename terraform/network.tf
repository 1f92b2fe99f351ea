# Zones of the region itself: an account may have opted in to Local and Wavelength Zones.
data "aws_availability_zones" "available" {
  state = "available"

  filter {
    name   = "zone-type"
    values = ["availability-zone"]
  }
}

resource "aws_vpc" "main" {
  cidr_block           = var.vpc_cidr
  enable_dns_hostnames = true

  tags = { Name = var.stack }
}

# The default group would let its members reach each other: emptied, so that nobody relies on it.
resource "aws_default_security_group" "unused" {
  vpc_id = aws_vpc.main.id
}

# Where the data is, as a volume can't be attached across zones.
resource "aws_subnet" "machines" {
  vpc_id            = aws_vpc.main.id
  availability_zone = aws_ebs_volume.data["kafka"].availability_zone
  cidr_block        = local.subnet_cidr

  tags = { Name = "${var.stack}-machines" }
}

# Private: no route but the VPC's own, unless public addresses are asked for.
resource "aws_route_table" "machines" {
  vpc_id = aws_vpc.main.id

  tags = { Name = "${var.stack}-machines" }
}

resource "aws_route_table_association" "machines" {
  subnet_id      = aws_subnet.machines.id
  route_table_id = aws_route_table.machines.id
}

resource "aws_internet_gateway" "main" {
  count = var.public_ip ? 1 : 0

  vpc_id = aws_vpc.main.id

  tags = { Name = var.stack }
}

resource "aws_route" "out" {
  count = var.public_ip ? 1 : 0

  route_table_id         = aws_route_table.machines.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.main[0].id
}

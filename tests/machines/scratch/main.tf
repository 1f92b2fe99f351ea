# Plain resources as anybody writes them, none of them made for the lab: what Terraform's AWS
# provider thinks of it. test_drift.py applies this, changes one variable at a time, and wants an
# empty plan after each.

terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

provider "aws" {
  default_tags { tags = { purpose = "scratch" } }
}

variable "vpc_cidr" { type = string }
variable "public_key" { type = string }

variable "instance_type" {
  type    = string
  default = "t3.micro"
}

variable "user_data" {
  type    = string
  default = "#cloud-config\n{}"
}

variable "extra_group" {
  type    = bool
  default = false
}

variable "hop_limit" {
  type    = number
  default = 1
}

variable "protected" {
  type    = bool
  default = false
}

variable "label" {
  type    = string
  default = "one"
}

variable "size_gb" {
  type    = number
  default = 1
}

data "aws_availability_zones" "available" { state = "available" }

data "aws_ami" "debian" {
  most_recent = true
  owners      = ["136693071363"]

  filter {
    name   = "name"
    values = ["debian-13-amd64-*"]
  }
  filter {
    name   = "architecture"
    values = ["x86_64"]
  }
  filter {
    name   = "root-device-type"
    values = ["ebs"]
  }
  filter {
    name   = "virtualization-type"
    values = ["hvm"]
  }
}

resource "aws_key_pair" "scratch" {
  key_name   = "scratch"
  public_key = var.public_key
}

resource "aws_vpc" "scratch" {
  cidr_block = var.vpc_cidr
}

resource "aws_internet_gateway" "scratch" {
  vpc_id = aws_vpc.scratch.id
}

resource "aws_route_table" "scratch" {
  vpc_id = aws_vpc.scratch.id

  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.scratch.id
  }
}

resource "aws_subnet" "scratch" {
  vpc_id            = aws_vpc.scratch.id
  availability_zone = data.aws_availability_zones.available.names[0]
  cidr_block        = cidrsubnet(var.vpc_cidr, 4, 8)
}

resource "aws_route_table_association" "scratch" {
  subnet_id      = aws_subnet.scratch.id
  route_table_id = aws_route_table.scratch.id
}

# Rules inside the group…
resource "aws_security_group" "inline" {
  name   = "scratch-inline"
  vpc_id = aws_vpc.scratch.id

  ingress {
    description = "members among themselves"
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    self        = true
  }
  ingress {
    description = "ssh from two networks"
    from_port   = 22
    to_port     = 22
    protocol    = "tcp"
    cidr_blocks = [cidrsubnet(var.vpc_cidr, 4, 8), "198.51.100.0/24"]
  }
  ingress {
    description = "echo"
    from_port   = 8
    to_port     = -1
    protocol    = "icmp"
    cidr_blocks = ["0.0.0.0/0"]
  }
  egress {
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }
}

# …and as resources of their own.
resource "aws_security_group" "apart" {
  name   = "scratch-apart"
  vpc_id = aws_vpc.scratch.id
}

resource "aws_vpc_security_group_ingress_rule" "apart" {
  security_group_id            = aws_security_group.apart.id
  description                  = "from the other group"
  referenced_security_group_id = aws_security_group.inline.id
  ip_protocol                  = "udp"
  from_port                    = 5000
  to_port                      = 5010
}

resource "aws_instance" "by_address" {
  ami                     = data.aws_ami.debian.id
  instance_type           = var.instance_type
  key_name                = aws_key_pair.scratch.key_name
  subnet_id               = aws_subnet.scratch.id
  private_ip              = cidrhost(aws_subnet.scratch.cidr_block, 20)
  vpc_security_group_ids  = concat([aws_security_group.inline.id], var.extra_group ? [aws_security_group.apart.id] : [])
  user_data               = var.user_data
  disable_api_termination = var.protected

  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = var.hop_limit
    instance_metadata_tags      = "enabled"
  }

  root_block_device {
    encrypted   = true
    volume_type = "gp3"
    volume_size = 8 + var.size_gb
  }

  tags = { Name = "by-address", label = var.label }
}

resource "aws_network_interface" "scratch" {
  subnet_id       = aws_subnet.scratch.id
  private_ips     = [cidrhost(aws_subnet.scratch.cidr_block, 21)]
  security_groups = concat([aws_security_group.apart.id], var.extra_group ? [aws_security_group.inline.id] : [])

  tags = { label = var.label }
}

# Without user data: of an instance that has it by template alone, the provider (5.100) plans the
# hash of the hash that it reads, for ever and anywhere.
resource "aws_launch_template" "scratch" {
  name                   = "scratch"
  image_id               = data.aws_ami.debian.id
  instance_type          = "t3.micro"
  key_name               = aws_key_pair.scratch.key_name
  vpc_security_group_ids = [aws_security_group.inline.id]
  update_default_version = true

  metadata_options {
    http_tokens = "required"
  }
}

resource "aws_instance" "by_interface" {
  ami           = data.aws_ami.debian.id
  instance_type = "t3.micro"

  network_interface {
    network_interface_id = aws_network_interface.scratch.id
    device_index         = 0
  }

  root_block_device {
    volume_size = 8
  }
}

resource "aws_instance" "by_template" {
  subnet_id = aws_subnet.scratch.id

  launch_template {
    id      = aws_launch_template.scratch.id
    version = "$Default"
  }

  root_block_device {
    volume_size = 8
  }
}

resource "aws_eip" "scratch" {
  domain   = "vpc"
  instance = aws_instance.by_address.id

  depends_on = [aws_internet_gateway.scratch]
}

resource "aws_ebs_volume" "scratch" {
  availability_zone = aws_subnet.scratch.availability_zone
  size              = var.size_gb
  type              = "gp3"
  encrypted         = true

  tags = { label = var.label }
}

resource "aws_volume_attachment" "scratch" {
  device_name = "/dev/sdf"
  volume_id   = aws_ebs_volume.scratch.id
  instance_id = aws_instance.by_address.id
}

resource "aws_ebs_snapshot" "scratch" {
  volume_id = aws_ebs_volume.scratch.id

  tags = { label = var.label }

  depends_on = [aws_volume_attachment.scratch]
}

resource "aws_ebs_volume" "copy" {
  availability_zone = aws_subnet.scratch.availability_zone
  snapshot_id       = aws_ebs_snapshot.scratch.id
  size              = 2
}

resource "aws_ami_from_instance" "scratch" {
  name               = "scratch"
  source_instance_id = aws_instance.by_interface.id

  tags = { label = var.label }
}

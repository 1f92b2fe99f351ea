output "machines" {
  description = "Per role: instance id, private address, public address or null."
  value = {
    for role in local.roles : role => {
      id             = aws_instance.role[role].id
      address        = local.addresses[role]
      public_address = var.public_ip ? aws_eip.role[role].public_ip : null
      ami            = aws_instance.role[role].ami
    }
  }
}

output "release" {
  description = "Version of the release that runs."
  value       = var.release
}

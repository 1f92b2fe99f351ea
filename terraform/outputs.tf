output "machines" {
  description = "Per machine: instance id, private address, public address or null."
  value = {
    for name in keys(local.machines) : name => {
      id             = aws_instance.role[name].id
      address        = local.addresses[name]
      public_address = var.public_ip ? aws_eip.role[name].public_ip : null
      ami            = aws_instance.role[name].ami
    }
  }
}

output "release" {
  description = "Version of the release that runs."
  value       = var.release
}

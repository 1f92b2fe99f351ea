# The order is the point: what is validated is what is shipped, so cleanup, validate and manifest
# come last and nothing touches the machine after them.
build {
  sources = ["source.amazon-ebs.golden"]

  provisioner "shell" {
    execute_command = local.as_root
    script          = "${path.root}/provisioners/wait-for-boot.sh"
  }

  provisioner "file" {
    source      = "${var.stage_dir}/"
    destination = "/var/tmp/bullion"
  }

  provisioner "shell" {
    execute_command  = local.as_root
    environment_vars = ["BULLION_ROLE=${var.role}", "BULLION_STAGE=/var/tmp/bullion"]
    scripts = [
      "${path.root}/provisioners/install-packages.sh",
      "${path.root}/provisioners/install-rootfs.sh",
      "${path.root}/provisioners/load-images.sh",
      "${path.root}/provisioners/enable-units.sh",
      "${path.root}/provisioners/take-inventory.sh",
      "${path.root}/provisioners/cleanup.sh",
      "${path.root}/provisioners/validate.sh",
      "${path.root}/provisioners/write-manifest.sh",
    ]
  }
}

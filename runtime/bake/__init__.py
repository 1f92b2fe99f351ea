"""Images → rootfs → key → Packer → AMI."""

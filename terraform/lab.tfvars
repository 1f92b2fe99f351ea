# The lab's operator is this computer, which its networks see at the subnet's first address.
admin_cidr = "10.20.1.1/32"

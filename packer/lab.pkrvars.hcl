# The lab's builders are reached at their own address, from this computer only.
ssh_interface    = "private_ip"
ssh_source_cidrs = ["172.31.0.1/32"]

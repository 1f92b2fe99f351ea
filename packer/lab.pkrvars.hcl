# The lab's builders are reached at their own address. Which subnet they are in, and the one address
# that ssh may come from, the lab decides when it starts and passes before this file.
ssh_interface = "private_ip"

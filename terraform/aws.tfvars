# Your own address, so that ssh and the API are yours alone.
admin_cidr = "203.0.113.7/32"
# Without a VPN or Direct Connect into the VPC the machines are reached by public addresses;
# a trial stack always is.
public_ip = true

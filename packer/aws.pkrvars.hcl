# Builders get a public address in the default VPC, and ssh to it may come from anywhere; narrow that
# to your own network: ssh_source_cidrs = ["203.0.113.7/32"].
ssh_interface = "public_ip"
# Fewer, more patient questions: an AMI takes minutes.
polling = { delay_seconds = 15, max_attempts = 240 }

# Builders get a public address in the default VPC; narrow ssh_source_cidrs to your own network.
ssh_interface    = "public_ip"
ssh_source_cidrs = ["0.0.0.0/0"]
# Fewer, more patient questions: an AMI takes minutes.
polling = { delay_seconds = 15, max_attempts = 240 }

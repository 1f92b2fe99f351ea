# vpc_cidr and admin_cidr the lab decides when it starts (.lab/lab.tfvars.json): what stands here wins.

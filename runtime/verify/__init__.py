"""What must be true of a running stack, asked on the machines themselves."""

"""The lab: EC2 on this computer, with machines that really boot."""

"""Machines of the lab: containers, disks, volumes, networks and their rules on this computer."""

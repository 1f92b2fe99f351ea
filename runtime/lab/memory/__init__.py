"""What outlives the lab's process: moto's journal and the lab's own records."""

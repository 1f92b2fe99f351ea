"""The real images under load while they are killed, hung, cut off and restarted at random.

`./invoke soak` runs it, round after round. A round is made from the seed and its number alone, so a
run can be repeated. After each one Kafka has confirmed everything, and all of it is in the store
exactly once, as its document or as its dead letter, and nothing else is.
"""

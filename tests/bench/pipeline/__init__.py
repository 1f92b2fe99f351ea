"""How fast messages get from a real broker into a store: ours, Kafka Connect, and a plain loop.

`./invoke bench.pipeline` runs it. All three take the same messages from the same broker into the
same sinks. Figures are this computer's at this moment; ratios of one run are what can be compared.
"""

"""What an artifact costs: latency, memory, energy, each measured in its own fresh process.

Nothing is imported here: the measuring process must hold the runtime and nothing else, and on a device there is
nothing else.
"""

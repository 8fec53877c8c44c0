"""Other forms of what a network computes, with the same result, that some runtimes compute faster or closer.

One file each; ``Style`` says which of them a runtime wants, and ``quantization.program`` writes them.
"""

from edgekit.runtimes.forms import depthwise, moves, norms, tokens

__all__ = ["depthwise", "moves", "norms", "tokens"]

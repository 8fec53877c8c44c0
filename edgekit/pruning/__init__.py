"""Structured pruning: which channels belong together, which of them matter least, and how they are taken out."""

"""edgekit: compress a trained medical-imaging model, verify the exported artifact, measure and report it."""

from __future__ import annotations

__version__ = "0.1.0"

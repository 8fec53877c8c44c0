"""``edgekit bench --import``: measurements that were taken elsewhere, with their provenance."""

from edgekit.imports.add import add

__all__ = ["add"]

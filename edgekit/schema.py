"""The base of everything that a person writes in YAML: frozen, and no unknown keys."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Immutable; refuses keys it does not know and values of the wrong type."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

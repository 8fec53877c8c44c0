"""The stage that looks at the data itself, before any model does."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from edgekit import store
from edgekit.data import hygiene
from edgekit.data.prepared import Prepared
from edgekit.errors import InputError, MissingError
from edgekit.progress import Update
from edgekit.stages import Stages
from edgekit.store import Finished


def check(
    stages: Stages, data: Finished, prepared: Prepared, leakage: Literal["warn", "error", "ignore"]
) -> tuple[dict[str, Any], list[str]]:
    """Duplicates in the data, for the record, and the warnings about them.

    Args:
        stages: of the run.
        data: the stage of the prepared data.
        prepared: the data.
        leakage: of the recipe's ``data``.

    Returns:
        What ``data.hygiene.findings`` gives, or ``not_measured`` with the reason.

    Raises:
        InputError: two splits share images, and the recipe says ``leakage: error``.
    """
    if leakage == "ignore":
        return {"not_measured": "the recipe says data.leakage: ignore"}, []
    key = {
        "data": data.key,
        "code": store.code_sha256("data", "hygiene.py"),
        "versions": store.versions("numpy", "pillow", "scipy", "ImageHash"),
    }

    def work(folder: Path, update: Update) -> dict[str, Any]:
        found = hygiene.findings(prepared, update)
        said = hygiene.warnings(found)
        return {"findings": found, "note": "; ".join(said) or "no image in two splits"}

    try:
        found: dict[str, Any] = stages.run("hygiene", "hygiene", key, work).result["findings"]
    except MissingError as error:
        if leakage == "error":
            raise
        return {"not_measured": str(error)}, []
    said = hygiene.warnings(found)
    if said and leakage == "error":
        remedy = "split the data again, or say 'leakage: warn' to go on all the same"
        raise InputError("; ".join(said), where="data.leakage", remedy=remedy)
    return found, said

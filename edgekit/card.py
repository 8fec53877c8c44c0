"""What travels with an artifact: ``model.json``, which says how it is used, and an example that uses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgekit import outputs, store, templates
from edgekit.recipe import Recipe
from edgekit.runtimes.base import Exported
from edgekit.variant import Variant

_EXAMPLE = Path(__file__).parent / "runtimes" / "example.py.j2"
#: The package that runs the artifact, for runtimes that have an example.
_PACKAGES = {
    "coreml": "coremltools",
    "executorch": "executorch, torch",
    "litert": "ai-edge-litert",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
}
_HINTS = {"bf16": "bf16", "fp16": "f16"}


def write(folder: Path, variant: Variant, exported: Exported, recipe: Recipe) -> dict[str, Any]:
    """Write both into the artifact's folder, and return the card.

    A network that works on windows gets no example: to cut an image and join the answers takes more than a page.
    """
    files = [one for one in sorted(folder.rglob("*")) if one.is_file()]
    written = {
        "artifact": variant.name,
        "target": variant.target.name,
        "runtime": variant.target.runtime,
        "precision": variant.precision,
        "options": {**variant.target.options, **variant.options},
        "file": exported.path.name,
        "inputs": [spec.model_dump(mode="json") for spec in exported.inputs],
        "outputs": [spec.model_dump(mode="json") for spec in exported.outputs],
        # Of inputs whose size is open (-1).
        **({"sizes": exported.details["sizes"]} if "sizes" in exported.details else {}),
        "preprocessing": recipe.input.model_dump(mode="json"),
        "classes": list(recipe.task.classes),
        "sha256": {one.relative_to(folder).as_posix(): store.file_sha256(one) for one in files},
    }
    (folder / outputs.CARD).write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    if variant.target.runtime in _PACKAGES and recipe.input.fit == "resize":
        (folder / outputs.EXAMPLE).write_text(_example(variant, recipe), encoding="utf-8")
    return written


def _example(variant: Variant, recipe: Recipe) -> str:
    # A program, no page; every value is one of a few words of ours.
    library = variant.runtime.native_library(variant.target) if variant.native else None
    made = templates.environment(_EXAMPLE.parent)
    return made.get_template(_EXAMPLE.name).render(
        runtime=variant.target.runtime,
        package=_PACKAGES[variant.target.runtime],
        hint=variant.options.get("INFERENCE_PRECISION_HINT", _HINTS.get(variant.precision, "f32")),
        per_image=recipe.input.normalization == "per_image",
        dense=recipe.task.kind == "segmentation",
        library=library.file if library else "",
        build=library.command() if library else "",
    )

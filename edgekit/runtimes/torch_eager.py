"""PyTorch in eager mode on the CPU: the reference that every artifact is compared with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import MissingError
from edgekit.runtimes import support
from edgekit.runtimes.base import Executed, Exported, Runtime

if TYPE_CHECKING:
    from edgekit.model import Model
    from edgekit.runtimes.base import Setting
    from edgekit.target import Precision, Target


class TorchEager(Runtime):
    """The saved model (``model.json`` and safetensors) as it is."""

    name = "torch_eager"
    packages: tuple[str, ...] = ("torch", "timm", "safetensors")

    def cannot_export(self, target: Setting) -> str | None:
        """See ``Runtime``."""
        return support.missing({"torch": "torch", "timm": "timm", "safetensors": "safetensors"}, "torch")

    cannot_run = cannot_export

    def export(self, model: Model, target: Target, precision: Precision, folder: Path) -> Exported:
        """Save the model itself."""
        path = folder / "model"
        path.mkdir()
        model.save(path)
        inputs, outputs = support.specs(model)
        return Exported(path, inputs, outputs, {"format": "model.json + safetensors"})

    def load(self, path: Path, target: Setting, precision: Precision) -> _Session:
        """Rebuild the model and set torch's thread count."""
        return _Session(path, target)

    def check(self, path: Path, target: Setting, precision: Precision) -> _ExactSession:
        """The same for what others are compared with; see ``exact_norms``."""
        return _ExactSession(path, target)


class _Session:
    def __init__(self, path: Path, target: Setting) -> None:
        try:
            import torch
        except ImportError:
            raise MissingError("torch is not installed", remedy="pip install 'edgekit[torch]'") from None
        from edgekit.model import Model

        torch.set_num_threads(support.threads(target.threads))
        module = target.options.get("module")
        self._torch = torch
        self._network = Model.load(path, str(module) if module else None).network.eval()

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        with self._torch.inference_mode():
            result: NDArray[np.float32] = self._network(self._torch.from_numpy(batch)).numpy()
        return result

    def executed(self) -> Executed:
        kinds = [str(p.dtype).removeprefix("torch.") for p in self._network.parameters() if p.ndim > 1]
        names = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
        layers = {names.get(kind, kind): kinds.count(kind) for kind in sorted(set(kinds))}
        return Executed(
            max(layers, key=lambda k: layers[k]), layers, "the types of the weights, which eager mode keeps"
        )


class _ExactSession(_Session):
    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        from edgekit.exact_norms import ExactNorms

        with ExactNorms():
            return super().run(batch)

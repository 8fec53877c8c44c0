"""A model: an architecture, the structural edits made to it, and its weights. Saved and rebuilt without pickle."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit import checkpoint, counts, matching, store, zoo
from edgekit.errors import InputError, missing_package

if TYPE_CHECKING:
    from torch import nn

    from edgekit.data.base import Preprocessing
    from edgekit.recipe import ModelConfig
    from edgekit.target import Axis

FORMAT = 1
#: Numbers in the inputs that are computed at a time.
_AT_ONCE = 2**23
Task = Literal["classification", "segmentation"]
DESCRIPTION = "model.json"
WEIGHTS = "weights.safetensors"
_BROKEN = "the folder was altered; make it again"


@dataclass(frozen=True)
class Model:
    """A network and all that is needed to build it again.

    Attributes:
        architecture, arguments, module_path: as in ``zoo.build``; ``module_path`` is ``--module``.
        num_classes: K.
        input_size: (C, H, W), or (C, D, H, W), of one input.
        edits: what passes changed in the structure, in order; see ``passes.structural``.
        network: in eval mode, on the CPU.
        quantization: what the pass ``quantize`` found, plain JSON; none for a float model.
        task: decides what the network gives: logits ``[N, K]``, or ``[N, K, *spatial]`` for segmentation.
        dynamic: axes that its exports leave open; asked for at the export, and not saved.
        native: whether its exports have edgekit's native operators in them; likewise.
    """

    architecture: str
    arguments: dict[str, Any]
    num_classes: int
    input_size: tuple[int, ...]
    module_path: str | None
    edits: tuple[dict[str, Any], ...]
    network: nn.Module
    quantization: dict[str, Any] | None = None
    task: Task = "classification"
    dynamic: tuple[Axis, ...] = ()
    native: bool = False

    @property
    def output_size(self) -> tuple[int, ...]:
        """(K,), or (K, *spatial) for segmentation: the logits of one input."""
        return (self.num_classes, *(self.input_size[1:] if self.task == "segmentation" else ()))

    @property
    def parameter_count(self) -> int:
        """Number of trainable weights."""
        return counts.parameters(self.network)

    @property
    def at_once(self) -> int:
        """How many inputs to compute at a time: 64 small images, fewer large ones or volumes."""
        return max(1, min(64, _AT_ONCE // math.prod(self.input_size)))

    def copy(self) -> Model:
        """The same model with a network of its own, to be changed in place."""
        return replace(self, network=settle(copy.deepcopy(self.network)))

    def save(self, folder: Path) -> None:
        """Write ``model.json`` and ``weights.safetensors`` into ``folder``.

        Raises:
            DeviceError: the disk is full or cannot be written.
        """
        from safetensors.torch import save

        # Tied tensors are written once for each name: loading copies each into its place, and they are tied anew.
        tensors = {name: one.detach().contiguous().clone() for name, one in self.network.state_dict().items()}
        weights = save(tensors)
        description = {
            "format": FORMAT,
            "architecture": self.architecture,
            "arguments": self.arguments,
            "num_classes": self.num_classes,
            "task": self.task,
            "input_size": list(self.input_size),
            "module_path": self.module_path,
            "edits": list(self.edits),
            "quantization": self.quantization,
        }
        with store.atomic(folder / WEIGHTS) as temporary:
            temporary.write_bytes(weights)
        store.write_text(folder / DESCRIPTION, json.dumps(description, indent=1, allow_nan=False) + "\n")

    @classmethod
    def load(cls, folder: Path, module_path: str | None = None) -> Model:
        """Build the model that ``save`` wrote; its logits are bit for bit the same.

        Args:
            folder: what ``save`` was given.
            module_path: ``--module`` of the command line. A model made with the user's own module is built only
                when this names the same one: what a file says never decides which code runs.

        Raises:
            InputError: the files are missing, altered, or need a module that was not named.
        """
        from edgekit.passes import by_kind
        from edgekit.passes.structural import StructuralPass

        file = folder / DESCRIPTION
        try:
            said = json.loads(file.read_text(encoding="utf-8"))
            version = said["format"]
            architecture, arguments = str(said["architecture"]), dict(said["arguments"])
            num_classes, path = int(said["num_classes"]), said["module_path"]
            size = tuple(int(side) for side in said["input_size"])
            if len(size) not in (3, 4):
                raise ValueError(f"the input size {size} is neither that of an image nor that of a volume")
            task: Task = "segmentation" if said.get("task") == "segmentation" else "classification"
            edits, quantization = tuple(dict(edit) for edit in said["edits"]), said["quantization"]
        except FileNotFoundError:
            raise InputError("no model here", where=str(file), remedy="give a folder that edgekit wrote") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"is no description of a model: {error!r}", where=str(file), remedy=_BROKEN) from None
        if version != FORMAT:
            raise InputError(f"format {version!r} is unknown, this edgekit reads {FORMAT}", where=str(file))
        if architecture == zoo.MODULE and path != module_path:
            raise InputError(
                f"this model was built by '{path}', which is not what --module names ({module_path})",
                where=str(file),
                remedy=f"if you trust that code, add --module {path}",
            )
        network = zoo.build(architecture, arguments, num_classes, size[0], path)
        network.eval()
        kinds = by_kind()
        for edit in edits:
            kind = kinds.get(str(edit.get("kind")))
            if kind is None or not issubclass(kind, StructuralPass):
                raise InputError(f"the edit {edit.get('kind')!r} is unknown", where=str(file), remedy=_BROKEN)
            network = kind.replay(network, edit)
        tensors = checkpoint.read_safetensors(folder / WEIGHTS)
        try:
            network.load_state_dict(tensors, strict=True)
        except RuntimeError as error:
            raise InputError(
                f"does not fit its description: {error}", where=str(folder / WEIGHTS), remedy=_BROKEN
            ) from None
        return cls(architecture, arguments, num_classes, size, path, edits, settle(network), quantization, task)


def settle(network: nn.Module) -> nn.Module:
    """Eval mode, through training mode: some networks (LeViT, EfficientFormer) keep what they computed from
    their weights until the mode changes, and would go on using it after new weights were loaded.
    """
    return network.train().eval()


def create(
    config: ModelConfig,
    classes: tuple[str, ...],
    preprocessing: Preprocessing,
    module: str | None,
    task: Task = "classification",
) -> tuple[Model, dict[str, Any]]:
    """Build a recipe's model and load its weights.

    Args:
        config: the recipe's ``model``.
        classes: the recipe's class names.
        preprocessing: the recipe's ``input``.
        module: ``--module`` of the command line.
        task: the recipe's ``task.kind``.

    Returns:
        The model, and what became of the checkpoint: ``path``, ``match``, ``matched`` (count), ``missing`` and
        ``left_out`` (names); empty where the recipe names no checkpoint.

    Raises:
        InputError: unknown architecture, wrong arguments, an input size or number of classes that the network
            does not take, or a checkpoint that is unreadable or does not fit.
        MissingError: torch or timm is not installed.
    """
    try:
        import torch
    except ImportError:
        raise missing_package("torch", "torch") from None
    size = (preprocessing.channels, *preprocessing.size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = zoo.build(config.architecture, config.arguments, len(classes), preprocessing.channels, module)
    if config.untrained:
        from edgekit.zoo.untrained import without_zeros

        network = without_zeros(network, config.seed)
    network = settle(network.to("cpu", torch.float32))
    spatial = preprocessing.size if task == "segmentation" else ()
    _check_shapes(network, size, (len(classes), *spatial))
    report: dict[str, Any] = {}
    if config.weights is not None:
        tensors = checkpoint.read(config.weights.path)
        try:
            report = matching.load_into(
                network,
                tensors,
                num_classes=len(classes),
                match=config.weights.match,
                replace_head=config.weights.replace_head,
            )
        except InputError as error:
            raise InputError(error.problem, where=f"{config.weights.path}", remedy=error.remedy) from None
        report = {"path": str(config.weights.path), **report}
    path = module if config.architecture == zoo.MODULE else None
    arguments = dict(config.arguments)
    model = Model(
        config.architecture, arguments, len(classes), size, path, (), settle(network), quantization=None, task=task
    )
    return model, report


def _check_shapes(network: nn.Module, size: tuple[int, ...], output: tuple[int, ...]) -> None:
    import torch

    try:
        with torch.no_grad():
            given = network(torch.zeros(2, *size))
    except Exception as error:  # a network may raise anything for an input that it does not take
        raise InputError(
            f"the network does not take an input of {'x'.join(map(str, size))}: {error}",
            where="input.size",
            remedy="change input.size, or give the size in model.arguments where the network has one (img_size)",
        ) from error
    if not isinstance(given, torch.Tensor) or tuple(given.shape) != (2, *output):
        what = list(given.shape) if isinstance(given, torch.Tensor) else type(given).__name__
        wanted = "logits for each pixel" if len(output) > 1 else "one row of logits an image"
        raise InputError(
            f"for 2 images and {output[0]} classes the network must give logits {[2, *output]}, not {what}",
            where="model.architecture",
            remedy=f"use a network that returns {wanted}",
        )


def logits(model: Model, inputs: NDArray[np.float32], batch: int | None = None) -> NDArray[np.float32]:
    """Logits ``float32[n, *output_size]`` of prepared inputs ``float32[n, *input_size]``, ``batch`` at a time.

    Raises:
        InputError: a logit is not finite; names the image's index.
    """
    import torch

    from edgekit.exact_norms import ExactNorms

    rows = []
    with torch.no_grad(), ExactNorms():
        batch = batch or model.at_once
        for start in range(0, len(inputs), batch):
            part = np.ascontiguousarray(inputs[start : start + batch], dtype=np.float32)
            rows.append(model.network(torch.from_numpy(part)).float().numpy())
    found = np.concatenate(rows) if rows else np.zeros((0, *model.output_size), np.float32)
    bad = np.flatnonzero(~np.isfinite(found).all(axis=tuple(range(1, found.ndim))))
    if bad.size:
        raise InputError(
            f"the logits of {bad.size} of {len(found)} images are not finite, first those of image {bad[0]}",
            where="model",
            remedy="check its weights and the preprocessing in 'input' against those of its training",
        )
    return found

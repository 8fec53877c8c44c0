"""The figures of an epoch, on the validation split: they decide which epoch is kept and when to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data import preprocess
from edgekit.passes.base import PassError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from edgekit.training.sampling import Images
    from edgekit.training.settings import Training

_AT_ONCE = 64


def check(settings: Training, data: Images, where: str) -> None:
    """The monitored figure is defined on this validation split.

    Raises:
        PassError: ``monitor: auc`` and a class without a validation image.
    """
    present = np.bincount(data.labels("val"), minlength=len(data.classes)) > 0
    if settings.monitor == "auc" and not present.all():
        absent = [name for name, there in zip(data.classes, present, strict=True) if not there]
        raise PassError(
            f"no validation image of {', '.join(absent)}, so AUC is not defined",
            where=f"{where}.monitor",
            remedy="give images of it, or monitor balanced_accuracy",
        )


def figures(
    network: nn.Module, data: Images, settings: Training, loss_of: Any, device: torch.device
) -> dict[str, float]:
    """Loss (weighted as in training), accuracy and balanced accuracy; and AUC where it is monitored.

    Balanced accuracy is over the classes that the split has. In float32, whatever the training's precision.
    """
    import torch

    labels = np.array(data.labels("val"), dtype=np.int64)  # a copy: torch takes no read-only array
    logits = _logits(network, data, len(labels), device)
    with torch.no_grad():
        loss = float(loss_of(logits.to(device), torch.from_numpy(labels).to(device)))
    hits = logits.argmax(1).numpy() == labels
    found = {
        "validation_loss": loss,
        "validation_accuracy": float(hits.mean()),
        "validation_balanced_accuracy": float(np.mean([hits[labels == k].mean() for k in np.unique(labels)])),
    }
    if settings.monitor == "auc":
        found["validation_auc"] = auc(logits.numpy(), labels, data.classes) if np.isfinite(loss) else float("nan")
    return found


def auc(logits: NDArray[np.float32], labels: NDArray[np.int64], classes: tuple[str, ...]) -> float:
    """Area under the ROC curve, as reports give it: macro mean of one-vs-rest with more than two classes."""
    from edgekit.evaluate.figures import figures_of

    of, _ = figures_of(logits.astype(np.float64), labels, classes)
    return float(of["auc"](np.ones((1, len(labels))))[0])


def _logits(network: nn.Module, data: Images, count: int, device: torch.device) -> Tensor:
    import torch

    rows = []
    with torch.no_grad():
        for start in range(0, count, _AT_ONCE):
            pixels = data.pixels("val", np.arange(start, min(start + _AT_ONCE, count)))
            part = torch.from_numpy(preprocess.normalize(pixels, data.preprocessing)).to(device)
            rows.append(network(part.contiguous(memory_format=torch.channels_last)).cpu())
    return torch.cat(rows)

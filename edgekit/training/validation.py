"""The figures of an epoch, on the validation split: they decide which epoch is kept and when to stop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgekit.data import preprocess
from edgekit.passes.base import PassError
from edgekit.training.batches import batches
from edgekit.training.contents import contents

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from edgekit.training.loss import SupervisedLoss
    from edgekit.training.sampling import Images
    from edgekit.training.settings import Training


def check(settings: Training, data: Images, where: str) -> None:
    """The monitored figure is defined on this validation split.

    Raises:
        PassError: ``monitor: auc`` and a class without a validation image, or ``mean_dice`` and no foreground.
    """
    if settings.monitor not in ("auc", "mean_dice"):
        return
    present = contents(data, "val").sum(axis=0) > 0
    if settings.monitor == "auc" and not present.all():
        absent = [name for name, there in zip(data.classes, present, strict=True) if not there]
        raise PassError(
            f"no validation image of {', '.join(absent)}, so AUC is not defined",
            where=f"{where}.monitor",
            remedy="give images of it, or monitor balanced_accuracy",
        )
    if settings.monitor == "mean_dice" and not present[1:].any():
        raise PassError(
            f"no validation mask has a pixel of {', '.join(data.classes[1:])}, so Dice is not defined",
            where=f"{where}.monitor",
            remedy="give validation images with foreground, or monitor loss",
        )


def figures(
    network: nn.Module,
    data: Images,
    settings: Training,
    loss_of: SupervisedLoss,
    device: torch.device,
    at_once: int,
) -> dict[str, float]:
    """Loss (as in training, over the whole split), accuracy and balanced accuracy; and AUC where it is monitored.

    For segmentation accuracy is that of pixels, balanced accuracy the mean of their sensitivities, and there is
    ``validation_mean_dice``: the mean over foreground classes of Dice over all pixels of all windows together (see
    ``pixel_figures``). Means over classes are over those that the split has. In float32, whatever the training's
    precision.

    Args:
        network: in eval mode, on ``device``.
        data: its validation split is read.
        settings: of the training, for its task.
        loss_of: the loss.
        device: where it runs.
        at_once: images that run at once; of dense logits no more than these are ever held.
    """
    import torch

    from edgekit.training.pixel_figures import PixelFigures

    sums: Tensor | float = 0.0
    pixels = PixelFigures(len(data.classes))
    rows: list[NDArray[np.float32]] = []
    labels: list[NDArray[np.int64]] = []
    with torch.no_grad():
        for logits, targets in _answers(network, data, device, at_once):
            sums = sums + loss_of.sums(logits, targets).double()
            if targets.ndim > 1:
                pixels.add(logits, targets)
            else:
                rows.append(logits.cpu().numpy())
                labels.append(targets.cpu().numpy())
        assert isinstance(sums, torch.Tensor)  # no split is empty
        loss = float(loss_of.whole(sums))
    if not rows:
        found = pixels.figures(data.classes)
        names = ("accuracy", "balanced_accuracy", "mean_dice")
        return {"validation_loss": loss, **{f"validation_{name}": found[name] for name in names}}
    return {"validation_loss": loss, **_of_images(np.concatenate(rows), np.concatenate(labels), data, settings)}


def auc(logits: NDArray[np.float32], labels: NDArray[np.int64], classes: tuple[str, ...]) -> float:
    """Area under the ROC curve, as reports give it: macro mean of one-vs-rest with more than two classes."""
    from edgekit.evaluate.figures import figures_of

    of, _ = figures_of(logits.astype(np.float64), labels, classes)
    return float(of["auc"](np.ones((1, len(labels))))[0])


def _of_images(
    logits: NDArray[np.float32], labels: NDArray[np.int64], data: Images, settings: Training
) -> dict[str, float]:
    hits = logits.argmax(1) == labels
    found = {
        "validation_accuracy": float(hits.mean()),
        "validation_balanced_accuracy": float(np.mean([hits[labels == k].mean() for k in np.unique(labels)])),
    }
    if settings.monitor == "auc":
        defined = bool(np.isfinite(logits).all())
        found["validation_auc"] = auc(logits, labels, data.classes) if defined else float("nan")
    return found


def _answers(
    network: nn.Module, data: Images, device: torch.device, at_once: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits and targets of the validation split, part by part, on ``device``."""
    import torch

    from edgekit.training.layout import arranged

    for part in batches(data.count("val"), at_once):
        inputs = torch.from_numpy(preprocess.normalize(data.pixels("val", part), data.preprocessing)).to(device)
        targets = np.array(data.targets("val", part), dtype=np.int64)  # a copy: torch takes no read-only array
        yield network(arranged(inputs)), torch.from_numpy(targets).to(device)

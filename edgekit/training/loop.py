"""The training loop: deterministic, on the CPU, over prepared data."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.passes.base import Context, PassError
from edgekit.training.augment import augment
from edgekit.training.layout import channels_last

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from edgekit.data.prepared import Prepared
    from edgekit.model import Model
    from edgekit.training.settings import Training

_EVALUATED_AT_ONCE = 64


class Objective(Protocol):
    """The loss of one batch; what a pass trains for where plain cross-entropy is not all."""

    def __call__(self, network: nn.Module, inputs: Tensor, labels: Tensor, supervised: Supervised) -> Tensor:
        """A scalar, with gradients.

        Args:
            network: in training mode; call it once.
            inputs: ``float32[n, C, H, W]``, augmented.
            labels: ``int64[n]``.
            supervised: the recipe's own loss ``(logits, labels) -> scalar``: weighted cross-entropy.
        """
        ...


Supervised = Callable[["Tensor", "Tensor"], "Tensor"]


def supervised_only(network: nn.Module, inputs: Tensor, labels: Tensor, supervised: Supervised) -> Tensor:
    """The objective of plain training."""
    return supervised(network(inputs), labels)


def fit(
    model: Model,
    settings: Training,
    context: Context,
    *,
    where: str,
    objective: Objective = supervised_only,
    extra: nn.Module | None = None,
    after_step: Callable[[nn.Module], None] = lambda network: None,
    layout: Callable[[nn.Module], nn.Module] = channels_last,
) -> dict[str, Any]:
    """Train ``model`` in place; it ends with the weights of the best epoch, in eval mode.

    Args:
        model: its own copy, which the caller made. ``model.network`` may be any module that gives logits.
        settings: how.
        context: data, progress, threads.
        where: the pass or key that the messages of errors name, such as ``finetune`` or ``prune.recovery``.
        objective: the loss of a batch.
        extra: a module with weights of its own that train along (projections between features) and are dropped.
        after_step: called with the working copy after each step of the optimizer (masks that must stay zero).
        layout: makes the working copy faster; ``lambda network: network`` where channels-last would be wrong.

    Returns:
        What happened, plain data: images, class weights, epochs run, best epoch, history, seconds.

    Raises:
        PassError: the loss is not finite, a class has no training image, the network has no classifier to
            train alone, or images that are not square would be turned.
    """
    import torch

    from edgekit.model import settle

    started = time.monotonic()
    data = context.data
    if "quarter_turn" in settings.augment and model.input_size[1] != model.input_size[2]:
        raise PassError(
            f"'quarter_turn' needs square images, the input is {model.input_size[1]}x{model.input_size[2]}",
            where=f"{where}.augment",
            remedy="leave it out, or change input.size",
        )
    labels = np.asarray(data.labels("train"), dtype=np.int64)
    weights = class_weights(settings, labels, data.classes, where)
    count = len(labels)
    if count < 2:
        raise PassError(f"{count} training image is too few", where=where, remedy="give more training data")
    # Sizes that differ by one at most: a last batch of one image would break BatchNorm.
    batches = -(-count // settings.batch_size)
    history: list[dict[str, Any]] = []
    best: dict[str, Tensor] = {}
    best_epoch = -1
    with _deterministic(settings.seed, context.threads):
        network = layout(copy.deepcopy(model.network))
        heads = _freeze(settings, network, model, where)
        optimizer = _optimizer(settings, network, extra)
        loss_of = torch.nn.CrossEntropyLoss(
            weight=torch.tensor(weights, dtype=torch.float32), label_smoothing=settings.label_smoothing
        )
        generator = torch.Generator().manual_seed(settings.seed)
        for epoch in range(settings.epochs):
            _train_mode(network, heads)
            order = torch.randperm(count, generator=generator).numpy()
            total = 0.0
            for step, chosen in enumerate(np.array_split(order, batches)):
                at = epoch + (step + 1) / batches if settings.warmup_epochs else epoch + step / batches
                rate = settings.rate(at)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                images = torch.from_numpy(data.inputs("train", np.sort(chosen)))
                inputs = augment(images, settings.augment, generator)
                inputs = inputs.contiguous(memory_format=torch.channels_last)
                loss = objective(network, inputs, torch.from_numpy(labels[np.sort(chosen)]), loss_of)
                if not bool(torch.isfinite(loss)):
                    said = f"the loss of epoch {epoch + 1}, step {step + 1} is {loss.item()}"
                    raise _diverged(settings, said, where)
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                after_step(network)
                total += loss.item() * len(chosen)
                context.progress(
                    (epoch + (step + 1) / (batches + 1)) / settings.epochs, _text(settings, epoch, history)
                )
            figures = _evaluate(network.eval(), data, loss_of)
            history.append({"epoch": epoch + 1, "learning_rate": rate, "loss": total / count, **figures})
            if not np.isfinite(figures["validation_loss"]):
                said = f"the validation loss of epoch {epoch + 1} is {figures['validation_loss']}"
                raise _diverged(settings, said, where)
            if best_epoch < 0 or settings.score(history[-1]) > settings.score(history[best_epoch]):
                best_epoch = epoch
                best = {name: one.detach().clone() for name, one in network.state_dict().items()}
            context.progress((epoch + 1) / settings.epochs, _text(settings, epoch, history))
            if settings.patience is not None and epoch - best_epoch >= settings.patience:
                break
    model.network.load_state_dict(best)
    settle(model.network)
    return {
        "images": count,
        "class_weights": dict(zip(data.classes, weights, strict=True)),
        "trained_parameters": sum(p.numel() for p in network.parameters() if p.requires_grad),
        "epochs_run": len(history),
        "stopped_early": len(history) < settings.epochs,
        "best_epoch": best_epoch + 1,
        "best": history[best_epoch],
        "history": history,
        "training_seconds": time.monotonic() - started,
    }


def class_weights(
    settings: Training, labels: NDArray[np.int64], classes: tuple[str, ...], where: str = "finetune"
) -> list[float]:
    """The weight of each class in the loss.

    Raises:
        PassError: a class has no training image.
    """
    counts = np.bincount(labels, minlength=len(classes))
    absent = [name for name, n in zip(classes, counts, strict=True) if n == 0]
    if absent:
        raise PassError(
            f"no training image of: {', '.join(absent)}",
            where=where,
            remedy="remove the class from task.classes, or give images of it",
        )
    if settings.class_weighting == "none":
        return [1.0] * len(classes)
    balanced = len(labels) / (len(classes) * counts.astype(np.float64))
    return [float(w) for w in (balanced if settings.class_weighting == "balanced" else np.sqrt(balanced))]


def _freeze(settings: Training, network: nn.Module, model: Model, where: str) -> tuple[nn.Module, ...]:
    """The parts that train: all of the network, or its classifier with everything else frozen."""
    from edgekit.zoo import classifier

    if settings.freeze == "none":
        return (network,)
    names = classifier.names(network, model.num_classes)
    if not names:
        raise PassError(
            f"'{model.architecture}' has no layer that is seen to be its classifier",
            where=f"{where}.freeze",
            remedy="set 'freeze: none'",
        )
    heads = tuple(network.get_submodule(name) for name in names)
    network.requires_grad_(False)
    for head in heads:
        head.requires_grad_(True)
    return heads


def _train_mode(network: nn.Module, parts: tuple[nn.Module, ...]) -> None:
    # What is frozen keeps its running statistics too.
    network.eval()
    for part in parts:
        part.train()


def _optimizer(settings: Training, network: nn.Module, extra: nn.Module | None) -> Optimizer:
    import torch

    learning = [p for p in network.parameters() if p.requires_grad]
    learning += list(extra.parameters()) if extra is not None else []
    groups = [
        {"params": [p for p in learning if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)
    return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=0.9, nesterov=True, fused=True)


def _evaluate(network: nn.Module, data: Prepared, loss_of: Any) -> dict[str, float]:
    """Loss (weighted as in training), accuracy and balanced accuracy on the validation split."""
    import torch

    labels = np.array(data.labels("val"), dtype=np.int64)  # a copy: torch takes no read-only array
    rows = []
    with torch.no_grad():
        for start in range(0, len(labels), _EVALUATED_AT_ONCE):
            part = torch.from_numpy(
                data.inputs("val", np.arange(start, min(start + _EVALUATED_AT_ONCE, len(labels))))
            )
            rows.append(network(part.contiguous(memory_format=torch.channels_last)))
        logits = torch.cat(rows)
        loss = float(loss_of(logits, torch.from_numpy(labels)))
    hits = logits.argmax(1).numpy() == labels
    return {
        "validation_loss": loss,
        "validation_accuracy": float(hits.mean()),
        "validation_balanced_accuracy": float(np.mean([hits[labels == k].mean() for k in np.unique(labels)])),
    }


def _text(settings: Training, epoch: int, history: list[dict[str, Any]]) -> str:
    text = f"epoch {epoch + 1}/{settings.epochs}"
    if history:
        last = history[-1]
        text += f" loss {last['loss']:.3f} val balanced accuracy {last['validation_balanced_accuracy']:.3f}"
    return text


def _diverged(settings: Training, what: str, where: str) -> PassError:
    return PassError(
        f"the training diverged: {what}",
        where=where,
        remedy=f"lower 'learning_rate' (now {settings.learning_rate:g}), or add 'warmup_epochs'",
    )


@contextmanager
def _deterministic(seed: int, threads: int) -> Iterator[None]:
    """Fixed random numbers, deterministic kernels and ``threads`` threads; all put back afterwards."""
    import torch
    from torch.utils import deterministic

    before = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = deterministic
    filled = memory.fill_uninitialized_memory
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        torch.manual_seed(seed)
        torch.set_num_threads(max(threads, 1))
        # An operator without a deterministic kernel still runs; on the CPU hardly any lacks one.
        torch.use_deterministic_algorithms(True, warn_only=True)
        memory.fill_uninitialized_memory = False
        warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation.*")
        try:
            yield
        finally:
            torch.set_num_threads(before[0])
            torch.use_deterministic_algorithms(before[1], warn_only=warned)
            memory.fill_uninitialized_memory = filled

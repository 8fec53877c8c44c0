"""The training loop of ``finetune``: deterministic, on the CPU, over prepared data."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.passes.augment import augment
from edgekit.passes.base import Context, PassError
from edgekit.passes.training_layout import channels_last

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from edgekit.data.prepared import Prepared
    from edgekit.model import Model
    from edgekit.passes.finetune import Finetune

_EVALUATED_AT_ONCE = 64


def train(config: Finetune, model: Model, context: Context) -> tuple[Model, dict[str, Any]]:
    """Train a copy of ``model`` as ``config`` says.

    Returns:
        The model with the weights of the best epoch, and what happened: history, best epoch, class weights.

    Raises:
        PassError: see ``Finetune.apply``.
    """
    import torch

    started = time.monotonic()
    data = context.data
    labels = np.asarray(data.labels("train"), dtype=np.int64)
    weights = class_weights(config, labels, data.classes)
    count = len(labels)
    if count < 2:
        raise PassError(f"{count} training image is too few", where="finetune", remedy="give more training data")
    # Sizes that differ by one at most: a last batch of one image would break BatchNorm.
    batches = -(-count // config.batch_size)
    history: list[dict[str, Any]] = []
    best: dict[str, Tensor] = {}
    best_epoch = -1
    with _deterministic(config.seed, context.threads):
        network = channels_last(copy.deepcopy(model.copy().network))
        heads = _freeze(config, network, model)
        optimizer = _optimizer(config, network)
        loss_of = torch.nn.CrossEntropyLoss(
            weight=torch.tensor(weights, dtype=torch.float32), label_smoothing=config.label_smoothing
        )
        generator = torch.Generator().manual_seed(config.seed)
        for epoch in range(config.epochs):
            _train_mode(network, heads)
            order = torch.randperm(count, generator=generator).numpy()
            total = 0.0
            for step, chosen in enumerate(np.array_split(order, batches)):
                rate = config.rate(epoch + (step + 1) / batches if config.warmup_epochs else epoch + step / batches)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                inputs = augment(torch.from_numpy(data.inputs("train", np.sort(chosen))), config.augment, generator)
                given = network(inputs.contiguous(memory_format=torch.channels_last))
                loss = loss_of(given, torch.from_numpy(labels[np.sort(chosen)]))
                if not bool(torch.isfinite(loss)):
                    raise _diverged(config, f"the loss of epoch {epoch + 1}, step {step + 1} is {loss.item()}")
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item() * len(chosen)
                context.progress(
                    (epoch + (step + 1) / (batches + 1)) / config.epochs, _text(config, epoch, history)
                )
            figures = _evaluate(network.eval(), data, loss_of)
            history.append({"epoch": epoch + 1, "learning_rate": rate, "loss": total / count, **figures})
            if not np.isfinite(figures["validation_loss"]):
                raise _diverged(config, f"the validation loss of epoch {epoch + 1} is {figures['validation_loss']}")
            if best_epoch < 0 or config.score(history[-1]) > config.score(history[best_epoch]):
                best_epoch = epoch
                best = {name: one.detach().clone() for name, one in network.state_dict().items()}
            context.progress((epoch + 1) / config.epochs, _text(config, epoch, history))
            if config.patience is not None and epoch - best_epoch >= config.patience:
                break
    from edgekit.model import settle

    trained = model.copy()
    trained.network.load_state_dict(best)
    settle(trained.network)
    return trained, {
        "images": count,
        "class_weights": dict(zip(data.classes, weights, strict=True)),
        "trained_parameters": sum(p.numel() for p in network.parameters() if p.requires_grad),
        "epochs_run": len(history),
        "stopped_early": len(history) < config.epochs,
        "best_epoch": best_epoch + 1,
        "best": history[best_epoch],
        "history": history,
        "training_seconds": time.monotonic() - started,
    }


def class_weights(config: Finetune, labels: NDArray[np.int64], classes: tuple[str, ...]) -> list[float]:
    """The weight of each class in the loss.

    Raises:
        PassError: a class has no training image.
    """
    counts = np.bincount(labels, minlength=len(classes))
    absent = [name for name, n in zip(classes, counts, strict=True) if n == 0]
    if absent:
        raise PassError(
            f"no training image of: {', '.join(absent)}",
            where="finetune",
            remedy="remove the class from task.classes, or give images of it",
        )
    if config.class_weighting == "none":
        return [1.0] * len(classes)
    balanced = len(labels) / (len(classes) * counts.astype(np.float64))
    return [float(w) for w in (balanced if config.class_weighting == "balanced" else np.sqrt(balanced))]


def _freeze(config: Finetune, network: nn.Module, model: Model) -> tuple[nn.Module, ...]:
    """The parts that train: all of the network, or its classifier with everything else frozen."""
    from edgekit.zoo import classifier

    if config.freeze == "none":
        return (network,)
    names = classifier.names(network, model.num_classes)
    if not names:
        raise PassError(
            f"'{model.architecture}' has no layer that is seen to be its classifier",
            where="finetune.freeze",
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


def _optimizer(config: Finetune, network: nn.Module) -> Optimizer:
    import torch

    learning = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learning if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
    return torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9, nesterov=True, fused=True)


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


def _text(config: Finetune, epoch: int, history: list[dict[str, Any]]) -> str:
    text = f"epoch {epoch + 1}/{config.epochs}"
    if history:
        last = history[-1]
        text += f" loss {last['loss']:.3f} val balanced accuracy {last['validation_balanced_accuracy']:.3f}"
    return text


def _diverged(config: Finetune, what: str) -> PassError:
    return PassError(
        f"the training diverged: {what}",
        where="finetune",
        remedy=f"lower 'learning_rate' (now {config.learning_rate:g}), or add 'warmup_epochs'",
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

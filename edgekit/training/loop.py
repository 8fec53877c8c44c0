"""The training loop, which every pass that trains runs; deterministic, over prepared data, on Lightning Fabric."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.passes.base import Context, PassError
from edgekit.training import hardware, processes, validation
from edgekit.training.contents import contents
from edgekit.training.determinism import deterministic
from edgekit.training.inputs import Inputs, check
from edgekit.training.layout import channels_last
from edgekit.training.objective import Objective, Supervised, supervised_only
from edgekit.training.sampling import Batches, Images, class_weights
from edgekit.training.schedule import Plateau
from edgekit.training.worker import Job, Worker

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import Tensor, nn

    from edgekit.model import Model
    from edgekit.training.settings import Training

__all__ = ["Objective", "Supervised", "fit", "supervised_only"]


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
    images: Images | None = None,
) -> dict[str, Any]:
    """Train ``model`` in place; it ends with the weights of the best epoch, in eval mode, in float32 on the CPU.

    Args:
        model: its own copy, which the caller made. ``model.network`` may be any module that gives logits.
        settings: how.
        context: data, progress, threads.
        where: the pass or key that the messages of errors name, such as ``finetune`` or ``prune.recovery``.
        objective: the loss of a batch.
        extra: a module with weights of its own that train along (projections between features) and are dropped.
        after_step: called with the working copy after each step of the optimizer (masks that must stay zero).
        layout: makes the working copy faster; ``lambda network: network`` where channels-last would be wrong.
        images: what to train on in place of ``context.data``, such as a fold of it.

    Returns:
        What happened, plain data: images, class weights, loss and monitor, device, epochs run, best epoch, history,
        seconds.

    Raises:
        PassError: the loss is not finite, a class has no training image (pixel), the network has no classifier to
            train alone, a setting is not for such a task or such images, or this machine lacks the device.
    """
    from edgekit.model import settle

    started = time.monotonic()
    settings = settings.for_task(model.task, where)
    data = context.data if images is None else images
    eight_bit = data.pixels("train", np.arange(1)).dtype == np.uint8
    check(settings.augment, model.input_size[1:], eight_bit, where)
    held = contents(data, "train")
    weights = class_weights(settings, held, data.classes, where)
    batches = Batches(settings, held, settings.devices * settings.nodes, where)
    validation.check(settings, data, where)
    job = Job(
        model,
        settings,
        data,
        Inputs(settings.augment, data.preprocessing, eight_bit),
        batches,
        weights,
        context.threads,
        where,
        objective,
        extra,
        after_step,
        layout,
    )
    best, report = processes.run(
        settings, where, context.progress, lambda fabric, progress: _train(job, fabric, progress)
    )
    model.network.load_state_dict(best)
    settle(model.network)
    return {
        "images": len(held),
        "class_weights": dict(zip(data.classes, weights, strict=True)),
        "loss": settings.loss,
        "monitor": settings.monitor,
        **report,
        "training_seconds": time.monotonic() - started,
    }


def _train(job: Job, fabric: Fabric, progress: processes.Progress) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """One process's part of ``job``; see ``processes.run``."""
    # Each device draws its own dropout and augmentation; the first one as it would alone.
    seed = job.settings.seed + (fabric.global_rank << 32)
    with deterministic(seed, hardware.threads(job.settings, job.threads), fabric.device):
        worker = Worker(job, fabric)
        best, best_epoch, history = _epochs(job, worker, progress)
    weights = {name: one.cpu() for name, one in best.items()}
    return (fabric.broadcast(weights) if job.settings.nodes > 1 else weights), {
        "trained_parameters": worker.trained_parameters,
        "device": hardware.describe(fabric),
        "epochs_run": len(history),
        "stopped_early": len(history) < job.settings.epochs,
        "best_epoch": best_epoch,
        "best": history[best_epoch - 1],
        "history": history,
    }


def _epochs(
    job: Job, worker: Worker, progress: processes.Progress
) -> tuple[dict[str, Tensor], int, list[dict[str, Any]]]:
    """All epochs: the weights of the best one, its number from 1, and the figures of each."""
    import torch

    settings = job.settings
    generator = torch.Generator().manual_seed(settings.seed)  # of the order, the same on every device
    plateau = Plateau(settings.plateau_patience, settings.min_delta)
    history: list[dict[str, Any]] = []
    best: dict[str, Tensor] = {}
    best_epoch = improved = 0
    to_beat = (-math.inf, -math.inf)
    for epoch in range(settings.epochs):
        worker.train_mode()
        total, seen = 0.0, 0
        for step, batch in enumerate(job.batches.epoch(generator)):
            # A warm-up must not begin with a step of rate 0.
            at = epoch + (step + (settings.warmup_epochs > 0)) / job.batches.count
            rate = settings.rate(at, plateau.reductions)
            loss = worker.step(batch, rate)
            if not math.isfinite(loss):
                raise _diverged(job, f"the loss of epoch {epoch + 1}, step {step + 1} is {loss}")
            total, seen = total + loss * len(batch), seen + len(batch)
            done = (epoch + (step + 1) / (job.batches.count + 1)) / settings.epochs
            progress(done, _text(settings, epoch, history))
        history.append({"epoch": epoch + 1, "learning_rate": rate, "loss": total / seen, **worker.validate()})
        if not math.isfinite(history[-1]["validation_loss"]):
            raise _diverged(job, f"the validation loss of epoch {epoch + 1} is {history[-1]['validation_loss']}")
        score = settings.score(history[-1])
        plateau.observe(score[0])
        if not best_epoch or score > settings.score(history[best_epoch - 1]):
            best, best_epoch = worker.state(), epoch + 1
        # Without a 'min_delta' a tie with a lower loss is better, as it is for the epoch that is kept.
        if score[0] > to_beat[0] + settings.min_delta or (not settings.min_delta and score > to_beat):
            to_beat, improved = score, epoch + 1
        progress((epoch + 1) / settings.epochs, _text(settings, epoch, history))
        if settings.patience is not None and epoch + 1 - improved >= settings.patience:
            break
    return best, best_epoch, history


def _text(settings: Training, epoch: int, history: list[dict[str, Any]]) -> str:
    text = f"epoch {epoch + 1}/{settings.epochs}"
    if history:
        last = history[-1]
        figure = "mean_dice" if "validation_mean_dice" in last else "balanced_accuracy"
        text += f" loss {last['loss']:.3f} val {figure.replace('_', ' ')} {last[f'validation_{figure}']:.3f}"
    return text


def _diverged(job: Job, what: str) -> PassError:
    return PassError(
        f"the training diverged: {what}",
        where=job.where,
        remedy=f"lower 'learning_rate' (now {job.settings.learning_rate:g}), or add 'warmup_epochs'",
    )

"""A training in this process, or in one process a device, on one machine or several.

Fabric's usual launcher starts the whole command again on each device. Here the processes are forked instead and
run the training alone, so that a pass, its teacher and its objective need not be picklable. What this asks:

- CPU: each forked process uses one thread, because OpenMP's threads do not survive a fork.
- CUDA: nothing in the process may have used CUDA before the fork. Where it has, the error says to run the command
  again: the finished stages are reused and the training comes first.
- Several machines (``nodes``): run the same command on each, each with its own ``--out``, with the environment
  variables ``MASTER_ADDR`` and ``MASTER_PORT`` (of the first machine) and ``NODE_RANK`` (0, 1, ...) set. All of
  them end with the same weights.

``batch_size`` counts the images of all devices together, so a recipe means the same on one device and on several,
except for BatchNorm: each device normalizes by its own part of the batch, and the running statistics that are kept
are those of the first device (PyTorch's DistributedDataParallel does the same).
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.passes.base import PassError
from edgekit.training import hardware
from edgekit.training.hardware import Hardware

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from lightning_fabric import Fabric
    from torch import Tensor

    Pipe = Connection[Any, Any]

Progress = Callable[[float, str], None]
#: The training itself: the best weights, on the CPU, and what happened, plain data.
Work = Callable[["Fabric", Progress], "tuple[dict[str, Tensor], dict[str, Any]]"]

_AGAIN = "run the same command again: finished stages are reused, and this training comes first in its process"


def run(settings: Hardware, where: str, progress: Progress, work: Work) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What ``work`` returns: called here, or in one process a device, the first of which gives the result.

    Args:
        settings: the devices.
        where: for the messages of errors.
        progress: called in this process, whichever process trains.
        work: called once in each process with its Fabric.

    Raises:
        PassError: this machine has no such device, or a process failed; and what ``work`` raises.
    """
    fabric = hardware.fabric(settings, where)
    if not settings.distributed:
        return work(fabric, progress)
    from safetensors.torch import load_file
    from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

    _check_fork(settings, fabric, where)
    reader, writer = multiprocessing.Pipe(duplex=False)
    relay = threading.Thread(target=_relay, args=(reader, progress), daemon=True)
    others = set(multiprocessing.active_children())
    with tempfile.TemporaryDirectory(prefix="edgekit-training-") as place:
        folder = Path(place)
        try:
            with _quiet_launch():
                relay.start()
                fabric.launch(lambda mine: _process(mine, work, folder, reader, writer))
        except (ProcessRaisedException, ProcessExitedException) as error:
            for file in sorted(folder.glob("error-*.json")):
                raise PassError(**json.loads(file.read_text(encoding="utf-8"))) from None
            last = str(error).strip().splitlines()[-1]
            raise PassError(f"a training process failed: {last}", where=where, remedy=_AGAIN) from error
        finally:
            # None are left but where this process was interrupted.
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            writer.close()
            relay.join(timeout=10)
        return load_file(folder / "weights.safetensors"), json.loads((folder / "report.json").read_text())


def _check_fork(settings: Hardware, fabric: Fabric, where: str) -> None:
    import torch

    if "fork" not in multiprocessing.get_all_start_methods():
        raise PassError(
            "this system cannot fork processes, which training on several devices needs",
            where=f"{where}.devices",
            remedy="train on one device",
        )
    cuda: Any = torch.cuda
    if fabric.device.type == "cuda" and cuda.is_initialized():
        raise PassError(
            f"CUDA is in use in this process already, so {settings.devices} processes cannot be forked from it",
            where=f"{where}.devices",
            remedy=_AGAIN,
        )


def _process(fabric: Fabric, work: Work, folder: Path, reader: Pipe, writer: Pipe) -> None:
    """One of the forked processes. Results go through files: a queue would block on what a pipe cannot hold."""
    import torch
    from safetensors.torch import save_file

    reader.close()  # so that writing fails, and does not wait, when the first process stops reading
    torch.set_num_threads(1)
    first = fabric.local_rank == 0
    report = (lambda fraction, text: writer.send((fraction, text))) if first else (lambda fraction, text: None)
    try:
        weights, changes = work(fabric, report)
    except PassError as error:
        said = {"problem": error.problem, "where": error.where, "remedy": error.remedy}
        (folder / f"error-{fabric.local_rank}.json").write_text(json.dumps(said), encoding="utf-8")
        raise
    if first:
        save_file({name: one.contiguous().clone() for name, one in weights.items()}, folder / "weights.safetensors")
        (folder / "report.json").write_text(json.dumps(changes), encoding="utf-8")


def _relay(reader: Pipe, progress: Progress) -> None:
    try:
        with suppress(EOFError, OSError):
            while True:
                progress(*reader.recv())
    finally:
        reader.close()


@contextmanager
def _quiet_launch() -> Iterator[None]:
    """Without Fabric's banner; the port that it chose is forgotten afterwards."""
    logger = logging.getLogger("lightning_fabric")
    level, port = logger.level, os.environ.get("MASTER_PORT")
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*multi-threaded, use of fork.*")
            # A converter may have imported JAX before; the forked processes do not use it.
            warnings.filterwarnings("ignore", message="os.fork.. was called")
            yield
    finally:
        logger.setLevel(level)
        if port is None:
            os.environ.pop("MASTER_PORT", None)

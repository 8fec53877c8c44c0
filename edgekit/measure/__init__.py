"""What an artifact costs on this machine: latency, memory, energy, each measured in its own fresh process."""

from edgekit.measure.latency import Job, measurements, run_once
from edgekit.measure.machine import commit, describe, fingerprint
from edgekit.measure.protocol import WorkerResult

__all__ = ["Job", "WorkerResult", "commit", "describe", "fingerprint", "measurements", "run_once"]

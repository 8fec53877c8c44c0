"""``android.log`` of a bundle's ``android.sh``: what TFLite's benchmark_model printed on a phone.

The tool prints a mean and extremes of its runs and no single run, so its figures are kept as a summary.
"""

from __future__ import annotations

import re

from edgekit.errors import InputError
from edgekit.imports.base import Imported, JobOf
from edgekit.imports.samples_file import shared, summary

MARK = "edgekit-artifact: "
_FIELDS = ("sha256", "device", "os")
#: The last such line of a process is that of the timed runs; times are in microseconds.
_RUNS = re.compile(r"count=(\d+)\b.*?\bmin=(\d+)\s+max=(\d+)\s+avg=([\d.e+]+)")
_COLD = re.compile(r"Init: (\d+), First inference: (\d+)")


def parse(text: str, job_of: JobOf, where: str) -> Imported:
    """The summaries in ``text``.

    Raises:
        InputError: a process is not whole, or phones differ.
    """
    artifacts: dict[str, str] = {}
    machine: dict[str, str] = {}
    figures: dict[str, dict[str, float]] = {}
    for part in text.split(MARK)[1:]:
        name = part.splitlines()[0].strip()
        told = {one: re.search(rf"^edgekit-{one}: (.+)$", part, re.MULTILINE) for one in _FIELDS}
        runs = _RUNS.findall(part)
        if not all(told.values()) or not runs:
            raise InputError(f"the part of '{name}' is not whole", where=where, remedy="run android.sh again")
        sha256, device, system = (found.group(1).strip() for found in told.values() if found)
        if artifacts.setdefault(name, sha256) != sha256 or machine.setdefault("cpu", device) != device:
            raise InputError(f"the parts of '{name}' are of different files or phones", where=where)
        machine["os"] = system
        count, least, most, mean = (float(value) for value in runs[-1])
        process = len([one for one in figures.get(name, {}) if one.startswith("mean_s")]) + 1
        figures.setdefault(name, {}).update(
            {
                f"mean_s/{process}": mean / 1e6,
                f"min_s/{process}": least / 1e6,
                f"max_s/{process}": most / 1e6,
                f"runs/{process}": count,
            }
        )
        if cold := _COLD.search(part):
            figures[name][f"first_s/{process}"] = float(cold.group(2)) / 1e6
    if not artifacts:
        raise InputError(
            "holds no part of android.sh", where=where, remedy="bring back the android.log that it wrote"
        )
    method = "TFLite benchmark_model through adb, random inputs, one fresh process each"
    rows = []
    for name, found in figures.items():
        job = job_of(name)
        rows.append(summary(name, method, found, shared(job)))
    return Imported(method, None, None, dict(machine), artifacts, rows)

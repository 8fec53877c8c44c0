"""What choosing by measurement brings: nine networks, random weights, ONNX Runtime and OpenVINO.

    python tests/benchmarks/recommended.py [--out DIR] [NETWORK ...]

Each is compressed with everything that its targets allow. Printed is p50 in ms: of the runtime in float, as it runs
when nothing is said, of INT8 by its own tool, and of what edgekit recommends, with the ratio of the fastest of the
former three to it and the interval of that ratio. All artifacts of a network are measured in one run, in turn, in
fresh processes.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from edgekit import record as records
from edgekit.choose import latencies
from edgekit.data.phantom_scene import CLASSES
from edgekit.errors import GateError
from edgekit.evaluate.statistics import speedup

#: The networks of the comparison, and the side of the image that each was made for.
NETWORKS = {
    "mobileone_s0": 224,
    "resnet18": 224,
    "resnet50": 224,
    "efficientnet_b0": 224,
    "efficientformerv2_s0": 224,
    "mobilevit_xs": 256,
    "mambaout_femto": 224,
    "fastvit_s12": 256,
    "vit_tiny_patch16_224": 224,
}
#: What users of each target have without edgekit: float, what runs when nothing is said, INT8 by its own tool.
WITHOUT = {
    "cpu": ("cpu-fp32", "cpu-fp32", "cpu-int8-static"),
    "intel-cpu": ("intel-cpu-fp32", "intel-cpu-bf16", "intel-cpu-int8-nncf"),
}
#: Networks whose branches are merged, for every column alike.
MERGED = ("mobileone_s0", "fastvit_s12")


def recipe(name: str, side: int) -> dict[str, object]:
    """The recipe of one network."""
    merging = [{"kind": "reparameterize"}] if name in MERGED else []
    folding = [{"kind": "fold_batchnorm"}] if name not in ("mobileone_s0", "vit_tiny_patch16_224") else []
    return {
        "schema_version": 1,
        "name": f"recommended_{name}",
        "task": {
            "kind": "classification",
            "description": "latency only; random weights",
            "modality": "CT (synthetic)",
            "classes": list(CLASSES),
        },
        "data": {"kind": "phantom", "size": 64, "count": {"train": 40, "val": 40, "test": 40}},
        "input": {"size": [side, side]},
        "model": {"architecture": name, "untrained": True},
        "passes": [*merging, *folding, {"kind": "quantize", "images": 16}],
        "targets": list(WITHOUT),
        "evaluation": {"parity_images": 8},
        "benchmark": {"source": False},
    }


def main(arguments: list[str]) -> int:
    """Run, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=None, help="folder of the runs; finished ones are reused")
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), help="; ".join(NETWORKS))
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        home = asked.out or Path(scratch)
        rows: dict[str, list[tuple[str, dict[str, list[list[float]]], str]]] = {name: [] for name in WITHOUT}
        for name in asked.networks:
            file = home / f"{name}.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(yaml.safe_dump(recipe(name, NETWORKS[name])), encoding="utf-8")
            command = [sys.executable, "-m", "edgekit.cli", "compress", str(file), "--out", str(home / name)]
            done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
            if done.returncode not in (0, GateError.exit_code):
                return done.returncode
            made = records.read(home / name)
            times = latencies(made.artifacts, made.measurements)
            for target in WITHOUT:
                best = next(one.name for one in made.artifacts if one.target == target and one.recommended)
                rows[target].append((name, times, best))
            print(f"{name} done", file=sys.stderr, flush=True)
        for target, found in rows.items():
            show(target, found)
    return 0


def show(target: str, rows: list[tuple[str, dict[str, list[list[float]]], str]]) -> None:
    """Print the table of one target."""
    print(
        f"\n{target}: p50 in ms\n{'network':22s}{'float':>9s}{'default':>9s}{'own INT8':>9s}{'edgekit':>9s}  faster"
    )
    ratios = []
    for name, times, best in rows:
        p50 = {one: statistics.median(itertools.chain(*samples)) * 1e3 for one, samples in times.items() if samples}
        columns = [f"{p50[one]:9.2f}" if one in p50 else f"{'-':>9s}" for one in WITHOUT[target]]
        fastest = min((one for one in WITHOUT[target] if one in p50), key=lambda one: p50[one])
        ratio, low, high = speedup(times[fastest], times[best]) if fastest != best else (1.0, 1.0, 1.0)
        ratios.append(ratio)
        chosen = best.removeprefix(f"{target}-")
        print(f"{name:22s}{''.join(columns)}{p50[best]:9.2f}  {ratio:.2f} ({low:.2f} to {high:.2f}), {chosen}")
    print(f"geometric mean: {statistics.geometric_mean(ratios):.2f}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

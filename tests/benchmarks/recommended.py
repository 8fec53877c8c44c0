"""What choosing by measurement brings: nine networks, random weights, ONNX Runtime and OpenVINO.

    python tests/benchmarks/recommended.py [--out DIR] [--target TARGET] [NETWORK ...]

Each is compressed with everything that its targets allow. Then what edgekit recommends is measured beside what the
runtime's users have without edgekit: their network, its branches merged and its normalization folded, by the
runtime's own converter, in float, as it runs when nothing is said, and in INT8 by the runtime's own tool. Printed
is p50 in ms, with the ratio of the fastest of these three to edgekit's. The four are measured in fresh
processes that take turns, twenty runs each; the ratio is taken within each round, which a change of the machine's
speed meets as a whole, and its median is printed with the least and the greatest.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from edgekit import record as records
from edgekit import target as targets
from edgekit.data.phantom_scene import CLASSES
from edgekit.data.prepared import Prepared
from edgekit.environment import no_telemetry
from edgekit.errors import DeviceError, GateError
from edgekit.measure.latency import Job, run_together
from edgekit.model import Model
from edgekit.quantization import program
from edgekit.record import Artifact
from edgekit.runtimes import own_int8, support
from edgekit.runtimes.base import Exported
from edgekit.target import Precision, Target

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
TARGETS = ("cpu", "intel-cpu")
#: What users of a runtime have without edgekit, with the precision that runs when nothing is said.
WITHOUT = ("float", "default", "own INT8")
DEFAULT: dict[str, Precision] = {"cpu": "fp32", "intel-cpu": "bf16"}
#: Networks whose branches are merged, for every column alike.
MERGED = ("mobileone_s0", "fastvit_s12")
IMAGES = 16
ROUNDS, WARMUP, RUNS = 9, 30, 100


def recipe(name: str, side: int, on: Sequence[str] = TARGETS) -> dict[str, object]:
    """The recipe of one network for some targets."""
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
        "passes": [*merging, *folding, {"kind": "quantize", "images": IMAGES}],
        "targets": list(on),
        "evaluation": {"parity_images": 8},
        "benchmark": {"source": False},
    }


def main(arguments: list[str]) -> int:
    """Run, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=None, help="folder of the runs; finished ones are reused")
    parser.add_argument(
        "--target", choices=TARGETS, action="append", help="print and measure this one; both if absent"
    )
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), help="; ".join(NETWORKS))
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        home = asked.out or Path(scratch)
        wanted = asked.target or TARGETS
        rows: dict[str, list[tuple[str, dict[str, list[list[float]]], str]]] = {name: [] for name in wanted}
        for name in asked.networks:
            file = home / f"{name}.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(yaml.safe_dump(recipe(name, NETWORKS[name], wanted)), encoding="utf-8")
            command = [sys.executable, "-m", "edgekit.cli", "compress", str(file), "--out", str(home / name)]
            done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
            if done.returncode not in (0, GateError.exit_code):
                return done.returncode
            made = records.read(home / name)
            for target in wanted:
                best = next(one for one in made.artifacts if one.target == target and one.recommended)
                times = measure(home / name, best, targets.load(target))
                rows[target].append((name, times, best.name.removeprefix(f"{target}-")))
            print(f"{name} done", file=sys.stderr, flush=True)
        for target, found in rows.items():
            show(target, found)
    return 0


def measure(run: Path, best: Artifact, target: Target) -> dict[str, list[list[float]]]:
    """Seconds by column and process: of ``WITHOUT`` and of ``best``."""
    stages = run / "stages"
    data = Prepared.open(next(stages.glob("data-*")))
    with tempfile.TemporaryDirectory() as scratch:
        inputs = next(stages.glob("inputs-*")) / "inputs.npy"
        # The last float model; where nothing was folded, the source itself.
        folders = [run / "artifacts" / name / "model" for name in ("source-fused", "source")]
        model = Model.load(next(one for one in folders if one.exists()))
        made = plain(model, target, Path(scratch))
        tool = own_int8.get(target.runtime)
        assert tool is not None
        (Path(scratch) / "int8").mkdir()
        images = data.inputs("train", data.drawn("train", IMAGES, 0))
        own = tool.quantize(made, images, target, Path(scratch) / "int8")
        usual = "bf16" if DEFAULT[target.name] == "bf16" else None
        hint = {"INFERENCE_PRECISION_HINT": usual} if usual else {}
        chosen = run / best.path
        jobs = {
            "float": _job("float", made.path, target, "fp32", {}, inputs),
            "default": _job("default", made.path, target, DEFAULT[target.name], {}, inputs),
            "own INT8": _job("own INT8", own.path, target, "int8", hint, inputs),
            "edgekit": _job("edgekit", chosen, target, best.precision_requested, best.options, inputs),
        }
        times: dict[str, list[list[float]]] = {name: [] for name in jobs}
        for _ in range(ROUNDS):
            for name, result in zip(jobs, run_together([*jobs.values()], WARMUP, RUNS, 900), strict=True):
                if isinstance(result, DeviceError):
                    raise result
                times[name].append(list(result.samples_s))
    return times


def _job(name: str, path: Path, target: Target, precision: str, options: dict[str, str], inputs: Path) -> Job:
    run_on = target.model_copy(update={"options": {**target.options, **options}})
    return Job(name, target.runtime, path, run_on, precision, inputs)  # type: ignore[arg-type]


def plain(model: Model, target: Target, folder: Path) -> Exported:
    """The network by the runtime's own converter, with its defaults."""
    import torch

    inputs, outputs = support.specs(model)
    example = (program.example(model),)
    with support.quiet(), torch.no_grad():
        if target.runtime == "onnxruntime":
            path = folder / "model.onnx"
            torch.onnx.export(
                model.network,
                example,
                str(path),
                dynamo=True,
                external_data=False,
                input_names=[support.INPUT],
                output_names=[support.OUTPUT],
            )
        else:
            no_telemetry()
            import openvino

            path = folder / "model.xml"
            converted = openvino.convert_model(torch.export.export(model.network, example))
            converted.reshape({0: [1, *model.input_size]})
            openvino.save_model(converted, path, compress_to_fp16=False)
    return Exported(path, inputs, outputs, {})


def show(target: str, rows: list[tuple[str, dict[str, list[list[float]]], str]]) -> None:
    """Print the table of one target."""
    print(
        f"\n{target}: p50 in ms\n{'network':22s}{'float':>9s}{'default':>9s}{'own INT8':>9s}{'edgekit':>9s}  faster"
    )
    ratios = []
    for name, times, chosen in rows:
        p50 = {one: statistics.median(itertools.chain(*samples)) * 1e3 for one, samples in times.items()}
        columns = "".join(f"{p50[one]:9.2f}" for one in (*WITHOUT, "edgekit"))
        fastest = min(WITHOUT, key=lambda one: p50[one])
        rounds = zip(times[fastest], times["edgekit"], strict=True)
        found = sorted(statistics.median(without) / statistics.median(own) for without, own in rounds)
        ratios.append(statistics.median(found))
        print(f"{name:22s}{columns}  {ratios[-1]:.2f} ({found[0]:.2f} to {found[-1]:.2f}), {chosen}")
    print(f"geometric mean: {statistics.geometric_mean(ratios):.2f}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""How far edgekit's p50 lies from that of the runtimes' own tools, on the same file, taken in turn.

    python tests/benchmarks/harness_against_tools.py RUN [--rounds 5] [--runs 400] [--artifact NAME]

RUN is a finished run with artifacts for OpenVINO or ONNX Runtime. OpenVINO's is compared with ``benchmark_app -hint
latency -api sync`` in the artifact's precision, ONNX Runtime's with a bare loop over ``InferenceSession.run``. Each
round starts a fresh process of both; the figure is the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from edgekit import record
from edgekit.measure.latency import Job, run_once
from edgekit.target import Target

#: Issue: within 3 %.
_ALLOWED = 0.03
_WARMUP = 100
_BARE_LOOP = """
import json, sys, time
import numpy, onnxruntime
path, inputs, threads, warmup, runs = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
image = numpy.load(inputs)[:1].copy()
name, samples = session.get_inputs()[0].name, []
for _ in range(warmup + runs):
    start = time.perf_counter_ns()
    session.run(None, {name: image})
    samples.append(time.perf_counter_ns() - start)
print(json.dumps(samples[warmup:]))
"""


def benchmark_app(path: Path, precision: str, runs: int) -> float:
    """Median in seconds that OpenVINO's tool gives."""
    # An INT8 file's other layers run in the precision that edgekit asks for too; left alone they run in BF16.
    asked = {"bf16": "bf16", "fp16": "f16"}.get(precision, "f32")
    with tempfile.TemporaryDirectory() as folder:
        command = [str(Path(sys.executable).with_name("benchmark_app")), "-m", str(path), "-d", "CPU"]
        command += ["-hint", "latency", "-api", "sync", "-niter", str(runs), "-infer_precision", asked]
        command += ["-report_type", "no_counters", "-report_folder", folder, "-json_stats"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"benchmark_app failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    found = re.search(r"Median:\s+([\d.]+) (us|ms)", done.stdout)
    if found is None:
        sys.exit(f"benchmark_app printed no median:\n{done.stdout[-2000:]}")
    return float(found.group(1)) * {"us": 1e-6, "ms": 1e-3}[found.group(2)]


def bare_loop(path: Path, inputs: Path, threads: int, runs: int) -> float:
    """Median in seconds of ONNX Runtime called from an empty loop."""
    command = [sys.executable, "-c", _BARE_LOOP, str(path), str(inputs), str(threads), str(_WARMUP), str(runs)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(np.median(json.loads(done.stdout))) / 1e9


def main() -> int:
    """Print a line a round and the median ratio of each artifact; 1 where one is too far off."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--artifact", action="append", help="only this one; may be repeated")
    asked = parser.parse_args()
    made = record.read(asked.run)
    inputs = next(asked.run.glob("stages/inputs-*/inputs.npy"))
    worst = 0.0
    for one in made.artifacts:
        known = one.runtime in ("openvino", "onnxruntime") and one.target in made.targets
        if not known or (asked.artifact and one.name not in asked.artifact):
            continue
        target = Target.model_validate(made.targets[one.target] | {"energy_meter": "none"})
        path = asked.run / one.path
        precision = next(p for p in target.precisions if p == one.precision_requested)
        job = Job(one.name, one.runtime, path, target, precision, inputs)
        ratios = []
        for number in range(asked.rounds):
            ours = run_once(job, _WARMUP, asked.runs, 600.0)
            p50 = float(np.median(ours.samples_s))
            if one.runtime == "openvino":
                theirs = benchmark_app(path, precision, asked.runs + _WARMUP)
            else:
                theirs = bare_loop(path, inputs, ours.threads, asked.runs)
            ratios.append(p50 / theirs)
            print(
                f"{one.name} {number + 1}: edgekit {p50 * 1e3:.3f} ms, tool {theirs * 1e3:.3f} ms, {ratios[-1]:.3f}"
            )
        middle = statistics.median(ratios)
        worst = max(worst, abs(middle - 1.0))
        print(f"{one.name}: median ratio {middle:.3f} of {asked.rounds} rounds")
    print(f"largest distance {100 * worst:.1f} %, allowed {100 * _ALLOWED:.0f} %")
    return int(worst > _ALLOWED)


if __name__ == "__main__":
    sys.exit(main())

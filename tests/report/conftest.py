"""A record as the pipeline writes it, with everything that a report has to cope with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgekit.record import Artifact, Gate, Measurement, Predictions, Record, Stage

CLASSES = ("healthy", "adenoma", "rare_lesion")
#: Artifact -> runtime, precision executed, MB, p50 in ms, status, recommended.
ARTIFACTS: dict[str, tuple[str, str | None, float, float, str, bool]] = {
    "source": ("torch_eager", "fp32", 8.42, 42.3, "accepted", False),
    "source-fused": ("torch_eager", "fp32", 8.31, 6.9, "accepted", False),
    "cpu-fp32": ("onnxruntime", "fp32", 8.35, 2.9, "accepted", False),
    "cpu-int8": ("onnxruntime", "int8", 2.21, 1.35, "accepted", True),
    "intel-cpu-fp32": ("openvino", "fp32", 8.37, 2.88, "accepted", False),
    "intel-cpu-int8": ("openvino", "int8", 2.28, 1.15, "accepted", True),
    "android-fp32": ("litert", "fp32", 8.33, 5.4, "accepted", True),
    "android-int8": ("litert", "int8", 2.19, 6.0, "rejected", False),
    "iphone-fp32": ("coreml", None, 8.5, 0.0, "exported, not run here", False),
    "iphone-int8": ("coreml", None, 2.4, 0.0, "exported, not run here", False),
}
NOT_HERE = "Core ML can be run on macOS only"
SCORES = ("accuracy", "balanced_accuracy", "auc", "nll", "ece", "brier")
#: Pictures of analyses that the record below has not asked for.
NOT_ASKED = ("robustness.png", "saliency.png", "changed.png")
Maker = Callable[..., Record]


def _latency(name: str, middle: float, runs: int, rng: np.random.Generator) -> list[Measurement]:
    if not middle:
        return [
            Measurement(
                artifact=name, metric="latency_s", unit="s", not_measured_reason=NOT_HERE, method="perf_counter_ns"
            )
        ]
    return [
        Measurement(
            artifact=name,
            metric="latency_s",
            unit="s",
            samples=tuple(float(v) for v in middle / 1e3 * (1 + rng.gamma(1.5, 0.02, runs) - 0.02)),
            method="wall time of each run in a fresh process, time.perf_counter_ns",
            conditions={
                "process": process,
                "batch": 1,
                "warmup": 50,
                "timed": "inference only",
                "synchronization": "the call returns when the logits are in host memory",
                "clock_mhz_before": None,
                "clock_mhz_after": None,
            },
        )
        for process in range(3)
    ]


def _bytes(name: str, metric: str, value: float) -> Measurement:
    samples = tuple(value * part for part in (1.0, 1.01, 0.99))
    return Measurement(artifact=name, metric=metric, unit="byte", samples=samples, method="resident memory")


def _seconds(name: str, metric: str, value: float) -> Measurement:
    return Measurement(artifact=name, metric=metric, unit="s", samples=(value,) * 3, method="wall time")


def _score(name: str, metric: str, value: float | None, reason: str) -> Measurement:
    given: dict[str, Any] = {"not_measured_reason": reason} if value is None else {"samples": (value,)}
    if value is not None:
        given["interval"] = (value - 0.021, value + 0.019)
    if value is not None and metric.startswith(("sensitivity", "specificity")):
        given["conditions"] = {"wilson_95": [value - 0.1, min(1.0, value + 0.08)]}
    unit = {"nll": "nat", "brier": "score"}.get(metric, "share")
    return Measurement(artifact=name, metric=metric, unit=unit, method="on the test split", **given)


def _measurements(runs: int, untrained: bool) -> list[Measurement]:
    rng = np.random.default_rng(0)
    made: list[Measurement] = []
    for index, (name, (_, _, size, middle, _, _)) in enumerate(ARTIFACTS.items()):
        made += _latency(name, middle, runs, rng)
        if middle:
            made += [_bytes(name, "peak_rss_bytes", 3e8 + size * 1e6), _bytes(name, "runtime_rss_bytes", 6e7)]
            made += [_seconds(name, "load_s", 0.2), _seconds(name, "first_inference_s", 0.01)]
        reason = "no RAPL counters: this is a virtual machine"
        made.append(
            Measurement(artifact=name, metric="energy_j", unit="J", not_measured_reason=reason, method="counter")
        )
        reason = "the weights are random" if untrained else NOT_HERE
        known = middle > 0 and not untrained
        for metric in (*SCORES, *(f"{kind}/{one}" for one in CLASSES for kind in ("sensitivity", "specificity"))):
            base = {"nll": 0.412, "ece": 0.037, "brier": 0.221}.get(metric, 0.871)
            made.append(_score(name, metric, base - 0.001 * index if known else None, reason))
    return made


def _artifacts() -> list[Artifact]:
    return [
        Artifact(
            name=name,
            target=name.rsplit("-", 1)[0] if not name.startswith("source") else "torch",
            runtime=runtime,
            precision_requested="int8" if name.endswith("int8") else "fp32",
            precision_executed=executed,
            path=f"artifacts/{name}/model",
            sha256=f"{index:064x}",
            size_bytes=int(size * 1e6),
            status=status,
            reason={"rejected": "accuracy dropped by 3.1 points", "exported, not run here": NOT_HERE}.get(status),
            recommended=best,
            advice="fastest of its target" if best else None,
            layers={"int8": 20, "fp32": 2} if executed == "int8" else {},
            details={"exporter": "test"},
        )
        for index, (name, (runtime, executed, size, _, status, best)) in enumerate(ARTIFACTS.items())
    ]


def _predictions(labels: tuple[int, ...]) -> list[Predictions]:
    rng = np.random.default_rng(1)
    found = []
    for name, (_, _, _, middle, _, _) in ARTIFACTS.items():
        if middle:
            wrong = rng.random(len(labels)) < 0.15
            predicted = tuple(int((y + 1) % 3 if bad else y) for y, bad in zip(labels, wrong, strict=True))
            confidence = tuple(float(c) for c in rng.beta(6, 1.2, len(labels)))
            found.append(Predictions(artifact=name, predicted=predicted, confidence=confidence))
    return found


def _sensitivity() -> dict[str, Any]:
    """Twelve layers, of which the last is the worst and stays in float."""

    def figures(kl: float) -> dict[str, float]:
        shares = dict.fromkeys(("agreement", "accuracy", "balanced_accuracy", "rarest_sensitivity"), 1 - kl)
        return {"kl": kl, "logit_error": kl / 2, "nll": 0.4 + kl, "ece": 0.03, **shares}

    names = [*(f"stage.{index}" for index in range(11)), "head"]
    return {
        "split": "val",
        "images": 10,
        "available": 10,
        "drawn": "all",
        "rarest_class": CLASSES[-1],
        "rarest_class_images": 1,
        "all_float": figures(0.0),
        "all_int8": figures(0.3),
        "layers": [
            {"layer": name, "macs_share": 1 / 12, "kept_float": name == "head", **figures(0.02 * index)}
            for index, name in enumerate(names)
        ],
    }


def _stages() -> list[Stage]:
    counts = {"parameters_before": 4_730_000, "parameters_after": 2_080_000}
    counts |= {"macs_before": 1_051_000_000, "macs_after": 274_000_000}
    agreement = {"max_relative_difference": 2.3e-6, "argmax_agreement": 1.0, "images": 64}
    calibration = {"split": "train", "images": 128, "seed": 7, "drawn": "uniformly", "ranges": "least error"}
    quantized = {"calibration": calibration, "weights": "INT8, symmetric, per output channel"}
    quantized |= {"activations": "8 bit, per tensor", "layers_kept_float": ["head"]}
    quantized |= {"sensitivity": _sensitivity()}
    return [
        Stage(name="data", kind="data", seconds=1.0, cached=False),
        Stage(name="pass-0-finetune", kind="finetune", seconds=60.2, cached=True, changes={"history": []}),
        Stage(
            name="pass-1-reparameterize",
            kind="reparameterize",
            seconds=0.31,
            cached=False,
            changes={**counts, "agreement": agreement},
        ),
        Stage(name="pass-2-quantize", kind="quantize", seconds=4.0, cached=False, changes=quantized),
    ]


@pytest.fixture(scope="session")
def make() -> Maker:
    """Build the record; keywords replace fields of it."""

    def build(*, runs: int = 200, untrained: bool = False, **changed: Any) -> Record:
        labels = (0,) * 120 + (1,) * 70 + (2,) * 10
        splits = {
            name: {
                "count": 10 * each,
                "class_counts": dict(zip(CLASSES, (6 * each, 3 * each, each // 2), strict=True)),
                "groups": each,
                "image_sha256": name[0] * 64,
                "source_size": {"min": [64, 64], "max": [200, 150]},
            }
            for name, each in (("train", 90), ("val", 10), ("test", 20))
        }
        passes = [{"kind": kind} for kind in ("finetune", "reparameterize", "quantize")]
        fields: dict[str, Any] = {
            "edgekit_version": "0.1.0",
            "git_commit": "c0ffee",
            "git_dirty": True,
            "created_utc": "2025-01-02T03:04:05Z",
            "command": "edgekit compress recipe.yaml",
            "recipe": {
                "name": "liver",
                "task": {
                    "kind": "classification",
                    "description": "tell liver lesions apart",
                    "modality": "CT",
                    "classes": list(CLASSES),
                },
                "data": {"kind": "npz"},
                "input": {"size": [64, 64], "channels": 3, "resize": "bilinear", "scale": 255.0, "mean": [0.5] * 3}
                | {"std": [0.5] * 3},
                "model": {"architecture": "mobileone_s0", "untrained": untrained},
                "passes": passes[1:] if untrained else passes,
                "targets": ["cpu", "intel-cpu", "android", "iphone"],
                "benchmark": {"warmup": 50, "runs": runs, "processes": 3},
            },
            "recipe_sha256": "ab" * 32,
            "data": {
                "name": "lesions",
                "classes": list(CLASSES),
                "splits": splits,
                "overlap": {"count": 0, "first": []},
                "notes": [],
                "provenance": {"source": "npz"},
            },
            "machine": {
                "cpu": "Test CPU",
                "isa": ["avx2", "avx512_vnni"],
                "cores_physical": 2,
                "cores_logical": 4,
                "cores_usable": 2,
                "memory_bytes": 8_000_000_000,
                "governor": "not readable: this system shows no cpufreq",
                "os": "Linux",
                "kernel": "6.1",
                "load_average": [0.1, 0.2, 0.3],
                "gpus": "not readable: no NVIDIA GPU",
                "temperatures_c": "not readable: no thermal zones",
                "python": "3.11.9",
                "versions": {"onnxruntime": "1.31.0", "openvino": "2026.4.0"},
            },
            "targets": {
                "cpu": {"runtime": "onnxruntime", "device": "CPU", "threads": 0, "options": {}},
                "intel-cpu": {"runtime": "openvino", "device": "CPU", "threads": 2, "options": {"hint": "latency"}},
                "android": {"runtime": "litert", "device": "XNNPACK", "threads": 2, "options": {}},
                "iphone": {"runtime": "coreml", "device": "ALL", "threads": 0, "options": {}},
            },
            "stages": _stages(),
            "artifacts": _artifacts(),
            "measurements": _measurements(runs, untrained),
            "gates": [
                Gate(
                    artifact="android-int8",
                    name="accuracy_drop",
                    limit=0.01,
                    value=0.031,
                    passed=False,
                    explanation="accuracy 84.0% is 3.10 points lower than the source's",
                )
            ],
            "labels": () if untrained else labels,
            "predictions": () if untrained else _predictions(labels),
        }
        return Record(**(fields | changed))

    return build


@pytest.fixture
def record(make: Maker) -> Record:
    """A trained run with ten artifacts: two references, a rejected one and two that did not run."""
    return make()

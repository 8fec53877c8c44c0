"""Checklists that somebody wrote by hand: whole ones pass, what is missing or contradicts itself is found."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from edgekit.cli import app
from edgekit.report import check, markdown
from edgekit.report.check import written

if TYPE_CHECKING:
    from tests.report.conftest import Maker

WRITTEN = """\
# Deployment checklist of our nodule detector

Code: https://git.example.org/nodules, commit 1f0c2d3e4b5a69788796a5b4c3d2e1f001122334, `python run.py`.

## 1. Task

- **Clinical task:** malignant against benign lung nodules
- **Modality:** CT
- **Input resolution:** 224 x 224 x 3
- **Preprocessing pipeline:** window -600/1500 HU, resized bilinearly, mean 0.5, standard deviation 0.5
- **Dataset scale:** 1,018 scans, doi 10.7937/K9
- **Class imbalance:** training images by class: malignant 200 (20.0%), benign 800 (80.0%)

## 2. Hardware platform

- Device model: Jetson Orin Nano
- Memory capacity: 8 GB
- Power mode: 15 W, sustained
- Thermal constraints: active cooling, 25 degrees ambient
- System load: no other process

## 3. Software stack

- **Runtime engine and version:** TensorRT 10.3
- **Backend configuration:** default stream, 1 thread
- **Compiler optimizations:** builder level 5
- **Operating system:** JetPack 6.1
- **Driver:** CUDA 12.6

## 4. Numerical precision

- **Precision executed:** INT8, read from the engine inspector
- **PTQ or QAT:** PTQ
- **Calibration set:** 128 training images, drawn with seed 0
- **Granularity:** weights per channel, activations per tensor
- **Layers kept at higher precision:** first and last in FP16

## 5. Inference protocol

- **Batch size:** 1
- **Warm-up runs:** 50
- **Timed runs:** 200 in each of 3 processes, 600 in all
- **Synchronization method:** cudaStreamSynchronize before and after
- **Scope of I/O handling:** inference only

## 6. Latency reporting

| artifact | p50 | p90 | Variance across runs | Throttling or drift |
|---|---|---|---|---|
| ours | 5.18 ms (5.16 to 5.20) | 5.36 ms | 0.10 ms between processes | none seen |
| baseline | 9.00 ms (8.90 to 9.10) | 9.50 ms | 0.20 ms between processes | not measured (1) |

(1) the clock could not be read

## 7. Memory footprint

| item | value |
|---|---|
| Model size on disk | 4.2 MB |
| Peak runtime memory | 832 MB |
| Additional runtime or compiler buffers | not measured: TensorRT does not report its workspace |

## 8. Energy and power

- **Measurement method:** INA3221, input rail, 1 kHz
- **Idle power subtracted:** yes, 4.1 W
- **Energy per inference:** 0.94 J
- **Variance of energy:** 0.02 J over 3 windows

## 9. Reliability and safety

- **ECE after optimization:** 0.037 (0.030 to 0.050)
- **NLL after optimization:** 0.41
- **Sensitivity of the rarest classes:** 0.81 (0.71 to 0.88), malignant
- **Robustness to noise:** not measured: no corrupted images
- **Robustness to resolution shift:** not reported: out of scope of this study
- **Failure modes:** 3 of 100 images (2 right to wrong, 1 wrong to right)
"""


def _lint(text: str) -> list[check.Finding]:
    return check.lint(text, "theirs.md")


def test_a_whole_checklist_passes() -> None:
    assert _lint(WRITTEN) == []


def test_edgekits_own_pass_as_well(make: Maker) -> None:
    for one in (make(), make(untrained=True), make(runs=20)):
        assert _lint(markdown.render(one, {})) == []


def test_statements_are_read_from_bullets_lists_and_tables() -> None:
    latency = next(one for one in written.parse(WRITTEN) if one.title == "Latency reporting")
    p50, _, _, drift = latency.items
    assert [(one.of, one.text) for one in p50.said] == [
        ("ours", "5.18 ms (5.16 to 5.20)"),
        ("baseline", "9.00 ms (8.90 to 9.10)"),
    ]
    assert drift.said[1].text == "not measured: the clock could not be read"
    nested = "## Task\n- **Modality:**\n  - a: CT\n  - b: MR\n- **Scale:** as 'Modality' above\n"
    task = written.parse(nested)[1]
    assert [(one.of, one.text) for one in task.items[1].said] == [("a", "CT"), ("b", "MR")]


#: What was changed -> the rule, a part of what is said, the old text and the new.
CHANGED: dict[str, tuple[str, str, str, str]] = {
    "category missing": ("missing", "no category 'Hardware platform'", "## 2. Hardware platform", "## 2. Annex"),
    "item missing": ("missing", "lacks 'Modality'", "- **Modality:** CT\n", ""),
    "item without text": ("missing", "'Modality' is blank", "**Modality:** CT", "**Modality:**"),
    "placeholder": ("missing", "'Driver' is blank", "CUDA 12.6", "TBD"),
    "dash": ("missing", "'Driver' is blank", "CUDA 12.6", "-"),
    "no reason": ("missing", "without the reason", "not measured: no corrupted images", "not measured"),
    "empty reason": ("missing", "without the reason", "not reported: out of scope of this study", "not reported:"),
    "bare n/a": ("missing", "without the reason", "not measured: no corrupted images", "N/A"),
    "mark that nothing explains": ("missing", "without the reason", "(1) the clock could not be read\n", ""),
    "cell of a table": ("missing", "'p90' of ours is blank", "| 5.36 ms |", "| |"),
    "latency without a unit": ("unit", "'p50' holds no figure with its unit", "5.18 ms (5.16 to 5.20)", "5.18"),
    "size without a unit": ("unit", "'Model size on disk'", "4.2 MB", "4.2"),
    "memory in words": ("unit", "'Memory capacity' holds no figure", "8 GB", "enough"),
    "runtime without its version": ("unit", "ONNX Runtime 1.31", "TensorRT 10.3", "TensorRT"),
    "p90 from few runs": (
        "percentile",
        "p90 needs at least 64 runs, 60",
        "200 in each of 3 processes, 600",
        "20 x 3, 60",
    ),
    "p99 from few runs": (
        "percentile",
        "p99 needs at least 662 runs, 600",
        "| none seen |",
        "| none; p99 5.9 ms |",
    ),
    "p99 from its own few runs": (
        "percentile",
        "p99 needs at least 662 runs, 100",
        "## 7.",
        "The p99 was 6.1 ms (n = 100).\n\n## 7.",
    ),
    "p90 below p50": ("figure", "p90 of ours is below its p50", "5.36 ms", "4.36 ms"),
    "interval beside the figure": ("interval", "5.18 is not within", "5.16 to 5.20", "4.16 to 4.20"),
    "runs that do not add up": ("count", "the runs do not add up", "600 in all", "6000 in all"),
    "shares that are none of the counts": ("count", "shares", "800 (80.0%)", "800 (90.0%)"),
    "changed images": ("count", "changed predictions", "(2 right to wrong", "(9 right to wrong"),
    "INT8 claimed, FP32 executed": ("precision", "only FP32", "INT8, read from the engine inspector", "FP32"),
    "joules without idle": ("energy", "idle power", "yes, 4.1 W", "not subtracted: no time"),
    "joules without a meter": ("energy", "the meter", "INA3221, input rail, 1 kHz", "not reported: unknown"),
    "calibration on test": ("split", "test images", "128 training images", "128 images of the test split"),
    "ECE that is none": ("figure", "which no share can be", "0.037 (0.030 to 0.050)", "3.7"),
}


@pytest.mark.parametrize("what", CHANGED)
def test_what_is_wrong_is_found(what: str) -> None:
    rule, said, old, new = CHANGED[what]
    assert old in WRITTEN
    found = [one for one in _lint(WRITTEN.replace(old, new, 1)) if one.severity == "error"]
    assert any(one.rule == rule and said in one.text for one in found), found


def test_one_line_may_hold_two_items() -> None:
    ece, nll = "- **ECE after optimization:** 0.037 (0.030 to 0.050)\n", "- **NLL after optimization:** 0.41\n"
    text = WRITTEN.replace(ece, "- **ECE and NLL after optimization:** 0.037 and 0.41\n").replace(nll, "")
    assert _lint(text) == []
    assert any("lacks 'NLL" in one.text for one in _lint(WRITTEN.replace(nll, "")))


def test_brackets_name_no_item(make: Maker) -> None:
    text = markdown.render(make(), {})
    heads = next(line for line in text.splitlines() if line.startswith("| artifact | p50 | p90 |"))
    found = _lint(text.replace(heads, heads.replace("| p50 |", "| middle |")))
    assert any("lacks 'p50'" in one.text for one in found)


def test_a_finding_names_its_line() -> None:
    line = next(n for n, text in enumerate(WRITTEN.splitlines(), 1) if "CUDA" in text)
    assert [one.where for one in _lint(WRITTEN.replace("CUDA 12.6", "TODO"))] == [f"theirs.md:{line}"]


def test_a_speedup_that_does_not_follow(make: Maker) -> None:
    text = markdown.render(make(), {})
    row = next(line for line in text.splitlines() if line.startswith("| **cpu-int8** |"))
    ratio = re.search(r"\| (\d+\.\d)x \(", row)
    assert ratio is not None
    changed = row.replace(ratio[0], f"| {2 * float(ratio[1]):.1f}x (", 1)
    assert {one.rule for one in _lint(text.replace(row, changed))} == {"speedup"}


def test_a_rejected_file_that_ran_in_float_is_no_contradiction(make: Maker) -> None:
    text = markdown.render(make(), {})
    layers = "int8; 20 layers int8, 2 layers fp32"
    together = f"  - cpu-int8, intel-cpu-int8, android-int8: {layers}\n"
    assert together in text
    apart = f"  - cpu-int8, intel-cpu-int8: {layers}\n  - android-int8: fp32 (asked: int8); 22 layers fp32\n"
    fell_back = text.replace(together, apart)
    assert _lint(fell_back) == []
    claimed = fell_back.replace("| rejected (", "| accepted (")
    assert [(one.rule, one.text) for one in _lint(claimed)] == [
        ("precision", "android-int8 claims INT8, and fp32 was executed")
    ]


def test_what_a_reader_could_not_reproduce_is_said_and_no_error(tmp_path: Path) -> None:
    text = WRITTEN.replace(", drawn with seed 0", "").replace(
        "Code: https://git.example.org/nodules, commit 1f0c2d3e4b5a69788796a5b4c3d2e1f001122334, `python run.py`.",
        "",
    )
    found = _lint(text.replace(", doi 10.7937/K9", ""))
    assert {one.severity for one in found} == {"note"}
    said = " ".join(one.text for one in found)
    for part in ("which images calibrated INT8", "the code", "the data", "the exported files", "the run"):
        assert part in said
    path = tmp_path / "theirs.md"
    path.write_text(text, encoding="utf-8")
    ended = CliRunner().invoke(app, ["check", str(path)])
    assert ended.exit_code == 0
    assert "a reader could not reproduce the code" in ended.output
    path.write_text(text.replace("CUDA 12.6", "TODO"), encoding="utf-8")
    assert CliRunner().invoke(app, ["check", str(path), "--format", "github"]).exit_code == 3


@pytest.mark.parametrize(
    "text", ["", "no headings at all", "# a\n" * 1000, "|" * 5000, "- **: :**\n| a |\n|--|\n| |"]
)
def test_any_text_is_read(text: str) -> None:
    found = _lint(text)
    assert sum(one.rule == "missing" for one in found) >= 9


def test_a_table_without_its_record(tmp_path: Path) -> None:
    for name in ("checklist.tex", "report.html"):
        (tmp_path / name).write_text("x", encoding="utf-8")
        ended = CliRunner().invoke(app, ["check", str(tmp_path / name)])
        assert ended.exception is not None
        assert "no record.json beside it" in str(ended.exception)

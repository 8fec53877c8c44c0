from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from markdown_it import MarkdownIt

from edgekit.record import Record, dumps
from edgekit.report import markdown, overview, rows, write
from tests.report.conftest import NOT_ASKED

if TYPE_CHECKING:
    from tests.report.conftest import Maker

HOSTILE = "x|y\n# heading\n<script>alert(1)</script> ![p](http://h/p.png) **b** `c` [[1]]"


def table_row(text: str, name: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith((f"| {name} |", f"| **{name}** |")))
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_figures_in_the_table_are_those_of_the_record(record: Record) -> None:
    text = markdown.render(record, {})
    for one in record.artifacts:
        cells = table_row(text, one.name)
        assert cells[3] == f"{one.size_bytes / 1e6:.2f} MB"
        samples = [s for m in record.of(one.name, "latency_s") for s in m.samples or ()]
        if not samples:
            assert cells[4].startswith("not measured (")
            continue
        assert cells[2] == one.precision_executed
        for cell, q in ((cells[4], 0.5), (cells[5], 0.9)):
            shown = float(cell.split(" ")[0])
            assert shown == pytest.approx(float(np.quantile(samples, q)) * 1e3, rel=5e-3)
        accuracy = record.value(one.name, "accuracy")
        assert accuracy is not None
        assert accuracy.samples is not None
        assert accuracy.interval is not None
        low, high = accuracy.interval
        assert cells[7] == f"{accuracy.samples[0]:.3f} ({low:.3f} to {high:.3f})"


def test_every_note_in_a_table_is_explained_below_it(record: Record) -> None:
    text = markdown.render(record, {})
    used = set(re.findall(r"(?:measured|here|rejected) (\(\d+\))", text.split("## Checklist")[0]))
    explained = set(re.findall(r"^(\(\d+\)) \S", text.split("## Checklist")[0], re.MULTILINE))
    assert used == explained
    assert "(1) accuracy dropped by 3.1 points" in text
    assert "(2) Core ML can be run on macOS only" in text


def test_every_item_of_the_checklist_is_in_the_text(record: Record) -> None:
    text = markdown.render(record, {})
    for number, section in enumerate(rows(record), 1):
        assert f"### {number}. {section.title}" in text
        for item in section.items:
            assert f"**{item.name}:**" in text or f"| {item.name} |" in text, item.name


def test_recommended_artifacts_are_bold_and_named_for_their_target(record: Record) -> None:
    text = markdown.render(record, {})
    assert "| intel-cpu | **intel-cpu-int8** | fastest of its target |" in text
    assert "| iphone | none |" in text
    assert "| **cpu-int8** | ONNX Runtime |" in text
    assert "| **source**" not in text


def test_a_p90_of_too_few_runs_is_explained_and_not_printed(make: Maker) -> None:
    one = make(runs=20)
    text = markdown.render(one, {})
    assert table_row(text, "cpu-int8")[5].startswith("not printed (")
    assert "p90 needs at least 64 runs, 60 were timed" in text
    samples = [s for m in one.of("cpu-int8", "latency_s") for s in m.samples or ()]
    assert f"{np.quantile(samples, 0.9) * 1e3:.2f} ms (" not in text


def test_tables_are_whole(record: Record) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown.render(record, {}))
    assert sum(token.type == "table_open" for token in tokens) >= 9
    assert not [token for token in tokens if token.type in ("html_block", "code_block")]
    widths = [line.count("|") for line in markdown.render(record, {}).splitlines() if line.startswith("|")]
    assert min(widths) >= 3


def hostile(record: Record) -> Record:
    """The record with hostile text wherever a user, a file or a device could put it."""
    names = [HOSTILE, "adenoma", "rare_lesion"]

    def infect(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: infect(one) for key, one in value.items()}
        return HOSTILE if isinstance(value, str) else value

    def infect_layers(changes: dict[str, Any]) -> dict[str, Any]:
        if "sensitivity" not in changes:
            return changes
        table = infect(changes["sensitivity"])
        table["layers"] = [{**row, "layer": f"{HOSTILE}{row['layer']}"} for row in table["layers"]]
        mixed: dict[str, Any] = {"asked": HOSTILE, "verdict": HOSTILE}
        mixed["forms"] = {HOSTILE: {"kept_float": [HOSTILE]}}
        mixed["given_back"] = [{"layer": HOSTILE}]
        return {**changes, "sensitivity": table, "mixed_precision": mixed}

    data = {**record.data, "name": HOSTILE, "classes": names, "notes": [HOSTILE], "provenance": {HOSTILE: HOSTILE}}
    return record.model_copy(
        update={
            "data": data,
            "recipe": {**record.recipe, "name": HOSTILE, "task": infect(record.recipe["task"])},
            "machine": infect(record.machine),
            "targets": {HOSTILE: infect(record.targets["cpu"])},
            "warnings": (HOSTILE,),
            "command": HOSTILE,
            "stages": tuple(
                s.model_copy(update={"name": HOSTILE, "changes": infect_layers(s.changes)}) for s in record.stages
            ),
            "gates": tuple(
                g.model_copy(update={"name": HOSTILE, "explanation": HOSTILE, "artifact": HOSTILE})
                for g in record.gates
            ),
            "artifacts": tuple(
                a.model_copy(update={"name": f"{HOSTILE}{a.name}", "reason": HOSTILE, "advice": HOSTILE})
                for a in record.artifacts
            ),
            "measurements": tuple(
                m.model_copy(update={"artifact": f"{HOSTILE}{m.artifact}", "method": HOSTILE})
                for m in record.measurements
            ),
        }
    )


def test_hostile_text_stays_text(record: Record) -> None:
    text = markdown.render(hostile(record), {})
    assert "<script" not in text
    parsed = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    kinds = {child.type for token in parsed for child in token.children or []}
    assert not kinds & {"html_inline", "image", "link_open", "code_inline"}
    assert "html_block" not in {token.type for token in parsed}
    headings = [parsed[i + 1].content for i, token in enumerate(parsed) if token.type == "heading_open"]
    assert [heading for heading in headings if "Deployment" not in heading] == [
        *("Summary", "Checklist"),
        *(f"{number}. {section.title}" for number, section in enumerate(rows(record), 1)),
        *("Classes", "Passes", "What INT8 does in each layer", "Gates", "Provenance"),
    ]
    shape = [line.replace(r"\|", "").count("|") for line in text.splitlines() if line.startswith("|")]
    clean = markdown.render(record, {}).splitlines()
    assert set(shape) <= {line.count("|") for line in clean if line.startswith("|")}


def test_random_weights_are_said_first(make: Maker) -> None:
    text = markdown.render(make(untrained=True), {})
    assert text.index(f"> **Warning:** {overview.UNTRAINED}") < text.index("## Summary")
    assert "- not measured: the weights are random" in text


def test_synthetic_images_and_the_datas_own_notes_are_said_first(record: Record) -> None:
    data = {**record.data, "provenance": {"synthetic": True}, "notes": ["WARNING: 3 images are in two splits"]}
    one = record.model_copy(update={"data": data, "warnings": ("WARNING: 3 images are in two splits",)})
    assert overview.warnings(one) == [overview.SYNTHETIC, "3 images are in two splits"]
    assert f"> **Warning:** {overview.SYNTHETIC}" in markdown.render(one, {})
    assert "**Warning:**" not in markdown.render(record, {})


def test_latencies_of_another_machine_or_occasion_are_pointed_out(record: Record) -> None:
    changed = [
        m.model_copy(update={"conditions": {**m.conditions, "session": "later", "machine": {"cpu": "Other CPU"}}})
        if (m.artifact, m.metric) == ("cpu-int8", "latency_s")
        else m
        for m in record.measurements
    ]
    changed_record = record.model_copy(update={"measurements": tuple(changed)})
    found = overview.warnings(changed_record)
    assert any("several occasions" in text for text in found)
    assert any("cpu-int8 was timed on another machine than the rest: Other CPU" in text for text in found)
    assert "Device of cpu-int8:** Other CPU" in markdown.render(changed_record, {})
    assert "Device of" not in markdown.render(record, {})


def test_gates_passes_and_hashes_are_listed(record: Record) -> None:
    text = markdown.render(record, {})
    assert "| android-int8 | **no** | accuracy_drop LOST: accuracy 84.0% is 3.10 points lower" in text
    assert "| 1.05 GMAC → 274 MMAC | 2.3e-06 | 100.0% |" in text
    for one in record.artifacts:
        assert one.sha256 in text
    assert record.recipe_sha256 in text
    assert "c0ffee, with uncommitted changes" in text


def test_the_ten_most_harmful_layers_are_listed(record: Record) -> None:
    text = markdown.render(record, {})
    part = text[text.index("### What INT8 does in each layer") : text.index("## Gates")]
    names = [line.split(" | ")[0].removeprefix("| ") for line in part.splitlines() if line.startswith("| ")]
    assert names == ["layer in INT8", "none (all float)", "all", "head", *(f"stage.{i}" for i in range(10, 1, -1))]
    assert table_row(part, "head")[1] == "0.220"
    assert table_row(part, "head")[-1] == "float"
    assert table_row(part, "stage.10")[-1] == "INT8"
    assert "And 2 more layers, each less harmful; record.json holds all." in part
    assert "10 of 10 images of the split 'val'" in part


def test_what_auto_gave_back_is_told(record: Record) -> None:
    form = {"kept_float": ["head"], "gates_hold": True, "latency_ratio": 1.042}
    mixed = {
        "asked": "auto",
        "verdict": "the gates hold",
        "given_back": [{"layer": "head", "macs_share": 0.1, "agreement": 0.97, "accuracy": 0.88, "kl": 0.02}],
        "forms": {"by harm": form},
    }
    last = record.stages[-1]
    stage = last.model_copy(update={"changes": {**last.changes, "mixed_precision": mixed}})
    text = markdown.render(record.model_copy(update={"stages": (*record.stages[:-1], stage)}), {})
    assert "Given back to float: head, 10.0% of the MACs; with it the same class as float 0.970" in text
    assert "Form 'by harm': float head; the gates hold; latency 1.04 times that of INT8 throughout" in text
    assert "by the quantizing pass: head; keep_float auto: the gates hold" in text


def test_pictures_are_linked_relative_to_the_checklist(record: Record, tmp_path: Path) -> None:
    paths = write(record, tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "checklist.md",
        "checklist.tex",
        "report.html",
        "pictures/latency.png",
        "pictures/reliability.png",
        "pictures/size_latency.png",
        "pictures/score_latency.png",
        "pictures/sensitivity.png",
    ]
    shown = ("latency", "reliability", "size_latency", "score_latency", "sensitivity")
    links = re.findall(r"!\[[^]]+\]\(([^)]+)\)", paths[0].read_text(encoding="utf-8"))
    assert links == [f"pictures/{name}.png" for name in shown]
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")]


def test_reports_are_written_without_torch(record: Record, tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(dumps(record), encoding="utf-8")
    code = (
        "import sys; from pathlib import Path; from edgekit import record, report\n"
        "heavy = ['torch', 'torchvision', 'timm', 'sklearn', 'skimage', 'openvino', 'onnx', 'onnxruntime']\n"
        "for name in heavy: sys.modules[name] = None\n"
        "one = record.read(Path(sys.argv[1]))\n"
        "report.write(one, Path(sys.argv[1])); report.table(one); report.summary_lines(one)\n"
    )
    root = Path(__file__).resolve().parents[2]
    env = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "checklist.md").read_text(encoding="utf-8") == markdown.render(
        record, {title: f"pictures/{name}" for name, (title, _) in _pictures().items()}
    )


def _pictures() -> dict[str, Any]:
    from edgekit.report.plots import PICTURES

    return {name: drawn for name, drawn in PICTURES.items() if name not in NOT_ASKED}

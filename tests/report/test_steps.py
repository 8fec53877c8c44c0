"""The table of what each pass brought, from the record alone."""

from __future__ import annotations

from typing import Any

from edgekit.record import Record, Stage
from edgekit.report import markdown
from edgekit.report.steps import steps


def _figures(value: float) -> dict[str, Any]:
    names = ("accuracy", "balanced_accuracy", "ece", "nll", "sensitivity/rare_lesion", "sensitivity/adenoma")
    found = {name: {"value": value, "interval": [value - 0.05, value + 0.05]} for name in names}
    found["nll"] = {"value": None, "reason": "the logits were not finite"}
    return found


def _with_steps(record: Record, rejected: str | None) -> Record:
    row = {"precision": "fp32", "before_p50_s": 2e-3, "after_p50_s": 1e-3, "speedup": 2.0, "low": 1.9, "high": 2.1}
    latency = {"cpu": row, "iphone": {"not_measured": "Core ML runs on macOS"}}
    source = next(one for one in record.artifacts if one.name == "source").stages
    number = len(source)
    prune = f"{number}-prune"
    added: tuple[Stage, ...] = (
        Stage(name=prune, kind="prune", seconds=1.0, cached=False,
              changes={"parameters_after": 1000, "macs_after": 2_000_000}),
        Stage(name=f"prove-{prune}", kind="prove", seconds=1.0, cached=False,
              changes={"pass": prune, "latency": latency, "rejected": rejected}),
        Stage(name="evaluate-teacher", kind="evaluate_step", seconds=1.0, cached=False,
              changes={"pass": "teacher", "figures": _figures(0.9)}),
    )  # fmt: skip
    if rejected is None:
        added += (
            Stage(name=f"evaluate-{prune}", kind="evaluate_step", seconds=1.0, cached=False,
                  changes={"pass": prune, "figures": _figures(0.8)}),
        )  # fmt: skip
    return record.model_copy(update={"stages": (*record.stages, *added)})


def test_no_table_without_such_passes(record: Record) -> None:
    assert steps(record).rows == []
    assert "What each pass brought" not in markdown.render(record, {})


def test_figures_speed_and_reasons(record: Record) -> None:
    made = _with_steps(record, None)
    found = steps(made)
    assert found.rows[0].name == "teacher"
    assert found.rows[1].name.startswith("source")
    prune = next(row for row in found.rows if row.name.endswith("-prune"))
    assert prune.parameters == "1.00 k"
    assert prune.macs == "2.00 MMAC"
    shown = dict(zip(found.headings, prune.shown, strict=True))
    assert shown["balanced accuracy"].value == "0.800 (0.750 to 0.850)"
    assert shown["NLL"].reason == "not measured: the logits were not finite"
    assert "cpu fp32: 2.00x (1.90 to 2.10), p50 2.00 ms to 1.00 ms" in prune.latency.text
    assert "iphone: not measured: Core ML runs on macOS" in prune.latency.text
    assert any(row.name == "exported cpu-int8" for row in found.rows)
    text = markdown.render(made, {})
    assert "### What each pass brought" in text
    assert "0.800 (0.750 to 0.850)" in text


def test_a_rejected_pass_is_called_so(record: Record) -> None:
    made = _with_steps(record, "a speed-up of 3 was required, and cpu became 2.00 times as fast")
    row = next(row for row in steps(made).rows if "prune" in row.name)
    assert not row.kept
    assert all(shown.reason == "not measured: the pass was rejected" for shown in row.shown)
    assert "REJECTED: a speed-up of 3 was required" in row.latency.text
    assert "-prune (rejected)" in markdown.render(made, {})

"""The table of a study, from records with known figures."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from scipy import stats

from edgekit import cli, record
from edgekit.errors import InputError
from edgekit.evaluate.statistics import speedup
from edgekit.measure.together import SESSION
from edgekit.recipe import Membership
from edgekit.record import Gate, Record
from edgekit.report import ablation
from edgekit.report.ablation import markdown, picture, scores, timing
from edgekit.report.ablation.rows import rows
from edgekit.report.ablation.runs import Runs
from edgekit.report.ablation.scores import FLOAT

if TYPE_CHECKING:
    from tests.report.conftest import Maker

CANDIDATES = ("plain", "pruned", "qat")
SEEDS = (0, 1, 2)
#: Accuracy of every artifact, by candidate and seed.
ACCURACY = {"plain": (0.80, 0.82, 0.78), "pruned": (0.79, 0.80, 0.78), "qat": (0.81, 0.84, 0.79)}
#: How much slower than the fixture's.
PACE = {"plain": 1.0, "pruned": 0.6, "qat": 1.1}
Folder = Callable[..., Path]


def membership(candidate: str, seed: int | None, **changed: Any) -> Membership:
    fields = {
        "name": "three",
        "candidate": candidate,
        "seed": seed,
        "baseline": "plain",
        "candidates": CANDIDATES,
        "seeds": SEEDS if seed is not None else (),
        "timed_seeds": "first",
        "sha256": "5" * 64,
    }
    return Membership.model_validate(fields | changed)


def belonging(one: Record, study: Membership) -> Record:
    """``one`` with the figures of the candidate and the seed."""
    seed = study.seed or 0
    measurements = []
    for row in one.measurements:
        update: dict[str, Any] = {}
        if row.metric in ("accuracy", "balanced_accuracy") and row.samples:
            update["samples"] = (ACCURACY[study.candidate][seed],)
        if row.metric == "latency_s" and row.samples:
            if not study.timed:
                update = {"samples": None, "not_measured_reason": "measured for seed 0"}
            else:
                update["samples"] = tuple(sample * PACE[study.candidate] for sample in row.samples)
                timed_as = f"{study.candidate}.{row.artifact}"
                update["conditions"] = {**row.conditions, SESSION: "a", "timed_as": timed_as}
        measurements.append(row.model_copy(update=update))
    recipe = one.recipe | {"study": study.model_dump(mode="json")}
    return one.model_copy(update={"recipe": recipe, "measurements": tuple(measurements)})


@pytest.fixture
def folder(make: Maker, tmp_path: Path) -> Folder:
    """Write the study's records; ``alter(candidate, seed, record)`` changes one or leaves it out."""

    def write(
        seeds: tuple[int | None, ...] = SEEDS,
        alter: Callable[[str, int | None, Record], Record | None] = lambda candidate, seed, one: one,
        **changed: Any,
    ) -> Path:
        base = make(runs=20)
        for candidate in CANDIDATES:
            for seed in seeds:
                one = alter(candidate, seed, belonging(base, membership(candidate, seed, **changed)))
                if one is not None:
                    path = tmp_path / "out" / candidate / f"seed-{seed}"
                    path.mkdir(parents=True, exist_ok=True)
                    (path / "record.json").write_text(record.dumps(one), encoding="utf-8")
        return tmp_path / "out"

    return write


def loaded(path: Path) -> Runs:
    found = ablation.find(path)
    assert found is not None
    return found


def cells(text: str, heading: str, *first: str) -> list[str]:
    """The cells of the row that begins with ``first`` below ``heading``."""
    part = text.split(f"## {heading}")[1].split("\n## ")[0]
    line = next(line for line in part.splitlines() if line.startswith(f"| {' | '.join(first)} |"))
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_means_and_intervals_are_scipys(folder: Folder) -> None:
    text = markdown.render(loaded(folder()), None)
    for candidate, values in ACCURACY.items():
        low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
        shown = f"{np.mean(values):.3f} ({low:.3f} to {high:.3f})"
        assert shown in cells(text, "Models", candidate)
        assert shown in cells(text, "cpu: ONNX Runtime", candidate, "cpu-int8")


def test_differences_are_paired_by_seed(folder: Folder) -> None:
    text = markdown.render(loaded(folder()), None)
    pairs = np.array(ACCURACY["qat"]) - np.array(ACCURACY["plain"])
    low, high = stats.t.interval(0.95, 2, pairs.mean(), stats.sem(pairs))
    shown = f"{pairs.mean():+.3f} ({low:+.3f} to {high:+.3f})"
    assert cells(text, "Differences", "qat", "intel-cpu-int8")[2:4] == ["plain: intel-cpu-int8", shown]
    # Far narrower than the difference of two means that forgets which runs have a seed in common.
    apart = stats.ttest_ind(ACCURACY["qat"], ACCURACY["plain"]).confidence_interval()
    assert high - low < (apart.high - apart.low) / 2
    assert "\n| plain | " not in text.split("## Differences")[1].split("## How to read")[0]


def test_a_seed_that_the_baseline_lacks_is_not_paired(folder: Folder) -> None:
    runs = loaded(folder(alter=lambda candidate, seed, one: None if (candidate, seed) == ("plain", 2) else one))
    text = markdown.render(runs, None)
    pairs = np.array(ACCURACY["qat"])[:2] - np.array(ACCURACY["plain"])[:2]
    assert cells(text, "Differences", "qat", "cpu-fp32")[3].startswith(f"{pairs.mean():+.3f} (")
    assert "2 of 3 seeds" in cells(text, "Differences", "qat", "cpu-fp32")[3]
    assert "**plain, seed 2**: no record: the run failed" in text


def test_no_difference_and_no_speedup_without_a_baseline(folder: Folder) -> None:
    runs = loaded(folder(alter=lambda candidate, seed, one: None if candidate == "plain" else one))
    text = markdown.render(runs, None)
    assert "the baseline plain left no record" in text
    assert cells(text, "cpu: ONNX Runtime", "qat", "cpu-int8")[-3].startswith("not measured (")


def test_speedup_is_that_of_one_session(folder: Folder) -> None:
    runs = loaded(folder())
    base, other = runs.of("plain")[0].record, runs.of("pruned")[0].record
    slow, fast = ([row.samples or () for row in one.of("cpu-int8", "latency_s")] for one in (base, other))
    ratio, low, high = speedup(slow, fast)
    assert ratio == pytest.approx(1 / 0.6)
    text = markdown.render(runs, None)
    row = cells(text, "cpu: ONNX Runtime", "pruned", "cpu-int8")
    assert row[-3:] == [f"{ratio:.2f}x ({low:.2f} to {high:.2f})", "plain: cpu-int8", "accepted"]
    assert cells(text, "cpu: ONNX Runtime", "plain", "cpu-int8")[-3:] == ["reference", "", "accepted"]


def test_latencies_of_two_sessions_are_not_compared(folder: Folder) -> None:
    def later(candidate: str, seed: int | None, one: Record) -> Record:
        rows = [
            row.model_copy(update={"conditions": {**row.conditions, SESSION: "b"}})
            if SESSION in row.conditions
            else row
            for row in one.measurements
        ]
        return one.model_copy(update={"measurements": tuple(rows)}) if candidate == "pruned" else one

    runs = loaded(folder(alter=later))
    assert timing.speedup(runs.of("pruned"), runs.of("plain"), "cpu-int8").why == (
        "the two were not timed in the same session"
    )
    assert timing.speedup(runs.of("qat"), runs.of("plain"), "cpu-int8").value


def test_a_later_bench_of_one_run_does_not_enter(folder: Folder) -> None:
    def benched(candidate: str, seed: int | None, one: Record) -> Record:
        if (candidate, seed) != ("pruned", 0):
            return one
        more = [
            row.model_copy(update={"samples": (9.0,) * 20, "conditions": {"process": 0, "session": "later"}})
            for row in one.of("cpu-int8", "latency_s")[:1]
        ]
        return one.model_copy(update={"measurements": (*one.measurements, *more)})

    before = markdown.render(loaded(folder()), None)
    assert markdown.render(loaded(folder(alter=benched)), None) == before


def test_a_median_of_too_few_runs_is_not_printed(folder: Folder) -> None:
    def few(candidate: str, seed: int | None, one: Record) -> Record:
        rows = [
            row.model_copy(update={"samples": row.samples[:3]})
            if row.metric == "latency_s" and row.samples
            else row
            for row in one.measurements
        ]
        return one.model_copy(update={"measurements": tuple(rows)})

    runs = loaded(folder(alter=few))
    assert timing.p50(runs.of("plain"), "cpu-int8").reason == (
        "not printed: p50 needs at least 11 runs, 9 were timed"
    )
    assert timing.p50_s(runs.of("plain"), "cpu-int8") is None


def test_an_artifact_that_the_baseline_lacks_is_compared_with_its_most_precise(folder: Folder) -> None:
    def float_only(candidate: str, seed: int | None, one: Record) -> Record:
        if candidate != "plain":
            return one
        left = tuple(a for a in one.artifacts if not a.name.endswith("int8"))
        rest = tuple(m for m in one.measurements if not m.artifact.endswith("int8"))
        return one.model_copy(update={"artifacts": left, "measurements": rest})

    runs = loaded(folder(alter=float_only))
    found = {(row.candidate, row.artifact): row.over for row in rows(runs)}
    assert found["qat", "cpu-int8"] == "plain: cpu-fp32"
    assert found["qat", "cpu-fp32"] == "plain: cpu-fp32"
    assert found["qat", FLOAT] == "plain: float"
    text = markdown.render(runs, None)
    assert cells(text, "cpu: ONNX Runtime", "qat", "cpu-int8")[-2] == "plain: cpu-fp32"


def test_status_names_the_seeds_and_the_gates(folder: Folder) -> None:
    def rejected(candidate: str, seed: int | None, one: Record) -> Record:
        if (candidate, seed) != ("qat", 1):
            return one
        artifacts = [
            a.model_copy(update={"status": "rejected", "reason": "r"}) if a.name == "cpu-int8" else a
            for a in one.artifacts
        ]
        gate = Gate(artifact="cpu-int8", name="agreement", limit=0.9, value=0.8, passed=False, explanation="r")
        return one.model_copy(update={"artifacts": tuple(artifacts), "gates": (*one.gates, gate)})

    runs = loaded(folder(alter=rejected))
    found = {(row.candidate, row.artifact): row for row in rows(runs)}
    assert found["qat", "cpu-int8"].status == (
        "accepted in 2 of 3 (seed 0, 2); rejected by agreement in 1 of 3 (seed 1)"
    )
    assert not found["qat", "cpu-int8"].accepted
    assert found["pruned", "android-int8"].status == "rejected by accuracy_drop"
    assert found["pruned", "iphone-int8"].status == "exported, not run here"
    assert found["pruned", "iphone-int8"].p50.why == "Core ML can be run on macOS only"


def test_counts_are_of_the_stages_that_made_the_model(folder: Folder) -> None:
    def counted(candidate: str, seed: int | None, one: Record) -> Record:
        artifacts = [
            a.model_copy(update={"stages": ("pass-0-finetune", "pass-1-reparameterize")})
            if a.name == "source-fused"
            else a
            for a in one.artifacts
        ]
        stages = [
            stage.model_copy(
                update={"changes": {**stage.changes, "macs_after": 200_000_000 + (seed or 0) * 1_000_000}}
            )
            if "macs_after" in stage.changes and candidate == "pruned"
            else stage
            for stage in one.stages
        ]
        return one.model_copy(update={"artifacts": tuple(artifacts), "stages": tuple(stages)})

    runs = loaded(folder(alter=counted))
    assert scores.counted(runs.of("plain"), "macs", "MAC").value == "274 MMAC"
    assert scores.counted(runs.of("plain"), "parameters", "").value == "2.08 M"
    assert scores.counted(runs.of("pruned"), "macs", "MAC").value == "201 MMAC (seeds: 200 MMAC to 202 MMAC)"
    warning = (
        "**pruned**: its networks differ between seeds in their MACs, and the latency is that of the first seed"
    )
    assert warning in markdown.render(runs, None)
    every = runs.study.model_copy(update={"timed_seeds": "all"})
    assert warning not in markdown.render(Runs(every, runs.runs, (), ()), None)


def test_what_an_interval_is_of_is_said(folder: Folder) -> None:
    several = loaded(folder())
    # The fixture's calibration is the same in all records.
    assert scores.score(several.of("plain"), "cpu-int8", "ece").text.endswith("(the same for all 3 seeds)")
    text = markdown.render(several, None)
    assert "n = 3 seeds" in text
    assert "Student's t, 4.30 standard errors" in text
    assert "With so few seeds they are wide" in text
    assert scores.score(several.of("plain")[:1], "cpu-int8", "accuracy").text == "0.800 (1 of 3 seeds)"


def test_one_seed_has_no_interval(folder: Folder) -> None:
    runs = loaded(folder(seeds=(0,)))
    one = Runs(runs.study.model_copy(update={"seeds": (0,)}), runs.runs, (), ())
    assert "One seed: how much a figure depends on it is not known" in markdown.render(one, None)


def test_without_seeds_intervals_are_over_the_images(folder: Folder) -> None:
    runs = loaded(folder(seeds=(None,)))
    assert (len(runs.runs), runs.missing) == (3, ())
    text = markdown.render(runs, None)
    interval = runs.runs[0].record.value("cpu-int8", "accuracy")
    assert interval is not None
    assert interval.interval is not None
    low, high = interval.interval
    assert cells(text, "cpu: ONNX Runtime", "plain", "cpu-int8")[3] == f"0.800 ({low:.3f} to {high:.3f})"
    assert "the intervals are over the test images" in text
    assert picture.draw(runs) is not None


def test_every_seed_timed_gives_intervals_over_seeds(folder: Folder) -> None:
    runs = loaded(folder(timed_seeds="all"))
    found = timing.p50_s(runs.of("pruned"), "cpu-int8")
    medians = [
        np.median(np.concatenate([m.samples or () for m in one.record.of("cpu-int8", "latency_s")]))
        for one in runs.of("pruned")
    ]
    assert found == pytest.approx((np.mean(medians),) * 3)
    assert timing.speedup(runs.of("pruned"), runs.of("plain"), "cpu-int8").text == "1.67x (1.67 to 1.67)"
    assert "intervals over the seeds" in markdown.render(runs, None)


# Which records belong together


def test_records_of_another_version_or_of_other_images_are_left_out(folder: Folder) -> None:
    def mixed(candidate: str, seed: int | None, one: Record) -> Record:
        if candidate == "plain":
            return one.model_copy(update={"created_utc": "2026-01-01T00:00:00+00:00"})
        if candidate == "pruned":
            study = one.recipe["study"] | {"sha256": "6" * 64}
            return one.model_copy(update={"recipe": one.recipe | {"study": study}})
        splits = one.data["splits"] | {"test": one.data["splits"]["test"] | {"image_sha256": "other"}}
        return one.model_copy(update={"data": one.data | {"splits": splits}})

    runs = loaded(folder(alter=mixed))
    assert [one.study.candidate for one in runs.runs] == ["plain"] * 3
    reasons = dict(runs.left_out)
    assert reasons["pruned/seed-0/record.json"] == "it is of another version of the study"
    assert reasons["qat/seed-2/record.json"] == "its test images are not those of the newest record"
    text = markdown.render(runs, None)
    assert "Records in this folder that are not used" in text
    assert "no record" in text


def test_two_records_of_one_run(folder: Folder) -> None:
    out = folder()
    twin = out / "copy" / "seed-0"
    twin.mkdir(parents=True)
    one = record.read(out / "plain" / "seed-0")
    newer = one.model_copy(update={"created_utc": "2026-01-01T00:00:00+00:00"})
    (twin / "record.json").write_text(record.dumps(newer), encoding="utf-8")
    runs = loaded(out)
    assert runs.of("plain")[0].path == "copy/seed-0/record.json"
    assert [path for path, _ in runs.left_out] == ["plain/seed-0/record.json"]


def test_a_folder_without_a_study_and_an_altered_record(folder: Folder, make: Maker, tmp_path: Path) -> None:
    (tmp_path / "single" / "run").mkdir(parents=True)
    (tmp_path / "single" / "run" / "record.json").write_text(record.dumps(make(runs=20)), encoding="utf-8")
    assert ablation.find(tmp_path / "single") is None
    assert ablation.find(tmp_path / "nowhere") is None
    path = folder() / "qat" / "seed-1" / "record.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"timed_seeds": "first"', '"timed_seeds": 1'), "utf-8")
    with pytest.raises(InputError, match=r"record\.json: recipe\.study: malformed.*the record was altered"):
        ablation.find(tmp_path / "out")


# What is written


def test_the_same_records_give_the_same_bytes(folder: Folder, tmp_path: Path) -> None:
    runs = loaded(folder())
    one, other = (ablation.write(runs, tmp_path / name) for name in ("a", "b"))
    assert [path.name for path in one] == ["ablation.md", "ablation.png"]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]
    assert "(<pictures/ablation.png>)" in one[0].read_text(encoding="utf-8")
    with Image.open(one[1]) as image:
        assert min(image.size) > 400


def test_every_row_has_as_many_cells_as_its_heading(folder: Folder) -> None:
    def hostile(candidate: str, seed: int | None, one: Record) -> Record:
        classes = ["healthy", "adenoma", "a|b\n# <b>_x_"]
        splits = {
            name: part | {"class_counts": dict(zip(classes, part["class_counts"].values(), strict=True))}
            for name, part in one.data["splits"].items()
        }
        task = one.recipe["task"] | {"classes": classes, "description": "# a\n\n| b |"}
        return one.model_copy(
            update={
                "data": one.data | {"classes": classes, "splits": splits},
                "recipe": one.recipe | {"task": task},
            }
        )

    text = markdown.render(loaded(folder(alter=hostile)), None)
    tables = [part for part in text.split("\n\n") if part.startswith("|")]
    assert len(tables) == 7
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    assert "<b>" not in text
    assert "\n# a" not in text


def test_the_front_holds_what_no_accepted_one_beats(folder: Folder) -> None:
    runs = loaded(folder())
    points = [one for row in rows(runs) if row.target and (one := picture.point(runs, row))]
    cpu = [one for one in points if one.row.target == "cpu"]
    front = picture.front(cpu)
    assert {(one.row.candidate, one.row.artifact) for one in front} == {
        ("pruned", "cpu-int8"),
        ("plain", "cpu-int8"),
        ("qat", "cpu-int8"),
    }
    for one in cpu:
        assert one in front or any(best.p50[0] <= one.p50[0] and best.score[0] >= one.score[0] for best in front)
    android = [one for one in points if one.row.target == "android"]
    assert all(one.row.artifact == "android-fp32" for one in picture.front(android)), "the other is rejected"


def test_a_study_without_accuracy_has_no_picture_and_removes_the_old_one(folder: Folder, make: Maker) -> None:
    out = folder()
    ablation.write(loaded(out), out)
    bare = make(runs=20, untrained=True)
    for path in out.glob("*/*/record.json"):
        study = Membership.model_validate(record.read(path).recipe["study"])
        path.write_text(record.dumps(belonging(bare, study)), encoding="utf-8")
    assert [path.name for path in ablation.write(loaded(out), out)] == ["ablation.md"]
    assert not (out / "pictures" / "ablation.png").exists()
    assert "the weights are random" in (out / "ablation.md").read_text(encoding="utf-8")


def test_the_table_on_the_terminal_fits(folder: Folder) -> None:
    runs = loaded(folder(alter=lambda candidate, seed, one: None if (candidate, seed) == ("qat", 1) else one))
    console = Console(width=80, no_color=True, legacy_windows=False)
    with console.capture() as capture:
        console.print(ablation.table(runs))
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= 80
    row = next(line for line in lines if line.startswith("pruned") and "intel-cpu-int8" in line)
    assert row.split()[2:4] == ["0.790", "0.790"]
    assert "1.67x accepted" in " ".join(row.split())
    assert any(line.startswith("qat, seed 1 none") and "no record" in line for line in lines)


def test_the_picture_is_called_what_it_shows(folder: Folder) -> None:
    def segmented(candidate: str, seed: int | None, one: Record) -> Record:
        return one.model_copy(
            update={"recipe": {**one.recipe, "task": {**one.recipe["task"], "kind": "segmentation"}}}
        )

    assert "![balanced accuracy against p50](<p.png>)" in markdown.render(loaded(folder()), "p.png")
    assert "![mean Dice against p50](<p.png>)" in markdown.render(loaded(folder(alter=segmented)), "p.png")


def test_report_writes_it_again(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder()
    monkeypatch.setattr(sys, "argv", ["edgekit", "report", str(out)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 0
    assert str(out / "ablation.md") in capsys.readouterr().out
    assert (out / "ablation.md").read_text(encoding="utf-8") == markdown.render(
        loaded(out), "pictures/ablation.png"
    )

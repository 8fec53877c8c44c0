"""Studies: what they are made of, what their runs share, and that their latencies belong together."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from edgekit import cli, study
from edgekit import recipe as recipes
from edgekit.devices import local
from edgekit.errors import DeviceError, InputError
from edgekit.measure.latency import Job
from edgekit.measure.protocol import Throughput, WorkerResult
from edgekit.measure.together import SESSION
from edgekit.passes.base import PassError
from edgekit.passes.finetune import Finetune
from edgekit.progress import Reporter
from edgekit.rebench import rebench
from edgekit.recipe import StudyRun
from edgekit.report import ablation
from edgekit.study import Ended
from edgekit.target import Ssh, Target
from tests.worker_results import worker_result

MODULE = "tests.networks:build"
TEXT = """\
schema_version: 1
name: tiny
task:
  kind: classification
  description: a test
  modality: CT (synthetic)
  classes: [no lesion, solid nodule, calcified nodule, cystic lesion, ring-enhancing lesion]
data: {kind: phantom, seed: 7, size: 32, angles: 24, count: {train: 60, val: 40, test: 40}}
input: {size: [32, 32]}
models:
  - name: once
    model: &network {architecture: module}
    passes: [&train {kind: finetune, epochs: 1}]
  - name: twice
    model: *network
    passes: [*train, {kind: finetune, epochs: 2}]
seeds: [0, 1]
targets: [cpu]
evaluation: {bootstrap: 100, seed: 5}
benchmark: {warmup: 1, runs: 20, processes: 2}
gates: {max_accuracy_drop: 1.0}
"""
EAGER = Target(
    schema_version=1,
    name="eager",
    description="needs no exporter",
    runtime="torch_eager",
    device="CPU",
    precisions=("fp32",),
)


def members(folder: Path, text: str = TEXT) -> list[StudyRun]:
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return [one for one in recipes.load(path)[0] if isinstance(one, StudyRun)]


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(InputError) as caught:
        members(folder, text)
    return str(caught.value).removeprefix(f"{folder}/")


# What a study says


def test_one_run_a_candidate_and_seed(tmp_path: Path) -> None:
    found = members(tmp_path)
    assert [one.name for one in found] == [
        "tiny-once-seed-0",
        "tiny-once-seed-1",
        "tiny-twice-seed-0",
        "tiny-twice-seed-1",
    ]
    folders = [study.folder_of(one, Path("out")).as_posix() for one in found]
    assert folders == ["out/once/seed-0", "out/once/seed-1", "out/twice/seed-0", "out/twice/seed-1"]
    assert {one.study.baseline for one in found} == {"once"}
    assert [one.study.timed for one in found] == [True, False, True, False]
    assert len({one.study.sha256 for one in found}) == 1
    assert len({recipes.sha256(one) for one in found}) == 4
    # The alias gave both the same first pass.
    assert found[0].passes == found[2].passes[:1]


def test_without_seeds_folders_are_named_after_the_run(tmp_path: Path) -> None:
    found = members(tmp_path, TEXT.replace("seeds: [0, 1]\n", ""))
    assert [study.folder_of(one, Path("out")).as_posix() for one in found] == ["out/tiny-once", "out/tiny-twice"]
    assert [one.study.seed for one in found] == [None, None]
    assert all(one.study.timed for one in found)


def test_a_seed_replaces_those_of_model_and_passes_and_no_others(tmp_path: Path) -> None:
    plain = members(tmp_path, TEXT.replace("{architecture: module}", "{architecture: module, seed: 9}"))[
        -1
    ].model_dump()
    assert (plain["model"]["seed"], [one["seed"] for one in plain["passes"]]) == (1, [1, 1])
    assert (plain["data"]["seed"], plain["evaluation"]["seed"]) == (7, 5)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("name: twice", "name: once", "study.yaml:14: models[1]: the name 'once' is named twice in 'models'"),
        ("  - name: once\n    model", "  - model", None),
        ("name: twice", "name: stages", "study.yaml:14: models[1]: 'stages' is a folder of the study itself"),
        ("name: twice", "name: A b", "study.yaml:14: models[1].name: string should match pattern"),
        (
            "seeds: [0, 1]",
            "seeds: [0, 1]\nbaseline: onse",
            "no candidate 'onse' for a baseline, did you mean 'once'?",
        ),
        (
            "    model: *network",
            "    baseline: x\n    model: *network",
            "study.yaml:14: models[1]: there is no candidate 'x'",
        ),
        ("seeds: [0, 1]", "seeds: [1, 1]", "a seed is given twice"),
        ("seeds: [0, 1]", "seeds: [-1]", "study.yaml:17: seeds[0]: input should be greater than or equal to 0"),
        ("seeds: [0, 1]", "timed_seeds: all", "'timed_seeds: all' needs 'seeds'"),
    ],
)
def test_studies_that_make_no_sense(tmp_path: Path, before: str, after: str, said: str | None) -> None:
    text = TEXT.replace(before, after)
    assert text != TEXT
    if said is None:
        assert [one.study.candidate for one in members(tmp_path, text)][::2] == ["module", "twice"]
    else:
        assert said in refusal(tmp_path, text)


def test_a_baseline_of_the_study_and_of_a_candidate(tmp_path: Path) -> None:
    text = TEXT.replace("seeds: [0, 1]", "baseline: twice").replace(
        "    model: &", "    baseline: once\n    model: &"
    )
    assert [one.study.baseline for one in members(tmp_path, text)] == ["once", "twice"]


# What running it does


class Clock:
    """Stands for the measuring processes: the later a file is added, the slower it is."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.broken: set[str] = set()

    def __call__(
        self, jobs: Sequence[Job], warmup: int, runs: int, timeout_s: float, throughput: Throughput | None = None
    ) -> list[WorkerResult | DeviceError]:
        return [self._one(job, runs) for job in jobs]

    def _one(self, job: Job, runs: int) -> WorkerResult | DeviceError:
        if job.artifact in self.broken:
            return DeviceError("it died", where=job.artifact)
        self.asked.append(job.artifact)
        slow = 2.0 if job.artifact.startswith("twice") else 1.0
        return worker_result(samples_s=tuple(1e-3 * slow * (1 + 0.001 * index) for index in range(runs)))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    quicken(monkeypatch, made)
    return made


def quicken(patch: pytest.MonkeyPatch, clock: Clock) -> None:
    """No measuring processes, and no checklists of single runs, which have tests of their own."""
    patch.setattr(local, "run_together", clock)
    patch.setattr("edgekit.report.write", lambda record, folder, redraw: [])


def execute(found: list[StudyRun], root: Path) -> list[Ended]:
    return study.execute(
        found, {"eager": EAGER}, root, MODULE, Reporter(Console(file=io.StringIO())), "edgekit compress study.yaml"
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that ran undisturbed; read only."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch, Clock())
        assert [one.exit_code for one in execute(members(folder), folder / "out")] == [0, 0, 0, 0]
    return folder / "out"


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """A copy of it to work on."""
    return shutil.copytree(finished, tmp_path / "out")


def plain_record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    return found


def latencies(folder: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for one in plain_record(folder)["measurements"]:
        if one["metric"] == "latency_s":
            found.setdefault(one["artifact"], []).append(one)
    return found


def summarize(out: Path) -> str:
    """``ablation.md``, written again."""
    runs = ablation.find(out)
    assert runs is not None
    return ablation.write(runs, out)[0].read_text(encoding="utf-8")


def stages(out: Path, name: str) -> list[str]:
    return sorted(path.name for path in (out / "stages").glob(f"{name}-*"))


def test_what_candidates_have_in_common_is_made_once(finished: Path) -> None:
    assert len(stages(finished, "data")) == 1
    assert len(stages(finished, "model")) == 2, "one a seed"
    assert len(stages(finished, "1-finetune")) == 2, "one a seed"
    assert len(stages(finished, "2-finetune")) == 2
    cached = {one["name"]: one["cached"] for one in plain_record(finished / "twice/seed-1")["stages"]}
    assert (cached["1-finetune"], cached["2-finetune"]) == (True, False)
    assert not list(finished.glob("*/*/stages"))


def test_exemplars_are_of_all_seeds_of_a_candidate_and_in_each_record(finished: Path) -> None:
    found = plain_record(finished / "twice/seed-0")["exemplars"]
    assert found == plain_record(finished / "twice/seed-1")["exemplars"]
    shipped = {one["definition"]: one for one in found if one["artifact"] == "eager-fp32"}
    assert set(shipped) == {"hooker", "holste"}
    assert shipped["hooker"]["seeds"] == [0, 1]
    # The file is the source itself, so no image is one.
    assert shipped["hooker"]["images"] == []
    assert "## Compression-identified exemplars" in summarize(finished)


def test_seeds_make_different_models_and_candidates_the_same_start(finished: Path) -> None:
    sha256 = {}
    for run in ("once/seed-0", "once/seed-1", "twice/seed-0"):
        record = plain_record(finished / run)
        assert record["recipe"]["study"]["candidate"] == run.split("/")[0]
        sha256[run] = next(one["sha256"] for one in record["artifacts"] if one["name"] == "source")
    assert len(set(sha256.values())) == 3


def test_one_session_times_the_first_seed_of_all(finished: Path) -> None:
    timed = {name: latencies(finished / name / "seed-0") for name in ("once", "twice")}
    sessions = {one["conditions"][SESSION] for run in timed.values() for rows in run.values() for one in rows}
    assert len(sessions) == 1
    for name, run in timed.items():
        assert list(run) == ["source", "eager-fp32"]
        for artifact, rows in run.items():
            assert [len(row["samples"]) for row in rows] == [20, 20]
            assert {row["conditions"]["timed_as"] for row in rows} == {f"{name}.seed-0.{artifact}"}
    for name in ("once", "twice"):
        for rows in latencies(finished / name / "seed-1").values():
            assert [row["samples"] for row in rows] == [None]
            assert f"measured for seed 0 of this study ({name})" in rows[0]["not_measured_reason"]


def test_a_second_run_makes_nothing_and_changes_no_figure(out: Path, tmp_path: Path, clock: Clock) -> None:
    before = {run: plain_record(out / run) for run in ("once/seed-0", "twice/seed-1")}
    kept = sorted(path.name for path in (out / "stages").iterdir())
    execute(members(tmp_path), out)
    assert clock.asked == []
    assert sorted(path.name for path in (out / "stages").iterdir()) == kept
    for run, record in before.items():
        after = plain_record(out / run)
        assert all(stage["cached"] for stage in after["stages"])
        assert (after["measurements"], after["artifacts"]) == (record["measurements"], record["artifacts"])


def test_a_candidate_that_adds_no_file_costs_nothing(out: Path, tmp_path: Path, clock: Clock) -> None:
    found = members(
        tmp_path, TEXT.replace("seeds:", "  - {name: again, model: *network, passes: [*train]}\nseeds:")
    )
    kept = sorted(path.name for path in (out / "stages").iterdir())
    execute(found, out)
    assert clock.asked == []
    assert sorted(path.name for path in (out / "stages").iterdir()) == kept
    assert latencies(out / "again/seed-0") == latencies(out / "once/seed-0")
    row = next(line for line in summarize(out).splitlines() if line.startswith("| again | eager-fp32 | fp32"))
    assert "| 1 (the same file) | once: eager-fp32 |" in row


def test_a_changed_pass_prunes_its_old_stages_and_has_all_measured_again(
    out: Path, tmp_path: Path, clock: Clock
) -> None:
    text = TEXT.replace("{kind: finetune, epochs: 2}", "{kind: finetune, epochs: 3}")
    before = stages(out, "1-finetune"), stages(out, "2-finetune")
    execute(members(tmp_path, text), out)
    assert stages(out, "1-finetune") == before[0]
    assert len(stages(out, "2-finetune")) == 2
    assert not set(stages(out, "2-finetune")) & set(before[1])
    # One file is new, so all are measured again, in turn: what is compared was measured on one occasion.
    assert len(clock.asked) == len(stages(out, "measure")) == 8
    assert set(clock.asked[:4]) == set(clock.asked[4:])


def test_timing_every_seed(out: Path, tmp_path: Path, clock: Clock) -> None:
    execute(members(tmp_path, TEXT + "timed_seeds: all\n"), out)
    for run in ("once/seed-0", "once/seed-1", "twice/seed-1"):
        assert all(row["samples"] for rows in latencies(out / run).values() for row in rows)
    assert "0.500x (0.500 to 0.500)" in summarize(out)


def test_a_run_that_fails_stops_no_other_and_its_old_record_is_set_aside(
    out: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Finetune, model: object, context: object) -> None:
        raise PassError("the loss is not finite", remedy="lower the learning rate")

    text = TEXT.replace("{kind: finetune, epochs: 2}", "{kind: finetune, epochs: 3}")
    kept = stages(out, "2-finetune")
    monkeypatch.setattr(Finetune, "apply", fails)
    ended = execute(members(tmp_path, text), out)
    assert [one.exit_code for one in ended] == [0, 0, PassError.exit_code, PassError.exit_code]
    assert "the loss is not finite" in str(ended[2].error)
    assert not (out / "twice/seed-0/record.json").exists()
    assert (out / "twice/seed-0/earlier-record.json").exists()
    assert stages(out, "2-finetune") == kept, "an error must not cost finished stages"
    runs = ablation.find(out)
    assert runs is not None
    assert runs.missing == (("twice", 0), ("twice", 1))
    assert "**twice, seed 0; twice, seed 1**: no record" in summarize(out)


def test_an_interrupted_study_goes_on(
    out: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: Clock, *arguments: Any) -> list[WorkerResult | DeviceError]:
        if len(self.asked) >= 3:
            raise KeyboardInterrupt
        return before(self, *arguments)

    before = Clock.__call__
    found = members(tmp_path, TEXT.replace("runs: 20", "runs: 30"))
    monkeypatch.setattr(Clock, "__call__", interrupt)
    with pytest.raises(KeyboardInterrupt):
        execute(found, out)
    monkeypatch.setattr(Clock, "__call__", before)
    first = list(clock.asked)
    execute(found, out)
    assert len(first) == 4
    assert len(clock.asked) == 8, "finished rounds are kept, and the lock was given free"


def test_a_file_that_cannot_be_timed_fails_in_its_run_alone(out: Path, tmp_path: Path, clock: Clock) -> None:
    clock.broken = {"twice.seed-0.eager-fp32"}
    ended = execute(members(tmp_path, TEXT.replace("runs: 20", "runs: 30")), out)
    assert [one.exit_code for one in ended] == [0, 0, DeviceError.exit_code, 0]
    assert latencies(out / "twice/seed-0")["eager-fp32"][0]["not_measured_reason"] == (
        "twice.seed-0.eager-fp32: it died"
    )


def test_the_command_ends_with_the_table_and_the_worst_exit_code(
    out: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "eager.yaml").write_text(EAGER.model_dump_json(exclude_defaults=True), encoding="utf-8")
    text = TEXT.replace("targets: [cpu]", f"targets: [{tmp_path}/eager.yaml]").replace("runs: 20", "runs: 30")
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    arguments = [str(tmp_path / "study.yaml"), "--out", str(out), "--module", MODULE]
    monkeypatch.setattr(sys, "argv", ["edgekit", "compress", *arguments])
    clock.broken = {"twice.seed-0.eager-fp32"}
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == DeviceError.exit_code
    said = capsys.readouterr().out
    assert "means of 2 seeds" in said
    assert f"{out}/ablation.md" in said
    row = next(line for line in said.splitlines() if line.startswith("twice") and "eager-fp32" in line)
    assert "failed in 1 of 2 (seed 0)" in row
    # The record goes to print: it keeps what was asked, and no folder of this machine.
    wanted = f"edgekit compress study.yaml --out {out.name} --module {MODULE}"
    assert plain_record(out / "once/seed-1")["command"] == wanted


def test_bench_finds_the_stages_of_the_study(out: Path, clock: Clock, tmp_path: Path) -> None:
    reporter = Reporter(Console(file=io.StringIO()))
    before = summarize(out).encode()
    record = rebench(out / "once/seed-1", "eager", MODULE, reporter)
    assert {one.artifact for one in record.measurements if "session" in one.conditions} == {"source"}
    # Another occasion: it does not enter the study's table.
    assert summarize(out).encode() == before
    shutil.copytree(out / "once/seed-1", tmp_path / "alone" / "deep" / "run")
    with pytest.raises(InputError, match="the folder of the study is not above it"):
        rebench(tmp_path / "alone" / "deep" / "run", "eager", MODULE, reporter)


def test_the_folder_of_a_study_is_no_other_runs(out: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds the run of recipe 'tiny \(study\)', not of 'other \(study\)'"):
        execute(members(tmp_path, TEXT.replace("name: tiny", "name: other")), out)


def test_a_target_behind_ssh_is_made_here_and_measured_by_bench(tmp_path: Path, clock: Clock) -> None:
    board = EAGER.model_copy(update={"connection": Ssh(kind="ssh", host="board.local", user="ada", key=tmp_path)})
    reporter = Reporter(Console(file=io.StringIO()))
    text = TEXT.replace("seeds: [0, 1]", "seeds: [0]")
    ended = study.execute(members(tmp_path, text), {"eager": board}, tmp_path / "out", MODULE, reporter, "edgekit")
    assert [one.exit_code for one in ended] == [0, 0]
    assert not any("eager" in name for name in clock.asked), "its latency here would say nothing of the board"
    (row,) = latencies(tmp_path / "out/once/seed-0")["eager-fp32"]
    assert row["not_measured_reason"] == (
        "its device is reached over SSH; 'edgekit bench --target eager' measures it there"
    )
    record = plain_record(tmp_path / "out/once/seed-0")
    assert record["targets"]["eager"]["connection"] == {"kind": "ssh"}, "how it is reached is nobody's business"
    assert next(one for one in record["artifacts"] if one["name"] == "eager-fp32")["status"] == "accepted"

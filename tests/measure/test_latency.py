"""The measuring process as a whole, with a runtime that does nothing, or fails in each of its ways."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.errors import DeviceError
from edgekit.measure.latency import Job, measurements, run_once, run_together
from edgekit.measure.protocol import Energy, EnergyWindow, WorkerResult
from edgekit.measure.timing import BLOCK
from edgekit.recipe import Benchmark
from tests.worker_results import worker_result


def result(samples: tuple[float, ...] = (0.002, 0.001), joules: float | None = None) -> WorkerResult:
    if joules is None:
        return worker_result(samples_s=samples)
    windows = (EnergyWindow(joules, 3.0, 9.0, 4, 2.0, 2.0),) * 2
    return worker_result(samples_s=samples, energy=Energy(windows=windows, source="RAPL", scope="1 package"))


def test_one_fresh_process(job: Job, null_child: None) -> None:
    got = run_once(job, warmup=3, runs=20, timeout_s=60)
    assert len(got.samples_s) == 20
    assert got.load_s > 0
    assert got.rss_peak_bytes >= got.rss_empty_bytes > 1_000_000
    # The measuring process holds the runtime and nothing else.
    assert got.executed.how == "told by the stub; loaded: "
    assert got.executed.layers == {"fp32": 3}


def test_a_file_in_the_working_folder_takes_no_module_s_place(
    job: Job, null_child: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    relative = replace(job, path=Path(job.path.name), inputs=Path(job.inputs.name))
    assert len(run_once(relative, warmup=1, runs=2, timeout_s=60).samples_s) == 2


def test_several_take_turns(job: Job, null_child: None, tmp_path: Path) -> None:
    log = tmp_path / "log"
    jobs = []
    for name in ("first", "second", "third"):
        path = tmp_path / name
        path.write_text(f"tell {log} {name}")
        jobs.append(replace(job, artifact=name, path=path))
    results = run_together(jobs, warmup=2, runs=2 * BLOCK + 1, timeout_s=60)
    for got in results:
        assert isinstance(got, WorkerResult)
        assert len(got.samples_s) == 2 * BLOCK + 1
        assert got.alternated
        # What the others did meanwhile is not its own.
        assert sum(got.samples_s) <= got.wall_s < 2 * sum(got.samples_s)
    row = measurements(jobs[0], [one for one in results if isinstance(one, WorkerResult)], Benchmark())[0]
    assert row.conditions["alternated"].startswith("in turn with the processes of the target's other files, 0.02 s")
    # One warms up, then the next; then a block each, in their order, after runs that are not timed.
    told = [(name, len(list(runs))) for name, runs in itertools.groupby(log.read_text().split())]
    assert [name for name, _ in told] == 4 * ["first", "second", "third"]
    assert [count for _, count in told[:3]] == [3, 3, 3]
    assert all(count > BLOCK + 1 for _, count in told[3:9])
    assert all(count > 2 for _, count in told[9:])


def test_of_several_one_that_fails_is_left_out(job: Job, null_child: None, tmp_path: Path) -> None:
    modes = ["good", "crash", "late", "raise", "good"]
    jobs = []
    for index, mode in enumerate(modes):
        path = tmp_path / f"{index}"
        path.write_text(mode)
        jobs.append(replace(job, artifact=mode, path=path))
    good, crash, late, raises, last = run_together(jobs, warmup=2, runs=3 * BLOCK, timeout_s=60)
    assert isinstance(good, WorkerResult)
    assert isinstance(last, WorkerResult)
    assert "gave no result; it wrote last: first line | the engine gives up" in str(crash)
    assert "late: the process that measured it: ended with exit code 9 and gave no result" in str(late)
    assert "ValueError: broken graph" in str(raises)


def test_of_several_one_that_hangs_is_ended(job: Job, null_child: None, tmp_path: Path) -> None:
    (tmp_path / "hang").write_text("hang")
    hanging = replace(job, artifact="hang", path=tmp_path / "hang")
    first, late, last = run_together([job, hanging, job], warmup=1, runs=BLOCK, timeout_s=5)
    assert isinstance(first, WorkerResult)
    assert isinstance(last, WorkerResult)
    assert "hang: the process that measured it: took longer than 5 s and was ended" in str(late)


def test_one_alone_takes_no_turns(job: Job, null_child: None) -> None:
    (got,) = run_together([job], warmup=1, runs=2, timeout_s=60)
    assert isinstance(got, WorkerResult)
    assert not got.alternated
    assert "alternated" not in measurements(job, [got], Benchmark())[0].conditions


@pytest.mark.parametrize(
    ("mode", "match"),
    [
        ("missing", "null-fp32: the process that measured it: the package 'x' is not installed"),
        ("raise", "ValueError: broken graph"),
        ("crash", r"ended with exit code 134 and gave no result; it wrote last: first line \| the engine gives up"),
        ("kill", r"was ended by SIGKILL \(often: out of memory\)"),
    ],
)
def test_failures_name_the_artifact_and_the_cause(job: Job, null_child: None, mode: str, match: str) -> None:
    job.path.write_text(mode)
    with pytest.raises(DeviceError, match=match):
        run_once(job, warmup=1, runs=2, timeout_s=60)


def test_a_process_that_hangs_is_ended(job: Job, null_child: None) -> None:
    job.path.write_text("hang")
    with pytest.raises(
        DeviceError, match="took longer than 3 s and was ended; it wrote last: waiting for the device"
    ):
        run_once(job, warmup=1, runs=2, timeout_s=3)


def test_unreadable_inputs(job: Job, null_child: None) -> None:
    job.inputs.write_bytes(b"no array")
    with pytest.raises(DeviceError, match=r"inputs\.npy: cannot be read as a \.npy file"):
        run_once(job, warmup=1, runs=2, timeout_s=60)


def test_measurements(job: Job) -> None:
    rows = measurements(job, [result(), result((0.003, 0.004))], Benchmark(warmup=5, runs=10))
    latency = [row for row in rows if row.metric == "latency_s"]
    assert [row.samples for row in latency] == [(0.002, 0.001), (0.003, 0.004)]
    assert [row.conditions["process"] for row in latency] == [0, 1]
    assert latency[0].conditions["warmup"] == 5
    assert latency[0].conditions["runs"] == 2
    assert latency[0].conditions["batch"] == 1
    assert "preprocessing excluded" in latency[0].conditions["timed"]
    single = {row.metric: row for row in rows if row.metric != "latency_s"}
    assert single["load_s"].samples == (0.5, 0.5)
    assert single["first_inference_s"].samples == (0.01, 0.01)
    assert single["peak_rss_bytes"].samples == (300.0, 300.0)
    assert single["runtime_rss_bytes"].samples == (150.0, 150.0)
    assert single["runtime_peak_rss_bytes"].samples == (200.0, 200.0)
    assert single["energy_j"].not_measured_reason == "no RAPL counters"
    assert single["harness_s"].samples == (2e-7, 2e-7)
    assert latency[0].conditions["cores"] == [0, 1]
    assert "device_memory_bytes" not in single
    assert {row.artifact for row in rows} == {"null-fp32"}


def test_memory_of_the_device_where_it_is_known(job: Job) -> None:
    on_gpu = [replace(result(), device_bytes=500), replace(result(), device_bytes_reason="lost")]
    (row,) = (row for row in measurements(job, on_gpu, Benchmark()) if row.metric == "device_memory_bytes")
    assert row.samples == (500.0,)
    unknown = [replace(result(), device_bytes_reason="a container hides it")]
    (row,) = (row for row in measurements(job, unknown, Benchmark()) if row.metric == "device_memory_bytes")
    assert row.not_measured_reason == "a container hides it"


def test_energy_keeps_source_scope_window_and_idle_power(job: Job) -> None:
    rows = measurements(job, [result(joules=1.5), result(), result(joules=2.5)], Benchmark())
    (row,) = (row for row in rows if row.metric == "energy_j")
    assert row.samples == (1.5, 1.5, 2.5, 2.5)
    assert row.conditions["source"] == "RAPL"
    assert [one["process"] for one in row.conditions["windows"]] == [0, 0, 2, 2]
    assert row.conditions["windows"][0]["idle_w"] == row.conditions["idle_w"] == 3.0
    assert row.conditions["processes_without"] == ["no RAPL counters"]


def test_an_estimate_is_a_metric_of_its_own(job: Job) -> None:
    energy = Energy(windows=(EnergyWindow(0.2, None, 1.0, 5, 0.5, None),), source="estimated", estimated=True)
    rows = {row.metric: row for row in measurements(job, [replace(result(), energy=energy)], Benchmark())}
    assert "estimate from the rated power" in (rows["energy_j"].not_measured_reason or "")
    assert rows["energy_estimated_j"].samples == (0.2,)
    assert "not measured" in rows["energy_estimated_j"].method


def test_no_results(job: Job) -> None:
    with pytest.raises(DeviceError, match="no process gave a result"):
        measurements(job, [], Benchmark())

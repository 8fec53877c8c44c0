"""The measuring loop on a session that does nothing, so that its own cost and arithmetic are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.energy_meter import Hwmon
from edgekit.errors import DeviceError, InputError
from edgekit.measure import answers, energy, meters, process, worker
from edgekit.measure.latency import Job
from edgekit.measure.protocol import Request, Setting
from edgekit.runtimes.base import Executed

if TYPE_CHECKING:
    from edgekit.runtimes.base import Runtime


@dataclass
class Null:
    """A runtime and session in one; it keeps what it was given."""

    output: NDArray[np.float32] = field(default_factory=lambda: np.zeros((1, 2), dtype=np.float32))
    seen: list[float] = field(default_factory=list)
    shapes: set[tuple[int, ...]] = field(default_factory=set)

    def load(self, *_: object) -> Null:
        return self

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        self.seen.append(float(batch.flat[0]))
        self.shapes.add(batch.shape)
        return self.output

    def executed(self) -> Executed:
        return Executed("fp32", {"fp32": 1}, "told", ("layer",))


def getter(session: Null) -> Callable[[str], Runtime]:
    return lambda name: cast("Runtime", session)


def request(job: Job, warmup: int = 2, runs: int = 7) -> Request:
    return Request(
        runtime=job.runtime,
        path=job.path,
        target=Setting.of(job.target),
        precision="fp32",
        inputs=job.inputs,
        warmup=warmup,
        runs=runs,
    )


def test_every_run_is_kept_and_the_images_are_taken_in_turn(job: Job) -> None:
    null = Null()
    result = worker.measure(request(job), getter(null))
    assert len(result.samples_s) == 7
    assert min(result.samples_s) > 0
    assert sum(result.samples_s) <= result.wall_s
    # The first inference, two of the warm-up, one that is not timed and seven that are, of the image that follows.
    assert null.seen == [0.0, 0.0, 4.0] + [8.0] * 8
    assert null.shapes == {(1, 1, 2, 2)}
    assert result.rss_peak_bytes >= result.rss_loaded_bytes > 0
    assert result.executed.fallbacks == ("layer",)
    assert result.threads == len(process.affinity())
    assert result.energy.not_measured_reason == "the target's energy_meter is 'none'"


def test_garbage_collection_is_off_from_the_warm_up_on_and_allowed_again_afterwards(job: Job) -> None:
    import gc

    states = []

    class Watch(Null):
        def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
            states.append(gc.isenabled())
            return self.output

    worker.measure(request(job, warmup=2, runs=3), getter(Watch()))
    assert states == [True] + [False] * 6
    assert gc.isenabled()


def test_a_batch_that_is_not_logits_is_refused(job: Job) -> None:
    with pytest.raises(DeviceError, match=r"output of shape \[2\] for one input, not \[1, classes\] or \[1, c"):
        worker.measure(request(job), getter(Null(output=np.zeros(2, dtype=np.float32))))


@pytest.mark.parametrize(
    "array", [np.zeros((2, 1, 2, 2)), np.zeros((1, 2, 2), np.float32), np.zeros((0, 1, 2, 2), np.float32)]
)
def test_wrong_inputs(job: Job, array: NDArray[np.float32]) -> None:
    np.save(job.inputs, array)
    with pytest.raises(InputError, match="must hold float32"):
        worker.measure(request(job), getter(Null()))


def test_inputs_with_pickled_code_are_refused(job: Job) -> None:
    np.save(job.inputs, np.array([{}], dtype=object))
    with pytest.raises(InputError, match=r"cannot be read as a \.npy file"):
        worker.measure(request(job), getter(Null()))


def test_energy_of_the_worker(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    class Steady:
        source, scope, update_period_s, estimated = "test", "all", 1e-3, False

        def start(self) -> None: ...

        def keep(self) -> None: ...

        def stop(self) -> meters.Reading:
            return meters.Reading(1.0, moved=True)

    monkeypatch.setattr(energy, "LEAST_WINDOW_S", 0.02)
    monkeypatch.setattr(meters, "find", lambda kind, gpu: Steady())
    result = worker.measure(request(job), getter(Null())).energy
    assert len(result.windows) == 3
    assert result.source == "test"
    assert {one.busy_j for one in result.windows} == {1.0}
    assert result.not_measured_reason is None


def test_a_meter_with_options_travels(job: Job, tmp_path: Path) -> None:
    asked = {"kind": "hwmon", "chip": "ina226", "label": None}
    made = job.target.model_copy(update={"energy_meter": Hwmon.model_validate(asked)})
    setting = Setting.of(made)
    assert setting.energy_meter == asked
    again = Request.from_json(replace(request(job), target=setting).to_json())
    assert again.target.energy_meter == asked


def test_what_could_not_be_set_is_told(job: Job) -> None:
    before = process.affinity()
    wanted = replace(request(job).target, cores=(before[0], 4096))
    result = worker.measure(replace(request(job), target=wanted), getter(Null()))
    assert set(result.not_set) == {"cores"}
    assert "may not use core 4096" in result.not_set["cores"]
    assert result.cores == before
    assert answers.worker_result(result.to_json(), 7, "null").not_set == result.not_set


def test_wrong_call(capsys: pytest.CaptureFixture[str]) -> None:
    assert worker.main(["only one"]) == 2
    assert "usage" in capsys.readouterr().err


def test_process_readers(tmp_path: Path) -> None:
    assert process.peak_rss_bytes() >= process.rss_bytes() * 0.9
    stat = tmp_path / "stat"
    stat.write_text("cpu  1 2 3 4 5 6 7 88 9 10\ncpu0 ...\n")
    assert process.steal_ticks(stat) == 88
    assert process.steal_ticks(tmp_path / "absent") is None
    for core in process.affinity():
        folder = tmp_path / f"cpu{core}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_cur_freq").write_text("2600000\n")
    assert process.clock_mhz(tmp_path) == 2600.0
    assert process.clock_mhz(tmp_path / "absent") is None


def test_request_survives_json(job: Job) -> None:
    one = request(job)
    assert Request.from_json(one.to_json()) == one


def test_temperature_and_quota(tmp_path: Path) -> None:
    for zone, value in (("thermal_zone0", "41500"), ("thermal_zone1", "67000"), ("thermal_zone2", "-274000")):
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "temp").write_text(f"{value}\n")
    (tmp_path / "thermal_zone3").mkdir()
    (tmp_path / "thermal_zone3" / "temp").write_text("\n")
    assert process.temperature_c(tmp_path) == 67.0
    assert process.temperature_c(tmp_path / "absent") is None
    assert process.throttled(tmp_path) is None
    groups = tmp_path / "sys/fs/cgroup"
    (groups / "cpu").mkdir(parents=True)
    (groups / "cpu" / "cpu.stat").write_text("nr_periods 10\nnr_throttled 4\nthrottled_time 99\n")
    assert process.throttled(tmp_path) == 4
    # Version 2 comes first, and in it the process's own group.
    (groups / "cpu.stat").write_text("usage_usec 5\nnr_throttled 7\n")
    assert process.throttled(tmp_path) == 7
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("1:cpu:/x\n0::/user.slice\n")
    (groups / "user.slice").mkdir()
    (groups / "user.slice" / "cpu.stat").write_text("nr_throttled 9\n")
    assert process.throttled(tmp_path) == 9

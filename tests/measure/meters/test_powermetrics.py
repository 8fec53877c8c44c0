"""powermetrics as its manual page describes its property lists, played by a program that writes them."""

from __future__ import annotations

import plistlib
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edgekit.errors import DeviceError
from edgekit.measure import meters
from edgekit.measure.meters import Absent
from edgekit.measure.meters.powermetrics import Powermetrics

#: Writes one sample after another, 10 ms apart, each but the first behind a zero byte.
_PROGRAM = """
import plistlib, sys, time
for index in range(10000):
    watts = int(sys.argv[1]) + index % 2
    sample = {"elapsed_ns": 10_000_000, "processor": PROCESSOR}
    sys.stdout.buffer.write((b"\\0" if index else b"") + plistlib.dumps(sample))
    sys.stdout.buffer.flush()
    time.sleep(0.01)
"""


def played(folder: Path, processor: str) -> Powermetrics:
    program = folder / "powermetrics.py"
    program.write_text(_PROGRAM.replace("PROCESSOR", processor))
    return Powermetrics([sys.executable, "-S", str(program), "1500"])


@pytest.mark.parametrize(
    "processor",
    [
        '{"combined_power": watts, "cpu_power": 3}',
        '{"cpu_energy": watts / 200, "gpu_energy": watts / 200, "ane_energy": 0}',
    ],
)
def test_mean_power_of_the_samples_times_the_window(tmp_path: Path, processor: str) -> None:
    meter = played(tmp_path, processor)
    meter.start()
    begun = time.monotonic()
    time.sleep(0.1)
    reading = meter.stop()
    seconds = time.monotonic() - begun
    assert reading.moved
    # 1.5 W over the window; stop ends it before the process is gone.
    assert 0.1 * 1.5 <= reading.joules <= seconds * 1.502


def test_samples_of_another_form_and_none_at_all(tmp_path: Path) -> None:
    meter = played(tmp_path, '{"package_watts": 3.0}')
    meter.start()
    time.sleep(0.05)
    with pytest.raises(DeviceError, match="has another form than expected"):
        meter.stop()
    silent = Powermetrics([sys.executable, "-S", "-c", "raise SystemExit(1)"])
    with pytest.raises(DeviceError, match=r"gave no sample; it needs root: .*sudoers"):
        silent.start()
    with pytest.raises(DeviceError, match="cannot be started"):
        Powermetrics([str(tmp_path / "absent")]).start()


@pytest.mark.skipif(sys.platform == "darwin", reason="this is macOS")
def test_elsewhere_it_is_absent() -> None:
    assert meters.find("powermetrics") == Absent("powermetrics is part of macOS, and this is another system")


def test_a_sample_is_one_property_list() -> None:
    one: dict[str, Any] = {"processor": {"combined_power": 1}}
    assert plistlib.dumps(one).strip().endswith(b"</plist>")

"""Environment variables that edgekit sets for the libraries it loads, before any of them is loaded."""

from __future__ import annotations

import os
import sys

#: Libraries that would otherwise send usage data, or look for newer versions and models, when they are loaded.
OFFLINE = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "SCARF_NO_ANALYTICS": "true",
}
#: Marks that GOMP_SPINCOUNT was set here and not by the user.
SET_BY_EDGEKIT = "EDGEKIT_SET_GOMP_SPINCOUNT"


def no_telemetry() -> None:
    """Switch off usage reports."""
    os.environ.update(OFFLINE)
    # OpenVINO then uses its own stub, which sends nothing. The entry makes the import fail, nothing else.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]


def spin_briefly() -> None:
    """Let OpenMP's threads sleep soon at barriers in this process. Called before torch is loaded.

    By default they spin for milliseconds, which makes training ten times slower as soon as another process wants
    a core. The measuring processes are started without this, as users of the artifacts would start theirs.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
        os.environ["GOMP_SPINCOUNT"] = "10000"
        os.environ[SET_BY_EDGEKIT] = "1"


def of_a_measuring_process() -> dict[str, str]:
    """This process's environment, without telemetry, and without what ``spin_briefly`` set."""
    found = {**os.environ, **OFFLINE}
    if found.pop(SET_BY_EDGEKIT, None):
        found.pop("GOMP_SPINCOUNT", None)
    return found

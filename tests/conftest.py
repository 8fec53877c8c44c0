"""For all tests: OpenMP threads that sleep at barriers, since tests share their cores with other processes."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

"""For all tests: OpenMP threads that sleep at barriers, since tests share their cores; torchvision that imports."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from edgekit.zoo import torchvision_shim

# Before any test imports timm, in whatever order they run.
torchvision_shim.declare()

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from edgekit.data import AnyData, ImageFolder, ImageIndex, Masks, MedMnist, Npz, Phantom

ADAPTER: TypeAdapter[AnyData] = TypeAdapter(AnyData)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({"kind": "phantom"}, Phantom),
        ({"kind": "npz", "path": "a.npz"}, Npz),
        ({"kind": "medmnist", "name": "breastmnist"}, MedMnist),
        ({"kind": "folder", "path": "a"}, ImageFolder),
        ({"kind": "masks", "path": "a", "images": "i/{id}.png", "masks": "m/{id}.png"}, Masks),
        ({"kind": "index", "path": "a", "columns": {"file": "f", "label": "l"}}, ImageIndex),
    ],
)
def test_kind_chooses_the_source(data: dict[str, Any], kind: type) -> None:
    assert type(ADAPTER.validate_python(data)) is kind


@pytest.mark.parametrize(
    "data",
    [{"kind": "dicom"}, {"kind": "npz"}, {"kind": "npz", "path": "a", "pth": "b"}, {"kind": "phantom", "seed": -1}],
)
def test_refuses_what_no_source_knows(data: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(data)


def test_importing_the_sources_loads_nothing_heavy() -> None:
    code = (
        "import sys, edgekit.data\n"
        "names = {'torch', 'skimage', 'medmnist', 'sklearn', 'scipy', 'PIL', 'matplotlib', 'nibabel'}\n"
        "heavy = names & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")

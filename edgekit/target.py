"""Targets: where an artifact runs. One YAML file each, under ``targets/``."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from edgekit.energy_meter import EnergyMeter
from edgekit.errors import InputError
from edgekit.schema import Frozen
from edgekit.yaml_source import read, validate

Precision = Literal["fp32", "bf16", "fp16", "int8"]
Axis = Literal["batch", "size"]
RuntimeName = Literal["torch_eager", "onnxruntime", "openvino", "tensorrt", "litert", "executorch", "coreml"]


class Local(Frozen):
    """The machine on which edgekit itself runs."""

    kind: Literal["local"] = "local"


class Ssh(Frozen):
    """A device that is reached by SSH. Keys only, no passwords.

    Where it is and who logs in is nobody's business but the owner's: records keep ``kind`` alone.
    """

    kind: Literal["ssh"]
    host: str = Field(min_length=1, pattern=r"^[^\s-]\S*$", exclude=True)
    user: str = Field(min_length=1, exclude=True)
    port: int = Field(default=22, ge=1, le=65535, exclude=True)
    key: Path | None = Field(default=None, description="private key file; the SSH agent when absent", exclude=True)
    known_hosts: Path | None = Field(
        default=None, description="~/.ssh/known_hosts when absent; the host must be in it", exclude=True
    )
    python: str = Field(
        default="python3",
        pattern=r"^[A-Za-z0-9_./+-]+$",
        description="the device's Python that has numpy and the runtime: a command, or an absolute path",
        exclude=True,
    )
    folder: str = Field(
        default=".cache/edgekit",
        pattern=r"^[A-Za-z0-9_./+-]+$",
        description="where runs lie on the device while they last, below the home folder unless absolute",
        exclude=True,
    )
    architecture: str | None = Field(
        default=None, description="what the device must be, as 'uname -m' tells, such as aarch64", exclude=True
    )


class Target(Frozen):
    """One kind of device and the runtime that is used on it."""

    schema_version: Literal[1]
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    description: str
    runtime: RuntimeName
    device: str = Field(description="the runtime's device or delegate, such as CPU, GPU, NPU, XNNPACK")
    precisions: tuple[Precision, ...] = Field(min_length=1, description="allowed, in order of preference")
    threads: int = Field(default=0, ge=0, description="0: every core that the process may use")
    cores: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        default=None, min_length=1, description="numbers of the cores to which the measuring process is bound"
    )
    governor: str | None = Field(
        default=None,
        pattern=r"^[a-z_]+$",
        description="of the CPU frequency while it is measured, such as performance; put back afterwards",
    )
    power_mode: str | None = Field(default=None, description="as the device names it, such as MAXN")
    connection: Annotated[Local | Ssh, Field(discriminator="kind")] = Local()
    energy_meter: EnergyMeter = "auto"
    channels_multiple_of: int = Field(default=8, ge=1, description="what the vector units like")
    options: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="passed to the runtime as they are, and written into the record"
    )

    @property
    def elsewhere(self) -> str | None:
        """Why nothing of this target is measured on this machine; none where it is the device."""
        return None if self.connection.kind == "local" else "its device is reached over SSH"

    @model_validator(mode="after")
    def _no_precision_twice(self) -> Target:
        if len(set(self.precisions)) != len(self.precisions):
            raise ValueError("a precision is named twice in 'precisions'; name each once")
        return self


def folders() -> list[Path]:
    """Where target files are looked for: the working folder's ``targets/``, then edgekit's own.

    The last two are a checkout of the repository and an installed wheel.
    """
    checkout = Path(__file__).resolve().parent.parent
    return [Path("targets"), checkout / "targets", Path(sys.prefix) / "share" / "edgekit" / "targets"]


def available() -> dict[str, Path]:
    """Target name to file, over all folders; the first folder wins."""
    found: dict[str, Path] = {}
    for folder in folders():
        for path in sorted(folder.glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found


def load(name: str) -> Target:
    """The target called ``name``, or the one in the file ``name`` when it ends in ``.yaml``.

    Raises:
        InputError: unknown name (with the nearest ones), or a malformed file.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
    else:
        known = available()
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise InputError(
                f"unknown target '{name}'" + (f", did you mean '{near[0]}'?" if near else ""),
                remedy=f"known: {', '.join(known) or 'none'}; or give the path of a target file",
            )
        path = known[name]
    source = read(path)
    target = validate(source, Target)
    if target.name != path.stem:
        raise InputError(
            f"the name '{target.name}' differs from the file's name '{path.stem}'",
            where=source.where(("name",)),
            remedy="make them equal",
        )
    return target

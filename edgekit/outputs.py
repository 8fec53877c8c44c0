"""What a run leaves in its folder: the artifacts in their places, the record and the reports."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

from edgekit import record, report, store
from edgekit.errors import DeviceError, GateError, InputError
from edgekit.runtimes.base import Exported

#: In an artifact's folder, what edgekit put there beside the artifact itself.
CARD, EXAMPLE = "model.json", "example.py"


def files(folder: Path) -> list[Path]:
    """What the artifact itself is made of, by name: files, and packages that are folders."""
    return sorted(path for path in folder.iterdir() if path.name not in (CARD, EXAMPLE, "stage.json"))


def files_sha256(folder: Path) -> str:
    """sha256 of an artifact: of its one file or package, or of the hashes of its files in the order of names."""
    hashes = [store.file_sha256(path) for path in files(folder)]
    return hashes[0] if len(hashes) == 1 else store.digest(hashes)


def copy(stage: store.Finished, folder: Path) -> Exported:
    """Copy the artifact of an export stage, without what edgekit put beside it, into ``folder``."""
    beside = shutil.ignore_patterns("stage.json", CARD, EXAMPLE)
    shutil.copytree(stage.folder, folder, ignore=beside, dirs_exist_ok=True)
    return replace(exported(stage), path=folder / stage.result["file"])


def exported(stage: store.Finished) -> Exported:
    """What an export stage holds."""
    found = stage.result
    inputs, specs = (tuple(record.TensorSpec(**one) for one in found[key]) for key in ("inputs", "outputs"))
    return Exported(stage.folder / found["file"], inputs, specs, found["details"])


def place(artifact: record.Artifact, stage: Path, folder: Path) -> record.Artifact:
    """Copy the artifact from its stage to ``artifacts/``, or to ``rejected/`` when a gate refused it."""
    if artifact.status == "not exported":
        return artifact
    home = "rejected" if artifact.status in ("rejected", "failed") else "artifacts"
    other = "artifacts" if home == "rejected" else "rejected"
    shutil.rmtree(folder / other / artifact.name, ignore_errors=True)
    end = folder / home / artifact.name
    if not end.is_dir() or files_sha256(end) != artifact.sha256:
        shutil.rmtree(end, ignore_errors=True)
        with store.atomic(end) as temporary:
            shutil.copytree(stage, temporary, ignore=shutil.ignore_patterns("stage.json"))
    _tell(stage / CARD, end / CARD, artifact)
    path = (end / artifact.path).relative_to(folder).as_posix()
    return artifact.model_copy(update={"path": path})


def _tell(made: Path, card: Path, artifact: record.Artifact) -> None:
    """``model.json`` with the fitted temperature, which evaluation found after export had written the card."""
    if not made.exists():
        return
    said = json.loads(made.read_text(encoding="utf-8"))
    found = artifact.details.get("temperature") or {}
    if found.get("value") is not None:
        said["temperature"] = found["value"]
    text = json.dumps(said, indent=1) + "\n"
    if not card.exists() or card.read_text(encoding="utf-8", errors="replace") != text:
        store.write_text(card, text)


def benched(artifacts: list[record.Artifact], folder: Path) -> list[record.Measurement]:
    """What ``edgekit bench`` added to the record that is there, of artifacts that are still the same."""
    try:
        before = record.read(folder)
    except InputError:
        return []
    hashes = {one.name: one.sha256 for one in before.artifacts}
    same = {one.name for one in artifacts if hashes.get(one.name) == one.sha256}
    return [one for one in before.measurements if "session" in one.conditions and one.artifact in same]


def sweep(artifacts: list[record.Artifact], folder: Path) -> None:
    """Remove artifacts that an earlier version of the recipe left."""
    names = {one.name for one in artifacts}
    for home in (folder / "artifacts", folder / "rejected"):
        for stale in home.iterdir() if home.is_dir() else ():
            if stale.name not in names:
                shutil.rmtree(stale, ignore_errors=True)
        if home.is_dir() and not any(home.iterdir()):
            home.rmdir()


def publish(made: record.Record, folder: Path) -> None:
    """Write ``record.json`` and the reports; pictures only when what they show has changed."""
    store.write_text(folder / "record.json", record.dumps(made))
    drawn = made.model_dump(mode="json", exclude={"created_utc", "command", "machine"})
    for stage in drawn["stages"]:
        stage.pop("cached")
    mark = store.digest({"shown": drawn, "code": store.code_sha256("report", "record.py", "evaluate")})
    stamp = folder / ".report"
    same = (folder / "pictures").is_dir() and stamp.exists() and stamp.read_text(encoding="utf-8") == mark
    report.write(made, folder, redraw=not same)
    store.write_text(stamp, mark)


def exit_code(made: record.Record) -> int:
    """5 when a device or process failed, 3 when a gate or a runtime refused what the recipe asks for, else 0.

    Candidates beside it do not count; one of the same target and precision that passed makes up for it.
    """
    passed = {(one.target, one.precision_requested) for one in made.artifacts if one.status == "accepted"}
    asked = [one for one in made.artifacts if not one.alternative]
    if any(one.status == "failed" for one in asked):
        return DeviceError.exit_code
    lost = [one for one in asked if one.status in ("rejected", "not exported")]
    return GateError.exit_code if any((one.target, one.precision_requested) not in passed for one in lost) else 0

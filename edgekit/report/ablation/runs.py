"""The records of a study's runs, found in its folder, and which of them belong together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from edgekit import record as records
from edgekit.errors import InputError
from edgekit.recipe import Membership
from edgekit.record import Record
from edgekit.report.plain import dig


@dataclass(frozen=True)
class One:
    """One run: where its record lies (relative to the study's folder), what it is, and the record."""

    path: str
    study: Membership
    record: Record

    @property
    def title(self) -> str:
        """``prune, seed 0``."""
        return self.study.title


@dataclass(frozen=True)
class Runs:
    """The runs of one version of one study.

    Attributes:
        study: what is the same for all; candidate and seed are those of the newest record.
        runs: in the order of candidates, then seeds.
        missing: candidate and seed of the runs that left no record.
        left_out: path and reason of the records in the folder that are not used.
    """

    study: Membership
    runs: tuple[One, ...]
    missing: tuple[tuple[str, int | None], ...]
    left_out: tuple[tuple[str, str], ...]

    def of(self, candidate: str) -> list[One]:
        """The runs of a candidate, in the order of seeds."""
        return [one for one in self.runs if one.study.candidate == candidate]


def find(folder: Path) -> Runs | None:
    """The runs of the study in ``folder``; none where it holds no record of a study.

    Raises:
        InputError: a record cannot be read.
    """
    found = [one for path in sorted(folder.glob("*/record.json")) if (one := _read(path, folder))]
    found += [one for path in sorted(folder.glob("*/*/record.json")) if (one := _read(path, folder))]
    if not found:
        return None
    newest = max(found, key=lambda one: one.record.created_utc)
    chosen: dict[tuple[str, int | None], One] = {}
    left_out = []
    for one in sorted(found, key=lambda one: one.record.created_utc, reverse=True):
        at = (one.study.candidate, one.study.seed)
        if one.study.sha256 != newest.study.sha256:
            left_out.append((one.path, "it is of another version of the study"))
        elif _images(one.record) != _images(newest.record):
            left_out.append((one.path, "its test images are not those of the newest record"))
        elif at in chosen:
            left_out.append((one.path, f"it is older than {chosen[at].path}, a record of the same run"))
        else:
            chosen[at] = one
    study = newest.study
    wanted = [(candidate, seed) for candidate in study.candidates for seed in study.seeds or (None,)]
    return Runs(
        study=study,
        runs=tuple(chosen[at] for at in wanted if at in chosen),
        missing=tuple(at for at in wanted if at not in chosen),
        left_out=tuple(sorted(left_out)),
    )


def _read(path: Path, folder: Path) -> One | None:
    loaded = records.read(path)
    plain = loaded.recipe.get("study")
    if plain is None:
        return None
    try:
        study = Membership.model_validate(plain)
    except ValidationError as error:
        raise InputError(
            f"malformed: {error.errors()[0]['msg']}", where=f"{path}: recipe.study", remedy="the record was altered"
        ) from None
    # A later 'edgekit bench' was another occasion, with which the other runs have nothing in common.
    timed = tuple(one for one in loaded.measurements if "session" not in one.conditions)
    return One(path.relative_to(folder).as_posix(), study, loaded.model_copy(update={"measurements": timed}))


def _images(record: Record) -> object:
    return dig(record.data, "splits", "test", "image_sha256")

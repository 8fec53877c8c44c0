"""A study: several candidates, each with several seeds, that share data, targets and one timing session."""

from __future__ import annotations

import difflib
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from edgekit import store, yaml_source
from edgekit.recipe.reseed import reseed
from edgekit.recipe.schema import NAME, Candidate, Common, Recipe
from edgekit.schema import Frozen

#: What a study keeps in its folder beside the folders of its candidates.
RESERVED = ("stages", "pictures")


class StudyCandidate(Candidate):
    """One model and its passes, in a study."""

    name: str | None = Field(
        default=None,
        pattern=NAME,
        max_length=60,
        description="its architecture when absent; needed where an architecture comes twice",
    )
    baseline: str | None = Field(
        default=None, description="the candidate that it is compared with; the study's baseline when absent"
    )

    @property
    def label(self) -> str:
        """Its name in folders and reports."""
        architecture = self.model.architecture.lower()[:60]
        return self.name or "".join(c if c.isascii() and c.isalnum() else "_" for c in architecture)


class Membership(Frozen):
    """Which run of a study a recipe is; it goes into the record, and the records alone make the summary."""

    name: str = Field(description="of the study")
    candidate: str
    seed: int | None = Field(description="none where the study names no seeds")
    baseline: str = Field(description="the candidate that it is compared with")
    candidates: tuple[str, ...] = Field(description="all of the study, in order")
    seeds: tuple[int, ...]
    timed_seeds: Literal["first", "all"]
    sha256: str = Field(description="of the whole study; runs of different versions are not put into one table")

    @property
    def title(self) -> str:
        """``prune, seed 0``."""
        return self.candidate + ("" if self.seed is None else f", seed {self.seed}")

    @property
    def timed(self) -> bool:
        """Whether the latency of this run's artifacts is measured."""
        return self.timed_seeds == "all" or self.seed is None or self.seed == self.seeds[0]


class StudyRun(Recipe):
    """One candidate of a study with one seed. Made by ``Study.recipes``, not written by hand."""

    name: str = Field(pattern=NAME, max_length=200)
    study: Membership


class Study(Common):
    """Several candidates under the same data, targets and protocol, each run once for each seed."""

    models: tuple[StudyCandidate, ...] = Field(min_length=1)
    seeds: tuple[Annotated[int, Field(ge=0, le=2**31 - 1)], ...] = Field(
        default=(),
        description="each candidate is run once for each; replaces every 'seed' of its model, teacher and passes",
    )
    baseline: str | None = Field(
        default=None, description="the candidate that the others are compared with; the first when absent"
    )
    timed_seeds: Literal["first", "all"] = Field(
        default="first", description="which runs' latency is measured; that of one network hardly depends on it"
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        labels = [one.label for one in self.models]
        for index, one in enumerate(self.models):
            if one.label in labels[:index]:
                what = f"the name '{one.name}'" if one.name else "an architecture"
                raise ValueError(f"models[{index}]: {what} is named twice in 'models'; give each its own 'name'")
            if one.label in RESERVED:
                raise ValueError(
                    f"models[{index}]: '{one.label}' is a folder of the study itself; choose another name"
                )
        for place, name in [("", self.baseline)] + [
            (f"models[{index}]: ", one.baseline) for index, one in enumerate(self.models)
        ]:
            if name is not None and name not in labels:
                near = difflib.get_close_matches(name, labels, n=1)
                hint = f", did you mean '{near[0]}'?" if near else "."
                raise ValueError(
                    f"{place}there is no candidate '{name}' for a baseline{hint} There are: {', '.join(labels)}"
                )
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("a seed is given twice; its runs would be the same")
        if self.timed_seeds == "all" and not self.seeds:
            raise ValueError("'timed_seeds: all' needs 'seeds'; leave it out, every candidate is timed")
        return self

    def recipes(self) -> list[StudyRun]:
        """One recipe a candidate and seed, named after the study, the candidate and the seed."""
        shared = {name: getattr(self, name) for name in Common.model_fields if name != "name"}
        labels = tuple(one.label for one in self.models)
        whole = store.digest(yaml_source.contract(self.model_dump(mode="json")))
        found = []
        for one in self.models:
            parts = {name: getattr(one, name) for name in Candidate.model_fields}
            for seed in self.seeds or (None,):
                study = Membership(
                    name=self.name,
                    candidate=one.label,
                    seed=seed,
                    baseline=one.baseline or self.baseline or labels[0],
                    candidates=labels,
                    seeds=self.seeds,
                    timed_seeds=self.timed_seeds,
                    sha256=whole,
                )
                seeded = parts if seed is None else {name: reseed(part, seed) for name, part in parts.items()}
                name = f"{self.name}-{one.label}" + ("" if seed is None else f"-seed-{seed}")
                found.append(StudyRun(name=name, study=study, **seeded, **shared))
        return found

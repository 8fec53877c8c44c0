"""Reading a recipe: what is wrong with it, its targets and the files that it names, found before anything runs."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edgekit import store, target
from edgekit.errors import InputError
from edgekit.recipe.schema import Candidate, ModelConfig, Recipe
from edgekit.recipe.study import Study
from edgekit.yaml_source import Source, read, validate

_Key = tuple[str | int, ...]


def load(path: Path) -> tuple[list[Recipe], dict[str, target.Target]]:
    """Read and check a recipe, or a study of several, and the targets that it names.

    Raises:
        InputError: every error of the recipe and of its targets together, each with its line.
    """
    source = read(path)
    problems: list[str] = []
    recipes: list[Recipe] = []
    alike = 1  # recipes that differ in their seed only
    try:
        if "models" in source.data:
            study = validate(source, Study)
            recipes, alike = [*study.recipes()], max(1, len(study.seeds))
        else:
            recipes = [validate(source, Recipe)]
    except InputError as error:
        problems.append(str(error))
    targets = _targets(source, problems)
    for index, recipe in enumerate(recipes[::alike]):
        at: _Key = ("models", index) if "models" in source.data else ()
        problems += [*_weights(source, recipe, at), *_passes(source, recipe, at)]
    if recipes and not problems:
        problems += _pinned(source, recipes, targets)
    if recipes:
        problems += _data(source, recipes[0])
    if problems:
        raise InputError("\n".join(problems))
    return recipes, targets


def _targets(source: Source, problems: list[str]) -> dict[str, target.Target]:
    """The targets that a recipe names; what is wrong with one is added to ``problems``."""
    found: dict[str, target.Target] = {}
    named = source.data.get("targets")
    for index, name in enumerate(named if isinstance(named, list) else []):
        if not isinstance(name, str):
            continue  # the schema refuses it
        try:
            found[name] = target.load(name)
        except InputError as error:
            at = source.where(("targets", index))
            # A target file's own errors bring their file and line.
            own = ".yaml:" in str(error)
            problems.append(str(error) if own else f"{at}: {error}")
    return found


def _weights(source: Source, recipe: Candidate, at: _Key) -> Iterator[str]:
    """Checkpoints that are not there."""
    models: list[tuple[_Key, ModelConfig]] = [(("model",), recipe.model)]
    if recipe.teacher:
        models.append((("teacher", "model"), recipe.teacher.model))
    for key, config in models:
        weights = config.weights
        if weights is not None and not (store.present(weights.path) and weights.path.is_file()):
            yield (
                f"{source.where((*at, *key, 'weights', 'path'))}: no such file: {weights.path}; "
                "the recipe's header says where to get it (EDGEKIT_WEIGHTS names the folder of the weights)"
            )


def _passes(source: Source, recipe: Recipe, at: _Key) -> Iterator[str]:
    """Passes that do not fit the task, and budgets of latency on what is no target."""
    teacher = recipe.teacher.passes if recipe.teacher else ()
    for key, passes in ((("passes",), recipe.passes), (("teacher", "passes"), teacher)):
        for number, one in enumerate(passes):
            unfit = one.unfit(recipe.task.kind)
            if unfit is not None:
                yield f"{source.where((*at, *key, number))}: {unfit}"
    for number, one in enumerate(recipe.passes):
        budget = getattr(one, "latency", None)
        if budget is not None and budget.target not in recipe.targets:
            near = difflib.get_close_matches(budget.target, recipe.targets, n=1)
            yield (
                f"{source.where((*at, 'passes', number, 'latency', 'target'))}: '{budget.target}' is no target of "
                "the recipe"
                + (f", did you mean '{near[0]}'?" if near else "")
                + f" (its targets: {', '.join(recipe.targets)})"
            )


def _pinned(source: Source, recipes: Sequence[Recipe], targets: Mapping[str, target.Target]) -> Iterator[str]:
    """A ``precision`` that a target does not allow, or that no pass makes."""
    pinned = recipes[0].precision
    if pinned is None:
        return
    at = source.where(("precision",))
    for name, one in targets.items():
        if pinned not in one.precisions:
            yield f"{at}: the target '{name}' does not allow {pinned}; it allows {', '.join(one.precisions)}"
    if pinned == "int8" and not all(any(step.quantizes for step in one.passes) for one in recipes):
        yield f"{at}: int8 needs a 'quantize' or 'qat' pass; add one"


def _data(source: Source, recipe: Recipe) -> Iterator[str]:
    """Data that are not there."""
    other = recipe.evaluation.out_of_distribution
    if other is not None and other.path is not None and not store.present(other.path):
        at = source.where(("evaluation", "out_of_distribution", "path"))
        yield f"{at}: no such file or folder: {other.path} (EDGEKIT_DATA names the folder of the data)"
    for file in recipe.data.files():
        if not store.present(file):
            yield (
                f"{source.where(('data', 'path'))}: no such file or folder: {file}; "
                "the recipe's header says where to get it (EDGEKIT_DATA names the folder of the data)"
            )

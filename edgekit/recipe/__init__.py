"""Recipes: what a person asks edgekit to do, validated as a whole before anything runs.

``schema`` holds what a recipe says, ``settings`` its sections with defaults, ``study`` several recipes in one file,
``reading`` the checks that need the file system.
"""

from edgekit.recipe.reading import load
from edgekit.recipe.schema import Candidate, ModelConfig, Recipe, Task, Teacher, Weights, owner, plain, sha256
from edgekit.recipe.settings import Benchmark, Evaluation, Gates, Throughput
from edgekit.recipe.study import Membership, Study, StudyCandidate, StudyRun

__all__ = [
    "Benchmark",
    "Candidate",
    "Evaluation",
    "Gates",
    "Membership",
    "ModelConfig",
    "Recipe",
    "Study",
    "StudyCandidate",
    "StudyRun",
    "Task",
    "Teacher",
    "Throughput",
    "Weights",
    "load",
    "owner",
    "plain",
    "sha256",
]

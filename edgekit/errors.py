"""The errors that edgekit raises on purpose, and the exit code of each.

Every message names what was wrong, the rule it broke and the remedy. Anything else that escapes
is a defect of edgekit and exits with 1.
"""

from __future__ import annotations


class EdgekitError(Exception):
    """Base of all errors that a user can cause or meet.

    Args:
        problem: what is wrong, with the offending value.
        where: file, line or key, such as ``recipe.yaml:12: passes[0].epochs``.
        remedy: what the reader should do next.
    """

    exit_code = 2

    def __init__(self, problem: str, *, where: str | None = None, remedy: str | None = None) -> None:
        self.problem = problem
        self.where = where
        self.remedy = remedy
        text = f"{where}: {problem}" if where else problem
        super().__init__(f"{text} ({remedy})" if remedy else text)


class InputError(EdgekitError):
    """A recipe, target, checkpoint or data file is wrong. Exit code 2."""

    exit_code = 2


class UnsupportedError(InputError):
    """A runtime cannot take a network. The run goes on with the other targets; exit code 3 at its end."""


class GateError(EdgekitError):
    """A gate rejected at least one artifact. Exit code 3."""

    exit_code = 3


class MissingError(EdgekitError):
    """Something that the target or the recipe needs is not installed or not here. Exit code 4."""

    exit_code = 4


class DeviceError(EdgekitError):
    """A device or a child process failed while it worked. Exit code 5."""

    exit_code = 5


def missing_package(package: str, extra: str) -> MissingError:
    """The error for a package that is not installed, naming the extra that brings it."""
    return MissingError(f"the package '{package}' is not installed", remedy=f"pip install 'edgekit[{extra}]'")

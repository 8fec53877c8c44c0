"""The stages of one run: each is made once and kept, shown to the user, and listed in the record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import edgekit
from edgekit import record, store
from edgekit.progress import Reporter, Update
from edgekit.store import Finished, Store
from edgekit.yaml_source import contract


class Stages:
    """Runs stages and remembers what they were.

    Attributes:
        kept: where they lie.
        reporter: told of progress.
        done: one entry a stage, for the record.
        used: the names of their folders, so that the others can be removed.
    """

    def __init__(self, kept: Store, reporter: Reporter) -> None:
        self.kept = kept
        self.reporter = reporter
        self.done: list[record.Stage] = []
        self.used: set[str] = set()

    def run(
        self,
        name: str,
        kind: str,
        key: dict[str, Any],
        work: Callable[[Path, Update], dict[str, Any]],
        note: str = "",
    ) -> Finished:
        """The stage ``name``: reused where ``key`` is the same, else made by ``work(folder, update)``.

        Args:
            name: unique in the run.
            kind: what kind of stage, for the record.
            key: all that determines the result, as plain data.
            work: writes files into the folder and returns plain data. Its ``changes`` go into the record, its
                ``note`` onto the terminal.
            note: shown instead of that note.
        """
        full = store.digest({"stage": name, "edgekit": edgekit.__version__, **key})
        with self.reporter.stage(name) as update:
            done = self.kept.run(name, full, lambda folder: work(folder, update))
        self.used.add(done.folder.name)
        changes = contract(done.result.get("changes", {}))
        self.done.append(
            record.Stage(name=name, kind=kind, seconds=round(done.seconds, 3), cached=done.cached, changes=changes)
        )
        self.reporter.finished(name, done.seconds, done.cached, note or str(done.result.get("note", "")))
        return done

"""What a long run tells while it works."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

Update = Callable[[float, str], None]


class Reporter:
    """One line a finished stage, and a moving bar for the one under way."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Progress | None = None
        self._open = 0
        self._lock = threading.Lock()

    @contextmanager
    def stage(self, title: str) -> Iterator[Update]:
        """Show ``title`` with a bar; the yielded function takes the fraction done and a short text.

        Stages of several threads have a bar each.
        """
        bars = self._enter()
        task = bars.add_task(title, total=1.0, note="")

        def update(fraction: float, text: str) -> None:
            bars.update(task, completed=fraction, note=text)

        try:
            yield update
        finally:
            bars.remove_task(task)
            self._leave()

    def _enter(self) -> Progress:
        """The bars on the screen: a console shows one set of them at a time."""
        with self._lock:
            if self._bars is None:
                columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
                note = TextColumn("{task.fields[note]}")
                self._bars = Progress(*columns, note, console=self._console, transient=True)
                self._bars.start()
            self._open += 1
            return self._bars

    def _leave(self) -> None:
        with self._lock:
            self._open -= 1
            if self._bars is not None and self._open == 0:
                self._bars.stop()
                self._bars = None

    def finished(self, title: str, seconds: float, cached: bool, note: str = "") -> None:
        """Say that a stage is whole, and whether it was made now or reused."""
        how = "reused" if cached else f"{seconds:.1f} s"
        style = "dim" if cached else "default"
        self._console.print(f"[{style}]{title:<34} {how:>8}  {note}[/{style}]", highlight=False, soft_wrap=True)

    def say(self, text: str, style: str = "default") -> None:
        """A line of text, as it is."""
        from rich.text import Text

        self._console.print(Text(text, style=style), soft_wrap=True)

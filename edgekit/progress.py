"""What a long run tells while it works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

Update = Callable[[float, str], None]


class Reporter:
    """One line a finished stage, and a moving bar for the one under way."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def stage(self, title: str) -> Iterator[Update]:
        """Show ``title`` with a bar; the yielded function takes the fraction done and a short text."""
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
        bar = Progress(*columns, TextColumn("{task.fields[note]}"), console=self._console, transient=True)
        with bar:
            task = bar.add_task(title, total=1.0, note="")

            def update(fraction: float, text: str) -> None:
                bar.update(task, completed=fraction, note=text)

            yield update

    def finished(self, title: str, seconds: float, cached: bool, note: str = "") -> None:
        """Say that a stage is whole, and whether it was made now or reused."""
        how = "reused" if cached else f"{seconds:.1f} s"
        style = "dim" if cached else "default"
        self._console.print(f"[{style}]{title:<34} {how:>8}  {note}[/{style}]", highlight=False, soft_wrap=True)

    def say(self, text: str, style: str = "default") -> None:
        """A line of text, as it is."""
        from rich.text import Text

        self._console.print(Text(text, style=style), soft_wrap=True)

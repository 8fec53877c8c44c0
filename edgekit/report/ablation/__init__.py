"""The summary of a study, from the records of its runs alone: a text, a picture, a table on the terminal."""

from __future__ import annotations

from pathlib import Path

from edgekit.report.ablation.runs import Runs, find
from edgekit.report.ablation.terminal import table
from edgekit.store import write_text

__all__ = ["Runs", "find", "table", "write"]


def write(runs: Runs, folder: Path) -> list[Path]:
    """Write ``ablation.md`` and ``pictures/ablation.png`` into ``folder``.

    Returns:
        The paths written, the text first.

    Raises:
        DeviceError: the disk is full or cannot be written.
    """
    from edgekit.report.ablation import markdown, picture
    from edgekit.report.plots import style

    drawn = folder / "pictures" / "ablation.png"
    with style.quiet():
        figure = picture.draw(runs)
        if figure is None:
            drawn.unlink(missing_ok=True)
        else:
            style.save(figure, drawn)
    text = folder / "ablation.md"
    write_text(text, markdown.render(runs, None if figure is None else drawn.relative_to(folder).as_posix()))
    return [text, *([drawn] if figure is not None else [])]

"""What a path given to ``edgekit check`` means: a record, a folder of them, or a checklist that somebody wrote."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgekit import record as records
from edgekit.errors import InputError
from edgekit.report.check.finding import Finding
from edgekit.report.check.lint import lint
from edgekit.report.check.views import VIEWS, is_checklist_of, view
from edgekit.report.check.whole import check

_MARKDOWN = (".md", ".markdown")


def check_path(path: Path) -> list[Finding]:
    """Check a record with what lies beside it, every record of a study, or a checklist in Markdown.

    A file that edgekit writes beside a record is checked with that record, and so is its checklist under another
    name; any other Markdown is read alone.

    Raises:
        InputError: there is nothing at ``path``, or nothing that can be checked.
    """
    beside = path.parent / "record.json"
    if path.is_file() and path.name in VIEWS and beside.is_file():
        return _record(beside, path.parent)
    if path.suffix.lower() in _MARKDOWN and not path.is_dir():
        return _written(path, beside)
    if path.is_file() and path.suffix.lower() in (".tex", ".html"):
        raise InputError("no record.json beside it", where=str(path), remedy="check the Markdown, or the record")
    if path.is_dir() and not (path / "record.json").exists() and (path / "checklist.md").is_file():
        return lint(_text(path / "checklist.md"), "checklist.md")
    files = records.find(path)
    found = []
    for file in files:
        of = file.parent.relative_to(path).as_posix() + "/" if len(files) > 1 else ""
        found += [replace(one, where=of + one.where) for one in _record(file, file.parent)]
    return found


def _written(path: Path, beside: Path) -> list[Finding]:
    """A checklist of the record beside it under another name, or one that somebody wrote."""
    text = _text(path)
    if beside.is_file():
        try:
            record = records.read(beside)
        except InputError:
            return lint(text, path.name)
        if is_checklist_of(record, text):
            return [*check(record), *view(record, path, "checklist.md")]
    return lint(text, path.name)


def _record(file: Path, folder: Path) -> list[Finding]:
    try:
        return check(records.read(file), folder)
    except records.AlteredError as error:
        return [Finding("schema", str(error.where), error.problem)]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read as text: {error}", where=str(path)) from None

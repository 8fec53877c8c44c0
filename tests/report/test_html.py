"""The page for a browser: nothing from elsewhere, nothing that runs, and the figures of the record."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgekit.record import Record
from edgekit.report import document, html, write

if TYPE_CHECKING:
    from tests.report.conftest import Maker

HOSTILE = "x<script>alert(1)</script>\"'><img src=http://h/p.png>{{ 7 * 7 }} \u202eevil"
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Elements, links and text of a page; every element that is opened must be closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th", "dd", "h1"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th", "dd", "h1", "code"):
            self.cells[-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_the_page_shows_the_figures_of_the_record(record: Record) -> None:
    page = Page(html.render(record, {}))
    for row, cells in document.content(record)["table"]:
        at = page.cells.index(row.name, page.cells.index("status"))
        assert page.cells[at + 1 : at + 1 + len(cells)] == cells
    for section, bullets, _ in document.content(record)["sections"]:
        for item, same in bullets:
            assert same or set(item.lines) <= set(page.cells), f"{section.title}: {item.name}"


def test_nothing_comes_from_elsewhere_and_nothing_runs(record: Record, tmp_path: Path) -> None:
    paths = write(record, tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert tmp_path / "report.html" in paths
    assert len(text) < 3_000_000
    assert not page.all("script") + page.all("link") + page.all("iframe")
    assert len(page.all("img")) >= 3
    assert all((one["src"] or "").startswith("data:image/png;base64,") for one in page.all("img"))
    assert all((one["href"] or "").startswith("#") for one in page.all("a"))
    targets = {one["id"] for one in page.all("section")}
    assert {(one["href"] or "")[1:] for one in page.all("a")} == targets
    assert "default-src 'none'" in text


def test_text_from_outside_stays_text(make: Maker) -> None:
    record = make()
    recipe = {**record.recipe, "name": HOSTILE, "task": {**record.recipe["task"], "description": HOSTILE}}
    page = Page(html.render(record.model_copy(update={"recipe": recipe, "warnings": (HOSTILE,)}), {}))
    assert not page.all("script") + page.all("img")
    assert page.cells[0] == "Deployment checklist: " + HOSTILE.replace("\u202e", "")


def test_a_reader_who_does_not_see_it_finds_the_way(record: Record) -> None:
    text = html.render(record, {})
    page = Page(text)
    assert page.all("html")[0]["lang"] == "en"
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(one.get("scope") in ("row", "col") for one in page.all("th"))
    assert all(one.get("alt") for one in page.all("img"))


def _contrast(one: str, other: str) -> float:
    """WCAG 2's ratio of two colours."""

    def luminance(colour: str) -> float:
        digits = colour * 2 if len(colour) == 3 else colour
        parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_colours_can_be_read_in_light_and_dark(record: Record) -> None:
    themes = re.findall(r":root \{([^}]*)\}", html.render(record, {}))
    assert len(themes) == 2
    for theme in themes:
        colour = dict(re.findall(r"--(\w+): #([0-9a-f]{3,6})", theme))
        for text in ("text", "soft", "good", "bad", "link"):
            for ground in ("ground", "pane"):
                assert _contrast(colour[text], colour[ground]) >= 4.5, f"{text} on {ground}"


def test_a_browser_shows_it(record: Record, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium on this machine")
    write(record, tmp_path)
    quietly = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}")
    made = subprocess.run(
        [browser, *quietly, "--enable-logging=stderr", "--dump-dom", (tmp_path / "report.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "<h1>Deployment checklist" in made.stdout
    assert "CONSOLE" not in made.stderr

"""The page for a browser: nothing from elsewhere, nothing that runs, and the figures of the record."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from importlib import metadata
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


def _twenty(record: Record) -> Record:
    """The record with each of its artifacts twice, under two names."""
    twice = {
        part: tuple(
            one.model_copy(update={key: f"{getattr(one, key)}{end}"})
            for end in ("", "-b")
            for one in getattr(record, part)
            if not end or not getattr(one, key).startswith("source")
        )
        for part, key in (("artifacts", "name"), ("measurements", "artifact"), ("predictions", "artifact"))
    }
    more = [
        one.model_copy(update={"name": f"cpu-int8-{number}"}) for number, one in enumerate(record.artifacts[2:4])
    ]
    return record.model_copy(update={**twice, "artifacts": (*twice["artifacts"], *more)})


@pytest.fixture(scope="module")
def folder(make: Maker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reports of a record of twenty artifacts."""
    record = _twenty(make())
    assert len(record.artifacts) == 20
    found = tmp_path_factory.mktemp("page")
    write(record, found)
    return found


def _browse(page: Path, profile: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """What a browser makes of a page, and what it says on its console."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium on this machine")
    quietly = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", *more)
    command = [browser, *quietly, "--enable-logging=stderr", "--dump-dom", page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def test_twenty_artifacts_fit_on_one_page(folder: Path) -> None:
    assert (folder / "report.html").stat().st_size < 3_000_000


def test_a_browser_shows_it(folder: Path, tmp_path: Path) -> None:
    made = _browse(folder / "report.html", tmp_path / "profile")
    assert "<h1>Deployment checklist" in made.stdout
    assert "CONSOLE" not in made.stderr


@pytest.mark.parametrize("width", [1280, 360])
def test_axe_finds_nothing(folder: Path, tmp_path: Path, width: int) -> None:
    """With axe-core's own rules, on a copy of the page that lets its script run."""
    try:
        script = metadata.distribution("axe-core-python").locate_file("axe_core_python/axe.min.js")
    except metadata.PackageNotFoundError:
        pytest.skip("axe-core is not installed")
    axe = Path(str(script)).read_text(encoding="utf-8").replace("</script", "<\\/script")
    run = "axe.run().then(found => { document.title = JSON.stringify(found.violations.map(one => one.id)) })"
    text = (folder / "report.html").read_text(encoding="utf-8")
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    page = tmp_path / "page.html"
    page.write_text(text.replace("</body>", f"<script>{axe}\n{run}</script></body>"), encoding="utf-8")
    made = _browse(page, tmp_path / "profile", f"--window-size={width},800", "--virtual-time-budget=60000")
    title = re.search(r"<title>(.*?)</title>", made.stdout)
    assert title is not None
    assert title[1] == "[]"


def test_a_phone_need_not_scroll_sideways(folder: Path, tmp_path: Path) -> None:
    """Wide tables scroll in their own regions, the page does not."""
    text = (folder / "report.html").read_text(encoding="utf-8")
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    inner = tmp_path / "inner.html"
    inner.write_text(text, encoding="utf-8")
    # Headless windows have a least width; a frame has none.
    outer = tmp_path / "outer.html"
    measure = "const e = f.contentDocument.documentElement; document.title = `${e.scrollWidth} ${e.clientWidth}`"
    outer.write_text(
        f'<title></title><iframe id="f" src="{inner.name}" style="width:360px;height:700px;border:0" '
        f'onload="{measure}"></iframe>',
        encoding="utf-8",
    )
    made = _browse(outer, tmp_path / "profile", "--allow-file-access-from-files", "--virtual-time-budget=20000")
    title = re.search(r"<title>(\d+) (\d+)</title>", made.stdout)
    assert title is not None
    assert int(title[1]) <= int(title[2]) <= 360

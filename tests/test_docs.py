"""The documentation: its commands run, its files are valid, its references are those of the schemas."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from edgekit import record, report, schema_reference
from edgekit.cli import app
from edgekit.recipe import Recipe
from edgekit.report.check.required import CATEGORIES
from edgekit.target import Target

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))
#: A mark in a page, then the block that it speaks of: ``run``, ``run: slow`` or ``file: NAME``.
_MARKED = re.compile(r"<!-- (run|file)(?:: ([\w.]+))? -->\n```\w+\n(.*?)```", re.DOTALL)
_CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)


def _marked(kind: str) -> Iterator[tuple[str, str, str]]:
    """Page, argument of the mark and text of every marked block, the tutorial first."""
    for page in sorted(PAGES, key=lambda path: path.name != "tutorial.md"):
        for found in _MARKED.finditer(page.read_text(encoding="utf-8")):
            if found[1] == kind:
                yield page.relative_to(ROOT).as_posix(), found[2] or "", found[3]


def _commands(text: str) -> list[list[str]]:
    lines = [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
    return [shlex.split(line)[1:] for line in lines if shlex.split(line)[0] == "edgekit"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the pages' files, in which the tests work."""
    for _, name, text in _marked("file"):
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_quick_commands_run(folder: Path) -> None:
    # The run of the tutorial is made by the slow test; any other serves to show what is made of one.
    run = folder / "runs" / "deploy"
    shutil.copytree(ROOT / "reports" / "breastmnist_mobileone_s0", run)
    report.write(record.read(run), run)
    ran = 0
    for page, speed, text in _marked("run"):
        for command in _commands(text) if speed != "slow" else ():
            done = CliRunner().invoke(app, command)
            assert done.exit_code == 0, f"{page}: {command}: {done.output} {done.exception}"
            ran += 1
    assert ran >= 7
    assert (folder / "card" / "README.md").exists()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_tutorial_runs_as_it_stands(folder: Path) -> None:
    for page, _, text in _marked("run"):
        for command in _commands(text):
            process = [sys.executable, "-m", "edgekit.cli", *command]
            done = subprocess.run(process, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{page}: {command}: {done.stdout[-2000:]} {done.stderr[-2000:]}"
    assert (folder / "runs" / "deploy" / "artifacts" / "cpu-fp32" / "example.py").exists()


def test_files_are_valid(folder: Path) -> None:
    for page, name, text in _marked("file"):
        found = yaml.safe_load(text)
        model: type[Any] = Target if "runtime" in found else Recipe
        assert model.model_validate(found), f"{page}: {name}"


def _option_names(command: Any) -> set[str]:
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda path: path.name)
def test_every_command_and_option_is_one_that_there_is(page: Path) -> None:
    group: Any = typer.main.get_command(app)
    text = page.read_text(encoding="utf-8")
    told = [words for block in _CONSOLE.findall(text) for words in _commands(block)]
    told += [
        shlex.split(one.replace("[", "").replace("]", ""))[1:] for one in re.findall(r"`(edgekit [^`\n]*)`", text)
    ]
    for words in told:
        command = group.commands.get(words[0])
        assert command is not None, words
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert options <= _option_names(command), words


def test_every_item_of_the_checklist_is_explained() -> None:
    text = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")
    for _, _, items in CATEGORIES:
        for item in items:
            assert f"**{item.name}**" in text, item.name


@pytest.mark.parametrize("kind", ["recipe", "target"])
def test_the_reference_holds_every_key(kind: schema_reference.Kind) -> None:
    text, schema = schema_reference.markdown(kind), schema_reference.json_schema(kind)
    sections = {part.partition("\n")[0]: part for part in text.split("\n## ")}
    sections = {name.removeprefix("## "): part for name, part in sections.items()}
    blocks = {**schema.get("$defs", {}), **({str(schema["title"]): schema} if "title" in schema else {})}
    assert set(sections) == set(blocks)
    for name, block in blocks.items():
        for key in block.get("properties", {}):
            assert f"| `{key}` | " in sections[name], f"{name}.{key}"
        rows = [line for line in sections[name].splitlines() if line.startswith("| `")]
        assert all(len(re.split(r"(?<!\\)\|", row)) == 6 for row in rows)
        assert not [row for row in rows if "| anything |" in row]
    links = set(re.findall(r"\(#([\w-]+)\)", text))
    assert links <= {name.lower() for name in blocks}
    said = CliRunner().invoke(app, ["schema", kind, "--format", "markdown"])
    assert said.output == text


def test_the_site_is_made_and_needs_no_network(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("material")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) >= len(PAGES)
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"?(https?:[^\">\s]+)", text)
        assert not loaded, f"{page.name}: {loaded}"
    assert "max_accuracy_drop" in (tmp_path / "reference" / "recipe.html").read_text(encoding="utf-8")

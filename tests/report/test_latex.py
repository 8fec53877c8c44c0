"""``checklist.tex`` says what the record says, and LaTeX takes it whatever a user wrote."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgekit.record import Record
from edgekit.report import document, latex, rows
from edgekit.report.latex_escape import latex as escaped
from tests.report.test_markdown import hostile

if TYPE_CHECKING:
    from tests.report.conftest import Maker

ODD = (
    r"50 % of a_b & c^2 #1 {x} $y$ ~z \input{/etc/passwd} <b> 'q' `r` a|b --out '' \"µs\" "
    "× ≤ ≥ ° → é ñ ß Ł Žluťoučký αβΩΡο 患者 🫀"  # noqa: RUF001
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("5 % of a_b & #1", r"5 \% of a\_b \& \#1"),
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("$x^2$ ~", r"\$x\textasciicircum{}2\$ \textasciitilde{}"),
        ("cpu-int8 --out", "cpu-int8 -{}-out"),
        ("3 × 4 ≤ 15 µs", r"3 $\times$ 4 $\leq$ 15 $\mu$s"),  # noqa: RUF001
        ("Žluťoučký", r"\v{Z}lu\v{t}ou\v{c}k\'{y}"),
        ("ß Ł ø", r"\ss{} \L{} \o{}"),
        ("Δλς", r"$\Delta$$\lambda$$\varsigma$"),
        ("患", "[U+60A3]"),
        ("one\n\n\\par two", r"one \textbackslash{}par two"),
        (7, "7"),
    ],
)
def test_text_is_printed_as_it_is(text: object, shown: str) -> None:
    assert escaped(text) == shown


def test_a_hash_may_be_broken_and_stays_whole() -> None:
    digest = "0123456789abcdef" * 4
    assert escaped(digest).replace(r"\allowbreak{}", "") == digest
    assert r"\allowbreak{}" in escaped(digest)


def test_every_item_of_the_nine_categories_is_there(record: Record) -> None:
    text = latex.render(record)
    for number, section in enumerate(rows(record), 1):
        assert f"{number}. {section.title}" in text
        for item in section.items:
            assert f"\n{escaped(item.name)} &\n" in text
            assert all(escaped(line) in text for line in item.lines)
    for line in [*document.summary(record).items[2].lines, *record.warnings]:
        assert escaped(line) in text


def test_its_form_is_whole(make: Maker) -> None:
    for one in (make(), make(untrained=True), hostile(make())):
        text = latex.render(one)
        bare = re.sub(r"\\[\\{}%&$#_^~]", "", text.split("\n", 1)[1])
        depth = 0
        for c in bare:
            depth += {"{": 1, "}": -1}.get(c, 0)
            assert depth >= 0
        assert depth == 0
        assert bare.count("$") % 2 == 0
        assert re.findall(r"\\begin\{(\w+)}", text) == re.findall(r"\\end\{(\w+)}", text) == ["longtable"]
        cells = [line for line in bare.splitlines() if "&" in line]
        assert all(line.count("&") == 1 for line in cells)
        assert not {"%", "#", "~"} & set(bare)
        assert text.isascii()


@pytest.mark.parametrize("variant", ["plain", "hostile"])
def test_latex_takes_it(record: Record, tmp_path: Path, variant: str) -> None:
    program = shutil.which("pdflatex")
    if program is None:
        pytest.skip("no pdflatex on this machine")
    one = record if variant == "plain" else hostile(record)
    one = one.model_copy(update={"warnings": (ODD,), "command": ODD})
    (tmp_path / "checklist.tex").write_text(latex.render(one), encoding="utf-8")
    (tmp_path / "paper.tex").write_text(
        "\\documentclass{article}\n\\usepackage{array,booktabs,longtable}\n\\begin{document}\n"
        "\\input{checklist}\n\\end{document}\n",
        encoding="utf-8",
    )
    command = [program, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 10_000
    assert "Missing character" not in done.stdout

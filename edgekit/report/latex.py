"""``checklist.tex``: the checklist as one table for the supplement of a paper, to be read in by ``\\input``."""

from __future__ import annotations

from edgekit import templates
from edgekit.record import Record
from edgekit.report import document
from edgekit.report.escape import Safe
from edgekit.report.latex_escape import latex
from edgekit.report.markdown import TEMPLATES

#: Braces and percent signs are LaTeX's own.
_DELIMITERS = {
    "block_start_string": "<%",
    "block_end_string": "%>",
    "variable_start_string": "<<",
    "variable_end_string": ">>",
    "comment_start_string": "<#",
    "comment_end_string": "#>",
}


def render(record: Record) -> str:
    """The LaTeX text: a summary, the nine categories, and what identifies the run.

    It needs the packages array, booktabs and longtable, and compiles with pdfLaTeX.
    """
    made = templates.environment(TEMPLATES, latex, delimiters=_DELIMITERS)
    shown = document.content(record)
    sections = [document.summary(record), *(section for section, _, _ in shown["sections"])]
    return made.get_template("checklist.tex.j2").render(**shown | {"sections": sections}, emph=_emphasized)


def _emphasized(text: str, wanted: object) -> Safe:
    """``text``, in italics where something is missing."""
    return Safe(rf"\textit{{{latex(text)}}}" if wanted else latex(text))

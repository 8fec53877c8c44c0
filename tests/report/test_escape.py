from __future__ import annotations

import pytest

from edgekit.report.escape import Safe, markdown, oneline


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("a & b", "a &amp; b"),
        ("one\n# two\r\n\tthree", "one # two three"),
        ("**bold** `code` ~~gone~~ $x$", r"\*\*bold\*\* \`code\` \~\~gone\~\~ \$x\$"),
        ("![x](http://h/p.png)", r"!\[x\](http://h/p.png)"),
        (r"back\slash|", r"back\\slash\|"),
        ("_emphasis_ snake_case", r"\_emphasis\_ snake_case"),
        ("adénome élevé", "adénome élevé"),
        ("# no heading", r"\# no heading"),
        ("- no list", r"\- no list"),
        ("12. no list", r"12\. no list"),
        ("--- no rule", r"\--- no rule"),
        ("-1.5 and 3.2", "-1.5 and 3.2"),
        (7, "7"),
    ],
)
def test_markup_in_text_is_shown_as_it_is(text: object, shown: str) -> None:
    assert markdown(text) == shown


def test_line_separators_and_control_characters_go() -> None:
    assert oneline("a\u2028b\x85c\x1bd\x00e") == "a b cde"


def test_marks_that_turn_the_direction_of_figures_go() -> None:
    assert oneline("0.9\u202e1.0\u2066") == "0.91.0"


def test_own_markdown_is_left_alone() -> None:
    assert markdown(Safe("**")) == "**"

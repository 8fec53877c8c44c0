"""Text from recipes, data and devices, made harmless inside LaTeX, for any engine and without any package."""

from __future__ import annotations

import unicodedata

from edgekit.report.escape import Safe, oneline

#: What is a command, a ligature's part or no letter of the old encodings; the rest of ASCII stands for itself.
_CHARACTERS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # A shorthand of babel in some languages, and an opening quotation mark.
    '"': r"\symbol{34}",
    "`": r"\symbol{96}",
    "\u00a0": " ",
    "\u2010": "-",
    "\u2011": "-",
    "\u2013": r"\textendash{}",
    "\u2014": r"\textemdash{}",
    "\u2018": r"\textquoteleft{}",
    "\u2019": r"\textquoteright{}",
    "\u201c": r"\textquotedblleft{}",
    "\u201d": r"\textquotedblright{}",
    "\u2026": r"\ldots{}",
    "\u00a7": r"\S{}",
    "\u00a9": r"\copyright{}",
    "\u00ae": r"\textregistered{}",
    "\u2122": r"\texttrademark{}",
    "\u00a1": r"\textexclamdown{}",
    "\u00bf": r"\textquestiondown{}",
    "\u00df": r"\ss{}",
    "\u00e6": r"\ae{}",
    "\u00c6": r"\AE{}",
    "\u0153": r"\oe{}",
    "\u0152": r"\OE{}",
    "\u00f8": r"\o{}",
    "\u00d8": r"\O{}",
    "\u0142": r"\l{}",
    "\u0141": r"\L{}",
    "\u0131": r"\i{}",
}
#: Signs that exist in formulas only.
_FORMULAS = {
    "\u00b5": r"\mu",
    "\u00d7": r"\times",
    "\u00f7": r"\div",
    "\u00b1": r"\pm",
    "\u00b7": r"\cdot",
    "\u00b0": r"^{\circ}",
    "\u00b2": "^{2}",
    "\u00b3": "^{3}",
    "\u00b9": "^{1}",
    "\u00ac": r"\neg",
    "\u2212": "-",
    "\u2190": r"\leftarrow",
    "\u2192": r"\rightarrow",
    "\u2194": r"\leftrightarrow",
    "\u21d2": r"\Rightarrow",
    "\u2248": r"\approx",
    "\u2260": r"\neq",
    "\u2264": r"\leq",
    "\u2265": r"\geq",
    "\u221e": r"\infty",
    "\u221a": r"\surd",
    "\u2208": r"\in",
    "\u2211": r"\sum",
    "\u2206": r"\Delta",
    "\u2022": r"\bullet",
}
#: Combining mark -> the accent's command.
_ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0323": "d",
    "\u0327": "c",
    "\u0331": "b",
}
#: Two of these become another character, such as a dash of the two hyphens of '--out'.
_LIGATURES = "-',"
#: Greek capitals that look like Latin letters have no command of their own.
_CAPITALS = {"ALPHA": "A", "BETA": "B", "EPSILON": "E", "ZETA": "Z", "ETA": "H", "IOTA": "I", "KAPPA": "K"}
_CAPITALS |= {"MU": "M", "NU": "N", "OMICRON": "O", "RHO": "P", "TAU": "T", "CHI": "X"}
_GREEK = {"LAMDA": "lambda", "FINAL SIGMA": "varsigma", "OMICRON": "mathit{o}"}
#: A word longer than this, such as a hash or a path, may be broken after every so many characters.
_UNBROKEN, _EVERY = 24, 8


def latex(text: object) -> str:
    """``text`` so that LaTeX prints it as it is, on one line of source.

    Accented letters and common signs become commands that every engine knows. A character that has none is named
    by its code point, since pdfLaTeX would stop at it.
    """
    if isinstance(text, Safe):
        return text
    return " ".join(_word(word) for word in oneline(str(text)).split(" "))


def _word(word: str) -> str:
    letters = _letters(unicodedata.normalize("NFD", word))
    if len(letters) <= _UNBROKEN:
        return "".join(letters)
    parts = ("".join(letters[at : at + _EVERY]) for at in range(0, len(letters), _EVERY))
    return r"\allowbreak{}".join(parts)


def _letters(decomposed: str) -> list[str]:
    """One piece of LaTeX for each printed character."""
    found: list[str] = []
    for c in decomposed:
        if c in _ACCENTS and found:
            found[-1] = f"\\{_ACCENTS[c]}{{{found[-1]}}}"
        elif c in _LIGATURES and found and found[-1].endswith(c):
            found.append(f"{{}}{c}")
        else:
            found.append(_one(c))
    return found


def _one(c: str) -> str:
    if c in _CHARACTERS:
        return _CHARACTERS[c]
    if c.isascii():
        return c
    if c in _FORMULAS:
        return f"${_FORMULAS[c]}$"
    kind, _, letter = unicodedata.name(c, "").partition(" LETTER ")
    if kind == "GREEK CAPITAL" and letter in _CAPITALS:
        return _CAPITALS[letter]
    if kind in ("GREEK CAPITAL", "GREEK SMALL") and (letter.isalpha() or letter in _GREEK):
        name = _GREEK.get(letter, letter.lower())
        return f"$\\{name.capitalize() if kind == 'GREEK CAPITAL' else name}$"
    return f"[U+{ord(c):04X}]"

"""Text without what nobody can see: control characters, terminal sequences, and characters that hide text in text."""

import re
import unicodedata

_TERMINAL_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b\n]{0,500}(?:\x07|\x1b\\)"  # titles, links
    r"|\x1b[ -/]*[0-~]|\x9b[0-?]*[ -/]*[@-~]"
)
_WHITESPACE_CONTROLS = frozenset("\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f\x85\u2028\u2029")
# Blank although their category is that of letters, marks or symbols; variation selectors carry any hidden text.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U0001d159\U000e0000-\U000e0fff]"
)
_NONCHARACTER = re.compile("[\ufdd0-\ufdef\ufffe\uffff]")
_JOINERS = "\u200c\u200d"
# Arabic to Sinhala, Myanmar, Khmer: scripts that spell with joiners.
_SPELLS_WITH_JOINERS = re.compile("[\u0600-\u0dff\u1000-\u109f\u1780-\u17ff]")
_MARK = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_STACKED_MARKS = re.compile(f"({_MARK}{{3}}){_MARK}+")


def visible(text: str) -> str:
    """The text without invisible characters. Whitespace stays, and joiners where a script or an emoji needs them."""
    text = _TERMINAL_SEQUENCE.sub("", text)
    if text.isascii() and text.isprintable():
        return text
    text = _STACKED_MARKS.sub(r"\1", _NONCHARACTER.sub("", _BLANK.sub("", text)))
    # Neighbours are looked up in what is left, so that a run of joiners does not vouch for itself.
    kept = [char for char in text if char in _JOINERS or not _is_invisible(char)]
    return "".join(
        char
        for place, char in enumerate(kept)
        if char not in _JOINERS or (0 < place < len(kept) - 1 and _may_join(kept[place - 1], char, kept[place + 1]))
    )


def _is_invisible(char: str) -> bool:
    return char not in _WHITESPACE_CONTROLS and unicodedata.category(char) in ("Cc", "Cf", "Co", "Cs")


def _may_join(before: str, joiner: str, after: str) -> bool:
    if _SPELLS_WITH_JOINERS.match(before) and _SPELLS_WITH_JOINERS.match(after):
        return True
    pictures = ("So", "Sk")  # emoji and their skin tones
    return joiner == "\u200d" and unicodedata.category(before) in pictures and unicodedata.category(after) in pictures

"""A value as it is written after a name: quoted at any depth of escapes, or bare up to what ends it."""

import re
from dataclasses import dataclass

_OPEN = re.compile(r"""(?:[rbfuRBFU]{0,2}(?=["'`\\]))?(\\{0,7}["'`]|&quot;|\\u0022|“|„|«|「|『)""")
_CLOSED_BY = {"“": "”", "„": "“", "«": "»", "「": "」", "『": "』"}
# Up to another `name=`, so that of `password=x,user=y` only x is taken.
_BARE = re.compile(r"""(?:[^\s"'`<>\\,;&]|[,;&](?![\w.-]{1,40}[=:])){1,512}""")
_LATIN = re.compile(r"[\x21-\x7e]+(?=[\u3000-\u30ff\u3400-\u9fff\uac00-\ud7af\uff00-\uffef])")
_LONGEST = 4_096
_SCHEME = re.compile(r"(?:Bearer|Basic|Token|Bot|ApiKey|SSWS|Splunk|GenieKey|bearer|basic|token)(?: |%20)+")


@dataclass(frozen=True, slots=True)
class Value:
    """`text` stands at `start` to `end`, without its quotes."""

    start: int
    end: int
    text: str
    quoted: bool


def read_value(text: str, at: int, form: str, after: re.Match[str]) -> Value | None:
    """The value at `at`; `after` is what stands between it and its name, of this form."""
    opened = _OPEN.match(text, at)
    if opened is None and form == "sign" and text[at : at + 1] == "\n":
        return None
    if opened:
        mark = opened.group(1)
        start = opened.end()
        if text[start : start + 2] == mark * 2:  # three quotes
            return None
        end = _end_of_quoted(text, start, mark)
        if end is not None:
            return Value(start, end, text[start:end], True)
        at = start
    bare = _BARE.match(text, at)
    if bare is None:
        return None
    value = bare.group()
    latin = _LATIN.match(value)
    if latin:  # text of a script without spaces may follow at once
        value = latin.group()
    if "&" in value and "?" in text[max(0, after.start() - 300) : after.start()]:
        value = value.split("&", 1)[0]
    if form == "cell":
        value = value.split("|", 1)[0]
    value = value.rstrip(",;")
    if value[-1:] in ".:" or form in ("says", "cell"):
        value = value.rstrip(".,;:*_")
    for opening, closing in (("(", ")"), ("[", "]"), ("{", "}")):
        while value.endswith(closing) and value.count(closing) > value.count(opening):
            value = value[:-1].rstrip(",;.")
    value = value.removesuffix("**")
    return Value(at, at + len(value), value, False)


def _end_of_quoted(text: str, start: int, mark: str) -> int | None:
    """Where the closing mark stands, escaped as deeply as the opening one; None if not on this line."""
    quote = _CLOSED_BY.get(mark, mark[-1] if mark[0] == "\\" and mark != "\\u0022" else mark)
    depth = len(mark) - 1 if mark[0] == "\\" and mark != "\\u0022" else 0
    limit = min(len(text), start + _LONGEST)
    line_end = text.find("\n", start, limit)
    limit = line_end if line_end >= 0 else limit
    at = start
    while (at := text.find(quote, at, limit)) >= 0:
        head = text[max(start, at - 16) : at]
        backslashes = len(head) - len(head.rstrip("\\"))
        if backslashes % (2 * (depth + 1)) == depth:
            return at - depth
        at += 1
    return None


def without_scheme(value: Value) -> Value:
    """Without a `Bearer` or the like before the credential."""
    scheme = _SCHEME.match(value.text)
    if scheme is None:
        return value
    return Value(value.start + scheme.end(), value.end, value.text[scheme.end() :], value.quoted)

"""Secrets further away from the name that announces them, within one line or one block of settings.

`the API key you need here: x`, `key: env.KEY || "x"`, `x is my password`, `"db_password": {"sensitive": true, "value":
"x"}`. So far from its name only a value counts that shows by itself what it is.
"""

import re

from trace_summarization.redaction.placeholders import is_placeholder
from trace_summarization.redaction.secret_names import DESCRIPTIVE_AFTER, Name
from trace_summarization.redaction.spans import Span
from trace_summarization.redaction.value_forms import is_mixed, is_surely_random

_FARTHEST = 100
_LONGEST = 300
_RUN = re.compile(r"(?<![\w./+=@#-])[A-Za-z0-9+/_-]{20,300}={0,2}(?![\w/@([]|\.\w)")
# Between the name and the value: what says that the value is something else.
_OTHER_SUBJECT = re.compile(
    r"(?:\b|_)(?:commit|sha\d*|hash\w*|digest|checksum|md5|rev|revision|ids?|trace|span|etag|fingerprint|image|uuid|session"
    r"|request|order|public|cursor|page|next|version|model|arn|build|layer)(?:\b|_)|://|[\[(]\d|\bId\b|Id\"",
    re.IGNORECASE,
)
_OTHER_FIELD = re.compile(r"""(\w+)\\{0,7}(?:["'`]\]?[ ]{0,2}[:=]|[ ]?=|:)[ ]{0,2}\\{0,7}["'`]?$""")
_PROSE = re.compile(r"[^\"'={}<>\\]*")
_FIELDS_OF_VALUES = frozenset(
    ("value", "default", "data", "text", "content", "here", "need", "following", "is", "below")
)
_SETTING = re.compile(
    r"""\\{0,7}["']?\]?(?:[ ]?[:=])?[ ]?\{[^{}]{0,160}?\b(?:value|default)\\{0,7}["']?[ ]{0,4}[:=][ ]{0,4}\\{0,7}["']"""
    r"""([^\s"'\\]{4,300})\\{0,7}["']"""
)
_PASSWORD_SAID = re.compile(
    r"(?P<words>(?:,? [^\W\d_]{1,15}){0,7}?)(?:[:：]| is| ist| es| est| è| é| to| auf| naar)[ ]{1,3}[\"'`*]{0,3}(?P<value>[^\s\"'`<>\\=]{8,64})"
)
_SAID_BEFORE = re.compile(
    r"(?P<words>^|[\s\"'`(])(?P<value>[^\s\"'`]{8,300})[\"'`)]{0,2},? (?:is|as|ist|als|es|como|est|comme) (?:[^\W\d_]{1,10} ){1,2}$",
)


def find_spoken(text: str, start: int, end: int, name: Name) -> Span | None:
    """The value for the name at `text[start:end]`, if one stands further on in its line, in its block or before it."""
    value = _in_setting(text, end, name) or (_in_line(text, end, name) if name.word != "auth" else None)
    if value is None and name.kind == "password":
        value = _said(_PASSWORD_SAID.match(text, end), name)
    if value is None and text[max(0, start - 1) : start] == " ":
        line = text.rfind("\n", max(0, start - _LONGEST), start) + 1 or max(0, start - _LONGEST)
        value = _said(_SAID_BEFORE.search(text, line, start), name)
    return value


def _in_setting(text: str, end: int, name: Name) -> Span | None:
    found = _SETTING.match(text, end)
    if not found or is_placeholder(found.group(1)) or not (name.kind == "password" or is_mixed(found.group(1))):
        return None
    return Span(found.start(1), found.end(1), name.kind)


def _in_line(text: str, end: int, name: Name) -> Span | None:
    line_end = text.find("\n", end, end + _FARTHEST + _LONGEST)
    line_end = line_end if line_end >= 0 else end + _FARTHEST + _LONGEST
    run = _RUN.search(text, end, line_end)
    if run is None or run.start() > end + _FARTHEST or not is_surely_random(run.group().rstrip("=")):
        return None
    between = text[end : run.start()]
    field = _OTHER_FIELD.search(between)
    if name.word == "bare key" and not _PROSE.fullmatch(between):
        return None
    if _OTHER_SUBJECT.search(between) or (field and field.group(1).lower() not in _FIELDS_OF_VALUES):
        return None
    return None if is_placeholder(run.group()) else Span(run.start(), run.end(), "secret")


def _said(found: re.Match[str] | None, name: Name) -> Span | None:
    if found is None:
        return None
    if DESCRIPTIVE_AFTER & set(found["words"].lower().split()) - {"for", "to"}:
        return None
    value = found["value"].rstrip(".,;:?)*`")
    if is_placeholder(value) or "(" in value or "/" in value:
        return None
    certain = is_surely_random(value) if name.kind == "secret" else is_mixed(value) and any(map(str.isdigit, value))
    return (
        Span(found.start("value"), found.start("value") + len(value), name.kind)
        if certain and len(value) >= 8
        else None
    )

"""Secrets further away from the name that announces them, within one line or one block of settings.

`the API key you need here: x`, `key: env.KEY || "x"`, `x is my password`, `"db_password": {"sensitive": true, "value":
"x"}`. So far from its name only a value counts that shows by itself what it is.
"""

import re
from dataclasses import dataclass

from trace_summarization.redaction.placeholders import is_placeholder
from trace_summarization.redaction.secret_names import DESCRIPTIVE_AFTER, Name
from trace_summarization.redaction.spans import Span
from trace_summarization.redaction.value_forms import is_mixed, is_surely_random

_FARTHEST = 100
_LONGEST = 300
_SHORTEST = 8
# After an escape (`\n`, `\uff1a`) too, which ends with a letter or digit
_NOT_WITHIN = r"(?:(?<![\w./+=@#\\-])|(?<=\\[nrt])|(?<=\\u[0-9a-fA-F]{4}))"
_RUN_START = re.compile(_NOT_WITHIN + r"[A-Za-z0-9+/_-]{20}")
_RUN = re.compile(_NOT_WITHIN + r"[A-Za-z0-9+/_-]{20,300}={0,2}(?![\w/@([]|\.\w)")
# Between the name and the value: what says that the value is something else.
_OTHER_SUBJECT = re.compile(
    r"(?:\b|_)(?:commit|sha\d*|hash\w*|digest|checksum|md5|rev|revision|ids?|trace|span|etag|fingerprint|image|uuid|session"
    r"|request|order|public|cursor|page|next|version|model|arn|build|layer)(?:\b|_)|://|[\[(]\d|\bId\b|Id\"",
    re.IGNORECASE,
)
_OTHER_FIELD = re.compile(r"""(\w+)\\{0,7}(?:["'`]\]?[ ]{0,2}[:=]|[ ]?=|:)[ ]{0,2}\\{0,7}["'`]?$""")
_PROSE = re.compile(r"[^\"'={}<>\\]*")
_SPEECH = re.compile(r"[^\W\d_]{0,3}(?: [^\W\d_]{1,20}){1,8}: [\"'`]?")
_FIELDS_OF_VALUES = frozenset(
    ("value", "default", "data", "text", "content", "here", "need", "following", "is", "below")
)
_SETTING = re.compile(
    r"""\\{0,7}["']?\]?(?:[ ]?[:=])?[ ]?\{[^{}]{0,160}?\b(?:value|default)\\{0,7}["']?[ ]{0,4}[:=][ ]{0,4}\\{0,7}["']"""
    r"""([^\s"'\\]{4,300})\\{0,7}["']"""
)
_FALLBACK = re.compile(r"(?:\|\||\?\?|\?:|\bor\b)[ ]{0,4}(?=\\{0,7}[\"'`])")
_QUOTED = re.compile(r"\\{0,7}[\"'`]([^\s\"'`\\]{8,300})\\{0,7}[\"'`]")
_BREAK = re.compile(r"\r?\n|\\{1,4}n")
# Alone in the line below, perhaps after an empty one or the dash of a list
_BELOW = re.compile(
    r"(?:\r?\n|\\{1,4}n){1,2}[ \t]{0,20}(?:- )?"
    r"\\{0,7}[\"'`]?(?P<value>[^\s\"'`\\]{6,300})\\{0,7}[\"'`]?[ ]?,?"
    r"(?:\r?\n|\\{1,4}n|[\"'`]|$)"
)
_DESCRIBED = DESCRIPTIVE_AFTER | {"must", "should", "has", "requirement", "requirements"}
_PASSWORD_SAID = re.compile(
    r"(?P<words>(?:,? [^\W\d_]{1,15}){0,7}?)"
    r"(?: ?[:：]| is| ist| es| est| è| é| was| war| era| fue| to| auf| naar)[ ]{1,3}"
    r"[\"'`*]{0,3}(?P<value>[^\s\"'`<>\\=]{8,64})"
)
_SAID_BEFORE = re.compile(
    r"(?P<words>^|[\s\"'`(])(?P<value>[^\s\"'`]{8,300})[\"'`)]{0,2},?"
    r" (?:is|as|ist|als|es|como|est|comme) (?:[^\W\d_]{1,10} ){0,2}$",
)


@dataclass(frozen=True, slots=True)
class Announcement:
    """A name at `text[start:end]` without a value right after it; the name before it ends at `earliest`."""

    start: int
    end: int
    earliest: int
    name: Name


def find_spoken(text: str, said: Announcement, limit: int) -> Span | None:
    """The value of the name, if one begins before `limit`, where the next name stands, or ends right before the name.

    Between two names each text is searched once, so that time stays linear.
    """
    end, name = said.end, said.name
    if limit - end < 3 and said.start - said.earliest < _SHORTEST:
        return None
    value = _in_setting(text, end, name) or _fallback(text, end, limit, name)
    if value is None and name.word != "auth":
        value = _in_line(text, end, limit, name)
    if value is None and name.kind == "password":
        value = _said(_PASSWORD_SAID.match(text, end), name)
    if value is None:
        value = _below(text, end, limit, name)
    if value is None and text[max(0, said.start - 1) : said.start] == " ":
        earliest = max(said.earliest, said.start - _LONGEST)
        line = text.rfind("\n", earliest, said.start) + 1
        value = _said(_SAID_BEFORE.search(text, max(line, earliest), said.start), name)
    return value


def _in_setting(text: str, end: int, name: Name) -> Span | None:
    found = _SETTING.match(text, end)
    if not found or is_placeholder(found.group(1)) or not (name.kind == "password" or is_mixed(found.group(1))):
        return None
    return Span(found.start(1), found.end(1), name.kind)


def _fallback(text: str, end: int, limit: int, name: Name) -> Span | None:
    """`process.env.JWT_SECRET ?? "x"`: what code uses when nothing is set."""
    sign = _FALLBACK.search(text, end, min(limit, end + _FARTHEST))
    found = _QUOTED.match(text, sign.end()) if sign and "\n" not in text[end : sign.end()] else None
    if not found or name.word == "bare key" or is_placeholder(found[1]) or not is_mixed(found[1]) or "/" in found[1]:
        return None
    return Span(found.start(1), found.end(1), name.kind)


def _below(text: str, end: int, limit: int, name: Name) -> Span | None:
    """`Password:` or a command that prints a token, and the value alone in the line below."""
    line_end = _BREAK.search(text, end, min(limit, end + _FARTHEST))
    found = _BELOW.match(text, line_end.start()) if line_end else None
    if found is None or is_placeholder(found["value"]):
        return None
    value = found["value"]
    between = text[end : found.start("value")]
    if name.kind == "password" and between.strip(" *_\"'`\r\n") == ":":
        certain = is_mixed(value) and any(map(str.isdigit, value)) and not value.endswith(":") and "/" not in value
    else:
        certain = len(value) >= 20 and _RUN.fullmatch(value) is not None and is_surely_random(value)
    if not certain or _OTHER_SUBJECT.search(between):
        return None
    return Span(found.start("value"), found.end("value"), name.kind)


def _in_line(text: str, end: int, limit: int, name: Name) -> Span | None:
    farthest = min(limit, end + _FARTHEST)
    line_end = text.find("\n", end, farthest)
    start = _RUN_START.search(text, end, line_end if line_end >= 0 else farthest)
    run = _RUN.match(text, start.start()) if start else None
    if run is None or not is_surely_random(run.group().rstrip("=")):
        return None
    between = text[end : run.start()]
    field = _OTHER_FIELD.search(between)
    if name.word == "bare key" and not _PROSE.fullmatch(between):
        return None
    if _SPEECH.fullmatch(between):  # `token used: x`
        field = None
    if _OTHER_SUBJECT.search(between) or (field and field.group(1).lower() not in _FIELDS_OF_VALUES):
        return None
    return None if is_placeholder(run.group()) else Span(run.start(), run.end(), "secret")


def _said(found: re.Match[str] | None, name: Name) -> Span | None:
    if found is None:
        return None
    if found["words"].lower().strip(", ").split(" ")[0] in _DESCRIBED:  # `password policy: ...`
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

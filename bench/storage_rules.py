"""What a stored summary must obey, written without the code that makes it so.

No check knows how a text was cleaned: they look for what a browser, a terminal, a spreadsheet or a chat would act on.
"""

import html
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trace_summarization import constants as c
from trace_summarization.models import Mode
from trace_summarization.prompts import SUMMARY_SIZES

_LABEL = r'"[^"<>&;#`\\\[\]{}|@~^\x00-\x1f]{1,60}"'
_NODE = rf"  n\d{{1,2}}(?:\[{_LABEL}\]|\({_LABEL}\)|\{{{_LABEL}\}})"
_EDGE = rf"  n\d{{1,2}} -->(?:\|{_LABEL}\|)? n\d{{1,2}}"
_DIAGRAM = re.compile(rf"flowchart (?:TD|TB|BT|LR|RL)(?:\n{_NODE})+(?:\n{_EDGE})*")
_MARKUP = re.compile(r"<[a-zA-Z/!?%@#]|&(?:lt|gt|quot|amp|colon|#\d+|#x[0-9a-f]+);?|\]\(|`|\{\{|\{%", re.IGNORECASE)
# Two letters are a country, unless no country has them and a file name ends with them.
_HOST = (
    r"(?:[\w-]+\.)+(?:(?!(?:js|ts|go|rb|cs|kt|hs|ex|vb|db|gz|xz)\b)[a-z]{2}|com|org|net|dev|app|zone|xyz|example|icu|top"
    r"|site|online|shop|link|click|store|club|info|biz|zip|mov|academy|xn--[\w-]+|[^\x00-\x7f\s]{2,})\.?|\d+\.\d+\.\d+\.\d+|localhost"
)
_URL = re.compile(
    r":[/\\]{2}|(?:java|vb|live)script\s*:|\b(?:https?|ftp|wss?|data|file|mailto|blob|magnet|sms|tel|xmpp|bitcoin):\S"
    r"|\b(?:ms-\w+|search-ms|skype|facetime|sip|webcal|callto|ethereum):\S|\bwww\.\w"
    r"|(?:^|[\s(\"'])[/\\]{2,}[\w-]+\.|(?:^|[\s(\"'])(?://[\w-]+/|\\\\[\w-]{2,}\\\w)"
    rf"|(?<![\w./\\-])(?:{_HOST})(?::\d+)?(?:/+(?!\d\d?(?!\w))|[?#])\w",
    re.IGNORECASE,
)
_HANDLER = re.compile(r"\bon(?:error|load|click|focus|mouseover|toggle|begin|start|blur)\s*=", re.IGNORECASE)
_FORMULA = re.compile(
    r"[ .]*=|[@+-]+\w+[(|]|[@+-]+[\w+-]*[(|]|[+-]+\d+[+*/^]\d|[@+-]+[a-z]{1,3}\d+[+*/^-]|[@+-].*\|.*!", re.IGNORECASE
)
_REFS = re.compile(r"L(\d+)(?:-(\d+))?(?:, L\d+(?:-\d+)?)*")
_ITEM_KEYS = {"text", "line_refs", "verified"}
_BLANK = "\u034f\u115f\u1160\u180b\u180c\u180d\u180e\u2800\u3164\uffa0"


def text_violations(text: str, longest: int, secrets: Sequence[str] = ()) -> Iterator[str]:
    """What of a title, bullet, note or label must not be stored."""
    if len(text) > longest:
        yield f"longer than {longest}"
    if text != " ".join(text.split()):
        yield "whitespace"
    if any(_is_hidden(text, place) for place in range(len(text))):
        yield "hidden character"
    # What it looks like to those who normalize or unescape it is no better than what it is.
    compatible = unicodedata.normalize("NFKC", text)
    for form in {text, compatible, html.unescape(text), html.unescape(compatible)}:
        for name, pattern in (("markup", _MARKUP), ("url", _URL), ("handler", _HANDLER)):
            if pattern.search(form):
                yield name
        if _FORMULA.match(form):
            yield "formula"
    if any(secret in text for secret in secrets):
        yield "secret"


def diagram_violations(diagram: str, secrets: Sequence[str] = ()) -> Iterator[str]:
    """What of a diagram must not be stored."""
    if len(diagram) > c.MAX_DIAGRAM_LENGTH:
        yield "longer than allowed"
    if not _DIAGRAM.fullmatch(diagram):
        yield "outside the grammar"
    for label in re.findall(r'"([^"]*)"', diagram):
        yield from text_violations(label, 60, secrets)


def keyword_violations(keywords: str, secrets: Sequence[str] = ()) -> Iterator[str]:
    """What of a trace's keywords must not be stored: they are words between blanks, and nothing else."""
    yield from text_violations(keywords, c.MAX_KEYWORDS_LENGTH, secrets)
    if any(unicodedata.category(char)[0] not in "LMN" for char in keywords.replace(" ", "")):
        yield "a sign"
    # A secret is none the less told when its signs are left out.
    run = keywords.replace(" ", "")
    if any(re.sub(r"[\W_]", "", secret).casefold() in run for secret in secrets):
        yield "secret without its signs"


def summary_violations(
    properties: Mapping[str, Any], mode: Mode, lines: Sequence[int], secrets: Sequence[str] = ()
) -> Iterator[str]:
    """What of a stored summary event breaks a rule, each as `where: what`. `lines` are the numbers that were shown."""
    title = properties["$ai_summary_title"]
    if not title or len(title.split()) > c.MAX_TITLE_WORDS:
        yield "title: size"
    yield from (f"title: {what}" for what in text_violations(title, c.MAX_TITLE_LENGTH, secrets))
    yield from (f"diagram: {what}" for what in diagram_violations(properties["$ai_summary_flow_diagram"], secrets))
    size = SUMMARY_SIZES[mode]
    bullets = json.loads(properties["$ai_summary_bullets"])
    notes = json.loads(properties["$ai_summary_interesting_notes"])
    if not 1 <= len(bullets) <= size.most_bullets or len(notes) > size.most_notes:
        yield "items: number"
    for item in (*bullets, *notes):
        yield from (f"item: {what}" for what in _item_violations(item, set(lines), secrets))
    valid, total = properties["$ai_summary_line_refs_valid"], properties["$ai_summary_line_refs_total"]
    stored = sum(len(item["line_refs"].split(", ")) for item in (*bullets, *notes) if item["line_refs"])
    if not 0 <= valid <= total or valid != stored:
        yield "references: counts"
    yield from (f"keywords: {what}" for what in keyword_violations(properties["$ai_summary_keywords"], secrets))
    everything = json.dumps(properties, ensure_ascii=False)
    if any(secret in everything for secret in secrets):
        yield "event: secret"


def _item_violations(item: Any, lines: set[int], secrets: Sequence[str]) -> Iterator[str]:
    if set(item) != _ITEM_KEYS or not item["text"]:
        yield "fields"
        return
    yield from text_violations(item["text"], c.MAX_ITEM_LENGTH, secrets)
    refs = item["line_refs"]
    if item["verified"] is not bool(refs):
        yield "verified does not follow the references"
    if len(refs) > c.MAX_LINE_REFS_LENGTH or (refs and not _REFS.fullmatch(refs)):
        yield "references: form"
    for each in re.findall(r"L(\d+)(?:-(\d+))?", refs):
        first, last = int(each[0]), int(each[1] or each[0])
        if not first <= last or first not in lines or last not in lines:
            yield "reference to a line that was not shown"


def _is_hidden(text: str, place: int) -> bool:
    char = text[place]
    if char in "\u200c\u200d":
        # Between letters of a script that needs it, or between the parts of an emoji.
        around = text[max(place - 1, 0) : place] + text[place + 1 : place + 2]
        return len(around) < 2 or any(ord(each) < 0x600 or 0x200B <= ord(each) <= 0x200F for each in around)
    code = ord(char)
    return (
        unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co")
        or char in _BLANK
        or 0xFE00 <= code <= 0xFE0F
        or 0xE0000 <= code <= 0xE0FFF
        or code & 0xFFFE == 0xFFFE
    )

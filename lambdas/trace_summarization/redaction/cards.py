"""Payment card numbers: a network's first digits and lengths, its grouping, and the Luhn check (ISO/IEC 7812)."""

import re

from trace_summarization.redaction.spans import Span

_CANDIDATE = re.compile(r"[2-6]\d{3}(?:[ \u00a0.\-\u2013]?\d){9,15}")
_GROUPINGS = frozenset(
    ((4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (4, 4, 4, 1), (4, 4, 4, 2), (4, 4, 5), (6, 13), (4, 5, 6))
)
_NAMED_OTHERWISE = re.compile(
    r"(?:order|invoice|tracking|ticket|transaction|trace|span|request|session|user|product|item|sku|message|event|chat|tweet|post"
    r"|booking|shipment|batch|job|build|time|stamp|date|seed|offset|size|bytes|epoch|account|isbn|imei|serial|guid|hash)"
    r"[ _-]{0,2}(?:id|ids|no|nr|num|number|#|ref)?[\"'\\]{0,4}\]?(?:[ ]{0,2}(?:[:=#]|is|was)){0,2}[ #\"'\\]{0,5}$",
    re.IGNORECASE,
)
_NUMBER_BEFORE = re.compile(r"\d(?:[ ,]{1,2}|(?:\s|\\n){1,3}[A-Za-z] )$")
_NUMBER_AFTER = re.compile(r"[ ,]{1,2}\d{4,}(?![/-])|[ ,]{1,2}\d{1,3}(?: \d|\.\d)")
_ID_NAME = re.compile(r"(?:_id|Id|ID|\bid)[\"'\\]{0,4}[ ]{0,2}[:=][ \"'\\]{0,5}$")


def find_cards(text: str) -> list[Span]:
    """Spans of numbers of 13 to 19 digits that a card network could have issued."""
    spans: list[Span] = []
    for found in _CANDIDATE.finditer(text):
        start, end = found.span()
        if not _stands_alone(text, start, end):
            continue
        groups = re.split(r"[ \u00a0.\-\u2013]", found.group())
        number = "".join(groups)
        if not _is_issued(number) or not _passes_luhn(number):
            continue
        if len(groups) == 1:
            before = text[max(0, start - 40) : start]
            if _NAMED_OTHERWISE.search(before) or _ID_NAME.search(before):
                continue
        elif (
            tuple(map(len, groups)) not in _GROUPINGS or len(set(re.findall(r"[ \u00a0.\-\u2013]", found.group()))) != 1
        ) or _is_in_table(text, start, end):
            continue
        spans.append(Span(start, end, "card"))
    return spans


def _is_in_table(text: str, start: int, end: int) -> bool:
    """Whether other numbers stand on both sides or in the same form around it, as in the path of a drawing."""
    return bool(_NUMBER_BEFORE.search(text, max(0, start - 12), start) or _NUMBER_AFTER.match(text, end))


def _stands_alone(text: str, start: int, end: int) -> bool:
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    if before and (
        before[-1].isdigit()
        or before[-1] in "_@/$€£"
        or (before[-1] in ".-" and before[:1].isalnum() and len(before) == 2)
        or (before[-1] == "+" and end - start <= 15)  # a phone number
    ):
        return False
    if before and before[-1].isascii() and before[-1].isalpha() and before not in ("\\n", "\\t", "\\r"):
        return False
    if not after:
        return True
    if (after[0].isascii() and after[0].isalnum()) or after[0] in "_@%":
        return False
    return not (after[0] in ".-/:" and len(after) == 2 and after[1].isalnum())


def _is_issued(number: str) -> bool:
    """Whether a network issues numbers with these first digits at this length."""
    length = len(number)
    two, three, four = int(number[:2]), int(number[:3]), int(number[:4])
    return (
        (number[0] == "4" and length in (13, 16, 19))  # Visa
        or ((51 <= two <= 55 or 2221 <= four <= 2720) and length == 16)  # Mastercard
        or (two in (34, 37) and length == 15)  # American Express
        or ((four == 6011 or 644 <= three <= 649 or two == 65) and 16 <= length <= 19)  # Discover
        or ((300 <= three <= 305 or two in (36, 38, 39)) and length in (14, 16))  # Diners
        or (3528 <= four <= 3589 and 16 <= length <= 19)  # JCB
        or (two == 62 and 16 <= length <= 19)  # UnionPay
        or (two in (50, 56, 57, 58, 63, 67) and length in (16, 18, 19))  # Maestro
        or (2200 <= four <= 2204 and length == 16)  # Mir
        or (two == 60 and length == 16)  # RuPay
    )


def _passes_luhn(number: str) -> bool:
    digits = [int(char) for char in reversed(number)]
    return (
        len(set(digits)) > 1
        and (sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])) % 10 == 0
    )

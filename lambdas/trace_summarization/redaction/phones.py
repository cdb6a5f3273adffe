"""Phone numbers: shapes that people write, and that can be dialled as the maintained `phonenumbers` library says.

The library needs 60 ms to load and some 50 microseconds for a number: it is asked only for what has such a shape.
"""

import re

from trace_summarization.redaction.spans import Span

_SEPARATOR = r"[ \u00a0.\-\u2010-\u2013/]"
_INTERNATIONAL = re.compile(rf"(?:\+|＋)\d{{1,3}}(?:(?:{_SEPARATOR}{{0,2}}\(?\d{{1,5}}\)?){{1,7}})")
_ZEROS = re.compile(rf"00[1-9]\d{{0,2}}(?:{_SEPARATOR}?\(?\d{{1,5}}\)?){{2,6}}")
# With at least one separator: what is only digits needs a word that announces it.
_NATIONAL = re.compile(
    rf"\(\d{{2,5}}\){_SEPARATOR}?\d{{2,5}}(?:{_SEPARATOR}\d{{2,5}}){{0,3}}"
    rf"|1[-. ]\(?\d{{3}}\)?[-. ]\d{{3}}[-. ]\d{{4}}"
    rf"|(?:001[-.])?\d{{3}}([-.])\d{{3}}\1\d{{4}}|[2-9]\d{{2}} [2-9]\d{{2}} \d{{4}}"
    rf"|0\d{{1,5}}(?:{_SEPARATOR}\d{{2,8}}){{1,5}}"
    rf"|[6-9]\d{{4}}[ -]\d{{5}}"
    rf"|1[38]00 \d{{3}} \d{{3}}"
    rf"|1[3-9]\d([ -])\d{{4}}\2\d{{4}}"
    rf"|[6-9]\d{{2}}-\d{{3}}-\d{{3}}|[6-9]\d{{2}}( )\d{{2}}\3\d{{2}}\3\d{{2}}"
    rf"|8[ -]\(?\d{{3}}\)?[ -]\d{{3}}[ -]\d{{2}}[ -]\d{{2}}"
)
_RUN = re.compile(r"(?:\+|＋|\()?\(?\d[\d ().\-/\u00a0\u2010-\u2013]{5,}\d")
_PLAIN = re.compile(r"\(?[+＋]?\(?\d[\d().\-/]*(?:[ \u00a0]+(?:[\d.\-/]|\(\d+\))[\d().\-/]*)*")
_LONGEST_RUN = 40  # characters; what is longer is a table of numbers
# Ends right before the number: a word such as `phone`, perhaps `number`, `is`, `me at`, and signs of a field's name.
_ANNOUNCED = re.compile(
    r"(?:(?<![^\W_])[^\W\d_]{0,16}(?:phone|tel|telefon|handy|mobil|mobile|fax|telefone|teléfono|whatsapp)"
    r"|(?<!\w)(?:cell|celular|móvil|call(?:ed)?"
    r"|ll[aá]m\w{1,6}|appel\w{1,4}(?:-moi)?|joindre|ruf\w{0,3}(?: (?:mich|uns|sie))?|anruf\w{0,3}|erreichbar"
    r"|chiam\w{1,6}|lig(?:ue|ar)"
    r"|sms|contact|dial|ring|reach|portable|téléphone|телефон\w{0,3}|тел"
    r"|звон\w{1,4}|ph|mob|tlf|text(?= (?:me|us|him|her))"
    r"|(?:my|his|her|your|our) number|meine nummer|mi número|meu número"
    r"|мой номер)|电话|手机|传真|電話|携帯|전화|फोन|هاتف)[^\W\d_]{0,8}"
    r"(?:[ _-]?(?:number|phone|nummer|no|nr|num|me|us|him|her|is|was|at|on|under|to|from|ist|lautet|est|es|é|a"
    r"|au|al|unter|code|back)\b\.?){0,4}[\"'\\*.]{0,8}[ \t]{0,3}[:=：#|は是]?\*{0,2}[ \t]{0,3}[\"'\\`]{0,6}$",
    re.IGNORECASE,
)
_ANNOUNCED_AFTER = re.compile(
    r" is (?:my|his|her|our|the) (?:new |work |home )?(?:phone|mobile|cell|number)", re.IGNORECASE
)
_REGIONS = (
    *("US", "GB", "DE", "FR", "IN", "BR", "JP", "CN", "AU", "ES", "IT", "MX", "NL", "CH", "AT", "SE", "PL", "KR", "RU"),
    *("ZA", "TR", "BE", "PT", "IE", "NZ", "SG", "ID", "VN", "NG", "AR", "CO"),
)
_REGIONS_BY_START = {
    "0": (
        *("GB", "DE", "FR", "AU", "IT", "NL", "JP", "KR", "CH", "AT", "SE", "BE"),
        *("IE", "NZ", "ZA", "TR", "CN", "NG", "ID", "VN", "IL", "UA", "AR"),
    ),
    "1": ("US", "CN", "AU"),
    "8": ("US", "RU", "IN"),
}
_REGIONS_BESIDES = ("US", "IN", "ES", "BR", "PL")
_NO_PHONE_BEFORE = re.compile(
    r"(?:[\w)\]]|[\d][.,:/-]|[€$£¥#@=/_]|\b(?:order|id|ref|isbn|issn|version|v|invoice|ticket|sku|part|model|serial|tracking"
    r"|account|case|rechnung|faktura|factura|facture|fattura|bestell\w{0,10}|auftrag\w{0,10}|kunden\w{0,10}|pedido|commande|flight|lat|lon|lng|line|page|port|rfc|pid|item|code|zip|iban|vat|siret|ssn|ein)s?"
    r"(?: (?:no|number|nr|id))?[.:#=]{0,2}[ \"']{0,3})$",
    re.IGNORECASE,
)
_DATE_OR_NUMBER = re.compile(
    r"(?:0?\d|1[0-2])[./-](?:0?[1-9]|[12]\d|3[01])[./-](?:19|20)\d\d$|\((?:19|20)\d\d\)"
    r"|(?:19|20)\d\d[-/.](?:0?[1-9]|1[0-2])[-/.]|0?\d[./-](?:0?\d|1[0-2])[./-](?:19|20)\d\d"
    r"|(?:0?[1-9]|[12]\d|3[01])[./ -](?:0?[1-9]|1[0-2])[./-](?:19|20)?\d\d(?:$|[ T])"
)
_EXTENSION = re.compile(r" ?(?:x|ext\.?) ?\d{2,6}\b", re.IGNORECASE)
_NORTH_AMERICAN = re.compile(
    r"(?:(?:\+|00)?1[-. ])?(?:\(\d{3}\) ?\d{3}[-. ]\d{4}|\d{3}-\d{3}-\d{4}|\d{3}\.\d{3}\.\d{4})"
)
_DECIMAL = re.compile(r"\d+\.\d{5,}|\+\d\.\d{5,6}(?:\D.*)?")
_IN_TABLE_AFTER = re.compile(r" \d")
_IN_TABLE_BEFORE = re.compile(r"\d(?:[ ,]|(?:\s|\\n){1,3}[A-Za-z] )$")


def find_phones(text: str) -> list[Span]:
    """Spans of phone numbers, international and national ones of many countries."""
    spans: list[Span] = []
    for candidate in _candidates(text):
        if spans and candidate[0] < spans[-1].end:
            continue
        start, end, announced = candidate
        extension = _EXTENSION.match(text, end)
        whole_end = extension.end() if extension else end
        if _is_phone(text, start, end, announced, text[whole_end : whole_end + 2]):
            start -= text[start - 1 : start] in ("+", "＋")
            spans.append(Span(start, whole_end, "phone"))
    return spans


def _candidates(text: str) -> list[tuple[int, int, bool]]:
    """Start, end, and whether a word announces a number, in order."""
    found: list[tuple[int, int, bool]] = []
    for run in _RUN.finditer(text):
        start, end = run.span()
        patterns: tuple[re.Pattern[str], ...] = (_INTERNATIONAL,)
        if end - start <= _LONGEST_RUN:
            patterns = (_INTERNATIONAL, _NATIONAL, _ZEROS)
            if _has_digits_of_phone(text[start:end]) and _is_announced(text, start, end):
                number = _PLAIN.match(text, start, end)
                found += [(start, number.end(), True)] if number else []
        for pattern in patterns:
            found += [(match.start(), match.end(), False) for match in pattern.finditer(text, start, end)]
    return sorted(found, key=lambda candidate: (candidate[0], not candidate[2], -candidate[1]))


def _is_announced(text: str, start: int, end: int) -> bool:
    return bool(_ANNOUNCED.search(text, max(0, start - 48), start) or _ANNOUNCED_AFTER.match(text, end))


def _has_digits_of_phone(number: str) -> bool:
    return 7 <= sum(map(str.isdigit, number)) <= 20 and not _DATE_OR_NUMBER.match(number)


def _is_phone(text: str, start: int, end: int, announced: bool, after: str) -> bool:
    number = text[start:end]
    digits = sum(char.isdigit() for char in number)
    if not 7 <= digits <= 15 or (not announced and number[0] == "0" and digits < 9) or _DATE_OR_NUMBER.match(number):
        return False
    if _DECIMAL.fullmatch(number) or len(set(number) - set(" ().-")) < 2:
        return False
    if (
        not announced
        and number[0] not in "+＋"
        and (_IN_TABLE_AFTER.match(text, end) or _IN_TABLE_BEFORE.search(text, max(0, start - 6), start))
    ):
        return False
    before = text[max(0, start - 24) : start]
    if (
        not announced
        and _NO_PHONE_BEFORE.search(before)
        and not (_NORTH_AMERICAN.fullmatch(number) and before.endswith(","))
        and not re.search(r"\\[nrt]$|(?:tel|phone|sms|wa)[:=/]+$|^(?:\W{0,3})$", before)
    ):
        return False
    if (
        (after[:1].isascii() and after[:1].isalnum())
        or after[:1] in ("_", "@", "%", "€", "$")
        or (len(after) == 2 and after[0] in "-./:)" and after[1].isdigit())
        or (after[:1] == "," and after[1:].isdigit() and not announced and number[0] not in "+＋")
    ):
        return False
    if len(re.findall(r"\.", number)) == 3 and re.fullmatch(r"\d{1,3}(?:\.\d{1,3}){3}", number):
        return False
    return _can_be_dialled(number, announced)


def _can_be_dialled(number: str, announced: bool) -> bool:
    import phonenumbers

    if _NORTH_AMERICAN.fullmatch(number):
        return True  # also of ranges that are not given out, as in tests and fiction
    groups = re.findall(r"\d+", number)
    digits = "".join(groups)
    if number[0] in "+＋":
        regions: tuple[str | None, ...] = (None,)
    elif digits.startswith("00"):
        regions = (None,)
        number = "+" + digits[2:]
    elif announced or number[0] == "(":
        regions = _REGIONS
    else:
        regions = _REGIONS_BY_START.get(digits[0], _REGIONS_BESIDES)
    if re.fullmatch(r"1?[2-9]\d\d555\d{4}|1?555\d{7}", digits.removeprefix("+")):
        return True  # North American numbers kept for fiction are no valid ones
    if announced and len(digits) == 7:
        return re.fullmatch(r"[2-9]\d{2}[-. ]\d{4}", number) is not None
    for region in regions:
        try:
            parsed = phonenumbers.parse(number, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(parsed):
            return True
        if region is None and len(digits) >= 11 and len(groups) >= 4 and phonenumbers.is_possible_number(parsed):
            return True  # of a range that is not given out, but written as a number is
    return False

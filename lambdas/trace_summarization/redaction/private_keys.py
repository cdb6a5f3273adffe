"""Private keys in their armour: PEM of all kinds, OpenSSH, PGP, SSH2, PuTTY; and JSON Web Keys.

Also escaped, quoted, numbered or cut off.

Format of the armour: RFC 7468 (PEM), RFC 4716 (SSH2), RFC 9580 (PGP); of the JSON Web Key: RFC 7517.
"""

import re

from trace_summarization.redaction.spans import Span

_LONGEST_KEY = 24_000
_BEGIN = re.compile(r"-{4,5} ?BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)? ?-{4,5}")
_END = re.compile(r"-{4,5} ?END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)? ?-{4,5}")
_BODY_RUN = re.compile(r"[A-Za-z0-9+/=_-]{24}")
# Without an end: lines of base64, each perhaps after a line break (also an escaped one), quotes, `+`, a line number.
_NEXT_RUN = re.compile(
    r"(?:\s|\\{1,4}[nrt]|[\"'+,>|]|L?\d{1,6}[:|]|(?:Proc-Type|DEK-Info|Comment|Version|Subject): ?[^\n\\]{0,100}){0,40}"
    r"[A-Za-z0-9+/=]{16,200}(?:\.{3}|…)?"
)
_LAST_RUN = re.compile(r"(?:\s|\\{1,4}[nrt]){1,4}[A-Za-z0-9+/]{1,15}={0,2}(?![A-Za-z0-9+/ ])")
_PUTTY = re.compile(
    r"Private-Lines: ?\d{1,3}(?:\s|\\{1,4}[nr]){1,4}((?:[A-Za-z0-9+/=]{4,80}(?![\w-])"
    r"(?:(?:\s|\\{1,4}[nr]){1,4}(?=[A-Za-z0-9+/=]{4,80}(?![\w-])))?){1,100})"
)
_JWK_MEMBER = re.compile(r"\"(?:d|p|q|dp|dq|qi|k)\\{0,7}\"\s{0,4}:\s{0,4}\\{0,7}\"([\w-]{40,1400})\\{0,7}\"")
_LONGEST_JWK = 4_000  # characters, of RSA with 4,096 bits
_PEM_IN_BASE64 = "LS0tLS1CRUdJTi"  # base64 of `-----BEGIN`
_BASE64_RUN = re.compile(r"[A-Za-z0-9+/]{40,24000}={0,2}")
_PRIVATE_IN_BASE64 = ("UFJJVkFURSBLRVkt", "BSSVZBVEUgS0VZ", "QUklWQVRFIEtFW", "Q1JFVCBLRVkt")


def find_private_keys(text: str) -> list[Span]:
    """Spans from BEGIN to END, or to the last line that can belong to a key that was cut off."""
    spans: list[Span] = []
    at = 0
    while (at := text.find("BEGIN ", at)) >= 0:
        begin = _BEGIN.search(text, max(0, at - 6), at + 80) if text[at - 1 : at] in ("-", " ") else None
        at += 6
        if begin:
            end = _end_of_key(text, begin.end())
            if end:
                spans.append(Span(begin.start(), end, "private-key"))
                at = end
    if "Private-Lines:" in text:
        spans += [Span(found.start(1), found.end(1), "private-key") for found in _PUTTY.finditer(text)]
    at = 0
    while (at := text.find(_PEM_IN_BASE64, at)) >= 0:
        run = _BASE64_RUN.match(text, at)
        at += len(_PEM_IN_BASE64)
        if run:
            if any(part in run.group()[:120] for part in _PRIVATE_IN_BASE64):
                spans.append(Span(run.start(), run.end(), "private-key"))
            at = run.end()
    at = -1
    searched = 0
    while (at := text.find('"kty', at + 1)) >= 0:
        spans += [
            Span(found.start(1), found.end(1), "private-key")
            for found in _JWK_MEMBER.finditer(text, max(searched, at - _LONGEST_JWK), at + _LONGEST_JWK)
        ]
        searched = at + _LONGEST_JWK
    return spans


def _end_of_key(text: str, start: int) -> int | None:
    """Where the key that begins before `start` ends; None if no key follows, as where code only names the armour."""
    another = text.find("BEGIN ", start, start + _LONGEST_KEY)
    end = _END.search(text, start, another if another >= 0 else start + _LONGEST_KEY)
    if end:
        body = text[start : end.start()]
        if _BODY_RUN.search(body):
            return end.end()
        short = body.strip(" \\nr\n\t\"'+,")
        return end.end() if len(body) < 200 and len(short) >= 4 and short.replace(".", "").isalnum() else None
    stop = start
    while run := _NEXT_RUN.match(text, stop):
        stop = run.end()
    if stop == start:
        return None
    last = _LAST_RUN.match(text, stop)
    return last.end() if last else stop

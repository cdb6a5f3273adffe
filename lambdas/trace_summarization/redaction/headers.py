"""Credentials in HTTP headers: authorization schemes and cookies, in raw headers, JSON, code and shell alike."""

import re

from trace_summarization.redaction.placeholders import is_placeholder
from trace_summarization.redaction.spans import Span

_SCHEME = re.compile(
    r"([Bb]earer|BEARER|[Bb]asic|BASIC|[Tt]oken|SSWS|Bot|ApiKey|Api-Key|GenieKey|Splunk|Key)(?: |%20|\+)+(?=[\w+/=~.-]{8})"
)
_CREDENTIAL = re.compile(r"[\w.~+/:-]{8,4000}={0,2}")
_BASIC = re.compile(r"[A-Za-z0-9+/]{8,400}={0,2}(?![\w.-])")
_AUTHORIZATION = re.compile(
    r"(?:authorization|proxy-authorization|x-auth)\\{0,7}[\"'`]?\]?[ \t]{0,8}[:=,][ \t]{0,8}\\{0,7}[\"'`]?$", re.I
)
_COOKIE = re.compile(r"[Cc]ookies?\\{0,7}[\"'`]?[ \t]{0,8}[:=][ \t]{0,8}\\{0,7}[\"'`]?(?=[\w.-]{1,80}=)")
_COOKIE_PAIR = re.compile(r"([\w.$-]{1,80})=([^\s;,\"'`\\]{0,4000});?[ ]{0,4}")
_COOKIE_ATTRIBUTES = frozenset(
    ("path", "domain", "expires", "max-age", "samesite", "secure", "httponly", "priority", "version")
)
_SESSION_NAME = re.compile(
    r"sess|sid$|^sid|auth|token|jwt|csrf|xsrf|remember|login|secret|connect\.|identity|credential|^_?_?Host|^__Secure",
    re.I,
)


def find_header_secrets(text: str) -> list[Span]:
    """Spans of credentials after `Bearer`, `Basic` and the like, and of cookies' values."""
    return [*_find_credentials(text), *_find_cookies(text)]


def _find_credentials(text: str) -> list[Span]:
    spans: list[Span] = []
    at = 0
    while scheme := _SCHEME.search(text, at):
        at = scheme.end()
        name = scheme.group(1)
        in_header = bool(_AUTHORIZATION.search(text, max(0, scheme.start() - 50), scheme.start()))
        found = _CREDENTIAL.match(text, at)
        if found is None:
            continue
        end = found.start() + len(found.group().rstrip(".:"))
        value = text[found.start() : end]
        if name.lower() == "basic":
            looks = bool(_BASIC.match(text, at)) and (in_header or _is_base64_of_pair(value))
        elif name.lower() == "bearer":
            looks = in_header or ((len(value) >= 12 and any(char.isdigit() for char in value)) or len(value) >= 20)
            looks = (looks and not value.isalpha()) or len(value) >= 24
        else:
            looks = in_header
        if looks and not is_placeholder(value) and text[scheme.start() - 1 : scheme.start()] not in ("_", "-", "."):
            spans.append(Span(found.start(), end, "secret"))
            at = end
    return spans


def _is_base64_of_pair(value: str) -> bool:
    """Whether it could be base64 of `user:password`: mixed case, of whole bytes."""
    return len(value) >= 8 and len(value) % 4 == 0 and not value.islower() and not value.isalpha()


def _find_cookies(text: str) -> list[Span]:
    spans: list[Span] = []
    at = 0
    while header := _COOKIE.search(text, at):
        at = header.end()
        while pair := _COOKIE_PAIR.match(text, at):
            name, value = pair.groups()
            at = pair.end()
            if name.lower() in _COOKIE_ATTRIBUTES or is_placeholder(value):
                continue
            if (_SESSION_NAME.search(name) and len(value) >= 4) or (len(value) >= 16 and any(map(str.isdigit, value))):
                spans.append(Span(pair.start(2), pair.end(2), "secret"))
    return spans

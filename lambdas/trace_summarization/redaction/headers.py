"""Credentials in HTTP headers: authorization schemes and cookies, in raw headers, JSON, code and shell alike."""

import re

from trace_summarization.redaction.placeholders import is_placeholder
from trace_summarization.redaction.spans import Span

# The words that stand alone, and all schemes in an authorization header; first letters as literals let `re` skip ahead.
_SCHEME = re.compile(r"(Bearer|bearer|BEARER|Basic|basic|BASIC)(?: |%20|\+){1,8}(?=[\w+/=~.-]{8})")
_HEADER = re.compile(r"(?:Authorization|authorization|AUTHORIZATION|X-Auth|x-auth)\\{0,7}[\"'`]?\]?[ \t]{0,8}[:=,]")
_ANY_SCHEME = re.compile(r"[ \t]{0,8}\\{0,7}[\"'`]?([A-Za-z][A-Za-z-]{1,19})(?: |%20|\+){1,8}(?=[\w+/=~.-]{8})")
_CREDENTIAL = re.compile(r"[\w.~+/:-]{8,4000}={0,2}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{6,400}={0,2}")
_COOKIE = re.compile(r"(?:Cookie|cookie|COOKIE)s?\\{0,7}[\"'`]?[ \t]{0,8}[:=][ \t]{0,8}\\{0,7}[\"'`]?(?=[\w.-]{1,80}=)")
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
    for header in _HEADER.finditer(text):
        scheme = _ANY_SCHEME.match(text, header.end())
        value = _credential(text, scheme.end()) if scheme else None
        if value and not is_placeholder(text[value.start : value.end]):
            spans.append(value)
    for scheme in _SCHEME.finditer(text):
        value = _credential(text, scheme.end())
        if value is None or text[scheme.start() - 1 : scheme.start()] in ("_", "-", "."):
            continue
        credential = text[value.start : value.end]
        is_basic = scheme.group(1).lower() == "basic"
        looks = _is_base64_of_pair(credential) if is_basic else _is_bearer_token(credential)
        if looks and not is_placeholder(credential):
            spans.append(value)
    return spans


def _credential(text: str, at: int) -> Span | None:
    found = _CREDENTIAL.match(text, at)
    return Span(at, at + len(found.group().rstrip(".:")), "secret") if found else None


def _is_bearer_token(value: str) -> bool:
    return len(value) >= 24 or (len(value) >= 12 and any(map(str.isdigit, value)) and not value.isdigit())


def _is_base64_of_pair(value: str) -> bool:
    """Whether it could be base64 of `user:password`: mixed case, of whole bytes."""
    return _BASE64.fullmatch(value) is not None and len(value) % 4 == 0 and not value.islower() and not value.isalpha()


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

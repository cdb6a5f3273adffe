"""Passwords within URLs: of `scheme://user:password@host` only the password."""

import re

from trace_summarization.redaction.placeholders import is_placeholder
from trace_summarization.redaction.spans import Span

# A password may hold `/`, `:`, `@` or `#` unescaped, as people write it: the last `@` before a host counts.
_USER_INFO = re.compile(r"([^\s/:@\"'`<>(),;|\\]{0,128})(:?)((?:(?!://)[^\s\"'`<>\\]){0,256}?)@(?=[\w\[.{$%-])")
_FURTHER = re.compile(r"[^\s\"'`<>\\/?#@,;]{0,64}@(?=[\w\[])")
_SCHEME_END = "://"
_LONGEST_USER_INFO = 386


def find_url_passwords(text: str) -> tuple[list[Span], set[int]]:
    """Spans of passwords; and where the `@` of URLs stand, which are no part of an e-mail address."""
    spans: list[Span] = []
    ats: set[int] = set()
    at = 0
    while (at := text.find(_SCHEME_END, at)) >= 0:
        at += len(_SCHEME_END)
        if text.find("@", at, at + _LONGEST_USER_INFO) < 0:
            continue
        found = _USER_INFO.match(text, at)
        if not found:
            continue
        user, colon, password = found.groups()
        if not colon and password:
            continue
        end = found.end(3)
        if "/" in password or "?" in password:
            # A path with an `@` in it, as in `host:8080/@scope/name`; a password with a slash follows a user's name.
            if re.match(r"\d{1,5}[/?]", password) or not user or "." in user:
                continue
        else:
            while (further := _FURTHER.match(text, end + 1)) is not None:
                end = further.end() - 1
        ats.add(end)
        if colon and not is_placeholder(text[found.start(3) : end]) and not _names_itself(password):
            spans.append(Span(found.start(3), end, "password"))
    return spans, ats


def _names_itself(password: str) -> bool:
    """`user:password@host` in documentation."""
    return password.lower() in {
        "pass",
        "password",
        "passwd",
        "pwd",
        "secret",
        "token",
        "pw",
        "mypassword",
        "x-oauth-basic",
    }

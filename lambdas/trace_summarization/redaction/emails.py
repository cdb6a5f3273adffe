"""E-mail addresses: also with a `+` part, subdomains, and in scripts other than Latin (RFC 6531)."""

import re

from trace_summarization.redaction.spans import Span

_LOCAL_PUNCTUATION = ".!#$%&*+/=?^_{|}~-'"
_DOMAIN = re.compile(
    r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}([a-z]{2,6}(?=[A-Z][a-z])|xn--[a-z0-9-]{2,59}|[A-Za-z]{2,24}(?![A-Za-z0-9_@-])|[^\W\d_a-zA-Z]{2,24}(?![\w@-]))"
)
_LONGEST_LOCAL = 64
_WITHOUT_SPACES = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
_TRIMMED_BEFORE = "!#$%&*/=?^{|}~'-."  # can begin an address, but in text they are what stands before one
_FILE_ENDINGS = frozenset(
    (
        "png",
        "jpg",
        "jpeg",
        "gif",
        "svg",
        "webp",
        "js",
        "ts",
        "css",
        "json",
        "html",
        "py",
        "mjs",
        "md",
        "txt",
        "yaml",
        "yml",
        "lock",
        "tgz",
        "gz",
        # Of decorators
        "tool",
        "instructions",
        "route",
        "command",
        "task",
        "setter",
        "getter",
        "fixture",
        "property",
        "validator",
    )
)
_CODE_AFTER = re.compile(r"[(\[=]|\.\w")


_ESCAPED = re.compile(
    r"(?<![\w.+%-])((?:[\w.+-]|%2B){1,64})%40((?:[A-Za-z0-9-]{1,63}\.){1,6}[A-Za-z]{2,24})(?![\w@:-])"
)


def find_emails(text: str, in_urls: set[int]) -> list[Span]:
    """Spans of addresses; `in_urls`: where an `@` ends the user's name in a URL."""
    spans: list[Span] = []
    at = -1
    taken = 0
    while (at := text.find("@", at + 1)) >= 0:
        if at in in_urls:
            continue
        domain = _DOMAIN.match(text, at + 1)
        if domain is None:
            continue
        start = _start_of_local(text, max(taken, at - _LONGEST_LOCAL), at)
        if start == at or _is_no_address(text, start, at, domain):
            continue
        spans.append(Span(start, domain.end(), "email"))
        taken = domain.end()
    if "%40" in text:
        spans += [Span(found.start(), found.end(), "email") for found in _ESCAPED.finditer(text)]
        spans.sort(key=lambda span: span.start)
    return spans


def _start_of_local(text: str, earliest: int, at: int) -> int:
    start = at
    while start > earliest and ((char := text[start - 1]).isalnum() or char in _LOCAL_PUNCTUATION):
        start -= 1
    local = text[start:at]
    if start and text[start - 1] == "\\" and local[:1] in "nrt":  # the rest of an escaped line break
        start += 1
    elif start >= 1 and text[start - 1] == "\\" and re.match(r"u[0-9a-fA-F]{4}", local):
        start += 5
    local = text[start:at]
    for mark in "=?&/|{}" if text[start - 1 : start] != "<" else "":
        start += local.rfind(mark) + 1
        local = text[start:at]
    words = _WITHOUT_SPACES.split(local)
    if words[-1]:  # Chinese or Japanese text right before an address in Latin letters
        start += len(local) - len(words[-1])
    if re.match(r"%[23][0-9A-Fa-f]", local):
        start += 3
    local = text[start:at]
    return start + len(local) - len(local.lstrip(_TRIMMED_BEFORE))


def _is_no_address(text: str, start: int, at: int, domain: re.Match[str]) -> bool:
    local = text[start:at]
    ending = domain.group(1).lower()
    if ending in _FILE_ENDINGS or local.endswith(".") or ".." in local:
        return True
    if not any(char.isalnum() for char in local):
        return True
    after = text[domain.end() : domain.end() + 2]
    # `git@github.com:org/repo` and `root@db.internal:/path`: a place to log in, not to write to.
    if (
        after[:1] == ":"
        and len(after) == 2
        and (after[1].isalpha() or after[1] in "/~")
        and local in ("git", "root", "ubuntu", "ec2-user", "hg", "admin", "deploy")
    ):
        return True
    if local == "git":
        return True
    return after[:1] == "("

"""Text of a model as it may be stored: one line without control characters, markup, URLs or secrets.

The model has read what strangers wrote. Whatever it was talked into ends here.
"""

import html
import re

from trace_summarization.redaction import hide_secrets

_INVISIBLE = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\ud800-\udfff\U000e0000-\U000e007f]"
)
_TAG = re.compile(r"<[a-zA-Z/!?][^<>]*>")
_TAG_START = re.compile(r"<(?=[a-zA-Z/!?%])")
_MARKDOWN_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()]*\)")
_MARKDOWN_MARKS = re.compile(r"`|\*\*|~~|^#{1,6}(?=\s)")
_URL = re.compile(
    r"\b[a-zA-Z][a-zA-Z0-9+.-]{1,30}:/{1,}[^\s\])}>\"']*"
    r"|\b(?:javascript|vbscript)\s?:\s?\S*"
    r"|\b(?:https?|ftp|wss?|data|file|mailto|blob|tel|about|view-source):(?=\S)\S*"
    r"|\bwww\.[^\s\])}>\"']*"
    r"|(?<![\w:/])//[\w-]+\.\S*",
    re.IGNORECASE,
)
_SCHEME = re.compile(r":/{2,}|(?:java|vb)script\s*:", re.IGNORECASE)  # left without what makes a URL, or within a word
_TOP_LEVEL_DOMAINS = (
    "com|org|net|io|ai|dev|app|co|gov|edu|info|biz|me|xyz|ru|cn|de|fr|uk|us|eu|jp|in|br|ly|gl|to|tk|top|zone|cloud|site"
    "|online|shop|link|click|store|tech|live|club|example|nl|es|se|pl|ch|au|ca|kr|tw|za|cc|tv|su|ua"
)
_DOMAIN_WITH_PATH = re.compile(
    rf"\b((?:[\w-]{{1,63}}\.){{1,6}}(?:{_TOP_LEVEL_DOMAINS}))(?::\d+)?[/?]\S*", re.IGNORECASE
)
_MAX_PASSES = 8
_LINK = "[link]"


def safe_text(text: str, longest: int) -> str:
    """One clean line of at most `longest` characters, cut at a word with an ellipsis."""
    line = " ".join(_INVISIBLE.sub("", text[: longest * 10]).split())
    # What is taken out can bring together what was apart, such as `<scr<b>ipt>`.
    for _ in range(_MAX_PASSES):
        stripped = _stripped(line)
        if stripped == line:
            break
        line = stripped
    else:
        line = _SCHEME.sub(" ", _TAG_START.sub("", line.replace("&", " ")))
    return shortened(" ".join(line.split()), longest)


def shortened(line: str, longest: int) -> str:
    """The line, cut at a word so that with its ellipsis it has at most `longest` characters."""
    if len(line) <= longest:
        return line
    head = line[: longest - 1]
    at_word = head.rpartition(" ")[0]
    return (at_word if len(at_word) > longest // 2 else head).rstrip(" ,;:") + "…"


def _stripped(line: str) -> str:
    line = _INVISIBLE.sub("", html.unescape(line))
    line = _MARKDOWN_LINK.sub(r"\1", line)
    line = _TAG_START.sub("", _TAG.sub(" ", line))
    line = _DOMAIN_WITH_PATH.sub(r"\1", _SCHEME.sub(" ", _URL.sub(_LINK, line)))
    line = hide_secrets(line)
    return " ".join(_MARKDOWN_MARKS.sub("", line).replace("](", "] (").split())

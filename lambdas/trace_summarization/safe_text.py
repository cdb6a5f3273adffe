"""Text of a model as it may be stored: one line without control characters, markup, URLs or secrets.

The model has read what strangers wrote. Whatever it was talked into ends here.
"""

import html
import re
import unicodedata
import urllib.parse

from trace_summarization.redaction import hide_secrets
from trace_summarization.visible_text import visible

_TAG = re.compile(r"<[a-z/!?@][^<>]*>", re.IGNORECASE)
_TAG_START = re.compile(r"<(?=[a-z/!?%@])", re.IGNORECASE)
_COMPARED = re.compile(r"(?<=[\w)\]])<(?=[a-zA-Z])")
_HTML_NAMES = (
    "a|abbr|applet|area|article|audio|b|base|bdi|bdo|big|blink|blockquote|body|br|button|canvas|center|cite|code|col"
    "|dd|del|details|dialog|div|dl|dt|em|embed|fieldset|font|footer|form|frame|frameset|h[1-6]|head|header|hr|html|i"
    "|iframe|image|img|input|ins|isindex|kbd|keygen|label|legend|li|link|main|map|marquee|math|menu|meta|meter|nav"
    "|noscript|object|ol|option|p|param|picture|plaintext|portal|pre|progress|q|s|samp|script|section|select|slot"
    "|small|source|span|strike|strong|style|sub|summary|sup|svg|table|tbody|td|template|textarea|tfoot|th|thead|title"
    "|tr|tt|u|ul|var|video|wbr|xml|xmp|xss"
)
# `List<String>` is no markup, but nobody who shows it can know: it becomes `List[String]`.
_GENERIC = re.compile(rf"(?<=[A-Za-z0-9_])<(?!(?:{_HTML_NAMES})\b)([A-Za-z_][\w.,?|& \[\]]{{0,80}})>")
_MARKDOWN_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()]*\)")
_MARKDOWN_MARKS = re.compile(r"`|\*\*|~~|^#{1,6}(?=\s)")
_HANDLER = re.compile(
    r"\b(on(?:error|load|unload|click|dblclick|focus\w*|blur|toggle|begin|end|copy|cut|paste|drag\w*|drop|input|change"
    r"|submit|reset|scroll\w*|wheel|resize|message|hashchange|popstate|page\w+|before\w+|mouse\w+|pointer\w+|key\w+"
    r"|touch\w+|animation\w+|transition\w+|auxclick|contextmenu|play\w*|canplay\w*|ended|start|finish|bounce))\s*=",
    re.IGNORECASE,
)
# `{{x}}` is run by template engines in the browser; `${x}` is not, outside of source code, and stays.
_TEMPLATE = re.compile(r"(?<=\{)(?=[{%#])")
# What a spreadsheet would run: `=2+5`, `@SUM(A1)`, `-cmd|...`; `-5 degrees` and `@tool` are text.
_FORMULA = re.compile(r"^(?:[=\s]+|[@+-]+(?=[\w.]{1,40}[(|!]))+")
_SPECIAL_SCHEMES = "https?|ftps?|wss?|file"
_URL = re.compile(
    rf"\b(?:{_SPECIAL_SCHEMES}):[\\/]*[^\s\])}}>\"'\\/][^\s\])}}>\"']*"
    r"|\b[a-zA-Z][a-zA-Z0-9+.-]{1,30}:(?://|\\\\)[^\s\])}>\"']*"
    r"|\b(?:javascript|vbscript|livescript):\S+"
    r"|\b(?:data|mailto|blob|tel|sms|about|view-source|magnet|intent|callto|ms-msdt):(?=\S)\S*"
    r"|\bwww\.[^\s\])}>\"']*"
    r"|(?<![\w:/\\])(?:[\\/]{2})[\w-]+\.\S*",
    re.IGNORECASE,
)
# What begins a URL, without one behind it or within a word. `JavaScript: a language` loses its colon only.
_SCHEME = re.compile(r":[\\/]{2,}|(?:(?<=javascript)|(?<=livescript)|(?<=vbscript))\s*:", re.IGNORECASE)
_TOP_LEVEL_DOMAINS = (
    "com|org|net|io|ai|dev|app|co|gov|edu|info|biz|me|xyz|ru|cn|de|fr|uk|us|eu|jp|in|br|ly|gl|to|tk|top|zone|cloud|site"
    "|online|shop|link|click|store|tech|live|club|example|nl|es|se|pl|ch|au|ca|kr|tw|za|cc|tv|su|ua"
)
_DOMAIN_WITH_PATH = re.compile(
    rf"\b((?:[\w-]{{1,63}}\.){{1,6}}(?:{_TOP_LEVEL_DOMAINS}))(?::\d+)?[/?]\S*", re.IGNORECASE
)
# What `_stripped` takes out or breaks. A text that shows more of it when it is decoded is worked on decoded.
_DANGERS = (
    _TAG_START,
    _URL,
    _SCHEME,
    _DOMAIN_WITH_PATH,
    _HANDLER,
    _TEMPLATE,
    _FORMULA,
    re.compile(r"`|\]\("),
)
# Dots of East Asian scripts are dots in the name of a host.
_HOST_DOT = re.compile(r"(?<=\w)[\u3002\uff61](?=[a-zA-Z])")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\u\{0{0,4}([0-9a-fA-F]{1,4})\}|\\x([0-9a-fA-F]{2})")
_NOT_PLAIN = re.compile(r"[^\w\s,;']|(?<=\S)\.(?=\S)")
_MAX_PASSES = 8
_NESTED_GENERICS = 3
_LINK = "[link]"


def safe_text(text: str, longest: int) -> str:
    """One clean line of at most `longest` characters, cut at a word with an ellipsis."""
    line = " ".join(visible(text[: longest * 10]).split())
    # What is taken out can bring together what was apart, such as `<scr<b>ipt>`.
    for _ in range(_MAX_PASSES):
        stripped = _stripped(line)
        if stripped == line:
            break
        line = stripped
    else:
        line = _NOT_PLAIN.sub(" ", _compatible(line))
    return shortened(" ".join(line.split()), longest)


def shortened(line: str, longest: int) -> str:
    """The line, cut at a word so that with its ellipsis it has at most `longest` characters."""
    if len(line) <= longest:
        return line
    head = line[: longest - 1]
    at_word = head.rpartition(" ")[0]
    return (at_word if len(at_word) > longest // 2 else head).rstrip(" ,;:") + "…"


def _stripped(line: str) -> str:
    line = visible(_revealed(html.unescape(line)))
    line = _MARKDOWN_LINK.sub(r"\1", line)
    for _ in range(_NESTED_GENERICS):
        line = _GENERIC.sub(r"[\1]", line)
    line = _TAG.sub(" ", line)
    line = _TAG_START.sub("", _COMPARED.sub(" < ", line))
    line = _DOMAIN_WITH_PATH.sub(r"\1", _SCHEME.sub(" ", _URL.sub(_LINK, line)))
    line = _FORMULA.sub("", _TEMPLATE.sub(" ", _HANDLER.sub(r"\1 ", line)))
    line = hide_secrets(line)
    return " ".join(_MARKDOWN_MARKS.sub("", line).replace("](", "] (").split())


def _revealed(line: str) -> str:
    """The line as a reader that decodes it would see it, where only that shows what must not be stored."""
    for decode in (_compatible, _unescaped, urllib.parse.unquote, _decoded):
        decoded = decode(line)
        if decoded != line and _dangers(decoded) > _dangers(line):
            line = decoded
    return line


def _dangers(line: str) -> int:
    line = html.unescape(line)
    return sum(len(pattern.findall(line)) for pattern in _DANGERS)


def _decoded(line: str) -> str:
    """One encoding in another, such as wide percent signs."""
    return urllib.parse.unquote(_unescaped(_compatible(line)))


def _compatible(line: str) -> str:
    """Wide and mathematical letters and signs as plain ones."""
    return unicodedata.normalize("NFKC", _HOST_DOT.sub(".", line))


def _unescaped(line: str) -> str:
    """Without the escapes of JavaScript and JSON."""
    return _ESCAPE.sub(lambda match: chr(int(match[1] or match[2] or match[3], 16)), line)

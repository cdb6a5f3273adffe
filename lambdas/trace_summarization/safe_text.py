"""Text of a model as it may be stored: one line without control characters, markup, URLs or secrets.

The model has read what strangers wrote. Whatever it was talked into ends here.
"""

import html
import re
import unicodedata
import urllib.parse

from trace_summarization.redaction import hide_secrets
from trace_summarization.visible_text import visible

_TAG = re.compile(r"<[a-z/!?@#][^<>]*>", re.IGNORECASE)
_TAG_START = re.compile(r"<(?=[a-z/!?%@#])", re.IGNORECASE)
_COMPARED = re.compile(r"(?<=[\w)\]])<(?=[a-zA-Z])")
_HTML_NAMES = (
    "a|abbr|applet|area|article|audio|b|base|bdi|bdo|big|blink|blockquote|body|br|button|canvas|center|cite|code|col"
    "|dd|del|details|dialog|div|dl|dt|em|embed|fieldset|font|footer|form|frame|frameset|h[1-6]|head|header|hr|html|i"
    "|iframe|image|img|input|ins|isindex|kbd|keygen|label|legend|li|link|main|map|marquee|math|menu|meta|meter|nav"
    "|noscript|object|ol|option|p|param|picture|plaintext|portal|pre|progress|q|s|samp|script|section|select|slot"
    "|small|source|span|strike|strong|style|sub|summary|sup|svg|table|tbody|td|template|textarea|tfoot|th|thead|title"
    "|tr|tt|u|ul|var|video|wbr|xml|xmp|xss"
)
# `x<y && y>z` compares; what follows the sign would otherwise be taken for a tag.
_CONDITION = re.compile(r"(?<=[\w)\]])<(?=[A-Za-z_][\w.]{0,40}\s*(?:&&|\|\||(?:and|or)\b))")
# `List<String>` is no markup, but nobody who shows it can know: it becomes `List[String]`.
_GENERIC = re.compile(
    rf"(?<=[A-Za-z0-9_])<(?!(?:{_HTML_NAMES})\b(?!\[|::))([A-Za-z_](?:[\w.,?| \[\]*]|&(?!&)|::){{0,80}})>(?!\w)",
    re.IGNORECASE,
)
# `the tag <title> is empty` and `set <API_KEY> first` speak of a name; `<b>x</b>` and `one <br> two` are markup.
_NAMED_TAG = re.compile(
    r"(?:(?<=[\s(\"'])|^)<(?!(?:br|hr|wbr|p|b|i|u|s)\b)([a-z][\w-]{0,40})>(?=[\s.,;:)\"']|$)(?!.*</\1\b)", re.IGNORECASE
)
# `f(x)[0](y)` indexes and calls.
_MARKDOWN_LINK = re.compile(r"!?(?<![\w)\]])\[([^\[\]]*)\]\([^()]*\)")
_MARKDOWN_MARKS = re.compile(r"`|^#{1,6}(?=\s)")
# Only in pairs around something and not within words, unlike powers and globs.
_EMPHASIS = re.compile(r"(?<!\w)(\*\*|~~)(?=\S)([^*~]{1,400}?)(?<=\S)\1(?!\w)")
_HANDLER = re.compile(
    r"\b(on(?:error|load|unload|click|dblclick|focus\w*|blur|toggle|begin|end|copy|cut|paste|drag\w*|drop|input|change"
    r"|submit|reset|scroll\w*|wheel|resize|message|hashchange|popstate|page\w+|before\w+|mouse\w+|pointer\w+|key\w+"
    r"|touch\w+|animation\w+|transition\w+|auxclick|contextmenu|play\w*|canplay\w*|ended|start|finish|bounce))\s*=",
    re.IGNORECASE,
)
# `{{x}}` is run by template engines in the browser; `${x}` is not, outside of source code, and stays.
_TEMPLATE = re.compile(r"(?<=\{)(?=[{%#])")
# What a spreadsheet would run: `=2+5`, `@SUM(A1)`, `-cmd|...`, `-2+cmd|...`; `-5 degrees` and `@tool` are text.
_FORMULA = re.compile(
    r"^[\s.]*(?:=[=\s]*"
    r"|[@+-][@+\s-]*(?:(?<=[@+-])(?=[\w.$+-]{0,40}[(|]|[\w.$]{1,40}!\S|[A-Z][A-Z.]{1,40}\s?\(|[A-Za-z]{1,3}\d+[-+*/^&])"
    r"|(?=\S[^|]*\|[^!]*!)))"
)
# A sum at the beginning is a formula as well. With a true minus or without its plus it is one no longer.
_SUM = re.compile(r"^([+-])[+-]*(?=[\d.,%]+\s*[-+*/^&]\s*[\w(@\"'])")
_SPECIAL_SCHEMES = "https?|ftps?|wss?|file"
# Schemes that make something happen without `//` behind them, and that are no words one writes before a colon.
_ACTING_SCHEMES = (
    "data|mailto|blob|tel|sms|smsto|mms|about|view-source|magnet|intent|callto|ms-[a-z][a-z-]*|search-ms|xmpp|bitcoin"
    "|bitcoincash|ethereum|monero|skype|facetime|facetime-audio|sips?|webcal|itms|itms-[a-z]+|whatsapp|zoommtg|zoomus"
    "|msteams|ldaps?|nntp|gopher|rtsp|rtmp|ircs?|filesystem|mhtml|wyciwyg|android-app|ios-app|chrome-extension"
    "|moz-extension|ed2k|applescript|vnd\\.[a-z.]+|x-apple[a-z-]*|jar:[a-z]+|feed:[a-z]+"
)
_URL = re.compile(
    rf"\b(?:{_SPECIAL_SCHEMES}):[\\/]*[^\s\])}}>\"'\\/][^\s\])}}>\"']*"
    r"|\b[a-zA-Z][a-zA-Z0-9+.-]{1,30}:(?://|\\\\)[^\s\])}>\"']*"
    r"|\b(?:javascript|vbscript|livescript):\S+"
    rf"|\b(?:{_ACTING_SCHEMES}):(?=\S)\S*"
    r"|\bwww\.[^\s\])}>\"']*"
    r"|(?<![\w:/\\])[\\/]{2,}[\w-]+\.\S*"
    r"|(?<![\w:/\\])\\\\[\w$-]{2,}\\[\w$]\S*",
    re.IGNORECASE,
)
# What begins a URL, without one behind it or within a word. `JavaScript: a language` loses its colon only.
_SCHEME = re.compile(r":[\\/]{2,}|(?:(?<=javascript)|(?<=livescript)|(?<=vbscript))\s*:", re.IGNORECASE)
# `//host/x` is a URL to a browser and `//div/a` is none to its writer: `/div/a` is none to both.
_DOUBLE_SLASH = re.compile(r"(?<![\w:/\\.])/[\\/]+(?=[\w-]+[\\/])")
# Top-level domains that are hardly ever anything else behind a dot: countries', but for files', and some.
_TOP_LEVEL_DOMAIN = re.compile(
    "(?!(?:cc|md|mp|pl|ps|py|rs|sh|so)$)[a-z]{2}|com|org|net|dev|app|gov|edu|mil|int|info|biz|xyz|icu|top|zone|cloud"
    "|site|website|online|shop|link|click|store|tech|live|club|example|vip|pro|bid|loan|buzz|cam|monster|quest|sbs|cfd"
    "|cyou|lol|beauty|bond|digital|agency|wiki|mobi|asia|onion|xn--.*|.*[^a-z].*",
    re.IGNORECASE | re.ASCII,
)
# Behind these dots is no host.
_FILE_NAMES = (
    "js|mjs|cjs|jsx|ts|tsx|json|jsonl|txt|csv|tsv|html?|xhtml|xml|ya?ml|toml|ini|cfg|conf|log|lock|pdf|png|jpe?g|gif"
    "|svg|webp|ico|docx?|xlsx?|pptx?|odt|css|scss|less|class|cpp|hpp|cxx|sql|sqlite|db|env|ipynb|parquet|tar|gz|tgz|xz"
    "|exe|dll|bat|cmd|bin|dat|tmp|bak|go|rb|cs|kt|hs|ex|exs|vb|php|vue|svelte|mdx|rst|tex|bash|zsh|proto|graphql|wasm"
    "|whl|mp3|mp4|wav|pkl|npy|patch|diff|swift|scala|lua|nim|zig|erl|clj|war|aspx?|jsp|cgi"
)
_FILE_NAME = re.compile(r"[\w.-]+")
_HOST_PATH = r"(?P<port>:\d{1,5})?(?P<path>/[^\s/]\S*|/{2,}\S*|[?#][\w%/&=.-]\S*)"
_DOMAIN_WITH_PATH = re.compile(
    rf"\b(?P<host>(?:[^\s\x00-,./:-@\[-^`{{-\x7f]{{1,63}}\.){{1,6}}"
    rf"(?!(?:{_FILE_NAMES})(?![\w-]))(?P<top>xn--[a-z0-9-]{{1,59}}|[a-z]{{2,63}}|[^\x00-\x7f\s]{{2,63}}))\.?{_HOST_PATH}",
    re.IGNORECASE,
)
# `10.0.0.0/8` is a network. `redis:6379/0` and `score:10/10` cannot be told apart.
_ADDRESS_WITH_PATH = re.compile(
    r"\b(?P<host>(?:\d+\.){3}\d+(?::\d{1,5})?)(?:/(?!\d{1,2}(?![\w/?#-]|\.\w))|[?#](?=\w))[^\s/]\S*"
    r"|\b(?P<local>localhost(?::\d{1,5})?)(?:/(?=[^\s/\d])|[?#](?=\w))\S+"
    r"|(?<![\w./-])(?P<named>[a-z][\w-]{0,62}:\d{2,5})(?:/(?=[a-z_~%])|[?#](?=\w))\S+",
    re.IGNORECASE,
)
# What `_stripped` takes out or breaks. A text that shows more of it when it is decoded is worked on decoded.
_DANGERS = (
    _TAG_START,
    _URL,
    _SCHEME,
    _DOUBLE_SLASH,
    _ADDRESS_WITH_PATH,
    _HANDLER,
    _TEMPLATE,
    _FORMULA,
    _SUM,
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
    line = _NAMED_TAG.sub(r"[\1]", _CONDITION.sub(" < ", _MARKDOWN_LINK.sub(r"\1", line)))
    for _ in range(_NESTED_GENERICS):
        line = _GENERIC.sub(r"[\1]", line)
    line = _TAG.sub(" ", line)
    line = _TAG_START.sub("", _COMPARED.sub(" < ", line))
    line = _without_paths(_DOUBLE_SLASH.sub("/", _SCHEME.sub(" ", _URL.sub(_LINK, line))))
    line = _FORMULA.sub("", _TEMPLATE.sub(" ", _HANDLER.sub(r"\1 ", line)))
    line = _SUM.sub(lambda match: "\u2212" if match[1] == "-" else "", line)
    line = hide_secrets(line)
    return " ".join(_EMPHASIS.sub(r"\2", _MARKDOWN_MARKS.sub("", line)).replace("](", "] (").split())


def _without_paths(line: str) -> str:
    """Hosts without the paths behind them; without the paths only being theirs where the host may be none."""
    line = _ADDRESS_WITH_PATH.sub(lambda match: match["host"] or match["local"] or match["named"], line)
    return _DOMAIN_WITH_PATH.sub(_host, line)


def _host(match: re.Match[str]) -> str:
    if _TOP_LEVEL_DOMAIN.fullmatch(match["top"]):
        return match["host"]
    if match.string[: match.start()].endswith(("/", "\\")) and _FILE_NAME.fullmatch(match["host"]):
        return match[0]  # in the middle of a path
    return f"{match['host']}{match['port'] or ''} {match['path']}"


def _revealed(line: str) -> str:
    """The line as a reader that decodes it would see it, where only that shows what must not be stored."""
    for decode in (_compatible, _unescaped, urllib.parse.unquote, _decoded):
        decoded = decode(line)
        if decoded != line and _dangers(decoded) > _dangers(line):
            line = decoded
    return line


def _dangers(line: str) -> int:
    line = html.unescape(line)
    hosts = sum(_host(match) != match[0] for match in _DOMAIN_WITH_PATH.finditer(line))
    return hosts + sum(len(pattern.findall(line)) for pattern in _DANGERS)


def _decoded(line: str) -> str:
    """One encoding in another, such as wide percent signs."""
    return urllib.parse.unquote(_unescaped(_compatible(line)))


def _compatible(line: str) -> str:
    """Wide and mathematical letters and signs as plain ones."""
    return unicodedata.normalize("NFKC", _HOST_DOT.sub(".", line))


def _unescaped(line: str) -> str:
    """Without the escapes of JavaScript and JSON."""
    return _ESCAPE.sub(lambda match: chr(int(match[1] or match[2] or match[3], 16)), line)

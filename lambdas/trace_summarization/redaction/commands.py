"""Passwords that commands and statements take without a `name = value` form."""

import re

from trace_summarization.redaction.placeholders import is_placeholder
from trace_summarization.redaction.spans import Span

_QUOTE = r"(?:\\{0,7}[\"'`])?"
_VALUE = r"([^\s\"'`\\]{2,256})"
# Not a port, a path or an address
_MIXED_VALUE = r"(?=[^\s\"'`]{0,60}\d)(?=[^\s\"'`]{0,60}[A-Za-z])([^\s\"'`\\/:.]{6,128})(?![/:.])"
_VALUE_BEFORE_AT = r"([^\s\"'`\\@]{2,128})"
_QUOTED = r"\\{0,7}[\"'`]([^\s\"'`\\]{2,256})\\{0,7}[\"'`]"
_ARGUMENTS_BEFORE = r"(?:[^()\n]{0,120}?,)?\s{0,8}"
_RANDOM_ARGUMENT = r"\\{0,7}[\"'](?!AC[0-9a-f]{32})(?=[a-z]{0,40}[A-Z0-9])([A-Za-z0-9]{30,64})\\{0,7}[\"']"
# Each: the literal that the text must hold, and the pattern whose group 1 is the secret; matched from the literal on.
_FORMS = tuple(
    (literal, re.compile(pattern))
    for literal, pattern in (
        (
            "curl ",
            rf"curl [^\n|]{{0,400}}?(?<=\s)(?:-[a-zA-Z]{{0,6}}u|--user|--proxy-user|-U)[ =]?{_QUOTE}"
            rf"[^\s:\"'`\\]{{1,128}}:{_VALUE}",
        ),
        ("wget ", rf"wget [^\n|]{{0,400}}?--(?:http-|ftp-)?password[ =]{_QUOTE}{_VALUE}"),
        ("http ", rf"http (?:[^\n|]{{0,200}}?\s)?(?:-a|--auth)[ =]{_QUOTE}[^\s:\"'`\\]{{1,128}}:{_VALUE}"),
        ("echo ", rf"echo {_QUOTE}{_VALUE}{_QUOTE}\s{{0,4}}\|\s{{0,4}}sudo -S"),
        ("wandb login ", rf"wandb login (?:--relogin )?{_QUOTE}([0-9a-f]{{40}})"),
        ("sshpass ", rf"sshpass (?:-\w+ )?-p ?{_QUOTE}{_VALUE}"),
        (
            "mysql",
            rf"mysql(?:dump|admin|import)? [^\n|]{{0,200}}?(?<=\s)-p(?!ort|rotocol|ager)(?=[^\s]){_QUOTE}{_VALUE}",
        ),
        *(
            (f"{command} ", rf"{command} [^\n|]{{0,200}}?(?<=\s)-p {_QUOTE}{_VALUE}")
            for command in ("mongo", "mongosh", "mongodump", "mongorestore", "mongoexport", "mongoimport")
        ),
        ("htpasswd -", rf"htpasswd -[a-zA-Z]{{0,6}}b[a-zA-Z]{{0,6}} \S{{1,128}} {_QUOTE}\S{{1,64}} {_QUOTE}{_VALUE}"),
        ("ldap", rf"ldap[a-z]{{3,8}} [^\n|]{{0,300}}?(?<=\s)-w ?{_QUOTE}{_VALUE}"),
        (
            "echo ",
            rf"echo (?:-n )?{_QUOTE}([\w/+=.-]{{16,400}}){_QUOTE}\s{{0,4}}\|"
            rf"[^\n|]{{0,80}}(?:secret|login|passw|token|auth)",
        ),
        ("USER ", rf"USER \S{{1,64}}(?:\s|\\[rn]){{1,4}}(?:\d{{3}}[^\n\\]{{0,100}}(?:\s|\\[rn]){{1,4}})?PASS {_VALUE}"),
        (
            "form-data; name=",
            rf"form-data; name=\\{{0,7}}\"\w{{0,20}}(?:passw|passwd|pwd|secret|token|key)\w{{0,10}}\\{{0,7}}\""
            rf"(?:\s|\\{{1,4}}[rn]){{2,8}}{_VALUE}",
        ),
        ("redentials: ", rf"redentials: {_QUOTE}[\w.@-]{{1,64}} ?[/:] ?{_VALUE}"),
        ("redis-cli ", rf"redis-cli [^\n|]{{0,200}}?(?<=\s)-a {_QUOTE}{_VALUE}"),
        ("login ", rf"(?<=docker )login [^\n|]{{0,200}}?(?<=\s)-p {_QUOTE}{_VALUE}"),
        ("login ", rf"login [^\s,;]{{1,128}}\s{{1,8}}(?:password|passwd) (?!(?:and|for|has|is|or|was|with) ){_VALUE}"),
        ("login ", rf"(?<=az )login [^\n|]{{0,200}}?(?<=\s)-p {_QUOTE}{_VALUE}"),
        ("net use ", rf"net use [^\n]{{0,200}}?/user:\S{{1,64}} {_QUOTE}{_VALUE}"),
        ("security ", rf"security [^\n|]{{0,200}}?(?<=\s)-p {_QUOTE}{_VALUE}"),
        (":5432:", rf":5432:[\w*-]{{1,64}}:[\w*.-]{{1,64}}:{_VALUE}"),
        ("thin:", rf"thin:[\w.-]{{1,64}}/{_VALUE_BEFORE_AT}@"),
        *((call, re.escape(call) + _ARGUMENTS_BEFORE + _RANDOM_ARGUMENT) for call in ("Client(", "search(")),
        ("smbclient ", rf"smbclient [^\n|]{{0,200}}?-U {_QUOTE}[^\s%\"']{{1,64}}%{_VALUE}"),
        ("net user ", rf"net user \S{{1,64}} {_QUOTE}{_VALUE}"),
        ("zip ", rf"(?:(?<![\w-])|(?<=un))zip [^\n|]{{0,100}}?(?<=\s)-P ?{_QUOTE}{_VALUE}"),
        ("openssl ", rf"openssl [^\n|]{{0,300}}?-pass(?:in|out)? {_QUOTE}pass:{_VALUE}"),
        ("REQUIREPASS ", rf"REQUIREPASS {_QUOTE}{_VALUE}"),
        ("requirepass ", rf"requirepass {_QUOTE}{_VALUE}"),
        ("IDENTIFIED ", rf"IDENTIFIED (?:WITH \w{{1,40}} )?(?:BY|AS) (?:PASSWORD )?{_QUOTED}"),
        ("identified ", rf"identified (?:with \w{{1,40}} )?(?:by|as) (?:password )?{_QUOTED}"),
        ("PASSWORD ", rf"PASSWORD {_QUOTED}"),
        ("password ", rf"password {_QUOTED}"),
        ("PASSWORD(", rf"PASSWORD\({_QUOTED}"),
        # Keys that libraries take by position
        ("jwt.", rf"jwt\.(?:sign|verify|encode|decode)\(\s{{0,8}}[^\s,()]{{1,60}},\s{{0,8}}b?{_QUOTED}"),
        ("reateHmac(", rf"reateHmac\(\s{{0,8}}[\"'\\]{{1,4}}[\w-]{{1,12}}[\"'\\]{{1,4}},\s{{0,8}}{_QUOTED}"),
        ("hmac.new(", rf"hmac\.new\(\s{{0,8}}(?:key=)?b?{_QUOTED}"),
        ("Fernet(", rf"Fernet\(\s{{0,8}}(?:key=)?b?{_QUOTED}"),
        ("SecureString ", rf"SecureString (?:-String )?{_QUOTED}"),
        ("Credential(", rf"Credential\(\s{{0,8}}\\{{0,7}}[\"'][^\"'\n\\]{{0,128}}\\{{0,7}}[\"'],\s{{0,8}}{_QUOTED}"),
        *(
            (f" -{flag} ", rf" -{flag} \S{{1,64}} (?:\S{{1,40}} ){{0,3}}?-[pP] ?{_QUOTE}{_MIXED_VALUE}")
            for flag in "uU"
        ),
        ("add_user ", rf"add_user {_QUOTE}[\w.-]{{1,64}}{_QUOTE} {_QUOTE}{_VALUE}"),
        ("auth = (", rf"auth = \(\s{{0,8}}\\{{0,7}}[\"'][^\"'\n\\]{{0,128}}\\{{0,7}}[\"'],\s{{0,8}}{_QUOTED}"),
        ("auth=(", rf"auth=\(\s{{0,8}}\\{{0,7}}[\"'][^\"'\n\\]{{0,128}}\\{{0,7}}[\"'],\s{{0,8}}{_QUOTED}"),
        ("BasicAuth(", rf"BasicAuth\(\s{{0,8}}\\{{0,7}}[\"'][^\"'\n\\]{{0,128}}\\{{0,7}}[\"'],\s{{0,8}}{_QUOTED}"),
        ("login(", rf"login\(\s{{0,8}}\\{{0,7}}[\"'][^\"'\n\\]{{0,128}}\\{{0,7}}[\"'],\s{{0,8}}{_QUOTED}"),
        ("password(", rf"password\({_QUOTED}"),
        ("Password(", rf"Password\({_QUOTED}"),
    )
)
_CHPASSWD_PAIR = re.compile(r"([\"']?)[\w.-]{1,64}:([^\s\"'|\\]{2,256})\1\s{0,4}\|\s{0,4}(?:sudo )?chpasswd")


def find_command_secrets(text: str) -> list[Span]:
    """Spans of passwords of `curl -u`, `sshpass -p`, `mysql -p`, `.netrc`, SQL and the like."""
    spans: list[Span] = []
    for literal, pattern in _FORMS:
        at = text.find(literal)
        while at >= 0:
            following = text.find(literal, at + len(literal))
            found = pattern.match(text, at, following if following >= 0 else len(text))
            if found:
                value = found.group(1)
                end = found.start(1) + len(value.rstrip(".,;)") if not value.endswith("...") else value)
                if not is_placeholder(value) and end > found.start(1):
                    spans.append(Span(found.start(1), end, "password"))
            at = following
    at = text.find("chpasswd")
    while at >= 0:
        pair = _CHPASSWD_PAIR.search(text, max(0, at - 340), at + 8)
        if pair and not is_placeholder(pair.group(2)):
            spans.append(Span(pair.start(2), pair.end(2), "password"))
        at = text.find("chpasswd", at + 8)
    return spans

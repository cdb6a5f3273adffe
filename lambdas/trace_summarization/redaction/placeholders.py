"""What stands where a secret would, and is none: placeholders, references to variables, type names."""

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WORDS = _words(
    """
    admin_password any api-key api_key apikey array bar basic baz bearer blank bool boolean byte bytes change
    change-me change_me changeme char config correct credential credentials default dict digest dummy empty env
    environment example expired fake false fixme float foo foobar forgotten get here hidden incorrect input
    insert_here int integer invalid key keys list literal masked missing n/a na nan nil no none null number object
    off omitted on optional optional[str] pass passcode passphrase passwd password password_here placeholder prompt
    pwd redacted removed replace-me replace_me replaceme required reset sample secret secrets secretstr set str
    string string_value str|none tba tbd test_value text todo token token_here token_value tokens true undefined
    unknown unset update user username value var varchar variable void wrong yes
    """
)
_TEMPLATES = re.compile(
    r"""^(?:
      \$[{(]|\$[A-Za-z_]\w*$|\$\d$|%\w+%|%\(|\{|<
      |\[(?:secret|password|private-key|email|card|phone|redacted|hidden|masked|filtered|removed)
      |(?:os\.environ|os\.getenv|getenv|process\.env|System\.getenv|ENV\[|env\.|env\(|vars\.|secrets\.|var\.|local\.|config\.
      |settings\.|self\.|this\.|args\.|options\.|params\.|request\.|req\.|st\.secrets|data\.|module\.|vault:|ref\+|op://
      |AWS4-HMAC|ssm:|secretsmanager:|arn:|@Microsoft\.KeyVault|projects/|!Ref|!Sub|!secret|file://|env:|Bearer\s*[$<{])
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_SPEAKS_OF_ITSELF = re.compile(
    r"(?:^|[-_ .])(?:your|my|insert|enter|replace|put|add|paste|fill)[-_ ](?!.*\d{3})|(?:^|[-_])your(?=[A-Za-z]{3})"
    r"|[-_]here\b|^change[-_ ]?(?:me|it|this)\b(?!.*\d)|placeholder|redacted|\bexample[-_](?:key|token|secret|password)"
    r"|x{6,}|X{6,}|\*{3,}|^\.{3,}|•{3,}|^\W+$",
    re.IGNORECASE,
)


def is_placeholder(value: str) -> bool:
    """Whether the value only stands for a secret: `<your-key>`, `$TOKEN`, `****`, `null`, `changeme`."""
    if value.lower().strip(" .,;:!?*_") in _WORDS:
        return True
    if len(value) < 4:
        return len(set(value)) < 2 or _TEMPLATES.match(value) is not None
    if _TEMPLATES.match(value) or _SPEAKS_OF_ITSELF.search(value):
        return True
    return len(set(value.lower())) <= 2 and not (value.isdigit() and len(set(value)) == 2)

"""What stands where a secret would, and is none: placeholders, references to variables, type names."""

import re

_WORDS = frozenset(
    [
        "none",
        "null",
        "nil",
        "undefined",
        "true",
        "false",
        "yes",
        "no",
        "on",
        "off",
        "nan",
        "empty",
        "blank",
        "unset",
        "default",
        "todo",
        "tbd",
        "tba",
        "n/a",
        "na",
        "required",
        "optional",
        "missing",
        "invalid",
        "incorrect",
        "wrong",
        "correct",
        "expired",
        "forgotten",
        "hidden",
        "masked",
        "redacted",
        "removed",
        "omitted",
        "string",
        "str",
        "text",
        "bytes",
        "byte",
        "int",
        "integer",
        "number",
        "float",
        "bool",
        "boolean",
        "any",
        "object",
        "array",
        "list",
        "dict",
        "char",
        "varchar",
        "unknown",
        "void",
        "password",
        "passwd",
        "passphrase",
        "passcode",
        "pwd",
        "pass",
        "secret",
        "secrets",
        "token",
        "tokens",
        "key",
        "keys",
        "apikey",
        "api_key",
        "api-key",
        "credential",
        "credentials",
        "username",
        "user",
        "admin_password",
        "example",
        "sample",
        "placeholder",
        "dummy",
        "fake",
        "foo",
        "bar",
        "baz",
        "foobar",
        "value",
        "test_value",
        "changeme",
        "change_me",
        "change-me",
        "replace_me",
        "replaceme",
        "replace-me",
        "fixme",
        "insert_here",
        "password_here",
        "token_here",
        "here",
        "secretstr",
        "optional[str]",
        "str|none",
        "input",
        "prompt",
        "env",
        "environment",
        "var",
        "variable",
        "config",
        "literal",
        "reset",
        "change",
        "update",
        "set",
        "get",
        "bearer",
        "basic",
        "digest",
        "token_value",
        "string_value",
    ]
)
_TEMPLATES = re.compile(
    r"""^(?:
      \$ | %\w+% | %\( | \{ | < | \[(?:secret|password|private-key|email|card|phone|redacted|hidden|masked|filtered|removed)
      | (?:os\.environ|os\.getenv|getenv|process\.env|System\.getenv|ENV\[|env\.|env\(|vars\.|secrets\.|var\.|local\.|config\.
      |settings\.|self\.|this\.|args\.|options\.|params\.|request\.|req\.|st\.secrets|data\.|module\.|vault:|ref\+|op://|ssm:
      |secretsmanager:|arn:|@Microsoft\.KeyVault|projects/|!Ref|!Sub|!secret|file://|env:|Bearer\s*\$|Bearer\s*<|Bearer\s*\{)
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_SPEAKS_OF_ITSELF = re.compile(
    r"(?:^|[-_ .])(?:your|my|insert|enter|replace|put|add|paste|fill)[-_ ](?!.*\d{3})|(?:^|[-_])your(?=[A-Za-z]{3})"
    r"|[-_]here\b|^change[-_ ]?(?:me|it|this)\b|placeholder|redacted|\bexample[-_](?:key|token|secret|password)"
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
